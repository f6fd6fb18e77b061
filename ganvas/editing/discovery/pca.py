"""Directions without labels, from samples: the axes along which latents vary most.

Paper: Härkönen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls". They use incremental PCA on up to a
million samples; an exact decomposition of the covariance of 20,000 takes a second and needs no more. Left out: the
paper's variant for generators without a mapping network (PCA of a layer's features).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ganvas.editing.directions import Direction
from ganvas.editing.discovery.sefa import sample_w
from ganvas.editing.layers import check_layers
from ganvas.errors import BadConfig, BadLatent


def principal_axes(w: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations, falling, and unit axes as rows, of latents.

    Args:
        w: [N, D], N at least 2.

    Returns:
        [min(N − 1, D)] and [min(N − 1, D), D], float64; each axis points to where its largest entry is positive.

    Raises:
        BadLatent: another shape.
    """
    if w.ndim != 2 or len(w) < 2:
        raise BadLatent(f"principal_axes expects w [N, w_dim] with N at least 2, got {list(w.shape)}")
    centred = w.double() - w.double().mean(dim=0)
    variance, axes = torch.linalg.eigh(centred.T @ centred / (len(w) - 1))
    count = min(len(w) - 1, w.shape[1])
    variance, axes = variance.flip(0)[:count], axes.T.flip(0)[:count]
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    return variance.clamp(min=0).sqrt(), axes * largest.sign()


def pca(
    generator: Any,
    *,
    count: int = 8,
    samples: int = 20_000,
    layers: Iterable[int] | None = None,
    fingerprint: str = "",
    seed: int = 0,
) -> list[Direction]:
    """The axes along which the generator's w varies most, widest first.

    Args:
        generator: any with a mapping network.
        count: how many, at most w_dim.
        samples: of the decomposition.
        layers: rows of ws that the directions move; None = all.
        fingerprint: of the generator, for the directions' cards.
        seed: of the samples.

    Returns:
        Directions `pca-0`, `pca-1`, … of space "w"; amount 1 is one standard deviation along the axis. `facts` has the
        `stdev` and the `share` of the variance.

    Raises:
        BadConfig: latents without structure (no mapping network), or a count out of range.
    """
    if generator.num_ws == 1:
        raise BadConfig(
            f"{generator.family} has no mapping network: its latents are isotropic noise. Learn "
            "directions from labels instead"
        )
    rows = None if layers is None else tuple(check_layers(layers, num_ws=generator.num_ws))
    w = sample_w(generator, samples, seed=seed)
    spread, axes = principal_axes(w)
    if not 1 <= count <= len(spread):
        raise BadConfig(f"count should be 1 to {len(spread)}, got {count}")
    share = spread.square() / spread.square().sum()
    return [
        Direction(
            f"pca-{i}",
            (spread[i] * axes[i]).float()[None],
            rows,
            fingerprint=fingerprint,
            facts={"method": "pca", "samples": samples, "stdev": spread[i].item(), "share": share[i].item()},
        )
        for i in range(count)
    ]
