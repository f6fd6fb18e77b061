"""The search for the amount of a slider: as little as reaches a goal in the finished photo."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.editing.directions import Direction
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import Region
from ganvas.errors import BadConfig
from ganvas.features.eye_openness import measure_eye_openness
from ganvas.features.face_networks import score_faces
from ganvas.session.renderer import Renderer

AUTO_STEPS, BISECTION_STEPS = 7, 3  # of the search for an amount
ROUNDING = 0.01  # of a score, where the amount is rounded


@dataclass(frozen=True)
class AutoTarget:
    """What `amount="auto"` aims at: a change of a probability, as large as it is in real photos of one person.

    A fixed goal pulls some people to the end of the slider and others not at all: of 24 people, only 7 score beyond .98
    when they really smile. What the same people gain from a neutral to a smiling photo has a median of 9 logits: this
    is `gain`. `up` and `down` keep the goal where it can be seen.
    """

    attribute: str
    gain: float  # logits
    up: tuple[float, float]  # least and greatest probability that is aimed at
    down: tuple[float, float]

    def score(self, img: Tensor) -> Tensor:
        """The probability in each aligned face: [N, 3, S, S] → [N]."""
        return score_faces(img, self.attribute)

    def goal(self, before: float, *, upward: bool) -> float:
        """The probability to reach from one that was measured."""
        low, high = self.up if upward else self.down
        logit = log_odds(min(max(before, 1e-4), 1 - 1e-4)) + (self.gain if upward else -self.gain)
        return min(max(1 / (1 + math.exp(-logit)), low), high)

    def strength(self, score: float) -> float:
        """What amounts are compared by: the scorer is so sure of some faces that a wide smile is .003 to it."""
        return log_odds(score)


@dataclass(frozen=True)
class EyeTarget:
    """What `eyes_open=auto` aims at: visibly more open than now, and at least what narrow eyes at rest show.

    Eyes at rest differ (`measure_eye_openness` of 54 portraits: a tenth below 0.2, a tenth above 0.41), so the
    goal is a share of the person's own; one who blinks is brought to `least`.
    """

    wider: float = 1.25  # times what is there
    narrower: float = 0.7
    least: float = 0.2
    most: float = 0.5

    def score(self, img: Tensor) -> Tensor:
        """The openness in each aligned face: [N, 3, S, S] → [N]."""
        return measure_eye_openness(img)

    def goal(self, before: float, *, upward: bool) -> float:
        """The openness to reach from one that was measured."""
        return min(max(before * self.wider, self.least), self.most) if upward else before * self.narrower

    def strength(self, score: float) -> float:
        """What amounts are compared by: the openness itself."""
        return score


AUTO_TARGETS: dict[str, AutoTarget | EyeTarget] = {
    "smile": AutoTarget("smile", gain=9, up=(0.5, 0.9), down=(0.01, 0.1)),
    "eyes_open": EyeTarget(),
}
YEARS_PATTERN = re.compile(r"([+-]?)(\d{1,3}(?:\.\d+)?) ?(?:y|years?)")  # with a sign: from what is there now
CLOSE_ENOUGH_YEARS = 0.5
LEAST_YEARS = 10  # a number for age from here on is no amount


@dataclass(frozen=True)
class AutoAmount:
    """What a search for an amount found.

    `before`, `after` and `goal` are scores of the pasted-back picture; `reached` says whether the goal was, and `fog`
    whether the search ended because a larger amount would leave the pictures that the generator knows.
    """

    direction: str
    amount: float
    before: float
    after: float
    goal: float
    reached: bool
    fog: bool = False
    unit: str = ""  # of the scores; "" where they have none

    def words(self) -> str:
        """One line for people."""
        way = f"score {self.before:.2g} → {self.after:.2g}, goal {self.goal:.2g}"
        if self.unit:
            way = f"{self.before:.0f} → {self.after:.0f} {self.unit}, goal {self.goal:.0f}"
        line = f"{self.direction}: {self.amount:+.2f} ({way})"
        if self.amount == 0 and self.reached:
            return f"{line}: no change needed, the goal is already met"
        if self.reached:
            return line
        why = "a larger amount would degrade the face" if self.fog else "end of the slider's range"
        return f"{line}: the goal was not reached; {why}"


def check_search(name: str, wanted: str, *, aligned: bool) -> None:
    """Can an amount of this direction be searched for so? Before there is a photo to search in.

    Args:
        name, wanted, aligned: see `find_amount`.

    Raises:
        BadConfig: a direction without a scorer, or another word.
    """
    years = YEARS_PATTERN.fullmatch(wanted)
    if years is None and wanted not in ("auto", "+auto", "-auto"):
        raise BadConfig(
            f"an amount must be a number, 'auto', '-auto' or, for age, years such as '40y' or '-10y'; got {wanted!r}"
        )
    known = (["age"] if years else list(AUTO_TARGETS)) if aligned else []
    if name not in known:
        raise BadConfig(
            f"direction {name!r} has no scorer for {wanted!r}; directions that have one: "
            f"{', '.join(known) or 'none for this generator'}"
        )


def check_number(name: str, amount: float, direction: Direction) -> None:
    """Is a number for the age slider an amount, or was an age meant?

    Raises:
        BadConfig: an age: no slider goes that far, and what it would show is no face.
    """
    if name == "age" and abs(amount) >= LEAST_YEARS > max(-direction.low, direction.high):
        raise BadConfig(
            f"age={amount:g} would be {amount:g} standard deviations, and the slider goes from {direction.low:g} to "
            f"{direction.high:g}; for an age in years write age={abs(amount):g}y, for a change age=-10y"
        )


def log_odds(p: float) -> float:
    """A probability without end at 0 and 1."""
    p = min(max(p, 1e-9), 1 - 1e-7)
    return math.log(p / (1 - p))


@torch.no_grad()
def find_amount(
    renderer: Renderer,
    recipe: Recipe,
    name: str,
    wanted: str,
    *,
    aligned: bool,
    keep: tuple[str, ...] = (),
    region: Region | None = None,
) -> AutoAmount:
    """The amount at which a slider's effect is there, by its scorer.

    Measured is the pasted-back preview: pasting back weakens mild edits, so it must be in the measurement.

    Args:
        renderer: of the photo.
        recipe: what was done to it before.
        name: of the direction.
        wanted: "auto" or "-auto" (the typical difference between real photos of one person), an age such as "40y", or
            years from what the recipe so far shows, such as "-10y".
        aligned: does the crop show a face as the scorers know it?
        keep, region: see `Session.set`.

    Raises:
        BadConfig: an unknown direction, one without a scorer, or another word.
    """
    direction = renderer.direction(name)
    check_search(name, wanted, aligned=aligned)
    years = YEARS_PATTERN.fullmatch(wanted)
    measure = (lambda img: score_faces(img, "age")) if years else AUTO_TARGETS[name].score
    strength = float if years else AUTO_TARGETS[name].strength

    def recipe_at(amount: float) -> Recipe:
        return recipe.with_move(name, amount, keep=keep, region=region)

    def score(amount: float) -> float:
        return measure(renderer.preview(recipe_at(amount))).item()

    before = score(0.0)
    if years:
        now = score(recipe.amount(name, region=region)) if years[1] else 0.0
        goal = max(1.0, now + float(years[1] + years[2])) if years[1] else float(years[2])
        upward = goal > before
    else:
        upward = wanted != "-auto"
        goal = AUTO_TARGETS[name].goal(before, upward=upward)
    sign, tolerance = (1 if upward else -1), CLOSE_ENOUGH_YEARS if years else 0.0
    limit, fog = _limit_before_fog(renderer, recipe_at, direction.high if upward else direction.low)
    scores = {0.0: before}

    def effect(amount: float) -> float:
        scores[amount] = score(amount) if amount not in scores else scores[amount]
        return sign * strength(scores[amount])

    amount = find_smallest_amount(effect, sign * strength(goal) - tolerance, limit)
    effect(amount)  # it was rounded
    after = scores[amount]
    reached = sign * after >= sign * goal - tolerance - ROUNDING
    return AutoAmount(name, amount, before, after, goal, reached, fog and not reached, "years" if years else "")


def _limit_before_fog(renderer: Renderer, recipe_at: Callable[[float], Recipe], limit: float) -> tuple[float, bool]:
    """The slider's end, or the last of AUTO_STEPS even steps before the fog, and whether there is any."""
    for step in range(AUTO_STEPS, 0, -1):
        if not renderer.is_broken(recipe_at(limit * step / AUTO_STEPS)):
            return limit * step / AUTO_STEPS, step < AUTO_STEPS
    return limit / AUTO_STEPS, True


def find_smallest_amount(effect: Callable[[float], float], goal: float, limit: float) -> float:
    """The smallest amount from 0 to `limit` whose effect is the goal, to 2 % of the limit.

    A wide smile may become less of one when it is pulled further, so the way there is walked in AUTO_STEPS steps and
    only the step that reaches is halved. Where none reaches: the amount with the most effect, or a smaller one that is
    as good to 0.02.
    """
    effects = {0.0: effect(0.0)}
    for step in range(1, AUTO_STEPS + 1):
        near, far = limit * (step - 1) / AUTO_STEPS, limit * step / AUTO_STEPS
        if effects[near] >= goal:
            return near
        effects[far] = effect(far)
        if effects[far] >= goal:
            return round(_bisect(effect, goal, near, far), 2)
    most = max(effects.values())
    return round(next(amount for amount, got in effects.items() if got >= most - 0.02), 2)


def _bisect(effect: Callable[[float], float], goal: float, near: float, far: float) -> float:
    """Bisection between an amount that does not reach and one that does."""
    for _ in range(BISECTION_STEPS):
        middle = (near + far) / 2
        near, far = (near, middle) if effect(middle) >= goal else (middle, far)
    return far
