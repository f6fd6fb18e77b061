"""Tools beyond sliders: the region that edits keep to, mixing with another photo, taught styles."""

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
from ganvas.editing.finish import PLAIN, Translate, Upscale
from ganvas.editing.regions import BITMAP_PX, Region, Stroke
from ganvas.editing.stylise import check_style_name, known_styles, save_style
from ganvas.errors import BadMask, NoFace, Stopped
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.masks import lightness
from ganvas.images.photo import Photo
from ganvas.inversion.framing import square_of
from ganvas.session import Session
from ganvas.training.style_loop import Progress, StyleConfig, teach_style
from ganvas.web.desk import Desk, state_of
from ganvas.web.jobs import Job
from ganvas.web.routes.common import ADesk, AStudio, changing, on_device, started
from ganvas.web.routes.sessions import Body
from ganvas.web.studio import Studio, finish
from ganvas.web.uploads import reading_form

router = APIRouter(prefix="/api", tags=["tools"])
MASK_PIXELS = 40_000_000
SHOWN_MASK_PX = 1024
MOST_STYLE_STEPS = 1000
FINDING_SHARE = 0.25  # of teaching a style: looking for the example


class Brush(Body):
    """One stroke, in pixels of the photo."""

    points: list[list[float]]
    radius: float
    erase: bool = False


class Strokes(Body):
    """A region as strokes, in the order of painting."""

    strokes: list[Brush]
    feather_px: float | None = None
    reshape: bool = False


@router.post("/sessions/{id}/region")
async def set_region(request: Request, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Edits that follow keep to this part: a form with `mask` (a picture laid over the whole photo, white = may change)
    and `feather_px`, or strokes as JSON. With `reshape` the edits in the present region move along with it."""
    session = changing(studio, desk)
    if request.headers.get("content-type", "").startswith("application/json"):
        asked = _strokes(await request.body())
        strokes = [_stroke(one) for one in asked.strokes]
        feather_px, reshape = asked.feather_px, asked.reshape

        def draw() -> Region | list[Stroke]:
            return strokes
    else:
        async with reading_form(request, studio.uploads, studio.config) as form:
            data = await form.file("mask", limit=studio.config.upload_bytes)
            feather_px, reshape = form.number("feather_px"), form.text("reshape") in ("1", "true")

        def draw() -> Region | list[Stroke]:
            return _region_of(session, _mask(data), feather_px)

    def work() -> None:
        region = draw()
        if reshape and session.region is not None:
            session.reshape_region(region, feather_px=feather_px)
        else:
            session.set_region(region, feather_px=feather_px)

    await on_device(studio, work)
    desk.changed()
    return state_of(desk)


@router.delete("/sessions/{id}/region")
async def clear_region(desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Edits that follow apply everywhere again; those that were limited stay so."""
    session = changing(studio, desk)
    await on_device(studio, lambda: session.set_region(None))
    desk.changed()
    return state_of(desk)


@router.get("/sessions/{id}/region.png")
async def region(desk: ADesk, studio: AStudio) -> Response:
    """The region as a grey picture over the whole photo, 1024 pixels at most."""
    session = desk.ready()
    if session.region is None:
        raise HTTPException(404, "no region is set")
    data = await on_device(studio, lambda: _shown(session))
    return Response(data, media_type="image/png")


def _strokes(body: bytes) -> Strokes:
    try:
        return Strokes.model_validate_json(body)
    except ValueError as error:
        example = '{"strokes": [{"points": [[120, 80]], "radius": 20}]}'
        raise HTTPException(422, f"strokes are {example}: {str(error).splitlines()[0]}") from None


def _stroke(brush: Brush) -> Stroke:
    if not all(len(point) == 2 for point in brush.points):
        raise BadMask("a stroke's points are pairs [x, y] in pixels of the photo")
    points = tuple((point[0], point[1]) for point in brush.points)
    return Stroke(points=points, radius=brush.radius, erase=brush.erase)


def _mask(data: bytes) -> Tensor:
    """[1, 1, h, w] in [0, 1]: how light the picture is, and nothing where it is transparent."""
    picture = read_image(data, max_pixels=MASK_PIXELS)
    return lightness(picture.img, picture.alpha)


def _region_of(session: Session, mask: Tensor, feather_px: float | None) -> Region:
    """The part of a mask that lies in the model's square; the mask may be smaller or larger than the photo."""
    photo, crop = session.photo, session.crop
    share = mask.shape[3] / photo.width
    height = max(1, round(photo.height * share))
    if mask.shape[2] != height:
        mask = F.interpolate(mask, (height, mask.shape[3]), mode="bilinear", align_corners=False)
    square = crop.scaled(share).cut_mask(mask.clamp(0, 1), resolution=BITMAP_PX)
    more = {} if feather_px is None else {"feather": round(min(max(feather_px, 0) / crop.side, 1.0), 5)}
    return Region.of_mask(square, **more)


def _shown(session: Session) -> bytes:
    assert session.region is not None
    share = min(1.0, SHOWN_MASK_PX / max(session.photo.size))
    width, height = (max(1, round(side * share)) for side in session.photo.size)
    crop = session.crop.scaled(share)
    window = crop.window(width=width, height=height)
    whole = torch.zeros(1, 1, height, width)
    back = crop.warp_back(session.region.mask(BITMAP_PX), window) * crop.coverage(window)
    window.of(whole).copy_(back.clamp(0, 1))
    return encode_image(Photo(img=(whole * 2 - 1).expand(-1, 3, -1, -1), space="grey"), "PNG")


class Pull(Body):
    """Handles and where they shall go, [[x, y], …] in pixels of the photo."""

    points: list[list[float]] = Field(min_length=1, max_length=MAX_POINTS)
    targets: list[list[float]] = Field(min_length=1, max_length=MAX_POINTS)
    steps: int = Field(80, ge=1, le=400)


@router.post("/sessions/{id}/drag")
async def drag(asked: Pull, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Pull points to places, within the region if one is set. A job that ends as one step; stopped, it keeps what was
    reached. Its previews say where the points are."""
    session = changing(studio, desk)
    _check_points(asked)
    config = DragConfig(steps=asked.steps)

    def work(job: Job) -> dict[str, Any]:
        job.message = "pulling"

        def on_step(step: int, total: int, img: Tensor, points: Tensor) -> bool:
            desk.tell_preview(img, job=job.id, points=_rounded(points))
            if job.stopping.is_set():
                return True
            job.step(step, total)
            return False

        found = session.drag(asked.points, asked.targets, config=config, on_step=on_step)
        desk.changed()
        arrived = {"arrived": found.arrived, "steps": found.steps, "distance_px": round(found.distance_px, 2)}
        return arrived | {"points": _rounded(found.points)}

    return started(studio.jobs.start(Job("drag", work, owner=desk.id, tell=desk.tell_job)))


def _check_points(asked: Pull) -> None:
    pairs = [*asked.points, *asked.targets]
    if len(asked.points) != len(asked.targets) or not all(len(pair) == 2 for pair in pairs):
        raise BadMask("a drag has as many targets as points, each [x, y] in pixels of the photo")
    if not all(math.isfinite(number) for pair in pairs for number in pair):
        raise BadMask("a drag's points are finite numbers")


def _rounded(points: Tensor) -> list[list[float]]:
    return [[round(x, 2), round(y, 2)] for x, y in points.tolist()]


@router.post("/sessions/{id}/mix-photo")
async def mix_photo(request: Request, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Take colours, shape or all of another photo: form fields `photo`, `part`, `strength`. A job, one step."""
    session = changing(studio, desk)
    async with reading_form(request, studio.uploads, studio.config) as form:
        data = await form.file("photo", limit=studio.config.upload_bytes)
        part, strength = form.text("part", "all") or "all", form.number("strength", 1.0)

    def work(job: Job) -> dict[str, Any]:
        job.message = "finding the other picture in the model"
        other = read_image(data, max_pixels=studio.config.upload_pixels)
        step = session.mix(other, part=part, strength=1.0 if strength is None else strength, on_step=job.step)
        desk.changed()
        return {"step": "mix", "part": step.part, "strength": step.strength}

    return started(studio.jobs.start(Job("mix", work, owner=desk.id, tell=desk.tell_job)))


class Enlarging(Body):
    """How much larger, and with which upscaler; null = resampling alone."""

    model: str | None = None
    scale: float = 2.0
    strength: float = 1.0


class Translating(Body):
    """Into which domain."""

    model: str
    strength: float = 1.0
    direction: str | None = None


@router.post("/sessions/{id}/upscale")
async def enlarge(asked: Enlarging, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Make the result larger. A job that ends as one step; scale 1 takes it out again."""
    return _finishing(studio, desk, Upscale(model=asked.model or PLAIN, scale=asked.scale, strength=asked.strength))


@router.post("/sessions/{id}/translate")
async def translate(asked: Translating, desk: ADesk, studio: AStudio) -> dict[str, Any]:
    """Show the result in another domain. A job that ends as one step; strength 0 takes it out again."""
    return _finishing(studio, desk, Translate(**asked.model_dump()))


def _finishing(studio: Studio, desk: Desk, step: Upscale | Translate) -> dict[str, Any]:
    changing(studio, desk)
    if step.model != PLAIN:
        studio.shelf.find(step.model, task=step.name)

    def work(job: Job) -> dict[str, Any]:
        job.message = f"{step.name} with {step.model}"
        return finish(desk, step, job, most_pixels=studio.config.result_pixels)

    return started(studio.jobs.start(Job(step.name, work, owner=desk.id, tell=desk.tell_job)))


@router.get("/styles")
def styles(studio: AStudio, id: str | None = None) -> list[dict[str, Any]]:
    """Taught styles; with `id`, those of this session's generator."""
    desk = None if id is None else studio.find(id)
    parent = None if desk is None or desk.session is None else desk.session.recipe.fingerprint
    plain = (str, int, float, bool)
    return [
        {"name": one.name, "facts": {key: value for key, value in one.facts.items() if isinstance(value, plain)}}
        for one in known_styles(parent).values()
    ]


@router.post("/styles")
async def teach(request: Request, studio: AStudio) -> dict[str, Any]:
    """Teach a generator to paint like one picture: form fields `photo`, `name`, `model`, `keep_colour`, `steps`.

    A job of some minutes; stopped early, nothing is kept.
    """
    async with reading_form(request, studio.uploads, studio.config) as form:
        title, data = (await form.files("photo", limit=studio.config.upload_bytes, most=1))[0]
        name, model = form.text("name") or "", form.text("model") or studio.shelf.first() or "faces"
        keep_colour, steps = form.text("keep_colour") in ("1", "true"), form.whole("steps")
    check_style_name(name)
    studio.shelf.find(model, task="generate")
    steps = StyleConfig.steps if steps is None else min(steps, MOST_STYLE_STEPS)
    config = StyleConfig(keep_colour=keep_colour, steps=steps)
    return started(studio.jobs.start(Job("style", lambda job: _taught(studio, job, data, title, name, model, config))))


def _taught(
    studio: Studio, job: Job, data: bytes, title: str, name: str, model: str, config: StyleConfig
) -> dict[str, Any]:
    photo = read_image(data, max_pixels=studio.config.upload_pixels)
    G = studio.shelf.get(model, task="generate")
    try:
        example, _ = square_of(photo, G, finder=studio.shelf.finder())
    except NoFace:  # a drawing: its middle
        example, _ = square_of(photo, G, align="centre")

    def on_step(at: Progress) -> None:
        finding = at.stage == "finding"
        job.message = "finding the example in the model" if finding else "teaching"
        share = at.step / max(at.steps, 1)
        job.step(FINDING_SHARE * share if finding else FINDING_SHARE + (1 - FINDING_SHARE) * share, 1)

    facts = {"model": model, "examples": [{"file": title}]}
    style = teach_style(example, G, name=name, config=config, eyes=studio.shelf.eyes(), on_step=on_step, facts=facts)
    if job.stopping.is_set():
        raise Stopped("teaching was stopped; nothing is kept")
    save_style(style)
    figures = {key: value for key, value in style.facts.get("figures", {}).items() if isinstance(value, (int, float))}
    return {"name": style.name, "figures": figures}
