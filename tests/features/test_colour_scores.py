"""Colour scores on painted crops."""

import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.features.colour_scores import (
    BRIDGE,
    CHIN,
    COLOUR_SCORES,
    HAIR,
    JAW,
    LIP,
    SIDES,
    SKIN,
    compute_colour_scores,
    score_colours,
)

SIDE = 128


def painted(*parts):
    """A mid-grey crop with parts in colours (r, g, b) of 0 … 255."""
    img = torch.full((1, 3, SIDE, SIDE), 0.2)
    for (top, bottom, left, right), colour in parts:
        y0, y1, x0, x1 = (round(share * SIDE) for share in (top - 0.01, bottom + 0.01, left - 0.01, right + 0.01))
        img[0, :, y0:y1, x0:x1] = torch.tensor(colour)[:, None, None] / 127.5 - 1
    return img


def test_hair_and_skin_are_told_apart():
    scores = compute_colour_scores(painted((HAIR, (40, 20, 10)), (SKIN, (230, 190, 170))))
    brighter = compute_colour_scores(painted((HAIR, (220, 190, 120)), (SKIN, (230, 190, 170))))
    assert brighter["hair_light"] > scores["hair_light"] + 40
    assert brighter["skin_light"] == scores["skin_light"]
    assert 40 < scores["skin_hue"] < 60
    assert compute_colour_scores(painted((HAIR, (200, 30, 20))))["hair_colourful"] > 60


def test_a_dark_chin_is_a_beard_and_a_shadow_on_one_side_is_none():
    bare = compute_colour_scores(painted())["beard"]
    beard = compute_colour_scores(painted(*((part, (50, 40, 35)) for part in (*JAW, CHIN, LIP))))["beard"]
    shadow = compute_colour_scores(painted((JAW[0], (50, 40, 35))))["beard"]
    assert beard > bare + 20
    assert abs(shadow - bare) < 1


def test_a_bar_across_the_nose_is_a_pair_of_glasses():
    top, _, left, right = BRIDGE
    bar = compute_colour_scores(painted(((top + 0.04, top + 0.06, left, right), (10, 10, 10))))["glasses"]
    assert bar > compute_colour_scores(painted())["glasses"] + 3


def test_hair_beside_the_chin_is_long():
    brown = (70, 40, 20)
    long = compute_colour_scores(painted((HAIR, brown), *((part, brown) for part in SIDES)))["hair_long"]
    short = compute_colour_scores(painted((HAIR, brown)))["hair_long"]
    assert long.item() > 10
    assert short.item() == pytest.approx(-long.item(), abs=0.1)


def test_a_wall_of_the_hairs_colour_is_no_long_hair():
    brown = (70, 40, 20)
    before_a_wall = compute_colour_scores(painted(((0.0, 1.0, 0.0, 1.0), brown)))["hair_long"]
    assert before_a_wall.item() == pytest.approx(0, abs=0.1)


def test_size_does_not_matter_and_names_are_known():
    img = painted((HAIR, (40, 20, 10)))
    large = img.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    for name in COLOUR_SCORES:
        assert score_colours(img, name).item() == pytest.approx(score_colours(large, name).item(), abs=0.5), name
    with pytest.raises(BadConfig, match="hair_light"):
        score_colours(img, "hair")
    with pytest.raises(BadImage):
        compute_colour_scores(img[0])
