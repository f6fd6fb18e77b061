"""What a pickle becomes: inert records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Record:
    """An object of the file as data: the name of its class, what it was made from and its state; nothing was run."""

    class_name: str
    state: Any = None
    args: tuple[Any, ...] = ()

    def child_nodes(self) -> tuple[object, ...]:
        """What is inside."""
        return self.state, self.args


@dataclass(frozen=True)
class Global:
    """A name that the file asked for and that is allowed; only a name."""

    name: str


@dataclass(eq=False)
class Deferred:
    """A dtype or an array that the next BUILD completes; `slots` are the memo entries that wait for it."""

    kind: str  # "dtype" or "array"
    code: Any = None
    order: str = "="
    slots: list[int] = field(default_factory=list)


PLACEHOLDER_TENSOR = Global("a tensor whose numbers come later in the file")
