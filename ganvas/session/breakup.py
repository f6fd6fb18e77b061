"""Where an edit breaks up: which slider went too far, and how far it holds on this photo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ganvas.editing.move import Move
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import InRegion, region_of, unwrap_step
from ganvas.session.renderer import Renderer

HALVINGS = 4  # of the search for how far a slider holds: to a sixteenth of its amount


@dataclass(frozen=True)
class Breakup:
    """A slider at an amount at which the picture breaks up, and how far it holds where nothing else is changed.

    `together` says that no slider alone is to blame: all of them hold at `holds_to`, not one by itself.
    """

    direction: str
    amount: float
    holds_to: float
    together: bool = False

    def words(self) -> str:
        """One line for people."""
        with_others = " when the other sliders are eased off as much" if self.together else ""
        return f"{self.direction}: at {self.amount:+.2f} the picture breaks up; it holds to {self.holds_to:+.2f}" + (
            with_others
        )


def find_breakups(
    renderer: Renderer, recipe: Recipe, *, on_look: Callable[[], object] | None = None
) -> tuple[Breakup, ...]:
    """The sliders that would have to be smaller for the picture to hold, and how small; none where it holds.

    Args:
        renderer: of the photo.
        recipe: what is done to it.
        on_look: called before each picture; what it raises ends the search.

    Returns:
        One for each slider that could mend the picture by itself; where none can, all sliders, eased off together.
    """

    def holds(tried: Recipe) -> bool:
        if on_look is not None:
            on_look()
        return not renderer.is_broken(tried)

    if holds(recipe):
        return ()
    moves = {i: unwrap_step(step) for i, step in enumerate(recipe.steps) if isinstance(unwrap_step(step), Move)}

    def find_share(*eased: int) -> float | None:
        return largest_share(lambda share: holds(ease_moves(recipe, dict.fromkeys(eased, share))))

    shares = {i: share for i in moves if (share := find_share(i)) is not None}
    together = not shares
    if together and (share := find_share(*moves)) is not None:
        shares = dict.fromkeys(moves, share)
    return tuple(
        Breakup(moves[i].direction, moves[i].amount, _shorten(share * moves[i].amount), together)
        for i, share in shares.items()
    )


def largest_share(holds: Callable[[float], bool]) -> float | None:
    """The largest share, from 0 to 1, that holds, where 1 does not; None where not even 0 does."""
    if not holds(0.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def ease_moves(recipe: Recipe, shares: Mapping[int, float]) -> Recipe:
    """A recipe with some of its moves at a share of their amounts.

    Args:
        recipe: any.
        shares: place of a move in its steps → share; at 0 the move is taken out.
    """
    steps = [_scale(step, shares.get(i, 1.0)) for i, step in enumerate(recipe.steps) if shares.get(i, 1.0)]
    return replace(recipe, steps=tuple(steps))


def _scale(step: Any, share: float) -> Any:
    if share == 1:
        return step
    move, region = unwrap_step(step), region_of(step)
    smaller = replace(move, amount=share * move.amount)
    return smaller if region is None else InRegion(smaller, region)


def _shorten(amount: float) -> float:
    """To two places, and never farther out than what was found to hold."""
    return int(amount * 100) / 100
