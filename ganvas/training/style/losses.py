"""Losses of a style: colours, structure, features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.resample import downscale

COLOUR_PX_COMPARED, COLOUR_WEIGHT = 32, 4.0


STRUCTURE_PX, LOCAL_MEAN_PX = 128, 9


LUMA = (0.299, 0.587, 0.114)


def colour_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far the colours of two pictures are apart, seen coarsely and apart from brightness; one number, 0 or more."""
    a, b = downscale(a, COLOUR_PX_COMPARED), downscale(b, COLOUR_PX_COMPARED)
    return F.mse_loss(a - rgb_to_luma(a), b - rgb_to_luma(b))


def structure_distance(img: Tensor, plain: Tensor) -> Tensor:
    """How differently two pictures rise and fall in brightness around each place, where the second does at all.

    1 − the correlation in windows of AROUND_PX at STRUCTURE_PX, averaged over places by the contrast of the second: 0
    where every edge lies where it lay, whatever its tone; 1 where nothing is related; 2 for a negative.
    """
    a, b = (rgb_to_luma(downscale(x, STRUCTURE_PX)) for x in (img, plain))
    mean_a, mean_b = (_local_mean(x) for x in (a, b))
    var_a, var_b = (_local_mean(x * x) - m * m for x, m in ((a, mean_a), (b, mean_b)))
    floor = 1e-4
    alike = (_local_mean(a * b) - mean_a * mean_b) / (
        (var_a.clamp(min=0) + floor) * (var_b.clamp(min=0) + floor)
    ).sqrt()
    weight = var_b.clamp(min=0).sqrt()
    return 1 - (weight * alike).sum() / (weight.sum() + floor)


def resize_square(img: Tensor, px: int) -> Tensor:
    """[1, C, S, S] → [1, C, px, px]: smaller by area, larger by cubic interpolation."""
    img = downscale(img, px)
    if img.shape[3] == px:
        return img
    return F.interpolate(img, (px, px), mode="bicubic", align_corners=False).clamp(-1, 1)


def _local_mean(x: Tensor) -> Tensor:
    """The mean of each place's surroundings, [N, 1, H, W]."""
    return F.avg_pool2d(x, LOCAL_MEAN_PX, stride=1, padding=LOCAL_MEAN_PX // 2, count_include_pad=False)


def rgb_to_luma(img: Tensor) -> Tensor:
    """[N, C, H, W] → [N, 1, H, W], brightness; a grey picture is its own."""
    if img.shape[1] != 3:
        return img[:, :1]
    return (img * img.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
