"""Move: a step along a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ganvas.editing.directions import SPACES, move_along_direction, project_out, style_shift
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig
from ganvas.fields import check_settings, setting

EDITION = 4  # of the sliders that ship: what a name means now; recipes keep what it meant when they were made
FIRST_EDITION = 1


@dataclass(frozen=True, kw_only=True)
class Move:
    """Move along a direction: a slider.

    `amount` is in standard deviations of the attribute among natural samples; `layers` limits it to some rows of ws
    (None = those the direction itself was learnt for). `keep` names attributes to keep unchanged: their directions are
    projected out. `space` says in which space the direction lives (None = any): a recipe that names it refuses a
    direction of the same name that was learnt anew in another. `edition` says which of the shipped sliders of this name
    is meant: those that were learnt anew since are kept for the recipes that were made with them.
    """

    name: ClassVar[str] = "move"
    direction: str = setting(pattern="(?s).+", expected="a direction's name", help="name of the direction")
    amount: float = setting(1.0, gt=-1000, lt=1000, unit="standard deviations", help="how far")
    layers: tuple[int, ...] | None = setting(None, ge=0, help="rows of ws; none = those of the direction")
    keep: tuple[str, ...] = setting((), help="directions that stay where they are")
    space: str | None = setting(None, choices=SPACES, help="space of the direction; none = any")
    edition: int = setting(EDITION, ge=FIRST_EDITION, le=EDITION, help="of the shipped sliders")

    def __post_init__(self) -> None:
        check_settings(self, who=self.name)

    @property
    def wanted(self) -> str:
        """The name to look the direction up by, see `ganvas.editing.direction_files.find_direction`."""
        return self._of_edition(self.direction)

    def _of_edition(self, name: str) -> str:
        return name if self.edition == EDITION else f"{name}@{self.edition}"

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """See `LatentStep`."""
        others = [context.direction(self._of_edition(other)) for other in self.keep]
        direction = project_out(context.direction(self.wanted), others)
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
