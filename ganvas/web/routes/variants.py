"""Variants: states of a photo under names, beside one another."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganvas.editing.post_steps import RESAMPLE_ONLY
from ganvas.session.variants import (
    MAX_MADE_AT_ONCE,
    PhotoVariant,
    apply_variant,
    show_variant,
    steps_of_amounts,
    steps_of_seeds,
    steps_of_upscalers,
    try_step,
)
from ganvas.web.answers import JobAnswer, SessionAnswer
from ganvas.web.jobs import Job
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.openapi import answer_file
from ganvas.web.pictures import downscale_to_fit, encode_jpeg
from ganvas.web.routes.common import (
    OpenPhotoDep,
    StudioDep,
    apply_change,
    require_idle_editing,
    run_on_device,
    start_photo_job,
)
from ganvas.web.routes.sessions import RequestBody
from ganvas.web.studio import Studio
from ganvas.web.views import build_state, mark_changed

router = APIRouter(prefix="/api/sessions/{id}/variants", tags=["variants"])
SMALL_PX, LARGE_PX = 32, 2048


class VariantRequest(RequestBody):
    """A name for the photo as it is now."""

    name: str = Field(min_length=1, max_length=60)


class MakeRequest(RequestBody):
    """Several variants at once: amounts of a dial, seeds of a mix, or upscalers (none named = all that are here)."""

    kind: Literal["amounts", "seeds", "upscalers"]
    direction: str = ""
    amounts: list[float] = Field([], max_length=MAX_MADE_AT_ONCE)
    seeds: list[int] = Field([], max_length=MAX_MADE_AT_ONCE)
    part: str = "colour"
    strength: float = 0.7
    models: list[str] = Field([], max_length=MAX_MADE_AT_ONCE)
    scale: float = 2.0


@router.post("", response_model=SessionAnswer)
async def keep_variant(body: VariantRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Keep the photo as it is now under a name."""
    require_idle_editing(studio, open_photo)
    open_photo.variants.keep(open_photo.require_edits(), body.name)
    return _tell(open_photo)


@router.post("/make", response_model=JobAnswer)
async def make_variants(body: MakeRequest, open_photo: OpenPhotoDep, studio: StudioDep) -> dict[str, Any]:
    """Several variants by themselves. A job; its result has their ids."""
    require_idle_editing(studio, open_photo)
    steps = _steps_of(body, studio)
    if not 0 < len(steps) <= MAX_MADE_AT_ONCE:
        raise HTTPException(422, f"1 to {MAX_MADE_AT_ONCE} variants are made at once, got {len(steps)}")

    def work(job: Job) -> dict[str, Any]:
        edits, ids = open_photo.require_edits(), []
        for at, (name, step) in enumerate(steps):
            recipes = try_step(edits, step)
            variant = open_photo.variants.keep(edits, name, recipes=recipes)
            ids.append(variant.id)
            _picture(open_photo, variant, 512)  # so that it is quickly shown
            job.step(at + 1, len(steps))
        mark_changed(open_photo)
        return {"made": ids}

    return start_photo_job(studio, open_photo, "variants", work)


def _steps_of(body: MakeRequest, studio: Studio) -> list[tuple[str, Any]]:
    if body.kind == "amounts":
        return steps_of_amounts(body.direction, body.amounts)
    if body.kind == "seeds":
        return steps_of_seeds(body.seeds, part=body.part, strength=body.strength)
    here = [one.name for one in studio.registry.models().values() if one.here and one.task == "upscale"]
    return steps_of_upscalers((body.models or [*here, RESAMPLE_ONLY])[:MAX_MADE_AT_ONCE], scale=body.scale)


@router.get("/{variant}/photo.jpg", **answer_file("image/jpeg"))
async def view_variant(open_photo: OpenPhotoDep, studio: StudioDep, variant: str, size: int = 512) -> Response:
    """How a variant looks."""
    if not SMALL_PX <= size <= LARGE_PX:
        raise HTTPException(422, f"size is from {SMALL_PX} to {LARGE_PX} pixels, got {size}")
    one = open_photo.variants.find(variant)
    data = await run_on_device(studio, lambda: _picture(open_photo, one, size))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


@router.post("/{variant}/apply", response_model=SessionAnswer)
async def use_variant(open_photo: OpenPhotoDep, studio: StudioDep, variant: str) -> dict[str, Any]:
    """Go on from a variant; it can be undone as any step."""
    require_idle_editing(studio, open_photo)
    one = open_photo.variants.find(variant)
    return await apply_change(studio, open_photo, lambda: apply_variant(open_photo.require_edits(), one))


@router.patch("/{variant}", response_model=SessionAnswer)
async def rename_variant(body: VariantRequest, open_photo: OpenPhotoDep, variant: str) -> dict[str, Any]:
    """Another name."""
    open_photo.variants.rename(variant, body.name)
    return _tell(open_photo)


@router.delete("/{variant}", response_model=SessionAnswer)
async def delete_variant(open_photo: OpenPhotoDep, variant: str) -> dict[str, Any]:
    """Forget a variant; the photo stays as it is."""
    open_photo.variants.delete(variant)
    return _tell(open_photo)


def _tell(open_photo: OpenPhoto) -> dict[str, Any]:
    mark_changed(open_photo)
    return build_state(open_photo)


def _picture(open_photo: OpenPhoto, variant: PhotoVariant, size: int) -> bytes:
    """On the device's thread; an enlargement is made whole, since it is what is compared, and then fitted."""
    state = show_variant(open_photo.require_edits(), variant)
    key = ("variant", tuple(state.active.recipe.steps), tuple(variant.recipes.items()), size)
    if key not in open_photo.variant_views:
        enlarged = state.active.result_size != state.photo.size
        img = state.render().img if enlarged else state.preview_photo(longest_px=size)
        open_photo.variant_views[key] = encode_jpeg(downscale_to_fit(img, longest_px=size))
        while len(open_photo.variant_views) > 2 * MAX_MADE_AT_ONCE:
            open_photo.variant_views.popitem(last=False)
    return open_photo.variant_views[key]
