"""Where the steps of a recipe act: the parts of the picture to which their pasted change is limited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ganvas.editing.directions import Direction
from ganvas.editing.move import Move
from ganvas.editing.regions import InRegion, Region, Stroke, unwrap_step
from ganvas.editing.step import LatentStep
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


def limit_to_discs(steps: Iterable[LatentStep], direction: Callable[[str], Direction]) -> list[LatentStep]:
    """Steps with every slider that has discs limited to them; one with a region keeps that.

    Args:
        steps: of one face picture.
        direction: name → direction.
    """

    def limit(step: LatentStep) -> LatentStep:
        region = region_of_discs(direction(step.wanted)) if isinstance(step, Move) else None
        return step if region is None else InRegion(step, region)

    return [limit(step) for step in steps]


def region_of_discs(direction: Direction) -> Region | None:
    """The discs of a direction as a region of the crop; None = it is painted everywhere."""
    dots = tuple(Stroke(points=((x, y),), radius=radius) for x, y, radius in direction.discs)
    return Region(strokes=dots) if dots else None
