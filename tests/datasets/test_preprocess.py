"""One photo made to fit: the right part of it, by the filter that is promised, upright and opaque."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.datasets.preprocess import ImagePreprocessor
from ganvas.errors import BadConfig, BadImage
from ganvas.images.crop import Crop
from tests.datasets.makers import colours, encoded


def read(fit, data):
    return fit.read(data, name="x")[0].astype(int)


def slow_lanczos(line, size):
    """[L] → [size] by the definition: a Lanczos-3 window as wide as the shrinking, its weights summing to one."""
    scale = len(line) / size
    centres = (np.arange(size) + 0.5) * scale - 0.5
    away = (np.arange(len(line))[None] - centres[:, None]) / max(scale, 1)
    weights = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True) @ line


@pytest.mark.parametrize("size", [16, 40, 8])
def test_resizing_is_lanczos_widened_with_the_scale(size):
    pixels = colours(1)
    rows = np.apply_along_axis(slow_lanczos, 0, pixels.astype(float), size)
    slow = np.apply_along_axis(slow_lanczos, 1, rows, size).clip(0, 255).transpose(2, 0, 1)
    assert (
        np.abs(read(ImagePreprocessor(resolution=size), encoded(pixels)) - slow).max() <= 1.5
    )  # Pillow rounds in between


def test_a_picture_of_the_right_size_stays_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    fitted, facts = ImagePreprocessor(resolution=32).read(encoded(pixels), name="x")
    assert (fitted == pixels.transpose(2, 0, 1)).all() and fitted.flags.c_contiguous
    assert (facts.width, facts.height, facts.grey, facts.alpha, facts.deep) == (32, 32, False, False, False)


@pytest.mark.parametrize(("width", "height"), [(41, 24), (24, 41)])
def test_center_takes_the_middle_square(width, height):
    pixels = colours(2, width=width, height=height)
    left, top = (width - 24) // 2, (height - 24) // 2
    assert (
        read(ImagePreprocessor(resolution=24), encoded(pixels))
        == pixels[top : top + 24, left : left + 24].transpose(2, 0, 1)
    ).all()


def test_pad_shows_all_of_it_and_bars_of_the_background():
    pixels = np.full((20, 40, 3), 100, np.uint8)
    fitted = read(ImagePreprocessor(resolution=40, crop="pad", background="#102030"), encoded(pixels))
    assert (fitted[:, 10:30] == 100).all()
    bars = np.concatenate([fitted[:, :10], fitted[:, 30:]], axis=1)
    assert (bars == np.array([0x10, 0x20, 0x30])[:, None, None]).all()


def test_transparency_is_laid_on_the_background():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, :8] = (200, 100, 0, 255)
    pixels[:, 8:] = (200, 100, 0, 51)  # a fifth
    fitted, facts = ImagePreprocessor(resolution=16, background="white").read(encoded(pixels), name="x")
    assert facts.alpha
    assert fitted[:, 0, 0].tolist() == [200, 100, 0]
    assert fitted[:, 0, 15].tolist() == [244, 224, 204]  # 0.2 · colour + 0.8 · 255


def test_grey_becomes_three_equal_channels_or_one():
    pixels = colours(3, channels=1)
    three, facts = ImagePreprocessor(resolution=24).read(encoded(pixels), name="x")
    assert facts.grey and three.shape == (3, 24, 24) and (three == pixels[..., 0]).all()
    one = ImagePreprocessor(resolution=24, channels=1).read(encoded(colours(3)), name="x")[0]
    assert one.shape == (1, 24, 24)
    assert np.abs(one[0] - colours(3) @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_sixteen_bits_are_rounded_to_eight():
    deep = np.arange(16 * 16, dtype=np.uint16).reshape(16, 16) * 257
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG")
    fitted, facts = ImagePreprocessor(resolution=16).read(file.getvalue(), name="x")
    assert facts.deep and (fitted[0] == np.arange(256).reshape(16, 16)).all()


def test_a_photo_on_its_side_is_turned_and_says_its_upright_size():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    stored = colours(4, width=400, height=300)
    data = encoded(stored, "JPEG", quality=95, exif=exif)
    for size in (16, 200):  # decoded smaller, and whole
        fitted, facts = ImagePreprocessor(resolution=size).read(data, name="x")
        assert (facts.width, facts.height) == (300, 400)
        upright = Image.fromarray(np.ascontiguousarray(np.rot90(stored, -1))[50:350])
        same = np.asarray(upright.resize((size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
        assert np.abs(fitted.astype(int) - same).mean() < 2


def test_a_large_jpeg_decoded_smaller_is_nearly_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    fine = np.clip(colours(5, width=640, height=512).astype(int) + rng.integers(-40, 41, (512, 640, 3)), 0, 255)
    data = encoded(fine.astype(np.uint8), "JPEG", quality=95)
    fit = ImagePreprocessor(resolution=32)
    quick, facts = fit.read(data, name="x")
    monkeypatch.setattr(ImagePreprocessor, "_worth_shrinking", lambda self, data: None)
    whole, same = fit.read(data, name="x")
    assert facts == same and (facts.width, facts.height) == (640, 512)
    difference = np.abs(quick.astype(int) - whole)
    assert 0 < difference.mean() < 1 and difference.max() <= 6  # 0: it was decoded smaller indeed


def test_too_small_a_photo_is_refused_unless_wanted():
    data = encoded(colours(6, width=20, height=10))
    with pytest.raises(BadImage, match="20 x 10 pixels, less than 16"):
        ImagePreprocessor(resolution=32).read(data, name="x")
    assert ImagePreprocessor(resolution=32, smallest=1).read(data, name="x")[0].shape == (3, 32, 32)
    assert ImagePreprocessor(resolution=32, crop="pad").read(data, name="x")[0].shape == (
        3,
        32,
        32,
    )  # its longer side counts


def test_aligned_squares_are_cut_by_the_same_filter():
    pixels = colours(7, width=96, height=80)
    wanted = [Crop(x=48, y=40, side=64), Crop(x=20, y=20, side=8)]  # the second is too small
    (fitted,), facts = ImagePreprocessor(resolution=32).read_aligned(encoded(pixels), lambda img: wanted, name="x")
    part = Image.fromarray(pixels[8:72, 16:80]).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(fitted.astype(int) - np.asarray(part).transpose(2, 0, 1)).max() <= 1
    assert (facts.width, facts.height) == (96, 80)
    for none in ([], wanted[1:]):
        with pytest.raises(BadImage, match="to align on; at least 16"):
            ImagePreprocessor(resolution=32).crop_aligned(torch.zeros(1, 3, 80, 96), lambda img, none=none: none)


@pytest.mark.parametrize(
    "wrong", [{"resolution": 3}, {"crop": "centre"}, {"channels": 4}, {"background": "no colour"}, {"resolution": 9999}]
)
def test_settings_that_do_not_exist_are_refused(wrong):
    with pytest.raises(BadConfig):
        ImagePreprocessor(**{"resolution": 16, **wrong})
