"""Faces at any angle: what a finder says of turned photos, brought back and believed only with the parts in place."""

import math
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import ganvas
from ganvas.features.faces import Face, FaceFinder, find_faces
from ganvas.features.tilted_faces import (
    _drop_doubles,
    _turn,
    find_tilted_faces,
    has_parts_in_place,
    look_again,
    tilt_deg,
)
from ganvas.images.crop import Crop
from ganvas.images.files import read_image

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
POINTS = torch.tensor([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])


@pytest.fixture(scope="module")
def photo():
    return read_image(ASTRONAUT).img


def turned(img, points, deg):
    """The photo turned clockwise, grey around, and where its points are then."""
    height, width = img.shape[2:]
    side = math.ceil(math.hypot(height, width))
    cos, sin = math.cos(math.radians(deg)), math.sin(math.radians(deg))
    ys, xs = torch.meshgrid(torch.arange(side) + 0.5 - side / 2, torch.arange(side) + 0.5 - side / 2, indexing="ij")
    grid = torch.stack([(cos * xs + sin * ys) / (width / 2), (-sin * xs + cos * ys) / (height / 2)], dim=-1)
    away = points - torch.tensor([width / 2, height / 2])
    where = torch.stack([cos * away[:, 0] - sin * away[:, 1], sin * away[:, 0] + cos * away[:, 1]], dim=1) + side / 2
    return F.grid_sample(img, grid[None], mode="bilinear", align_corners=False), where


def as_face(points, score=0.99):
    (left, top), (right, bottom) = points.amin(dim=0).tolist(), points.amax(dim=0).tolist()
    return Face((left, top, right, bottom), points, score)


@pytest.mark.parametrize("deg", [0, 20, 45, 90, 135, 180, 250, 330])
def test_parts_are_in_place_whatever_the_angle(photo, deg):
    img, points = turned(photo, POINTS, deg)
    assert has_parts_in_place(img, points)
    assert (tilt_deg(points) - 3.4 - deg + 180) % 360 - 180 == pytest.approx(0, abs=1)


@pytest.mark.parametrize("deg", [90, 180, 270])
def test_landmarks_of_another_angle_are_not_believed(photo, deg):
    middle = POINTS.mean(dim=0)
    cos, sin = math.cos(math.radians(deg)), math.sin(math.radians(deg))
    wrong = (POINTS - middle) @ torch.tensor([[cos, sin], [-sin, cos]]) + middle
    assert not has_parts_in_place(photo, wrong)


def test_a_place_without_a_face_is_not_believed(photo):
    assert not has_parts_in_place(photo, POINTS + torch.tensor([60.0, 150.0]))
    assert not has_parts_in_place(photo, torch.zeros(5, 2))


@pytest.mark.parametrize("turn_deg", [0, 30, 90, 150, 180, 300])
def test_points_of_a_turned_photo_come_back(turn_deg):
    img = torch.full((1, 3, 40, 60), -1.0)
    img[:, :, 10:13, 45:48] = 1.0
    picture, to_photo = _turn(img, turn_deg, 2.0, 3.0)
    spot = picture[0, 0] + 1
    rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in spot.shape), indexing="ij")
    inside = spot * (spot > 1.5)
    seen = torch.stack([(columns * inside).sum(), (rows * inside).sum()]) / inside.sum()
    torch.testing.assert_close(to_photo(seen[None])[0], torch.tensor([46.5 * 2, 11.5 * 3]), atol=1.5, rtol=0)


def test_a_second_look_gives_its_own_landmarks(photo):
    looked = []

    def find(img):
        looked.append(img)
        crop = Crop.from_landmarks(POINTS)
        own = Crop(x=crop.x, y=crop.y, side=crop.side * 1.25, angle_deg=crop.angle_deg)
        return [as_face(own.to_crop_coords(POINTS, resolution=320).float() + 1)]

    face = look_again(photo, POINTS, find)
    assert looked[0].shape == (1, 3, 320, 320)
    shift = Crop.from_landmarks(POINTS).side * 1.25 / 320
    assert 0.5 * shift < float((face.points - POINTS).norm(dim=1).mean()) < 3 * shift
    assert look_again(photo, POINTS, lambda img: []) is None
    assert look_again(photo, POINTS, lambda img: [as_face(torch.rand(5, 2) * 40)]) is None


def test_a_face_seen_at_two_angles_is_one():
    faces = [as_face(POINTS, 0.97), as_face(POINTS + 2, 0.99), as_face(POINTS + 200, 0.96)]
    assert [face.score for face in _drop_doubles(faces)] == [0.99, 0.96]


def test_where_the_finder_sees_nothing_there_is_nothing(photo):
    assert find_tilted_faces(photo, lambda img: []) == []


@pytest.mark.network
@pytest.mark.skipif(os.environ.get("GANVAS_TEST_NETWORK") != "1", reason="needs the catalogue's face finder")
@pytest.mark.parametrize("deg", range(0, 360, 45))
def test_the_astronaut_is_found_at_any_angle(photo, deg):
    img, points = turned(photo, POINTS, deg)
    face = find_faces(img, finder=FaceFinder())[0]
    assert (tilt_deg(face.points) - tilt_deg(points) + 180) % 360 - 180 == pytest.approx(0, abs=15)
