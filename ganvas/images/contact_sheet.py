"""Several pictures side by side in one: contact sheets, and captioned before/after sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadConfig


def grid(img: Tensor, *, columns: int | None = None, gap_px: int = 0) -> Tensor:
    """Lay a batch out in rows.

    Args:
        img: [N, C, H, W] in [-1, 1].
        columns: pictures in a row; None = as square as can be.
        gap_px: white pixels between pictures.

    Returns:
        [1, C, rows·H + gaps, columns·W + gaps]; places without a picture are white.

    Raises:
        BadImage: another shape.
        BadConfig: fewer than one column.
    """
    check_img(img, who="grid", channels=None)
    count, channels, height, width = img.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    if columns < 1:
        raise BadConfig(f"a grid needs at least one column, got {columns}")
    rows = math.ceil(count / columns)
    sheet = img.new_ones(1, channels, rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px)
    for index, picture in enumerate(img):
        top, left = index // columns * (height + gap_px), index % columns * (width + gap_px)
        sheet[0, :, top : top + height, left : left + width] = picture
    return sheet


def make_captioned_grid(img: Tensor, captions: Sequence[str], *, columns: int | None = None) -> Tensor:
    """A grid with a line of text under every picture.

    Args:
        img: [N, 3, H, W] in [-1, 1].
        captions: one text a picture.
        columns: as in `grid`.

    Raises:
        BadConfig: another number of captions than pictures.
    """
    if len(captions) != len(img):
        raise BadConfig(f"captioned expects one text for each of {len(img)} images, got {len(captions)}")
    size_px = max(10, img.shape[3] // 16)
    lines = torch.cat([_caption_strip(text, img.shape[3], size_px) for text in captions]).to(img)
    return grid(torch.cat([img, lines], dim=2), columns=columns, gap_px=max(2, size_px // 4))


def _caption_strip(text: str, width: int, size_px: int) -> Tensor:
    """Black text on white, centred; a text too long for the width is written smaller."""
    height = round(size_px * 1.6)
    strip = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size_px)
    if (wide := pen.textlength(text, font=font)) > width:
        font = ImageFont.load_default(size_px * width / wide)
    pen.text((width / 2, height / 2), text, fill=0, font=font, anchor="mm")
    return torch.from_numpy(np.array(strip)).float().div(127.5).sub(1).expand(1, 3, height, width)
