"""Directions from labels: scores, marks, or two sets of latents; and single style channels from few examples.

Every sample counts, not only the extremes: ridge regression on scores, logistic regression on yes and no, both with the
strength of their regularisation chosen by cross-validation, which also says how good the result is. The classic recipe,
a linear SVM on the top and bottom 2 %, is Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face
Editing" (InterFaceGAN); on planted directions it needs several times as many samples for the same cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.directions import SPACES, Direction, orthonormalize
from ganvas.editing.discovery.natural import LatentSpread, find_natural_move, regress_out
from ganvas.errors import BadConfig, BadLatent
from ganvas.fields import check_known

RIDGE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the regularisation, tried in cross-validation
MIN_SAMPLES = 10
MAX_UNIT_STD = 2.0  # a unit moves the fitted score by at most so many of its own standard deviations


@dataclass(frozen=True, kw_only=True)
class RegressionFit:
    """A linear score of latents: x @ slope + offset, with what cross-validation says of it.

    `quality` is R² of held-out samples where scores are continuous, the area under the ROC curve where they are yes and
    no (`binary`); `spread` is the standard deviation of the attribute among the samples, in the score's own unit.
    """

    slope: Tensor  # [D], float64
    offset: float
    quality: float
    binary: bool
    ridge: float
    samples: int
    spread: float

    @property
    def facts(self) -> dict[str, Any]:
        """For a direction's card."""
        measure = {"auc" if self.binary else "r2": self.quality}
        return {**measure, "samples": self.samples, "method": "logistic" if self.binary else "ridge"}


def learn_direction(
    w: Tensor,
    scores: Tensor,
    *,
    name: str,
    keep: Sequence[Tensor] = (),
    ridge: float | None = None,
    folds: int = 5,
    space: str | None = None,
    spread: LatentSpread | None = None,
    confounders: Tensor | None = None,
) -> Direction:
    """A direction from scored samples, by regression on all of them.

    Other attributes are held still: with `spread` by the shortest natural move that leaves them alone (natural.py),
    without by projecting their directions out (conditional manipulation, section 3.2 of the paper above).

    Args:
        w: [N, w_dim] latents of natural samples; or [N, num_ws, w_dim] for a direction with its own vector a row, which
            needs samples whose rows differ; or [N, S] styles with space "s".
        scores: [N], any scale; yes/no marks are 1 and 0.
        name: what it will be called.
        keep: vectors of the same space along which nothing may move.
        ridge: regularisation as a share of the mean variance of w; None = the best of STRENGTHS in cross-validation.
        folds: of the cross-validation.
        space: "w", "w+" or "s"; None = "w+" where w has three axes, else "w".
        spread: of natural latents in this space (`measure_spread`); None = the plain slope is the direction.
        confounders: [N, K], scores whose influence is taken out of continuous scores first; see `regress_out`.

    Returns:
        A Direction whose amount 1 moves the score by one standard deviation; `facts` has `r2` (continuous) or `auc`
        (yes/no), both cross-validated, `samples` and `method`.

    Raises:
        BadLatent: shapes that do not fit.
        BadConfig: fewer than 10 samples, scores that are all the same or not finite, nothing left beside `keep`.
    """
    space = space or ("w+" if w.ndim == 3 else "w")
    check_known(space, SPACES, what="space of a direction")
    if w.ndim != (3 if space == "w+" else 2) or scores.shape != (len(w),):
        raise BadLatent(
            f"learn_direction expects w [N, w_dim] ([N, num_ws, w_dim] for w+) and scores [N], "
            f"got {list(w.shape)}, {list(scores.shape)}"
        )
    if confounders is not None and len(scores.unique()) > 2:
        scores = regress_out(scores, confounders)
    fit = fit_scores(w.flatten(1), scores, ridge=ridge, folds=folds)
    facts = fit.facts
    if spread is None:
        slope = _project_out_kept(fit.slope, keep, name)
        # Along the unit vector u the fitted score rises by slope·u a unit; one amount shall raise it by one std of y.
        vector = (slope / slope.square().sum() * fit.spread).float()
    else:
        others = [vector.expand(fit.slope.numel() // vector.shape[-1], -1).flatten() for vector in keep]
        vector = (find_natural_move(fit.slope, others, spread) * fit.spread).float()
        facts |= {"metric": "natural", "length": spread.length(vector)}
    return Direction(name, vector.view(-1, w.shape[-1]), facts=facts, space=space)


def learn_from_sets(positive: Tensor, negative: Tensor, *, name: str, **options: Any) -> Direction:
    """A direction from latents that have an attribute to latents that have not.

    Args:
        positive, negative: [N, w_dim] or [N, num_ws, w_dim], of one generator.
        name: what it will be called.
        options: those of `learn_direction`.
    """
    marks = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
    return learn_direction(torch.cat([positive, negative]), marks, name=name, **options)


def fit_scores(x: Tensor, scores: Tensor, *, ridge: float | None = None, folds: int = 5) -> RegressionFit:
    """The linear score of latents that fits given scores best; see `learn_direction`.

    Args:
        x: [N, D].
        scores: [N].
    """
    y = scores.double()
    values = y.unique()
    if len(x) < MIN_SAMPLES or not y.isfinite().all() or len(values) < 2:
        raise BadConfig("learn_direction needs ten samples or more whose scores are finite and differ")
    if not x.isfinite().all():
        raise BadLatent("learn_direction expects finite latents")
    binary = len(values) == 2
    if binary:
        y = (y == values[1]).double()
        if min(y.sum(), len(y) - y.sum()) < 2:
            raise BadConfig("at least two samples each of yes and no are needed")
    z, back = _reduce_to_span(x.double())  # [N, R], centred
    fold = _folds(y, folds)
    ridge, guess, reduced = _ridge_search(z, y, fold, RIDGE_STRENGTHS if ridge is None else (ridge,))
    offset, quality = y.mean().item(), _r2(guess, y)
    if binary:
        quality = _auc(_cross_validate_logits(z, y, fold, ridge), y)
        reduced, offset = _logistic(z, y, ridge)
    fitted = (z @ reduced).std().item()
    slope = back(reduced)
    return RegressionFit(
        slope=slope,
        offset=offset - (x.double().mean(dim=0) @ slope).item(),
        quality=quality,
        binary=binary,
        ridge=ridge,
        samples=len(x),
        spread=fitted if binary else min(y.std().item(), MAX_UNIT_STD * fitted),
    )


def _project_out_kept(slope: Tensor, keep: Sequence[Tensor], name: str) -> Tensor:
    whole = slope.norm()
    for other in orthonormalize([vector.expand(slope.numel() // vector.shape[-1], -1) for vector in keep]):
        slope = slope - (slope @ other) * other
    if slope.norm() < 1e-9 * max(1e-12, whole.item()):
        raise BadConfig(
            f"direction {name!r} vanishes when the attributes to keep are projected out: keep fewer of them"
        )
    return slope


def _reduce_to_span(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Centred samples with at most N numbers each, and the way back for a slope: with more numbers than samples, all
    that a regression can see lies in the samples' own span."""
    x = x - x.mean(dim=0)
    if x.shape[1] <= len(x):
        return x, lambda slope: slope
    energy, basis = torch.linalg.eigh(x @ x.T)
    significant = energy > 1e-10 * energy[-1]
    size, basis = energy[significant].sqrt(), basis[:, significant]
    return basis * size, lambda slope: x.T @ (basis @ (slope / size))


def _folds(y: Tensor, count: int) -> Tensor:
    """[N], which fold each sample is held out in; every fold has its share of low and high scores."""
    shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    order = shuffled[y[shuffled].argsort(stable=True)]
    fold = torch.empty(len(y), dtype=torch.long)
    fold[order] = torch.arange(len(y)) % max(2, min(count, len(y)))
    return fold


def _ridge_search(z: Tensor, y: Tensor, fold: Tensor, strengths: Sequence[float]) -> tuple[float, Tensor, Tensor]:
    """The strength with the least held-out squared error (which carries over to the logistic fit), what it guessed of
    every sample held out [N], and its slope on all samples [R]. z is centred, so a fold is taken out of sums."""
    gram, cross = z.T @ z, z.T @ y
    guess = torch.empty(len(strengths), len(y), dtype=torch.float64)
    for in_fold in (fold == number for number in fold.unique()):
        out, y_out, left = z[in_fold], y[in_fold], int((~in_fold).sum())
        mean, y_mean = -out.sum(dim=0) / left, (y.sum() - y_out.sum()) / left
        slopes = _ridge_path(
            gram - out.T @ out - left * torch.outer(mean, mean),
            cross - out.T @ y_out - left * mean * y_mean,
            strengths,
        )
        guess[:, in_fold] = slopes @ (out - mean).T + y_mean
    best = int((guess - y).square().sum(dim=1).argmin())
    return strengths[best], guess[best], _ridge_path(gram, cross, strengths[best : best + 1])[0]


def _ridge_path(gram: Tensor, cross: Tensor, strengths: Sequence[float]) -> Tensor:
    """Slopes for several strengths from one decomposition, [K, R]."""
    energy, basis = torch.linalg.eigh(gram)
    weights = energy.clamp(min=0) + energy.mean() * torch.tensor(strengths, dtype=torch.float64)[:, None]
    return (basis.T @ cross) / weights @ basis.T


def _r2(guess: Tensor, y: Tensor) -> float:
    return (1 - (y - guess).square().sum() / (y - y.mean()).square().sum()).item()


def _logistic(z: Tensor, y: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Slope and offset of the logit. Searched in coordinates where the loss is nearly round: its curvature is at most
    ¼ zᵀz + λ (Böhning 1992, "Multinomial Logistic Regression Algorithm")."""
    mean = z.mean(dim=0)
    centred = z - mean
    bound = centred.T @ centred / 4
    strength = ridge * bound.diagonal().mean()
    bound.diagonal().add_(strength)
    root = torch.linalg.cholesky(bound)
    theta = torch.zeros(z.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    rounded = torch.linalg.solve_triangular(root, centred.T, upper=False).T  # [N, D], samples seen from theta
    search = torch.optim.LBFGS([theta], max_iter=200, tolerance_grad=1e-8, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        slope = torch.linalg.solve_triangular(root.T, theta[:-1, None], upper=True)
        logits = rounded @ theta[:-1] + theta[-1]
        value = F.binary_cross_entropy_with_logits(logits, y, reduction="sum") + strength / 2 * slope.square().sum()
        value.backward()
        return value

    search.step(loss)
    slope = torch.linalg.solve_triangular(root.T, theta.detach()[:-1, None], upper=True)[:, 0]
    return slope, (theta.detach()[-1] - mean @ slope).item()


def _cross_validate_logits(z: Tensor, y: Tensor, fold: Tensor, ridge: float) -> Tensor:
    """[N], each sample's logit by a fit that never saw it."""
    guess = torch.empty_like(y)
    for in_fold in (fold == number for number in fold.unique()):
        slope, offset = _logistic(z[~in_fold], y[~in_fold], ridge)
        guess[in_fold] = z[in_fold] @ slope + offset
    return guess


def _auc(guess: Tensor, y: Tensor) -> float:
    """The chance that a random yes has the higher score than a random no (Mann and Whitney); ties count half."""
    _, place, count = guess.unique(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - (count - 1) / 2)[place]  # from 1, the mean of equals
    yes = y.sum()
    return ((rank[y > 0].sum() - yes * (yes + 1) / 2) / (yes * (len(y) - yes))).item()


# ---- Single style channels from few examples ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ChannelRanking:
    """Style channels in the order in which examples stand out from natural samples.

    `order` [S] has the most relevant channel first; `relevance` [S] is |mean|/std of the examples' normalised channels,
    `lean` [S] their mean, in standard deviations; `spread` [S] what one standard deviation is.
    """

    order: Tensor
    relevance: Tensor
    lean: Tensor
    spread: Tensor


def rank_channels(examples: Tensor, natural: Tensor) -> ChannelRanking:
    """Which style channels do pictures with an attribute have in common? Ten to thirty examples are enough.

    Args:
        examples: [n, S] styles of pictures that have the attribute, n at least 3.
        natural: [N, S] styles of random samples, to compare with.

    Raises:
        BadLatent: shapes that do not fit. BadConfig: too few of either.

    Source: Wu et al. 2021, "StyleSpace Analysis", section 5 (attributes from few positive examples).
    """
    if examples.ndim != 2 or natural.ndim != 2 or examples.shape[1] != natural.shape[1]:
        raise BadLatent(
            f"rank_channels expects styles [n, S] and [N, S], got {list(examples.shape)}, {list(natural.shape)}"
        )
    if len(examples) < 3 or len(natural) < MIN_SAMPLES:
        raise BadConfig("ranking channels needs 3 examples and 10 natural samples at least")
    spread = natural.double().std(dim=0)
    z = (examples.double() - natural.double().mean(dim=0)) / spread.clamp(min=1e-12)
    lean = z.mean(dim=0)
    relevance = lean.abs() / z.std(dim=0).clamp(min=1e-12)
    relevance[spread < 1e-9] = 0  # a channel that never changes says nothing
    return ChannelRanking(
        order=relevance.argsort(descending=True), relevance=relevance, lean=lean.float(), spread=spread.float()
    )


def channel_direction(ranking: ChannelRanking, *, name: str, channels: int = 1) -> Direction:
    """The first channels of a ranking as a direction of space "s": amount 1 moves each by one standard deviation.

    Raises:
        BadConfig: more channels than there are.
    """
    if not 1 <= channels <= len(ranking.order):
        raise BadConfig(f"channels should be 1 to {len(ranking.order)}, got {channels}")
    chosen = ranking.order[:channels]
    vector = torch.zeros(1, len(ranking.order))
    vector[0, chosen] = ranking.lean[chosen].sign() * ranking.spread[chosen]
    facts = {"method": "channels from examples", "channels": chosen.tolist(), "unit": "a channel's own spread"}
    return Direction(name, vector, facts=facts, space="s")
