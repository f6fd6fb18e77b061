"""Drag points of a photo: `ganvas.editing.drag` pulls them in the generator's picture, the photo follows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganvas.editing.blend import lay_over
from ganvas.editing.compose import compose_change
from ganvas.editing.drag import DragConfig, DragResult, OnDrag, drag
from ganvas.editing.recipe import Recipe, latent_steps_of
from ganvas.editing.regions import BITMAP_PX, Region, region_of
from ganvas.editing.style_space import shift_styles
from ganvas.errors import BadMask
from ganvas.images.crop import Crop
from ganvas.images.masks import superellipse
from ganvas.inversion.pivotal import with_delta
from ganvas.session.renderer import Renderer


def drag_photo(
    renderer: Renderer,
    recipe: Recipe,
    points: Tensor | Sequence[Sequence[float]],
    targets: Tensor | Sequence[Sequence[float]],
    *,
    region: Region | None = None,
    config: DragConfig | None = None,
    on_step: OnDrag | None = None,
) -> DragResult:
    """Find the step that moves points of an edited photo to places; see `Session.drag`.

    Args:
        renderer: of the photo.
        recipe: what was done to it before.
        points: [P, 2] handles, (x, y) in pixels of the photo.
        targets: [P, 2], the target of each handle.
        region: where the photo may change; None = everywhere.
        config: how; None = the defaults.
        on_step: see `Session.drag`.

    Returns:
        The step, and how far it came; its points are in pixels of the photo.
    """
    for places in (points, targets):
        check_drag_points(places, renderer.crop)
    applied = [step for step in latent_steps_of(recipe) if region_of(step) in (None, region)]
    edited = renderer.edit_latents(applied)
    generator = renderer.tuned.with_share(edited, renderer.tuned.first_share)
    generator = with_delta(generator, {})  # its own copy: what is painted meanwhile is not shifted twice
    crop, size = renderer.crop, generator.img_resolution
    with shift_styles(generator, edited.shift):
        result = drag(
            edited.ws,
            generator,
            crop.to_crop_coords(points, resolution=size),
            crop.to_crop_coords(targets, resolution=size),
            mask=None if region is None else region.mask(BITMAP_PX),
            spread=renderer.spread,
            config=config,
            on_step=None if on_step is None else _report_on_photo(on_step, renderer, recipe, region),
        )
    return result._replace(points=crop.to_photo_coords(result.points, resolution=size))


def check_drag_points(points: Tensor | Sequence[Sequence[float]], crop: Crop) -> None:
    """Do points of the photo lie in the square that the model sees?

    Raises:
        BadMask: one that does not; the message has the square.
    """
    for (x, y), place in zip(points, crop.to_crop_coords(points, resolution=1), strict=True):
        if not ((place >= 0) & (place < 1)).all():
            reach = crop.side / 2
            raise BadMask(
                f"the point {x:g},{y:g} lies outside the square that the model sees: {crop.side:.0f} pixels around "
                f"{crop.x:.0f},{crop.y:.0f} (x {crop.x - reach:.0f} to {crop.x + reach:.0f}, y {crop.y - reach:.0f} to "
                f"{crop.y + reach:.0f}), turned by {crop.angle_deg:.0f} degrees"
            )


def _report_on_photo(on_step: OnDrag, renderer: Renderer, recipe: Recipe, region: Region | None) -> OnDrag:
    """The generator's pictures and points as the photo's: laid over what the crop shows now."""
    first: list[Tensor] = []

    def report(step: int, total: int, img: Tensor, points: Tensor) -> bool | None:
        px = img.shape[3]
        if not first:
            first.extend([renderer.preview(recipe, resolution=px), img])
        current, before = first
        mask = superellipse(px) * (1 if region is None else region.mask(px))
        now = lay_over(current, compose_change(current, before, img, mask))
        places = renderer.crop.to_photo_coords(points, resolution=renderer.generator.img_resolution)
        return on_step(step, total, now, places)

    return report
