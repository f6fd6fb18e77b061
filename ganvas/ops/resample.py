"""Pad, up-sample, filter, down-sample: the one linear operation behind every resize of the style families.

No zero that a textbook stuffs between samples is ever multiplied: up-sampling is a strided transposed convolution,
down-sampling a strided convolution, one filter a channel. On a CPU this runs channels-last, in float32 where the
bfloat16 kernels are slow; a short filter is faster in one two-dimensional pass than in two passes (measured).

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4 (filtered resampling).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig
from ganvas.ops.convolution import conv2d, conv_transpose2d
from ganvas.ops.planes import average_blocks

Padding = int | tuple[int, int] | tuple[int, int, int, int]
LONGEST_IN_ONE_PASS = 6  # taps; above, a filter given by one dimension runs as two passes


def fir_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """The two-dimensional low-pass filter of these taps: their outer product, with sum 1.

    Args:
        taps: one dimension of the filter; (1, 3, 3, 1) is the papers' choice, (1,) means no filtering.

    Returns:
        [k, k] float32, the shape in which published weights store it.

    Raises:
        BadConfig: no taps, or taps whose sum is zero.
    """
    if sum(taps) == 0:  # of no taps, too
        raise BadConfig(f"a resample filter needs at least one tap and a sum other than 0, got {tuple(taps)}")
    row = torch.tensor([tap / sum(taps) for tap in taps])
    return torch.outer(row, row)


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """Stuff up − 1 zeros after each sample, pad, convolve with `f`, keep every `down`-th sample.

    Args:
        x: [N, C, H, W].
        f: [kh, kw] filter, or [k] for one that is used along both axes. Convolved, not correlated.
        up: factor of the zero-stuffing.
        down: factor of the decimation.
        padding: in up-sampled pixels; one number, (x, y), or (left, right, top, bottom). Negative numbers crop.
        gain: multiplies the result; up² keeps the brightness of an up-sampled picture.
        bias: [C], added at the end.

    Returns:
        [N, C, H', W'] with H' = (H·up + top + bottom − kh) // down + 1, and W' likewise.

    The result is a linear function of x built from plain torch operations, so gradients of any order are right.
    """
    pads = _four(padding)
    if f.ndim == 2 or f.shape[0] <= LONGEST_IN_ONE_PASS:
        plane = f if f.ndim == 2 else torch.outer(f, f)
        return _pass(x, plane * gain, (up, up), (down, down), pads, bias)
    x = _pass(x, f[None, :] * gain, (1, up), (1, down), (pads[0], pads[1], 0, 0), None)
    return _pass(x, f[:, None], (up, 1), (down, 1), (0, 0, pads[2], pads[3]), bias)


def upsample2d(x: Tensor, f: Tensor, *, up: int = 2) -> Tensor:
    """Enlarge a picture `up` times, keeping its brightness and its centre. x [N, C, H, W] → [N, C, H·up, W·up]."""
    k = f.shape[-1]
    before, after = (k + up - 1) // 2, (k - up) // 2
    return upfirdn2d(x, f, up=up, padding=(before, after, before, after), gain=up**2)


def downsample2d(x: Tensor, f: Tensor, *, down: int = 2) -> Tensor:
    """Shrink a picture `down` times after low-pass filtering. x [N, C, H, W] → [N, C, H/down, W/down]."""
    k = f.shape[-1]
    before, after = (k - down + 1) // 2, (k - down) // 2
    return upfirdn2d(x, f, down=down, padding=(before, after, before, after))


def downscale(img: Tensor, px: int) -> Tensor:
    """By area, to px × px; a picture of that size or smaller is left as it is.

    Args:
        img: [N, C, S, S].
        px: 1 or more.
    """
    if img.shape[-1] <= px:
        return img
    if img.shape[-1] % px == 0:
        return average_blocks(img, img.shape[-1] // px)
    return F.interpolate(img, (px, px), mode="area")


def fast_layout(x: Tensor) -> Tensor:
    """x in the memory layout that convolutions like best: channels-last on a CPU, as it is elsewhere."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def _four(padding: Padding) -> tuple[int, int, int, int]:
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    return padding


def _pass(
    x: Tensor,
    plane: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    pads: tuple[int, int, int, int],
    bias: Tensor | None,
) -> Tensor:
    """The whole operation with a two-dimensional filter [kh, kw]; `up` and `down` are (vertical, horizontal)."""
    dtype, strided = x.dtype, up != (1, 1) or down != (1, 1)
    if strided and dtype == torch.bfloat16 and x.device.type == "cpu":
        x = x.float()  # strided depthwise kernels in bfloat16 are 10 to 20 times slower, forward or backward
    x = fast_layout(x)
    weight = plane.to(x)[None, None].expand(x.shape[1], 1, -1, -1)  # [C, 1, kh, kw]
    bias = None if bias is None else bias.to(x)
    with torch.autocast(x.device.type, enabled=False):
        if up == (1, 1):
            x = _filter(x, weight.flip((2, 3)), down, pads, bias)
        else:
            x = _stuff_and_filter(x, weight, up, pads, bias)[:, :, :: down[0], :: down[1]]
    return x.to(dtype)


def _filter(
    x: Tensor, weight: Tensor, stride: tuple[int, int], pads: tuple[int, int, int, int], bias: Tensor | None
) -> Tensor:
    """Pad, correlate, decimate. Equal non-negative padding is left to the convolution, which needs no copy for it."""
    left, right, top, bottom = pads
    own = (max(min(top, bottom), 0), max(min(left, right), 0))
    rest = (left - own[1], right - own[1], top - own[0], bottom - own[0])
    if any(rest):
        x = F.pad(x, rest)
    return conv2d(x, weight, bias, stride=stride, padding=own, groups=x.shape[1])


def _stuff_and_filter(
    x: Tensor, weight: Tensor, up: tuple[int, int], pads: tuple[int, int, int, int], bias: Tensor | None
) -> Tensor:
    """Zero-stuff, pad, convolve. Stride `up` of a transposed convolution is the zero-stuffing.

    Its full result has (H − 1)·up + kh rows and starts kh − 1 rows before the unpadded filter's, so each side loses
    kh − 1 − padding rows; the zeros after the last sample bring up − 1 more at the end.
    """
    kh, kw = weight.shape[2:]
    left, right, top, bottom = pads
    crop = (kw - 1 - left, kw - 1 - right - (up[1] - 1), kh - 1 - top, kh - 1 - bottom - (up[0] - 1))
    own = (max(min(crop[2:]), 0), max(min(crop[:2]), 0))
    rest = (own[1] - crop[0], own[1] - crop[1], own[0] - crop[2], own[0] - crop[3])
    grown = max(rest) > 0  # rows outside the result are zero, before the bias
    x = conv_transpose2d(x, weight, None if grown else bias, stride=up, padding=own, groups=x.shape[1])
    x = F.pad(x, rest) if any(rest) else x
    return x + bias[:, None, None] if grown and bias is not None else x
