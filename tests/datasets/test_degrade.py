"""The degradations of Real-ESRGAN: kernels by their formulas, noise by its statistics, the whole by its habits."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.datasets.degrade import (
    DegradeConfig,
    DegradeRound,
    bell_kernel,
    degrade,
    filter2d,
    gaussian_noise,
    jpeg_compress,
    poisson_noise,
    sinc_kernel,
)
from ganvas.errors import BadConfig, BadImage

NOTHING = DegradeRound(blur=0, enlarge=0, shrink=0, noise_levels=(0, 0), gaussian_noise=1, jpeg_quality=(100, 100))


def rng(seed=0):
    return np.random.default_rng(seed)


def wave(size=48):
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    return torch.stack([(x / 9).sin() * (y / 7).cos() * 0.7, (x / 11).cos() * 0.5, (y / 13).sin() * 0.6])[None]


def test_a_round_gaussian_is_the_product_of_two():
    line = torch.exp(-0.5 * (torch.arange(-6.0, 7.0) / 1.7) ** 2)
    line = line / line.sum()
    assert torch.allclose(bell_kernel(13, sigma_px=(1.7, 1.7)), torch.outer(line, line), atol=1e-7)


@pytest.mark.parametrize("shape", ["gaussian", "generalised", "plateau"])
def test_bells_sum_to_one_and_turn(shape):
    kernel = bell_kernel(21, sigma_px=(3.0, 0.8), shape=shape, power=1.5)
    turned = bell_kernel(21, sigma_px=(3.0, 0.8), shape=shape, power=1.5, angle=math.pi / 2)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(turned, kernel.T, atol=1e-7)
    assert float(kernel[10, 14]) > float(kernel[14, 10])  # the first axis, here x, is the wide one


def test_bells_of_other_shapes_are_their_formulas():
    d = 2 / 1.5  # two pixels from the middle
    generalised = bell_kernel(9, sigma_px=(1.5, 1.5), shape="generalised", power=0.6)
    plateau = bell_kernel(9, sigma_px=(1.5, 1.5), shape="plateau", power=1.8)
    assert float(generalised[4, 6] / generalised[4, 4]) == pytest.approx(math.exp(-0.5 * d ** (2 * 0.6)), rel=1e-5)
    assert float(plateau[4, 6] / plateau[4, 4]) == pytest.approx(1 / (1 + d ** (2 * 1.8)), rel=1e-5)


def test_the_ringing_filter_passes_what_is_slow_and_stops_what_is_fast():
    kernel = sinc_kernel(math.pi / 2, 21)
    at = torch.arange(-10.0, 11.0)
    answer = [float((kernel.sum(dim=0) * (frequency * at).cos()).sum()) for frequency in (0.2, 0.8, 2.4, 3.0)]
    assert answer[0] == pytest.approx(1, abs=0.08) and answer[1] == pytest.approx(1, abs=0.15)
    assert abs(answer[2]) < 0.1 and abs(answer[3]) < 0.1
    assert float(kernel.min()) < 0  # so it rings
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)


def test_filtering_is_correlation_in_each_channel():
    x, kernel = torch.rand(1, 3, 12, 10), torch.rand(5, 5)
    y = filter2d(x, kernel)
    assert float(y[0, 1, 6, 4]) == pytest.approx(float((x[0, 1, 4:9, 2:7] * kernel).sum()), rel=1e-5)
    assert y.shape == x.shape
    assert filter2d(torch.rand(1, 3, 2, 9), kernel).shape == (1, 3, 2, 9)


def test_noise_has_its_statistics():
    x = torch.full((1, 3, 150, 150), 0.4)
    noise = gaussian_noise(x, 20, grey=False, rng=rng())
    assert float(noise.std() * 255) == pytest.approx(20, rel=0.02)
    grey = gaussian_noise(x, 20, grey=True, rng=rng())
    assert torch.equal(grey[:, 0], grey[:, 2])
    photons = poisson_noise(x, grey=False, rng=rng())
    assert float((photons * 255).var()) == pytest.approx(0.4 * 255, rel=0.03)
    assert float(photons.mean() * 255) == pytest.approx(0, abs=0.15)
    assert torch.equal(*poisson_noise(x, grey=True, rng=rng())[:, :2].split(1, dim=1))


def test_jpeg_is_pillows():
    x = (wave() + 1) / 2
    pixels = (x[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=40, subsampling=2)
    theirs = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255
    assert float((jpeg_compress(x, quality=40) - theirs).abs().max()) < 1e-6
    errors = [float((jpeg_compress(x, quality=quality) - x).square().mean()) for quality in (95, 60, 30)]
    assert errors == sorted(errors)


def test_where_nothing_may_happen_the_picture_only_shrinks():
    config = DegradeConfig(first=NOTHING, second=NOTHING, final_sinc=0)
    img = wave(48)[:, :1].expand(-1, 3, -1, -1)  # grey, since JPEG keeps colours at half size only
    small = degrade(img, scale=4, rng=rng(), config=config)
    means = torch.nn.functional.avg_pool2d(img, 4)
    assert small.shape == (1, 3, 12, 12)
    assert float((small - means).abs().max()) < 0.06


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_same_seed_makes_the_same_picture_and_another_makes_another(scale):
    img = wave(48)
    one, same, other = (degrade(img, scale=scale, rng=rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.shape == (1, 3, 48 // scale, 48 // scale)
    levels = (one + 1) * 127.5
    assert float(one.abs().max()) <= 1 and float((levels - levels.round()).abs().max()) < 1e-3


def test_many_pictures_are_degraded_in_many_ways_and_none_is_lost():
    """Over seeds: never blank, always like the picture, and by very different amounts."""
    img = wave(64)
    clean = torch.nn.functional.avg_pool2d(img, 4)
    errors = [float((degrade(img, scale=4, rng=rng(seed)) - clean).square().mean().sqrt()) for seed in range(60)]
    assert max(errors) < 0.6
    assert max(errors) > 3 * min(errors)
    alike = [torch.corrcoef(torch.stack([degrade(img, scale=4, rng=rng(seed)).flatten(), clean.flatten()]))[0, 1]
             for seed in range(10)]  # fmt: skip
    assert float(torch.stack(alike).median()) > 0.7


def test_tiny_pictures_and_what_does_not_fit():
    assert degrade(torch.zeros(1, 3, 4, 4), scale=4, rng=rng()).shape == (1, 3, 1, 1)
    with pytest.raises(BadImage, match="multiples of 4"):
        degrade(torch.zeros(1, 3, 6, 8), scale=4, rng=rng())
    with pytest.raises(BadConfig, match="scale must be 1 or more, got 0"):
        degrade(torch.zeros(1, 3, 8, 8), scale=0, rng=rng())
    with pytest.raises(BadConfig, match="odd"):
        DegradeConfig(kernel_px=(7, 12))
    with pytest.raises(BadConfig, match="add up to 1"):
        DegradeRound(shapes=(0.5, 0.1, 0.1))
    with pytest.raises(BadConfig, match="from 0 to 1"):
        DegradeRound(enlarge=0.6, shrink=0.6)
    with pytest.raises(BadConfig, match="factor goes"):
        DegradeRound(factor=(0, 1.5))
