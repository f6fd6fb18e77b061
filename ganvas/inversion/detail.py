"""Full-size truth: the loss that compares squares of a large picture where people look first.

A search at 256 px leaves irises shattered at 1,024, and skin that looks brushed. Here the squares around eyes and
mouth (elsewhere: squares anywhere) are compared as large as they are painted, the whole picture at 256 px as before.
Weights that paint an iris paint skin as well, so one square of the middle, another one at every step, is compared too:
without it, the skin got a grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.inversion.loss import REPORT_PX, ReconstructionLoss, ReconstructionLossConfig, RelativeBox, cut_box
from ganvas.ops.resample import downscale

TILE = 1 / 4  # side of the square that is another one at every step
TILES_WITHOUT_PARTS = 3
MARGIN = 1 / 8  # which the edge of the picture keeps from it


class DetailLoss:
    """Call it with pictures [1, C, px, px]."""

    def __init__(
        self,
        whole: ReconstructionLoss,
        px: int,
        *,
        boxes: list[RelativeBox],
        extractor: EfficientNetLite0 | None,
        config: ReconstructionLossConfig,
        seed: int = 0,
    ):
        """
        Args:
            whole: the loss of the whole picture, at 256 px.
            px: the size of the pictures to come.
            boxes: squares that are always compared; without any, three others at every step.
            extractor: EfficientNet-Lite0, for a perceptual term.
            config: weights of the terms within a square.
            seed: of where the other squares are.
        """
        self.whole, self.large = whole, whole.at(px)
        self.extractor, self.config = extractor, config
        self.parts = [(box, self._loss_of(box)) for box in boxes]
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, img: Tensor) -> Tensor:
        tiles = [self._tile() for _ in range(1 if self.parts else TILES_WITHOUT_PARTS)]
        parts = [*self.parts, *((tile, self._loss_of(tile)) for tile in tiles)]
        near = torch.stack([loss(cut_box(img, box)) for box, loss in parts]).mean()
        return self.whole(downscale(img, REPORT_PX)) + near

    def _loss_of(self, box: RelativeBox) -> ReconstructionLoss:
        return ReconstructionLoss(cut_box(self.large, box), extractor=self.extractor, config=self.config)

    def _tile(self) -> RelativeBox:
        left, top = (MARGIN + (1 - TILE - 2 * MARGIN) * torch.rand(2, generator=self.random)).tolist()
        return left, top, left + TILE, top + TILE
