"""Regions and steps of parts, on the astronaut; the generator is tiny, the parts are what ships."""

import json
from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.editing.directions import Direction
from ganvas.editing.move import Move
from ganvas.editing.part_steps import Colour
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import InRegion, Region
from ganvas.errors import BadConfig, BadMask
from ganvas.features.parts import PART_GROUPS, PARTS
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.result import Inversion
from ganvas.session.open import open_session
from ganvas.weights.checkpoint import fingerprint

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
CROP = Crop.from_landmarks([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])
HAIR, CHEEK, BEHIND = (200.0, 60.0), (205.0, 125.0), (150.0, 60.0)  # places of the photo, seen by eye


@pytest.fixture(scope="module")
def photo():
    return read_image(ASTRONAUT)


def opened(photo, generator, crop=CROP, align="faces"):
    ws = generator.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(2)))
    found = Inversion(ws=ws, fingerprint=fingerprint(generator), crop=(crop.x, crop.y, crop.side, crop.angle_deg))
    return open_session(photo, model=generator, inversion=found, align=align)


@pytest.fixture
def session(photo, generator):
    return opened(photo, generator)


def value_at(mask, x, y):
    """The mask's value at a place of the photo."""
    column, row = CROP.to_crop_coords([[x, y]], resolution=mask.shape[-1])[0].int().tolist()
    return float(mask[0, 0, row, column])


def test_a_region_is_a_part_by_name(session):
    assert session.parts == (*PARTS, *PART_GROUPS)
    region = session.set_region("part:hair")
    assert region.parts == ("hair",) and region == session.set_region("hair")
    mask = region.mask(256)
    assert value_at(mask, *HAIR) > 0.8 and value_at(mask, *CHEEK) < 0.05 and value_at(mask, *BEHIND) < 0.1
    more = session.set_region("part:hair+skin").mask(256)
    assert value_at(more, *HAIR) > 0.8 and value_at(more, *CHEEK) > 0.9 and value_at(more, *BEHIND) < 0.1


def test_a_place_says_its_part(session):
    assert [session.part_at(*place) for place in (HAIR, CHEEK, BEHIND)] == ["hair", "skin", "background"]
    with pytest.raises(BadMask, match="outside the model's crop"):
        session.part_at(5, 500)


def test_what_cannot_be_a_part_says_so(session, photo, generator):
    with pytest.raises(BadConfig, match="unknown part 'tail'; known: background"):
        session.set_region("part:tail")
    with pytest.raises(BadConfig, match="written as part:hair"):
        session.set_region("part:")
    plain = opened(photo, generator, align="centre")
    assert plain.parts == ()
    with pytest.raises(BadConfig, match="parts of this picture are not known"):
        plain.set_region("part:hair")
    with pytest.raises(BadConfig, match="colour is for faces"):
        plain.put(Colour())


def test_a_recipe_finds_the_same_part_in_another_photo(session, photo, generator):
    step = Move(direction="smile", amount=1)
    region = session.set_region("part:hair")
    text = Recipe(steps=(InRegion(step, region),)).to_json()
    assert json.loads(text)["steps"][0]["within"]["parts"] == ["hair"]
    mirrored = Photo(img=photo.img.flip(3))
    other = opened(
        mirrored, generator, Crop(x=photo.width - CROP.x, y=CROP.y, side=CROP.side, angle_deg=-CROP.angle_deg)
    )
    moved = other.renderer.parts.renew(Recipe.from_json(text).steps)[0].region
    assert moved.parts == ("hair",)
    here, there = region.mask(256), moved.mask(256)
    assert (there - here.flip(3)).abs().mean() < 0.01 < (there - here).abs().mean()


def test_a_recipe_by_hand_needs_no_mask(session):
    written = Region.from_dict({"parts": ["hair"]})
    with pytest.raises(BadMask, match="depends on the photo"):
        written.mask(64)
    session.replay(Recipe(steps=(InRegion(Colour(part="hair+skin"), written),)))
    assert session.recipe.steps[0].region.bitmap
    changed = (session.render().img != session.photo.img).any(dim=1)[0]
    x, y = map(int, CHEEK)
    assert changed[int(HAIR[1]), int(HAIR[0])] and not changed[y, x]


def test_a_slider_with_discs_changes_nothing_elsewhere(session, photo, generator):
    vector = 3 * torch.randn(1, 16, generator=torch.Generator().manual_seed(4))
    session.renderer.directions["wink"] = Direction("wink", vector, discs=((0.4, 0.47, 0.05),))
    plain = session.preview(resolution=32)
    session.set("wink", 1)
    x, y = (session.preview(resolution=32) - plain).abs().amax(dim=1)[0].nonzero().flip(1).T / 32
    assert len(x) and (x - 0.4).abs().max() < 0.15 and (y - 0.47).abs().max() < 0.15
