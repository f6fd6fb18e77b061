"""Moves among natural latents: the shortest way that changes one fitted score and none of the others.

A regression slope says which way a score rises fastest a unit of length, but latents do not spread alike in all
directions: along a thin axis a small step leaves everything that the generator knows, and pictures turn to fog. Here
steps are measured by the spread of natural latents (Mahalanobis 1936). Among all steps v that raise the fitted score by
one and leave the other fitted scores alone, Bᵀv = e, the shortest is

    v = M B (Bᵀ M B)⁻¹ e,    M = Σ^p, Σ the covariance of natural latents, B the slopes side by side.

p = 1 is the shortest way by Mahalanobis, p = 0 by Euclid (a plain projection); between them less of the picture moves
with the attribute than at 1, and there is still no fog. The conditional manipulation of Shen et al. 2020, "Interpreting
the Latent Space of GANs", section 3.2, is the case p = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import BadConfig, BadLatent

DEFAULT_POWER = 0.5
DEFAULT_COMBINED_SLACK = 0.003
_TINY = 1e-4  # axes with less than this share of the largest variance are noise: nothing moves along them


@dataclass(frozen=True)
class LatentSpread:
    """How natural latents spread: `variances` [R] along the orthonormal columns of `axes` [D, R]."""

    variances: Tensor
    axes: Tensor

    def length(self, vector: Tensor) -> float:
        """Mahalanobis length of a step [D] (or [rows, w_dim]): 1 is one standard deviation of natural latents."""
        along = vector.double().flatten() @ self.axes
        return (along.square() / self.variances).sum().sqrt().item()

    def bend(self, slopes: Tensor, power: float) -> Tensor:
        """Σ^power times slopes [D, K]."""
        return self.axes @ (self.variances.pow(power)[:, None] * (self.axes.T @ slopes.double()))


def measure_spread(x: Tensor) -> LatentSpread:
    """The spread of samples x [N, …], such as w [N, w_dim], ws [N, num_ws, w_dim] or styles [N, S].

    Raises:
        BadLatent: fewer than two samples, or samples that do not differ.
    """
    flat = x.flatten(1).double()
    if len(flat) < 2:
        raise BadLatent(f"a spread needs two samples or more, got {len(flat)}")
    flat = flat - flat.mean(dim=0)
    wide = flat.shape[1] > len(flat)
    energy, basis = torch.linalg.eigh((flat @ flat.T if wide else flat.T @ flat) / (len(flat) - 1))
    known = energy > _TINY * energy[-1].clamp(min=1e-12)
    energy, basis = energy[known], basis[:, known]
    if not len(energy):
        raise BadLatent("a spread needs samples that differ")
    axes = flat.T @ basis / (energy * (len(flat) - 1)).sqrt() if wide else basis
    return LatentSpread(energy, axes)


def find_natural_move(
    slope: Tensor,
    others: Sequence[Tensor],
    spread: LatentSpread,
    *,
    power: float = DEFAULT_POWER,
    slack: float = 0.0,
) -> Tensor:
    """The shortest step that raises one fitted score by 1 and leaves others where they are.

    Args:
        slope: [D], of the score to raise.
        others: [D] each, slopes of the scores to hold.
        spread: of natural latents.
        power: of the covariance, 0 (plain) to 1 (Mahalanobis).
        slack: how softly the others are held, as a share of what each moves by itself (a ridge). With dozens of them,
            some nearly the same, 0 makes steps long; 0.03 is enough to prevent that.

    Returns:
        [D], float64.

    Raises:
        BadConfig: power or slack out of range, or nothing is left beside the others.
    """
    if not (0 <= power <= 1 and 0 <= slack <= 1):
        raise BadConfig(f"power and slack of a natural move should be 0 to 1, got {power} and {slack}")
    slopes = torch.stack([one.double().flatten() for one in (slope, *others)], dim=1)
    bent = spread.bend(slopes, power)
    inner = slopes.T @ bent
    own = inner.diagonal().clone()
    if own[0] <= 1e-18 or not own.isfinite().all():
        raise BadConfig("a score that no natural latent changes has no direction")
    hold = max(slack, 1e-9) * own.clamp(min=1e-12)
    hold[0] = 0
    wanted = torch.zeros(len(own), dtype=torch.float64)
    wanted[0] = 1
    step = bent @ torch.linalg.solve(inner + hold.diag(), wanted)
    effect = step @ slopes / own.sqrt().clamp(min=1e-12)
    if effect[0] < 1e-6 or (not slack and (effect[1:].abs() > 1e-3 * effect[0]).any()):
        raise BadConfig("nothing is left of the direction beside the attributes to keep: keep fewer of them")
    return step / (step @ slopes[:, 0])


def combine_moves(
    moves: Tensor, own: Tensor, others: Tensor, spread: LatentSpread, *, slack: float = DEFAULT_COMBINED_SLACK
) -> Tensor:
    """Of all sums of moves whose effects were measured, the one that raises a score by 1 and moves others least.

    What a fit foretells and what pictures show are not the same: a fitted move of real faces does half of what it
    should, and moves what it should hold. Effects that were measured add up well enough to be taken out.

    Args:
        moves: [K, D], steps that were tried.
        own: [K], by how much each raised the score, such as in standard deviations.
        others: [K, S], by how much each raised the scores to hold, in theirs.
        spread: of natural latents.
        slack: the price of a squared natural length of 1, in squared moves of a held score: 0 holds them at any length.

    Returns:
        [D], float64.

    Raises:
        BadConfig: slack out of range, or no move raises the score.
    """
    if not 0 <= slack <= 1:
        raise BadConfig(f"slack of combined moves should be 0 to 1, got {slack}")
    t, held, steps = own.double(), others.double(), moves.double()
    if not len(t) or t.abs().max() < 1e-6:
        raise BadConfig("a score that none of the moves changes has no direction")
    natural = (steps @ spread.axes) / spread.variances.sqrt()
    weight = torch.linalg.solve(held @ held.T + max(slack, 1e-9) * (natural @ natural.T), t)
    return (weight / (weight @ t)) @ steps


def regress_out(scores: Tensor, confounders: Tensor) -> Tensor:
    """Scores without what others explain of them, linearly and by their squares; the mean stays.

    Widths of a face shrink when it turns, to either side: a mouth's width must not be learnt from turned heads.

    Args:
        scores: [N].
        confounders: [N, K].

    Returns:
        [N], in the scores' own unit.

    Raises:
        BadLatent: another number of samples.
    """
    if confounders.ndim != 2 or len(confounders) != len(scores):
        raise BadLatent(f"confounders should be [{len(scores)}, K], got {list(confounders.shape)}")
    c = confounders.double()
    c = (c - c.mean(dim=0)) / c.std(dim=0).clamp(min=1e-12)
    design = torch.cat([torch.ones(len(c), 1, dtype=torch.float64), c, c.square()], dim=1)
    y = scores.double()
    explained = design @ torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
    return (y - explained + y.mean()).to(scores.dtype)
