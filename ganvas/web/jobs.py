"""The job queue of the device: quick jobs run between the steps of long ones.

A single thread computes, so models need no locks. A long job calls `job.step(done, total)` after every step; there its
progress is reported, cancellation takes effect, and waiting quick jobs (the preview of a slider) run before it
continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch
from starlette.exceptions import HTTPException

from ganvas.errors import Stopped
from ganvas.web.errors import error_as_data

MAX_REMEMBERED_JOBS = 200
REPORT_EVERY_SEC = 0.1  # between two reports of progress
MAX_QUICK_CALLS = 64
OPEN_STATES = ("queued", "running")

Work = Callable[["Job"], Any]


def _noop(*_: object) -> None:
    return None


class Job:
    """A long job: `work(job)` returns its result as plain data. `title` says what it is about: a photo, a model."""

    def __init__(
        self,
        kind: str,
        work: Work,
        *,
        owner: str | None = None,
        title: str = "",
        on_update: Callable[[Job], None] | None = None,
    ):
        self.id, self.title = secrets.token_urlsafe(16), title
        self.kind, self.work, self.owner = kind, work, owner
        self.state, self.progress, self.message = "queued", 0.0, ""
        self.eta_sec: float | None = None
        self.result: Any = None
        self.error: dict[str, Any] | None = None
        self.cancel_requested = threading.Event()
        self.ended = threading.Event()
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.run_quick_calls: Callable[[], None] = _noop
        self._on_update = on_update
        self.on_end: Callable[[Job], Any] = _noop
        self.run_sec = 0.0  # once it has ended
        self._started_sec = self._reported_sec = 0.0

    def step(self, done: float, total: float | None, *_: object) -> None:
        """What long work calls after every step.

        Raises:
            Stopped: the job was cancelled.
        """
        if self.cancel_requested.is_set():
            raise Stopped(f"{self.kind} was cancelled")
        if total:
            self.progress = min(1.0, done / total)
            spent = time.monotonic() - self._started_sec
            self.eta_sec = spent * (1 / self.progress - 1) if self.progress > 0.02 else None
        if time.monotonic() - self._reported_sec > REPORT_EVERY_SEC:
            self.report()
        self.run_quick_calls()

    def report(self) -> None:
        """Send progress to the listeners."""
        self._reported_sec = time.monotonic()
        if self._on_update is not None:
            self._on_update(self)

    def as_data(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "progress": round(self.progress, 4),
            "eta_sec": None if self.eta_sec is None else round(self.eta_sec, 1),
            "message": self.message,
            "result": self.result,
            "error": self.error,
        }

    async def wait_for_end(self, sec: float) -> None:
        """Return once the job has ended, or after so many seconds."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        waiter = (loop, ended)
        self._waiters.add(waiter)
        try:
            if not self.ended.is_set():  # looked at after the waiter was added, so that no end is missed
                await asyncio.wait_for(ended.wait(), sec)
        except (asyncio.TimeoutError, TimeoutError):
            pass
        finally:
            self._waiters.discard(waiter)

    def run(self) -> None:
        """Run the job and record its outcome; never raises."""
        if self.cancel_requested.is_set():
            return self._end("cancelled")
        self.state, self._started_sec = "running", time.monotonic()
        self.report()
        try:
            self.result = json_safe(self.work(self))
        except Stopped:
            self._end("cancelled")
        except BaseException as error:
            self.error = error_as_data(error)
            self._end("failed")
        else:
            self.progress = 1.0
            self._end("done")

    def _end(self, state: str) -> None:
        self.state, self.eta_sec = state, None
        self.work = _noop  # it holds on to photos
        self.run_sec = time.monotonic() - self._started_sec if self._started_sec else 0.0
        self.on_end(self)
        self.ended.set()
        for loop, ended in list(self._waiters):
            with contextlib.suppress(RuntimeError):  # its loop has closed
                loop.call_soon_threadsafe(ended.set)
        self.report()

    def drop(self) -> None:
        """Discard a job that has not started."""
        self._end("cancelled")


class Jobs:
    """The device's thread, the queue, and the jobs of late.

    Args:
        waiting: jobs that may wait; more are refused.
        on_end: called with each job that has ended, by whatever thread it ended in.
    """

    def __init__(self, *, waiting: int = 16, on_end: Callable[[Job], Any] = _noop):
        self.waiting, self.on_end = waiting, on_end
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._quick: deque[tuple[Callable[[], Any], Future]] = deque()
        self._long: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ganvas-device", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Any]) -> Future:
        """Run a quick job on the device's thread, before long jobs continue.

        Raises:
            HTTPException: 503, too much of it waits.
        """
        future: Future = Future()
        with self._wake:
            if self._closed or len(self._quick) >= MAX_QUICK_CALLS:
                raise HTTPException(503, "the studio is busy; try again in a moment")
            self._quick.append((work, future))
            self._wake.notify()
        return future

    def start(self, job: Job) -> Job:
        """Queue a job for the device.

        Raises:
            HTTPException: 429, too many wait.
        """
        with self._wake:
            if len(self._long) >= self.waiting:
                raise HTTPException(429, f"{self.waiting} jobs are already queued; try again when one is done")
            job.run_quick_calls = self._run_quick_calls
            self._long.append(job)
            self._remember(job)
            self._wake.notify()
        job.report()
        return job

    def start_aside(self, job: Job) -> Job:
        """Run a job that needs no device (a download, a child process) in a thread of its own.

        Raises:
            HTTPException: 429, too many run.
        """
        with self._wake:
            if sum(one.state in OPEN_STATES for one in self._jobs.values()) >= 2 * self.waiting:
                raise HTTPException(429, "too many jobs are running; try again when one is done")
            self._remember(job)
        threading.Thread(target=job.run, name=f"ganvas-{job.kind}", daemon=True).start()
        return job

    @property
    def is_alive(self) -> bool:
        """Does the device's thread run?"""
        return self._thread.is_alive()

    def all(self) -> list[Job]:
        """What waits, runs and ended of late; the oldest first."""
        return list(self._jobs.values())

    def find(self, id: str) -> Job:
        """A job by its id.

        Raises:
            HTTPException: 404.
        """
        if id not in self._jobs:
            raise HTTPException(404, "there is no such job; it may have expired")
        return self._jobs[id]

    def cancel(self, job: Job) -> None:
        """Stop it at its next step; one that waits is taken out at once."""
        job.cancel_requested.set()
        with self._wake:
            waits = job in self._long
            if waits:
                self._long.remove(job)
        if waits:
            job.drop()

    def cancel_owned(self, owner: str) -> list[Job]:
        """Stop everything of one session; returns what was still open."""
        open_jobs = [job for job in list(self._jobs.values()) if job.owner == owner and job.state in OPEN_STATES]
        for job in open_jobs:
            self.cancel(job)
        return open_jobs

    def forget_owned(self, owner: str) -> None:
        """The results of a session that is gone go too."""
        for id in [job.id for job in list(self._jobs.values()) if job.owner == owner and job.state not in OPEN_STATES]:
            self._jobs.pop(id, None)

    def open_jobs(self, owner: str) -> list[Job]:
        """A session's jobs that wait or run."""
        return [job for job in list(self._jobs.values()) if job.owner == owner and job.state in OPEN_STATES]

    def close(self) -> None:
        """Stop everything and end the thread."""
        for job in list(self._jobs.values()):
            if job.state in OPEN_STATES:
                self.cancel(job)
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout=10)

    def _remember(self, job: Job) -> None:
        job.on_end = self.on_end
        self._jobs[job.id] = job
        for id in [i for i, one in self._jobs.items() if one.state not in OPEN_STATES][
            : max(0, len(self._jobs) - MAX_REMEMBERED_JOBS)
        ]:
            del self._jobs[id]

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._quick or self._long or self._closed):
                    self._wake.wait()
                if self._closed:
                    return
                job = None if self._quick else self._long.popleft()
            if job is None:
                self._run_quick_calls()
            else:
                job.run()
            job = None  # what ran last is not kept alive while nothing runs

    def _run_quick_calls(self) -> None:
        """Do what is quick and waits. Inside a job's step: neither its randomness nor its gradients are touched."""
        while True:
            with self._wake:
                if not self._quick:
                    return
                work, future = self._quick.popleft()
            _run_into_future(work, future)
            del work, future


def json_safe(data: Any) -> Any:
    """Plain data as JSON can have it: what is not a finite number becomes null."""
    if isinstance(data, dict):
        return {key: json_safe(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [json_safe(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _run_into_future(work: Callable[[], Any], future: Future) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
