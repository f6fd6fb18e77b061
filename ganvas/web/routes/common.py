"""What all routes use: the studio of a request, work on the device's thread, numbers within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, get_args

from fastapi import Depends, Request

from ganvas.session.plain_session import PlainSession
from ganvas.session.session import Session
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.studio import Studio
from ganvas.web.views import build_state, mark_changed

_T = TypeVar("_T")
Effort = Literal["fast", "standard", "best"]
EFFORT_NAMES: tuple[str, ...] = get_args(Effort)


def get_studio(request: Request) -> Studio:
    """The studio that this app is of."""
    studio: Studio = request.app.state.studio
    return studio


def get_open_photo(request: Request, id: str) -> OpenPhoto:
    """The open photo named in the path."""
    return get_studio(request).find(id)


StudioDep = Annotated[Studio, Depends(get_studio)]
OpenPhotoDep = Annotated[OpenPhoto, Depends(get_open_photo)]


async def run_on_device(studio: Studio, work: Callable[[], _T]) -> _T:
    """The result of something quick, done on the device's thread."""
    result: _T = await asyncio.wrap_future(studio.jobs.submit(work))
    return result


def require_idle_session(studio: Studio, open_photo: OpenPhoto) -> Session:
    """The session, if it may be changed now.

    Raises:
        NotReady: the photo is not in the model yet, or a job is at it.
    """
    session = open_photo.require_session()
    _require_idle(studio, open_photo)
    return session


def require_idle_editing(studio: Studio, open_photo: OpenPhoto) -> Session | PlainSession:
    """What may be finished, undone and saved now: the face that is edited, or a photo in which none was looked for.

    Raises:
        NotReady: it is being brought into the model, or a job is at it.
    """
    editing = open_photo.require_editing()
    _require_idle(studio, open_photo)
    return editing


def _require_idle(studio: Studio, open_photo: OpenPhoto) -> None:
    busy = [job.kind for job in studio.jobs.open_jobs(open_photo.id) if job.kind != "render"]
    if busy:
        raise NotReady(f"a job ({busy[0]}) is running on this photo: wait for it, or cancel it")


async def apply_change(studio: Studio, open_photo: OpenPhoto, change: Callable[[], Any]) -> dict[str, Any]:
    """A quick change of the session, done on the device's thread; the answer is the new state."""
    await run_on_device(studio, change)
    mark_changed(open_photo)
    return build_state(open_photo)


def start_photo_job(
    studio: Studio, open_photo: OpenPhoto, kind: str, work: Callable[[Job], dict[str, Any]]
) -> dict[str, Any]:
    """Queue something long at an open photo; the answer is the job, and whoever watches the photo hears of it."""
    return describe_job(
        studio.jobs.start(Job(kind, work, owner=open_photo.id, title=open_photo.name, on_update=open_photo.send_job))
    )


def describe_job(job: Job) -> dict[str, Any]:
    """What a call that began a job answers."""
    return job.as_data()
