"""The WebSocket of a session: jobs and previews out, sliders that are being moved in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from ganvas.editing.recipe import step_of_data
from ganvas.errors import BadConfig
from ganvas.session import PREVIEW_PX
from ganvas.web.desk import Desk, Painted, Watcher, state_of
from ganvas.web.errors import error_as_data
from ganvas.web.routes.common import changing
from ganvas.web.studio import Studio

router = APIRouter()
LONGEST_MESSAGE = 16_384
GONE = 4404
QUIET_SEC = 0.3  # without a slide: then the guard looks


@router.websocket("/api/sessions/{id}/events")
async def events(socket: WebSocket, id: str) -> None:
    """See docs/studio.md."""
    studio: Studio = socket.app.state.studio
    await socket.accept()
    try:
        desk = studio.find(id)
    except HTTPException:
        await socket.close(GONE, "there is no such session")
        return
    watcher = Watcher()
    desk.watchers.add(watcher)
    desk.watched = True
    if studio.desks.get(id) is not desk:  # it was closed just before we began to listen
        watcher.tell(({"type": "closed"}, None))
    watcher.tell(({"type": "state", **state_of(desk)}, None))
    for job in studio.jobs.open_of(id):
        watcher.tell(({"type": "job", **job.as_data()}, None))
    sending = asyncio.create_task(_send(socket, watcher))
    try:
        while True:
            _take(studio, desk, await socket.receive_text())
    except (WebSocketDisconnect, RuntimeError, KeyError):
        pass
    finally:
        sending.cancel()
        desk.watchers.discard(watcher)
        desk.left_sec = desk.seen_sec = time.monotonic()


async def _send(socket: WebSocket, watcher: Watcher) -> None:
    try:
        while True:
            message, picture = await watcher.next()
            await socket.send_text(json.dumps(message))
            if picture is not None:
                await socket.send_bytes(picture)
            if message["type"] == "closed":
                await socket.close(GONE, "this session was closed")
                return
    except (WebSocketDisconnect, RuntimeError):
        pass


def _take(studio: Studio, desk: Desk, text: str) -> None:
    """One message of the page; what is wrong with it is answered, never raised."""
    seq = None
    try:
        message = _read(text)
        desk.seen_sec = time.monotonic()
        seq = message.get("seq")
        if message["type"] == "slide":
            _slide(studio, desk, message)
        elif message["type"] == "cancel":
            job = studio.jobs.find(str(message.get("job")))
            if job.owner == desk.id:
                studio.jobs.cancel(job)
        else:
            raise BadConfig(f"a message is of type 'slide' or 'cancel', got {str(message['type'])[:40]!r}")
    except Exception as error:
        desk.tell({"type": "error", "seq": seq, **error_as_data(error)})


def _read(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text) if len(text) <= LONGEST_MESSAGE else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadConfig('a message is JSON such as {"type": "slide", "direction": "smile", "amount": 1.5, "seq": 1}')
    return message


def _slide(studio: Studio, desk: Desk, message: dict[str, Any]) -> None:
    """The latest wins: while one waits to be painted, a newer one takes its place."""
    changing(studio, desk)
    waits, desk.slide = desk.slide is not None, message
    desk.slides += 1
    asyncio.get_running_loop().call_later(QUIET_SEC, _when_quiet, studio, desk, desk.slides)
    if not waits:
        try:
            studio.jobs.ask(lambda: _paint(desk))
        except HTTPException:  # too busy: the next one asks again
            desk.slide = None
            raise


def _step_of(message: dict[str, Any]) -> Any:
    """What is being tried: a slider, or any step as data under "step"."""
    if "step" in message:
        return step_of_data(message["step"])
    fields = {name: message[name] for name in ("direction", "amount", "keep") if name in message}
    return step_of_data({"step": "move", **fields})


def _paint(desk: Desk) -> None:
    """At once, with the share of the tuning that held last; `_check_share` looks later whether it holds here."""
    message, desk.slide = desk.slide, None
    if message is None or desk.session is None:
        return
    seq = message.get("seq")
    try:
        session = desk.session
        recipe = session.tried(_step_of(message))
        size = min(PREVIEW_PX, session.generator.img_resolution)
        share = session.first_share if desk.share is None else desk.share
        desk.tell_preview(session.preview(resolution=size, recipe=recipe, share=share), seq=seq)
        desk.painted = Painted(recipe, size, share, seq)
    except Exception as error:
        desk.painted = None
        desk.tell({"type": "error", "seq": seq, **error_as_data(error)})


def _when_quiet(studio: Studio, desk: Desk, slides: int) -> None:
    """Nothing newer came for a moment: time for a closer look."""
    if desk.slides == slides:
        with contextlib.suppress(HTTPException):
            studio.jobs.ask(lambda: _check_share(desk))


def _check_share(desk: Desk) -> None:
    """Where the edit does not bear the share it was shown with, the picture comes again."""
    painted, session = desk.painted, desk.session
    if painted is None or session is None or desk.slide is not None:
        return
    desk.share = session.share_of(painted.recipe)
    if desk.share != painted.share and painted.recipe.steps:
        img = session.preview(resolution=painted.size, recipe=painted.recipe, share=desk.share)
        desk.tell_preview(img, seq=painted.seq)
