"""Starting from weights: what fits is taken over, what does not is named part by part."""

import dataclasses

import pytest
import torch

import ganvas
from ganvas.errors import BadConfig
from ganvas.training.engine.run_folder import read_record
from ganvas.training.engine.transfer import copy_matching_weights
from ganvas.training.generator.networks import build_pair
from ganvas.training.generator.train import train
from ganvas.training.generator.transfer import init_from_weights, shaped_like
from tests.training import tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("base") / "run"
    train(tiny.pictures(), config=tiny.config(total_kimg=0.016), folder=folder, device="cpu")
    return folder


def test_both_networks_go_on_from_a_run(base):
    G, D = build_pair(tiny.config(), resolution=16, channels=3, c_dim=0)
    start = init_from_weights(G, D, base / "model.safetensors")
    assert "generator: 100 % loaded" in start.lines[0] and "discriminator: 100 %" in start.lines[1]
    for net, name, kind in ((G, "model", "G_ema"), (D, "D", "D")):
        theirs = ganvas.load(base / f"{name}.safetensors", network=kind).state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in net.state_dict().items())


def test_a_file_without_discriminator_says_so(base, tmp_path):
    alone = ganvas.save(ganvas.load(base / "model.safetensors"), tmp_path / "alone")
    G, D = build_pair(tiny.config(), resolution=16, channels=3, c_dim=0)
    assert "not in the file" in init_from_weights(G, D, alone).lines[-1]


def test_parts_of_another_shape_are_named_and_start_anew(base):
    fields = {**tiny.STYLE, "z_dim": 12, "w_dim": 8}  # the first layer of the mapping is wider
    G, D = build_pair(tiny.config(generator=fields), resolution=16, channels=3, c_dim=0)
    before = G.mapping.fc0.weight.clone()
    lines = init_from_weights(G, D, base / "model.safetensors").lines
    assert any("mapping.fc0.weight is [8, 8] there, [8, 12] here: randomly initialized" in line for line in lines)
    assert torch.equal(G.mapping.fc0.weight, before)


def test_weights_that_hardly_fit_are_refused(base):
    fields = {**tiny.STYLE, "z_dim": 64, "w_dim": 64}
    G, D = build_pair(tiny.config(generator=fields), resolution=16, channels=3, c_dim=0)
    with pytest.raises(BadConfig, match="too little for fine-tuning") as caught:
        init_from_weights(G, D, base / "model.safetensors")
    assert "randomly initialized" in str(caught.value)


def test_another_family_is_refused(base):
    config = tiny.config(family="mlp", generator={"widths": [8]}, discriminator={"widths": [8]}, r1_gamma=0.0)
    G, D = build_pair(config, resolution=16, channels=3, c_dim=0)
    with pytest.raises(BadConfig, match="is a stylegan2, this run trains a mlp"):
        init_from_weights(G, D, base / "model.safetensors")


def test_parts_that_one_side_lacks_are_named():
    ours, theirs = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, bias=False)
    share, lines = copy_matching_weights(ours, theirs, who="G")
    assert share == pytest.approx(4 / 6) and "not in the file, randomly initialized: bias" in lines[1]
    assert "only in the file, not used: bias" in copy_matching_weights(theirs, ours, who="G")[1][1]


def test_a_config_takes_the_shape_of_the_weights(base):
    plain = dataclasses.replace(tiny.config(), generator={}, discriminator={}, resolution=None)
    config = shaped_like(plain, base / "model.safetensors")
    assert config.resolution == 16 and config.generator["channel_max"] == 8
    assert config.discriminator["channel_base"] == 64
    assert (
        shaped_like(dataclasses.replace(plain, generator={"z_dim": 4}), base / "model.safetensors").generator["z_dim"]
        == 4
    )


def test_a_run_remembers_what_it_began_with_and_resumes(base, tmp_path):
    config = tiny.config(freeze_d=4, total_kimg=0.016)
    source = base / "model.safetensors"
    train(tiny.pictures(seed=1), config=config, folder=tmp_path / "run", init_from=source, device="cpu")
    start = read_record(tmp_path / "run")["start"]
    assert start["source"] == str(source) and "100 % loaded" in start["lines"][0]
    longer = dataclasses.replace(config, total_kimg=0.024)
    assert train(tiny.pictures(seed=1), config=longer, folder=tmp_path / "run", init_from=source, device="cpu").finished
