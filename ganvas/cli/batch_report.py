"""A command over many pictures: what is done, skipped and failed, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from ganvas.cli.console import ProgressBar, print_error
from ganvas.errors import GanvasError
from ganvas.images.batch_paths import Task, find_clashes, sweep_parts

ProcessTask = Callable[[Task, Callable[..., None]], Path]


class BatchRunner:
    """Runs one task after the other; failures are reported immediately and listed again at the end, and the rest
    continues.

    Args:
        todo: all tasks.
        make: does one, given what to call with (steps done, steps in all); returns the file it has written.
        skip_existing: leave results that are there.
    """

    def __init__(self, todo: Sequence[Task], make: ProcessTask, *, skip_existing: bool):
        self.todo, self.make, self.skip_existing = todo, make, skip_existing
        self.total, self.clashing = len(todo), find_clashes(todo)
        self.done: list[Path] = []
        self.skipped = 0
        self.failed: list[tuple[Path, str]] = []
        self._started_sec = time.monotonic()

    def run(self) -> None:
        """All of them; exit status 1 if one has failed."""
        for folder in {task.target.parent for task in self.todo}:
            sweep_parts(folder)
        for task in self.todo:
            self._run_task(task)
        self._report_end()

    def _run_task(self, task: Task) -> None:
        """One picture; nothing that is wrong with it leaves this function."""
        if self.skip_existing and task.target.exists():
            self.skipped += 1
            return
        try:
            if task.source in self.clashing:
                raise GanvasError(f"its result would overwrite that of {self.clashing[task.source]}")
            with ProgressBar(task.source.name) as progress:
                written = self.make(task, progress.step)
            self._report_saved(written)
        except (GanvasError, OSError, MemoryError) as error:
            self.failed.append((task.source, str(error)))
            print_error(error)

    def _report_saved(self, path: Path) -> None:
        self.done.append(path)
        count = len(self.done) + len(self.failed)
        left_sec = (time.monotonic() - self._started_sec) / count * (self.total - self.skipped - count)
        more = (
            f"  ({count + self.skipped} of {self.total}, about {_format_duration(left_sec)} left)" if left_sec else ""
        )
        typer.echo(f"saved: {path}{more}")

    def _report_end(self) -> None:
        """The end: counts, and every file that failed."""
        if self.total > 1:
            skipped = f", {self.skipped} skipped" if self.skipped else ""
            typer.echo(f"{len(self.done)} saved{skipped}, {len(self.failed)} failed")
        if self.failed:
            for path, why in self.failed if self.total > 1 else []:
                typer.echo(f"failed: {why if str(path) in why else f'{path}: {why}'}", err=True)
            raise typer.Exit(1)


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )
