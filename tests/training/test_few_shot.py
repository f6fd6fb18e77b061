"""A style from a folder: a 64-px generator trained on from its parent, and joined with it afterwards."""

import torch

import ganvas
from ganvas.editing.stylise import swap_layers
from ganvas.training.generator.train import train
from ganvas.weights.interpolate import interpolate_networks
from tests.training import tiny


def test_a_child_at_64_px_goes_on_from_its_parent_and_joins_with_it(tmp_path):
    quick = tiny.config(total_kimg=0.008, r1_gamma=0.0)
    parent_folder, child_folder = tmp_path / "photos", tmp_path / "drawings"
    train(tiny.pictures(12, px=64), config=quick, folder=parent_folder, device="cpu")
    few = tiny.pictures(6, px=64, seed=1).flip(1)
    config = tiny.config(total_kimg=0.012, r1_gamma=0.0, freeze_d=2)
    train(few, config=config, folder=child_folder, init_from=parent_folder / "model.safetensors", device="cpu")
    parent, child = (ganvas.load(folder / "model.safetensors") for folder in (parent_folder, child_folder))
    assert parent.img_resolution == child.img_resolution == 64 and parent.config == child.config
    made = ganvas.load(ganvas.save(swap_layers(parent, child, at_px=32, width=0), tmp_path / "joined"))
    for name, value in made.state_dict().items():
        px = made.place_px(name)
        assert torch.equal(value, (child if px is not None and px >= 32 else parent).state_dict()[name]), name
    moved = [n for n, v in child.state_dict().items() if not torch.equal(v, parent.state_dict()[n])]
    assert any(made.place_px(n) == 64 for n in moved)  # it did learn, in layers that the swap takes from it
    between = interpolate_networks(parent, child, 0.5).mapping.fc0.weight
    assert torch.allclose(between, (parent.mapping.fc0.weight + child.mapping.fc0.weight) / 2, atol=1e-6)
