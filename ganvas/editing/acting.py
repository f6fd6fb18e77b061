"""Where the steps of a recipe act: the parts of the picture to which their pasted change is limited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ganvas.editing.directions import Direction
from ganvas.editing.move import Move
from ganvas.editing.regions import unwrap_step
from ganvas.editing.stylise import Stylise

HEAD = ("face", "hair")  # of a direction whose card does not say


def acting_parts(steps: Iterable[Any], direction: Callable[[str], Direction]) -> tuple[str, ...] | None:
    """Parts and groups in which steps act, see `ganvas.features.parts`; None = everywhere, the background too.

    A direction's card says it. Mixing and dragging act on the whole person; a style is painted everywhere.

    Args:
        steps: of one face picture.
        direction: name → direction.
    """
    names: list[str] = []
    for step in map(unwrap_step, steps):
        if isinstance(step, Stylise):
            return None
        names += (direction(step.wanted).parts or HEAD) if isinstance(step, Move) else ("person",)
    return tuple(dict.fromkeys(names))
