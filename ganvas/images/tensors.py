"""Conversion between pixels (integers, as in files) and img.

`pixels` are uint8 (0 … 255) or uint16 (0 … 65,535), [H, W, C]; `img` is float [N, C, H, W] in [-1, 1], where -1 is
black and 1 is white at either depth. There and back is exact, for all 256 and all 65,536 values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadConfig, BadImage

BAND_PIXELS = 2**16  # converted at a time: no large intermediate results, and they stay in the processor's cache
_HALF_RANGE = {torch.uint8: 127.5, torch.uint16: 32767.5}
_DEPTH = {8: (np.uint8, 127.5), 16: (np.uint16, 32767.5)}


def bands(height: int, width: int, *, pixels: int | None = None) -> Iterator[slice]:
    """Rows, so many at a time that they hold about so many pixels; None = BAND_PIXELS."""
    step = max(1, (pixels or BAND_PIXELS) // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def from_pixels(pixels: np.ndarray | Tensor) -> Tensor:
    """Pixels → img.

    Args:
        pixels: uint8 or uint16, [H, W], [H, W, C] or [N, H, W, C]; an array, or a tensor on any device.

    Returns:
        float32 [N, C, H, W] in [-1, 1], N = 1 unless a batch came; always a new tensor.

    Raises:
        BadImage: another dtype or shape.
    """
    whole = pixels if isinstance(pixels, Tensor) else torch.from_numpy(_writable(pixels))
    half = _HALF_RANGE.get(whole.dtype)
    if half is None or not 2 <= whole.ndim <= 4 or 0 in whole.shape:
        raise BadImage(
            "from_pixels expects uint8 or uint16 pixels of shape [H, W], [H, W, C] or [N, H, W, C], "
            f"got {whole.dtype} {list(whole.shape)}"
        )
    if whole.ndim == 2:
        whole = whole[:, :, None]
    if whole.ndim == 3:
        whole = whole[None]
    img = torch.empty(whole.permute(0, 3, 1, 2).shape, dtype=torch.float32, device=whole.device)
    return img.copy_(whole.permute(0, 3, 1, 2)).div_(half).sub_(1)


def to_pixels(img: Tensor, *, bits: int = 8) -> np.ndarray:
    """img → the nearest pixels; what lies outside [-1, 1] becomes black or white.

    Args:
        img: [1, C, H, W].
        bits: 8 or 16.

    Returns:
        uint8 or uint16 [H, W, C].

    Raises:
        BadImage: another shape, more than one picture, or not-a-number in it.
        BadConfig: another depth.
    """
    check_img(img, who="to_pixels", channels=None)
    if len(img) != 1:
        raise BadImage(
            f"to_pixels expects one image [1, C, H, W], got {list(img.shape)}. Convert a batch image by image."
        )
    if bits not in _DEPTH:
        raise BadConfig(f"pixels have 8 or 16 bits, got {bits}")
    if torch.aminmax(img.detach())[0].isnan():
        raise BadImage("to_pixels got NaN in img: the network that generated it has diverged.")
    dtype, half = _DEPTH[bits]
    channels, height, width = img.shape[1:]
    pixels = np.empty((height, width, channels), dtype)
    for rows in bands(height, width):
        part = img.detach()[0, :, rows].permute(1, 2, 0).to("cpu", torch.float32, copy=True)
        # Truncating x·half + half + ½ rounds to the nearest; it is what the style families' own scripts write.
        pixels[rows] = part.mul_(half).add_(half + 0.5).clamp_(0, 2 * half).numpy().astype(dtype)
    return pixels


def _writable(pixels: Any) -> np.ndarray:
    """torch shares memory with arrays and warns when they are read-only or run backwards."""
    array = np.asarray(pixels)
    plain = array.flags.writeable and all(stride >= 0 for stride in array.strides) and array.dtype.isnative
    return array if plain else np.array(array, dtype=array.dtype.newbyteorder("="))
