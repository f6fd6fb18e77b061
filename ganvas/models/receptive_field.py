"""How far a pixel of an image-to-image network sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# One step of the way from an input pixel to an output pixel, for `reach_px`:
#   ("conv", kernel, stride, padding), ("transposed", kernel, stride, padding),
#   ("grow", r) nearest enlargement or pixel shuffle, ("bilinear", r), ("cells", u) pixel unshuffle.
Step = tuple[Any, ...]


def reach_px(path: Sequence[Step], *, scale: int = 1, period: int = 1) -> int:
    """How many input pixels to each side an output pixel can depend on.

    Args:
        path: the steps from input to output, along the way that sees farthest.
        scale: output pixels per input pixel.
        period: after how many output pixels the pattern repeats; the worst of them counts.

    Returns:
        The distance in input pixels; tiles that overlap by it can be cut and joined without a trace.
    """
    worst = 0
    for pixel in range(period):
        low = high = pixel
        for step in reversed(path):
            low, high = seen_by(step, low, high)
        worst = max(worst, pixel // scale - low, high - pixel // scale)
    return worst


def seen_by(step: Step, low: int, high: int) -> tuple[int, int]:
    """The range of pixels before `step` that the pixels low … high after it depend on."""
    kind, n, *more = step
    if kind == "conv":
        stride, padding = more
        return low * stride - padding, high * stride - padding + n - 1
    if kind == "transposed":  # output = input·stride − padding + tap, tap = 0 … n − 1
        stride, padding = more
        return -(-(low + padding - n + 1) // stride), (high + padding) // stride
    if kind == "bilinear":
        return (2 * low + 1 - n) // (2 * n), (2 * high + 1 - n) // (2 * n) + 1
    if kind == "grow":
        return low // n, high // n
    assert kind == "cells"
    return low * n, high * n + n - 1
