"""RRDBNet and its U-Net discriminator: published sizes, scales, the way without concatenations, spectral norm."""

import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.models.rrdbnet import DenseBlock, RRDBConfig, RRDBNet, UNetDiscriminator, UNetDiscriminatorConfig


@pytest.mark.parametrize(
    ("fields", "count"),
    [({}, 16_697_987), ({"num_block": 6}, 4_467_779), ({"scale": 2}, 16_703_171)],
    ids=["x4plus", "anime_6B", "x2plus"],
)
def test_published_sizes(fields, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in RRDBNet(RRDBConfig(**fields)).parameters()) == count


SMALL = {"num_feat": 8, "num_block": 2, "num_grow_ch": 4}


@pytest.mark.parametrize("upsampling", ["nearest", "pixelshuffle"])
@pytest.mark.parametrize(
    ("scale", "unshuffle"), [(1, None), (2, None), (4, None), (8, None), (2, 1), (3, None), (1, 1)]
)
def test_every_scale_enlarges_by_that_scale(scale, unshuffle, upsampling):
    config = RRDBConfig(**SMALL, scale=scale, unshuffle=unshuffle, upsampling=upsampling)
    net = RRDBNet(config).eval()
    expected = unshuffle or {1: 4, 2: 2}.get(scale, 1)
    assert (config.cell_px, net.size_rules.multiple_of) == (expected, expected)
    img = torch.rand(2, 3, 8, 12) * 2 - 1
    with torch.no_grad():
        assert net(img).shape == (2, 3, 8 * scale, 12 * scale)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_answers_put_side_by_side_are_the_concatenated_ones(plus, batch):
    """Without gradients nothing is concatenated; the result is the same to the bit."""
    torch.manual_seed(0)
    block = DenseBlock(8, 4, plus=plus)
    x = torch.randn(batch, 8, 6, 7).contiguous(memory_format=torch.channels_last)
    kept = x.clone()
    with torch.no_grad():
        room = torch.full((batch, 24, 6, 7), torch.nan).contiguous(memory_format=torch.channels_last)
        assert torch.equal(block(x, room), block(x))
        assert torch.equal(block(x, room), block(x))  # what is left in the room does no harm
    assert torch.equal(x, kept)
    net = RRDBNet(RRDBConfig(**SMALL, plus=plus)).eval()
    img = torch.rand(batch, 3, 8, 12)
    with torch.no_grad():
        without = net(img)
    assert torch.allclose(net(img), without, atol=1e-6)


def test_silent_dense_blocks_pass_the_picture_on():
    """Each of the two blocks then adds a fifth of its own input: 1.2 · 1.2."""
    net = RRDBNet(RRDBConfig(**SMALL)).eval()
    with torch.no_grad():
        for block in net.body:
            for dense in (block.rdb1, block.rdb2, block.rdb3):
                dense.conv5.weight.zero_()
                dense.conv5.bias.zero_()
        x = torch.randn(1, 8, 5, 5)
        assert torch.allclose(net.trunk(x), 1.44 * x)


def test_each_residual_is_a_fifth():
    net = RRDBNet(RRDBConfig(num_feat=4, num_block=1, num_grow_ch=2)).eval()
    with torch.no_grad():
        for dense in (net.body[0].rdb1, net.body[0].rdb2, net.body[0].rdb3):
            dense.conv5.weight.zero_()
            dense.conv5.bias.fill_(1)
        x = torch.zeros(1, 4, 3, 3)
        assert torch.allclose(net.trunk(x), torch.full_like(x, 0.2 * 0.6))  # three times 0.2 inside, a fifth of that


def test_dense_blocks_start_at_a_tenth():
    torch.manual_seed(0)
    net = RRDBNet(RRDBConfig(num_block=1))
    weight = net.body[0].rdb1.conv3.weight
    kaiming = (2 / weight[0].numel()) ** 0.5
    assert float(weight.detach().std()) == pytest.approx(0.1 * kaiming, rel=0.02)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scale": 5}, "would need 5"),
        ({"scale": 4, "unshuffle": 8}, "would need 32"),
        ({"upsampling": "bicubic"}, "known: nearest, pixelshuffle"),
        ({"num_feat": 0}, "≥ 1"),
    ],
)
def test_configs_that_make_no_network_are_refused(fields, words):
    with pytest.raises(BadConfig, match=words):
        RRDBConfig(**fields)


def test_discriminator_judges_every_pixel_and_keeps_its_spectral_norms_at_one():
    torch.manual_seed(0)
    net = UNetDiscriminator(UNetDiscriminatorConfig(num_feat=8)).train()
    for _ in range(60):
        logits = net(torch.rand(1, 3, 16, 24) * 2 - 1)
    assert logits.shape == (1, 16 * 24)
    for k in range(1, 9):
        weight = getattr(net, f"conv{k}").weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.05)
    with torch.device("meta"):
        full = UNetDiscriminator(UNetDiscriminatorConfig())
    assert sum(p.numel() for p in full.parameters()) == 4_376_897


def test_discriminator_shortcuts_can_be_left_out():
    torch.manual_seed(0)
    with_shortcuts = UNetDiscriminator(UNetDiscriminatorConfig(num_feat=4)).eval()
    without = UNetDiscriminator(UNetDiscriminatorConfig(num_feat=4, skip_connection=False)).eval()
    without.load_state_dict(with_shortcuts.state_dict())
    img = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.allclose(with_shortcuts(img), without(img))


def test_discriminator_refuses_sizes_it_cannot_halve_three_times():
    with pytest.raises(BadImage, match="a multiple of 8"):
        UNetDiscriminator(UNetDiscriminatorConfig(num_feat=4))(torch.rand(1, 3, 20, 24))
    with pytest.raises(BadConfig, match="multiple of 8"):
        UNetDiscriminatorConfig(img_resolution=100)


@pytest.mark.parametrize("upsampling", ["nearest", "pixelshuffle"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_strips_and_taps_fallen_together_change_nothing(scale, upsampling, monkeypatch):
    """The written-out way is the one with gradients: enlarge all, convolve all."""
    torch.manual_seed(scale)
    net = RRDBNet(RRDBConfig(num_feat=8, num_block=0, num_grow_ch=4, scale=scale, upsampling=upsampling)).eval()
    monkeypatch.setattr("ganvas.models.rrdbnet.STRIP_PIXELS", 1)  # strips of 8 rows
    img = torch.rand(2, 3, 36, 14) * 2 - 1
    with torch.no_grad():
        in_strips = net(img)
    assert torch.allclose(net(img), in_strips, atol=2e-6)


def test_the_fast_form_adds_up_exactly(monkeypatch):
    """Blocks that answer nothing leave the features as they are, to the last bit, in bfloat16 too."""
    monkeypatch.setattr("ganvas.models.img2img.fast_dtype", lambda _: torch.bfloat16)
    net = RRDBNet(RRDBConfig(**SMALL)).eval()
    with torch.no_grad():
        for name, parameter in net.body.named_parameters():
            if "conv5" in name:
                parameter.zero_()
        img = torch.rand(1, 3, 9, 7) * 2 - 1
        assert torch.equal(net(img, precision="fast"), net(img))
        torch.nn.init.normal_(net.body[0].rdb1.conv5.weight)
        assert not torch.equal(net(img, precision="fast"), net(img))
        assert torch.allclose(net(img, precision="fast"), net(img), atol=0.05)
