"""The WebSocket of a session: sends jobs and previews, receives slider movements."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from ganvas.editing.recipe import step_from_data
from ganvas.errors import BadConfig
from ganvas.session.tuned_generator import CROP_PREVIEW_PX
from ganvas.web.errors import error_as_data
from ganvas.web.open_photo import OpenPhoto, ShownPreview
from ganvas.web.routes.common import require_idle_session
from ganvas.web.studio import Studio
from ganvas.web.views import build_state
from ganvas.web.watchers import EventQueue

router = APIRouter()
_LONGEST_MESSAGE = 16_384
CLOSE_NOT_FOUND = 4404
SETTLE_SEC = 0.3  # without a slide: then the guard looks


@router.websocket("/api/sessions/{id}/events")
async def events(socket: WebSocket, id: str) -> None:
    """See docs/studio.md."""
    studio: Studio = socket.app.state.studio
    await socket.accept()
    try:
        open_photo = studio.find(id)
    except HTTPException:
        await socket.close(CLOSE_NOT_FOUND, "there is no such session")
        return
    queue = EventQueue()
    open_photo.listeners.add(queue)
    open_photo.had_listener = True
    if studio.open_photos.get(id) is not open_photo:  # it was closed just before we began to listen
        queue.send(({"type": "closed"}, None))
    queue.send(({"type": "state", **build_state(open_photo)}, None))
    for job in studio.jobs.open_jobs(id):
        queue.send(({"type": "job", **job.as_data()}, None))
    sending = asyncio.create_task(_send_events(socket, queue))
    try:
        while True:
            _handle_message(studio, open_photo, await socket.receive_text())
    except (WebSocketDisconnect, RuntimeError, KeyError):
        pass
    finally:
        sending.cancel()
        open_photo.listeners.discard(queue)
        open_photo.disconnected_sec = open_photo.last_request_sec = time.monotonic()


async def _send_events(socket: WebSocket, queue: EventQueue) -> None:
    try:
        while True:
            message, picture = await queue.next()
            await socket.send_text(json.dumps(message))
            if picture is not None:
                await socket.send_bytes(picture)
            if message["type"] == "closed":
                await socket.close(CLOSE_NOT_FOUND, "this session was closed")
                return
    except (WebSocketDisconnect, RuntimeError):
        pass


def _handle_message(studio: Studio, open_photo: OpenPhoto, text: str) -> None:
    """One message of the page; what is wrong with it is answered, never raised."""
    seq = None
    try:
        message = _parse_message(text)
        open_photo.last_request_sec = time.monotonic()
        seq = message.get("seq")
        if message["type"] == "slide":
            _queue_slide(studio, open_photo, message)
        elif message["type"] == "cancel":
            job = studio.jobs.find(str(message.get("job")))
            if job.owner == open_photo.id:
                studio.jobs.cancel(job)
        else:
            raise BadConfig(f"a message is of type 'slide' or 'cancel', got {str(message['type'])[:40]!r}")
    except Exception as error:
        open_photo.send({"type": "error", "seq": seq, **error_as_data(error)})


def _parse_message(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text) if len(text) <= _LONGEST_MESSAGE else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadConfig('a message is JSON such as {"type": "slide", "direction": "smile", "amount": 1.5, "seq": 1}')
    return message


def _queue_slide(studio: Studio, open_photo: OpenPhoto, message: dict[str, Any]) -> None:
    """The latest wins: while one waits to be painted, a newer one takes its place."""
    require_idle_session(studio, open_photo)
    waits, open_photo.pending_slide = open_photo.pending_slide is not None, message
    open_photo.slide_count += 1
    asyncio.get_running_loop().call_later(SETTLE_SEC, _after_pause, studio, open_photo, open_photo.slide_count)
    if not waits:
        try:
            studio.jobs.submit(lambda: _send_preview(open_photo))
        except HTTPException:  # too busy: the next one asks again
            open_photo.pending_slide = None
            raise


def _step_of(message: dict[str, Any]) -> Any:
    """What is being tried: a slider, or any step as data under "step"."""
    if "step" in message:
        return step_from_data(message["step"])
    fields = {name: message[name] for name in ("direction", "amount", "keep") if name in message}
    return step_from_data({"step": "move", **fields})


def _send_preview(open_photo: OpenPhoto) -> None:
    """At once, with the share of the tuning that held last; `_check_share` looks later whether it holds here."""
    message, open_photo.pending_slide = open_photo.pending_slide, None
    if message is None or open_photo.session is None:
        return
    seq = message.get("seq")
    try:
        session, edits = open_photo.session, open_photo.require_edits()
        recipe = session.with_step(_step_of(message))
        size = min(CROP_PREVIEW_PX, session.generator.img_resolution)
        share = session.first_share if open_photo.share is None else open_photo.share
        img = edits.preview(resolution=size, recipe=recipe, share=share, precision="draft")
        open_photo.send_preview(img, seq=seq)
        open_photo.last_preview = ShownPreview(recipe, size, share, seq)
    except Exception as error:
        open_photo.last_preview = None
        open_photo.send({"type": "error", "seq": seq, **error_as_data(error)})


def _after_pause(studio: Studio, open_photo: OpenPhoto, slides: int) -> None:
    """Nothing newer came for a moment: time for a closer look."""
    if open_photo.slide_count == slides:
        with contextlib.suppress(HTTPException):
            studio.jobs.submit(lambda: _check_share(open_photo))


def _check_share(open_photo: OpenPhoto) -> None:
    """Where the edit does not bear the share it was shown with, the picture comes again."""
    preview, session = open_photo.last_preview, open_photo.session
    if preview is None or session is None or open_photo.pending_slide is not None:
        return
    open_photo.share = session.share_of(preview.recipe)
    if open_photo.share != preview.share and preview.recipe.steps:
        img = open_photo.require_edits().preview(resolution=preview.size, recipe=preview.recipe, share=open_photo.share)
        open_photo.send_preview(img, seq=preview.seq)
