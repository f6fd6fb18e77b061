"""StyleGAN2 against its papers: the networks written out slowly, sizes, names, gradients, precisions."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BadImage, BadInput, BadLatent
from ganvas.models import build, stylegan2
from ganvas.models.stylegan2 import (
    MappingNetwork,
    StyleGAN2Config,
    StyleGAN2Discriminator,
    StyleGAN2DiscriminatorConfig,
    StyleGAN2Generator,
    minibatch_std,
)
from ganvas.ops import precision
from tests.ops.test_modulation import modulated_by_definition, zero_stuffed_conv
from tests.ops.test_resample import upfirdn2d_by_definition

TINY = {"img_resolution": 16, "channel_base": 64, "channel_max": 6, "c_dim": 0}


def generator(*, seed=0, **fields):
    """A tiny generator of which no part is silent: noise, biases and w_avg are not zero."""
    torch.manual_seed(seed)
    G = build("stylegan2", **{**TINY, "z_dim": 5, "w_dim": 7, "num_mapping_layers": 2, **fields})
    return awake(G).eval().requires_grad_(False)


def discriminator(*, seed=0, **fields):
    torch.manual_seed(seed)
    D = build("stylegan2", network="D", **{**TINY, "num_mapping_layers": 2, **fields})
    return awake(D).eval().requires_grad_(False)


@torch.no_grad()
def awake(net):
    for parameter in net.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.3)
    for name, buffer in net.named_buffers():
        if name.endswith("w_avg"):
            buffer.normal_()
    return net


# ---------------------------------------------------------------------------------------------------------------------
# The networks written out


def linear(layer, x, *, lrelu=False, lr_mul=1.0):
    y = x @ (layer.weight * lr_mul / math.sqrt(layer.weight.shape[1])).T + layer.bias * lr_mul
    return F.leaky_relu(y, 0.2) * math.sqrt(2) if lrelu else y


def unit(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def mapping_by_definition(M, z, c):
    parts = [] if z is None else [unit(z)]
    if c is not None:
        parts.append(unit(linear(M.embed, c)))
    x = torch.cat(parts, dim=1)
    for i in range(M.num_layers):
        x = linear(getattr(M, f"fc{i}"), x, lrelu=True, lr_mul=0.01)
    return x


def synthesis_layer_by_definition(layer, x, w, noise, clamp, gain=1.0):
    styles = linear(layer.affine, w)
    x = modulated_by_definition(x, layer.weight, styles, True, layer.up, layer.resample_filter)
    if noise:
        x = x + layer.noise_strength * layer.noise_const
    x = F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2) * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def to_rgb_by_definition(layer, x, w, clamp):
    styles = linear(layer.affine, w) / math.sqrt(layer.weight.shape[1])
    y = modulated_by_definition(x, layer.weight, styles, False, 1, None) + layer.bias[:, None, None]
    return y if clamp is None else y.clamp(-clamp, clamp)


def enlarge(x, f):
    return upfirdn2d_by_definition(x, f, 2, 1, (2, 1, 2, 1), 4)


def synthesis_by_definition(S, ws, *, noise=True, resolution=None):
    """Figure 2 and 7 of the paper; each block's ToRGB shares its w with the next block's first convolution."""
    config, img, row = S.config, None, 0
    x = S.b4.const[None].repeat(len(ws), 1, 1, 1)
    for res in S.block_resolutions:
        block = getattr(S, f"b{res}")
        before = x
        gain = math.sqrt(0.5) if config.architecture == "resnet" and res > 4 else 1.0
        if res > 4:
            x = synthesis_layer_by_definition(block.conv0, x, ws[:, row], noise, config.conv_clamp)
            row += 1
        x = synthesis_layer_by_definition(block.conv1, x, ws[:, row], noise, config.conv_clamp, gain)
        row += 1
        if gain != 1:
            skip = block.skip.weight / math.sqrt(before.shape[1])
            x = x + enlarge(F.conv2d(before, skip), block.resample_filter) * gain
        if config.architecture == "skip" or res == config.img_resolution:
            y = to_rgb_by_definition(block.torgb, x, ws[:, row], config.conv_clamp)
            img = y if img is None else enlarge(img, block.resample_filter) + y
        if res == resolution:
            break
    return img


def conv_by_definition(layer, x, *, down=1, lrelu=True, clamp=None, gain=1.0):
    k = layer.weight.shape[-1]
    weight = layer.weight / math.sqrt(layer.weight.shape[1] * k * k)
    if down == 2:
        pad = (k // 2 + 1,) * 4  # of the filter (2) less its half, and of the convolution
        x = upfirdn2d_by_definition(x, layer.resample_filter, 1, 1, pad, 1)
        y = F.conv2d(x, weight)[:, :, ::2, ::2]
    else:
        y = F.conv2d(x, weight, padding=k // 2)
    if not lrelu:
        return y * gain
    y = F.leaky_relu(y + layer.bias[:, None, None], 0.2) * math.sqrt(2) * gain
    return y if clamp is None else y.clamp(-clamp * gain, clamp * gain)


def minibatch_std_by_definition(x, group, channels):
    n, c = x.shape[:2]
    out = []
    for i in range(n):
        members = [j for j in range(n) if j % (n // group) == i % (n // group)]
        statistics = []
        for part in x.split(c // channels, dim=1):
            variance = sum((part[j] - sum(part[m] for m in members) / group) ** 2 for j in members) / group
            statistics.append((variance + 1e-8).sqrt().mean())
        out.append(torch.cat([x[i], torch.stack(statistics)[:, None, None].expand(channels, *x.shape[2:])]))
    return torch.stack(out)


def discriminator_by_definition(D, img, c=None):
    config, x, clamp = D.config, None, D.config.conv_clamp
    for res in D.block_resolutions:
        block = getattr(D, f"b{res}")
        if hasattr(block, "fromrgb"):
            y = conv_by_definition(block.fromrgb, img, clamp=clamp)
            x = y if x is None else x + y
            img = upfirdn2d_by_definition(img, block.resample_filter, 1, 2, (1, 1, 1, 1), 1)
        gain = math.sqrt(0.5) if config.architecture == "resnet" else 1.0
        y = conv_by_definition(block.conv0, x, clamp=clamp)
        y = conv_by_definition(block.conv1, y, down=2, clamp=clamp, gain=gain)
        x = y + conv_by_definition(block.skip, x, down=2, lrelu=False, gain=gain) if gain != 1 else y
    if config.architecture == "skip":
        x = x + conv_by_definition(D.b4.fromrgb, img)
    if config.mbstd_num_channels:
        x = minibatch_std_by_definition(x, min(config.mbstd_group_size, len(x)), config.mbstd_num_channels)
    x = conv_by_definition(D.b4.conv, x, clamp=clamp)
    x = linear(D.b4.out, linear(D.b4.fc, x.flatten(1), lrelu=True))
    if c is None:
        return x[:, 0]
    return (x * mapping_by_definition(D.mapping, None, c)).sum(dim=1) / math.sqrt(x.shape[1])


# ---------------------------------------------------------------------------------------------------------------------
# Generator


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("conv_clamp", [None, 0.8])  # 0.8 cuts many values, 256 would cut none
@pytest.mark.parametrize("n", [1, 3])
def test_the_generator_is_the_paper(architecture, conv_clamp, n):
    G = generator(architecture=architecture, conv_clamp=conv_clamp)
    ws = torch.randn(n, G.num_ws, 7)
    want = synthesis_by_definition(G.synthesis, ws)
    torch.testing.assert_close(G.synthesis(ws), want, atol=1e-5, rtol=1e-5)
    with torch.enable_grad():
        torch.testing.assert_close(G.synthesis(ws.requires_grad_()), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("resolution", [4, 8, 16])
def test_early_exits_are_the_sum_of_colours_so_far(resolution):
    G = generator()
    ws = torch.randn(2, G.num_ws, 7)
    got = G.synthesis(ws, resolution=resolution)
    assert got.shape == (2, 3, resolution, resolution)
    want = synthesis_by_definition(G.synthesis, ws, resolution=resolution)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_noise_modes():
    G = generator()
    ws = torch.randn(2, G.num_ws, 7)
    quiet = G.synthesis(ws, noise_mode="none")
    torch.testing.assert_close(quiet, synthesis_by_definition(G.synthesis, ws, noise=False), atol=1e-5, rtol=1e-5)
    assert torch.equal(G.synthesis(ws), G.synthesis(ws, noise_mode="const"))
    torch.manual_seed(1)
    first, second = G.synthesis(ws, noise_mode="random"), G.synthesis(ws, noise_mode="random")
    torch.manual_seed(1)
    assert not torch.equal(first, second)
    assert torch.equal(first, G.synthesis(ws, noise_mode="random"))
    same = G.synthesis(ws[:1].repeat(2, 1, 1), noise_mode="random")
    assert not torch.equal(same[0], same[1]), "each sample has its own noise"


def test_a_generator_without_noise_has_none():
    G = generator(use_noise=False)
    assert not any("noise" in name for name in G.state_dict())
    ws = torch.randn(1, G.num_ws, 7)
    assert torch.equal(G.synthesis(ws, noise_mode="random"), G.synthesis(ws, noise_mode="none"))


@pytest.mark.parametrize("c_dim", [0, 3])
def test_the_mapping_is_the_paper(c_dim):
    G = generator(c_dim=c_dim, num_mapping_layers=4)
    z, c = torch.randn(2, 5), torch.eye(3)[1:] if c_dim else None
    w = mapping_by_definition(G.mapping, z, c)
    ws = G.mapping(z, c)
    torch.testing.assert_close(ws, w[:, None].expand(2, G.num_ws, 7), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(G.mapping(z * 9, c), ws, atol=1e-5, rtol=1e-5)  # only the direction of z counts
    cut = G.mapping(z, c, truncation_psi=0.3, truncation_cutoff=2)
    torch.testing.assert_close(cut[:, :2], G.w_avg + 0.3 * (ws[:, :2] - G.w_avg), atol=1e-5, rtol=1e-5)
    assert torch.equal(cut[:, 2:], ws[:, 2:])


def test_w_avg_follows_the_batches():
    G = generator()
    ws, before = torch.randn(4, G.num_ws, 7), G.w_avg.clone()
    G.update_w_avg(ws, beta=0.9)
    torch.testing.assert_close(G.w_avg, 0.9 * before + 0.1 * ws[:, 0].mean(dim=0))
    G.mapping(torch.randn(2, 5))
    assert torch.equal(G.w_avg, G.state_dict()["mapping.w_avg"]), "mapping itself never moves it"


def test_a_sample_does_not_depend_on_its_neighbours(monkeypatch):
    """Large pictures of a batch are painted one by one, in any precision."""
    monkeypatch.setattr(stylegan2, "VALUES_IN_CACHE", 64)
    G = generator(img_resolution=32, channel_max=4)
    ws = torch.randn(3, G.num_ws, 7)
    assert G.synthesis._num_blocks_together(G.synthesis.blocks(), ws) < 4, "both ways are at work here"
    for mode in ("exact", "fast"):
        alone = torch.cat([G.synthesis(w[None], precision=mode) for w in ws])
        torch.testing.assert_close(G.synthesis(ws, precision=mode), alone, atol=0.1 if mode == "fast" else 1e-5, rtol=0)


SIZES = [  # resolution, channel_base, mapping layers, G and D in millions of parameters
    (64, 16384, 2, 22.24, 23.41),
    (128, 16384, 2, 22.95, 23.88),
    (256, 16384, 2, 23.19, 24.00),
    (256, 16384, 8, 24.77, 24.00),
    (1024, 32768, 8, 30.37, 29.01),
]


@pytest.mark.parametrize(("resolution", "channel_base", "layers", "millions_G", "millions_D"), SIZES)
def test_sizes_are_the_published_ones(resolution, channel_base, layers, millions_G, millions_D):
    def millions(net):
        return round(sum(p.numel() for p in net.parameters()) / 1e6, 2)

    fields = {"img_resolution": resolution, "channel_base": channel_base}
    with torch.device("meta"):
        assert millions(StyleGAN2Generator(StyleGAN2Config(**fields, num_mapping_layers=layers))) == millions_G
        assert millions(StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(**fields))) == millions_D


def test_names_and_shapes_are_those_of_published_weights():
    G = generator(c_dim=3, img_resolution=8)
    shapes = {name: tuple(tensor.shape) for name, tensor in G.state_dict().items()}
    layer = {"weight", "bias", "affine.weight", "affine.bias", "noise_const", "noise_strength", "resample_filter"}
    want = {"mapping.w_avg", "mapping.embed.weight", "mapping.embed.bias"}
    want |= {f"mapping.fc{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}
    want |= {"synthesis.b4.const", "synthesis.b4.resample_filter", "synthesis.b8.resample_filter"}
    want |= {f"synthesis.{conv}.{part}" for conv in ("b4.conv1", "b8.conv0", "b8.conv1") for part in layer}
    want |= {
        f"synthesis.b{r}.torgb.{part}" for r in (4, 8) for part in ("weight", "bias", "affine.weight", "affine.bias")
    }
    assert shapes.keys() == want
    assert shapes["mapping.fc0.weight"] == (7, 5 + 7)  # z and the label's embedding
    assert shapes["synthesis.b4.const"] == (6, 4, 4)
    assert shapes["synthesis.b8.conv0.weight"] == (6, 6, 3, 3)
    assert shapes["synthesis.b8.conv0.noise_strength"] == ()
    assert shapes["synthesis.b8.conv0.resample_filter"] == (4, 4)
    assert "synthesis.b8.skip.weight" in generator(architecture="resnet", img_resolution=8).state_dict()
    D = discriminator(c_dim=3)
    names = set(D.state_dict())
    assert {"b16.fromrgb.weight", "b16.conv0.bias", "b8.conv1.weight", "b8.skip.weight", "b4.conv.weight"} <= names
    assert {"b4.fc.weight", "b4.out.bias", "mapping.embed.weight", "mapping.fc1.bias"} <= names
    assert "mapping.w_avg" not in names
    assert D.state_dict()["b4.conv.weight"].shape == (6, 6 + 1, 3, 3)
    assert D.state_dict()["b4.fc.weight"].shape == (6, 6 * 16)


def test_weights_start_as_the_paper_says():
    """N(0, 1), divided by the learning-rate multiplier; styles start at 1."""
    torch.manual_seed(0)
    G = build("stylegan2", img_resolution=8, channel_base=1024, channel_max=128, num_mapping_layers=2)
    state = G.state_dict()
    for name, std in (("synthesis.b8.conv0.weight", 1), ("mapping.fc0.weight", 100), ("synthesis.b4.const", 1)):
        assert state[name].std().item() == pytest.approx(std, rel=0.05)
    assert (state["synthesis.b8.conv0.affine.bias"] == 1).all()
    assert not state["synthesis.b8.conv0.noise_strength"].any()
    w = G.mapping(torch.randn(256, 512))[:, 0]
    features = G.synthesis(G.mapping(torch.randn(64, 512)))
    assert 0.5 < w.std().item() < 2  # neither vanishes nor explodes
    assert torch.isfinite(features).all()


def test_a_path_length_penalty_has_the_gradients_of_the_definition():
    """Second derivatives through every layer of the generator, to latent and weights."""
    G = generator(img_resolution=8, channel_max=3).double().requires_grad_(True)
    ws = torch.randn(2, G.num_ws, 7, dtype=torch.float64, requires_grad=True)

    def penalty_gradients(paint):
        img = paint(ws)
        y = torch.linspace(-1, 1, img.numel(), dtype=img.dtype).reshape(img.shape)
        (slope,) = torch.autograd.grad((img * y).sum(), ws, create_graph=True)
        lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
        weights = list(G.synthesis.parameters())
        return torch.autograd.grad((lengths - 0.3).square().sum(), [ws, *weights], allow_unused=True)

    fast = penalty_gradients(G.synthesis)
    slow = penalty_gradients(lambda ws: synthesis_by_definition(G.synthesis, ws))
    for a, b in zip(fast, slow, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-7)


def test_bad_requests_are_refused():
    G = generator()
    ws = torch.randn(1, G.num_ws, 7)
    with pytest.raises(BadConfig, match=r"one of \[4, 8, 16\]"):
        G.synthesis(ws, resolution=12)
    with pytest.raises(BadConfig, match="only architecture 'skip'"):
        generator(architecture="orig").synthesis(ws, resolution=8)
    assert generator(architecture="orig").synthesis(ws, resolution=16).shape[-1] == 16
    with pytest.raises(BadLatent, match="nothing is cut"):
        G.synthesis(ws[:, :-1])
    with pytest.raises(BadLatent, match="conditional"):
        generator(c_dim=3).mapping(torch.randn(1, 5))


@pytest.mark.parametrize(
    "fields",
    [
        {"img_resolution": 48},
        {"img_resolution": 2},
        {"architecture": "unet"},
        {"img_resolution": 64, "channel_base": 32},
        {"c_dim": -1},
        {"num_mapping_layers": 0},
        {"channel_max": 0},
    ],
)
def test_configs_that_cannot_be_built_are_refused(fields):
    for config in (StyleGAN2Config, StyleGAN2DiscriminatorConfig):
        with pytest.raises(BadConfig):
            config(**fields)


# ---------------------------------------------------------------------------------------------------------------------
# Precision


@pytest.fixture
def bfloat16_is_fast(monkeypatch):
    """Whatever this machine is good at, "fast" means bfloat16 here."""
    monkeypatch.setattr(precision, "_seconds", lambda dtypes: {d: 1.0 if d == torch.bfloat16 else 2.0 for d in dtypes})
    precision.fast_dtype.cache_clear()
    yield
    precision.fast_dtype.cache_clear()


def psnr(a, b):
    """Decibels, for pictures in [-1, 1]."""
    return 10 * math.log10(4 / (a - b).square().mean().item())


def face_like(G):
    """Scale the colours so that pictures fill [-1, 1] as trained ones do; random weights paint any contrast."""
    img = G.synthesis(G.mapping(torch.randn(16, G.z_dim), truncation_psi=0.7))
    for block in G.synthesis.blocks():
        block.torgb.weight.div_(2 * img.std())
        block.torgb.bias.zero_()
    return G


@pytest.mark.usefixtures("bfloat16_is_fast")
@pytest.mark.parametrize("n", [1, 2])
def test_fast_pictures_are_the_exact_ones_to_40_dB(n):
    G = face_like(generator(img_resolution=64, channel_base=2048, channel_max=64, z_dim=32, w_dim=32))
    ws = G.mapping(torch.randn(n, 32), truncation_psi=0.7)
    exact, fast = G.synthesis(ws), G.synthesis(ws, precision="fast")
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast), "bfloat16 was at work"
    assert psnr(exact, fast) > 40


@pytest.mark.usefixtures("bfloat16_is_fast")
def test_gradients_flow_to_latents_through_fast_pictures():
    G = generator(img_resolution=32, channel_base=1024, channel_max=32)
    ws = torch.randn(2, G.num_ws, 7, requires_grad=True)
    target = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    slopes = {}
    for mode in ("exact", "fast"):
        loss = (G.synthesis(ws, precision=mode) - target).square().mean()
        (slopes[mode],) = torch.autograd.grad(loss, ws)
    assert F.cosine_similarity(slopes["exact"].flatten(), slopes["fast"].flatten(), dim=0) > 0.99


@pytest.mark.usefixtures("bfloat16_is_fast")
def test_gradients_flow_to_weights_through_fast_pictures():
    """Pivotal tuning trains the weights themselves; no kept copy may stand between."""
    G = generator().requires_grad_(True)
    ws = torch.randn(1, G.num_ws, 7)
    G.synthesis(ws.detach(), precision="fast").square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in G.synthesis.parameters())


@pytest.mark.usefixtures("bfloat16_is_fast")
def test_fast_pictures_follow_changed_weights():
    G = generator(img_resolution=16, channel_max=32, channel_base=512)
    ws = torch.randn(1, G.num_ws, 7)
    before = G.synthesis(ws, precision="fast")
    state = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    twin = copy.deepcopy(G)
    with torch.no_grad():
        for p in G.synthesis.parameters():
            p.add_(torch.randn_like(p), alpha=0.3)
    changed, exact = G.synthesis(ws, precision="fast"), G.synthesis(ws)
    assert psnr(changed, before) < psnr(changed, exact) - 10
    assert torch.equal(twin.synthesis(ws, precision="fast"), before)
    G.load_state_dict(state)
    assert torch.equal(G.synthesis(ws, precision="fast"), before)
    assert G.state_dict().keys() == state.keys()


@pytest.mark.usefixtures("bfloat16_is_fast")
def test_a_training_step_after_a_fast_preview():
    G = generator(img_resolution=8).requires_grad_(True)
    optimiser = torch.optim.Adam(G.parameters(), lr=0.1, betas=(0.0, 0.99))
    z = torch.randn(2, 5)
    with torch.no_grad():
        G(z, precision="fast")
    G(z).square().mean().backward()
    optimiser.step()
    with torch.no_grad():
        assert psnr(G(z, precision="fast"), G(z)) > 25


# ---------------------------------------------------------------------------------------------------------------------
# Discriminator


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("conv_clamp", [None, 0.8])
def test_the_discriminator_is_the_paper(architecture, c_dim, conv_clamp):
    D = discriminator(architecture=architecture, c_dim=c_dim, conv_clamp=conv_clamp, mbstd_num_channels=2)
    img, c = torch.randn(8, 3, 16, 16), torch.eye(3)[torch.arange(8) % 3] if c_dim else None
    got = D(img, c)
    assert got.shape == (8,)
    torch.testing.assert_close(got, discriminator_by_definition(D, img, c), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("n", "group", "channels"), [(8, 4, 1), (4, 4, 2), (6, 3, 3), (2, 4, 1), (1, 4, 1)])
def test_minibatch_std_is_its_definition(n, group, channels):
    x = torch.randn(n, 6, 3, 3)
    got = minibatch_std(x, group_size=group, num_channels=channels)
    torch.testing.assert_close(got, minibatch_std_by_definition(x, min(group, n), channels), atol=1e-5, rtol=1e-5)


def test_minibatch_std_of_awkward_batches():
    """The largest group that divides the batch: 5 samples and groups of 4 leave groups of 1, 6 samples groups of 3."""
    for n, group in ((5, 1), (6, 3), (9, 3), (7, 1)):
        x = torch.randn(n, 4, 2, 2)
        assert torch.equal(minibatch_std(x, group_size=4), minibatch_std(x, group_size=group))
    x = torch.randn(5, 4, 2, 2)
    assert torch.equal(minibatch_std(x, group_size=None), minibatch_std(x, group_size=5))
    assert (minibatch_std(torch.ones(4, 4, 2, 2))[:, -1] < 1e-3).all(), "a collapsed batch is recognised"


@pytest.mark.parametrize("group", [4, 3, None])
@pytest.mark.parametrize("n", [4, 6])
def test_batches_judged_in_one_pass_do_not_see_each_other(n, group):
    """One pass over two batches gives the logits and the gradients of two passes, and no gradient from one to another.

    For n = 6 the largest group of one batch is 3, that of both together would be 4.
    """
    D = discriminator(mbstd_group_size=group, mbstd_num_channels=2, c_dim=3).double().requires_grad_(True)
    a, b = torch.randn(2, n, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    c = torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3]
    weights = torch.randn(2 * n, dtype=torch.float64)
    apart = torch.cat([D(a, c), D(b, c)])
    together = D(torch.cat([a, b]), torch.cat([c, c]), batches=2)
    torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-12)
    slopes = [
        torch.autograd.grad((logits * weights).sum(), [*D.parameters()], retain_graph=True)
        for logits in (together, apart)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)
    (other,) = torch.autograd.grad(together[:n].sum(), b, retain_graph=True)
    assert not other.any()
    assert not torch.allclose(D(torch.cat([a, b]), torch.cat([c, c])), apart), "as one batch they would be judged so"


def test_pictures_that_are_no_equal_batches_are_refused():
    for batches in (0, 2):
        with pytest.raises(BadInput, match="3 images"):
            discriminator()(torch.randn(3, 3, 16, 16), batches=batches)


def test_an_r1_penalty_has_the_gradients_of_the_definition():
    D = discriminator(img_resolution=8, channel_max=3, mbstd_group_size=2).double().requires_grad_(True)
    img = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)

    def penalty_gradients(judge):
        (slope,) = torch.autograd.grad(judge(img).sum(), img, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), list(D.parameters()), allow_unused=True)

    fast = penalty_gradients(D)
    slow = penalty_gradients(lambda img: discriminator_by_definition(D, img))
    for a, b in zip(fast, slow, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-7)


def test_the_label_matters_to_a_conditional_discriminator():
    D, img = discriminator(c_dim=3), torch.randn(2, 3, 16, 16)
    assert not torch.allclose(D(img, torch.eye(3)[[0, 0]]), D(img, torch.eye(3)[[1, 1]]))
    with pytest.raises(BadLatent, match="conditional"):
        D(img)
    with pytest.raises(BadImage, match="16 x 16"):
        D(torch.randn(1, 3, 8, 8), torch.eye(3)[:1])


def test_labels_alone_can_be_mapped():
    M = MappingNetwork(z_dim=0, c_dim=3, w_dim=4, num_ws=None, num_layers=3)
    torch.testing.assert_close(
        M(None, torch.eye(3)), mapping_by_definition(M, None, torch.eye(3)), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("resolution", [4, 8])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_the_smallest_pictures(resolution, architecture):
    G = generator(img_resolution=resolution, architecture=architecture)
    D = discriminator(img_resolution=resolution, architecture=architecture)
    assert G.num_ws == 2 * int(math.log2(resolution)) - 2
    assert torch.isfinite(D(G(torch.randn(2, 5)))).all()


@pytest.mark.usefixtures("bfloat16_is_fast")
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_it_compiles(mode):
    """torch.compile takes the whole synthesis in one graph (the eager backend needs no compiler)."""
    G = generator(img_resolution=8)
    ws = torch.randn(2, G.num_ws, 7)
    want = G.synthesis(ws, precision=mode)
    compiled = torch.compile(G.synthesis, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(ws, precision=mode), want, atol=0.1 if mode == "fast" else 1e-5, rtol=0)


def test_up_convolution_is_zero_stuffing():
    """The oracle of this file agrees with torch's own transposed convolution where there is no filter."""
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
    want = 4 * F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    torch.testing.assert_close(zero_stuffed_conv(x, weight, torch.ones(1, 1)), want[:, :, :8, :8], atol=1e-5, rtol=1e-5)
