"""How the command line speaks: errors in one line on stderr, progress only where a person is watching."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def say_error(error: BaseException) -> None:
    """`error: …` on stderr; the message itself says what to do."""
    print(f"error: {error}", file=sys.stderr)


def track(items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items while showing how far they are and how long is left."""
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=what, total=total, console=Console(stderr=True), disable=not sys.stderr.isatty()
    )
