"""Grain: what was painted gets the noise of the photo around it, so that it is not the one smooth place in it.

Measured in two octaves: in each, the photo's noise is the deviation that the calmest quarter of its blocks has, and a
block of the painted picture gets as much as it lacks of that. Textured places lack nothing.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ganvas.ops.planes import average_blocks, resize_bilinear

BLOCK_PX = 16
OCTAVES = (1, 2)  # as sizes of their pixels
GRAIN_GRID_PX = BLOCK_PX * OCTAVES[-1]  # windows that begin and end on it get what the whole picture gets there
CALM_SHARE = 0.25  # of a layer's blocks: structure counts as noise in the others
FEWEST_BLOCKS = 16  # to tell anything by


def measure_grain(photo: Tensor, layer: Tensor) -> tuple[float, ...]:
    """The photo's noise, a deviation an octave; 0 where the layer is too small, or the picture.

    Args:
        photo: [1, 1, S, S] lightness.
        layer: [1, 1, S, S], where the noise is measured: one kind of surface.
    """
    levels = []
    for octave in OCTAVES:
        known = photo.shape[3] % octave == 0 and photo.shape[3] // octave >= 4 * BLOCK_PX
        levels.append(_calm_level(*(_shrink(img, octave) for img in (photo, layer))) if known else 0.0)
    return tuple(levels)


def missing_grain(light: Tensor, levels: tuple[float, ...], *, seed: int) -> Tensor:
    """Noise that a painted picture lacks.

    Args:
        light: [1, 1, H, W] lightness of it.
        levels: as `measure_grain` gave them.
        seed: of the noise; the same each time.

    Returns:
        [1, 1, H, W], to be added.
    """
    size, noise = (light.shape[2], light.shape[3]), torch.zeros_like(light)
    for octave, level in zip(OCTAVES, levels, strict=True):
        if level > 0 and min(size) >= BLOCK_PX * octave:
            ours = _shrink(light, octave)
            lack = (level**2 - _deviation(ours).square()).clamp(min=0).sqrt()
            grain = _dice(seed, ours.shape[2], ours.shape[3]).to(light)
            noise = noise + resize_bilinear(grain * resize_bilinear(lack, (ours.shape[2], ours.shape[3])), size)
    return noise


@lru_cache(maxsize=8)
def _dice(seed: int, height: int, width: int) -> Tensor:
    """Noise of deviation 1 in the finest octave of a picture."""
    fine = _finest(torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed)))
    return fine / fine.std()


def _calm_level(photo: Tensor, layer: Tensor) -> float:
    blocks = _deviation(photo)[average_blocks(_whole_blocks(layer), BLOCK_PX) > 0.9]
    return blocks.quantile(CALM_SHARE).item() if len(blocks) >= FEWEST_BLOCKS else 0.0


def _finest(img: Tensor) -> Tensor:
    """The finest octave of a picture."""
    even = torch.nn.functional.avg_pool2d(img, 2, ceil_mode=True)
    return img - resize_bilinear(even, (img.shape[2], img.shape[3]))


def _deviation(img: Tensor) -> Tensor:
    """Of the finest octave, a number a block: [1, 1, H / 16, W / 16]."""
    return average_blocks(_whole_blocks(_finest(img).square()), BLOCK_PX).sqrt()


def _whole_blocks(img: Tensor) -> Tensor:
    """Without what is left over at the right and below."""
    height, width = (side // BLOCK_PX * BLOCK_PX for side in img.shape[2:])
    return img[:, :, :height, :width]


def _shrink(img: Tensor, octave: int) -> Tensor:
    return average_blocks(img, octave) if octave > 1 else img
