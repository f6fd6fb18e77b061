"""SRVGGNetCompact: published sizes, the network written out, what it is before training."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig
from ganvas.models.srvgg import SRVGG, SRVGGConfig


@pytest.mark.parametrize(("num_conv", "count"), [(16, 621_424), (32, 1_213_296)])
def test_published_sizes(num_conv, count):
    net = SRVGG(SRVGGConfig(num_conv=num_conv))
    assert sum(p.numel() for p in net.parameters()) == count
    assert net.receptive_field_px == num_conv + 2


@pytest.mark.parametrize("act", ["prelu", "relu", "leakyrelu"])
@pytest.mark.parametrize("scale", [1, 2, 3])
@torch.no_grad()
def test_the_network_is_the_written_out_one(act, scale):
    torch.manual_seed(0)
    net = SRVGG(SRVGGConfig(num_feat=5, num_conv=2, scale=scale, act=act)).eval()
    if act == "prelu":
        for module in net.body[1::2]:
            module.weight.uniform_(0, 1)
    unit = torch.rand(2, 3, 6, 9)
    x = unit
    for i, layer in enumerate(net.body):
        if i % 2 == 0:
            x = F.conv2d(x, layer.weight, layer.bias, padding=1)
        else:
            slope = layer.weight[:, None, None] if act == "prelu" else {"relu": 0.0, "leakyrelu": 0.1}[act]
            x = x.clamp(min=0) + slope * x.clamp(max=0)
    expected = torch.zeros(2, 3, 6 * scale, 9 * scale)
    for c in range(3):
        for i in range(scale):
            for j in range(scale):
                expected[:, c, i::scale, j::scale] = x[:, c * scale**2 + i * scale + j] + unit[:, c]
    assert torch.allclose(net(unit * 2 - 1), expected * 2 - 1, atol=1e-5)


@torch.no_grad()
def test_without_detail_it_repeats_pixels():
    net = SRVGG(SRVGGConfig(num_feat=4, num_conv=1, scale=2)).eval()
    net.body[-1].weight.zero_()
    net.body[-1].bias.zero_()
    img = torch.rand(1, 3, 4, 5) * 2 - 1
    assert torch.allclose(net(img), img.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.no_grad()
def test_before_training_it_enlarges_bilinearly(scale):
    net = SRVGG(SRVGGConfig(num_feat=8, num_conv=4, scale=scale, act="leakyrelu")).eval()
    net.body[-1].weight[:, 3:] = 0  # what is random in it
    img = torch.rand(1, 3, 7, 6) * 2 - 1
    expected = F.interpolate(img, scale_factor=scale, mode="bilinear")
    inside = (slice(None), slice(None), slice(scale, -scale), slice(scale, -scale))  # around the picture it is black
    assert torch.allclose(net(img)[inside], expected[inside], atol=1e-5)


@torch.no_grad()
def test_a_deep_fresh_network_still_sees_its_input():
    net = SRVGG(SRVGGConfig(num_feat=16, num_conv=16, act="leakyrelu")).eval()
    inner = net.body[:-1](torch.rand(1, 3, 16, 16))
    assert 0.1 < float(inner[:, 3:].std()) < 10


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"act": "gelu"}, "known: leakyrelu, prelu, relu"), ({"scale": 0}, "≥ 1"), ({"num_conv": -1}, "≥ 0")],
)
def test_configs_that_make_no_network_are_refused(fields, words):
    with pytest.raises(BadConfig, match=words):
        SRVGGConfig(**fields)
