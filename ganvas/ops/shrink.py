"""A picture made smaller by averaging squares of it: what a screen shows of a picture that is larger than it needs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def downscale(img: Tensor, px: int) -> Tensor:
    """By area, to px × px; a picture of that size or smaller is left as it is.

    Args:
        img: [N, C, S, S].
        px: 1 or more.
    """
    if img.shape[-1] <= px:
        return img
    if img.shape[-1] % px == 0:
        return F.avg_pool2d(img, img.shape[-1] // px)
    return F.interpolate(img, (px, px), mode="area")
