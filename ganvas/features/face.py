"""A face in a photo, as a finder reports it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_UPRIGHT_SCORE = 0.95  # below this score a face is a guess


@dataclass(frozen=True)
class Face:
    """One face in a photo.

    `box` is (x0, y0, x1, y1) and `points` [5, 2] are (x, y): the eye on the left of the picture, the one on the right,
    the nose, the mouth corner on the left, the one on the right; all in pixels from the photo's top left corner.
    `score` is 0 … 1. `turn_deg` says by how much the photo had to be turned before the face was seen: 0, 30, … 330.
    `number` is its place among those that `find_faces` found in the photo: 1 = the largest.
    """

    box: tuple[float, float, float, float]
    points: Tensor
    score: float
    turn_deg: int = 0
    number: int | None = None

    @property
    def size_px(self) -> float:
        """The shorter side of the box."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def upright(self) -> bool:
        """Surely a face, and its eyes nearer to level than to plumb."""
        across, down = (self.points[1] - self.points[0]).tolist()
        return self.score > MIN_UPRIGHT_SCORE and across > abs(down)

    @property
    def sideways(self) -> float:
        """How far the head is turned: 0 = the nose is midway between the eyes, 1 = below one of them (profile)."""
        left, right, nose = self.points[0], self.points[1], self.points[2]
        along = right - left
        share = torch.dot(nose - left, along) / along.square().sum().clamp(min=1e-6)
        return abs(share.item() - 0.5) * 2
