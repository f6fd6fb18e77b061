"""How the command line speaks: errors in one line on stderr, progress only where a person is watching."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ganvas.errors import EditWarning, ImageWarning

_T = TypeVar("_T")


def print_error(error: BaseException | str) -> None:
    """`error: …` on stderr; the message itself says what to do."""
    print(f"error: {error}", file=sys.stderr)


def show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """Ours are a line for people; those of libraries are shown as Python does."""
    if issubclass(category, (ImageWarning, EditWarning)):
        print(f"{'note' if issubclass(category, ImageWarning) else 'warning'}: {message}", file=sys.stderr)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, *place[:2]))


def track(items: Iterable[_T], *, what: str, total: int | None = None) -> Iterator[_T]:
    """Yield the items while showing progress and remaining time."""
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=what, total=total, console=Console(stderr=True), disable=not sys.stderr.isatty()
    )


class ProgressBar:
    """A long job that reports (step, total, …): a bar with an estimate where a person watches, a line where not."""

    def __init__(self, what: str):
        self.what = what
        self._bar: Any = None
        self._task: Any = None
        self._started_sec = 0.0

    def __enter__(self) -> ProgressBar:
        self._started_sec = time.monotonic()
        if not sys.stderr.isatty():
            print(f"{self.what} …", file=sys.stderr, flush=True)
            return self
        from rich.console import Console
        from rich.progress import BarColumn, Progress as Bar, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self.what, total=None)
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if error[0] is None:
            print(f"{self.what}: {time.monotonic() - self._started_sec:.1f} s", file=sys.stderr, flush=True)

    def step(self, step: int, total: int | None, *_: object) -> None:
        """What long jobs call after every step."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step, total=total)
