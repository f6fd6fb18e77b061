"""Sessions: open a photo or a seed, bring it into the model, look at it, close it."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganvas.editing.recipe import Recipe
from ganvas.images.crop import Crop
from ganvas.web.desk import Desk, state_of
from ganvas.web.pictures import jpeg
from ganvas.web.routes.common import EFFORTS, ADesk, AStudio, on_device, started
from ganvas.web.studio import Studio
from ganvas.web.uploads import plain_name, reading_form

router = APIRouter(prefix="/api/sessions", tags=["sessions"])
SIZES_PX = (32, 2048)


class Body(BaseModel):
    """JSON of a call; misspelt names are refused."""

    model_config = ConfigDict(extra="forbid")


class Seed(Body):
    """A picture of the generator's own instead of a photo."""

    seed: int = Field(ge=0, lt=2**32)
    model: str | None = None
    truncation_psi: float = Field(0.7, ge=0, le=1)


class Square(Body):
    """A square in the photo: its middle, side and turn, in pixels and degrees."""

    x: float
    y: float
    side: float = Field(gt=0)
    angle_deg: float = 0.0


class Inversion(Body):
    """Bring a face (from 0), or a square of one's own, into the model."""

    face: int | None = Field(None, ge=0)
    effort: str = "fast"
    crop: Square | None = None
    model: str | None = None
    recipe: dict[str, Any] | None = None  # to be replayed afterwards
    resume: bool = False  # take up the editing that the opened file carries, instead


@router.post("")
async def open_session(request: Request, studio: AStudio) -> dict[str, Any]:
    """Open a photo (form field `photo`, with `model`, `effort`, `face`, `recipe`), or `{"seed": 3}` as JSON.

    With `effort` the photo is brought into the model at once, and the answer has the `job`.
    """
    studio.check_room()
    if request.headers.get("content-type", "").startswith("application/json"):
        return await _from_seed(request, studio)
    async with reading_form(request, studio.uploads, studio.config) as form:
        name, data = (await form.files("photo", limit=studio.config.upload_bytes, most=1))[0]
        model = form.text("model") or None
        effort, face = form.text("effort"), form.whole("face")
        recipe = _recipe(form.json("recipe"))
    desk = await on_device(studio, lambda: studio.open_photo(data, name=name, model=model))
    if effort is None:
        return state_of(desk)
    try:
        job = studio.start_inversion(desk, face=face, effort=_effort(effort), crop=None, model=None, recipe=recipe)
    except BaseException:
        studio.leave(desk)
        raise
    return state_of(desk) | {"job": started(job)}


async def _from_seed(request: Request, studio: Studio) -> dict[str, Any]:
    try:
        asked = Seed.model_validate_json(await request.body())
    except ValueError as error:
        raise HTTPException(422, f'a session from a seed is {{"seed": 3}}: {str(error).splitlines()[0]}') from None
    desk = await on_device(
        studio, lambda: studio.open_seed(asked.seed, model=asked.model, truncation_psi=asked.truncation_psi)
    )
    return state_of(desk)


@router.get("/{id}")
def state(desk: ADesk) -> dict[str, Any]:
    """How the session stands: faces, sliders, steps, history."""
    return state_of(desk)


@router.delete("/{id}")
def close(desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Close it: its jobs stop, its memory and its files go."""
    studio.leave(desk)
    return {"closed": desk.id}


@router.post("/{id}/invert")
async def invert(asked: Inversion, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Bring the photo into the model, or take up the editing that its file carries. A job."""
    if asked.resume:
        return started(studio.start_resuming(desk))
    crop = None if asked.crop is None else Crop(**asked.crop.model_dump())
    return started(
        studio.start_inversion(
            desk,
            face=asked.face,
            effort=_effort(asked.effort),
            crop=crop,
            model=asked.model,
            recipe=_recipe(asked.recipe),
        )
    )


@router.get("/{id}/preview.jpg")
async def preview(desk: ADesk, studio: AStudio, size: int = 256) -> Response:
    """The edited square, quickly."""
    _check_size(size)
    session = desk.ready()
    size = min(size, session.generator.img_resolution)
    return _picture(await on_device(studio, lambda: jpeg(session.preview(resolution=size))))


@router.get("/{id}/photo.jpg")
async def photo(desk: ADesk, studio: AStudio, size: int = 1600, which: str = "after") -> Response:
    """The whole photo for the screen, before or after."""
    _check_size(size)
    if which not in ("before", "after"):
        raise HTTPException(422, f"which is 'before' or 'after', got {which[:20]!r}")
    return _picture(await on_device(studio, lambda: desk.view(which, size)))


def _picture(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


def _check_size(size: int) -> None:
    if not SIZES_PX[0] <= size <= 4096:
        raise HTTPException(422, f"size is from {SIZES_PX[0]} to 4096 pixels, got {size}")


def _effort(effort: str) -> str:
    if effort not in EFFORTS:
        raise HTTPException(422, f"effort is one of {', '.join(EFFORTS)}, got {effort[:20]!r}")
    return effort


def _recipe(data: Any) -> Recipe | None:
    return None if data is None else Recipe.from_json(json.dumps(data))


def download_name(desk: Desk, suffix: str) -> str:
    """What a saved picture is called."""
    stem = plain_name(desk.name).rsplit(".", 1)[0] or "photo"
    return f"{stem}-ganvas{suffix}"
