"""Equivariance: does a picture move and turn with what it is made from, in decibels? EQ-T, EQ-T_frac and EQ-R.

    EQ = 10 log10( I² / E[ (g(t[z₀]; w) − t[g(z₀; w)])² ] ),  I = 2, the range of img

z₀ is what the generator grows its pictures from, t a shift or a turn; the mean goes over latents, transforms, channels
and the pixels whose neighbourhood lies within both pictures. A shift by parts of a pixel is Lanczos' filter. A turned
picture has other corners in its spectrum than the grid can hold, and the generator's own fills the grid: both are
limited to the frequencies that both can have, by Lanczos' filter along the one and along the other axes.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3 and appendix E.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig
from ganvas.metrics.feature_extractor import DatasetLike, OnExtractStep, eval_mode, latents_and_labels
from ganvas.metrics.names import EQUIVARIANCE_METRICS
from ganvas.metrics.result import MetricResult, Protocol

MIN_IMAGES_EQ = 16
LARGEST_SHIFT = 1 / 8  # of the picture's side
LOBES = 3  # of Lanczos' window on either side, in pixels
_UP = 4  # a turned picture is read from a grid so many times as fine
_ALIKE = 4  # pictures that are moved in the same way: one call of the generator
_SMALLEST_ERROR = 1e-12  # float32 gives no smaller one: 126 dB
_NAMES = {"eqt": "EQ-T", "eqt_frac": "EQ-T_frac", "eqr": "EQ-R"}


def check_movable(G: Any) -> None:
    """Equivariance is defined where the generator's input can be moved.

    Raises:
        BadConfig: another generator.
    """
    if not hasattr(G, "set_transform"):
        raise BadConfig(
            f"{', '.join(EQUIVARIANCE_METRICS)} are for StyleGAN3, whose pictures can be moved by their input; this is "
            f"a {getattr(G, 'family', type(G).__name__)}"
        )


def measure_equivariance(
    G: Any,
    metrics: Sequence[str],
    *,
    num: int,
    seed: int,
    pictures: DatasetLike | None = None,
    on_step: OnExtractStep | None = None,
) -> dict[str, list[MetricResult]]:
    """The metrics of `EQUIVARIANCE_METRICS` that are asked for, on `num` latents.

    Args:
        G: a generator with `set_transform`, as StyleGAN3 has; afterwards its pictures are not moved.
        pictures: where a conditional generator's labels are drawn from.

    Raises:
        BadConfig: another generator.
    """
    check_movable(G)
    rng = torch.Generator().manual_seed(seed)
    errors: dict[str, list[Tensor]] = {metric: [] for metric in metrics}
    try:
        for done, z, c in latents_and_labels(G, num=num, seed=seed, pictures=pictures):
            with eval_mode(G), torch.no_grad():
                for ws in G.mapping(z, c).split(_ALIKE):
                    G.set_transform()
                    img = G.synthesis(ws, noise_mode="const")
                    for metric in metrics:
                        errors[metric].append(_measure_move(G, ws, img, metric, torch.rand(2, generator=rng)))
            if on_step is not None:
                on_step(done, num)
    finally:
        G.set_transform()
    return {metric: [_result(metric, torch.cat(parts), G, seed)] for metric, parts in errors.items()}


def _measure_move(G: Any, ws: Tensor, img: Tensor, metric: str, dice: Tensor) -> Tensor:
    """[n] mean squared errors of one move; dice: two numbers in [0, 1)."""
    if metric == "eqr":
        angle_deg = float(360 * dice[0])
        G.set_transform(rotate_deg=angle_deg)
        moved = limit_to_turned_band(G.synthesis(ws, noise_mode="const"), angle_deg)
        expected, inside = turn_image(img, angle_deg)
    else:
        side = img.shape[3]
        x, y = ((2 * dice - 1) * LARGEST_SHIFT * side).tolist()
        if metric == "eqt":
            x, y = float(round(x)), float(round(y))
        G.set_transform(translate=(x / side, y / side))
        moved = G.synthesis(ws, noise_mode="const")
        expected, inside = shift_image(img, x, y)
    squares = (moved - expected).square().mean(dim=1)  # [n, R, R]
    return squares[:, inside].mean(dim=1).double().cpu()


def _result(metric: str, errors: Tensor, G: Any, seed: int) -> MetricResult:
    mean = max(float(errors.mean()), _SMALLEST_ERROR)
    what = "turns by any angle" if metric == "eqr" else "shifts by up to an eighth of the side"
    what += ", whole pixels" if metric == "eqt" else ""
    return MetricResult(
        name=_NAMES[metric],
        value=10 * math.log10(2**2 / mean),
        spread=float(10 / math.log(10) * errors.std() / len(errors) ** 0.5 / mean),
        better="higher",
        protocol=Protocol(
            real=0,
            fake=len(errors),
            network="no network",
            network_fingerprint="",
            input_px=G.img_resolution,
            resize="",
            precision="exact",
            seed=seed,
            compared_px=G.img_resolution,
            details=f"{what}, dB",
        ),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Ideal moves of a picture


def lanczos(x: Tensor) -> Tensor:
    """sinc(x) · sinc(x / 3) for |x| < 3, else 0."""
    return torch.sinc(x) * torch.sinc(x / LOBES) * (x.abs() < LOBES)


def shift_image(img: Tensor, x: float, y: float) -> tuple[Tensor, Tensor]:
    """A picture moved by parts of pixels: (img [N, C, R, R], bool [R, R]: where all that it needed was there).

    Args:
        img: [N, C, R, R].
        x, y: in pixels, to the right and down.
    """
    (across, right), (along, down) = (_shift_matrix(img, by) for by in (x, y))
    return along @ img @ across.T, down[:, None] & right


def _shift_matrix(img: Tensor, by: float) -> tuple[Tensor, Tensor]:
    """[R, R], a weight for each pixel that a pixel is made from, and where they all exist; grey stays grey."""
    place = torch.arange(img.shape[3], dtype=torch.float64, device=img.device)
    weights = lanczos((place - by)[:, None] - place)
    reach = 0 if by == round(by) else LOBES
    inside = (place - by >= reach) & (place - by <= len(place) - 1 - reach)
    return (weights / weights.sum(dim=1, keepdim=True).clamp_min(0.5)).to(img), inside


def turn_image(img: Tensor, angle_deg: float) -> tuple[Tensor, Tensor]:
    """A picture turned about its middle, without the frequencies that only one of both grids holds.

    Args:
        img: [N, C, R, R].
        angle_deg: counter-clockwise.

    Returns:
        img [N, C, R, R] and bool [R, R]: where all that it needed was there, on either grid.
    """
    size = img.shape[3]
    fine = img.new_zeros(*img.shape[:2], size * _UP, size * _UP)
    fine[:, :, ::_UP, ::_UP] = img
    fine = _convolve(fine, _band_filter(angle_deg, 1 / _UP).to(img))
    side = torch.arange(size, device=img.device, dtype=img.dtype) - (size - 1) / 2
    y, x = torch.meshgrid(side, side, indexing="ij")
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    origin = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=2)  # where a pixel comes from; y points down
    nearest_edge = torch.stack([origin.abs().amax(dim=2), x.abs(), y.abs()]).amax(dim=0)
    inside = nearest_edge <= (size - 1) / 2 - 2 * LOBES
    places = (2 * ((origin + (size - 1) / 2) * _UP + 0.5) / (size * _UP) - 1).expand(len(img), -1, -1, -1)
    return F.grid_sample(fine, places, mode="bicubic", align_corners=False), inside


def limit_to_turned_band(img: Tensor, angle_deg: float) -> Tensor:
    """Only the frequencies that a picture turned by this angle has: what `turn_image` leaves, without turning."""
    return _convolve(img, _band_filter(-angle_deg, 1.0).to(img))


def _band_filter(angle_deg: float, step_px: float) -> Tensor:
    """Lanczos' filter along the grid, then along axes turned clockwise: [K, K], one value every `step_px`."""
    fine = 1 / _UP
    reach = 8 * _UP  # 3 + 3√2 pixels and a rest: both filters, the second cornerwise
    place = torch.arange(-reach, reach + 1, dtype=torch.float64) * fine
    y, x = torch.meshgrid(place, place, indexing="ij")
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    straight, turned = (lanczos(a) * lanczos(b) for a, b in ((x, y), (cos * x + sin * y, cos * y - sin * x)))
    both = _convolve(straight[None, None], turned)[0, 0]
    kernel = both[:: round(step_px / fine), :: round(step_px / fine)]
    return kernel / kernel.sum() * (1 / step_px) ** 2


def _convolve(img: Tensor, kernel: Tensor) -> Tensor:
    """[N, C, R, R] with one odd kernel for all channels, zeros around the picture."""
    size = img.shape[3] + kernel.shape[1] - 1
    spectrum = torch.fft.rfft2(img, s=(size, size)) * torch.fft.rfft2(kernel, s=(size, size))
    whole = torch.fft.irfft2(spectrum, s=(size, size))
    first = kernel.shape[1] // 2
    return whole[:, :, first : first + img.shape[2], first : first + img.shape[3]]
