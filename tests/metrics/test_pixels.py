"""PSNR and SSIM with the habits of papers, against values written out; sharpness against what it must mean."""

import math

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.metrics.pixels import rgb_to_y, sharpness, sr_psnr_db, sr_ssim
from ganvas.ops.blur import gaussian_blur


def picture(seed=0, height=24, width=30):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def levels(value):
    """A flat picture of one grey level, 0 … 255."""
    return torch.full((1, 3, 20, 20), value / 127.5 - 1)


@pytest.mark.parametrize(("difference", "expected"), [(1, 48.1308), (10, 28.1308), (255, 0.0)])
def test_psnr_of_known_differences(difference, expected):
    """20 log10(255 / difference): 48.13 dB is one grey level everywhere."""
    assert float(sr_psnr_db(levels(0), levels(difference))) == pytest.approx(expected, abs=1e-3)
    assert math.isinf(float(sr_psnr_db(levels(9), levels(9))))


@pytest.mark.parametrize(
    ("colour", "y"),
    [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_of_known_colours(colour, y):
    """The corners of the colour cube, as the recommendation has them."""
    img = (torch.tensor(colour) / 127.5 - 1).view(1, 3, 1, 1)
    assert float((rgb_to_y(img) + 1) * 127.5) == pytest.approx(y, abs=1e-3)


def test_luma_psnr_is_the_written_out_one():
    a, b = picture(0), picture(1)
    ya, yb = (
        16 + sum(w * (each[0, k].double().numpy() + 1) * 127.5 / 255 for k, w in enumerate((65.481, 128.553, 24.966)))
        for each in (a, b)
    )
    expected = 20 * math.log10(255) - 10 * math.log10(np.mean((ya[3:-3, 3:-3] - yb[3:-3, 3:-3]) ** 2))
    assert float(sr_psnr_db(a, b, channels="y", shave_px=3)) == pytest.approx(expected, abs=1e-4)


def test_grey_differences_count_less_in_luma():
    """219 of 255 steps: a grey difference is 20 log10(255 / 219) = 1.32 dB quieter."""
    quieter = sr_psnr_db(levels(50), levels(60), channels="y") - sr_psnr_db(levels(50), levels(60))
    assert float(quieter) == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)


def test_the_border_can_be_left_out():
    a = picture()
    b = a.clone()
    b[:, :, :2], b[:, :, :, -2:] = 1, -1
    assert float(sr_psnr_db(a, b)) < 20
    assert math.isinf(float(sr_psnr_db(a, b, shave_px=2)))
    assert float(sr_ssim(a, b, shave_px=2)) == pytest.approx(1, abs=1e-5)
    assert float(sr_ssim(a, b)) < 0.998  # the window weighs its own border little


def test_ssim_of_flat_pictures_is_the_formula():
    """Without variance only (2 m n + c1) / (m² + n² + c1) is left, with m and n the means in the range of values."""
    a, b = levels(100), levels(140)
    m, n, c1 = float(a[0, 0, 0, 0]), float(b[0, 0, 0, 0]), (0.01 * 2) ** 2
    assert float(sr_ssim(a, b)) == pytest.approx((2 * m * n + c1) / (m * m + n * n + c1), abs=1e-4)


def test_sharpness_of_a_ramp_is_its_slope():
    """A ramp of 4 levels a pixel has g = 4 everywhere but where the blur meets the border: luma's share 219 / 255."""
    ramp = (torch.arange(40.0) * 4 / 127.5 - 1).expand(1, 3, 40, 40).contiguous()
    slope = 4 * 219 / 255
    assert float(sharpness(ramp)) == pytest.approx(10 * math.log10(1 + slope**2), abs=0.4)
    assert float(sharpness(levels(70))) == pytest.approx(0, abs=1e-4)


def test_blur_lowers_sharpness_and_fine_grain_does_not_fake_it():
    torch.manual_seed(0)
    edges = torch.where(torch.arange(64) % 16 < 8, -0.8, 0.8).expand(1, 3, 64, 64).contiguous()
    soft = gaussian_blur(edges, 2.0)
    grain = soft + 0.02 * torch.randn_like(soft)
    assert float(sharpness(edges)) > float(sharpness(soft)) + 3
    assert float(sharpness(grain)) - float(sharpness(soft)) < 0.1


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadConfig, match="known: rgb, y"):
        sr_psnr_db(picture(), picture(), channels="lab")
    with pytest.raises(BadConfig, match="0 or more"):
        sr_psnr_db(picture(), picture(), shave_px=-1)
    with pytest.raises(BadImage, match="nothing is left"):
        sr_ssim(picture(), picture(), shave_px=12)
    with pytest.raises(BadImage, match="same size"):
        sr_psnr_db(picture(), picture(height=20))
    with pytest.raises(BadImage, match="3 x 3"):
        sharpness(torch.zeros(1, 3, 2, 9))
