"""Pictures for the screen: img → the bytes of a small file, quickly."""

from __future__ import annotations

import io

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ganvas.images.tensors import to_pixels

QUALITY = 85


def encode_jpeg(img: Tensor, *, quality: int = QUALITY) -> bytes:
    """A JPEG of one picture.

    Args:
        img: [1, 1 | 3, H, W] in [-1, 1].
        quality: 1 … 100.
    """
    file = io.BytesIO()
    pixels = to_pixels(img.expand(-1, 3, -1, -1))
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


CHECK_PX = 12  # of a square of the board
CHECK_LEVELS = (0.86, 0.62)  # its two greys, in [-1, 1]


def lay_on_checkerboard(img: Tensor, alpha: Tensor) -> Tensor:
    """The picture over a checkerboard, which shows through where it is transparent.

    Args:
        img: [1, 3, H, W] in [-1, 1].
        alpha: [1, 1, h, w] in [0, 1], of any size.
    """
    height, width = img.shape[2:]
    if alpha.shape[2:] != img.shape[2:]:
        alpha = F.interpolate(alpha, (height, width), mode="area")
    rows, columns = torch.arange(height) // CHECK_PX, torch.arange(width) // CHECK_PX
    odd = ((rows[:, None] + columns[None]) % 2).to(img)
    light, dark = CHECK_LEVELS
    return img * alpha + (light + (dark - light) * odd) * (1 - alpha)


def downscale_to_fit(img: Tensor, *, longest_px: int) -> Tensor:
    """The picture averaged down until its longer side has `longest_px` at most; smaller ones stay."""
    height, width = img.shape[2:]
    share = longest_px / max(height, width)
    if share >= 1:
        return img
    return F.interpolate(img, (max(1, round(height * share)), max(1, round(width * share))), mode="area")
