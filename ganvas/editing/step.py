"""A step is one edit as data: a frozen dataclass that can be listed, undone, sent and replayed.

Two kinds. Latent steps (ws → ws) come first, then one synthesis, then picture steps (img → img). What a step needs
beyond its own fields (the generator, its directions) it gets from the bench.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from ganvas.editing.directions import Direction
from ganvas.editing.style import Style
from ganvas.errors import BadConfig
from ganvas.fields import check_known, from_values


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
    shift: Tensor | None = None  # of the style channels: `ganvas.editing.style_space.synthesize_with_shift`
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
    fields = {key: value for key, value in data.items() if key != "step"}
    return from_values(steps[data["step"]], fields, what=f"field of step {data['step']!r}")
