"""The ResNet generator of CycleGAN: published sizes, a block written out, borders, its discriminator."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig
from ganvas.models import build
from ganvas.models.cyclegan import ResNetConfig, ResNetGenerator


@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_published_sizes(blocks, count):
    with torch.device("meta"):
        net = ResNetGenerator(ResNetConfig(n_blocks=blocks))
    assert sum(p.numel() for p in net.parameters()) == count
    assert net.whole_image_norm
    assert (net.size_rules.minimum_px, net.size_rules.multiple_of) == (8, 4)


def instance_norm(x):
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    return (x - mean) / (var + 1e-5).sqrt()


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@torch.no_grad()
def test_the_network_is_the_written_out_one(padding):
    torch.manual_seed(0)
    net = ResNetGenerator(ResNetConfig(n_blocks=1, ngf=3, padding=padding)).eval()
    for p in net.parameters():
        p.normal_(0, 0.3)
    img = torch.rand(2, 3, 12, 16) * 2 - 1

    def conv(layer, x, pad=1, mode="reflect", stride=1):
        mode = {"zero": "constant"}.get(mode, mode)
        return F.conv2d(F.pad(x, (pad,) * 4, mode=mode), layer.weight, layer.bias, stride)

    x = F.relu(instance_norm(conv(net.first.conv, img, 3)))
    for stage in net.down:
        x = F.relu(instance_norm(conv(stage.conv, x, mode="zero", stride=2)))
    block = net.blocks[0]
    y = F.relu(instance_norm(conv(block.conv1, x, mode=padding)))
    x = x + instance_norm(conv(block.conv2, y, mode=padding))
    for stage in net.up:
        x = F.conv_transpose2d(x, stage.conv.weight, stage.conv.bias, 2, 1, 1)
        x = F.relu(instance_norm(x))
    expected = conv(net.last, x, 3).tanh()
    assert torch.allclose(net(img), expected, atol=1e-5)


def test_the_whole_picture_is_seen_through_its_statistics():
    """Why tiles of a CycleGAN never match: far pixels change near ones, by way of the mean and variance."""
    net = ResNetGenerator(ResNetConfig(n_blocks=1, ngf=4)).eval()
    img = torch.rand(1, 3, 96, 96) * 2 - 1
    changed = img.clone()
    changed[..., 80:] = 1
    assert net.receptive_field_px < 70
    with torch.no_grad():
        assert not torch.equal(net(img)[..., :8], net(changed)[..., :8])
        other = ResNetGenerator(ResNetConfig(n_blocks=1, ngf=4, norm="batch")).eval()
        assert torch.equal(other(img)[..., :8], other(changed)[..., :8])


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    net = ResNetGenerator(ResNetConfig(n_blocks=2, ngf=4, dropout=True))
    img = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(net(img), net(img))
        assert torch.equal(net.eval()(img), net(img))


def test_its_discriminator_sees_single_pictures_with_instance_norm():
    net = build("cyclegan", network="D", ndf=4)
    assert (net.family, net.config.in_channels, net.config.norm) == ("cyclegan", 3, "instance")
    assert net.patch_px == 70
    with torch.device("meta"):
        full = build("cyclegan", network="D")
    assert sum(p.numel() for p in full.parameters()) == 2_764_737


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"padding": "mirror"}, "known: reflect, replicate, zero"),
        ({"n_blocks": -1}, "n_blocks ≥ 0"),
        ({"norm": "group"}, "known: batch"),
    ],
)
def test_configs_that_make_no_network_are_refused(fields, words):
    with pytest.raises(BadConfig, match=words):
        ResNetConfig(**fields)
