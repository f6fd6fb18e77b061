"""Edits: sliders, steps, undo, recipes, and the final photo."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganvas.editing.post_steps import Translate, Upscale
from ganvas.editing.recipe import Recipe, step_from_data
from ganvas.errors import BadConfig, Stopped
from ganvas.images.encode import encode_image
from ganvas.session.auto_amount import AutoAmount
from ganvas.session.project_file import embed_in_png
from ganvas.session.variants import preview_step
from ganvas.web.answers import BreakupsAnswer, JobAnswer, RecipeAnswer, SaidAnswer, SessionAnswer
from ganvas.web.jobs import Job
from ganvas.web.openapi import FILE, answer_file
from ganvas.web.pictures import encode_jpeg
from ganvas.web.routes.common import (
    OpenPhotoDep,
    StudioDep,
    apply_change,
    require_idle_editing,
    require_idle_session,
    run_on_device,
    start_photo_job,
)
from ganvas.web.routes.sessions import RequestBody, download_name
from ganvas.web.views import mark_changed

router = APIRouter(prefix="/api/sessions/{id}", tags=["editing"])
FORMATS = {"png": ("PNG", "image/png"), "jpeg": ("JPEG", "image/jpeg"), "webp": ("WEBP", "image/webp")}
EDITING_TYPE = "application/vnd.ganvas.session+zip"
RESULT_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media_type: {"schema": FILE} for _, media_type in FORMATS.values()}}
}


class SliderRequest(RequestBody):
    """A slider at an amount; "auto", "-auto" and, for age, years ("40y") find one."""

    direction: str
    amount: float | str
    keep: list[str] = []


class SayRequest(RequestBody):
    """What is wanted, in words, English or Korean."""

    sentence: str = Field(max_length=2000)
    keep: list[str] = []  # held still besides what the sentence names


class GotoRequest(RequestBody):
    """An entry of the history."""

    at: int


class RenderRequest(RequestBody):
    """Format of the final photo."""

    format: Literal["png", "jpeg", "webp"] = "png"
    quality: int = Field(95, ge=1, le=100)
    disclose: bool = True  # say in the XMP that a model changed the picture
    editing: bool = True  # of a PNG: the original and the whole editing go along, so that it can be resumed


@router.post("/set", response_model=SessionAnswer | JobAnswer)
async def set_slider(body: SliderRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Move a slider; the answer is the new state, or a job where the amount is to be found ("auto")."""
    session = require_idle_session(studio, open_photo)
    if isinstance(body.amount, str):

        def work(job: Job) -> dict[str, Any]:
            job.message = f"looking for the amount of {body.direction}"
            amount = session.set(body.direction, body.amount, keep=body.keep)
            mark_changed(open_photo)
            assert session.last_auto is not None
            return {"direction": body.direction, "amount": amount, "reached": session.last_auto.reached}

        return start_photo_job(studio, open_photo, "auto", work)
    return await apply_change(studio, open_photo, lambda: session.set(body.direction, body.amount, keep=body.keep))


@router.post("/say", response_model=SaidAnswer | JobAnswer)
async def say(body: SayRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Move sliders as a sentence asks: "smile a little, ten years younger, keep the glasses".

    `understood` says what it was read as. The answer is the new state, or a job where an amount is to be found; a
    sentence that is not understood changes nothing and is answered with 422, the unknown word and the nearest known.
    """
    session = require_idle_session(studio, open_photo)
    wanted = session.understand(body.sentence)
    understood = {
        "changes": [{"direction": change.dial, "amount": change.amount} for change in wanted.changes],
        "keep": wanted.keep,
        "words": wanted.words(),
    }
    if not any(isinstance(change.amount, str) for change in wanted.changes):
        state = await apply_change(studio, open_photo, lambda: session.say(wanted, keep=body.keep))
        return state | {"understood": understood}

    def work(job: Job) -> dict[str, Any]:
        job.message = wanted.words()
        searches: list[AutoAmount] = []
        session.say(wanted, keep=body.keep, on_auto=searches.append)
        mark_changed(open_photo)
        outcomes = [{name: getattr(each, name) for name in ("direction", "amount", "reached")} for each in searches]
        return {"understood": understood, "searches": outcomes}

    return start_photo_job(studio, open_photo, "say", work)


@router.post("/do", response_model=SessionAnswer)
async def do_step(body: dict[str, Any], open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Any step, as data: `{"step": "mix", "seed": 5, "part": "colour", "strength": 0.7}`.

    A slider, a mix of the same part or a style of the same name replaces what it was before; strength or amount 0 takes
    it out.
    """
    step = step_from_data(body)
    finish = isinstance(step, (Upscale, Translate))
    editing = require_idle_editing(studio, open_photo) if finish else require_idle_session(studio, open_photo)
    return await apply_change(studio, open_photo, lambda: editing.put(step))


@router.post("/try.jpg", **answer_file("image/jpeg"))
async def try_one_step(
    body: dict[str, Any], open_photo: OpenPhotoDep, studio: StudioDep, size: Annotated[int, Query(ge=32, le=512)] = 128
) -> Response:
    """How a step would look, small, without doing it: of a face's step its square, of a finishing one the photo."""
    step, edits = step_from_data(body), open_photo.require_edits()
    open_photo.require_editing()
    show = lambda: encode_jpeg(preview_step(edits, step, longest_px=size))  # noqa: E731
    data = await run_on_device(studio, show)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


@router.post("/undo", response_model=SessionAnswer)
async def undo(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Take the last change back."""
    return await apply_change(studio, open_photo, require_idle_editing(studio, open_photo).undo)


@router.post("/redo", response_model=SessionAnswer)
async def redo(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Do again what was taken back."""
    return await apply_change(studio, open_photo, require_idle_editing(studio, open_photo).redo)


@router.post("/goto", response_model=SessionAnswer)
async def go_to(body: GotoRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Go to an entry of the history."""
    editing = require_idle_editing(studio, open_photo)
    return await apply_change(studio, open_photo, lambda: editing.goto(body.at))


@router.get("/breakups", response_model=BreakupsAnswer)
async def look_for_breakups(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """The sliders that stand so far out that the picture breaks up, each with how far it holds on this photo.

    Moving a slider comes first: it ends the search, and nothing is known then.
    """
    session, version = require_idle_session(studio, open_photo), open_photo.version

    def give_way() -> None:
        if open_photo.pending_slide is not None or open_photo.version != version:
            raise Stopped("the photo is being edited on")

    try:
        too_far = await run_on_device(studio, lambda: session.find_breakups(on_look=give_way))
    except Stopped:
        too_far = ()
    return {"version": version, "breakups": [asdict(one) for one in too_far]}


@router.get("/recipe", response_model=RecipeAnswer)
def read_recipe(open_photo: OpenPhotoDep) -> dict[str, Any]:
    """The recipe as JSON, for `ganvas edit --recipe` and PUT."""
    data: dict[str, Any] = json.loads(open_photo.require_editing().recipe.to_json())
    return data


@router.put("/recipe", response_model=SessionAnswer)
async def replay(body: dict[str, Any], open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Apply another recipe's steps to this photo."""
    editing, recipe = require_idle_editing(studio, open_photo), Recipe.from_json(json.dumps(body))
    return await apply_change(studio, open_photo, lambda: editing.replay(recipe))


@router.post("/render", response_model=JobAnswer)
async def render(body: RenderRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """The whole photo in full quality, its recipe inside. A job; then GET result."""
    open_photo.require_editing()
    kind, media_type = FORMATS[body.format]
    suffix = ".jpg" if kind == "JPEG" else f".{body.format}"

    def work(job: Job) -> dict[str, Any]:
        job.message = "painting"
        edits, size = open_photo.require_edits(), open_photo.require_editing().result_size
        if size[0] * size[1] > studio.config.result_pixels:
            raise BadConfig(f"a result of {size} pixels is too large for this studio: enlarge it less")
        picture = edits.render(on_step=job.step)
        job.step(1, 2)
        job.message = "writing"
        background = "white" if kind == "JPEG" else None
        data = encode_image(picture, kind, quality=body.quality, background=background, disclose=body.disclose)
        whole = embed_in_png(data, open_photo.to_project_file()) if body.editing and kind == "PNG" else data
        carries = len(data) < len(whole) <= studio.config.upload_bytes  # what could not be opened again is no use
        data = whole if carries else data
        open_photo.result = (data, media_type, download_name(open_photo, suffix))
        facts = {"bytes": len(data), "width": picture.width, "height": picture.height}
        return facts | {"name": open_photo.result[2], "editing": carries}

    return start_photo_job(studio, open_photo, "render", work)


@router.get("/result", responses=RESULT_FILES, response_class=Response)
def download_result(open_photo: OpenPhotoDep) -> Response:
    """Download the last rendered photo."""
    if open_photo.result is None:
        raise HTTPException(404, "nothing has been rendered since the last change: POST render first")
    return _download(*open_photo.result)


@router.get("/editing.ganvas", **answer_file(EDITING_TYPE))
async def download_editing(open_photo: OpenPhotoDep, studio: StudioDep) -> Response:
    """The photo as a file to be opened again: the original, what was found of its faces, everything done to it."""
    open_photo.require_editing()
    data = await run_on_device(studio, open_photo.to_project_file)
    return _download(data, EDITING_TYPE, download_name(open_photo, ".ganvas"))


def _download(data: bytes, media_type: str, name: str) -> Response:
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(data, media_type=media_type, headers={"content-disposition": disposition})
