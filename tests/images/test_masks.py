"""Masks: areas against geometry, exact zeros outside, softness where it was asked for."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from ganvas.errors import BadMask
from ganvas.images import masks

settings.register_profile("images", deadline=None, max_examples=40)
settings.load_profile("images")


def slow_polygon(height, width, points, n=40):
    """The share of n x n places in each pixel from which a ray to the right crosses the line an odd number of times."""
    y = (torch.arange(height * n) + 0.5) / n
    x = (torch.arange(width * n) + 0.5) / n
    inside = torch.zeros(height * n, width * n, dtype=torch.bool)
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if y0 == y1:
            continue
        crosses = (y0 <= y) != (y1 <= y)
        at = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        inside ^= crosses[:, None] & (at[:, None] > x[None, :])
    return torch.nn.functional.avg_pool2d(inside.float()[None, None], n)


corner = st.tuples(st.floats(-4, 14).map(lambda v: round(v, 2)), st.floats(-4, 12).map(lambda v: round(v, 2)))


@given(points=st.lists(corner, min_size=3, max_size=8))
def test_polygon_is_the_even_odd_rule(points):
    mask = masks.polygon(8, 10, points)
    # n x n places measure an edge to about 1 / n; our lines measure it exactly across and to 1 / 8 down
    assert (mask - slow_polygon(8, 10, points)).abs().max() < 0.13
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_polygon_keeps_exact_zeros_and_ones():
    mask = masks.polygon(200, 300, [[20.3, 30.1], [250.7, 55.2], [120.9, 180.4]])
    rough = slow_polygon(200, 300, [[20.3, 30.1], [250.7, 55.2], [120.9, 180.4]], n=4)
    outside = torch.nn.functional.max_pool2d(rough, 5, stride=1, padding=2) == 0
    inside = torch.nn.functional.max_pool2d(1 - rough, 5, stride=1, padding=2) == 0
    assert (mask[outside] == 0).all()
    assert (mask[inside] == 1).all()
    assert outside.sum() > 1000
    assert inside.sum() > 1000


def test_box_covers_its_area_exactly():
    mask = masks.box(20, 30, left=2.25, top=3.5, right=10.75, bottom=8)
    assert mask.sum().item() == pytest.approx(8.5 * 4.5, abs=1e-4)
    assert mask[0, 0, 5, 2].item() == pytest.approx(0.75)
    assert mask[0, 0, 5, 5] == 1
    assert mask[0, 0, 9, 5] == 0


@given(rx=st.floats(1.5, 18), ry=st.floats(1.5, 18), angle=st.floats(-180, 180))
def test_ellipse_covers_pi_a_b(rx, ry, angle):
    mask = masks.ellipse(50, 60, x=30.3, y=24.8, radius_x=rx, radius_y=ry, angle_deg=angle)
    assert mask.sum().item() == pytest.approx(math.pi * rx * ry, rel=0.01)


def test_ellipse_turns_clockwise():
    mask = masks.ellipse(60, 60, x=30, y=30, radius_x=20, radius_y=4, angle_deg=30)
    assert mask[0, 0, 30 + 8, 30 + 14] == 1  # to the right and down
    assert mask[0, 0, 30 - 8, 30 + 14] == 0


@given(
    points=st.lists(st.tuples(st.floats(-10, 50), st.floats(-10, 40)), min_size=1, max_size=6),
    radius=st.floats(0.5, 12),
    soft=st.floats(0, 1),
)
def test_brush_is_one_near_the_line_and_zero_beyond_its_radius(points, radius, soft):
    mask = masks.brush(30, 40, points, radius_px=radius, soft=soft)[0, 0]
    distance = torch.full((30, 40), torch.inf, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(30) + 0.5, torch.arange(40) + 0.5, indexing="ij")
    stroke = torch.tensor(points, dtype=torch.float64)
    for start, end in zip(stroke, stroke[1:] if len(stroke) > 1 else stroke, strict=False):
        for t in torch.linspace(0, 1, 400, dtype=torch.float64):
            place = start + t * (end - start)
            distance = torch.minimum(distance, torch.hypot(x - place[0], y - place[1]))
    assert (mask[distance > radius + 0.75] == 0).all()
    assert (mask[distance < radius * (1 - soft) - 0.75] == 1).all()


def test_a_dot_is_a_disc():
    mask = masks.brush(40, 40, [[20, 20]], radius_px=10)
    assert mask.sum().item() == pytest.approx(math.pi * 100, rel=0.01)


def test_feather_is_nearly_a_gaussian_and_ends():
    mask = masks.box(9, 400, left=200, top=-5, right=500, bottom=20)
    soft = masks.feather(mask, radius_px=40)[0, 0, 4]
    x = torch.arange(400) + 0.5
    gaussian = 0.5 * (1 + torch.erf((x - 200) / (20 * math.sqrt(2))))
    assert (soft - gaussian).abs().max() < 0.02
    assert (soft[x < 200 - 61] == 0).all()
    assert (soft[x > 200 + 61] == 1).all()
    assert ((soft[:-1] - soft[1:]) <= 1e-6).all()


def test_feather_of_nothing_or_by_nothing_changes_nothing():
    mask = masks.ellipse(20, 20, x=10, y=10, radius_x=5, radius_y=5)
    assert torch.equal(masks.feather(mask, radius_px=0), mask)
    assert not masks.feather(masks.empty_mask(20, 20), radius_px=5).any()
    assert masks.feather(masks.full_mask(20, 20), radius_px=5).min() == 1


def test_feather_in_a_small_part_of_a_large_picture_equals_feather_of_all():
    mask = masks.ellipse(300, 400, x=80, y=90, radius_x=30, radius_y=20)
    whole = torch.zeros_like(mask)
    whole[..., 0, 0] = whole[..., -1, -1] = 1e-3  # makes the used part the whole picture
    near = masks.feather(mask, radius_px=12)
    far = masks.feather(mask + whole, radius_px=12)
    assert (near - far)[..., 40:200, 40:200].abs().max() < 1e-6


def test_superellipse_is_the_formula_and_has_a_square_core():
    mask = masks.superellipse(200)[0, 0]
    assert mask[100, 100] == 1
    assert mask[100, 0] == 0
    assert mask[:4].max() == 0
    # On the axis the radius is |x| / .92: one at .78 · .92, half where the smoothstep is at its middle, .89 · .92.
    x = (torch.arange(200) + 0.5) / 100 - 1
    middle = mask[100]
    assert (middle[(x.abs() < 0.717)] == 1).all()
    half = (x - 0.89 * 0.92).abs().argmin()
    assert middle[half].item() == pytest.approx(0.5, abs=0.05)
    for i, j in ((20, 20), (30, 15), (10, 90)):
        r = ((abs(x[i]) / 0.92) ** 4 + (abs(x[j]) / 0.92) ** 4) ** 0.25
        t = min(max((1 - r.item()) / 0.22, 0), 1)
        assert mask[i, j].item() == pytest.approx(t * t * (3 - 2 * t), abs=1e-5)


def test_masks_combine():
    left = masks.box(10, 10, left=0, top=0, right=6, bottom=10)
    top = masks.box(10, 10, left=0, top=0, right=10, bottom=4)
    assert masks.union_masks(left, top).sum() == 60 + 16
    assert masks.intersect_masks(left, top).sum() == 24
    assert masks.intersect_masks(left, masks.invert_mask(top)).sum() == 36


@pytest.mark.parametrize(
    "call",
    [
        lambda: masks.brush(10, 10, [], radius_px=3),
        lambda: masks.brush(10, 10, [[1, 2]], radius_px=0),
        lambda: masks.brush(10, 10, [[1, float("nan")]], radius_px=3),
        lambda: masks.polygon(10, 10, [[0, 0], [1, 1]]),
        lambda: masks.box(10, 10, left=5, top=0, right=5, bottom=3),
        lambda: masks.ellipse(10, 10, x=5, y=5, radius_x=0, radius_y=2),
        lambda: masks.feather(torch.ones(10, 10), radius_px=3),
        lambda: masks.feather(torch.ones(1, 1, 4, 4), radius_px=-1),
        lambda: masks.union_masks(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 5, 4)),
        lambda: masks.superellipse(0),
        lambda: masks.empty_mask(0, 5),
    ],
)
def test_shapes_that_make_no_sense_are_refused(call):
    with pytest.raises(BadMask):
        call()


def test_a_shape_beside_the_picture_leaves_it_empty():
    assert not masks.polygon(10, 10, [[20, 20], [30, 20], [30, 30]]).any()
    assert not masks.brush(10, 10, [[-50, -50], [-40, 80]], radius_px=5).any()
