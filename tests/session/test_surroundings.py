"""Hair around the crop takes the colour that an edit gave it inside, in the astronaut photo."""

from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.editing.blend import Change
from ganvas.editing.colour_shift import measure_shift
from ganvas.editing.residual import LEVEL, to_ycc
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.session.surroundings import Surroundings

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
CROP = Crop.from_landmarks([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])
SIZE = 128


@pytest.fixture(scope="module")
def lighter():
    """All there is about an edit that makes hair lighter and redder by 40 levels."""
    before = 0.1 * torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) - 0.5
    after = before + torch.tensor([60.0, 40.0, 30.0]).view(1, 3, 1, 1) * LEVEL
    whole, none = torch.ones(1, 1, SIZE, SIZE), torch.zeros(1, 1, SIZE, SIZE)
    shift = measure_shift(to_ycc(before), to_ycc(after), whole, whole)
    assert shift is not None
    return Change(after, none, none, torch.zeros(1, 2, SIZE, SIZE), before, none, {"hair": shift})


def test_hair_around_the_crop_changes_and_another_persons_does_not(lighter):
    photo = read_image(ASTRONAUT)
    photo = Photo(img=torch.cat([photo.img[..., :320, 100:340], photo.img[..., :320, 120:360]], dim=3))
    crop = Crop(x=CROP.x - 100, y=CROP.y, side=CROP.side, angle_deg=CROP.angle_deg)
    assert crop.window(width=480, height=320).width < 240  # the other one stands beside
    done = Surroundings(photo.img, crop).carry_on(photo, lighter)
    change = (done.img - photo.img).abs().amax(dim=1)[0]
    assert (change[:, :240] > 20 * LEVEL).sum() > 100
    assert change[:, 240:].max() == 0
    inside = crop.coverage(crop.window(width=480, height=320))[0, 0] == 1
    window = crop.window(width=480, height=320)
    place = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
    assert change[place][inside].max() == 0  # there it is the edit's own
    assert change[:20, :60].max() == 0  # the wall


def test_without_a_change_of_colour_the_photo_is_as_it_was(lighter):
    photo = read_image(ASTRONAUT)
    plain = Change(*[getattr(lighter, name) for name in ("visible", "gate", "keep", "flow", "source", "outside")], {})
    assert Surroundings(photo.img, CROP).carry_on(photo, plain) is photo
