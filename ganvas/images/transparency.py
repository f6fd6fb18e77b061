"""Colours for transparent pixels, so that networks see no artificial edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fill_transparent_colours(img: Tensor, alpha: Tensor) -> Tensor:
    """Give fully transparent pixels the colours of what is nearest, so that a network finds no edge where none shows.

    Files hold anything there, black or white mostly, and it would bleed into the edges of what is visible.

    Args:
        img: [1, 3, H, W].
        alpha: [1, 1, H, W] in [0, 1].

    Returns:
        [1, 3, H, W]; where alpha is above 0 it is img, bit by bit.

    Source: the pull-push of Gortler et al. 1996, "The Lumigraph", section 3.4.3.
    """
    if not bool((alpha > 0).any()):
        return img
    return torch.where(alpha > 0, img, _fill(img * alpha, alpha))


def _fill(weighted: Tensor, weight: Tensor) -> Tensor:
    """weighted / weight, and from half the size where the weight is 0."""
    own = weighted / weight.clamp(min=1e-9)
    if weight.shape[2:] == (1, 1) or bool((weight > 0).all()):
        return own
    half = [F.avg_pool2d(each, 2, ceil_mode=True, count_include_pad=False) for each in (weighted, weight)]
    coarse = F.interpolate(_fill(*half), size=weight.shape[2:], mode="bilinear")
    return torch.where(weight > 0, own, coarse)
