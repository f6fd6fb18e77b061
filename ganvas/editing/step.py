"""A step is one edit as data: a frozen dataclass that can be listed, undone, sent and replayed.

Two kinds. Latent steps (ws → ws) come first, then one synthesis, then picture steps (img → img). What a step needs
beyond its own fields (the generator, its directions) it gets from the bench.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from ganvas.checks import check_known
from ganvas.editing.directions import SPACES, Direction, move_along_direction, project_out, style_shift
from ganvas.errors import BadConfig

if TYPE_CHECKING:
    from ganvas.editing.stylise import Style


@dataclass(frozen=True)
class EditContext:
    """What steps work with: a generator and the directions that were learnt on it.

    Steps that change styles instead of ws (see styles.py) put their shifts [S] into `shifts`, steps that change the
    generator (see stylise.py) put what they paint in, and how strongly, into `styles`; None = whoever paints takes ws
    alone, and such steps are refused. `style` finds a taught style by name and fingerprint ("" = any).
    """

    generator: Any
    direction: Callable[[str], Direction]
    shifts: list[Tensor] | None = None
    style: Callable[[str, str], Style] | None = None
    styles: list[tuple[Style, float]] | None = None


class EditedLatents(NamedTuple):
    """What latent steps came to: latents, and what they are to be painted with."""

    ws: Tensor
    shift: Tensor | None = None  # of the style channels: `ganvas.editing.style_space.paint`
    styles: tuple[tuple[Style, float], ...] = ()  # taught to the generator, each with its strength

    @property
    def key(self) -> bytes:
        """Equal for equal pictures."""
        shift = b"" if self.shift is None else self.shift.cpu().numpy().tobytes()
        return self.ws.cpu().numpy().tobytes() + shift + self.styles_key

    @property
    def styles_key(self) -> bytes:
        """Equal for equal changes of the generator."""
        return ";".join(f"{style.fingerprint} {strength}" for style, strength in self.styles).encode()


@runtime_checkable
class LatentStep(Protocol):
    """ws → ws."""

    name: ClassVar[str]

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """ws [N, num_ws, w_dim] → a new tensor of that shape."""
        ...


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


def run_steps(steps: Iterable[LatentStep], ws: Tensor, context: EditContext) -> EditedLatents:
    """Latent steps in a row: ws [N, num_ws, w_dim] → what to paint, and with what."""
    shifts: list[Tensor] = []
    styles: list[tuple[Style, float]] = []
    for step in steps:
        ws = step.apply(ws, replace(context, shifts=shifts, styles=styles))
    return EditedLatents(ws, sum(shifts[1:], shifts[0]) if shifts else None, tuple(styles))


def step_to_dict(step: Any) -> dict[str, Any]:
    """A step as plain data: its name under "step", then its fields."""
    fields = {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}
    return {"step": step.name, **{key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}}


def step_from_dict(data: Any, steps: Mapping[str, type]) -> Any:
    """The step that `step_to_dict` wrote.

    Raises:
        BadConfig: an unknown step or field, or a value that does not fit; the message has what is known.
    """
    if not isinstance(data, dict) or not isinstance(data.get("step"), str):
        raise BadConfig(f'a step is written as {{"step": "move", …}}, got {str(data)[:80]}')
    check_known(data["step"], steps, what="step")
    step = steps[data["step"]]
    fields = {key: value for key, value in data.items() if key != "step"}
    for key in fields:
        check_known(key, [field.name for field in dataclasses.fields(step)], what=f"field of step {data['step']!r}")
    try:
        return step(**fields)
    except TypeError as error:
        raise BadConfig(f"step {data['step']!r}: {error}") from error
