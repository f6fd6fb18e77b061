"""Pad, up-sample, filter, down-sample: the one linear operation behind every resize of the style families.

`upfirdn2d` is the general form (any filter, any factors). Filters that are an outer product run as two passes of one
dimension, and the factors never touch the zeros that a textbook stuffs between the samples.

Sources: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4 (filtered resampling);
Vaidyanathan 1993, "Multirate Systems and Filter Banks", chapter 4 (polyphase form).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig

Padding = int | tuple[int, int] | tuple[int, int, int, int]


def fir_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """The two-dimensional low-pass filter of these taps: their outer product, with sum 1.

    Args:
        taps: one dimension of the filter; (1, 3, 3, 1) is the papers' choice, (1,) means no filtering.

    Returns:
        [k, k] float32, the shape in which published weights store it.

    Raises:
        BadConfig: no taps, or taps whose sum is zero.
    """
    row = torch.tensor(list(taps), dtype=torch.float64)
    if row.ndim != 1 or row.numel() == 0 or float(row.sum()) == 0:
        raise BadConfig(f"a resample filter needs at least one tap and a sum other than 0, got {tuple(taps)}")
    row = row / row.sum()
    return torch.outer(row, row).float()


def upfirdn2d(
    x: Tensor, f: Tensor, *, up: int = 1, down: int = 1, padding: Padding = 0, gain: float = 1, separable: bool = True
) -> Tensor:
    """Stuff up − 1 zeros after each sample, pad, convolve with `f`, keep every `down`-th sample.

    Args:
        x: [N, C, H, W].
        f: [kh, kw] filter, or [k] for one that is used along both axes. Convolved, not correlated.
        up: factor of the zero-stuffing.
        down: factor of the decimation.
        padding: in up-sampled pixels; one number, (x, y), or (left, right, top, bottom). Negative numbers crop.
        gain: multiplies the result; up² keeps the brightness of an up-sampled picture.
        separable: a two-dimensional `f` is an outer product of vectors (all filters of the papers but the radial
            one of StyleGAN3-R are), so that two short passes give the same result as one long one.

    Returns:
        [N, C, H', W'] with H' = (H·up + top + bottom − kh) // down + 1, and W' likewise.

    The result is a linear function of x built from plain torch operations, so gradients of any order are right.
    """
    left, right, top, bottom = _four(padding)
    if f.ndim == 1 or separable:
        column, row = (f, f) if f.ndim == 1 else (f.sum(dim=1), f.sum(dim=0) / f.sum())
        x = _along(x, row * gain, -1, up, down, left, right)
        return _along(x, column, -2, up, down, top, bottom)
    return _dense(x, f * gain, up, down, (left, right, top, bottom))


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


def _four(padding: Padding) -> tuple[int, int, int, int]:
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    return padding


def _along(x: Tensor, taps: Tensor, dim: int, up: int, down: int, before: int, after: int) -> Tensor:
    """The one-dimensional operation along dimension −1 or −2 of x [N, C, H, W], in polyphase form.

    Output n reads the zero-stuffed signal at n·down + j, j = 0 … k − 1, of which only every up-th sample is not zero.
    The outputs fall into `up` phases; each phase is a plain strided correlation of x with every up-th tap.
    """
    k, size = taps.shape[0], x.shape[dim]
    length = (size * up + before + after - k) // down + 1
    if up == 1:
        return _correlate(x, taps.flip(0), dim, down, before, length)
    phases = []
    flipped = taps.flip(0)
    for phase in range(min(up, length)):
        # Outputs phase, phase + up, …: their first stuffed position is phase·down − before, the step is up·down.
        start = phase * down - before
        first = -start % up  # the first tap that meets a sample
        own = flipped[first::up]
        count = (length - phase + up - 1) // up
        if own.shape[0] == 0:
            phases.append(_correlate(x, flipped[:1] * 0, dim, down, 0, count))
        else:
            phases.append(_correlate(x, own, dim, down, -((start + first) // up), count))
    return _interleave(phases, dim, length)


def _correlate(x: Tensor, taps: Tensor, dim: int, stride: int, before: int, length: int) -> Tensor:
    """out[n] = Σ_j taps[j] · x[n·stride + j − before], zeros outside, for n = 0 … length − 1."""
    k, size = taps.shape[0], x.shape[dim]
    after = (length - 1) * stride + k - before - size
    pad = (before, after, 0, 0) if dim == -1 else (0, 0, before, after)
    x = F.pad(x, pad)
    shape = (1, 1, 1, k) if dim == -1 else (1, 1, k, 1)
    weight = taps.to(x).reshape(shape).expand(x.shape[1], 1, *shape[2:])
    step = (1, stride) if dim == -1 else (stride, 1)
    return F.conv2d(x, weight, stride=step, groups=x.shape[1])


def _interleave(phases: list[Tensor], dim: int, length: int) -> Tensor:
    """Sample n of the result is sample n // P of phase n % P."""
    if len(phases) == 1:
        return phases[0]
    longest = phases[0].shape[dim]
    even = [p if p.shape[dim] == longest else F.pad(p, (0, 1) if dim == -1 else (0, 0, 0, 1)) for p in phases]
    if dim == -1:
        return torch.stack(even, dim=-1).flatten(-2)[..., :length]
    return torch.stack(even, dim=-2).flatten(-3, -2)[..., :length, :]


def _dense(x: Tensor, f: Tensor, up: int, down: int, padding: tuple[int, int, int, int]) -> Tensor:
    """A filter that does not separate: the stuffed signal, one grouped two-dimensional convolution."""
    n, c, h, w = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, padding)
    weight = f.to(x).flip((0, 1))[None, None].expand(c, 1, -1, -1)
    return F.conv2d(x, weight, stride=down, groups=c)
