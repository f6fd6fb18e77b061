"""Regions as data, and which steps are painted where."""

import base64
import json
import zlib

import pytest
import torch

from ganvas.editing.move import Move
from ganvas.editing.recipe import STEPS, Recipe
from ganvas.editing.regions import (
    BITMAP_PX,
    MAX_CELLS,
    MAX_REGIONS,
    InRegion,
    Region,
    Stroke,
    blend_cells,
    partition_steps,
    region_of,
    unwrap_step,
)
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig, BadMask
from ganvas.images.crop import Crop
from tests.editing.test_recipe import EXAMPLES


def dot(x, y, radius, *, erase=False):
    return Stroke(points=((x, y),), radius=radius, erase=erase)


def region(*strokes, feather=0.0):
    return Region(strokes=strokes, feather=feather)


LEFT, RIGHT = region(dot(0.3, 0.5, 0.15)), region(dot(0.7, 0.5, 0.15))
WIDE = region(dot(0.4, 0.5, 0.35))


def test_a_stroke_lies_where_it_is_said_at_any_size():
    for px in (32, 100, 512, 1024):
        mask = LEFT.mask(px)
        assert mask.shape == (1, 1, px, px)
        assert mask.mean().item() == pytest.approx(3.1416 * 0.15**2, rel=0.05)
        rows, columns = mask[0, 0].nonzero().T
        assert columns.float().mean().item() / px == pytest.approx(0.3, abs=0.02)
        assert rows.float().mean().item() / px == pytest.approx(0.5, abs=0.02)


def test_the_eraser_takes_away_what_was_painted_before_it():
    ring = region(dot(0.5, 0.5, 0.3), dot(0.5, 0.5, 0.1, erase=True)).mask(64)
    assert ring[0, 0, 32, 32] == 0
    assert ring[0, 0, 32, 48] == 1
    again = region(dot(0.5, 0.5, 0.3), dot(0.5, 0.5, 0.1, erase=True), dot(0.5, 0.5, 0.05)).mask(64)
    assert again[0, 0, 32, 32] == 1


def test_a_feathered_region_ends():
    soft = region(dot(0.5, 0.5, 0.2), feather=0.1).mask(256)
    x = (torch.arange(256) + 0.5) / 256 - 0.5
    distance = torch.hypot(x[:, None], x[None, :])
    assert (soft[0, 0][distance > 0.2 + 0.15 * 2**0.5 + 0.02] == 0).all()
    assert ((soft > 0.1) & (soft < 0.9)).sum() > 1000


def test_a_mask_becomes_a_region_and_comes_back():
    mask = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = mask.repeat_interleave(32, 2).repeat_interleave(32, 3)
    kept = Region.of_mask(mask, feather=0)
    assert torch.allclose(kept.mask(256), mask, atol=0.5 / 255 + 1e-6)
    assert torch.allclose(kept.mask(32), mask[:, :, ::8, ::8], atol=0.5 / 255 + 1e-6)
    assert len(kept.bitmap) < 2000


def test_strokes_are_carried_from_the_photo_into_the_crop():
    crop = Crop(x=100, y=50, side=80, angle_deg=90)
    carried = Stroke(points=((100, 50), (100, 70), (100, 70.1)), radius=8).to_crop_coords(crop)
    assert carried.radius == 0.1
    assert carried.points == ((0.5, 0.5), (0.75, 0.5))  # down in the photo is right in a crop turned by 90 degrees


@pytest.mark.parametrize("where", [LEFT, WIDE, region(dot(0.5, 0.5, 0.2), dot(0.4, 0.4, 0.1, erase=True), feather=0.1)])
@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_in_a_region_survives_json(name, where):
    recipe = Recipe(steps=(EXAMPLES[name], InRegion(EXAMPLES[name], where)))
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert region_of(again.steps[1]) == where
    assert unwrap_step(again.steps[1]) == EXAMPLES[name]
    assert json.loads(recipe.to_json())["steps"][1]["step"] == name


def test_a_bitmap_survives_json():
    where = Region.of_mask(WIDE.mask(BITMAP_PX), feather=0.01)
    recipe = Recipe(steps=(InRegion(EXAMPLES["move"], where),))
    assert Recipe.from_json(recipe.to_json()) == recipe


def packed(data):
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    ("within", "says"),
    [
        ("everywhere", "fields strokes, bitmap, parts, feather"),
        ({}, "at least one stroke"),
        ({"stroeks": []}, "'stroeks'; known: bitmap, feather, parts, strokes"),
        ({"strokes": {}}, "are a list"),
        ({"strokes": [3]}, "fields points, radius, erase"),
        ({"strokes": [{"points": [[0, 0]]}]}, "a radius"),
        ({"strokes": [{"points": [[0, 0]], "radius": 0}]}, "above 0"),
        ({"strokes": [{"points": [[0, 0]], "radius": 0.1, "erase": 1}]}, "true or false"),
        ({"strokes": [{"points": [], "radius": 0.1}]}, "at least one point"),
        ({"strokes": [{"points": [[0, 0, 0]], "radius": 0.1}]}, "points"),
        ({"strokes": [{"points": [["a", 0]], "radius": 0.1}]}, "points"),
        ({"strokes": [{"points": [[float("nan"), 0]], "radius": 0.1}]}, "finite"),
        ({"strokes": [{"points": [[1e9, 0]], "radius": 0.1}]}, "far outside"),
        ({"strokes": [{"points": [[0, 0]], "radius": 0.1}] * 201}, "up to 200"),
        ({"strokes": [{"points": [[0, 0]] * 2001, "radius": 0.1}]}, "2000 points"),
        ({"strokes": [{"points": [[0, 0]], "radius": 0.1}], "feather": 2}, "feather must be a number from 0 to 1"),
        ({"strokes": [{"points": [[0, 0]], "radius": 0.1}], "feather": "soft"}, "feather must be a number from 0 to 1"),
        ({"bitmap": 7}, "bitmap must be text"),
        ({"bitmap": "kitten"}, "packed by zlib"),
        ({"bitmap": packed(b"kitten")}, "holds 6 bytes"),
        ({"bitmap": packed(bytes(10**7))}, "holds more bytes"),
        ({"bitmap": "A" * 200_000}, "200,000 characters"),
    ],
)
def test_a_broken_region_is_refused_with_the_reason(within, says):
    step = {"step": "move", "direction": "a", "within": within}
    with pytest.raises((BadConfig, BadMask), match=says):
        Recipe.from_json(json.dumps({"format": "ganvas-recipe-1", "steps": [step]}))


def test_a_slider_of_a_region_is_another_slider():
    recipe = Recipe().with_move("smile", 1).with_move("smile", 2, region=LEFT).with_move("age", 3, region=LEFT)
    assert [recipe.amount("smile"), recipe.amount("smile", region=LEFT), recipe.amount("smile", region=RIGHT)] == [
        1,
        2,
        0,
    ]
    moved = recipe.with_move("smile", 5, region=LEFT)
    assert moved.steps[0] == recipe.steps[0] and moved.steps[2] == recipe.steps[2]
    assert moved.amount("smile", region=LEFT) == 5
    assert recipe.with_move("smile", 0, region=LEFT).steps == (recipe.steps[0], recipe.steps[2])


def test_regions_do_not_nest():
    with pytest.raises(BadConfig, match="one region"):
        InRegion(InRegion(Move(direction="a"), LEFT), RIGHT)


def names(found):
    return ["".join(unwrap_step(step).direction for step in cell.steps) for cell in found]


def a_move(name, where=None):
    return Move(direction=name) if where is None else InRegion(Move(direction=name), where)


def test_every_place_gets_the_steps_that_apply_there():
    assert names(partition_steps([a_move("a"), a_move("b")])) == ["ab"]
    assert names(partition_steps([a_move("a"), a_move("b", LEFT)])) == ["a", "ab"]
    assert names(partition_steps([a_move("a", LEFT), a_move("b", RIGHT)])) == ["", "b", "a"]  # they do not touch
    assert names(partition_steps([a_move("a", LEFT), a_move("b"), a_move("c", LEFT)])) == [
        "b",
        "abc",
    ]  # in the order of doing
    overlapping = partition_steps([a_move("a", LEFT), a_move("b", WIDE), a_move("c", RIGHT)])
    assert sorted(names(overlapping)) == ["", "ab", "b", "bc", "c"]  # LEFT lies within WIDE, RIGHT half in it


@pytest.mark.parametrize("px", [32, 64, 300, 512, 1024])
def test_weights_add_up_to_one_and_say_where(px):
    soft = region(dot(0.5, 0.6, 0.2), feather=0.1)
    found = partition_steps([a_move("a", LEFT), a_move("b", WIDE), a_move("c", soft)])
    weights = dict(zip(names(found), [cell.weight(px) for cell in found], strict=True))
    assert torch.allclose(sum(weights.values()), torch.ones(1, 1, px, px), atol=1e-5)
    assert all(weight.min() >= 0 for weight in weights.values())
    free = (LEFT.mask(px) + WIDE.mask(px) + soft.mask(px)) == 0
    assert (weights[""][free] == 1).all()
    assert all((weights[name][free] == 0).all() for name in weights if name)
    assert (weights["ab"][(soft.mask(px) == 0) & (LEFT.mask(px) == 1)] == 1).all()


def test_a_collage_is_each_picture_bit_for_bit_where_it_is_alone():
    found = partition_steps([a_move("a", LEFT)])
    here, there = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
    whole = blend_cells([(there, found[0]), (here, found[1])])
    mask = LEFT.mask(64).expand_as(whole)
    assert torch.equal(whole[mask == 1], here[mask == 1])
    assert torch.equal(whole[mask == 0], there[mask == 0])
    assert blend_cells([(here, partition_steps([a_move("a")])[0])]) is here


def test_too_many_regions_or_overlaps_are_refused():
    many = [a_move("a", region(dot(0.5, 0.5, 0.1 + i / 100))) for i in range(MAX_REGIONS + 1)]
    with pytest.raises(BadConfig, match=f"up to {MAX_REGIONS} different"):
        Recipe(steps=tuple(many))
    assert len(Recipe(steps=tuple(many[:-1])).steps) == MAX_REGIONS
    assert len(partition_steps(many[:-1])) == MAX_REGIONS + 1  # they lie within one another: a ring each
    crossing = [
        a_move("a", region(Stroke(points=((0, y / 5), (1, y / 5)), radius=0.15), feather=0.05)) for y in range(1, 5)
    ] + [a_move("a", region(Stroke(points=((x / 5, 0), (x / 5, 1)), radius=0.15), feather=0.05)) for x in range(1, 5)]
    with pytest.raises(BadConfig, match=f"more than {MAX_CELLS} ways"):
        partition_steps(crossing)


def test_a_step_in_a_region_does_there_what_it_does_everywhere():
    class Recorded:
        name = "recorded"

        def apply(self, ws, bench):
            return ws + bench.generator

    ws = torch.randn(1, 2, 3)
    assert torch.equal(InRegion(Recorded(), LEFT).apply(ws, EditContext(2, None)), ws + 2)
