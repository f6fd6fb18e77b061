"""Leaning the head to a side: a turn of the photo's own pixels, by geometry alone; nothing is painted anew.

Within an oval around the face everything turns about the neck by the whole angle. Below the chin the angle fades, so
that the neck bends, and around the head the shift fades, so that what is behind it gives way softly. All lengths are
shares of the side of the aligned face square, along its own axes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganvas.images.crop import Crop, Window
from ganvas.ops.smoothstep import smoothstep

ROLL_REACH = 2.4  # sides of the face square: the square outside which nothing moves
NECK = 0.5, 0.9  # what the head turns about
CHIN = 0.84, 1.2  # along the face's axis: the whole angle above, none below
HEAD, HEAD_RADII = (0.5, 0.42), (0.42, 0.52)  # the oval that turns as one
FADE = 1.0, 2.1  # radii of the oval: the whole shift within, none beyond


def roll_field(crop: Crop, window: Window, degrees: float) -> Tensor:
    """Where the pixels of a window come from when the head leans, for `ganvas.images.flow.warp_by_flow`.

    Args:
        crop: the aligned face square.
        window: of the photo.
        degrees: clockwise as one sees it.

    Returns:
        [1, 2, height, width] in pixels; 0 outside `ROLL_REACH`. It folds nowhere up to 15 degrees.
    """
    rows = torch.arange(window.top, window.top + window.height) + 0.5
    columns = torch.arange(window.left, window.left + window.width) + 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    x, y = crop.to_crop_coords(torch.stack([x, y], dim=-1).view(-1, 2), resolution=1).T.view(2, *x.shape)
    angle = -math.radians(degrees) * (1 - smoothstep(y, *CHIN))
    right, down = x - NECK[0], y - NECK[1]
    shift = torch.stack(
        [right * angle.cos() - down * angle.sin() - right, right * angle.sin() + down * angle.cos() - down]
    )
    oval = torch.hypot((x - HEAD[0]) / HEAD_RADII[0], (y - HEAD[1]) / HEAD_RADII[1])
    return crop.turn_back((shift * (1 - smoothstep(oval, *FADE)))[None], resolution=1)
