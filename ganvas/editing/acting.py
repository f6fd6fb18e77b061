"""Where the steps of a recipe act: the parts of the picture to which their pasted change is limited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ganvas.editing.directions import Direction
from ganvas.editing.move import Move
from ganvas.editing.regions import unwrap_step
from ganvas.editing.stylise import Stylise

HEAD = ("face", "hair")  # of a direction whose card does not say


class Place(NamedTuple):
    """Where a step acts: parts and groups (see `ganvas.features.parts`) as far as they lie in a zone, "" = anywhere."""

    parts: tuple[str, ...]
    zone: str = ""


def acting_places(steps: Iterable[Any], direction: Callable[[str], Direction]) -> tuple[Place, ...] | None:
    """Where steps act; None = everywhere, the background too.

    A direction's card says it. Mixing and dragging act on the whole person; a style is painted everywhere.

    Args:
        steps: of one face picture.
        direction: name → direction.
    """
    places: list[Place] = []
    for step in map(unwrap_step, steps):
        if isinstance(step, Stylise):
            return None
        places.append(place_of(direction(step.wanted)) if isinstance(step, Move) else Place(("person",)))
    return tuple(dict.fromkeys(places))


def place_of(direction: Direction) -> Place:
    """Where a direction acts."""
    return Place(direction.parts or HEAD, direction.zone)
