"""ESRGAN, Real-ESRGAN and SRVGG files: deduced from names and shapes, computing what the published networks do."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BrokenWeights, UnknownWeights, WeightsError
from ganvas.models import build
from ganvas.models.rrdbnet import UNetDiscriminator, UNetDiscriminatorConfig
from ganvas.weights.contents import FileContents
from ganvas.weights.interpolate import interpolate_networks
from ganvas.weights.readers import basicsr
from tests.weights import foreign_img2img as foreign


def found(tree, name="RealESRGAN.pth"):
    return FileContents(path=Path(name), container="torch", tree=tree)


def picture(channels=3, height=8, width=12):
    return torch.rand(2, channels, height, width)


@torch.no_grad()
def assert_same(net, img, expected, tolerance=1e-5):
    """img and expected as the published network sees them, in [0, 1]."""
    assert torch.allclose((net(img * 2 - 1) + 1) / 2, expected, atol=tolerance)


@pytest.mark.parametrize("layout", ["old", "mid", "new"])
@pytest.mark.parametrize(("steps", "cell"), [(2, 1), (2, 2), (2, 4), (1, 1), (3, 1)])
def test_rrdbnet_is_deduced_and_computes_the_same(layout, steps, cell):
    state = foreign.esrgan(layout, blocks=2, width=8, grow=4, steps=steps, cell=cell)
    net = basicsr.read(found(state))
    assert net.scale == 2**steps // cell
    assert (net.config.num_block, net.config.num_feat, net.config.num_grow_ch) == (2, 8, 4)
    img = picture()
    assert_same(net, img, foreign.esrgan_reference(state, img, layout, steps=steps, cell=cell))


@pytest.mark.parametrize("wrap", ["params", "params_ema", "state_dict"])
def test_weights_are_found_under_the_usual_keys(wrap):
    state = foreign.esrgan("new")
    img = picture()
    assert_same(basicsr.read(found({wrap: state})), img, foreign.esrgan_reference(state, img, "new"))


def test_averaged_weights_are_preferred_and_plain_ones_can_be_had():
    averaged, plain, img = foreign.esrgan("new"), foreign.esrgan("new"), picture()
    tree = {"params": plain, "params_ema": averaged}
    assert_same(basicsr.read(found(tree)), img, foreign.esrgan_reference(averaged, img, "new"))
    assert_same(basicsr.read(found(tree), network="G"), img, foreign.esrgan_reference(plain, img, "new"))


@pytest.mark.parametrize("layout", ["old", "mid", "new"])
def test_esrgan_plus_shortcuts(layout):
    state, img = foreign.esrgan(layout, plus=True), picture()
    net = basicsr.read(found(state))
    assert net.config.plus
    assert_same(net, img, foreign.esrgan_reference(state, img, layout, plus=True))


def test_old_layout_with_pixel_shuffle_and_without_enlargement():
    img = picture()
    state = foreign.esrgan("old", shuffled=True)
    net = basicsr.read(found(state))
    assert net.config.upsampling == "pixelshuffle"
    assert_same(net, img, foreign.esrgan_reference(state, img, "old", shuffled=True))
    state = foreign.esrgan("old", steps=0)
    assert basicsr.read(found(state)).scale == 1
    assert_same(basicsr.read(found(state)), img, foreign.esrgan_reference(state, img, "old", steps=0))


def test_one_step_is_taken_for_2_and_may_be_3():
    state, img = foreign.esrgan("old", steps=1), picture()
    net = basicsr.read(found(state))
    assert net.scale == 2
    assert "×3" in net.facts["notes"][0]
    by_three = basicsr.read(found(state), scale=3)
    assert (by_three.scale, by_three.facts["notes"]) == (3, [])
    assert_same(by_three, img, foreign.esrgan_reference(state, img, "old", steps=1, factor=3))
    with pytest.raises(UnknownWeights, match="×4"):
        basicsr.read(found(state), scale=4)


def test_grey_and_four_channels():
    for channels in (1, 4):
        state, img = foreign.esrgan("new", channels=channels), picture(channels)
        net = basicsr.read(found(state))
        assert net.img_channels == channels
        assert_same(net, img, foreign.esrgan_reference(state, img, "new"))


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({}, 16_697_987),
        ({"blocks": 6}, 4_467_779),
        ({"cell": 2}, 16_703_171),
    ],
)
def test_published_sizes(fields, parameters):
    state = foreign.esrgan("new", **({"blocks": 23, "width": 64, "grow": 32} | fields))
    assert sum(p.numel() for p in basicsr.read(found({"params_ema": state})).parameters()) == parameters


@pytest.mark.parametrize(("inner", "parameters"), [(16, 621_424), (32, 1_213_296)])
def test_published_sizes_of_srvgg(inner, parameters):
    net = basicsr.read(found({"params": foreign.srvgg(width=64, inner=inner, scale=4)}))
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_srvgg_is_deduced_and_computes_the_same(scale):
    state, img = foreign.srvgg(inner=3, scale=scale), picture()
    net = basicsr.read(found({"params": state}))
    assert (net.config.act, net.scale, net.config.num_conv) == ("prelu", scale, 3)
    assert_same(net, img, foreign.srvgg_reference(state, img, inner=3, scale=scale))


@pytest.mark.parametrize(("act", "slope"), [("relu", 0.0), ("leakyrelu", 0.1)])
def test_srvgg_without_prelu_takes_the_activation_it_is_told(act, slope):
    state, img = foreign.srvgg(inner=2, prelu=False), picture()
    net = basicsr.read(found({"params": state}), act=act)
    assert (net.config.act, net.facts["notes"]) == (act, [])
    assert_same(net, img, foreign.srvgg_reference(state, img, inner=2, scale=2, slope=slope))
    with pytest.raises(BadConfig, match="leakyrelu"):
        basicsr.read(found({"params": state}), act="prelu")
    with pytest.raises(BadConfig, match="prelu"):
        basicsr.read(found({"params": foreign.srvgg()}), act=act)


@pytest.mark.parametrize(
    ("name", "act", "words"),
    [
        ("2x_compact.pth", "relu", "does not say"),
        ("2x_compact_relu.pth", "relu", "file's name"),
        ("2x_LeakyReLU.pth", "leakyrelu", "file's name"),
        ("2x-lrelu-16.pth", "leakyrelu", "file's name"),
    ],
)
def test_srvgg_without_prelu_says_how_its_activation_was_chosen(name, act, words):
    net = basicsr.read(found({"params": foreign.srvgg(prelu=False)}, name))
    assert net.config.act == act
    assert words in net.facts["notes"][0]


def test_discriminator_file_computes_with_its_spectral_norms():
    """weight = weight_orig / (uᵀ W v), the convention of torch's first spectral_norm."""
    torch.manual_seed(1)
    donor = UNetDiscriminator(UNetDiscriminatorConfig(num_feat=4)).eval()
    state = {}
    for name in ("conv0", "conv9"):
        foreign.add_conv(state, name, *{"conv0": (4, 3), "conv9": (1, 4)}[name])
    for k in range(1, 9):
        weight = getattr(donor, f"conv{k}").weight.detach()
        u = F.normalize(torch.randn(len(weight)), dim=0)
        v = F.normalize(torch.randn(weight[0].numel()), dim=0)
        state |= {f"conv{k}.weight_orig": weight, f"conv{k}.weight_u": u, f"conv{k}.weight_v": v}
    net = basicsr.read(found({"params": state}, "net_D.pth"), network="D")

    def conv(k, x, stride=1):
        w = state[f"conv{k}.weight_orig"]
        w = w / (state[f"conv{k}.weight_u"] @ (w.flatten(1) @ state[f"conv{k}.weight_v"]))
        return torch.nn.functional.leaky_relu(F.conv2d(x, w, stride=stride, padding=1), 0.2)

    img = picture(height=16, width=24)
    x0 = F.leaky_relu(F.conv2d(img, state["conv0.weight"], state["conv0.bias"], padding=1), 0.2)
    x1 = conv(1, x0, 2)
    x2 = conv(2, x1, 2)
    x = conv(3, x2, 2)
    for k, skip in ((4, x2), (5, x1), (6, x0)):
        x = conv(k, F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)) + skip
    x = F.conv2d(conv(8, conv(7, x)), state["conv9.weight"], state["conv9.bias"], padding=1)
    with torch.no_grad():
        assert torch.allclose(net.logits_map(img * 2 - 1), x, atol=1e-4)
        assert net(img * 2 - 1).shape == (2, 16 * 24)
    with pytest.raises(UnknownWeights, match="no discriminator"):
        basicsr.read(found(foreign.esrgan("new")), network="D")


def test_what_is_missing_left_over_or_misshapen_is_named():
    state = foreign.esrgan("mid")
    without = {name: value for name, value in state.items() if name != "HRconv.bias"}
    with pytest.raises(UnknownWeights, match=r"RealESRGAN\.pth.*mid ESRGAN layout.*HRconv\.bias"):
        basicsr.read(found(without))
    with pytest.raises(UnknownWeights, match="conv_extra"):
        basicsr.read(found(state | {"conv_extra.weight": torch.zeros(1)}))
    with pytest.raises(UnknownWeights, match="5 input and 3 output channels"):
        basicsr.read(found(state | {"conv_first.weight": torch.zeros(8, 5, 3, 3)}))
    with pytest.raises(BrokenWeights, match="finite"):
        basicsr.read(found(state | {"HRconv.bias": torch.full([8], torch.inf)}))
    cut = {name: value for name, value in state.items() if not name.startswith("RRDB_trunk.0.RDB2")}
    with pytest.raises(UnknownWeights, match=r"RRDB_trunk\.0\.RDB2"):
        basicsr.read(found(cut))


@pytest.mark.parametrize(
    "state",
    [
        foreign.esrgan("old", blocks=1),
        foreign.esrgan("new", blocks=1, cell=2),
        foreign.srvgg(),
        foreign.srvgg(prelu=False),
    ],
    ids=["old", "new", "srvgg", "srvgg-relu"],
)
def test_any_loss_or_change_of_a_tensor_is_an_error_of_ours(state):
    for name, value in state.items():
        for damage in (None, value[:-1], value[:0], value[None], value.to(torch.complex64)):
            damaged = {k: v for k, v in state.items() if k != name} | ({} if damage is None else {name: damage})
            if basicsr.fits(found(damaged)):
                with pytest.raises(WeightsError):
                    basicsr.read(found(damaged))


def test_hostile_numbers_in_names_cost_nothing():
    weight = torch.zeros(8, 8, 3, 3)
    state = foreign.srvgg()
    for name in ("body.99998.weight", "body." + "9" * 5000 + ".weight"):
        tree = found({"params": state | {name: weight}})
        if basicsr.fits(tree):
            with pytest.raises(UnknownWeights):
                basicsr.read(tree)


def test_interpolation_is_exactly_the_weighted_sum():
    a, b = (build("srvgg", num_feat=8, num_conv=2) for _ in range(2))
    mixed = interpolate_networks(a, b, 0.3)
    ours, first, second = mixed.state_dict(), a.state_dict(), b.state_dict()
    for name in ours:
        assert torch.equal(ours[name], first[name] * 0.3 + second[name] * 0.7), name
    assert all(torch.equal(interpolate_networks(a, b, 1).state_dict()[n], first[n]) for n in first)
    assert all(torch.equal(interpolate_networks(a, b, 0).state_dict()[n], second[n]) for n in second)
    assert mixed.config == a.config
    assert [part["share"] for part in mixed.facts["interpolated"]] == [0.3, 0.7]


def test_interpolation_refuses_what_does_not_go_together():
    a = build("srvgg", num_feat=8, num_conv=2)
    with pytest.raises(BadConfig, match="num_conv 2 and 3"):
        interpolate_networks(a, build("srvgg", num_feat=8, num_conv=3), 0.5)
    with pytest.raises(BadConfig, match="srvgg SRVGG and rrdbnet RRDBNet"):
        interpolate_networks(a, build("rrdbnet", num_feat=8, num_block=1), 0.5)
    with pytest.raises(BadConfig, match="from 0 to 1"):
        interpolate_networks(a, a, 1.5)
