"""A command over many pictures: what is done, skipped and failed, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import typer

from ganvas.cli.console import ProgressBar, print_error
from ganvas.errors import GanvasError
from ganvas.images.batch_manifest import BatchManifest
from ganvas.images.batch_paths import Task, find_clashes, sweep_parts

ProcessTask = Callable[[Task, Callable[..., None]], Path]
Outcome = tuple[Task, Path | Exception]  # the file written, or what was wrong with this picture
BatchEngine = Callable[[Iterable[Task]], Iterator[Outcome]]


def one_by_one(make: ProcessTask) -> BatchEngine:
    """Work in this process, with a progress bar.

    Args:
        make: does one task, given what to call with (steps done, steps in all); returns the file it has written.
    """

    def work(todo: Iterable[Task]) -> Iterator[Outcome]:
        for task in todo:
            outcome: Path | Exception
            try:
                with ProgressBar(task.source.name) as progress:
                    outcome = make(task, progress.step)
            except (GanvasError, OSError, MemoryError) as error:
                outcome = error
            yield task, outcome

    return work


class BatchRunner:
    """Has all tasks done; failures are reported immediately and listed again at the end, and the rest continues.

    Args:
        todo: all tasks.
        work: does those that it is given, in whatever order.
        skip_existing: leave results that are there.
        manifest: tasks that it holds are left, others are added when they are done.
    """

    def __init__(
        self, todo: Sequence[Task], work: BatchEngine, *, skip_existing: bool, manifest: BatchManifest | None = None
    ):
        self.todo, self.work, self.skip_existing, self.manifest = todo, work, skip_existing, manifest
        self.total, self.clashing = len(todo), find_clashes(todo)
        self.done: list[Path] = []
        self.skipped = 0
        self.failed: list[tuple[Path, str]] = []
        self._started_sec = time.monotonic()

    def run(self) -> None:
        """All of them; exit status 1 if one has failed."""
        for folder in {task.target.parent for task in self.todo}:
            sweep_parts(folder)
        for task, outcome in self.work(self._pending()):
            if isinstance(outcome, Exception):
                self._report_failed(task, outcome)
            else:
                self._report_saved(task, outcome)
        self._report_end()

    def _pending(self) -> Iterator[Task]:
        """Those that are not done already, and can be."""
        for task in self.todo:
            if (self.skip_existing and task.target.exists()) or (self.manifest and self.manifest.holds(task)):
                self.skipped += 1
            elif task.source in self.clashing:
                self._report_failed(
                    task, GanvasError(f"its result would overwrite that of {self.clashing[task.source]}")
                )
            else:
                yield task

    def _report_failed(self, task: Task, error: Exception) -> None:
        self.failed.append((task.source, str(error)))
        print_error(error)

    def _report_saved(self, task: Task, path: Path) -> None:
        if self.manifest is not None:
            self.manifest.add(task, path)
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
