"""The search for the amount of a slider: as little as reaches a goal in the finished photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import Region
from ganvas.errors import BadConfig
from ganvas.features.face_networks import score_faces
from ganvas.session.renderer import Renderer

AUTO_STEPS, BISECTION_STEPS = 7, 3  # of the search for an amount


@dataclass(frozen=True)
class AutoTarget:
    """What `amount="auto"` aims at: a score of the pasted-back picture to reach, upward or downward."""

    attribute: str
    high: float
    low: float


# Goals of the small scorer that put the network which taught it beyond .8 and below .2 (docs/editing.md has how often).
AUTO_TARGETS = {"smile": AutoTarget("smile", high=0.98, low=0.01)}


@torch.no_grad()
def find_amount(
    renderer: Renderer,
    recipe: Recipe,
    name: str,
    *,
    upward: bool,
    aligned: bool,
    keep: tuple[str, ...] = (),
    region: Region | None = None,
) -> float:
    """The amount at which a slider's effect is there, by its scorer.

    Measured is the pasted-back preview: pasting back weakens mild edits, so it must be in the measurement.

    Args:
        renderer: of the photo.
        recipe: what was done to it before.
        name: of the direction.
        upward: more of the attribute, or less.
        aligned: does the crop show a face as the scorers know it?
        keep, region: see `Session.set`.

    Raises:
        BadConfig: an unknown direction, or one without a scorer.
    """
    direction = renderer.direction(name)
    if name not in AUTO_TARGETS or not aligned:
        known = ", ".join(AUTO_TARGETS) if aligned else "none for this generator"
        raise BadConfig(f"direction {name!r} has no scorer for 'auto'; directions that have one: {known}")
    target = AUTO_TARGETS[name]

    def effect(amount: float) -> float:
        img = renderer.preview(recipe.with_move(name, amount, keep=keep, region=region))
        score = score_faces(img, target.attribute).item()
        return score if upward else 1 - score

    goal = target.high if upward else 1 - target.low
    return find_smallest_amount(effect, goal, direction.high if upward else direction.low)


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
