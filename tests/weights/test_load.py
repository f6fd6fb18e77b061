"""load: names and paths, devices and networks, and what is said when nothing fits."""

import sys

import pytest
import torch
from safetensors.torch import save_file

import ganvas
from ganvas.errors import BadConfig, BrokenWeights, GanvasError, UnknownWeights, WeightsError
from ganvas.models import FAMILIES
from ganvas.weights.load import READERS
from tests.rough_handling import ENDS_WELL, in_child
from tests.weights.foreign import Part, write_nvidia
from tests.weights.fuzz import peak_mb


def tiny():
    return ganvas.build(
        "stylegan2", img_resolution=8, channel_base=64, channel_max=8, z_dim=4, w_dim=4, num_mapping_layers=1
    )


def test_loading_does_not_disturb_the_callers_random_numbers(tmp_path):
    path = ganvas.save(tiny(), tmp_path / "G")
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    ganvas.load(path)
    assert torch.equal(torch.randn(3), expected)


def test_the_file_can_be_replaced_after_loading(tmp_path):
    """Files are memory-mapped while they are read; the loaded network must not look into the file any more."""
    path = tmp_path / "G.pth"
    torch.save(dict(tiny().state_dict()), path)
    G = ganvas.load(path)
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    path.write_bytes(bytes(path.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in G.state_dict().items())


def test_loading_takes_no_more_than_a_path(tmp_path, monkeypatch):
    ganvas.save(tiny(), tmp_path / "G")
    monkeypatch.chdir(tmp_path)
    for spelt in ("G.safetensors", "./G.safetensors", tmp_path / "G.safetensors", str(tmp_path / "G.safetensors")):
        assert ganvas.load(spelt).img_resolution == 8


def test_a_name_is_looked_up_in_the_catalogue(tmp_path, monkeypatch):
    from ganvas.weights.catalogue import catalogue

    path = ganvas.save(tiny(), tmp_path / "G")
    monkeypatch.setattr(catalogue, "resolve", {"faces-8": path}.__getitem__)
    assert ganvas.load("faces-8").img_resolution == 8


def test_a_path_that_is_not_there_is_no_catalogue_name(tmp_path):
    for missing in ("nothing.pkl", "folder/nothing", str(tmp_path / "nothing")):
        with pytest.raises(BrokenWeights, match="there is no file"):
            ganvas.load(missing)


def test_an_unknown_name_is_answered_by_the_catalogue():
    with pytest.raises(GanvasError, match="faecs"):
        ganvas.load("faecs")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", 3.5])
def test_an_unknown_device_is_said(tmp_path, device):
    path = ganvas.save(tiny(), tmp_path / "G")
    with pytest.raises(BadConfig, match="device must be"):
        ganvas.load(path, device=device)


def test_an_unknown_network_is_said(tmp_path):
    with pytest.raises(BadConfig, match=r"unknown network 'ema'; known: D, G, G_ema"):
        ganvas.load(tmp_path / "x", network="ema")


def test_readers_are_modules_with_the_agreed_functions():
    for reader in READERS:
        assert callable(reader.fits)
        assert callable(reader.read)
        assert reader.__name__.startswith("ganvas.weights.readers.")


def test_a_reader_that_stumbles_is_a_weights_error(tmp_path, monkeypatch):
    from ganvas.weights.readers import nvidia

    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    monkeypatch.setattr(nvidia, "fits", lambda found: 1 / 0)
    with pytest.raises(BrokenWeights, match=r"x\.pt cannot be read \(ZeroDivisionError"):
        ganvas.load(tmp_path / "x.pt")


# ---- Nothing fits: what was seen -----------------------------------------------------------------------------------


def saved(tmp_path, state):
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(UnknownWeights) as caught:
        ganvas.load(tmp_path / "x.pth")
    return str(caught.value)


def test_names_and_shapes_are_said(tmp_path):
    message = saved(tmp_path, {f"layer{k}.weight": torch.zeros(k + 1, 2) for k in range(7)})
    assert "no family matches x.pth" in message
    assert "7 tensors: layer0.weight [1, 2], layer1.weight [2, 2]" in message
    assert "no names in common with any family" in message


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["conv_body_first.weight", "stylegan_decoder.style_mlp.1.weight"], "GFPGAN"),
        (["model.diffusion_model.out.0.weight", "first_stage_model.x"], "Stable Diffusion"),
        (["block_a.0.1.weight", "block_e.0.weight", "out_layer.0.weight"], "AnimeGANv2"),
        (["features.0.weight", "classifier.0.weight"], "VGG"),
        (["encoder.body.0.res_layer.1.weight", "encoder.input_layer.0.weight"], "encoder of pSp"),
    ],
)
def test_known_files_without_a_family_are_named(tmp_path, names, says):
    assert says in saved(tmp_path, {"state_dict": {name: torch.zeros(2, 2) for name in names}})


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_nearest_family_is_said_with_what_is_missing(tmp_path, family):
    """Half a network of ours under its own names, without a card."""
    state = dict(ganvas.build(family).state_dict())
    half = dict(list(state.items())[len(state) // 2 :])
    message = saved(tmp_path, {**half, "strange.thing": torch.zeros(3)})
    assert family in message or "By its tensor names it is" in message or "looks like" in message


def test_networks_in_a_pickle_are_described_by_their_tensors(tmp_path):
    part = Part("Generator").fill({"synthesis.b4.strange": torch.zeros(3, 4), "mapping.fc0.weight": torch.zeros(2, 2)})
    with pytest.raises(UnknownWeights, match=r"2 tensors: synthesis\.b4\.strange \[3, 4\].*Nearest is stylegan"):
        ganvas.load(write_nvidia(tmp_path / "x.pkl", {"G_ema": part}))


def test_what_a_near_miss_lacks_is_said(tmp_path):
    state = {name.replace("synthesis.", "net."): tensor for name, tensor in tiny().state_dict().items()}
    message = saved(tmp_path, state)
    assert "Nearest is stylegan2" in message
    assert "stylegan2 also has synthesis.bN" in message
    assert "does not have net.bN" in message


@pytest.mark.parametrize("tree", [{}, [], "text", {"epoch": 3, "opts": {"lr": 0.1}}, 7])
def test_files_without_weights_are_described(tmp_path, tree):
    assert "contains no supported weights" in saved(tmp_path, tree)


def test_a_direction_is_pointed_to_its_reader(tmp_path):
    import numpy as np

    np.save(tmp_path / "smile.npy", np.zeros((1, 512)))
    with pytest.raises(UnknownWeights, match=r"contains \[1, 512\]: perhaps an edit direction.*read_directions"):
        ganvas.load(tmp_path / "smile.npy")


def test_safetensors_of_others_go_through_the_same_readers(tmp_path):
    G = tiny()
    save_file({f"module.{name}": tensor.clone() for name, tensor in G.state_dict().items()}, tmp_path / "x.safetensors")
    loaded = ganvas.load(tmp_path / "x.safetensors")
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in G.state_dict().items())


def test_every_error_of_load_is_a_weights_error_or_a_setting():
    assert issubclass(WeightsError, GanvasError)
    assert not issubclass(WeightsError, BadConfig)


# ---- Memory --------------------------------------------------------------------------------------------------------


def mb_beyond_the_model(path):
    """How much memory loading a file takes at its peak, beyond the network that comes of it."""
    ganvas.build("stylegan2", img_resolution=8, channel_base=64, channel_max=8)  # what is loaded once for all
    before = peak_mb()
    G = ganvas.load(path)
    return peak_mb() - before - sum(tensor.nbytes for tensor in G.state_dict().values()) / 2**20


@pytest.fixture(scope="module")
def large():
    """About 100 MB."""
    torch.manual_seed(0)
    return ganvas.build("stylegan2", img_resolution=256, channel_base=16384, channel_max=470)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("kind", ["ours", "zip", "legacy", "pickle"])
def test_importing_100_mb_takes_at_most_its_size_and_200_mb_beyond_the_model(tmp_path, large, kind):
    state = large.state_dict()
    path = tmp_path / "G.pth"
    if kind == "ours":
        path = ganvas.save(large, tmp_path / "G")
    elif kind == "pickle":
        write_nvidia(path, {"G_ema": Part("Generator").fill(state)})
    else:
        torch.save(dict(state), path, _use_new_zipfile_serialization=kind == "zip")
    size_mb = path.stat().st_size / 2**20
    assert 70 < size_mb < 130
    (tmp_path / "out").mkdir()

    def measure():
        (tmp_path / "out" / "mb").write_text(f"{mb_beyond_the_model(path)}")
        return ENDS_WELL

    code, _, said = in_child(measure, tmp_path / "out")  # a process begins with a peak of its own
    assert code == ENDS_WELL, said
    taken_mb = float((tmp_path / "out" / "mb").read_text())
    assert 0 < taken_mb < size_mb + 200
    print(f"{kind}: {taken_mb:.0f} MB beyond the model for a file of {size_mb:.0f} MB")
