"""Where the photos of `ganvas batch` are edited: in this process, in several, or on the machines of a Ray cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ganvas.cli.batch_report import BatchEngine, Outcome, one_by_one
from ganvas.cli.console import show_warning
from ganvas.cli.process import configure_process
from ganvas.errors import GanvasError, MissingExtra
from ganvas.images.batch_paths import Task
from ganvas.ops.worker_pool import share_out
from ganvas.session.batch_editor import BatchEditor, BatchSettings

_TRIES = 3  # of a photo whose process or actor dies


def choose_engine(engine: str, settings: BatchSettings, *, workers: int) -> BatchEngine:
    """How the photos are edited.

    Args:
        engine: "local" or "ray".
        settings: what is done to each.
        workers: processes, or Ray's actors, each with a copy of the model.

    Raises:
        GanvasError: whatever is wrong with the recipe or the model: said here and not by every worker.
    """
    editor = BatchEditor(settings)
    if engine == "ray":
        return partial(edit_on_ray, settings, workers)
    if workers > 1:
        return partial(edit_in_processes, settings, workers)
    configure_process()
    return one_by_one(editor.edit)


def edit_in_processes(settings: BatchSettings, workers: int, todo: Iterable[Task]) -> Iterator[Outcome]:
    """Work in so many processes."""
    for task, answer in share_out(todo, partial(start_editor, settings, workers), workers=workers, tries=_TRIES):
        yield task, (GanvasError(f"{task.source}: {answer}") if isinstance(answer, Exception) else _outcome(*answer))


def start_editor(settings: BatchSettings, workers: int) -> Callable[[Task], tuple[Path | None, str]]:
    """What a process does first."""
    from ganvas.ops.allocator import keep_freed_memory
    from ganvas.ops.threads import share_threads

    warnings.showwarning = show_warning
    keep_freed_memory()
    share_threads(workers)
    return BatchEditor(settings).try_edit


def _outcome(path: Path | None, why: str) -> Path | Exception:
    return GanvasError(why) if path is None else path


def edit_on_ray(settings: BatchSettings, workers: int, todo: Iterable[Task]) -> Iterator[Outcome]:
    """Work on a Ray cluster (RAY_ADDRESS), or on this machine where there is none.

    Every node must see the same folders, and have the weights. Ray starts an actor that dies again, with its photo.

    Raises:
        MissingExtra: Ray is not installed. GanvasError: it does not start, or its cluster cannot be reached.
    """
    ray = _start_ray()
    actor = ray.remote(BatchEditor).options(max_restarts=-1, max_task_retries=_TRIES - 1)
    waiting = iter(todo)
    busy: dict[Any, tuple[Any, Task]] = {}
    for task in islice(waiting, workers):
        editor = actor.remote(settings)
        busy[editor.try_edit.remote(task)] = editor, task
    while busy:
        (ready,), _ = ray.wait(list(busy), num_returns=1)
        editor, task = busy.pop(ready)
        try:
            yield task, _outcome(*ray.get(ready))
        except ray.exceptions.RayError as error:
            yield task, GanvasError(f"{task.source}: the worker failed: {str(error).splitlines()[-1]}")
        for following in islice(waiting, 1):
            busy[editor.try_edit.remote(following)] = editor, following


def _start_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--engine ray", "ray") from error
    try:
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    except Exception as error:  # a plain Exception is what Ray itself raises
        raise GanvasError(f"Ray does not start: {error}. Without it: --engine local") from error
    return ray
