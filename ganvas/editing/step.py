"""A step is one edit as data: a frozen dataclass that can be listed, undone, sent and replayed.

Two kinds. Latent steps (ws → ws) come first, then one synthesis, then picture steps (img → img). What a step needs
beyond its own fields (the generator, its directions) it gets from the bench.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from ganvas.checks import check_known
from ganvas.editing.directions import Direction, move, without
from ganvas.errors import BadConfig


@dataclass(frozen=True)
class Bench:
    """What steps work with: a generator and the directions that were learnt on it."""

    generator: Any
    direction: Callable[[str], Direction]


@runtime_checkable
class LatentStep(Protocol):
    """ws → ws."""

    name: ClassVar[str]

    def apply(self, ws: Tensor, bench: Bench) -> Tensor:
        """ws [N, num_ws, w_dim] → a new tensor of that shape."""
        ...


@dataclass(frozen=True, kw_only=True)
class Move:
    """Move along a direction: a slider.

    `amount` is in standard deviations of the attribute among natural samples; `layers` limits it to some rows of ws
    (None = those the direction itself was learnt for). `keep` names attributes that shall stay where they are: what the
    direction has in common with theirs is taken out.
    """

    name: ClassVar[str] = "move"
    direction: str
    amount: float = 1.0
    layers: tuple[int, ...] | None = None
    keep: tuple[str, ...] = ()

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

    def apply(self, ws: Tensor, bench: Bench) -> Tensor:
        """See `LatentStep`."""
        direction = without(bench.direction(self.direction), [bench.direction(other) for other in self.keep])
        return move(ws, direction, self.amount, layers=self.layers)


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
