"""Sliced Wasserstein distance of patches, at each level of detail: no network, and it says *where* textures differ.

Source: Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", section 5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig

MIN_IMAGES_SWD = 64
MAX_IMAGES_SWD = 2048  # patches of more need gigabytes, and the value hardly moves
SMALLEST_LEVEL_PX = 16
PATCH_PX, PATCHES, DIRECTIONS = 7, 128, 512
_DIRECTIONS_AT_ONCE = 16
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def sliced_wasserstein(real: Tensor, fake: Tensor, *, seed: int = 0, directions: int = DIRECTIONS) -> dict[int, float]:
    """Distance of the patches of two sets, times 1,000 as in the paper, at each size of a Laplacian pyramid.

    Args:
        real, fake: uint8 [N, C, R, R], as many of each; R of 16 or more.
        seed: of the places of patches and of the directions.
        directions: that patches are looked at from.

    Returns:
        {R: finest details, R/2: …, 16: what is left}; 0 for equal sets, lower is better.

    Raises:
        BadConfig: shapes that do not fit.
    """
    if real.shape != fake.shape or real.ndim != 4 or real.shape[2] < SMALLEST_LEVEL_PX:
        raise BadConfig(
            f"sliced_wasserstein expects two sets [N, C, R, R] of one shape with R >= {SMALLEST_LEVEL_PX}, got "
            f"{list(real.shape)} and {list(fake.shape)}"
        )
    rng = torch.Generator().manual_seed(seed)
    levels = {}
    for ours, theirs in zip(_pyramid(real), _pyramid(fake), strict=True):
        places = _places(ours, rng)
        a, b = (_normalise(_patches(level, places)) for level in (ours, theirs))
        levels[ours.shape[2]] = 1e3 * slice_distance(a, b, directions=directions, rng=rng)
    return levels


def slice_distance(a: Tensor, b: Tensor, *, directions: int, rng: torch.Generator) -> float:
    """Mean over random directions of the one-dimensional Wasserstein distance of [M, F] to [M, F]."""
    drawn = torch.randn(directions, a.shape[1], generator=rng)
    total = 0.0
    for some in (drawn / drawn.norm(dim=1, keepdim=True)).split(_DIRECTIONS_AT_ONCE):
        shadows = [(some @ side.T).sort(dim=1).values for side in (a, b)]  # [directions, M]
        total += float((shadows[0] - shadows[1]).abs().mean(dim=1).sum())
    return total / directions


def _pyramid(pixels: Tensor) -> list[Tensor]:
    """Each level without what the next holds; the last as it is. float32 [N, C, r, r] in 0 … 255."""
    level, levels = pixels.float(), []
    while level.shape[2] // 2 >= SMALLEST_LEVEL_PX:
        smaller = _blur(level, 1.0)[:, :, ::2, ::2]
        levels.append(level - _enlarge(smaller, level.shape[2]))
        level = smaller
    return [*levels, level]


def _blur(x: Tensor, gain: float) -> Tensor:
    line = x.new_tensor(_BINOMIAL) / sum(_BINOMIAL)
    kernel = (gain * torch.outer(line, line)).expand(x.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=x.shape[1])


def _enlarge(x: Tensor, px: int) -> Tensor:
    wide = x.new_zeros(*x.shape[:2], px, px)
    wide[:, :, ::2, ::2] = x
    return _blur(wide, 4.0)


def _places(level: Tensor, rng: torch.Generator) -> Tensor:
    """[N, PATCHES, 2] corners (down, right)."""
    return torch.randint(0, level.shape[2] - PATCH_PX + 1, (len(level), PATCHES, 2), generator=rng)


def _patches(level: Tensor, places: Tensor) -> Tensor:
    """[N · PATCHES, C, 7, 7]."""
    count = len(level)
    step = torch.arange(PATCH_PX)
    down = (places[..., 0, None] + step)[:, :, :, None]  # [N, P, 7, 1]
    right = (places[..., 1, None] + step)[:, :, None, :]
    return level[torch.arange(count)[:, None, None, None], :, down, right].permute(0, 1, 4, 2, 3).flatten(0, 1)


def _normalise(patches: Tensor) -> Tensor:
    """Each channel to mean 0 and deviation 1: [M, C · 49]."""
    mean, std = patches.mean(dim=(0, 2, 3), keepdim=True), patches.std(dim=(0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / std.clamp_min(1e-8)).flatten(1)
