"""The U-Net and the PatchGAN: published sizes, patches, wiring, checkerboards."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BadImage
from ganvas.models import build
from ganvas.models.pix2pix import PatchGAN, PatchGANConfig, UNet, UNetConfig, with_picture_statistics


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("fields", "count"),
    [({}, 54_413_955), ({"num_downs": 7}, 41_828_995)],
    ids=["unet256", "unet128"],
)
def test_published_sizes(fields, count):
    with torch.device("meta"):
        assert parameters(UNet(UNetConfig(**fields))) == count


@pytest.mark.parametrize(
    ("n_layers", "patch"), [(0, 1), (1, 16), (2, 34), (3, 70), (5, 286)], ids=lambda value: str(value)
)
def test_patches_are_those_of_the_paper(n_layers, patch):
    """Isola et al. 2017, appendix 6.1.2: PixelGAN 1, 16, 70 and 286 px."""
    net = PatchGAN(PatchGANConfig(n_layers=n_layers, ndf=2, in_channels=1, norm="none", img_resolution=512))
    assert net.patch_px == patch


def test_a_logit_depends_on_its_patch_and_nothing_else():
    net = PatchGAN(PatchGANConfig(n_layers=2, ndf=2, in_channels=1, norm="none")).eval()
    img = torch.rand(1, 1, 96, 96, requires_grad=True)
    logits = net.logits_map(img)
    (gradient,) = torch.autograd.grad(logits[0, 0, 10, 10], img)
    rows = gradient[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == net.patch_px == 34


def test_one_layer_of_the_patchgan_is_the_written_out_one():
    net = PatchGAN(PatchGANConfig(n_layers=1, ndf=2, in_channels=3, norm="none", conv_bias=True)).eval()
    w, img = [(c.weight, c.bias) for c in net.convs], torch.rand(2, 3, 24, 24)
    x = F.leaky_relu(F.conv2d(img, *w[0], stride=2, padding=1), 0.2)
    x = F.leaky_relu(F.conv2d(x, *w[1], padding=1), 0.2)
    expected = F.conv2d(x, *w[2], padding=1)
    assert torch.allclose(net.logits_map(img), expected, atol=1e-6)
    assert net(img).shape == (2, expected[0].numel())


@torch.no_grad()
def test_two_levels_of_the_unet_are_the_written_out_ones():
    torch.manual_seed(0)
    net = UNet(UNetConfig(num_downs=2, ngf=3, norm="none", conv_bias=True)).eval()
    for p in net.parameters():
        p.normal_(0, 0.3)
    (a, b), img = net.levels, torch.rand(1, 3, 8, 12) * 2 - 1
    outer = F.conv2d(img, a.down.weight, a.down.bias, 2, 1)
    inner = F.conv2d(F.leaky_relu(outer, 0.2), b.down.weight, b.down.bias, 2, 1)
    back = F.conv_transpose2d(F.relu(inner), b.up.weight, b.up.bias, 2, 1)
    expected = F.conv_transpose2d(F.relu(torch.cat([outer, back], 1)), a.up.weight, a.up.bias, 2, 1).tanh()
    assert torch.allclose(net(img), expected, atol=1e-6)


@pytest.mark.parametrize("num_downs", [5, 8])
def test_dropout_is_in_the_inner_levels_only(num_downs):
    """As published: all levels of 8·ngf channels but the innermost."""
    net = UNet(UNetConfig(num_downs=num_downs, ngf=1))
    assert [i for i, level in enumerate(net.levels) if level.dropout.p > 0] == list(range(4, num_downs - 1))
    assert all(level.dropout.p == 0 for level in UNet(UNetConfig(num_downs=num_downs, ngf=1, dropout=False)).levels)


def test_convolutions_have_biases_beside_instance_norm_only():
    for norm, bias in (("batch", False), ("instance", True), ("none", False)):
        net = UNet(UNetConfig(num_downs=3, ngf=2, norm=norm))
        assert all((level.down.bias is not None) == bias for level in net.levels)
        assert net.levels[0].up.bias is not None
        assert net.whole_image_norm == (norm == "instance")


@pytest.mark.parametrize("family", ["pix2pix", "cyclegan"])
def test_resizing_leaves_no_checkerboard(family):
    """Energy at the finest chequered frequency of what a fresh network makes of a flat picture."""
    energies = {}
    for upsample in ("transposed", "bilinear", "nearest"):
        torch.manual_seed(0)
        small = (
            {"num_downs": 3, "ngf": 8, "norm": "none"}
            if family == "pix2pix"
            else {"n_blocks": 1, "ngf": 8, "norm": "none"}
        )
        net = build(family, **small, upsample=upsample).eval()
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(3)  # away from zero, still far from saturation
            flat = net(torch.full((1, 3, 64, 64), 0.5))[..., 16:48, 16:48]
        spectrum = torch.fft.fft2(flat - flat.mean((2, 3), keepdim=True)).abs().square()
        energies[upsample] = float(spectrum[..., 16, :].sum() + spectrum[..., :, 16].sum())
    assert energies["transposed"] > 100 * max(energies["bilinear"], energies["nearest"])


@torch.no_grad()
def test_picture_statistics_replace_running_averages():
    torch.manual_seed(0)
    net = UNet(UNetConfig(num_downs=3, ngf=4, dropout=False)).eval()
    net.facts["source"] = "here"
    img = torch.rand(2, 3, 16, 24) * 2 - 1
    twin = with_picture_statistics(net)
    one_by_one = torch.cat([net.train()(img[i : i + 1]) for i in range(2)])
    assert torch.allclose(twin(img), one_by_one, atol=1e-5)
    assert (twin.config.norm, twin.whole_image_norm, twin.facts) == ("instance-affine", True, {"source": "here"})
    plain = UNet(UNetConfig(num_downs=3, ngf=4, norm="instance")).eval()
    assert torch.equal(with_picture_statistics(plain)(img), plain(img))


@pytest.mark.parametrize(
    ("config", "fields", "words"),
    [
        (UNetConfig, {"norm": "layer"}, "known: batch, instance"),
        (UNetConfig, {"upsample": "bicubic"}, "known: bilinear"),
        (UNetConfig, {"num_downs": 1}, "num_downs ≥ 2"),
        (UNetConfig, {"ngf": 0}, "at least one channel"),
        (PatchGANConfig, {"n_layers": -1}, "n_layers ≥ 0"),
        (PatchGANConfig, {"n_layers": 5, "img_resolution": 64}, "img_resolution ≥ 96"),
    ],
)
def test_configs_that_make_no_network_are_refused(config, fields, words):
    with pytest.raises(BadConfig, match=words):
        config(**fields)


def test_a_picture_smaller_than_a_patch_is_refused():
    with pytest.raises(BadImage, match="at least 24 px"):
        PatchGAN(PatchGANConfig(ndf=2))(torch.rand(1, 6, 16, 64))


def test_weights_start_as_in_the_paper():
    torch.manual_seed(0)
    net = UNet(UNetConfig(num_downs=5, ngf=16))
    weights = torch.cat([level.down.weight.flatten() for level in net.levels])
    gains = torch.cat([level.up_norm.weight for level in list(net.levels)[1:]])
    assert float(weights.std().detach()) == pytest.approx(0.02, rel=0.02)
    assert float(gains.mean().detach()) == pytest.approx(1, abs=0.01)
    assert float(gains.std().detach()) == pytest.approx(0.02, rel=0.2)
