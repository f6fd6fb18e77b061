"""Tools beyond sliders: regions, mixing with another photo, learnt styles."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from torch import Tensor

from ganvas.editing.drag import MAX_POINTS, DragConfig
from ganvas.editing.post_steps import RESAMPLE_ONLY, Translate, Upscale
from ganvas.editing.regions import BITMAP_PX, DEFAULT_FEATHER, Region, Stroke
from ganvas.editing.style import check_style_name, list_styles, save_style
from ganvas.errors import BadConfig, BadMask, NoFace, Stopped
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.masks import mask_from_lightness
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import crop_for_generator
from ganvas.session.session import Session
from ganvas.training.style.teach import StyleConfig, StyleProgress, teach_style
from ganvas.web.answers import JobAnswer, SessionAnswer, StyleAnswer
from ganvas.web.jobs import Job
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.openapi import FILE, FLAG, NUMBER, TEXT, WHOLE, answer_file, take_form
from ganvas.web.routes.common import (
    OpenPhotoDep,
    StudioDep,
    apply_change,
    describe_job,
    require_idle_editing,
    require_idle_session,
    run_on_device,
    start_photo_job,
)
from ganvas.web.routes.sessions import RequestBody
from ganvas.web.studio import Studio
from ganvas.web.uploads import reading_form
from ganvas.web.views import mark_changed

router = APIRouter(prefix="/api", tags=["tools"])
MASK_PIXELS = 40_000_000
MAX_MASK_PX = 1024
MAX_STYLE_STEPS = 1000
MIX_FORM = take_form("photo", photo=FILE, part=TEXT, strength=NUMBER)
STYLE_FORM = take_form("photo", "name", photo=FILE, name=TEXT, model=TEXT, keep_colour=FLAG, steps=WHOLE)
INVERSION_SHARE = 0.25  # of teaching a style: looking for the example


class BrushStroke(RequestBody):
    """One stroke, in pixels of the photo."""

    points: list[list[float]]
    radius: float
    erase: bool = False


class RegionRequest(RequestBody):
    """A region as strokes, in the order of painting; as parts of the picture, by name; or as the part at a place."""

    strokes: list[BrushStroke] = []
    parts: list[str] = []
    at: tuple[float, float] | None = None  # in pixels of the photo
    feather_px: float | None = None
    reshape: bool = False


REGION_FORM = take_form("mask", json=RegionRequest, mask=FILE, feather_px=NUMBER, reshape=FLAG)


@router.post("/sessions/{id}/region", response_model=SessionAnswer, **REGION_FORM)
async def set_region(request: Request, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Edits that follow keep to this part: a form with `mask` (a picture laid over the whole photo, white = may change)
    and `feather_px`, or JSON with `strokes`, with `parts` by name, or with a place `at` whose part it is.

    With `reshape` the edits in the present region move along with it.
    """
    session = require_idle_session(studio, open_photo)
    if request.headers.get("content-type", "").startswith("application/json"):
        body = _parse_strokes(await request.body())
        strokes = [_to_stroke(one) for one in body.strokes]
        feather_px, reshape = body.feather_px, body.reshape

        def draw() -> Region | list[Stroke] | str:
            parts = body.parts if body.at is None else [session.part_at(*body.at)]
            return f"part:{'+'.join(parts)}" if parts else strokes
    else:
        async with reading_form(request, studio.uploads, studio.config) as form:
            data = await form.file("mask", limit=studio.config.upload_bytes)
            feather_px, reshape = form.number("feather_px"), form.text("reshape") in ("1", "true")

        def draw() -> Region | list[Stroke] | str:
            return _region_of(session, _read_mask(data), feather_px)

    def work() -> None:
        region = draw()
        if reshape and session.region is not None:
            session.reshape_region(region, feather_px=feather_px)
        else:
            session.set_region(region, feather_px=feather_px)

    return await apply_change(studio, open_photo, work)


@router.delete("/sessions/{id}/region", response_model=SessionAnswer)
async def clear_region(open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Edits that follow apply everywhere again; those that were limited stay so."""
    session = require_idle_session(studio, open_photo)
    return await apply_change(studio, open_photo, lambda: session.set_region(None))


@router.get("/sessions/{id}/region.png", **answer_file("image/png"))
async def view_region(open_photo: OpenPhotoDep, studio: StudioDep) -> Response:
    """The region as a grey picture over the whole photo, 1024 pixels at most."""
    session = open_photo.require_session()
    if session.region is None:
        raise HTTPException(404, "no region is set")
    data = await run_on_device(studio, lambda: _render_region(session))
    return Response(data, media_type="image/png")


def _parse_strokes(body: bytes) -> RegionRequest:
    try:
        return RegionRequest.model_validate_json(body)
    except ValueError as error:
        example = '{"strokes": [{"points": [[120, 80]], "radius": 20}]}'
        raise HTTPException(422, f"strokes are {example}: {str(error).splitlines()[0]}") from None


def _to_stroke(brush: BrushStroke) -> Stroke:
    if not all(len(point) == 2 for point in brush.points):
        raise BadMask("a stroke's points are pairs [x, y] in pixels of the photo")
    points = tuple((point[0], point[1]) for point in brush.points)
    return Stroke(points=points, radius=brush.radius, erase=brush.erase)


def _read_mask(data: bytes) -> Tensor:
    """[1, 1, h, w] in [0, 1]: how light the picture is, and nothing where it is transparent."""
    picture = read_image(data, max_pixels=MASK_PIXELS)
    return mask_from_lightness(picture.img, picture.alpha)


def _region_of(session: Session, mask: Tensor, feather_px: float | None) -> Region:
    """The part of a mask that lies in the model's square; the mask may be smaller or larger than the photo."""
    photo, crop = session.photo, session.crop
    share = mask.shape[3] / photo.width
    height = max(1, round(photo.height * share))
    if mask.shape[2] != height:
        mask = F.interpolate(mask, (height, mask.shape[3]), mode="bilinear", align_corners=False)
    square = crop.rescale(share).cut_mask(mask.clamp(0, 1), resolution=BITMAP_PX)
    soft = DEFAULT_FEATHER if feather_px is None else round(min(max(feather_px, 0) / crop.side, 1.0), 5)
    return Region.of_mask(square, feather=soft)


def _render_region(session: Session) -> bytes:
    assert session.region is not None
    share = min(1.0, MAX_MASK_PX / max(session.photo.size))
    width, height = (max(1, round(side * share)) for side in session.photo.size)
    crop = session.crop.rescale(share)
    window = crop.window(width=width, height=height)
    whole = torch.zeros(1, 1, height, width)
    back = crop.warp_back(session.region.mask(BITMAP_PX), window) * crop.coverage(window)
    window.crop(whole).copy_(back.clamp(0, 1))
    return encode_image(Photo(img=(whole * 2 - 1).expand(-1, 3, -1, -1), space="grey"), "PNG")


class DragRequest(RequestBody):
    """Handles and targets, [[x, y], …] in pixels of the photo."""

    points: list[list[float]] = Field(min_length=1, max_length=MAX_POINTS)
    targets: list[list[float]] = Field(min_length=1, max_length=MAX_POINTS)
    steps: int = Field(80, ge=1, le=400)


@router.post("/sessions/{id}/drag", response_model=JobAnswer)
async def drag_points(body: DragRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Pull points to places, within the region if one is set. A job that ends as one step; stopped, it keeps what was
    reached. Its previews say where the points are."""
    session = require_idle_session(studio, open_photo)
    _check_points(body)
    config = DragConfig(steps=body.steps)

    def work(job: Job) -> dict[str, Any]:
        job.message = "pulling"

        def on_step(step: int, total: int, img: Tensor, points: Tensor) -> bool:
            open_photo.send_preview(img, job=job.id, points=_round_points(points))
            if job.cancel_requested.is_set():
                return True
            job.step(step, total)
            return False

        result = session.drag(body.points, body.targets, config=config, on_step=on_step)
        mark_changed(open_photo)
        arrived = {"arrived": result.arrived, "steps": result.steps, "distance_px": round(result.distance_px, 2)}
        return arrived | {"points": _round_points(result.points)}

    return start_photo_job(studio, open_photo, "drag", work)


def _check_points(body: DragRequest) -> None:
    pairs = [*body.points, *body.targets]
    if len(body.points) != len(body.targets) or not all(len(pair) == 2 for pair in pairs):
        raise BadMask("a drag has as many targets as points, each [x, y] in pixels of the photo")
    if not all(math.isfinite(number) for pair in pairs for number in pair):
        raise BadMask("a drag's points are finite numbers")


def _round_points(points: Tensor) -> list[list[float]]:
    return [[round(x, 2), round(y, 2)] for x, y in points.tolist()]


@router.post("/sessions/{id}/mix-photo", response_model=JobAnswer, **MIX_FORM)
async def mix_photo(request: Request, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Take colours, shape or all of another photo: form fields `photo`, `part`, `strength`. A job, one step."""
    session = require_idle_session(studio, open_photo)
    async with reading_form(request, studio.uploads, studio.config) as form:
        data = await form.file("photo", limit=studio.config.upload_bytes)
        part, strength = form.text("part", "all") or "all", form.number("strength", 1.0)

    def work(job: Job) -> dict[str, Any]:
        job.message = "finding the other picture in the model"
        other = read_image(data, max_pixels=studio.config.upload_pixels)
        step = session.mix(other, part=part, strength=1.0 if strength is None else strength, on_step=job.step)
        mark_changed(open_photo)
        return {"step": "mix", "part": step.part, "strength": step.strength}

    return start_photo_job(studio, open_photo, "mix", work)


class UpscaleRequest(RequestBody):
    """Scale and upscaler; null = plain resampling."""

    model: str | None = None
    scale: float = 2.0
    strength: float = 1.0


class TranslateRequest(RequestBody):
    """Translator and options."""

    model: str
    strength: float = 1.0
    direction: str | None = None


@router.post("/sessions/{id}/upscale", response_model=JobAnswer)
async def enlarge(body: UpscaleRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Make the result larger. A job that ends as one step; scale 1 takes it out again."""
    return _start_post_step(
        studio, open_photo, Upscale(model=body.model or RESAMPLE_ONLY, scale=body.scale, strength=body.strength)
    )


@router.post("/sessions/{id}/translate", response_model=JobAnswer)
async def translate(body: TranslateRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Show the result in another domain. A job that ends as one step; strength 0 takes it out again."""
    return _start_post_step(studio, open_photo, Translate(**body.model_dump()))


def _start_post_step(studio: Studio, open_photo: OpenPhoto, step: Upscale | Translate) -> dict[str, Any]:
    require_idle_editing(studio, open_photo)
    if step.model != RESAMPLE_ONLY:
        studio.registry.find(step.model, task=step.name)

    def work(job: Job) -> dict[str, Any]:
        job.message = f"{step.name} with {step.model}"
        return _render_post_step(open_photo, step, job, most_pixels=studio.config.result_pixels)

    return start_photo_job(studio, open_photo, step.name, work)


def _render_post_step(
    open_photo: OpenPhoto, step: Upscale | Translate, job: Job, *, most_pixels: int
) -> dict[str, Any]:
    """The step with its work done at once: what is saved later is at hand. Stopped half-way, nothing was done."""
    edits, editing = open_photo.require_edits(), open_photo.require_editing()
    before = editing.history, editing.at
    editing.put(step)
    try:
        width, height = editing.result_size
        if width * height > most_pixels:
            raise BadConfig(f"the result would have {width} x {height} pixels; up to {most_pixels:,} are made here")
        edits.render(on_step=job.step)
    except BaseException:
        editing.restore(*before)
        raise
    mark_changed(open_photo)
    return {"width": width, "height": height}


@router.get("/styles", response_model=list[StyleAnswer])
def list_styles_here(studio: StudioDep, id: str | None = None) -> list[dict[str, Any]]:
    """Learnt styles; with `id`, those of this session's generator."""
    open_photo = None if id is None else studio.find(id)
    parent = None if open_photo is None or open_photo.session is None else open_photo.session.recipe.fingerprint
    plain = (str, int, float, bool)
    return [
        {"name": one.name, "facts": {key: value for key, value in one.facts.items() if isinstance(value, plain)}}
        for one in list_styles(parent).values()
    ]


@router.post("/styles", response_model=JobAnswer, **STYLE_FORM)
async def teach_style_here(request: Request, studio: StudioDep) -> dict[str, Any]:
    """Teach a generator to paint like one picture: form fields `photo`, `name`, `model`, `keep_colour`, `steps`.

    A job of some minutes; stopped early, nothing is kept.
    """
    async with reading_form(request, studio.uploads, studio.config) as form:
        title, data = (await form.files("photo", limit=studio.config.upload_bytes, most=1))[0]
        name, model = form.text("name") or "", form.text("model") or studio.registry.default_generator() or "faces"
        keep_colour, steps = form.text("keep_colour") in ("1", "true"), form.whole("steps")
    check_style_name(name)
    studio.registry.find(model, task="generate")
    steps = StyleConfig.steps if steps is None else min(steps, MAX_STYLE_STEPS)
    config = StyleConfig(keep_colour=keep_colour, steps=steps)
    return describe_job(
        studio.jobs.start(
            Job("style", lambda job: _teach_style(studio, job, data, title, name, model, config), title=name)
        )
    )


def _teach_style(
    studio: Studio, job: Job, data: bytes, title: str, name: str, model: str, config: StyleConfig
) -> dict[str, Any]:
    photo = read_image(data, max_pixels=studio.config.upload_pixels)
    G = studio.registry.get(model, task="generate")
    try:
        example, _ = crop_for_generator(photo, G, finder=studio.registry.finder())
    except NoFace:  # a drawing: its middle
        example, _ = crop_for_generator(photo, G, align="centre")

    def on_step(at: StyleProgress) -> None:
        finding = at.stage == "finding"
        job.message = "finding the example in the model" if finding else "teaching"
        share = at.step / max(at.steps, 1)
        job.step(INVERSION_SHARE * share if finding else INVERSION_SHARE + (1 - INVERSION_SHARE) * share, 1)

    facts = {"model": model, "examples": [{"file": title}]}
    style = teach_style(
        example, G, name=name, config=config, extractor=studio.registry.extractor(), on_step=on_step, facts=facts
    )
    if job.cancel_requested.is_set():
        raise Stopped("teaching was stopped; nothing is kept")
    save_style(style)
    metrics = {key: value for key, value in style.facts.get("figures", {}).items() if isinstance(value, (int, float))}
    return {"name": style.name, "figures": metrics}
