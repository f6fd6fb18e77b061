"""Pixels ⇄ img: exact there and back, and the rounding that the style families' galleries were written with."""

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.images.tensors import from_pixels, to_pixels


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_every_value_comes_back(bits, dtype):
    pixels = np.arange(2**bits, dtype=dtype).reshape(-1, 16, 1)
    back = to_pixels(from_pixels(pixels), bits=bits)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, pixels)


def test_black_and_white_are_minus_one_and_one_at_both_depths():
    for white in (np.array([[0, 255]], np.uint8), np.array([[0, 65535]], np.uint16)):
        assert from_pixels(white).flatten().tolist() == [-1, 1]


def test_to_pixels_rounds_as_the_papers_galleries_do():
    img = torch.rand(1, 3, 64, 64) * 2.5 - 1.25
    galleries = (img * 127.5 + 128).clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(to_pixels(img), galleries.numpy())


def test_a_batch_and_a_flipped_read_only_view_are_taken():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    img = from_pixels(pixels)
    assert img.shape == (2, 3, 5, 4)
    view = pixels[0, ::-1]
    view.flags.writeable = False
    assert torch.equal(from_pixels(view), img[:1].flip(2))
    assert torch.equal(from_pixels(torch.from_numpy(pixels)), img)


def test_big_endian_sixteen_bit_is_read_by_value():
    assert torch.equal(from_pixels(np.array([[1, 256]], ">u2")), from_pixels(np.array([[1, 256]], np.uint16)))


def test_what_does_not_fit_is_named():
    with pytest.raises(BadImage, match="uint8 or uint16"):
        from_pixels(np.zeros((4, 4), np.float32))
    with pytest.raises(BadImage, match=r"\[1, C, H, W\]"):
        to_pixels(torch.zeros(2, 3, 4, 4))
    with pytest.raises(BadImage, match="NaN"):
        to_pixels(torch.full((1, 3, 4, 4), float("nan")))
    with pytest.raises(BadConfig, match="8 or 16"):
        to_pixels(torch.zeros(1, 3, 4, 4), bits=12)
