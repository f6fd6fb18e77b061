"""How far the eyes of an aligned face are open, by the area of what the parts network takes for eyes."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.features.parts import parse_parts, select_parts

_UNIT = 0.1  # of the picture's side: areas are in squares of this side, so that sizes of pictures do not matter
_DOUBT = (0.3, 0.7)  # probabilities below count nothing, above in full: else the halo of a closed eye counts as open


@torch.no_grad()
def measure_eye_openness(img: Tensor) -> Tensor:
    """The visible area of the eyes, the mean of both.

    Args:
        img: [N, 3, S, S] aligned as in FFHQ, in [-1, 1].

    Returns:
        [N]: 0 = shut; about 0.15 narrow, 0.3 usual, 0.45 wide. Comparable within a person: eyes differ.

    Raises:
        BadImage: another shape.
    """
    low, high = _DOUBT
    eyes = (select_parts(parse_parts(img, refine=False), ("eyes",)) - low) / (high - low)
    return eyes.clamp(0, 1).sum(dim=(1, 2, 3)) / (2 * (_UNIT * img.shape[-1]) ** 2)
