"""Learning one direction of a generator, from what is known about samples to the slider.

What is known: scores of some latents, latents that have it and latents that have it not, or a face scorer that looks at
samples of the generator. With a scorer the rows, the unit and the range of the slider are measured too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import Direction
from ganvas.editing.discovery.calibration import (
    OnMeasureStep,
    best_layers,
    calibrate,
    combine_scorers,
    effect_by_row,
    find_valid_range,
    measure_response,
    preview_resolution,
    score_latents,
)
from ganvas.editing.discovery.natural import LatentSpread, measure_spread
from ganvas.editing.discovery.regression import (
    RegressionFit,
    channel_direction,
    fit_scores,
    learn_direction,
    rank_channels,
)
from ganvas.editing.style_space import styles_of
from ganvas.errors import BadConfig
from ganvas.features.face_scores import FACE_SCORES, FaceScorer, face_scorer
from ganvas.fields import check_known
from ganvas.models.seeds import map_seeds, map_z
from ganvas.weights.checkpoint import fingerprint

EFFECT_SEEDS = 12  # pictures on which rows, unit and range of a learnt direction are measured
RANGE_AMOUNTS = tuple(float(a) for a in range(-5, 6))  # tried when a range is measured
MOVE_METRICS = ("natural", "plain")
SCORED_AT_ONCE = 10  # samples between two reports of progress
NATURAL_SAMPLES = 2000  # that likes are compared with when single channels are ranked


@dataclass(frozen=True)
class ScoredSamples:
    """Samples x [N, …] in the space of a direction, and columns of scores [N] by name; nan = unknown."""

    x: Tensor
    scores: dict[str, Tensor]

    def select(self, column: str) -> tuple[Tensor, Tensor]:
        """The samples whose score is known, and the scores.

        Raises:
            BadConfig: there is no such column.
        """
        if column not in self.scores:
            raise BadConfig(f"there is no column {column!r}; there are: {', '.join(self.scores)}")
        good = self.scores[column].isfinite()
        return self.x[good], self.scores[column][good]

    def with_known(self, columns: Sequence[str]) -> ScoredSamples:
        """Those samples of which all of these columns are known.

        Raises:
            BadConfig: there is no such column.
        """
        good = torch.ones(len(self.x), dtype=torch.bool)
        for column in columns:
            self.select(column)
            good &= self.scores[column].isfinite()
        return ScoredSamples(self.x[good], {name: y[good] for name, y in self.scores.items()})

    def fit(self, column: str) -> RegressionFit:
        """The linear score that fits a column best."""
        x, y = self.select(column)
        return fit_scores(x.flatten(1), y)


@dataclass(frozen=True, kw_only=True)
class DirectionLearner:
    """Learns a direction of a generator: make samples with one of `from_…`, then `learn`; with a scorer, `calibrate`.

    `name` is what the direction will be called, `space` one of "w", "w+" (a vector of its own for each row) and "s"
    (style channels); `trunc` (truncation_psi) and `label` (a class) are of the samples that are made here.
    """

    generator: Any
    name: str
    space: str = "w"
    trunc: float = 0.7
    label: int | None = None

    def map_seeds(self, seeds: Sequence[int]) -> Tensor:
        """ws [N, num_ws, w_dim] of everybody's seeds."""
        return map_seeds(self.generator, list(seeds), trunc=self.trunc, label=self.label)

    def from_scores(self, ws: Tensor, scores: dict[str, Tensor]) -> ScoredSamples:
        """Samples of ws [N, num_ws, w_dim] with columns of scores [N]."""
        return ScoredSamples(self._features(ws), scores)

    def from_marks(self, positive: Tensor, negative: Tensor) -> ScoredSamples:
        """Samples of ws that have it and ws that have it not."""
        marks = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
        return self.from_scores(torch.cat([positive, negative]), {self.name: marks})

    def from_scorer(
        self, scorer: str, *, keep: Sequence[str] = (), count: int = 2000, on_step: OnMeasureStep | None = None
    ) -> ScoredSamples:
        """Samples of the generator that face scorers look at.

        Args:
            scorer: of `FACE_SCORES`; it becomes the column of the direction's name.
            keep: attributes to keep; those that are face scores become columns too.
            count: how many samples. In space "w+" their rows are mixed, so that the effects of rows can be separated.
            on_step: called with (samples scored, samples in all).

        Raises:
            BadConfig: an unknown scorer. FetchError: one whose weights are not on this computer.
        """
        looking = FaceScorer([scorer, *(name for name in keep if name in FACE_SCORES and name != scorer)])
        ws = self._mixed_samples(count) if self.space == "w+" else self._samples(count)
        parts: list[Mapping[str, Tensor]] = []
        for start in range(0, count, SCORED_AT_ONCE):
            batch = ws[start : start + SCORED_AT_ONCE]
            parts.append(score_latents(self.generator, looking, batch, resolution=self._resolution))
            if on_step is not None:
                on_step(start + len(batch), count)
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return self.from_scores(ws, {self.name: columns.pop(scorer), **columns})

    def learn(
        self,
        samples: ScoredSamples,
        *,
        keep: Sequence[str] = (),
        channels: int = 0,
        metric: str = "natural",
        confounders: Sequence[str] | None = None,
    ) -> Direction:
        """The direction that samples show, by regression on all of them.

        Args:
            samples: with a column of the direction's name.
            keep: columns, or directions of this generator in the same space, along which nothing may move.
            channels: in space "s", take only so many channels, those that the samples that have it share; 0 = all.
            metric: of MOVE_METRICS: "natural" = the shortest move among natural latents, "plain" = the slope.
            confounders: columns whose influence is taken out of the scores first; None = those of `keep`.

        Raises:
            BadConfig: too few samples, an unknown name to keep, or channels outside space "s".
        """
        if channels:
            direction = self._pick_channels(samples, channels)
        else:
            check_known(metric, MOVE_METRICS, what="metric")
            if confounders is None:
                confounders = [other for other in keep if other in samples.scores]
            known = samples.with_known((self.name, *confounders))
            direction = learn_direction(
                known.x,
                known.scores[self.name],
                name=self.name,
                keep=[self._vector_of(samples, other) for other in keep],
                space=self.space,
                spread=self.spread if metric == "natural" else None,
                confounders=torch.stack([known.scores[name] for name in confounders], 1) if confounders else None,
            )
        facts = {**direction.facts, "keep": list(keep)}
        return replace(direction, fingerprint=fingerprint(self.generator), facts=facts)

    def choose_rows(
        self, direction: Direction, scorer: str, *, on_step: OnMeasureStep | None = None
    ) -> tuple[Direction, Tensor]:
        """The direction in those rows alone that move a face score, and the effect of each row [num_ws].

        Args:
            direction: of this generator.
            scorer: of `FACE_SCORES`.
            on_step: called with (rows measured, rows in all).
        """
        effects = effect_by_row(
            self.generator,
            face_scorer(scorer),
            self._effect_ws(),
            direction,
            resolution=self._resolution,
            on_step=on_step,
        )
        return replace(direction, layers=best_layers(effects)), effects

    def calibrate(self, direction: Direction, scorer: str, *, on_step: OnMeasureStep | None = None) -> Direction:
        """Unit and range of a direction by what a face scorer sees, on pictures that were not learnt from.

        Args:
            direction: of this generator.
            scorer: of `FACE_SCORES`.
            on_step: called with (pictures scored, pictures in all).
        """
        G, px, ws = self.generator, self._resolution, self._effect_ws()
        score = _report_each(face_scorer(scorer), EFFECT_SEEDS * (3 + len(RANGE_AMOUNTS)), on_step)
        direction = calibrate(G, score, ws, direction, resolution=px)
        response = measure_response(G, combine_scorers({scorer: score}), ws, direction, RANGE_AMOUNTS, resolution=px)
        low, high = find_valid_range(response, scorer)
        facts = {**direction.facts, "range": f"measured on {EFFECT_SEEDS} seeds by {scorer}"}
        facts["length"] = self.spread.length(direction.vector)  # of the unit as it is now
        return replace(direction, low=low or -1.0, high=high or 1.0, facts=facts)

    @cached_property
    def spread(self) -> LatentSpread:
        """How natural samples of the generator spread in this space."""
        return measure_spread(
            self._features(
                self._mixed_samples(NATURAL_SAMPLES) if self.space == "w+" else self._samples(NATURAL_SAMPLES)
            )
        )

    @property
    def _resolution(self) -> int | None:
        return preview_resolution(self.generator)

    def _effect_ws(self) -> Tensor:
        return self.map_seeds(range(EFFECT_SEEDS))

    @torch.no_grad()
    def _features(self, ws: Tensor) -> Tensor:
        """What is regressed on: w [N, w_dim], ws [N, num_ws, w_dim] or styles [N, S]."""
        if self.space == "s":
            return styles_of(ws, self.generator)
        if self.space == "w":
            return ws.mean(dim=1)
        if torch.equal(ws, ws[:, :1].expand_as(ws)):
            raise BadConfig(
                "in these samples all rows of ws are the same, so single rows cannot be learnt. Learn in "
                "space 'w' and choose its layers, or use a scorer, which mixes rows"
            )
        return ws

    def _samples(self, count: int) -> Tensor:
        z = torch.randn(count, self.generator.z_dim, generator=torch.Generator().manual_seed(1))
        return map_z(self.generator, z, trunc=self.trunc, label=self.label)

    def _mixed_samples(self, count: int) -> Tensor:
        """Every row of a sample comes from one of three latents, so that the effects of rows can be separated."""
        ws = torch.stack([self._samples(3 * count)[i::3] for i in range(3)])  # [3, N, num_ws, w_dim]
        source = torch.randint(3, ws.shape[1:3], generator=torch.Generator().manual_seed(2))  # [N, num_ws]
        return ws.gather(0, source[None, :, :, None].expand(1, -1, -1, ws.shape[3]))[0]

    def _vector_of(self, samples: ScoredSamples, name: str) -> Tensor:
        """The vector of an attribute to keep: from its column where there is one, else a direction that is there."""
        if name in samples.scores:
            return samples.fit(name).slope.view(-1, samples.x.shape[-1])
        known = {n: d for n, d in directions_of(fingerprint(self.generator)).items() if d.space == self.space}
        if name in known:
            return known[name].vector
        raise BadConfig(
            f"cannot keep {name!r}: no column of that name ({', '.join(samples.scores)}), and no "
            f"direction in space {self.space!r} (there: {', '.join(known) or 'none'})"
        )

    def _pick_channels(self, samples: ScoredSamples, count: int) -> Direction:
        """Single style channels in which the likes stand out from random samples."""
        if self.space != "s":
            raise BadConfig(f"channels are only for space 's'; this direction is learnt in {self.space!r}")
        x, y = samples.select(self.name)
        likes = x[y > (y.min() + y.max()) / 2]
        ranking = rank_channels(likes, self._features(self._samples(NATURAL_SAMPLES)))
        return channel_direction(ranking, name=self.name, channels=count)


def _report_each(
    score: Callable[[Tensor], Tensor], total: int, on_step: OnMeasureStep | None
) -> Callable[[Tensor], Tensor]:
    """The same score, which says after each picture how many there were."""
    done = itertools.count(1)

    def score_and_report(img: Tensor) -> Tensor:
        scores = score(img)
        if on_step is not None:
            on_step(next(done), total)
        return scores

    return score_and_report
