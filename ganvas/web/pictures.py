"""Pictures for the screen: img → the bytes of a small file, quickly."""

from __future__ import annotations

import io

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


def downscale_to_fit(img: Tensor, *, longest_px: int) -> Tensor:
    """The picture averaged down until its longer side has `longest_px` at most; smaller ones stay."""
    height, width = img.shape[2:]
    share = longest_px / max(height, width)
    if share >= 1:
        return img
    return F.interpolate(img, (max(1, round(height * share)), max(1, round(width * share))), mode="area")
