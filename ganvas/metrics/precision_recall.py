"""Precision and recall, density and coverage: are the fakes like the data, and do they cover it?

Both crowds are taken as unions of balls that reach from each vector to its k-th neighbour.

Sources: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", equations 1
and 2; Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganvas.errors import BadConfig

PR_NEIGHBOURS = 3  # of precision and recall
DENSITY_NEIGHBOURS = 5  # of density and coverage, as in their paper
MIN_IMAGES_PR = 200  # pictures on either side; balls of fewer are too large to say anything
ROWS_PER_BLOCK = 1024  # of the table of distances at once


def precision_recall(real: Tensor, fake: Tensor, *, k: int = PR_NEIGHBOURS) -> tuple[float, float]:
    """Share of the fakes that lie among the real ones, and of the real ones that lie among the fakes.

    Args:
        real, fake: [N, F] and [M, F] features, more than k of each.

    Raises:
        BadConfig: shapes that do not fit, or too few vectors.
    """
    _check(real, fake, k)
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def density_coverage(real: Tensor, fake: Tensor, *, k: int = DENSITY_NEIGHBOURS) -> tuple[float, float]:
    """Real balls that a fake lies in, as a share of the k expected; and the share of real balls with a fake in them.

    Less moved by a single outlier among the real ones than precision and recall. Density can exceed 1.

    Args:
        real, fake: [N, F] and [M, F] features, more than k of each.

    Raises:
        BadConfig: shapes that do not fit, or too few vectors.
    """
    _check(real, fake, k)
    radii, inside, covered = _radii(real, k), 0.0, torch.zeros(len(real), dtype=torch.bool)
    for squares in squared_distances(fake, real):  # [rows, N]
        hits = squares <= radii
        inside += float(hits.sum())
        covered |= hits.any(dim=0)
    return inside / (k * len(fake)), float(covered.double().mean())


def expected_coverage(real: int, fake: int, *, k: int = DENSITY_NEIGHBOURS) -> float:
    """The coverage of a perfect generator with these counts: Naeem et al. 2020, equation 9."""
    none = 1.0
    for i in range(k):
        none *= max(real - 1 - i, 0) / (real + fake - 1 - i)
    return 1 - none


def _check(real: Tensor, fake: Tensor, k: int) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise BadConfig(f"expected features [N, F] and [M, F], got {list(real.shape)} and {list(fake.shape)}")
    if min(len(real), len(fake)) <= k:
        raise BadConfig(f"a k-th neighbour needs more than k = {k} vectors, got {len(real)} and {len(fake)}")


def _share_inside(points: Tensor, crowd: Tensor, k: int) -> float:
    radii = _radii(crowd, k)
    return float(
        torch.cat([(squares <= radii).any(dim=1) for squares in squared_distances(points, crowd)]).double().mean()
    )


def _radii(crowd: Tensor, k: int) -> Tensor:
    """[N] squared distance of each vector to its k-th neighbour, itself not counted; a hair more, for rounding."""
    radii = torch.cat([squares.kthvalue(k + 1, dim=1).values for squares in squared_distances(crowd, crowd)])
    return radii * (1 + 1e-9) + 1e-12 * float(crowd.double().square().sum(dim=1).max())


def squared_distances(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Squared distances [rows, M] of x [N, F] to y [M, F], some rows at a time; float64, so that equal means equal."""
    centre = y.double().mean(dim=0)
    y = y.double() - centre
    for rows in x.split(ROWS_PER_BLOCK):
        near = rows.double() - centre
        yield (near.square().sum(1)[:, None] + y.square().sum(1) - 2 * near @ y.T).clamp_(min=0)
