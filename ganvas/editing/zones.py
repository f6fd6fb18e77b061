"""Zones of an aligned face: bands of rows, soft at both ends, in which a slider acts that is about one feature.

Faces are cut as FFHQ's are, by eyes and mouth, so features lie at nearly the same height in every crop: brows at .40
of the side, eyes at .48, the nose's tip at .61, the mouth at .70, the chin at .87.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.fields import check_known
from ganvas.ops.smoothstep import smoothstep

# Between which rows (of the side) a zone begins, and between which it ends.
ZONES = {
    "upper": ((-1.0, -0.5), (0.52, 0.62)),  # forehead, brows, eyes
    "eyes": ((0.30, 0.38), (0.58, 0.66)),  # with large glasses
    "lower": ((0.46, 0.56), (1.5, 2.0)),  # cheeks, mouth, jaw, neck
}


def zone_mask(name: str, size: int) -> Tensor:
    """[1, 1, size, size], 1 in the zone; "" = everywhere.

    Raises:
        BadConfig: an unknown name.
    """
    if not name:
        return torch.ones(1, 1, size, size)
    check_known(name, ZONES, what="zone")
    rows = (torch.arange(size) + 0.5) / size
    (start, begin), (last, end) = ZONES[name]
    inside = smoothstep(rows, start, begin) * (1 - smoothstep(rows, last, end))
    return inside[None, None, :, None].expand(1, 1, size, size)
