"""Work shared among processes: each does one item at a time, and the item of a process that dies is done by another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from ganvas.errors import GanvasError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_END_SEC = 5.0  # for a process to end when asked
_READY = "ready"


def share_out(
    items: Iterable[_Item],
    start: Callable[[], Callable[[_Item], _Result]],
    *,
    workers: int,
    tries: int = 3,
) -> Iterator[tuple[_Item, _Result | GanvasError]]:
    """Do every item once, in so many processes.

    Args:
        items: can be pickled and hashed; the next is taken when a process is free.
        start: called once in each process, and can be pickled; what it returns does one item.
        workers: how many processes.
        tries: an item whose process died so often is given up; so is everything, if so many processes in a row die
            before their `start` has returned.

    Yields:
        Each item with its result, as they come; a GanvasError where it was given up.

    Raises:
        GanvasError: the processes cannot start.
    """
    pool: _Pool[_Item] = _Pool(start, workers=workers, tries=tries)
    try:
        yield from pool.run(deque(), iter(items))
    finally:
        pool.close()


class _Worker(Generic[_Item]):
    """One process, and the item it has."""

    def __init__(self, start: Callable[[], Any]):
        context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch may hang
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, start), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.item: _Item | None = None

    def read(self) -> tuple[str, Any]:
        """What it says next; ("died", how) where it says nothing any more."""
        try:
            message: tuple[str, Any] = self.pipe.recv()
            return message
        except (EOFError, OSError):
            self.process.join()
            return "died", describe_exit(self.process.exitcode)

    def give(self, item: _Item) -> None:
        """Have it do an item; a death is noticed by the next `read`."""
        self.item = item
        try:
            self.pipe.send(item)
        except OSError:
            pass


class _Pool(Generic[_Item]):
    """The processes of one `share_out`."""

    def __init__(self, start: Callable[[], Any], *, workers: int, tries: int):
        self.start, self.tries = start, tries
        self.workers: list[_Worker[_Item]] = [_Worker(start) for _ in range(workers)]
        self.deaths: Counter[_Item] = Counter()
        self.failed_starts = 0

    def run(self, again: deque[_Item], items: Iterator[_Item]) -> Iterator[tuple[_Item, Any]]:
        """See `share_out`; `again` holds what dead processes had."""
        exhausted = False
        while True:
            for worker in [one for one in self.workers if one.ready and one.item is None]:
                item = again.popleft() if again else next(items, None)
                exhausted = exhausted or item is None
                if item is not None:
                    worker.give(item)
            if exhausted and not again and all(one.item is None for one in self.workers):
                return
            for worker in self._speaking():
                yield from self._hear(worker, again)

    def _speaking(self) -> list[_Worker[_Item]]:
        pipes: dict[Any, _Worker[_Item]] = {worker.pipe: worker for worker in self.workers}
        return [pipes[pipe] for pipe in wait(list(pipes))]

    def _hear(self, worker: _Worker[_Item], again: deque[_Item]) -> Iterator[tuple[_Item, Any]]:
        kind, value = worker.read()
        item, worker.item = worker.item, None
        if kind == _READY:
            worker.ready, self.failed_starts = True, 0
        elif kind == "done":
            assert item is not None
            yield item, value
        else:
            self._replace(worker, how=value)
            if item is not None:
                self.deaths[item] += 1
                if self.deaths[item] < self.tries:
                    again.append(item)
                else:
                    yield item, GanvasError(f"{self.deaths[item]} processes died of it; the last one {value}")

    def _replace(self, worker: _Worker[_Item], *, how: str) -> None:
        self.failed_starts += not worker.ready
        if self.failed_starts >= self.tries:
            raise GanvasError(f"the worker processes do not start: the last one {how}. Is there memory for them?")
        worker.pipe.close()
        self.workers[self.workers.index(worker)] = _Worker(self.start)

    def close(self) -> None:
        """End all processes, also in the middle of an item."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(_END_SEC)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def describe_exit(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None or code >= 0:
        return f"ended with status {code}"
    return f"was killed by {signal.Signals(-code).name}"


def _serve(pipe: Connection, start: Callable[[], Callable[[Any], Any]]) -> None:
    """The life of one process: until it is told to end, or its parent is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is half written is deleted on the way out
    threading.Thread(target=_end_with_parent, daemon=True).start()
    do = start()
    pipe.send((_READY, None))
    while True:
        pipe.send(("done", do(pipe.recv())))


def _end_with_parent() -> None:
    """A parent that was killed tells nobody: its successor must not meet us at the same work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
