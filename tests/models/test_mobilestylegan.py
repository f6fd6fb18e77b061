"""The network against its definition written out slowly: weights of each sample, every pixel, one row at a time."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig
from ganvas.models import build, mobilestylegan
from ganvas.models.mobilestylegan import MobileStyleGANConfig, StyledConv, wavelet_to_img
from ganvas.ops.wavelet import to_wavelet

TINY = {"z_dim": 16, "w_dim": 24, "num_mapping_layers": 3, "channels": (16, 12, 8)}  # 32 px


def tiny(**more):
    torch.manual_seed(0)
    return build("mobilestylegan", **(TINY | more)).eval()


def random_ws(G, n=2, seed=1):
    return torch.randn(n, G.num_ws, G.w_dim, generator=torch.Generator().manual_seed(seed))


def slow_join(x):
    """[N, 4·C, H, W] → [N, C, 2H, 2W], pixel by pixel of a 2 × 2 square."""
    a, b, c, d = x.chunk(4, dim=1)
    rows = [torch.stack([a + b + c + d, a + b - c - d], dim=-1), torch.stack([a - b + c - d, a - b - c + d], dim=-1)]
    return torch.stack([row.flatten(3) for row in rows], dim=3).flatten(2, 3) / 2


def slow_conv(layer: StyledConv, x, w):
    """Each sample with weights of its own, the style multiplied into them."""
    out = []
    for i in range(len(x)):
        style = layer.affine.weight @ w[i] + layer.affine.bias
        if layer.separable:
            dense = torch.einsum("oi,ikl->oikl", layer.weight[:, :, 0, 0], layer.depthwise[:, 0])
        else:
            dense = layer.weight
        out.append(F.conv2d(x[i : i + 1], dense * style[None, :, None, None], padding=1))
    x = torch.cat(out) + layer.noise + layer.bias[:, None, None]
    return torch.where(x < 0, 0.2 * x, x)


def slow_synthesis(G, ws):
    x = slow_conv(G.conv, G.const.expand(len(ws), -1, -1, -1), ws[:, 0])
    for i, level in enumerate(G.levels):
        style = ws[:, 3 * i + 1] @ level.up.affine.weight.T + level.up.affine.bias
        x = slow_join(x * style[:, :, None, None])
        x = slow_conv(level.conv1, x, ws[:, 3 * i + 2])
        x = slow_conv(level.conv2, x, ws[:, 3 * i + 3])
    style = ws[:, -1] @ G.to_img.affine.weight.T + G.to_img.affine.bias
    x = torch.einsum("nchw,pc->nphw", x * style[:, :, None, None], G.to_img.weight[:, :, 0, 0])
    return slow_join(x + G.to_img.bias[:, None, None])


@pytest.mark.parametrize("n", [1, 3])
def test_synthesis_is_its_definition_with_gradients(n):
    G = tiny()
    ours, theirs = (random_ws(G, n).requires_grad_() for _ in range(2))
    img, slow = G.synthesis(ours), slow_synthesis(G, theirs)
    scale = slow.detach().abs().max().item()
    assert torch.allclose(img, slow, atol=1e-5 * scale)
    aim = torch.randn(img.shape, generator=torch.Generator().manual_seed(2))
    parameters = [p for name, p in G.named_parameters() if not name.startswith("map.")]
    fast = torch.autograd.grad((img * aim).sum(), [ours, *parameters])
    definition = torch.autograd.grad((slow * aim).sum(), [theirs, *parameters])
    for a, b in zip(fast, definition, strict=True):
        assert torch.allclose(a, b, atol=1e-4 * float(b.abs().max()) + 1e-6)


@torch.no_grad()
def test_mapping_is_its_definition():
    G = tiny()
    z = torch.randn(4, 16)
    x = z / (z.square().sum(dim=1, keepdim=True) / 16).sqrt()
    for layer in G.map.layers:
        x = F.leaky_relu(x @ layer.weight.T + layer.bias, 0.2) * math.sqrt(2)
    ws = G.mapping(z)
    assert torch.allclose(ws, x[:, None].expand(-1, 8, -1), atol=1e-4)


def test_the_default_is_the_published_network():
    G = build("mobilestylegan")
    assert (G.img_resolution, G.num_ws) == (1024, 23)
    synthesis = sum(p.numel() for name, p in G.named_parameters() if not name.startswith("map."))
    assert synthesis == pytest.approx(8.0e6 - 0.7e6, rel=0.01)  # 8.0 M of the file are with its 0.7 M of noise maps
    assert sum(b.numel() for b in G.buffers()) == pytest.approx(0.7e6, rel=0.02)


@torch.no_grad()
def test_without_heads_a_smaller_picture_is_the_full_one_averaged_down():
    G = tiny()
    ws = random_ws(G)
    for px in (8, 16):
        assert torch.allclose(G.synthesis(ws, resolution=px), F.avg_pool2d(G.synthesis(ws), 32 // px))


@pytest.mark.parametrize("n", [1, 2])
@torch.no_grad()
def test_averaged_is_the_whole_picture_averaged_and_no_early_exit(n):
    G = tiny(heads=(16,))
    ws = random_ws(G, n)
    whole = G.synthesis(ws)
    for px in (4, 7, 8, 16, 32, 64):
        expected = whole if px >= 32 else F.interpolate(whole, (px, px), mode="area")
        assert torch.allclose(G.synthesize_downscaled(ws, px), expected, atol=1e-5 * float(whole.abs().max()))
    with pytest.raises(BadConfig, match="precision"):
        G.synthesize_downscaled(ws, 16, precision="quick")


@torch.no_grad()
def test_a_head_is_used_where_there_is_one_and_averaged_below():
    G = tiny(heads=(16,), head_rank=2)
    ws = random_ws(G)
    x, head = G.features(ws, 8), G.heads["16"]
    w = (head.attention.softmax(0)[:, None] * ws[:, 4:]).sum(dim=1)  # rows of the level after 8 px, and of the picture
    style = w @ head.listen.weight.T @ head.scale.weight.T + head.scale.bias
    y = torch.einsum("nchw,pc->nphw", x * style[:, :, None, None], head.weight[:, :, 0, 0])
    y = slow_join(y + (w @ head.shift.weight.T + head.shift.bias)[:, :, None, None])
    assert torch.allclose(G.synthesis(ws, resolution=16), y, atol=1e-4 * float(y.abs().max()))
    assert torch.allclose(G.synthesis(ws, resolution=8), F.avg_pool2d(y, 2), atol=1e-4 * float(y.abs().max()))
    weight, bias = head.at(ws[:1])
    assert torch.allclose(
        wavelet_to_img(x[:1], weight, bias, torch.ones(1, 12, 1, 1)), y[:1], atol=1e-4 * float(y.abs().max())
    )


@torch.no_grad()
def test_heads_change_nothing_of_the_full_picture():
    G, plain = tiny(heads=(8, 16)), tiny()
    plain.load_state_dict({name: t for name, t in G.state_dict().items() if not name.startswith("heads.")})
    ws = random_ws(G)
    assert torch.equal(G.synthesis(ws), plain.synthesis(ws))


@pytest.mark.parametrize("heads", [(), (16,)])
@torch.no_grad()
def test_a_local_head_is_the_least_squares_solution(heads):
    G = tiny(heads=heads)
    ws = random_ws(G, 1)
    fitted = G.fit_head(ws, 16, ridge=1e-9)
    x = G.features(ws, 8)[0].flatten(1).T.double()
    y = to_wavelet(F.avg_pool2d(G.synthesis(ws), 2))[0].flatten(1).T.double()
    a = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    best = a @ torch.linalg.lstsq(a, y).solution
    ours = to_wavelet(G.synthesize_with_head(ws, fitted))[0].flatten(1).T.double()
    assert (ours - y).square().mean() <= 1.01 * (best - y).square().mean() + 1e-9
    assert torch.allclose(
        G.synthesize_with_head(ws, G.fit_head(ws, 16, full=G.synthesis(ws))),
        G.synthesize_with_head(ws, G.fit_head(ws, 16)),
    )


@torch.no_grad()
def test_a_large_ridge_leaves_the_learnt_head():
    G = tiny(heads=(16,))
    ws = random_ws(G, 1)
    assert torch.allclose(
        G.synthesize_with_head(ws, G.fit_head(ws, 16, ridge=1e6)), G.synthesis(ws, resolution=16), atol=1e-3
    )


@torch.no_grad()
def test_noise_is_one_fixed_map_or_fresh_of_the_same_strength():
    G = tiny()
    layer = G.levels[0].conv1
    x = torch.zeros(200, 1, 8, 8)
    drawn = layer._noise(x, "random")
    assert drawn.shape == (200, 1, 8, 8)
    assert drawn.std().item() == pytest.approx(float(layer.noise.square().mean().sqrt()), rel=0.05)
    assert torch.equal(layer._noise(x, "const"), layer.noise)


def test_impossible_configs_are_refused():
    for wrong in ({"channels": ()}, {"channels": (16, 10)}, {"heads": (64,)}, {"heads": (5,)}, {"w_dim": 0}):
        with pytest.raises(BadConfig):
            MobileStyleGANConfig(**(TINY | wrong))
    G = tiny()
    with pytest.raises(BadConfig, match="px to be one of"):
        G.features(random_ws(G), 32)
    with pytest.raises(BadConfig, match="resolution"):
        G.fit_head(random_ws(G, 1), 64)


@pytest.mark.parametrize("n", [1, 2])
@torch.no_grad()
def test_a_convolution_at_half_size_is_the_average_of_the_whole_where_nothing_is_bent(n):
    torch.manual_seed(3)
    layer = StyledConv(6, 5, w_dim=24, px=16)
    layer.bias.fill_(1000.0)  # every value stays above zero, where the leaky ReLU is straight
    coarse, w = torch.randn(n, 6, 8, 8), torch.randn(n, 24)
    even = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(
        layer.forward_halved(coarse, w), F.avg_pool2d(layer(even, w, noise_mode="const"), 2), atol=1e-3
    )


@torch.no_grad()
def test_a_draft_is_the_picture_averaged_down_where_the_last_level_adds_nothing_finer(monkeypatch):
    monkeypatch.setattr(mobilestylegan, "fast_dtype", lambda device: torch.float32)
    G = tiny()
    last = G.levels[-1]
    means = last.conv1.weight.shape[1]
    last.up.affine.weight[means:], last.up.affine.bias[means:], last.conv1.noise[:] = 0, 0, 0
    last.conv1.depthwise *= torch.zeros(3, 3).index_put_((torch.tensor(1), torch.tensor(1)), torch.tensor(1.0))
    for conv in (last.conv1, last.conv2):
        conv.bias.fill_(100)
    ws = random_ws(G)
    error, exact = G.synthesize_draft(ws, 8) - G.synthesize_downscaled(ws, 8), G.synthesize_downscaled(ws, 8)
    assert error[..., 1:-1, 1:-1].abs().max() < 1e-4 * exact.abs().max()  # at the edge the ReLU bends
    assert torch.allclose(G.synthesize_draft(ws, 4), F.avg_pool2d(G.synthesize_draft(ws, 8), 2), atol=1e-3)
    assert torch.equal(G.synthesize_draft(ws, 16), G.synthesize_downscaled(ws, 16, precision="fast"))
