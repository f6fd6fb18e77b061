"""Directions as data: applied, kept clear of others, written and read."""

import pytest
import torch
from safetensors.torch import save_file

from ganvas.editing.directions import Direction, load_directions, move_along_direction, save_directions
from ganvas.errors import BadConfig, BadLatent, BrokenWeights


def test_a_direction_of_another_generator_is_refused():
    with pytest.raises(BadLatent, match="another generator"):
        move_along_direction(torch.randn(1, 5, 8), Direction("smile", torch.ones(1, 9)), 1.0)


def test_a_range_that_is_none_is_refused():
    for low, high in ((0.0, 0.0), (1.0, -1.0), (float("nan"), 1.0)):
        with pytest.raises(BadConfig, match="range"):
            Direction("smile", torch.ones(1, 8), low=low, high=high)


def test_a_file_gives_its_directions_back(tmp_path):
    eye = ((0.4, 0.47, 0.05),)
    smile = Direction(
        "smile", torch.randn(1, 8), low=-2.5, fingerprint="ab", facts={"r2": 0.5}, group="expression", discs=eye
    )
    pose = Direction("pose", torch.randn(5, 8), layers=(0, 1), fingerprint="ab")
    path = save_directions([smile, pose], tmp_path / "d.safetensors", licence="CC0-1.0", origin="a test")
    back = load_directions(path)
    assert list(back) == ["smile", "pose"]
    assert torch.equal(back["pose"].vector, pose.vector)
    assert back["pose"].layers == (0, 1)
    assert (back["smile"].low, back["smile"].layers, back["smile"].fingerprint) == (-2.5, None, "ab")
    assert back["smile"].facts == {"r2": 0.5, "licence": "CC0-1.0", "origin": "a test"}
    assert (back["smile"].group, back["pose"].group) == ("expression", "other")
    assert (back["smile"].discs, back["pose"].discs) == (eye, ())


def test_a_file_from_before_there_were_groups_is_read(tmp_path):
    card = '{"smile": {"layers": null, "low": -3, "high": 3, "facts": {}}}'
    header = {"format": "ganvas-directions-1", "fingerprint": "ab", "directions": card}
    save_file({"smile": torch.ones(1, 8)}, tmp_path / "d.safetensors", header)
    assert load_directions(tmp_path / "d.safetensors")["smile"].group == "other"


@pytest.mark.parametrize("disc", [(0.4, 0.5), (0.4, 1.5, 0.1), (0.4, 0.5, 0.0), (0.4, float("nan"), 0.1)])
def test_discs_lie_in_the_crop(disc):
    with pytest.raises(BadConfig, match="discs"):
        Direction("smile", torch.ones(1, 8), discs=(disc,))


@pytest.mark.parametrize("group", ["", "x" * 41, "two\nlines", 3])
def test_a_group_is_a_word(group):
    with pytest.raises(BadConfig, match="group"):
        Direction("smile", torch.ones(1, 8), group=group)


def test_one_file_is_of_one_generator(tmp_path):
    with pytest.raises(BadConfig, match="one generator"):
        save_directions(
            [Direction("a", torch.ones(1, 8), fingerprint="x"), Direction("b", torch.ones(1, 8), fingerprint="y")],
            tmp_path / "d.safetensors",
            licence="",
            origin="",
        )


@pytest.mark.parametrize(
    "card",
    [
        "{",
        "[]",
        '{"smile": {}}',
        '{"smile": {"layers": null, "low": 3, "high": -3, "facts": {}}}',
        '{"other": {}}',
        '{"smile": {"layers": null, "low": -3, "high": 3, "group": 5, "facts": {}}}',
    ],
)
def test_a_damaged_card_is_said(tmp_path, card):
    header = {"format": "ganvas-directions-1", "fingerprint": "ab", "directions": card}
    save_file({"smile": torch.ones(1, 8)}, tmp_path / "d.safetensors", header)
    with pytest.raises(BrokenWeights, match="card"):
        load_directions(tmp_path / "d.safetensors")


def test_another_kind_of_file_is_said(tmp_path):
    save_file({"smile": torch.ones(1, 8)}, tmp_path / "d.safetensors")
    with pytest.raises(BrokenWeights, match="does not contain ganvas directions"):
        load_directions(tmp_path / "d.safetensors")
