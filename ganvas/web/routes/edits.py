"""Edits: sliders, steps, undo, recipes, and the finished photo."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganvas.editing.recipe import Recipe, step_of_data
from ganvas.errors import BadConfig
from ganvas.images.encode import encode_image
from ganvas.web.desk import state_of
from ganvas.web.jobs import Job
from ganvas.web.keepsake import into_png
from ganvas.web.routes.common import ADesk, AStudio, changing, on_device, started
from ganvas.web.routes.sessions import Body, download_name

router = APIRouter(prefix="/api/sessions/{id}", tags=["editing"])
FORMATS = {"png": ("PNG", "image/png"), "jpeg": ("JPEG", "image/jpeg"), "webp": ("WEBP", "image/webp")}


class Slider(Body):
    """A slider at an amount; "auto" and "-auto" find one."""

    direction: str
    amount: float | str
    keep: list[str] = []


class Goto(Body):
    """An entry of the history."""

    at: int


class Rendering(Body):
    """How the finished photo is written."""

    format: str = "png"
    quality: int = Field(95, ge=1, le=100)
    editing: bool = True  # of a PNG: the original and the whole editing go along, so that it can be taken up again


@router.post("/set")
async def set_slider(asked: Slider, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Move a slider; the answer is the new state, or a job where the amount is to be found ("auto")."""
    session = changing(studio, desk)
    if isinstance(asked.amount, str):

        def work(job: Job) -> dict[str, Any]:
            job.message = f"looking for the amount of {asked.direction}"
            amount = session.set(asked.direction, asked.amount, keep=asked.keep)
            desk.changed()
            return {"direction": asked.direction, "amount": amount}

        return started(studio.jobs.start(Job("auto", work, owner=desk.id, tell=desk.tell_job)))
    await on_device(studio, lambda: session.set(asked.direction, asked.amount, keep=asked.keep))
    desk.changed()
    return state_of(desk)


@router.post("/do")
async def do(asked: dict[str, Any], desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Any step, as data: `{"step": "mix", "seed": 5, "part": "colour", "strength": 0.7}`.

    A slider, a mix of the same part or a style of the same name replaces what it was before; strength or amount 0 takes
    it out.
    """
    session, step = changing(studio, desk), step_of_data(asked)
    await on_device(studio, lambda: session.put(step))
    desk.changed()
    return state_of(desk)


@router.post("/undo")
async def undo(desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Take the last change back."""
    await on_device(studio, changing(studio, desk).undo)
    desk.changed()
    return state_of(desk)


@router.post("/redo")
async def redo(desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Do again what was taken back."""
    await on_device(studio, changing(studio, desk).redo)
    desk.changed()
    return state_of(desk)


@router.post("/goto")
async def goto(asked: Goto, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Go to an entry of the history."""
    session = changing(studio, desk)
    await on_device(studio, lambda: session.goto(asked.at))
    desk.changed()
    return state_of(desk)


@router.get("/recipe")
def recipe(desk: ADesk) -> dict[str, Any]:
    """What has been done, as JSON that `ganvas edit --recipe` and PUT take."""
    data: dict[str, Any] = json.loads(desk.ready().recipe.to_json())
    return data


@router.put("/recipe")
async def replay(asked: dict[str, Any], desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Apply another recipe's steps to this photo."""
    session, recipe = changing(studio, desk), Recipe.from_json(json.dumps(asked))
    await on_device(studio, lambda: session.replay(recipe))
    desk.changed()
    return state_of(desk)


@router.post("/render")
async def render(asked: Rendering, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """The whole photo in full quality, its recipe inside. A job; then GET result."""
    session = desk.ready()
    if asked.format not in FORMATS:
        raise HTTPException(422, f"format is one of {', '.join(FORMATS)}, got {asked.format[:20]!r}")
    kind, media_type = FORMATS[asked.format]
    suffix = ".jpg" if kind == "JPEG" else f".{asked.format}"

    def work(job: Job) -> dict[str, Any]:
        job.message = "painting"
        if session.result_size[0] * session.result_size[1] > studio.config.result_pixels:
            raise BadConfig(f"a result of {session.result_size} pixels is too large for this studio: enlarge it less")
        picture = session.render(on_step=job.step)
        job.step(1, 2)
        job.message = "writing"
        background = "white" if kind == "JPEG" else None
        data = encode_image(picture, kind, quality=asked.quality, background=background)
        whole = into_png(data, desk.keepsake()) if asked.editing and kind == "PNG" else data
        carries = len(data) < len(whole) <= studio.config.upload_bytes  # what could not be opened again is no use
        data = whole if carries else data
        desk.result = (data, media_type, download_name(desk, suffix))
        size = {"bytes": len(data), "width": picture.width, "height": picture.height}
        return size | {"name": desk.result[2], "editing": carries}

    return started(studio.jobs.start(Job("render", work, owner=desk.id, tell=desk.tell_job)))


@router.get("/result")
def result(desk: ADesk) -> Response:
    """What was rendered last, as a download."""
    if desk.result is None:
        raise HTTPException(404, "nothing has been rendered since the last change: POST render first")
    return _download(*desk.result)


@router.get("/editing.ganvas")
async def editing(desk: ADesk, studio: AStudio) -> Response:
    """The session as a file to be opened again: the original, what was found in the model, everything done to it."""
    data = await on_device(studio, desk.keepsake)
    return _download(data, "application/vnd.ganvas.session+zip", download_name(desk, ".ganvas"))


def _download(data: bytes, media_type: str, name: str) -> Response:
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(data, media_type=media_type, headers={"content-disposition": disposition})
