"""StyleGAN3 against the paper's numbers, its text written out slowly, and what it promises: to move with its input."""

import dataclasses
import json
import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks.synthesis_stylegan3 import textbook_input, textbook_synthesis
from ganvas.errors import BadConfig
from ganvas.models import build
from ganvas.models.stylegan3 import StyleGAN3Config, grids

SMALL = {"z_dim": 32, "w_dim": 32, "channel_max": 32}


def generator(variant="t", px=16, **fields):
    """In eval mode, its magnitudes those of a few latents, its input turned and shifted by w."""
    torch.manual_seed(0)
    fields = SMALL | {"channel_base": 32 * px} | fields
    G = build("stylegan3", variant=variant, img_resolution=px, magnitude_ema_beta=0.0, **fields)
    with torch.no_grad():
        G.synthesis.input.affine.weight.normal_(0, 0.3)
        G.synthesis(torch.randn(8, G.num_ws, G.w_dim))
        for layer in G.synthesis.layers():
            layer.bias.normal_(0, 0.1)
    return G.eval()


def latents(G, n=2, seed=1):
    return torch.randn(n, G.num_ws, G.w_dim, generator=torch.Generator().manual_seed(seed))


def psnr(expected, img):
    """In dB, for a picture of standard deviation 0.5 in [-1, 1]."""
    return float(10 * torch.log10(2**2 * expected.var() / 0.5**2 / (expected - img).square().mean()))


# ------------------------------------------------------------------------------------------- the paper's numbers


@pytest.mark.parametrize(
    ("variant", "px", "millions"),
    [("t", 64, 37.77), ("t", 256, 28.47), ("t", 1024, 22.31), ("r", 64, 24.15), ("r", 256, 18.82), ("r", 1024, 15.09)],
)
def test_parameter_counts(variant, px, millions):
    G = build("stylegan3", variant=variant, img_resolution=px)
    assert sum(p.numel() for p in G.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_layers_are_those_of_the_published_weights():
    T = {
        64: "36x512 36x512 36x512 36x512 52x512 52x512 52x512 52x512 84x512 84x512 84x512 84x512 84x512 64x512 64x3",
        1024: "36x512 36x512 52x512 52x512 84x512 148x512 148x512 276x323 276x203 532x128 1044x81 1044x51 1044x32 "
        "1024x32 1024x3",
    }
    for px, table in T.items():
        assert " ".join(f"{g.size}x{g.channels}" for g in grids(StyleGAN3Config(img_resolution=px))) == table
    R = [g.channels for g in grids(StyleGAN3Config(variant="r", img_resolution=1024))]
    assert R == [1024] * 7 + [645, 406, 256, 161, 102, 64, 64, 3]


def test_bands_follow_the_formulas():
    table = grids(StyleGAN3Config(img_resolution=256))
    for i, grid in enumerate(table):
        e = min(i / 12, 1)
        stop = 2**2.1 * (128 * 2**0.3 / 2**2.1) ** e
        assert grid.cutoff == pytest.approx(2 * 64**e)
        assert grid.sampling_rate == 2 ** math.ceil(math.log2(min(2 * stop, 256)))
        assert grid.half_width == pytest.approx(max(stop, grid.sampling_rate / 2) - 2 * 64**e)
    assert table[-1].cutoff == 128  # critically sampled: the whole band of 256 samples


@pytest.mark.parametrize("variant", ["t", "r"])
def test_names_and_shapes_are_those_of_the_published_weights(variant):
    G = generator(variant, c_dim=3)
    kernel, radial = (3, []) if variant == "t" else (1, [12])
    expected = {
        "mapping.w_avg": [32],
        "mapping.embed.weight": [32, 3],
        "mapping.embed.bias": [32],
        "mapping.fc0.weight": [32, 64],
        "mapping.fc0.bias": [32],
        "mapping.fc1.weight": [32, 32],
        "mapping.fc1.bias": [32],
        "synthesis.input.weight": [32, 32],
        "synthesis.input.affine.weight": [4, 32],
        "synthesis.input.affine.bias": [4],
        "synthesis.input.transform": [3, 3],
        "synthesis.input.freqs": [32, 2],
        "synthesis.input.phases": [32],
    }
    for i in range(15):
        size, out, k = (36, 32, kernel) if i < 13 else (16, 32, kernel) if i == 13 else (16, 3, 1)
        name = f"synthesis.L{i}_{size}_{out}"
        expected |= {f"{name}.weight": [out, 32, k, k], f"{name}.bias": [out], f"{name}.magnitude_ema": []}
        expected |= {f"{name}.affine.weight": [32, 32], f"{name}.affine.bias": [32]}
        if i < 14:
            down = [12, *radial] if i < 12 else [12]  # the critically sampled layers filter along the axes
            expected |= {f"{name}.up_filter": [12], f"{name}.down_filter": down}
    assert {name: list(t.shape) for name, t in G.state_dict().items()} == expected


def test_starts_as_in_the_paper():
    torch.manual_seed(0)
    G = build("stylegan3", img_resolution=16, channel_base=512, channel_max=64)
    source, layer = G.synthesis.input, G.synthesis.layers()[3]
    assert not source.affine.weight.any()
    assert source.affine.bias.tolist() == [1, 0, 0, 0]
    assert source.freqs.norm(dim=1).max() <= 2  # within the first band
    assert source.freqs.norm(dim=1).square().mean() == pytest.approx(2, rel=0.3)  # uniform over a disc: r²/2
    assert source.phases.abs().max() <= 0.5
    assert layer.affine.bias.eq(1).all()
    assert not layer.bias.any()
    assert float(layer.weight.detach().std()) == pytest.approx(1, rel=0.05)


# ------------------------------------------------------------------------------------------- the paper's text


@pytest.mark.parametrize(
    ("variant", "px", "fields"),
    [
        ("t", 16, {}),
        ("r", 16, {}),
        ("t", 32, {}),
        ("r", 64, {"num_layers": 8}),
        ("t", 16, {"conv_clamp": 0.5}),
        ("t", 16, {"conv_clamp": None, "lrelu_upsampling": 1, "num_critical": 0}),
        ("r", 16, {"conv_kernel": 3, "margin_size": 4, "filter_size": 4}),
        ("t", 16, {"img_channels": 1, "use_radial_filters": True}),
    ],
)
@torch.no_grad()
def test_equals_the_textbook(variant, px, fields):
    G = generator(variant, px, **fields)
    ws = latents(G)
    expected = textbook_synthesis(G, ws)
    torch.testing.assert_close(G.synthesis(ws), expected, atol=1e-5, rtol=1e-5)
    assert psnr(expected, G.synthesis(ws, precision="fast")) > 35


@torch.no_grad()
def test_textbook_keeps_its_clamp_in_view():
    """The clamp of the case above is one that binds."""
    G = generator(conv_clamp=0.5)
    loose = generator(conv_clamp=None)
    loose.load_state_dict(G.state_dict())
    assert (G.synthesis(latents(G)) - loose.synthesis(latents(G))).abs().max() > 0.01


def test_input_is_a_sum_of_waves():
    """At one point, with one wave: turn and shift of the point, then the sine."""
    G = generator()
    source = G.synthesis.input
    G.set_transform(rotate_deg=20, translate=(0.1, -0.2))
    w = torch.randn(2, 32)
    x = source(w)
    torch.testing.assert_close(x, textbook_input(source, w), atol=1e-5, rtol=1e-4)
    cos, sin, dx, dy = source.affine(w)[1].double().tolist()
    length = math.hypot(cos, sin)
    cos, sin, dx, dy = (v / length for v in (cos, sin, dx, dy))
    row, column = 30, 5
    px, py = ((v + 0.5 - 18) / 16 for v in (column, row))
    px, py = px - 0.1, py + 0.2  # the user's shift is undone, then the user's turn …
    angle = math.radians(20)
    px, py = math.cos(angle) * px - math.sin(angle) * py, math.sin(angle) * px + math.cos(angle) * py
    px, py = px - dx, py - dy  # … then w's shift, then w's turn
    px, py = cos * px - sin * py, sin * px + cos * py
    freqs, phases = source.freqs.double(), source.phases.double()
    waves = torch.sin(2 * math.pi * (freqs @ torch.tensor([px, py], dtype=torch.float64) + phases))
    expected = source.weight.double() @ waves / math.sqrt(32)
    torch.testing.assert_close(x[1, :, row, column].double(), expected, atol=1e-5, rtol=1e-4)


def test_waves_beyond_the_grid_fade_out():
    G = generator()
    w = torch.randn(1, 32)
    at = G.synthesis.get_buffer("input.transform")
    at.copy_(torch.diag(torch.tensor([1.5, 1.5, 1.0])))
    partly = G.synthesis.input(w).std()
    at.copy_(torch.diag(torch.tensor([1e3, 1e3, 1.0])))  # a thousand pictures in one: nothing a grid could hold
    assert G.synthesis.input(w).abs().max() < 0.5 * partly


def test_magnitudes_follow_the_input_in_training_only():
    G = build("stylegan3", img_resolution=16, magnitude_ema_beta=0.75, **SMALL, channel_base=512)
    layers = G.synthesis.layers()
    x = G.synthesis.input(torch.zeros(2, 32))
    expected = 0.75 * 1 + 0.25 * float(x.detach().square().mean())
    G.eval().synthesis(latents(G))
    assert all(float(layer.magnitude_ema) == 1 for layer in layers)
    G.train().synthesis(torch.zeros(2, G.num_ws, 32))
    assert float(layers[0].magnitude_ema) == pytest.approx(expected, rel=1e-5)
    assert all(float(layer.magnitude_ema) != 1 for layer in layers)
    assert all(not layer.magnitude_ema.requires_grad for layer in layers)


def test_the_papers_decay_halves_in_20_000_pictures():
    assert StyleGAN3Config().magnitude_ema_beta ** (20_000 / 32) == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------- what it promises


@pytest.mark.parametrize(("variant", "px", "db"), [("t", 32, 50), ("r", 32, 80)])
@pytest.mark.parametrize("shift", [(1, 0), (0, -3), (2, 4)])
@torch.no_grad()
def test_a_shifted_input_gives_the_shifted_picture(variant, px, db, shift):
    """One pixel is half a sample of the first layers: aliases would show."""
    G = generator(variant, px)
    ws = latents(G)
    dx, dy = shift
    still = G.synthesis(ws)
    G.set_transform(translate=(dx / px, dy / px))
    moved = G.synthesis(ws)
    inner = slice(8, px - 8)
    expected = still.roll((dy, dx), dims=(2, 3))  # to the right, and down
    reached = psnr(expected[..., inner, inner], moved[..., inner, inner])
    assert reached > db
    assert reached > psnr(still[..., inner, inner], moved[..., inner, inner]) + 35  # the picture did move


@pytest.mark.parametrize("turns", [1, 2, 3])
@torch.no_grad()
def test_a_quarter_turn_of_r_is_exact(turns):
    G = generator("r", 32)
    ws = latents(G)
    still = G.synthesis(ws)
    G.set_transform(rotate_deg=90 * turns)
    torch.testing.assert_close(G.synthesis(ws), torch.rot90(still, turns, dims=(2, 3)), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_r_turns_by_any_angle_and_t_does_not():
    decibels = {}
    for variant in "tr":
        G = generator(variant, 64, num_layers=10)
        ws = latents(G)
        still = G.synthesis(ws)
        G.set_transform(rotate_deg=30)
        c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
        where = F.affine_grid(torch.tensor([[c, -s, 0], [s, c, 0]]).expand(2, 2, 3), still.shape, align_corners=False)
        expected = F.grid_sample(still, where, mode="bicubic", align_corners=False)
        inner = slice(20, 44)
        decibels[variant] = psnr(expected[..., inner, inner], G.synthesis(ws)[..., inner, inner])
    assert decibels["r"] > 28
    assert decibels["t"] < decibels["r"] - 10


@torch.no_grad()
def test_transform_is_kept_with_the_weights_and_undone():
    G = generator()
    ws = latents(G)
    still = G.synthesis(ws)
    G.set_transform(rotate_deg=15, translate=(0.2, 0))
    moved = G.synthesis(ws)
    twin = generator()
    twin.load_state_dict(G.state_dict())
    assert torch.equal(twin.synthesis(ws), moved)
    assert not torch.allclose(moved, still, atol=0.05)
    G.set_transform()
    assert torch.equal(G.synthesis(ws), still)


@pytest.mark.parametrize("variant", ["t", "r"])
def test_gradients_of_any_order(variant):
    G = generator(variant, 16, num_layers=4, num_critical=1, channel_max=8, margin_size=4).double()
    ws = latents(G, 1).double().requires_grad_()
    weights = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    direction = torch.randn_like(ws)

    def slope(ws):
        (gradient,) = torch.autograd.grad((G.synthesis(ws) * weights).sum(), ws, create_graph=True)
        return gradient

    def value(ws):
        return float((G.synthesis(ws) * weights).sum().detach())

    step = 1e-6
    gradient = slope(ws)
    by_hand = (value(ws + step * direction) - value(ws - step * direction)) / (2 * step)
    assert float((gradient * direction).sum().detach()) == pytest.approx(by_hand, rel=1e-5)
    (second,) = torch.autograd.grad(gradient.square().sum(), ws)
    up, down = (slope(ws + s * step * direction).square().sum() for s in (1, -1))
    assert float((second * direction).sum()) == pytest.approx(float((up - down).detach()) / (2 * step), rel=1e-4)


def test_gradients_need_no_enlarged_pictures():
    """What is kept for the backward pass is a few pictures a layer, not the 4 to 16 times larger ones."""
    G = generator("t", 64, num_layers=6, channel_base=2048)
    ws = latents(G, 1).requires_grad_()
    kept = {}

    def keep(t):
        kept[t.data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        G.synthesis(ws)
    pictures = sum(t.numel() for t in kept.values() if t.ndim == 4)
    layers = sum(g.channels * g.size**2 for g in grids(G.config))
    assert pictures < 5 * layers


def test_fast_gives_gradients_to_ws():
    G = generator()
    ws = latents(G).requires_grad_()
    exact, fast = (
        torch.autograd.grad(G.synthesis(ws, precision=precision).square().sum(), ws)[0]
        for precision in ("exact", "fast")
    )
    assert fast.dtype == torch.float32
    assert torch.cosine_similarity(exact.flatten(), fast.flatten(), dim=0) > 0.99


# ------------------------------------------------------------------------------------------- settings


def test_there_is_no_early_exit():
    G = generator()
    with pytest.raises(BadConfig, match=r"no early exit.*16"):
        G.synthesis(latents(G), resolution=8)


def test_variant_sets_what_is_left_open():
    R = StyleGAN3Config(variant="r")
    assert R.channel_base is None
    assert (R.resolve().channel_base, R.resolve().channel_max) == (65536, 1024)
    assert (R.resolve().conv_kernel, R.resolve().use_radial_filters) == (1, True)
    T = dataclasses.replace(R, variant="t").resolve()
    assert (T.channel_base, T.channel_max, T.conv_kernel, T.use_radial_filters) == (32768, 512, 3, False)
    own = StyleGAN3Config(variant="r", channel_base=4096, use_radial_filters=False).resolve()
    assert (own.channel_base, own.use_radial_filters, own.conv_kernel) == (4096, False, 1)
    assert StyleGAN3Config(**json.loads(json.dumps(dataclasses.asdict(R)))) == R


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "q"},
        {"img_resolution": 8},
        {"img_resolution": 48},
        {"conv_kernel": 2},
        {"channel_base": 8},
        {"channel_max": 0},
        {"img_channels": 0},
        {"c_dim": -1},
        {"num_mapping_layers": 0},
        {"num_critical": 14},
        {"first_cutoff": 5},
        {"first_cutoff": 0},
        {"filter_size": 0},
        {"lrelu_upsampling": 0},
        {"margin_size": -1},
        {"magnitude_ema_beta": 1.5},
    ],
)
def test_settings_that_make_no_network_are_refused(wrong):
    with pytest.raises(BadConfig):
        StyleGAN3Config(**wrong)
