"""Average power spectra: which frequencies a set of pictures holds, and where a generator has too many or too few.

A blurred generator lacks the fine ones; a pattern that sticks to the pixels, as of a poor upsampling, is a peak.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", appendix A (average spectra), after Durall et
al. 2020, "Watch your Up-Convolution".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import BadConfig
from ganvas.images.line_chart import Curve, Panel, draw_panels
from ganvas.images.tensors import from_pixels
from ganvas.metrics.feature_extractor import DatasetLike, OnExtractStep, choose_indices, fake_pixels, real_pixels

MIN_IMAGES_SPECTRUM = 50
KAISER_BETA = 8.0  # of the window that hides the borders
COARSEST_CYCLES = 4  # a picture; below, the window blurs one frequency into the next
_SMALLEST_POWER = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class PowerSpectrum:
    """Mean power of a set's frequencies."""

    power: Tensor  # [R, R] float64, frequency 0 in the middle at (R // 2, R // 2); 1 = as white noise of variance 1

    @property
    def profile(self) -> Tensor:
        """[R // 2 + 1], the mean over each ring: power at 0, 1, … cycles a picture."""
        size = len(self.power)
        side = torch.arange(size, dtype=torch.float64) - size // 2
        ring = (side[:, None].square() + side.square()).sqrt().round().long().flatten()
        sums, counts = (
            torch.zeros(int(ring.max()) + 1, dtype=torch.float64).index_add(0, ring, values)
            for values in (self.power.flatten(), torch.ones(ring.shape, dtype=torch.float64))
        )
        return (sums / counts)[: size // 2 + 1]

    @property
    def profile_db(self) -> Tensor:
        """The profile in decibels."""
        return 10 * self.profile.clamp_min(_SMALLEST_POWER).log10()


def power_spectrum(batches: Iterable[Tensor]) -> PowerSpectrum:
    """The mean over pictures and channels of |FFT|², each picture less its mean colour, under Kaiser's window.

    Args:
        batches: uint8 [n, C, R, R] or img in [-1, 1], batch by batch, all of one size.

    Raises:
        BadConfig: no picture at all.
    """
    total, count = torch.zeros(()), 0
    for batch in batches:
        img = (batch.float() / 127.5 - 1 if batch.dtype == torch.uint8 else batch.float()).cpu()
        line = torch.kaiser_window(img.shape[3], periodic=False, beta=KAISER_BETA)
        window = torch.outer(line, line)
        img = (img - img.mean(dim=(2, 3), keepdim=True)) * (window / window.square().mean().sqrt())
        power = torch.fft.fft2(img).abs().double().square().mean(dim=1) / (img.shape[2] * img.shape[3])
        total, count = total + power.sum(dim=0), count + len(img)
    if not count:
        raise BadConfig("power_spectrum expects at least one picture, got none")
    return PowerSpectrum(power=torch.fft.fftshift(total / count))


def spectra_of(
    G: Any, pictures: DatasetLike, *, num: int, seed: int, on_step: OnExtractStep | None = None
) -> dict[str, PowerSpectrum]:
    """{"data": …, "fakes": …} of `num` fakes and at most as many of the data."""
    real = power_spectrum(real_pixels(pictures, choose_indices(len(pictures), num, seed)))
    return {
        "data": real,
        "fakes": power_spectrum(fake_pixels(G, num=num, seed=seed, pictures=pictures, on_step=on_step)),
    }


def octaves(size: int) -> list[tuple[int, int]]:
    """[(from, below) in cycles a picture], from fine to coarse: half of the frequencies, a quarter of them, …"""
    bands, high = [], size // 2
    while high >= COARSEST_CYCLES:
        bands.append((high // 2, high))
        high //= 2
    return [(low, high + (high == size // 2)) for low, high in bands]  # the last frequency belongs to the first


def octave_gaps_db(ours: PowerSpectrum, theirs: PowerSpectrum) -> dict[tuple[int, int], float]:
    """{octave: how much more power the one has than the other, in decibels}, fine to coarse."""
    gap = ours.profile_db - theirs.profile_db
    return {band: float(gap[slice(*band)].mean()) for band in octaves(len(ours.power))}


def draw_spectra(spectra: dict[str, PowerSpectrum]) -> Tensor:
    """The profiles as curves in one panel, and each spectrum as a map: dark = little power, the same scale for all.

    Args:
        spectra: name → spectrum, all of one size: {"data": …, "fakes": …}.

    Returns:
        img [1, 3, H, W].
    """
    profiles = {name: each.profile_db[1:].tolist() for name, each in spectra.items()}
    curves = [Curve(name, range(1, len(profile) + 1), profile) for name, profile in profiles.items()]
    title = "Mean power of frequencies, dB"
    page = np.asarray(draw_panels([Panel(title, curves, log=False, x_name="cycles per picture")]))
    maps = [np.asarray(each.power.clamp_min(_SMALLEST_POWER).log10()) for each in spectra.values()]
    low, high = min(each.min() for each in maps), max(each.max() for each in maps)
    boxes = [_as_map((each - low) / max(high - low, 1e-9), len(page)) for each in maps]
    return from_pixels(np.concatenate([page, *boxes], axis=1))


def _as_map(values: np.ndarray, height: int) -> np.ndarray:
    """[R, R] in [0, 1] → grey uint8 [height, height, 3], a white line at the left."""
    places = np.arange(height) * len(values) // height
    grey = (values[np.ix_(places, places)] * 255).astype(np.uint8)
    grey[:, :2] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def list_powers(spectra: dict[str, PowerSpectrum]) -> str:
    """The profiles as comma-separated lines: cycles a picture, then the power of each set in decibels."""
    lines = [",".join(["cycles_per_picture", *(f"{name}_db" for name in spectra)])]
    rows = zip(*(each.profile_db.tolist() for each in spectra.values()), strict=True)
    lines += [",".join([str(cycles), *(f"{value:.3f}" for value in row)]) for cycles, row in enumerate(rows)]
    return "\n".join(lines) + "\n"
