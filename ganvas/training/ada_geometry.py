"""Turn, scale and move pictures by a matrix, well filtered: the geometric half of ADA.

What lands on whole pixels (mirroring, quarter turns, whole steps) is copied pixel by pixel, exactly. Everything else is
enlarged ×2 with a wavelet's low-pass filter, sampled bilinearly, and reduced with the adjoint of that filter; because
the wavelet is orthonormal, enlarging and reducing without a warp between them gives the picture back. Beyond its
borders a picture goes on as its mirror image.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", appendix B.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.resample import upfirdn2d

# The symlet with six vanishing moments (Daubechies 1992, "Ten Lectures on Wavelets", section 8.1.1), sum √2.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = len(SYM6) // 4  # pixels that the filter looks beyond a place on the picture
# A symlet is only nearly symmetric: what it enlarges shows at each sample what lies this much further.
LEAD_PX = ((len(SYM6) - 1) / 2 - sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)) / 2
MIN_WARP_PX = REACH + 1  # of a side, so that it can be mirrored that far


def warp(img: Tensor, inverse: Tensor) -> Tensor:
    """Move the contents of each picture by an affine map.

    Args:
        img: [N, C, H, W], float32 or float64, sides of 4 px or more.
        inverse: [N, 3, 3], from a place (x, y, 1) in the result to the place in the picture it is taken from; pixels,
            counted from the centre, x to the right and y down.

    Returns:
        [N, C, H, W]; a linear function of img, twice differentiable.
    """
    large = _enlarge(img)
    grid = _places(inverse.to(img), *img.shape[2:])
    return _reduce(F.grid_sample(large, grid, mode="bilinear", padding_mode="reflection", align_corners=True))


def straight(inverse: Tensor, height: int, width: int) -> Tensor:
    """Which maps keep rows rows, or (of square pictures) make them columns: [N, 3, 3] → [N] bool."""
    upright = (inverse[:, 0, 1] == 0) & (inverse[:, 1, 0] == 0)
    lying = (inverse[:, 0, 0] == 0) & (inverse[:, 1, 1] == 0)
    return upright | (lying if height == width else torch.zeros_like(lying))


def warp_straight(img: Tensor, inverse: Tensor) -> Tensor:
    """`warp` for maps that are `straight`, up to rounding; on a CPU, for sides up to 256 px, it is the quicker one.

    Enlarging, sampling and reducing are linear along each axis, so that one matrix a picture and axis does all three.
    """
    m = inverse.to(img)
    lying = (m[:, 0, 0] == 0)[:, None, None]  # x is read from y
    upright = torch.where(lying, m[:, [1, 0, 2]], m)
    img = torch.where(lying[:, None], img.mT, img) if bool(lying.any()) else img
    rows = _line_maps(upright[:, 1, 1], upright[:, 1, 2], img.shape[2])[:, None]  # [N, 1, H, H]
    columns = _line_maps(upright[:, 0, 0], upright[:, 0, 2], img.shape[3])[:, None]  # [N, 1, W, W]
    return rows @ (img @ columns.mT)


def _line_maps(scale: Tensor, step: Tensor, length: int) -> Tensor:
    """What a warp does to a line of pixels: scale and step [N] of the way back → [N, length, length]."""
    enlarge, reduce = (each.to(scale) for each in _line_filters(length))
    last = 2 * length - 2  # the outer samples of an enlarged line are 0 and this
    at = scale[:, None] * _half_pixels(length).to(scale) + step[:, None]  # [N, 2·length + 10], pixels from the middle
    at = (2 * (at + 0.25 - LEAD_PX) + last / 2).remainder(2 * last)
    at = torch.minimum(at, 2 * last - at)  # mirrored at the outer samples
    left = at.floor().clamp(max=last - 1)
    return reduce @ torch.lerp(enlarge[left.long()], enlarge[left.long() + 1], (at - left)[..., None])


@lru_cache(maxsize=8)
def _line_filters(length: int) -> tuple[Tensor, Tensor]:
    """`_enlarge` and `_reduce` of one axis, as matrices [2·length − 1, length] and [length, 2·length + 10], float64.

    Read off from pictures that are constant along the other axis, which both leave constant.
    """
    pixels = torch.eye(length, dtype=torch.float64)[:, None, None].expand(-1, 1, MIN_WARP_PX, -1)
    samples = torch.eye(2 * length + len(SYM6) - 2, dtype=torch.float64)[:, None, None].expand(-1, 1, len(SYM6), -1)
    return _enlarge(pixels)[:, 0, 0].T, _reduce(samples)[:, 0, 0].T


def warp_exact(img: Tensor, inverse: Tensor) -> Tensor:
    """`warp` for maps that take pixels to pixels; nothing is interpolated.

    Args:
        img: [N, C, H, W].
        inverse: [N, 3, 3] as in `warp`, made of mirroring, quarter turns (of square pictures) and whole steps.
    """
    return torch.stack([_warp_exact_single(each, m) for each, m in zip(img, inverse.tolist(), strict=True)])


def _warp_exact_single(img: Tensor, m: list[list[float]]) -> Tensor:
    """img [C, H, W] → the same, read row by row and column by column."""
    if m[0][0] == 0:  # a quarter turn: x is read from y
        img, m = img.transpose(1, 2), [[m[1][0], m[1][1], m[1][2]], [m[0][0], m[0][1], m[0][2]]]
    columns, rows = _source(m[0][0], m[0][2], img.shape[2]), _source(m[1][1], m[1][2], img.shape[1])
    return img.index_select(1, rows.to(img.device)).index_select(2, columns.to(img.device))


def _source(direction: float, step: float, length: int) -> Tensor:
    """Which pixel each of `length` pixels is read from, mirrored at the borders: int64 [length]."""
    middle = (length - 1) / 2
    at = (direction * (torch.arange(length) - middle) + step + middle).round().long()
    return reflect_index(at, length)


def reflect_index(at: Tensor, length: int) -> Tensor:
    """Whole places beyond a border, counted back from it: −1 → 1, length → length − 2, and so on for ever."""
    period = max(2 * (length - 1), 1)
    at = at.remainder(period)
    return torch.minimum(at, period - at)


def _filter(img: Tensor) -> Tensor:
    """The low-pass filter with sum 1: [12]."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return (taps / taps.sum()).to(img)


def _enlarge(img: Tensor) -> Tensor:
    """×2: [N, C, H, W] → [N, C, 2H − 1, 2W − 1], from one outer pixel's own sample to the other's.

    `grid_sample` mirrors about the outer samples, so that the result goes on as the mirrored picture would.
    """
    img = F.pad(img, (REACH, REACH, REACH, REACH), mode="reflect")
    before, after = len(SYM6) // 2 - 2 * REACH, len(SYM6) // 2 - 1 - (2 * REACH + 1)
    return upfirdn2d(img, _filter(img), up=2, padding=(before, after, before, after), gain=2**2)


def _reduce(large: Tensor) -> Tensor:
    """÷2 with the adjoint of the enlarging filter: [N, C, 2H + 10, 2W + 10] → [N, C, H, W]."""
    return upfirdn2d(large, _filter(large).flip(0), down=2)


def _places(inverse: Tensor, height: int, width: int) -> Tensor:
    """Where every sample of the enlarged result, with the margin that `_reduce` takes, is read from.

    inverse [N, 3, 3] in pixels → [N, 2H + 10, 2W + 10, 2], −1 and 1 at the outer samples of `_enlarge`.
    """
    x, y = _half_pixels(width).to(inverse), _half_pixels(height).to(inverse)
    size = torch.tensor([width - 1, height - 1]).to(inverse)
    m = inverse[:, :2] * (2 / size)[:, None]  # [N, 2, 3]
    m = m[:, None, None]  # [N, 1, 1, 2, 3]
    offset = m[..., 2] + (0.25 - LEAD_PX) * 2 / size  # an outer pixel's sample lies a little before its centre
    return (m[..., 1] * y[:, None, None] + offset) + m[..., 0] * x[:, None]  # the bracket is one column only


def _half_pixels(length: int) -> Tensor:
    """What the samples of the enlarged picture and its margin show, in pixels from the middle: [2·length + 10]."""
    margin = len(SYM6) // 2 - 1
    return (torch.arange(-margin, 2 * length + margin) + 0.5) / 2 - length / 2 + LEAD_PX
