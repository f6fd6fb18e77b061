"""What is particular to FastGAN; the rest is in test_contracts.py."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BadImage
from ganvas.models import build
from ganvas.models.fastgan import Noise, SkipExcitation, Up


def count(net):
    return sum(p.numel() for p in net.parameters())


def tiny(network="G", px=64, **fields):
    torch.manual_seed(0)
    width = {"ngf" if network == "G" else "ndf": 8}
    return build("fastgan", network=network, img_resolution=px, **(width | fields))


@pytest.fixture
def uncounted_start(monkeypatch):
    """Counting parameters needs no random numbers and no singular vectors."""
    for start in ("normal_", "kaiming_uniform_", "uniform_", "zeros_"):
        monkeypatch.setattr(torch.nn.init, start, lambda weight, *args, **kwargs: weight)
    monkeypatch.setattr("ganvas.models.fastgan.run_power_iterations", lambda network: None)


def test_published_networks_have_their_published_size(uncounted_start):
    assert count(build("fastgan")) == 29_127_846  # 29.13 M
    assert count(build("fastgan", network="D")) == 11_526_160  # 11.53 M
    assert count(build("fastgan", img_resolution=1024)) == 29_176_512  # 29.18 M


@pytest.mark.parametrize("px", [64, 128, 256, 512, 1024])
def test_every_rung_of_the_ladder(px):
    G, D = tiny(px=px).eval(), tiny("D", px).eval()
    with torch.no_grad():
        img, small = G.synthesize_both_sizes(G.mapping(torch.randn(1, 256)))
        assert img.shape == (1, 3, px, px)
        assert small.shape == (1, 3, min(128, px // 2), min(128, px // 2))
        assert D(img, small=small).shape == (1, 50)


def test_connections_of_the_paper():
    G, D = tiny(px=1024), tiny("D", 256)
    assert list(G.excitations) == ["64", "128", "256", "512"]
    assert G.excitations["128"].look.in_channels == G.stages["8"].conv1.out_channels // 2
    assert sorted(D.excitations, key=int) == ["8", "16", "32"]
    assert list(tiny(px=64).excitations) == ["64"]


@torch.no_grad()
def test_excitation_written_out():
    torch.manual_seed(0)
    excite = SkipExcitation(3, 5).eval()
    source, x = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 16, 16)
    pooled = source.reshape(2, 3, 4, 2, 4, 2).mean(dim=(3, 5))
    y = torch.einsum("ocij,ncij->no", excite.look.compute_weight(), pooled)
    y = y * torch.sigmoid(y)
    scale = torch.sigmoid(y @ excite.weigh.compute_weight()[:, :, 0, 0].T)
    assert torch.allclose(excite(source, x), x * scale[:, :, None, None], atol=1e-6)


@pytest.mark.parametrize("px", [8, 64])  # in two steps and in one
@torch.no_grad()
def test_up_block_written_out(px):
    torch.manual_seed(0)
    up = Up(4, 6, px).eval()
    up.norm.running_mean.normal_()
    up.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 4, 5, 7)
    large = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    y = F.conv2d(large, up.conv.compute_weight(), padding=1)
    y = (y - up.norm.running_mean[:, None, None]) / (up.norm.running_var[:, None, None] + 1e-5).sqrt()
    y = y * up.norm.weight[:, None, None] + up.norm.bias[:, None, None]
    assert torch.allclose(up(x, "none"), y[:, :6] * torch.sigmoid(y[:, 6:]), atol=1e-5)


@torch.no_grad()
def test_constant_noise_is_the_same_in_every_generator():
    a, b = Noise(8, seed=5), Noise(8, seed=5)
    assert torch.equal(a.const, b.const)
    assert not torch.equal(a.const, Noise(8, seed=6).const)
    x = torch.zeros(2, 3, 8, 8)
    a.strength.fill_(2.0)
    assert torch.equal(a(x, "const"), (2 * a.const).expand_as(x))
    drawn = a(x, "random")
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(a(x, "none"), x)


@torch.no_grad()
def test_both_pictures_are_those_of_the_two_exits():
    G = tiny().eval()
    ws = G.mapping(torch.randn(2, 256))
    img, small = G.synthesize_both_sizes(ws, noise_mode="const")
    assert torch.equal(img, G.synthesis(ws))
    assert torch.equal(small, G.synthesis(ws, resolution=32))


@torch.no_grad()
def test_small_picture_of_a_real_one_is_its_mean_over_cells():
    D = tiny("D").eval()
    img = torch.randn(2, 3, 64, 64).clamp(-1, 1)
    small = img.reshape(2, 3, 32, 2, 32, 2).mean(dim=(3, 5))
    assert torch.allclose(D(img), D(img, small=small), atol=1e-6)
    other = D(img, small=-small)
    assert torch.equal(other[:, :25], D(img)[:, :25])
    assert not torch.allclose(other[:, 25:], D(img)[:, 25:])


@pytest.mark.parametrize("quadrant", [0, 1, 2, 3])
def test_targets_are_the_picture_its_small_version_and_the_right_quarter(quadrant):
    D = tiny("D", 256, ndf=4)
    img = torch.zeros(1, 3, 256, 256)
    img[:, :, :128, 128:], img[:, :, 128:, :128], img[:, :, 128:, 128:] = 0.25, 0.5, 0.75
    full, small, crop = D.targets(img, quadrant=quadrant)
    assert full.shape == small.shape == crop.shape == (1, 3, 128, 128)
    assert torch.equal(crop, torch.full_like(crop, quadrant / 4))
    assert torch.equal(full, small)
    assert torch.equal(full[..., 0, -1], torch.full((1, 3), 0.25))


def test_rebuilt_quarter_comes_from_that_quarter_of_the_features():
    """The third decoder's gradient reaches the pixels around its own quarter only."""
    D = tiny("D", 256, ndf=4).eval()
    img = torch.randn(1, 3, 256, 256).requires_grad_()
    for norm in D.excitations.values():
        norm.requires_grad_(False)
    _, rebuilt = D.forward_with_reconstruction(img, quadrant=3)
    (gradient,) = torch.autograd.grad(rebuilt.crop.sum(), img)
    strength = gradient.abs().mean(dim=(0, 1))
    assert strength[160:, 160:].mean() > 10 * strength[:96, :96].mean()


def test_decoders_learn_to_rebuild():
    """A few steps on one picture bring all three closer to their targets: features, decoders and targets fit."""
    D = tiny("D", 64)
    img = F.interpolate(torch.rand(2, 3, 4, 4) * 2 - 1, size=64, mode="bilinear")
    optimiser = torch.optim.Adam(D.parameters(), lr=2e-3)
    history = []
    for _ in range(12):
        logits, rebuilt = D.forward_with_reconstruction(img, quadrant=1)
        assert [tuple(r.shape) for r in rebuilt] == [(2, 3, 64, 64), (2, 3, 32, 32), (2, 3, 32, 32)]
        targets = D.targets(img, quadrant=1)
        losses = torch.stack([(r - t).square().mean() for r, t in zip(rebuilt, targets, strict=True)])
        optimiser.zero_grad()
        (losses.sum() + logits.mean() * 0).backward()
        optimiser.step()
        history.append(losses.detach())
    assert (history[-1] < 0.7 * history[0]).all()


@torch.no_grad()
def test_judging_and_rebuilding_gives_the_plain_logits():
    D = tiny("D", c_dim=2).eval()
    img, c = torch.randn(2, 3, 64, 64), torch.eye(2)
    assert torch.equal(D.forward_with_reconstruction(img, c, quadrant=2)[0], D(img, c))


def test_what_does_not_fit_is_named():
    D = tiny("D")
    img = torch.zeros(2, 3, 64, 64)
    with pytest.raises(BadImage, match=r"\[2, 3, 32, 32\], got \[2, 3, 64, 64\]"):
        D(img, small=img)
    with pytest.raises(BadImage, match=r"got \[1, 3, 32, 32\]"):
        D(img, small=torch.zeros(1, 3, 32, 32))
    with pytest.raises(BadConfig, match="quadrant"):
        D.forward_with_reconstruction(img, quadrant=4)
    with pytest.raises(BadConfig, match="64, 128, 256, 512, 1024"):
        tiny(px=32)
    with pytest.raises(BadConfig, match="ngf must be a multiple of 8"):
        tiny(px=1024, ngf=12)
    with pytest.raises(BadConfig, match="ndf must be a multiple of 4"):
        tiny("D", 256, ndf=6)
