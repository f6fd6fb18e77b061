"""What is particular to R3GAN; the rest is in test_contracts.py."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig
from ganvas.models import build
from ganvas.models.r3gan import R3GANConfig

# The published networks, in millions of parameters.
PUBLISHED = {
    "cifar10": ({"img_resolution": 32, "widths": (768,) * 4}, 20.73, 20.68),
    "ffhq64": ({"img_resolution": 64}, 22.43, 22.38),
    "ffhq256": ({}, 23.06, 23.01),
    "imagenet32": (
        {"img_resolution": 32, "widths": (1536,) * 4, "cardinalities": (96,) * 4, "c_dim": 1000},
        82.9,
        86.5,
    ),
    "imagenet64": (
        {"img_resolution": 64, "widths": (1536,) * 5, "cardinalities": (96,) * 5, "c_dim": 1000},
        103.6,
        107.2,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_published_size(name, monkeypatch):
    for start in ("normal_", "kaiming_uniform_", "uniform_", "zeros_"):  # counting needs no random numbers
        monkeypatch.setattr(torch.nn.init, start, lambda weight, *args, **kwargs: weight)
    fields, g_millions, d_millions = PUBLISHED[name]
    digits = 2 if g_millions < 50 else 1
    G, D = build("r3gan", **fields), build("r3gan", network="D", **fields)
    assert round(sum(p.numel() for p in G.parameters()) / 1e6, digits) == g_millions
    assert round(sum(p.numel() for p in D.parameters()) / 1e6, digits) == d_millions


def test_defaults_are_written_out_as_the_paper_has_them():
    config = R3GANConfig()
    assert config.widths == (768, 768, 768, 768, 384, 192, 96)
    assert config.cardinalities == (96, 96, 96, 96, 48, 24, 12)
    assert config.blocks == (2,) * 7


def awake(net):
    """With the last convolution of each block at its starting value 0, nothing inside the block would show."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith(("project.weight", "bias")):
                p.normal_(0, 0.2)
    return net.eval()


def stuffed(x):
    """Zeros between the samples, and a border of two."""
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, 2 * h, 2 * w)
    wide[..., ::2, ::2] = x
    return F.pad(wide, (2, 1, 2, 1))


def bilinear(c):
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(row, row).div(64).expand(c, 1, 4, 4)


def slow_block(block, x, groups):
    """The block of figure 4, pixel by pixel sums left to plain matrix products."""
    y = torch.einsum("oi,nihw->nohw", block.expand.weight[:, :, 0, 0], x) + block.expand.bias[:, None, None]
    y = torch.where(y > 0, y, 0.2 * y)
    parts = y.chunk(groups, dim=1)
    weights, biases = block.grouped.weight.chunk(groups), block.grouped.bias.chunk(groups)
    y = torch.cat([F.conv2d(p, w, b, padding=1) for p, w, b in zip(parts, weights, biases, strict=True)], dim=1)
    y = torch.where(y > 0, y, 0.2 * y)
    return x + torch.einsum("oi,nihw->nohw", block.project.weight[:, :, 0, 0], y)


@torch.no_grad()
def test_generator_equals_the_paper_written_out():
    torch.manual_seed(0)
    G = awake(build("r3gan", img_resolution=8, z_dim=6, widths=(16, 8), cardinalities=(4, 2), blocks=(1, 2)))
    z = torch.randn(2, 6)
    first, second = G.stages
    x = first.enter.basis[None] * (z @ first.enter.linear.weight.T)[..., None, None]
    x = slow_block(first.block0, x, 4)
    x = torch.einsum("oi,nihw->nohw", second.enter.mix.weight[:, :, 0, 0], x)
    x = F.conv2d(stuffed(x), 4 * bilinear(8), groups=8)
    x = slow_block(second.block1, slow_block(second.block0, x, 2), 2)
    img = torch.einsum("oi,nihw->nohw", G.to_img.weight[:, :, 0, 0], x)
    assert torch.allclose(G(z), img, atol=1e-5)


@torch.no_grad()
def test_discriminator_equals_the_paper_written_out():
    torch.manual_seed(0)
    D = awake(build("r3gan", network="D", img_resolution=8, widths=(16, 8), cardinalities=(4, 2), blocks=(1, 1)))
    img = torch.randn(2, 3, 8, 8)
    top, bottom = D.stages
    x = torch.einsum("oi,nihw->nohw", D.from_img.weight[:, :, 0, 0], img)
    x = slow_block(top.block0, x, 2)
    x = F.conv2d(F.pad(x, (1, 1, 1, 1)), bilinear(8), stride=2, groups=8)
    x = torch.einsum("oi,nihw->nohw", top.leave.mix.weight[:, :, 0, 0], x)
    x = slow_block(bottom.block0, x, 4)
    answers = (x * bottom.leave.basis.weight[:, 0]).sum(dim=(2, 3))
    assert torch.allclose(D(img), answers @ bottom.leave.linear.weight[0], atol=1e-5)


@torch.no_grad()
def test_resampling_is_bilinear_and_centred():
    """[1, 2, 1] over the box [1, 1]: what torch calls bilinear, away from the border."""
    G = build("r3gan", img_resolution=8, widths=(8, 8))
    x = torch.randn(1, 8, 6, 6)
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(G.stages[1].enter(x)[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-6)


def test_fresh_blocks_are_the_identity_and_the_rest_is_scaled_with_their_number():
    torch.manual_seed(0)
    G = build("r3gan", img_resolution=16, widths=(256,) * 3, blocks=(2, 3, 3))
    x = torch.randn(1, 256, 4, 4)
    block = G.stages[0].block0
    assert torch.equal(block(x), x)
    gain = math.sqrt(2 / 1.04) * 8**-0.25
    assert block.expand.weight.std().item() == pytest.approx(gain / math.sqrt(256), rel=0.02)
    assert block.grouped.weight.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.02)
    assert G.stages[0].enter.basis.std().item() == pytest.approx(1, rel=0.05)


def test_first_pictures_have_about_the_spread_of_pictures():
    """Fixup's point: the fresh network neither fades nor explodes, however deep it is."""
    torch.manual_seed(0)
    G = build("r3gan", img_resolution=64, widths=(96, 96, 96, 48, 24))
    with torch.no_grad():
        assert 0.2 < G(torch.randn(16, 64)).std().item() < 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"img_resolution": 48}, "power of two"),
        ({"widths": (64, 64)}, "7 stages"),
        ({"blocks": (2,) * 6}, "7 stages"),
        ({"cardinalities": (7,) * 7}, "7 does not divide 768"),
        ({"widths": (0,) * 7}, "widths"),
    ],
)
def test_impossible_settings_are_named(fields, message):
    with pytest.raises(BadConfig, match=message):
        R3GANConfig(**fields)


def test_projection_width_is_the_channels_at_4_px_unless_said():
    D = build("r3gan", network="D", img_resolution=8, widths=(32, 16), c_dim=3)
    assert D.embed.weight.shape == (32, 3)
    D = build("r3gan", network="D", img_resolution=8, widths=(32, 16), c_dim=3, c_embed_dim=8)
    assert D.stages[-1].leave.linear.weight.shape == (8, 32)


def test_one_number_where_a_list_is_meant_is_named():
    with pytest.raises(BadConfig, match=r"R3GANConfig\.widths is a list of numbers, got 8"):
        build("r3gan", img_resolution=32, widths=8)
