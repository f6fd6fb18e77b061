"""Eyes of the astronaut: open, half covered, and painted over."""

from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.errors import BadImage
from ganvas.features.eye_openness import measure_eye_openness
from ganvas.images.crop import Crop
from ganvas.images.files import read_image

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
CROP = Crop.from_landmarks([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])
EYES = [(95, 121), (160, 121)]  # of the crop at 256 px


@pytest.fixture(scope="module")
def photo():
    return read_image(ASTRONAUT).img


def covered(face, rows):
    """Skin of the cheek over the eyes, from the brow downward."""
    face = face.clone()
    for x, y in EYES:
        face[:, :, y - 12 : y - 12 + rows, x - 18 : x + 18] = face[:, :, 150:152, x - 2 : x + 2].mean(
            (2, 3), keepdim=True
        )
    return face


def test_lids_that_close_are_measured(photo):
    face = CROP.cut(photo, resolution=256)
    openness = [measure_eye_openness(covered(face, rows)).item() for rows in (0, 12, 24)]
    assert 0.15 < openness[0] < 0.6
    assert openness[0] > openness[1] > openness[2] and openness[2] < 0.3 * openness[0]


def test_the_size_of_the_picture_does_not_matter(photo):
    small, large = (measure_eye_openness(CROP.cut(photo, resolution=px)).item() for px in (256, 512))
    assert small == pytest.approx(large, rel=0.1)


def test_a_batch_is_measured_one_by_one(photo):
    face = CROP.cut(photo, resolution=256)
    both = measure_eye_openness(torch.cat([face, covered(face, 24)]))
    assert both.shape == (2,) and both[0] > both[1]


def test_another_shape_is_refused():
    with pytest.raises(BadImage):
        measure_eye_openness(torch.zeros(3, 8, 8))
