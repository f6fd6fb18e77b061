"""Kernel distance: squared maximum mean discrepancy under a cubic kernel. Its mean does not depend on the counts.

Source: Bińkowski, Sutherland, Arbel and Gretton 2018, "Demystifying MMD GANs", section 4; the unbiased estimate is that
of Gretton et al. 2012, "A Kernel Two-Sample Test", lemma 6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.errors import BadConfig

MIN_IMAGES_KID = 50  # pictures on either side; below, the estimate's own noise covers everything
SUBSETS, SUBSET_SIZE = 100, 1000


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """The unbiased estimate of MMD² under k(x, y) = (x·y / F + 1)³; may be a little below zero.

    Args:
        real, fake: [N, F] and [M, F] features, N and M of 2 or more.

    Raises:
        BadConfig: shapes that do not fit.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < 2:
        raise BadConfig(f"kernel_distance expects [N, F] and [M, F], got {list(real.shape)} and {list(fake.shape)}")
    n, m = len(real), len(fake)
    within = _kernel_sum(real, real, diagonal=False) / (n * (n - 1))
    within += _kernel_sum(fake, fake, diagonal=False) / (m * (m - 1))
    return within - 2 * _kernel_sum(real, fake) / (n * m)


def _kernel_sum(x: Tensor, y: Tensor, *, diagonal: bool = True) -> float:
    k = (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)  # [N, M]
    whole = k.sum(dtype=torch.float64)
    return float(whole if diagonal else whole - k.diagonal().sum(dtype=torch.float64))


def kid(
    real: Tensor, fake: Tensor, *, seed: int = 0, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE
) -> tuple[float, float]:
    """Mean and standard deviation of the kernel distance over random subsets of both crowds.

    Args:
        real, fake: [N, F] and [M, F] features.
        subset_size: of each subset, at most half of the smaller crowd, so that subsets differ.

    Raises:
        BadConfig: fewer than `MIN_IMAGES_KID` vectors on either side.
    """
    size = min(subset_size, len(real) // 2, len(fake) // 2)
    if size < MIN_IMAGES_KID // 2:
        raise BadConfig(f"KID needs at least {MIN_IMAGES_KID} images on either side, got {len(real)} and {len(fake)}")
    rng = torch.Generator().manual_seed(seed)

    def draw_subset(rows: Tensor) -> Tensor:
        return rows[torch.randperm(len(rows), generator=rng)[:size]]

    distances = torch.tensor(
        [kernel_distance(draw_subset(real), draw_subset(fake)) for _ in range(subsets)], dtype=torch.float64
    )
    return float(distances.mean()), float(distances.std())
