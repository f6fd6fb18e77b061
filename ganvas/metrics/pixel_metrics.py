"""Metrics of a generator that need no feature network: copies of the data, variety, textures, frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.metrics.feature_extractor import (
    BATCH,
    DatasetLike,
    OnExtractStep,
    choose_indices,
    fake_pixels,
    real_pixels,
)
from ganvas.metrics.nearest import find_copies
from ganvas.metrics.result import MetricResult, Protocol
from ganvas.metrics.sliced_wasserstein import MAX_IMAGES_SWD, MIN_IMAGES_SWD, sliced_wasserstein
from ganvas.metrics.spectra import KAISER_BETA, MIN_IMAGES_SPECTRUM, octave_gaps_db, power_spectrum
from ganvas.ops.psnr_ssim import MS_SSIM_WEIGHTS, WINDOW_PX, ms_ssim_rgb

MIN_IMAGES_OF_PIXELS = {"copies": 1, "msssim": 50, "swd": MIN_IMAGES_SWD, "spectrum": MIN_IMAGES_SPECTRUM}
_MAX_PAIRS = 1000


def measure_pixels(
    G: Any,
    pictures: DatasetLike,
    metrics: Sequence[str],
    *,
    num: int,
    seed: int,
    on_step: OnExtractStep | None = None,
) -> dict[str, list[MetricResult]]:
    """The metrics of `MIN_IMAGES_OF_PIXELS` that are asked for, from one pass over `num` fakes."""
    fakes = torch.cat(list(fake_pixels(G, num=num, seed=seed, pictures=pictures, on_step=on_step)))
    indices = choose_indices(len(pictures), num, seed)
    results: dict[str, list[MetricResult]] = {}
    if "copies" in metrics:
        results["copies"] = [_copies(fakes, pictures, _protocol(pictures, len(pictures), len(fakes), seed, ""))]
    if "msssim" in metrics:
        results["msssim"] = [_variety(fakes, pictures.batch(indices[: 2 * _MAX_PAIRS])[0], pictures, seed)]
    if "swd" in metrics:
        count = min(len(indices), len(fakes), MAX_IMAGES_SWD)
        levels = sliced_wasserstein(pictures.batch(indices[:count])[0], fakes[:count], seed=seed)
        protocol = _protocol(pictures, count, count, seed, "128 patches an image, 512 directions, x 1,000")
        results["swd"] = [
            MetricResult(name=f"SWD at {px} px", value=value, protocol=protocol) for px, value in levels.items()
        ]
    if "spectrum" in metrics:
        results["spectrum"] = _spectrum_gaps(fakes, indices, pictures, seed)
    return results


def _spectrum_gaps(fakes: Tensor, indices: np.ndarray, pictures: DatasetLike, seed: int) -> list[MetricResult]:
    """A figure an octave; the floor is the difference of two halves of the data, which is that of fewer pictures."""
    real = power_spectrum(real_pixels(pictures, indices))
    halves = [power_spectrum(real_pixels(pictures, indices[side::2])) for side in (0, 1)]
    floors = octave_gaps_db(halves[0], halves[1])
    results = []
    for (low, high), gap in octave_gaps_db(power_spectrum(fakes.split(BATCH)), real).items():
        results.append(
            MetricResult(
                name=f"spectrum of {low} to {high - 1} cycles",
                value=abs(gap),
                floor=abs(floors[low, high]),
                protocol=_protocol(
                    pictures, len(indices), len(fakes), seed, f"Kaiser window, beta {KAISER_BETA:g}, dB"
                ),
                cautions=(f"the fakes have {abs(gap):.2g} dB {'more' if gap > 0 else 'less'}",),
            )
        )
    return results


def _copies(fakes: Tensor, pictures: DatasetLike, protocol: Protocol) -> MetricResult:
    copies = find_copies([fakes], pictures)
    named = ", ".join(f"fake {each.fake} = image {each.real}" for each in copies[:5])
    return MetricResult(
        name="copies",
        value=len(copies) / len(fakes),
        floor=None,
        protocol=protocol,
        cautions=(f"{len(copies):,} of {len(fakes):,} fakes look like a training image: {named}",) if copies else (),
    )


def _variety(fakes: Tensor, reals: Tensor, pictures: DatasetLike, seed: int) -> MetricResult:
    """Mean MS-SSIM of pairs of fakes; the floor is that of pairs of real pictures.

    Source: Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", section 4.2.
    """
    pairs = min(len(fakes) // 2, _MAX_PAIRS)
    side = fakes.shape[2]
    scales = sum(k == 0 or side >> k >= WINDOW_PX for k in range(len(MS_SSIM_WEIGHTS)))
    return MetricResult(
        name="MS-SSIM of pairs",
        value=_mean_of_pairs(fakes[: 2 * pairs]),
        floor=_mean_of_pairs(reals[: len(reals) // 2 * 2]),
        protocol=_protocol(pictures, len(reals), 2 * pairs, seed, f"{scales} scales"),
        cautions=("lower = more different images; below the real images' own value it says nothing",),
    )


def _mean_of_pairs(pixels: Tensor) -> float:
    a, b = (pixels[side::2].float().div(127.5).sub(1) for side in (0, 1))
    parts = [ms_ssim_rgb(*pair) for pair in zip(a.split(64), b.split(64), strict=True)]
    return float(torch.cat(parts).double().mean())


def _protocol(pictures: DatasetLike, real: int, fake: int, seed: int, details: str) -> Protocol:
    size = int(getattr(pictures, "img_resolution", 0))
    return Protocol(
        real=real,
        fake=fake,
        network="no network",
        network_fingerprint="",
        input_px=size,
        resize="",
        precision="exact",
        seed=seed,
        compared_px=size,
        data=getattr(pictures, "fingerprint", None),
        data_filter=getattr(pictures, "settings", {}).get("filter"),
        details=details,
    )
