"""Grain: what was painted gets the noise of the photo around it, so that it is not the one smooth place in it.

Measured in two octaves: in each, the photo's noise is the deviation that the calmest quarter of its blocks has, and a
block of the painted picture gets as much as it lacks of that. Textured places lack nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_PX = 16
CALM_SHARE = 0.25  # of a layer's blocks: structure counts as noise in the others
FEWEST_BLOCKS = 16  # to tell anything by


def missing_grain(light: Tensor, photo: Tensor, layer: Tensor, *, seed: int) -> Tensor:
    """Noise that the picture lacks.

    Args:
        light: [1, 1, S, S] lightness of the painted picture.
        photo: the photo's.
        layer: [1, 1, S, S], where in the photo the noise is measured: the same kind of surface.
        seed: of the noise; the same each time.

    Returns:
        [1, 1, S, S], to be added; 0 where the layer is too small, and in pictures smaller than four blocks.
    """
    size, noise = light.shape[3], torch.zeros_like(light)
    dice = torch.Generator().manual_seed(seed)
    for octave in (1, 2):
        side = size // octave
        if side < 4 * BLOCK_PX or size % octave:
            break
        ours, theirs, place = (F.avg_pool2d(img, octave) if octave > 1 else img for img in (light, photo, layer))
        lack = _lacking(_deviation(ours), _deviation(theirs), F.avg_pool2d(place, BLOCK_PX))
        grain = _finest(torch.randn(1, 1, side, side, generator=dice).to(light))
        grain = grain / grain.std() * F.interpolate(lack, (side, side), mode="bilinear")
        noise = noise + (F.interpolate(grain, (size, size), mode="bilinear") if octave > 1 else grain)
    return noise


def _finest(img: Tensor) -> Tensor:
    """The finest octave of a picture."""
    return img - F.interpolate(F.avg_pool2d(img, 2, ceil_mode=True), img.shape[2:], mode="bilinear")


def _deviation(img: Tensor) -> Tensor:
    """Of the finest octave, a number a block: [1, 1, S / 16, S / 16]."""
    return F.avg_pool2d(_finest(img).square(), BLOCK_PX).sqrt()


def _lacking(ours: Tensor, theirs: Tensor, place: Tensor) -> Tensor:
    """What each block lacks of the noise that the photo's calm blocks have."""
    blocks = theirs[place > 0.9]
    if len(blocks) < FEWEST_BLOCKS:
        return torch.zeros_like(ours)
    level = blocks.quantile(CALM_SHARE)
    return (level.square() - ours.square()).clamp(min=0).sqrt()
