"""Move: a step along a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ganvas.editing.directions import SPACES, move_along_direction, project_out, style_shift
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig
from ganvas.fields import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class Move:
    """Move along a direction: a slider.

    `amount` is in standard deviations of the attribute among natural samples; `layers` limits it to some rows of ws
    (None = those the direction itself was learnt for). `keep` names attributes to keep unchanged: their directions are
    projected out. `space` says in which space the direction lives (None = any): a recipe that names it refuses a
    direction of the same name that was learnt anew in another.
    """

    name: ClassVar[str] = "move"
    direction: str = setting(pattern="(?s).+", expected="a direction's name", help="name of the direction")
    amount: float = setting(1.0, gt=-1000, lt=1000, unit="standard deviations", help="how far")
    layers: tuple[int, ...] | None = setting(None, ge=0, help="rows of ws; none = those of the direction")
    keep: tuple[str, ...] = setting((), help="directions that stay where they are")
    space: str | None = setting(None, choices=SPACES, help="space of the direction; none = any")

    def __post_init__(self) -> None:
        check_settings(self, who=self.name)

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """See `LatentStep`."""
        direction = project_out(context.direction(self.direction), [context.direction(other) for other in self.keep])
        if self.space not in (None, direction.space):
            raise BadConfig(
                f"this move is for space {self.space!r}, but direction {direction.name!r} is in {direction.space!r}"
            )
        if direction.space != "s":
            return move_along_direction(ws, direction, self.amount, layers=self.layers)
        if context.shifts is None:
            raise BadConfig(f"direction {direction.name!r} moves style channels, which is not supported here")
        context.shifts.append(style_shift(direction, self.amount, context.generator, layers=self.layers))
        return ws
