"""Where the parts of a face are: on the astronaut, whose places are written down, at any size and mirrored."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import ganvas
from ganvas.errors import BadConfig, BadImage, BrokenWeights
from ganvas.features import parts
from ganvas.features.parts import (
    PART_GROUPS,
    PARTS,
    PARTS_WEIGHTS,
    expand_parts,
    load_parts_network,
    parse_parts,
    select_parts,
)
from ganvas.images.crop import Crop
from ganvas.images.files import read_image

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
EYES_NOSE_MOUTH = [[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]]
PLACES = {  # of the astronaut's crop at 256 px, seen by eye: (x, y)
    "iris": [(95, 121), (160, 121)],
    "skin": [(128, 97), (128, 150), (98, 170), (160, 170), (128, 222), (52, 158)],
    "mouth": [(126, 188)],
    "lips": [(123, 197)],
    "hair": [(40, 80), (100, 50), (210, 60), (130, 8)],
    "clothes": [(30, 235), (60, 245)],
    "background": [(5, 5), (250, 150), (10, 150)],
}


@pytest.fixture(scope="module")
def face():
    return Crop.from_landmarks(EYES_NOSE_MOUTH).cut(read_image(ASTRONAUT).img, resolution=256)


@pytest.fixture(scope="module")
def parsed(face):
    return parse_parts(face)


def test_parts_are_shares_of_each_place(parsed):
    assert parsed.shape == (1, len(PARTS), 256, 256)
    assert parsed.min() >= 0 and torch.allclose(parsed.sum(dim=1), torch.ones(1, 256, 256), atol=1e-4)


@pytest.mark.parametrize("name", PLACES)
def test_parts_are_where_one_sees_them(parsed, name):
    found = [PARTS[int(parsed[0, :, y, x].argmax())] for x, y in PLACES[name]]
    assert found == [name] * len(found)


def test_a_preview_finds_the_same_parts(face):
    exact, quick = (parse_parts(face, refine=False, mirror=False, precision=how) for how in ("exact", "fast"))
    assert (exact.argmax(dim=1) == quick.argmax(dim=1)).float().mean() > 0.995
    assert torch.allclose(quick.sum(dim=1), torch.ones(1, 256, 256), atol=1e-4)


def test_a_mirrored_or_larger_picture_has_the_same_parts(face, parsed):
    assert torch.allclose(parse_parts(face.flip(3)).flip(3), parsed, atol=0.02)
    large = parse_parts(F.interpolate(face, (400, 400), mode="bicubic"))
    same = (F.interpolate(large, (256, 256), mode="area").argmax(dim=1) == parsed.argmax(dim=1)).float().mean()
    assert same > 0.98


def test_edges_are_those_of_the_picture(face, parsed):
    """Across the hairline the refined map changes with the colours; the rough one has the network's 2-px steps."""
    rough = parse_parts(face, refine=False)
    assert torch.allclose(rough.sum(dim=1), torch.ones(1, 256, 256), atol=1e-4)
    light = face.mean(dim=1)

    def agreement(p):
        hair = p[:, PARTS.index("hair")]
        steps = [x[:, :, 1:] - x[:, :, :-1] for x in (hair, light)]
        return torch.corrcoef(torch.stack([one[0, 20:70].flatten().abs() for one in steps]))[0, 1]

    assert agreement(parsed) > agreement(rough)


def test_parts_and_groups_are_chosen_by_name(parsed):
    assert expand_parts(["eyes", "hair", "iris"]) == ("whites", "iris", "hair")
    both = select_parts(parsed, ["eyes"])
    assert torch.allclose(both, select_parts(parsed, ["whites"]) + select_parts(parsed, ["iris"]), atol=1e-6)
    whole = select_parts(parsed, ["person"]) + select_parts(parsed, ["background"])
    assert torch.allclose(whole, torch.ones_like(whole), atol=1e-4)
    with pytest.raises(BadConfig, match=r"unknown part 'ears'; known: background, brows"):
        select_parts(parsed, ["ears"])
    assert all(set(group) <= set(PARTS) for group in PART_GROUPS.values())


def test_wrong_shapes_are_refused():
    with pytest.raises(BadImage):
        parse_parts(torch.zeros(3, 64, 64))


def test_the_weights_are_small_and_damage_says_so(monkeypatch, tmp_path):
    assert PARTS_WEIGHTS.stat().st_size < 2_000_000
    broken = tmp_path / "face-parts.safetensors"
    broken.write_bytes(PARTS_WEIGHTS.read_bytes()[:5000])
    monkeypatch.setattr(parts, "PARTS_WEIGHTS", broken)
    load_parts_network.cache_clear()
    try:
        with pytest.raises(BrokenWeights, match="safetensors is damaged"):
            parse_parts(torch.zeros(1, 3, 64, 64))
    finally:
        load_parts_network.cache_clear()
