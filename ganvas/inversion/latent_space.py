"""Coordinates in which a generator's natural latents are a standard normal ball, so that one step size fits all.

Zhu et al. 2020, "Improved StyleGAN Embedding: Where are the Good Latents?" (the P_N space): the mapping network ends in
a leaky ReLU; undone, its samples are close to a Gaussian, which is then whitened by its principal components. Families
without a mapping network have ws = z, which is normal already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.models.seeds import latents_from_seeds

SAMPLES = 4096
_SLOPE = 0.2  # of the leaky ReLU at the end of every mapping network here
_DAMPING = 0.01
_TINY = 1e-4  # axes with less than this share of the largest variance are noise and stay at their mean


@dataclass(frozen=True)
class LatentSpace:
    """v [N, rows, D'] ⇄ ws [N, num_ws, w_dim]; v = 0 is the mean, natural samples have mean v² near 1."""

    mean: Tensor  # [w_dim]
    axes: Tensor  # [w_dim, D'] scaled so that v is whitened
    curved: bool  # True: the leaky ReLU is part of the way
    num_ws: int
    tail: Tensor  # [T] what follows z in ws, the label of a conditional generator; empty where there is none

    @property
    def dim(self) -> int:
        """D', the number of axes."""
        return self.axes.shape[1]

    def to_ws(self, v: Tensor) -> Tensor:
        """v [N, 1 or num_ws, D'] → ws [N, num_ws, w_dim]; a single row is given to every layer."""
        w = self.mean + v @ self.axes.T
        w = F.leaky_relu(w, _SLOPE) if self.curved else w
        if len(self.tail):
            w = torch.cat([w, self.tail.expand(*w.shape[:2], -1)], dim=2)
        return w.expand(-1, self.num_ws, -1)

    def from_ws(self, ws: Tensor) -> Tensor:
        """The v of latents that lie in the space; the part of others that does."""
        w = ws[:, :, : ws.shape[2] - len(self.tail)]
        w = F.leaky_relu(w, 1 / _SLOPE) if self.curved else w
        return (w - self.mean) @ torch.linalg.pinv(self.axes).T


@torch.no_grad()
def latent_space(generator: Any, c: Tensor | None = None) -> LatentSpace:
    """The space of a generator, from 4096 samples of its mapping network.

    Args:
        generator: any that keeps the protocol.
        c: [1, c_dim], the label of a conditional generator.
    """
    device = generator.device
    if generator.num_ws == 1:
        size = generator.z_dim
        tail = generator.mapping(torch.zeros(1, size, device=device), c)[0, 0, size:]
        return LatentSpace(torch.zeros(size, device=device), torch.eye(size, device=device), False, 1, tail)
    z = latents_from_seeds(range(SAMPLES), generator.z_dim, device=device)
    labels = None if c is None else c.expand(SAMPLES, -1)
    w = generator.mapping(z, labels)[:, 0]
    p = F.leaky_relu(w, 1 / _SLOPE).cpu().double()
    variance, axes = torch.linalg.eigh(p.T.cov())
    keep = variance > _TINY * variance.max()
    scaled = axes[:, keep] * variance[keep].sqrt()
    return LatentSpace(p.mean(dim=0).to(w), scaled.to(w), True, generator.num_ws, w.new_zeros(0))


def latent_length(space: LatentSpace, ws: Tensor) -> Tensor:
    """How far latents are from the generator's natural ones: a Mahalanobis length, of the row that is farthest.

    Every axis gets _DAMPING of the largest variance besides its own. Without it the thin axes decide, along which
    inversions and good edits lie far out as well.

    Args:
        space: of the generator.
        ws: [N, num_ws, w_dim].

    Returns:
        [N]; natural samples have about 1.
    """
    variance = space.axes.square().sum(dim=0)
    share = variance / (variance + _DAMPING * variance.max())
    return ((space.from_ws(ws).square() * share).sum(dim=2) / share.sum()).sqrt().amax(dim=1)
