"""Metrics without a feature network against slow definitions, planted copies, and figures that may not be compared."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig
from ganvas.metrics.compare import compare_lines, read_figures, subtract_figures
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.nearest import Copy, draw_nearest, find_copies, find_nearest
from ganvas.metrics.sliced_wasserstein import slice_distance, sliced_wasserstein
from ganvas.ops.psnr_ssim import ms_ssim_rgb
from tests.metrics.makers import NoiseGenerator, NoisePictures, small_eyes


def smooth(count, px, seed):
    """uint8 [count, 3, px, px], soft, all different."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    return (255 * nn.functional.interpolate(coarse, (px, px), mode="bilinear")).to(torch.uint8)


def slow_ms_ssim(a, b, weights):
    """Window by window, scale by scale, in [-1, 1] and one channel."""
    at = np.arange(11) - 5
    bell = np.exp(-0.5 * (at / 1.5) ** 2)
    window, product = np.outer(bell, bell) / bell.sum() ** 2, 1.0
    for scale, weight in enumerate(weights):
        values = []
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                value = (2 * (window * (p - mp) * (q - mq)).sum() + 0.06**2) / (vp + vq + 0.06**2)
                if scale == len(weights) - 1:
                    value *= (2 * mp * mq + 0.02**2) / (mp**2 + mq**2 + 0.02**2)
                values.append(value)
        product *= max(np.mean(values), 0) ** (weight / sum(weights))
        a, b = (x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean(axis=(1, 3)) for x in (a, b))
    return product


def test_ms_ssim_is_its_definition():
    a = smooth(1, 24, 0)[:, :1].double().div(127.5).sub(1)
    b = (0.7 * a + 0.2 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    slow = slow_ms_ssim(a[0, 0].numpy(), b[0, 0].numpy(), (0.0448, 0.2856))
    assert float(ms_ssim_rgb(a, b)) == pytest.approx(slow, abs=1e-5)
    assert float(ms_ssim_rgb(a, a)) == pytest.approx(1, abs=1e-6)


def test_sliced_wasserstein_of_a_shift_is_its_mean_shadow_and_blur_shows_at_the_finest_level():
    rng = torch.Generator().manual_seed(0)
    rows, shift = torch.randn(50, 3, generator=rng), torch.tensor([1.0, 0.0, 0.0])
    distance = slice_distance(rows, rows + shift, directions=400, rng=rng)
    assert distance == pytest.approx(0.5, abs=0.05)  # a unit vector's mean |cosine| in three dimensions
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=rng, dtype=torch.uint8)
    assert sliced_wasserstein(pixels, pixels, directions=4) == {32: 0, 16: 0}
    soft = nn.functional.avg_pool2d(pixels.float(), 3, 1, 1).to(torch.uint8)
    levels = sliced_wasserstein(pixels, soft, directions=16)
    other = sliced_wasserstein(
        pixels, torch.randint(0, 256, pixels.shape, generator=rng, dtype=torch.uint8), directions=16
    )
    assert levels[32] > 2 * other[32] and levels[32] / other[32] > levels[16] / other[16]
    with pytest.raises(BadConfig, match="one shape"):
        sliced_wasserstein(pixels, pixels[:5])


class Parrot(NoiseGenerator):
    """Some of its pictures are the data's, one of them mirrored and brighter."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels, self.made = pixels, 0

    def synthesis(self, ws, **options):
        start, self.made = self.made, self.made + len(ws)
        return self.pixels[start : self.made].float().div(127.5).sub(1)


def parrot(count=60):
    pictures, fakes = NoisePictures(50), smooth(count, 32, 9)
    pictures.pixels, pictures.img_resolution = smooth(50, 32, 3), 32
    fakes[7], fakes[30] = pictures.pixels[12], (pictures.pixels[5].flip(2).int() + 3).clamp(0, 255).to(torch.uint8)
    G = Parrot(fakes)
    G.img_resolution = 32
    return G, pictures, fakes


def test_planted_copies_are_found_and_no_others():
    G, pictures, fakes = parrot()
    assert find_copies([fakes[:20], fakes[20:]], pictures) == [Copy(fake=7, real=12), Copy(fake=30, real=5)]
    (result,) = evaluate(G, pictures, metrics=("copies",), num=60, extractor=None)
    assert result.value == pytest.approx(2 / 60) and "fake 7 = image 12" in result.cautions[0]
    G.made = 0
    sheet = draw_nearest(G, pictures, num=60, seed=0, extractor=small_eyes())
    for left in (0, 34):  # the fake, and the picture that it copies
        cell = sheet[0, :, :32, left : left + 32]
        assert torch.equal(((cell + 1) * 127.5).round().to(torch.uint8), pictures.pixels[12])
    real, fake = torch.randn(30, 4), torch.randn(5, 4)
    distances, indices = find_nearest(real, fake, k=2)
    slow = torch.cdist(fake.double(), real.double()).sort(dim=1)
    assert torch.equal(indices, slow.indices[:, :2])
    torch.testing.assert_close(distances, slow.values[:, :2])


def test_variety_is_that_of_pairs_and_texts_say_what_it_is():
    G, pictures, _ = parrot()
    (variety,) = evaluate(G, pictures, metrics=("msssim",), num=60, extractor=None)
    assert 0 < variety.value < 1 and variety.floor is not None and "2 scales" in variety.protocol.details
    assert "no network" in variety.line()
    with pytest.raises(BadConfig, match="swd needs at least 64"):
        evaluate(G, pictures, metrics=("swd",), num=60, extractor=None)
    with pytest.raises(BadConfig, match="feature network"):
        evaluate(G, pictures, metrics=("kid",), num=60, extractor=None)


def test_figures_of_another_protocol_are_not_compared(tmp_path):
    pictures = NoisePictures(220)
    (before,) = evaluate(NoiseGenerator(spread=0.2), pictures, metrics=("fd",), num=220, extractor=small_eyes())
    (after,) = evaluate(NoiseGenerator(spread=0.3), pictures, metrics=("fd",), num=220, extractor=small_eyes())
    (tmp_path / "f.json").write_text(json.dumps({"figures": [before.to_dict()]}))
    earlier = read_figures(tmp_path / "f.json")
    assert subtract_figures(after, earlier["FD-Pool"]) == pytest.approx(after.value - before.value)
    assert compare_lines([after], earlier)[0].endswith("better)")
    other = dataclasses.replace(after, protocol=dataclasses.replace(after.protocol, fake=500))
    with pytest.raises(BadConfig, match=r"is not compared.*fake 500 and 220"):
        subtract_figures(other, earlier["FD-Pool"])
    assert "is not compared" in compare_lines([other], earlier)[0]
