"""Move: a step along a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ganvas.editing.directions import SPACES, move_along_direction, project_out, style_shift
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig
from ganvas.fields import check_known


@dataclass(frozen=True, kw_only=True)
class Move:
    """Move along a direction: a slider.

    `amount` is in standard deviations of the attribute among natural samples; `layers` limits it to some rows of ws
    (None = those the direction itself was learnt for). `keep` names attributes that shall stay where they are: what the
    direction has in common with theirs is taken out. `space` says in which space the direction lives (None = any): a
    recipe that names it refuses a direction of the same name that was learnt anew in another.
    """

    name: ClassVar[str] = "move"
    direction: str
    amount: float = 1.0
    layers: tuple[int, ...] | None = None
    keep: tuple[str, ...] = ()
    space: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.direction, str) or not self.direction:
            raise BadConfig(f"move needs the name of a direction, got {self.direction!r}")
        if isinstance(self.amount, bool) or not isinstance(self.amount, (int, float)) or not abs(self.amount) < 1000:
            raise BadConfig(f"move's amount is a number such as 1.5, got {self.amount!r}")
        object.__setattr__(self, "amount", float(self.amount))
        if self.layers is not None:
            rows = self.layers if isinstance(self.layers, (list, tuple)) else [None]
            if not all(isinstance(row, int) and row >= 0 for row in rows):
                raise BadConfig(f"move's layers are row numbers from 0, got {self.layers!r}")
            object.__setattr__(self, "layers", tuple(self.layers))
        if isinstance(self.keep, str) or not all(isinstance(other, str) for other in self.keep):
            raise BadConfig(f"move's keep is a list of directions' names, got {self.keep!r}")
        object.__setattr__(self, "keep", tuple(self.keep))
        if self.space is not None:
            check_known(str(self.space), SPACES, what="space of a move")

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """See `LatentStep`."""
        direction = project_out(context.direction(self.direction), [context.direction(other) for other in self.keep])
        if self.space not in (None, direction.space):
            raise BadConfig(
                f"this move is meant for space {self.space!r}, and direction {direction.name!r} lives in "
                f"{direction.space!r}"
            )
        if direction.space != "s":
            return move_along_direction(ws, direction, self.amount, layers=self.layers)
        if context.shifts is None:
            raise BadConfig(f"direction {direction.name!r} moves style channels, which this tool cannot do yet")
        context.shifts.append(style_shift(direction, self.amount, context.generator, layers=self.layers))
        return ws
