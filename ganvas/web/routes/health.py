"""For those who run the studio: is it well, and how much does it do?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganvas import __version__
from ganvas.web.answers import HealthAnswer
from ganvas.web.meter import MEDIA_TYPE, Labels, format_metric, resident_bytes
from ganvas.web.openapi import answer_file
from ganvas.web.routes.common import StudioDep
from ganvas.web.studio import Studio

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=HealthAnswer)
async def check_health(studio: StudioDep) -> dict[str, Any]:
    """200 while the studio can work, 503 where its device's thread has ended; for probes, so without the token."""
    if not studio.jobs.is_alive:
        raise HTTPException(503, "the studio's device does not answer any more; restart it")
    return {"status": "ok", "version": __version__}


@router.get("/metrics", **answer_file("text/plain"))
async def read_metrics(studio: StudioDep) -> Response:
    """Requests, jobs, seconds, memory and open photos in Prometheus' text format; with `--metrics` only."""
    if not studio.config.metrics:
        raise HTTPException(404, "figures for Prometheus are off; start the studio with --metrics")
    lines = [*studio.meter.format_counters(), *_format_gauges(studio)]
    return Response("\n".join(lines) + "\n", media_type=MEDIA_TYPE)


def _format_gauges(studio: Studio) -> list[str]:
    """What is so at this moment."""
    states: Counter[Labels] = Counter({(("state", state),): 0 for state in ("queued", "running")})
    states.update((("state", job.state),) for job in studio.jobs.all() if (("state", job.state),) in states)
    photos = list(studio.open_photos.values())
    values: list[tuple[str, str, str, Mapping[Labels, float]]] = [
        ("ganvas_open_jobs", "gauge", "Jobs that wait or run.", states),
        ("ganvas_open_photos", "gauge", "Photos open.", {(): len(photos)}),
        ("ganvas_open_photo_pixels", "gauge", "Pixels of all open photos.", {(): sum(one.pixels for one in photos)}),
        ("process_cpu_seconds_total", "counter", "Processor time of this process.", {(): time.process_time()}),
    ]
    resident = resident_bytes()
    if resident is not None:
        values.append(("process_resident_memory_bytes", "gauge", "Memory of this process.", {(): resident}))
    return [line for name, kind, help, value in values for line in format_metric(name, kind, help, value)]
