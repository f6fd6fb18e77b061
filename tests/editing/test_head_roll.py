"""Leaning the head: within the oval a turn about the neck by the whole angle, nothing far away, and no fold."""

import math

import pytest
import torch

from ganvas.editing.head_roll import NECK, ROLL_REACH, roll_field
from ganvas.editing.part_steps import HeadRoll
from ganvas.images.crop import Crop, Window
from ganvas.images.photo import Photo
from ganvas.session.part_rendering import apply_part_step

CROP = Crop(x=110.0, y=95.0, side=60.0, angle_deg=20.0)  # the face itself stands askew
WHOLE = Window(left=0, top=0, width=220, height=200)


def places():
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(220) + 0.5, indexing="ij")
    return torch.stack([x, y])[None]


def test_the_face_turns_about_the_neck_and_what_is_far_stays():
    field = roll_field(CROP, WHOLE, 10.0)
    x, y = CROP.to_photo_coords([[0.5, 0.45]], resolution=1)[0].round().long().tolist()  # between the eyes
    neck = CROP.to_photo_coords([NECK], resolution=1)[0]
    here = torch.tensor([x + 0.5, y + 0.5]) - neck
    there = here + field[0, :, y, x]
    turn = math.degrees(math.atan2(here[1], here[0]) - math.atan2(there[1], there[0]))
    assert turn == pytest.approx(10.0, abs=0.01) and there.norm() == pytest.approx(here.norm().item(), rel=1e-4)
    crop = CROP.to_crop_coords(places()[0].flatten(1).T, resolution=1)
    far = ((crop - 0.5).abs().amax(dim=1) > ROLL_REACH / 2) | (crop[:, 1] > 1.2)
    assert far.any() and not field.flatten(2)[0][:, far].any()


@pytest.mark.parametrize("degrees", [-15.0, 15.0])
def test_nothing_folds_at_the_ends(degrees):
    source = places() + roll_field(CROP, WHOLE, degrees)
    along, down = source[..., :-1, 1:] - source[..., :-1, :-1], source[..., 1:, :-1] - source[..., :-1, :-1]
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    assert area.min() > 0.1


def test_a_photo_and_its_transparency_lean_together():
    img = torch.linspace(-1, 1, 220).expand(1, 3, 200, 220).contiguous()
    photo = Photo(img=img, alpha=(img[:, :1] + 1) / 2)
    leaned = apply_part_step(photo, HeadRoll(amount=12.0), CROP)
    moved = (leaned.img != img).any(dim=1)
    assert 0.1 < moved.float().mean() < 0.6
    assert torch.allclose(leaned.alpha, (leaned.img[:, :1] + 1) / 2, atol=0.02)
