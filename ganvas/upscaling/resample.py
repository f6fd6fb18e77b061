"""Resampling one rectangle of a larger picture, at any scale: each rectangle comes out as if the whole had been done.

Lanczos with three lobes, widened where the picture shrinks, edges cut off and the weights made to sum to 1 again: what
Pillow's LANCZOS computes, but in float, on any device, and for a part of the result at a time.

Source: Turkowski 1990, "Filters for Common Resampling Tasks".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LANCZOS_LOBES = 3


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of a picture of `source_px` pixels that becomes `result_px` pixels long."""

    source_px: int
    result_px: int

    @property
    def reach_px(self) -> float:
        """How far to each side, in source pixels, a pixel of the result looks."""
        return LANCZOS_LOBES * max(1.0, self.source_px / self.result_px)

    def window(self, start: int, stop: int) -> tuple[int, int]:
        """The source pixels (from, to) that the result pixels start … stop − 1 are made of."""
        step = self.source_px / self.result_px
        low = math.floor((start + 0.5) * step - self.reach_px)
        high = math.ceil((stop - 0.5) * step + self.reach_px)
        return max(0, low), min(self.source_px, high)

    def taps(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """(which source pixels, how much of each), both [stop − start, T], for the result pixels start … stop − 1."""
        step = self.source_px / self.result_px
        middle = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * step  # in source pixels, edges at whole ones
        first = (middle - self.reach_px + 0.5).floor().long()
        count = 2 * math.ceil(self.reach_px) + 1
        at = first[:, None] + torch.arange(count)
        weight = _lanczos((at + 0.5 - middle[:, None]) * (LANCZOS_LOBES / self.reach_px))
        weight = weight.where((at >= 0) & (at < self.source_px), torch.zeros(()).double())
        return at.clamp(0, self.source_px - 1), weight / weight.sum(dim=1, keepdim=True)


def _lanczos(x: Tensor) -> Tensor:
    bell = torch.sinc(x) * torch.sinc(x / LANCZOS_LOBES)
    return bell.where(x.abs() < LANCZOS_LOBES, torch.zeros(()).double())


def resample_box(
    img: Tensor, down: Axis, across: Axis, box: tuple[int, int, int, int], origin: tuple[int, int]
) -> Tensor:
    """A rectangle of the resampled picture, from the part of the source that it needs.

    Args:
        img: [N, C, h, w], a part of the source that holds at least `Axis.window` of the rectangle.
        down, across: the two directions.
        box: (top, left, bottom, right) in pixels of the result.
        origin: (row, column) of the source at which `img` begins.

    Returns:
        [N, C, bottom − top, right − left].
    """
    top, left, bottom, right = box
    rows = _resample_axis(img, down, top, bottom, origin[0], dim=2)
    return _resample_axis(rows, across, left, right, origin[1], dim=3)


def _resample_axis(img: Tensor, axis: Axis, start: int, stop: int, origin: int, *, dim: int) -> Tensor:
    if axis.source_px == axis.result_px:
        return img.narrow(dim, start - origin, stop - start)
    at, weight = axis.taps(start, stop)
    at = (at - origin).clamp(0, img.shape[dim] - 1)  # beyond the part lie only taps of weight 0
    shape = [1, 1, -1, 1] if dim == 2 else [1, 1, 1, -1]
    at, weight = at.to(img.device), weight.to(img)
    result = img.index_select(dim, at[:, 0]) * weight[:, 0].view(shape)
    for tap in range(1, at.shape[1]):
        result.addcmul_(img.index_select(dim, at[:, tap]), weight[:, tap].view(shape))
    return result
