"""What all routes use: the studio of a request, work on the device's thread, numbers within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from ganvas.session import Session
from ganvas.web.desk import Desk
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.studio import Studio

T = TypeVar("T")
EFFORTS = ("fast", "standard", "best")


def studio_of(request: Request) -> Studio:
    """The studio that this app is of."""
    studio: Studio = request.app.state.studio
    return studio


def desk_of(request: Request, id: str) -> Desk:
    """The desk named in the path."""
    return studio_of(request).find(id)


AStudio = Annotated[Studio, Depends(studio_of)]
ADesk = Annotated[Desk, Depends(desk_of)]


async def on_device(studio: Studio, work: Callable[[], T]) -> T:
    """The result of something quick, done on the device's thread."""
    result: T = await asyncio.wrap_future(studio.jobs.ask(work))
    return result


def changing(studio: Studio, desk: Desk) -> Session:
    """The session, if it may be changed now.

    Raises:
        NotReady: the photo is not in the model yet, or a job is at it.
    """
    session = desk.ready()
    busy = [job.kind for job in studio.jobs.open_of(desk.id) if job.kind != "render"]
    if busy:
        raise NotReady(f"this photo is being worked at ({busy[0]}): wait for that job, or cancel it")
    return session


def started(job: Job) -> dict[str, Any]:
    """What a call that began a job answers."""
    return job.as_data()
