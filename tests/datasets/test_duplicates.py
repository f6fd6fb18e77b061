"""Pictures that are there twice are found; pictures that merely resemble each other are not."""

import io
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from ganvas.datasets.duplicates import DuplicateIndex, _count_bits, hash_image
from ganvas.datasets.preprocess import ImagePreprocessor
from tests.datasets.makers import colours, encoded

FIT = ImagePreprocessor(resolution=64, smallest=1)


def sketch(data):
    return hash_image(FIT.read(data, name="x")[0])


@cache
def textured(number, size=128):
    """A smooth picture with some grain, as photos have."""
    grain = np.random.default_rng(number).normal(0, 6, (size, size, 1))
    return np.clip(colours(number, width=size, height=size) + grain, 0, 255).astype(np.uint8)


def resized(pixels, size):
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


COPIES = {
    "another format": lambda pixels: encoded(pixels, "WEBP", quality=80),
    "a low quality": lambda pixels: encoded(pixels, "JPEG", quality=30),
    "half the size": lambda pixels: encoded(resized(pixels, 64), "JPEG"),
    "twice the size": lambda pixels: encoded(resized(pixels, 256)),
    "a few pixels changed": lambda pixels: encoded(np.where(np.arange(128)[:, None, None] < 1, 0, pixels)),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_among_others(change):
    seen = DuplicateIndex()
    for number in range(60):
        seen.add(sketch(encoded(textured(number))))
    found = [seen.find_similar(sketch(COPIES[change](textured(number)))) for number in range(0, 60, 5)]
    assert found == list(range(0, 60, 5))


def test_others_are_not_taken_for_copies():
    seen = DuplicateIndex()
    for number in range(100):
        each = sketch(encoded(textured(number)))
        assert seen.find_similar(each) is None
        seen.add(each)


def test_the_same_outlines_in_other_colours_are_another_picture():
    seen, pixels = DuplicateIndex(), textured(1)
    seen.add(sketch(encoded(pixels)))
    shifted = np.clip(pixels.astype(int) + (0, 0, 40), 0, 255).astype(np.uint8)
    assert seen.find_similar(sketch(encoded(pixels))) == 0 and seen.find_similar(sketch(encoded(shifted))) is None


def test_flat_pictures_are_told_apart_by_their_colour():
    seen = DuplicateIndex()
    for level in range(0, 250, 10):
        each = hash_image(np.full((3, 32, 32), level, np.uint8))
        assert seen.find_similar(each) is None
        seen.add(each)
    assert seen.find_similar(hash_image(np.full((3, 32, 32), 51, np.uint8))) == 5


def test_the_bits_are_those_of_the_definition():
    cells = np.random.default_rng(0).permutation(72).reshape(8, 9).astype(np.uint8)  # no two alike
    slow = 0
    for row in cells.tolist():
        for left, right in pairwise(row):
            slow = slow * 2 + int(left < right)
    assert hash_image(np.kron(cells, np.ones((9, 8), np.uint8))[None]).bits == slow


def test_bits_are_counted_the_same_with_an_old_numpy(monkeypatch):
    numbers = np.random.default_rng(0).integers(0, 2**63, 50, dtype=np.uint64)
    slow = [int(number).bit_count() for number in numbers]
    assert _count_bits(numbers).tolist() == slow
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert _count_bits(numbers).tolist() == slow


def test_transparency_and_grey_are_no_obstacle():
    file = io.BytesIO()
    Image.fromarray(textured(3)).convert("LA").save(file, "PNG")
    assert sketch(file.getvalue()).colours.shape == (12 * 12 * 3,)
