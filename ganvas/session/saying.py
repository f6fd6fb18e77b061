"""A sentence's sliders as steps of a recipe; see `Session.say`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ganvas.editing.directions import Direction
from ganvas.editing.move import Move
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import InRegion, Region, region_of, unwrap_step
from ganvas.editing.words.sentence import Dial, DialChange, Instruction
from ganvas.errors import BadConfig
from ganvas.session.auto_amount import AUTO_TARGETS, AutoAmount, find_amount
from ganvas.session.renderer import Renderer

AGE = "age"  # the direction that is measured in years


def dials_of(directions: Mapping[str, Direction], *, aligned: bool) -> list[Dial]:
    """The sliders of a generator as sentences know them.

    Args:
        directions: of the generator, by name.
        aligned: does the crop show a face as the scorers know it? Only then amounts can be searched for.
    """
    return [
        Dial(name, one.low, one.high, auto=aligned and name in AUTO_TARGETS, years=aligned and name == AGE)
        for name, one in directions.items()
    ]


def follow(
    instruction: Instruction,
    renderer: Renderer,
    recipe: Recipe,
    *,
    aligned: bool,
    keep: tuple[str, ...] = (),
    region: Region | None = None,
) -> tuple[Recipe, list[AutoAmount]]:
    """A recipe as an instruction changes it, and what the searches for amounts found on the way.

    Args:
        instruction: what a sentence asks for.
        renderer: of the photo.
        recipe: what was done to it before.
        aligned, keep, region: see `find_amount`.

    Raises:
        BadConfig: only something to keep, and nothing that has been moved.
    """
    names = tuple(dict.fromkeys((*instruction.keep, *keep)))
    for name in names:
        renderer.direction(name)
    if not instruction.changes:
        return _keep_in_moves(recipe, names, region), []
    searches = []
    for change in instruction.changes:
        others = tuple(name for name in names if name != change.dial)
        if isinstance(change.amount, str):
            searches.append(
                find_amount(renderer, recipe, change.dial, change.amount, aligned=aligned, keep=others, region=region)
            )
            amount = searches[-1].amount
        else:
            amount = _amount(change, change.amount, renderer.direction(change.dial), recipe, region)
        recipe = recipe.with_move(change.dial, amount, keep=others, region=region)
    return recipe, searches


def _amount(change: DialChange, amount: float, direction: Direction, recipe: Recipe, region: Region | None) -> float:
    """ "more" goes on from where the slider stands, up to its end."""
    if change.relative:
        amount += recipe.amount(change.dial, region=region)
    return round(min(max(amount, direction.low), direction.high), 4)


def _keep_in_moves(recipe: Recipe, names: tuple[str, ...], region: Region | None) -> Recipe:
    """The sliders that were moved before, moved again with these attributes held still."""
    steps, moved = [], False
    for step in recipe.steps:
        inner = unwrap_step(step)
        if isinstance(inner, Move) and region_of(step) == region and inner.direction not in names:
            inner = replace(inner, keep=tuple(dict.fromkeys((*inner.keep, *names))))
            step, moved = inner if region is None else InRegion(inner, region), True
        steps.append(step)
    if not moved:
        raise BadConfig(
            "nothing to do: this only says what to keep; add what to change, e.g. 'smile, keep the glasses'"
        )
    return replace(recipe, steps=tuple(steps))
