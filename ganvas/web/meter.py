"""What a studio has done and has in hand, counted for those who run it, in Prometheus' text format.

Source: prometheus.io, "Exposition formats", version 0.0.4.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganvas.web.jobs import Job

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Meter:
    """Counters since the studio was started; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[Labels] = Counter()
        self.request_seconds: Counter[Labels] = Counter()
        self.jobs: Counter[Labels] = Counter()
        self.job_seconds: Counter[Labels] = Counter()

    def count_request(self, operation: str, status: int, seconds: float) -> None:
        """An answered request; `operation` is its name in openapi.json, "other" for pages and what was refused."""
        with self._lock:
            self.requests[(("operation", operation), ("status", str(status)))] += 1
            self.request_seconds[(("operation", operation),)] += seconds  # type: ignore[assignment]

    def count_job(self, job: Job) -> None:
        """A job that has ended."""
        with self._lock:
            self.jobs[(("kind", job.kind), ("state", job.state))] += 1
            self.job_seconds[(("kind", job.kind),)] += job.run_sec  # type: ignore[assignment]

    def format_counters(self) -> list[str]:
        """Lines of Prometheus' text."""
        with self._lock:
            return [
                *format_metric("ganvas_requests_total", "counter", "Requests answered.", self.requests),
                *format_metric(
                    "ganvas_request_seconds_total", "counter", "Time until they were answered.", self.request_seconds
                ),
                *format_metric("ganvas_jobs_total", "counter", "Jobs ended.", self.jobs),
                *format_metric("ganvas_job_seconds_total", "counter", "Time they ran.", self.job_seconds),
            ]


class MeterMiddleware:
    """ASGI middleware: every request is counted with its time."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, then count."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start_sec, status = time.monotonic(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            operation = getattr(scope.get("route"), "name", "other")
            scope["app"].state.studio.meter.count_request(operation, status, time.monotonic() - start_sec)


def format_metric(name: str, kind: str, help: str, values: Mapping[Labels, float]) -> Iterable[str]:
    """One metric with its help and all its values; labels hold no character that would need escaping."""
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"
    for labels, value in sorted(values.items()):
        inside = ",".join(f'{label}="{text}"' for label, text in labels)
        yield f"{name}{{{inside}}} {value:.6g}" if inside else f"{name} {value}"


def resident_bytes() -> int | None:
    """Memory of this process, where the system says (Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
