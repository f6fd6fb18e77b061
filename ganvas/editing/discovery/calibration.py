"""What a direction does to pictures, measured: which rows carry it, how far one unit moves, how far it holds.

A *judge* maps images img [N, 3, H, W] to one value per image for each score, by name; `combine_scorers` builds one from
plain scorers. An undefined score (no face found) is NaN and is excluded from every mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_ws
from ganvas.editing.directions import Direction, apply_direction
from ganvas.editing.style_space import synthesize_with_shift
from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.images.contact_sheet import make_captioned_grid

ScoreFunction: TypeAlias = Callable[[Tensor], Mapping[str, Tensor]]
OnMeasureStep: TypeAlias = Callable[[int, int], None]

LAYER_EFFECT_SHARE = 0.9  # of the whole effect that the chosen rows must carry
DIRECTION_SHEET_PX = 256
PREVIEW_PX = 256
MIN_RISE = 0.05  # in standard deviations: a smaller change from one amount to the next is none


@dataclass(frozen=True, kw_only=True)
class Response:
    """Mean scores along a direction: `means` has one for each of `amounts`, `found` the share of pictures judged.

    `still` and `spread` are mean and standard deviation of the same pictures unmoved.
    """

    direction: str
    amounts: tuple[float, ...]
    means: dict[str, tuple[float, ...]]
    found: tuple[float, ...]
    still: dict[str, float]
    spread: dict[str, float]

    def shifts(self, score: str) -> list[float]:
        """How far each amount moves a score, in standard deviations."""
        return [(mean - self.still[score]) / self.spread[score] for mean in self.means[score]]


def preview_resolution(generator: Any) -> int | None:
    """At which size to score pictures: an early exit where the family has one, so that a thousand take minutes."""
    if generator.family == "mobilestylegan" or (
        generator.family == "stylegan2" and generator.config.architecture == "skip"
    ):
        return min(PREVIEW_PX, generator.img_resolution)
    return None


def combine_scorers(scorers: Mapping[str, Callable[[Tensor], Tensor]]) -> ScoreFunction:
    """A judge of several scorers, each img [N, 3, H, W] → [N]."""
    return lambda img: {name: scorer(img) for name, scorer in scorers.items()}


@torch.no_grad()
def score_latents(
    generator: Any,
    scorer: ScoreFunction,
    ws: Tensor,
    direction: Direction | None = None,
    amount: float = 0.0,
    *,
    resolution: int | None = None,
    layers: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    """Scores of the pictures of latents, moved or not.

    Args:
        generator, scorer: who paints and who looks.
        ws: [N, num_ws, w_dim]; painted one by one, so that any number fits into memory.
        direction, amount: how to move them first.
        resolution: of an early exit, where the family has one.
        layers: rows to move; None = the direction's own.

    Returns:
        [N] a score.
    """
    check_ws(ws, who="score_latents", num_ws=generator.num_ws, w_dim=generator.w_dim)
    shift = None
    if direction is not None:
        ws, shift = apply_direction(ws, direction, amount, generator, layers=layers)
    rows = [
        scorer(
            synthesize_with_shift(generator, one[None], shift, resolution=resolution, precision="fast")
            .float()
            .clamp(-1, 1)
        )
        for one in ws
    ]
    return {name: torch.cat([row[name].detach().float().cpu() for row in rows]) for name in rows[0]}


def measure_response(
    generator: Any,
    scorer: ScoreFunction,
    ws: Tensor,
    direction: Direction,
    amounts: Sequence[float] | None = None,
    *,
    still: Mapping[str, Tensor] | None = None,
    resolution: int | None = None,
) -> Response:
    """Move pictures along a direction and judge them at every amount.

    Args:
        generator, scorer, ws, resolution: as in `score_latents`.
        direction: to be measured.
        amounts: None = five steps from the direction's low to its high end.
        still: `score_latents(generator, judge, ws)`, where the caller has it.
    """
    still = score_latents(generator, scorer, ws, resolution=resolution) if still is None else still
    amounts = _default_amounts(direction) if amounts is None else amounts
    moved = [
        score_latents(generator, scorer, ws, direction, amount, resolution=resolution) if amount else still
        for amount in amounts
    ]
    return Response(
        direction=direction.name,
        amounts=tuple(amounts),
        means={name: tuple(_mean(scores[name]) for scores in moved) for name in still},
        found=tuple(min(float(s.isfinite().float().mean()) for s in scores.values()) for scores in moved),
        still={name: _mean(values) for name, values in still.items()},
        spread={name: score_std(values) for name, values in still.items()},
    )


def _default_amounts(direction: Direction) -> tuple[float, ...]:
    return (direction.low, direction.low / 2, 0.0, direction.high / 2, direction.high)


def _mean(values: Tensor) -> float:
    return float(values.nanmean())


def score_std(values: Tensor) -> float:
    """Standard deviation of the finite scores; NaN if they are all equal, to prevent a division by zero."""
    spread = float(values[values.isfinite()].std())
    return spread if spread > 1e-9 else math.nan


def find_valid_range(response: Response, score: str) -> tuple[float, float]:
    """The amounts around 0 over which a score rises from step to step: what a slider should offer.

    Raises:
        BadConfig: an unknown score, or one that does not rise at all.
    """
    check_known(score, response.means, what="score")
    table = dict(zip(response.amounts, response.shifts(score), strict=True)) | {0.0: 0.0}
    amounts = sorted(table)
    low = high = amounts.index(0.0)
    while high + 1 < len(amounts) and table[amounts[high + 1]] - table[amounts[high]] > MIN_RISE:
        high += 1
    while low > 0 and table[amounts[low]] - table[amounts[low - 1]] > MIN_RISE:
        low -= 1
    if low == high:
        raise BadConfig(f"{score!r} does not increase along direction {response.direction!r}: {response.shifts(score)}")
    return amounts[low], amounts[high]


def effect_by_row(
    generator: Any,
    scorer: Callable[[Tensor], Tensor],
    ws: Tensor,
    direction: Direction,
    *,
    amount: float = 2.0,
    resolution: int | None = None,
    on_step: OnMeasureStep | None = None,
) -> Tensor:
    """How far a score moves when one row of ws moves alone: [num_ws], for amount 1.

    Args:
        generator, ws, direction, resolution: as in `measure_response`; a handful of latents will do.
        scorer: img → [N], of the attribute.
        amount: moved up and down by this much, and the difference halved.
        on_step: called with (rows done, rows in all).
    """
    score_fn, effects = combine_scorers({"score": scorer}), []
    rows = range(generator.num_ws) if direction.layers is None else direction.layers
    row_effects = torch.zeros(generator.num_ws)
    for done, row in enumerate(rows, start=1):
        up, down = (
            score_latents(generator, score_fn, ws, direction, a, resolution=resolution, layers=[row])["score"]
            for a in (amount, -amount)
        )
        effects.append((up - down).nanmean() / (2 * amount))
        row_effects[row] = effects[-1]
        if on_step is not None:
            on_step(done, len(rows))
    return row_effects


def best_layers(effects: Tensor, *, share: float = LAYER_EFFECT_SHARE) -> tuple[int, ...]:
    """The shortest run of rows that carries this share of the whole effect; of equally short ones the strongest.

    Args:
        effects: [num_ws] from `effect_by_row`; rows that work against the attribute count as none.
        share: above 0, at most 1.

    Raises:
        BadConfig: no row moves the score upward.
    """
    if not 0 < share <= 1:
        raise BadConfig(f"share should be above 0 and at most 1, got {share}")
    gain = effects.double().clamp(min=0)
    if gain.sum() <= 0:
        raise BadConfig("no row of ws increases the score: this direction does not have the attribute")
    total = torch.cat([gain.new_zeros(1), gain.cumsum(0)])
    runs = [
        (stop - start, -float(total[stop] - total[start]), start)
        for start in range(len(gain))
        for stop in range(start + 1, len(gain) + 1)
        if total[stop] - total[start] >= share * total[-1] - 1e-12
    ]
    length, _, start = min(runs)
    return tuple(range(start, start + length))


def calibrate(
    generator: Any,
    scorer: Callable[[Tensor], Tensor],
    ws: Tensor,
    direction: Direction,
    *,
    spread: float | None = None,
    resolution: int | None = None,
) -> Direction:
    """The direction at such a length that amount 1 moves the measured score by one standard deviation.

    Args:
        generator, ws, direction, resolution: as in `measure_response`.
        scorer: img → [N], of the attribute.
        spread: the standard deviation; None = that of the scores of ws.

    Raises:
        BadConfig: the score does not rise along the direction.
    """
    score_fn = combine_scorers({"score": scorer})
    up, down = (
        score_latents(generator, score_fn, ws, direction, amount, resolution=resolution)["score"]
        for amount in (1.0, -1.0)
    )
    if spread is None:
        spread = score_std(score_latents(generator, score_fn, ws, resolution=resolution)["score"])
    gain = float((up - down).nanmean()) / 2 / spread
    if not gain > 0.01:
        raise BadConfig(
            f"the score does not increase along direction {direction.name!r}: {gain:+.3f} standard deviations per unit"
        )
    return replace(direction, vector=direction.vector / gain, facts={**direction.facts, "measured_gain": gain})


@torch.no_grad()
def direction_sheet(
    generator: Any,
    ws: Tensor,
    direction: Direction,
    amounts: Sequence[float] | None = None,
    *,
    px: int = DIRECTION_SHEET_PX,
) -> Tensor:
    """A picture to judge a direction by: a row a latent, a column an amount, [1, 3, H, W].

    Args:
        generator: the one the direction is of.
        ws: [N, num_ws, w_dim].
        direction: to be shown.
        amounts: None = five from its low to its high end.
        px: full pictures are averaged down to about this size; early exits would not show what edits really look like.
    """
    amounts = _default_amounts(direction) if amounts is None else amounts
    pictures, captions = [], []
    for one in ws:
        for amount in amounts:
            moved, shift = apply_direction(one[None], direction, amount, generator)
            img = synthesize_with_shift(generator, moved, shift, precision="fast").float().clamp(-1, 1)
            pictures.append(F.avg_pool2d(img, max(1, img.shape[3] // px)))
            captions.append(f"{direction.name} {amount:+.2g}" if amount else f"{direction.name} 0")
    return make_captioned_grid(torch.cat(pictures).expand(-1, 3, -1, -1), captions, columns=len(amounts))
