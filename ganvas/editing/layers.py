"""Which rows of ws make the shape of a picture, and which its colours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ganvas.errors import BadConfig, BadLatent
from ganvas.fields import check_known

MIX_PARTS = ("all", "colour", "shape")


COLOUR_PX = 64  # from this size on (or the last two sizes of a small generator) rows decide colours and texture


def row_sizes(generator: Any) -> list[int]:
    """At which picture size each row of ws paints, [num_ws], never falling; a row two layers read counts as the larger.

    Raises:
        BadConfig: the family has one row, or does not say.
    """
    layers = generator.style_layers() if hasattr(generator, "style_layers") else []
    sizes = [0] * generator.num_ws
    for layer in layers:
        sizes[layer.row] = max(sizes[layer.row], generator.place_px(layer.name) or 0)
    if generator.num_ws < 2 or not layers:
        raise BadConfig(
            f"{getattr(generator, 'family', type(generator).__name__)} has no style rows to mix; style "
            "mixing is for stylegan2, stylegan3 and mobilestylegan"
        )
    sizes[0] = sizes[0] or min(size for size in sizes if size)  # StyleGAN3's first row turns and shifts the picture
    return [max(sizes[: row + 1]) for row in range(len(sizes))]


def rows_of(part: str, generator: Any) -> list[int]:
    """The rows of ws that decide a part of the picture.

    "colour": from 64 px on, or the last two sizes of a generator below 128 px; "shape": those before; "all".

    Raises:
        BadConfig: an unknown part, or a generator without rows.
    """
    check_known(part, MIX_PARTS, what="part of a mix")
    sizes = row_sizes(generator)
    line = min(COLOUR_PX, generator.img_resolution // 2)
    wanted = {"colour": (line, math.inf), "shape": (0, line), "all": (0, math.inf)}[part]
    return [row for row, px in enumerate(sizes) if wanted[0] <= px < wanted[1]]


def check_layers(layers: Iterable[int], *, num_ws: int) -> list[int]:
    """The layers as a list, each one of 0 … num_ws − 1.

    Raises:
        BadLatent: one is outside; the message has the range.
    """
    rows = list(layers)
    outside = [row for row in rows if not 0 <= row < num_ws]
    if outside:
        raise BadLatent(f"this generator has layers 0 to {num_ws - 1}, there is no layer {outside[0]}")
    return rows
