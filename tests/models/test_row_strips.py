"""Layer by layer in strips: whatever the sizes, the borders and the norms, the answer is that of the whole picture."""

import pytest
import torch
from torch import nn

from ganvas.errors import BadImage, Stopped
from ganvas.models import build
from ganvas.models.img2img import pad_to_rules
from ganvas.models.row_strips import Moments
from tests.upscaling.nets import small_srvgg

LEVEL = 2 / 255  # one grey level, in [-1, 1]

NETS = [
    ("cyclegan", {"n_blocks": 2}),
    ("cyclegan", {"n_blocks": 2, "upsample": "bilinear", "norm": "instance-affine"}),
    ("cyclegan", {"n_blocks": 1, "padding": "zero", "upsample": "nearest", "norm": "batch"}),
    ("cyclegan", {"n_blocks": 1, "padding": "replicate", "num_downs": 3}),
    ("cyclegan", {"n_blocks": 1, "num_downs": 0}),
    ("cyclegan", {"n_blocks": 0, "num_downs": 1, "norm": "none"}),
    ("pix2pix", {"num_downs": 4}),
    ("pix2pix", {"num_downs": 3, "norm": "instance", "upsample": "bilinear"}),
    ("pix2pix", {"num_downs": 2, "norm": "instance-affine", "upsample": "nearest"}),
]


def lively(family, **fields):
    """Random weights so large that every layer, and the statistics of every norm, tell."""
    torch.manual_seed(0)
    net = build(family, ngf=6, **fields).eval()
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)) and module.weight is not None:
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net


def half_and_half(height, width):
    """Dark above, bright and busy below: a strip's own statistics are never those of the whole."""
    rng = torch.Generator().manual_seed(1)
    img = torch.rand(1, 3, height, width, generator=rng) * 0.4 - 0.9
    img[:, :, height // 2 :] += torch.rand(1, 3, height - height // 2, width, generator=rng) * 1.4
    return img


@pytest.mark.parametrize(("family", "fields"), NETS, ids=[f"{family} {fields}" for family, fields in NETS])
@pytest.mark.parametrize("size", [(50, 70), (131, 37)])
def test_strips_are_the_whole(family, fields, size):
    net = lively(family, **fields)
    img = pad_to_rules(half_and_half(*size), net.size_rules)
    with torch.no_grad():
        whole = net(img)
    assert whole.std() > 0.1
    for budget in (1, 60_000, 1e9):
        assert (net.in_strips(img, budget_bytes=budget) - whole).abs().max() < 0.01 * LEVEL


def test_strips_with_statistics_of_their_own_would_show():
    """The test above can fail: cut without care, this picture comes out far off."""
    net = lively("cyclegan", n_blocks=2)
    img = half_and_half(64, 64)
    with torch.no_grad():
        apart = torch.cat([net(part) for part in img.chunk(2, dim=2)], dim=2)
        assert (net(img) - apart).abs().mean() > 10 * LEVEL


def test_less_is_kept_than_a_layer_at_full_size():
    net = build("cyclegan").eval()  # as published, 64 channels at full size
    _, most = net.strips_need(torch.zeros(1, 3, 512, 512))
    assert most < 56 * 512 * 512


def test_progress_rises_to_one_and_can_stop_it():
    net, told = lively("pix2pix", num_downs=3), []
    net.on_progress = told.append
    net.in_strips(half_and_half(64, 48), budget_bytes=1)
    assert told == sorted(told) and told[-1] == pytest.approx(1) and len(told) > 20

    def stop(share):
        if share > 0.5:
            raise Stopped("enough")

    net.on_progress = stop
    with pytest.raises(Stopped):
        net.in_strips(half_and_half(64, 48), budget_bytes=1)


def test_the_same_refusals_as_whole():
    with pytest.raises(BadImage, match="a multiple of"):
        lively("cyclegan", n_blocks=0).in_strips(half_and_half(50, 70), budget_bytes=1)


def test_who_can_be_run_in_strips():
    assert lively("pix2pix", num_downs=2).has_strips and not small_srvgg(2).has_strips


def test_moments_of_parts_are_those_of_the_whole():
    x = torch.randn(2, 3, 40, 30, generator=torch.Generator().manual_seed(0)).double() * 5 + 100
    moments = Moments()
    for part in x.split([1, 25, 14], dim=2):
        moments.add(part)
    mean, variance = moments.result()
    assert torch.allclose(mean, x.mean(dim=(2, 3), keepdim=True), rtol=1e-6)
    assert torch.allclose(variance, x.var(dim=(2, 3), correction=0, keepdim=True), rtol=1e-5)
