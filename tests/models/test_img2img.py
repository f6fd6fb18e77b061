"""Size rules, padding and cropping, how far a pixel sees, and the two precisions of img → img networks."""

import copy

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BadImage
from ganvas.models import build
from ganvas.models.img2img import check_size, crop_back, fitting_size, pad_to_rules
from ganvas.models.protocol import SizeRules
from ganvas.models.receptive_field import reach_px
from ganvas.ops import precision

TINY = {
    "pix2pix": {"num_downs": 3, "ngf": 4, "dropout": False},
    "cyclegan": {"n_blocks": 1, "ngf": 4},
    "rrdbnet": {"num_feat": 8, "num_block": 1, "num_grow_ch": 4},
    "srvgg": {"num_feat": 8, "num_conv": 1},
}


def tiny(family, **fields):
    torch.manual_seed(0)
    return build(family, **(TINY[family] | fields)).eval()


@pytest.mark.parametrize(
    ("rules", "size", "fits"),
    [
        (SizeRules(), (1, 7), (1, 7)),
        (SizeRules(multiple_of=4), (50, 70), (52, 72)),
        (SizeRules(minimum_px=16, multiple_of=8), (3, 17), (16, 24)),
        (SizeRules(square=True, multiple_of=2), (5, 8), (8, 8)),
        (SizeRules(minimum_px=6, multiple_of=4), (4, 6), (8, 8)),
    ],
)
def test_the_smallest_size_that_fits(rules, size, fits):
    assert fitting_size(*size, rules) == fits
    img = torch.rand(1, 3, *size)
    padded = pad_to_rules(img, rules)
    assert padded.shape[-2:] == fits
    assert torch.equal(crop_back(padded, *size), img)
    if size != fits:
        with pytest.raises(BadImage, match=f"{fits[0]}×{fits[1]}"):
            check_size(img, rules, who="net")
    check_size(padded, rules, who="net")


def test_padding_mirrors_and_leaves_alone_what_fits():
    img = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 1, 3, 5)
    assert pad_to_rules(img, SizeRules(multiple_of=4))[0, 0, 3].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert pad_to_rules(img, SizeRules()) is img
    assert pad_to_rules(torch.ones(1, 3, 1, 1), SizeRules(minimum_px=64)).eq(1).all()  # nothing to mirror: repeated


@pytest.mark.parametrize("family", TINY)
def test_a_size_against_the_rules_is_refused_with_the_rule(family):
    net = tiny(family, **({"scale": 2} if family == "rrdbnet" else {}))
    rules = net.size_rules
    if rules.multiple_of == 1:
        assert net(torch.rand(1, 3, 5, 7)).shape == (1, 3, 20, 28)
        return
    with pytest.raises(BadImage, match=f"a multiple of {rules.multiple_of}.*{2 * rules.minimum_px}×"):
        net(torch.rand(1, 3, 2 * rules.minimum_px - 1, 4 * rules.minimum_px))
    with pytest.raises(BadConfig, match="exact, fast"):
        net(torch.rand(1, 3, 32, 32), precision="double")


def positive(net):
    """All weights positive and small: every path carries a gradient, none cancels another, no tanh saturates."""
    for parameter in net.double().parameters():
        parameter.data = (parameter.data.abs() + 0.01) / (parameter.data.abs() + 0.01).sum()
    return net


def seen_px(net, size):
    """How far the gradient of an output pixel reaches, over all places of the pattern, by brute force."""
    scale = getattr(net, "scale", 1)
    period = scale * net.size_rules.multiple_of
    img = torch.full((1, 3, size, size), 0.5, dtype=torch.double, requires_grad=True)
    answer = net.transform(img)
    start = size // 2 // net.size_rules.multiple_of * net.size_rules.multiple_of * scale
    worst = 0
    for pixel in range(start, start + period):
        (gradient,) = torch.autograd.grad(answer[..., pixel, pixel].sum(), img, retain_graph=True)
        columns = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        worst = max(worst, pixel // scale - int(columns.min()), int(columns.max()) - pixel // scale)
    return worst


@pytest.mark.parametrize(
    ("family", "fields", "size"),
    [
        ("srvgg", {"scale": 3, "num_conv": 4}, 24),
        ("rrdbnet", {}, 60),
        ("rrdbnet", {"scale": 2}, 120),
        ("rrdbnet", {"scale": 1}, 240),
        ("rrdbnet", {"scale": 8, "upsampling": "pixelshuffle"}, 48),
        ("cyclegan", {"n_blocks": 2, "norm": "none"}, 96),
        ("cyclegan", {"norm": "batch", "upsample": "bilinear"}, 96),
        ("cyclegan", {"norm": "none", "upsample": "nearest", "num_downs": 1}, 64),
        ("pix2pix", {"norm": "batch"}, 96),
        ("pix2pix", {"norm": "none", "upsample": "bilinear"}, 128),
        ("pix2pix", {"norm": "none", "upsample": "nearest", "num_downs": 2}, 64),
    ],
)
def test_receptive_field_is_what_gradients_reach(family, fields, size):
    net = positive(tiny(family, **fields))
    assert seen_px(net, size) == net.receptive_field_px


def test_reach_of_plain_stacks():
    assert reach_px([("conv", 3, 1, 1)] * 5) == 5
    assert reach_px([("conv", 7, 1, 3), ("conv", 3, 1, 1)]) == 4
    assert reach_px([("conv", 3, 1, 1), ("grow", 2), ("conv", 3, 1, 1)], scale=2, period=2) == 2


@pytest.mark.parametrize("family", TINY)
@torch.no_grad()
def test_fast_is_close_to_exact_and_exact_is_untouched_by_it(family, monkeypatch):
    monkeypatch.setattr("ganvas.models.img2img.fast_dtype", lambda device: torch.bfloat16)
    net, img = tiny(family), torch.rand(2, 3, 32, 32) * 2 - 1
    exact = net(img)
    fast = net(img, precision="fast")
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().max() < 0.1
    assert 10 * torch.log10(4 / (fast - exact).square().mean()) > 40
    assert torch.equal(net(img), exact)
    assert all(p.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("family", TINY)
@torch.no_grad()
def test_fast_follows_the_weights(family, monkeypatch):
    monkeypatch.setattr("ganvas.models.img2img.fast_dtype", lambda device: torch.bfloat16)
    net, other, img = tiny(family), build(family, **TINY[family]).eval(), torch.rand(1, 3, 32, 32)
    before = net(img, precision="fast")
    assert net._fast_copy.get(net, torch.bfloat16) is net._fast_copy.get(net, torch.bfloat16)
    net.load_state_dict(other.state_dict())
    assert not torch.equal(net(img, precision="fast"), before)
    assert torch.equal(net(img, precision="fast"), other(img, precision="fast"))
    assert torch.equal(copy.deepcopy(net)(img, precision="fast"), net(img, precision="fast"))
    next(net.parameters()).mul_(1.5)
    assert not torch.equal(net(img, precision="fast"), other(img, precision="fast"))


def test_fast_gives_gradients_too(monkeypatch):
    monkeypatch.setattr("ganvas.models.img2img.fast_dtype", lambda device: torch.bfloat16)
    net = tiny("srvgg")
    net(torch.rand(1, 3, 8, 8), precision="fast").square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@torch.no_grad()
def test_fast_is_exact_where_the_machine_gains_nothing(monkeypatch):
    monkeypatch.setattr("ganvas.models.img2img.fast_dtype", lambda device: torch.float32)
    net, img = tiny("rrdbnet"), torch.rand(1, 3, 8, 8)
    assert torch.equal(net(img, precision="fast"), net(img))
    assert precision.fast_dtype("meta") == torch.float32


def test_networks_made_in_inference_mode_notice_changes_too(monkeypatch):
    monkeypatch.setattr("ganvas.models.img2img.fast_dtype", lambda device: torch.bfloat16)
    with torch.inference_mode():
        net, img = tiny("srvgg"), torch.rand(1, 3, 8, 8)
        before = net(img, precision="fast")
        next(net.parameters()).mul_(2)
        assert not torch.equal(net(img, precision="fast"), before)


def test_sizes_of_pictures_larger_than_the_network_is_used_to():
    """50×70 through a CycleGAN: padded to 52×72, cut back."""
    net, img = tiny("cyclegan"), torch.rand(1, 3, 50, 70)
    padded = pad_to_rules(img, net.size_rules)
    assert padded.shape[-2:] == (52, 72)
    assert torch.equal(padded[..., 50:, :70], F.pad(img, (0, 0, 0, 2), mode="reflect")[..., 50:, :])
    assert crop_back(net(padded), 50, 70).shape == (1, 3, 50, 70)
