"""What people type for seeds, layers and the like, turned into numbers; wrong usage is answered with an example."""

from __future__ import annotations

import re
from collections.abc import Callable

import typer


def parse_numbers(text: str, *, what: str) -> list[int]:
    """`0-7,12` → [0, 1, …, 7, 12].

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise typer.BadParameter(f"{what} are written as 0-7,12; cannot read {part!r} in {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 1_000_000:
            raise typer.BadParameter(f"{what}: the range {part!r} should rise, and hold a million at most")
        numbers += range(first, last + 1)
    return numbers


def one_of(*known: str) -> Callable[[str | None], str | None]:
    """A callback for options that take one word of several; anything else is wrong usage, exit status 2."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"one of {', '.join(known)}; got {value!r}")
        return value

    return check
