"""Sessions: open a photo or a seed, invert it, view it, close it."""

from __future__ import annotations

import json
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganvas.editing.recipe import Recipe
from ganvas.images.crop import Crop
from ganvas.web.answers import ClosedAnswer, JobAnswer, OpenedAnswer, SessionAnswer
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.openapi import FILE, TEXT, WHOLE, answer_file, take_form
from ganvas.web.opening import look_for_faces, open_generated, open_upload, start_inversion, start_resuming
from ganvas.web.pictures import encode_jpeg
from ganvas.web.routes.common import (
    EFFORT_NAMES,
    Effort,
    OpenPhotoDep,
    StudioDep,
    apply_change,
    describe_job,
    require_idle_session,
    run_on_device,
)
from ganvas.web.studio import Studio
from ganvas.web.uploads import reading_form, safe_filename
from ganvas.web.views import build_state, mark_changed

router = APIRouter(prefix="/api/sessions", tags=["sessions"])
SIZES_PX = (32, 2048)


class RequestBody(BaseModel):
    """JSON body of a call; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class SeedRequest(RequestBody):
    """A generated image instead of a photo."""

    seed: int = Field(ge=0, lt=2**32)
    model: str | None = None
    truncation_psi: float = Field(0.7, ge=0, le=1)
    project: str | None = None  # the project that keeps it


class CropRequest(RequestBody):
    """A square in the photo: centre, side and rotation, in pixels and degrees."""

    x: float
    y: float
    side: float = Field(gt=0)
    angle_deg: float = 0.0


class InvertRequest(RequestBody):
    """Invert a face (from 0), or a custom crop."""

    face: int | None = Field(None, ge=0)
    effort: Effort = "fast"
    crop: CropRequest | None = None
    model: str | None = None
    recipe: dict[str, Any] | None = None  # to be replayed afterwards
    resume: bool = False  # the editing that the opened file carries, instead


OPEN_FORM = take_form(
    "photo",
    photo=FILE,
    model=TEXT,
    effort={"type": "string", "enum": list(EFFORT_NAMES)},
    face=WHOLE,
    recipe=TEXT | {"description": "JSON"},
    project=TEXT,
)


class FaceRequest(RequestBody):
    """A face, from 0 at the left; null = a square of one's own."""

    face: int | None = Field(ge=0)


@router.post("", response_model=OpenedAnswer, response_model_exclude_unset=True, **OPEN_FORM)
async def open_session(request: Request, studio: StudioDep) -> dict[str, Any]:
    """Open a photo (form field `photo`, with `model`, `effort`, `face`, `recipe`), or `{"seed": 3}` as JSON.

    With `effort` the photo is inverted at once, and the answer has the `job`. With `project` (its id) the photo and all
    that is done to it are kept on the disk; without, they are forgotten when it is closed.
    """
    studio.ensure_capacity()
    if request.headers.get("content-type", "").startswith("application/json"):
        return await _from_seed(request, studio)
    async with reading_form(request, studio.uploads, studio.config) as form:
        name, data = (await form.files("photo", limit=studio.config.upload_bytes, most=1))[0]
        model, project = form.text("model") or None, form.text("project") or None
        effort, face = form.text("effort"), form.whole("face")
        recipe = _parse_recipe(form.json("recipe"))
    open_photo = await run_on_device(studio, lambda: open_upload(studio, data, name=name, model=model, project=project))
    if effort is None:
        return build_state(open_photo)
    try:
        job = start_inversion(
            studio, open_photo, face=face, effort=_check_effort(effort), crop=None, model=None, recipe=recipe
        )
    except BaseException:
        studio.close_photo(open_photo)
        raise
    return build_state(open_photo) | {"job": describe_job(job)}


async def _from_seed(request: Request, studio: Studio) -> dict[str, Any]:
    try:
        seed_request = SeedRequest.model_validate_json(await request.body())
    except ValueError as error:
        raise HTTPException(422, f'a session from a seed is {{"seed": 3}}: {str(error).splitlines()[0]}') from None
    return await start_from_seed(seed_request, studio)


@router.post("/seed", response_model=SessionAnswer)
async def start_from_seed(body: SeedRequest, studio: StudioDep) -> dict[str, Any]:
    """Begin with a picture that a generator makes of a number; it is ready at once."""
    studio.ensure_capacity()
    open_photo = await run_on_device(
        studio,
        lambda: open_generated(
            studio, body.seed, model=body.model, truncation_psi=body.truncation_psi, project=body.project
        ),
    )
    return build_state(open_photo)


@router.get("/{id}", response_model=SessionAnswer)
def read_session(open_photo: OpenPhotoDep) -> dict[str, Any]:
    """State of the session: faces, sliders, steps, history."""
    return build_state(open_photo)


@router.delete("/{id}", response_model=ClosedAnswer)
def close_session(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Close the session: stop its jobs, free its memory and delete its files; those of a project stay there.

    A photo of a project that another page is looking at stays open for that one.
    """
    if open_photo.stored is None or not open_photo.listeners:
        studio.close_photo(open_photo)
    return {"closed": open_photo.id}


@router.post("/{id}/invert", response_model=JobAnswer)
async def invert(body: InvertRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Bring the photo into the model, or resume the editing that its file carries. A job."""
    if body.resume:
        return describe_job(start_resuming(studio, open_photo))
    crop = None if body.crop is None else Crop(**body.crop.model_dump())
    return describe_job(
        start_inversion(
            studio,
            open_photo,
            face=body.face,
            effort=body.effort,
            crop=crop,
            model=body.model,
            recipe=_parse_recipe(body.recipe),
        )
    )


@router.post("/{id}/faces", response_model=SessionAnswer)
async def find_faces_again(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Look for faces once more: for a photo that was opened before the model was fetched."""
    if open_photo.state == "faces":
        await run_on_device(studio, lambda: look_for_faces(studio, open_photo))
        mark_changed(open_photo)
    return build_state(open_photo)


@router.post("/{id}/face", response_model=SessionAnswer)
async def choose_face(body: FaceRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Edit another face (from 0) that was brought into the model already; all faces keep their own steps."""
    require_idle_session(studio, open_photo)
    edits = open_photo.require_edits()

    def change() -> None:
        edits.activate(body.face)
        open_photo.share = open_photo.last_preview = None

    return await apply_change(studio, open_photo, change)


@router.post("/{id}/copy-to-all", response_model=SessionAnswer)
async def copy_to_all(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """What the face that is edited has, on all other faces that were brought into the same model; one step each."""
    require_idle_session(studio, open_photo)
    return await apply_change(studio, open_photo, open_photo.require_edits().copy_to_all)


@router.get("/{id}/preview.jpg", **answer_file("image/jpeg"))
async def preview_square(open_photo: OpenPhotoDep, studio: StudioDep, size: int = 256) -> Response:
    """The edited square, quickly."""
    _check_size(size)
    edits, session = open_photo.require_edits(), open_photo.require_session()
    size = min(size, session.generator.img_resolution)
    return _jpeg_response(await run_on_device(studio, lambda: encode_jpeg(edits.preview(resolution=size))))


@router.get("/{id}/photo.jpg", **answer_file("image/jpeg"))
async def view_photo(
    open_photo: OpenPhotoDep, studio: StudioDep, size: int = 1600, which: Literal["before", "after"] = "after"
) -> Response:
    """The whole photo for the screen, before or after."""
    _check_size(size)
    return _jpeg_response(await run_on_device(studio, lambda: open_photo.view(which, size)))


def _jpeg_response(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


def _check_size(size: int) -> None:
    if not SIZES_PX[0] <= size <= 4096:
        raise HTTPException(422, f"size is from {SIZES_PX[0]} to 4096 pixels, got {size}")


def _check_effort(effort: str) -> str:
    if effort not in EFFORT_NAMES:
        raise HTTPException(422, f"effort is one of {', '.join(EFFORT_NAMES)}, got {effort[:20]!r}")
    return effort


def _parse_recipe(data: Any) -> Recipe | None:
    return None if data is None else Recipe.from_json(json.dumps(data))


def download_name(open_photo: OpenPhoto, suffix: str) -> str:
    """What a saved picture is called."""
    stem = safe_filename(open_photo.name).rsplit(".", 1)[0] or "photo"
    return f"{stem}-ganvas{suffix}"
