"""Part steps on a whole photo: where its parts are, at full size, and the photo with one of them changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ganvas.editing.head_roll import ROLL_REACH, roll_field
from ganvas.editing.part_effects import (
    brighten_eyes,
    parse_colour,
    put_blush,
    recolour_part,
    sharpen_mask,
    smooth_skin,
    whiten_teeth,
)
from ganvas.editing.part_steps import (
    Backdrop,
    Blush,
    Colour,
    EyeBrightening,
    HeadRoll,
    PartStep,
    SkinSmoothing,
    TeethWhitening,
)
from ganvas.editing.regions import BITMAP_PX, InRegion, Region, region_of, unwrap_step
from ganvas.errors import BadConfig
from ganvas.features.parts import EDGE_EPS, EDGE_RADIUS, PARTS_PX, expand_parts, parse_parts, select_parts
from ganvas.images.crop import Crop, Window, composite
from ganvas.images.flow import flow_length, warp_by_flow
from ganvas.images.masks import superellipse
from ganvas.images.photo import Photo
from ganvas.images.transparency import fill_transparent_colours
from ganvas.ops.blur import gaussian_blur
from ganvas.ops.guided_filter import filter_guided
from ganvas.ops.smoothstep import smoothstep

WIDE = 1.75  # sides of the face square: how far beyond it parts are looked for
FACE_ONLY = frozenset(expand_parts(["brows", "eyes", "lips", "mouth"]))  # these lie within the square
MAP_PX, MAX_MAP_PX = 288, 640  # of the face square, and of the whole window, where edges are looked for
PART_MARGIN = 0.06  # sides of the face square around a part that its step looks at
BLUR = 0.045  # of the longer side of the face square at amount 1
_NEEDS: dict[type, tuple[str, ...]] = {
    TeethWhitening: ("mouth",),
    EyeBrightening: ("whites", "iris"),
    SkinSmoothing: ("skin",),
    Blush: ("skin", "whites", "iris", "lips", "mouth"),
}


class PartsInPhoto:
    """Where the parts are in a whole photo.

    In the face square they are what `parse_parts` says; around it, what it says of a wider square; farther out the
    border of that one goes on.

    Args:
        img: [1, 3, H, W], the photo.
        crop: the aligned face square in it.
    """

    def __init__(self, img: Tensor, crop: Crop):
        self.img, self.crop = img, crop
        self.wide_crop = replace(crop, side=crop.side * WIDE)
        self._near: Tensor | None = None
        self._wide: Tensor | None = None

    def window(self, names: Sequence[str]) -> Window:
        """The part of the photo in which some parts are looked for."""
        height, width = self.img.shape[2:]
        if set(expand_parts(names)) <= FACE_ONLY:
            return self.crop.window(width=width, height=height)
        if "background" in expand_parts(names):
            return Window(left=0, top=0, width=width, height=height)
        return self.wide_crop.window(width=width, height=height)

    def masks(self, names: Sequence[str], window: Window) -> Tensor:
        """[1, len(names), height, width] of a window: how much of each place is of which part; 0 where it is not."""
        share = min(1.0, MAP_PX / self.crop.side, MAX_MAP_PX / max(window.width, window.height))
        small = _shrink_window(window, share)
        p = self._rough(names, small, share)
        guide = (window.crop(self.img) + 1) / 2
        radius = max(EDGE_RADIUS * self.crop.side, 1.5 / share)
        return sharpen_mask(filter_guided(p, guide, radius_px=radius, eps=EDGE_EPS, fit_px=MAX_MAP_PX))

    def _rough(self, names: Sequence[str], small: Window, share: float) -> Tensor:
        """The same at `share` of the size, before the photo's own edges."""
        near = self._lay(self._parse(wide=False), names, self.crop.rescale(share), small)
        if set(expand_parts(names)) <= FACE_ONLY:
            return near
        wide = self._lay(self._parse(wide=True), names, self.wide_crop.rescale(share), small)
        trust = self.crop.rescale(share).warp_back(superellipse(PARTS_PX, extent=1.0, power=8.0, rim=0.12), small)
        return wide.lerp(near, trust)

    def _lay(self, p: Tensor, names: Sequence[str], crop: Crop, window: Window) -> Tensor:
        chosen = torch.cat([select_parts(p, [name]) for name in names], dim=1)
        return crop.warp_back(chosen, window)

    def _parse(self, *, wide: bool) -> Tensor:
        if wide:
            if self._wide is None:
                self._wide = parse_parts(self.wide_crop.cut(self.img, resolution=PARTS_PX))
            return self._wide
        if self._near is None:
            self._near = parse_parts(self.crop.cut(self.img, resolution=PARTS_PX))
        return self._near


def _shrink_window(window: Window, share: float) -> Window:
    """A window of the photo in the photo made smaller; it may begin a fraction of a pixel off."""
    left, top, width, height = (round(x * share) for x in (window.left, window.top, window.width, window.height))
    return Window(left=left, top=top, width=max(1, width), height=max(1, height))


def check_part_steps(steps: Sequence[PartStep | InRegion], *, aligned: bool) -> None:
    """Is the picture a face, so that its parts can be changed?

    Raises:
        BadConfig: it is not.
    """
    if steps and not aligned:
        name = unwrap_step(steps[0]).name
        raise BadConfig(f"{name} is for faces: parts of other pictures can be regions, and no more")


def apply_part_steps(photo: Photo, steps: Iterable[PartStep | InRegion], crop: Crop) -> Photo:
    """A painted photo with the steps of its parts, in order; `crop` is the aligned face square in it."""
    for step in steps:
        photo = apply_part_step(photo, unwrap_step(step), crop, region=region_of(step))
    return photo


def preview_part_steps(img: Tensor, steps: Iterable[PartStep | InRegion], crop: Crop) -> Tensor:
    """The same on a picture for the screen, [1, 3, H, W]; what becomes transparent is shown on white."""
    photo = apply_part_steps(Photo(img=img), steps, crop)
    return photo.img if photo.alpha is None else photo.img * photo.alpha + (1 - photo.alpha)


@torch.no_grad()
def apply_part_step(photo: Photo, step: PartStep, crop: Crop, *, region: Region | None = None) -> Photo:
    """The photo with one part changed; everything else is as it was, bit for bit.

    Args:
        photo: the painted photo, of any size, depth and colour space.
        step: one of `ganvas.editing.part_steps.PART_STEPS`.
        crop: the aligned face square in it.
        region: a region of the crop that limits the step; None = wherever the part is.
    """
    if photo.grey and isinstance(step, (Colour, Blush, Backdrop)):
        photo = photo.with_img(photo.img, grey=False)
    if isinstance(step, HeadRoll):
        return _lean_head(photo, step, crop, region)
    parts = PartsInPhoto(photo.img, crop)
    if isinstance(step, Backdrop):
        return _change_background(photo, step, parts, region)
    names = tuple(step.part.split("+")) if isinstance(step, Colour) else _NEEDS[type(step)]
    window = parts.window(names)
    img = window.crop(photo.img)
    masks = parts.masks(names, window)
    if region is not None:
        masks = masks * _region_mask(region, crop, window)
    window, img, masks = _trim(window, img, masks, round(PART_MARGIN * crop.side))
    changed = _change_part(img, step, dict(zip(names, masks.split(1, dim=1), strict=True)), crop.side)
    touched = masks.sum(dim=1, keepdim=True) > 0
    return composite(photo, window, changed.clamp(-1, 1), touched.to(img))


def _trim(window: Window, img: Tensor, masks: Tensor, margin: int) -> tuple[Window, Tensor, Tensor]:
    """The same without most of what no mask reaches."""
    touched = masks.amax(dim=(0, 1)) > 0
    spans = []
    for axis, size in ((1, window.height), (0, window.width)):
        reached = touched.any(dim=axis).nonzero().flatten().tolist() or [0]
        spans.append(slice(max(0, reached[0] - margin), min(size, reached[-1] + 1 + margin)))
    rows, columns = spans
    inner = Window(
        left=window.left + columns.start,
        top=window.top + rows.start,
        width=columns.stop - columns.start,
        height=rows.stop - rows.start,
    )
    return inner, img[:, :, rows, columns], masks[:, :, rows, columns]


def _change_part(img: Tensor, step: PartStep, masks: dict[str, Tensor], side: float) -> Tensor:
    if isinstance(step, Colour):
        mask = sum(masks.values(), torch.zeros(1)).clamp(0, 1)
        return recolour_part(img, mask, parse_colour(step.colour), step.amount, side=side) if mask.any() else img
    if isinstance(step, Blush):
        return put_blush(img, masks, parse_colour(step.colour), step.amount, side=side)
    effect = {TeethWhitening: whiten_teeth, EyeBrightening: brighten_eyes, SkinSmoothing: smooth_skin}[type(step)]
    return effect(img, masks, step.amount, side=side)


def _lean_head(photo: Photo, step: HeadRoll, crop: Crop, region: Region | None) -> Photo:
    window = replace(crop, side=crop.side * ROLL_REACH).window(width=photo.width, height=photo.height)
    field = roll_field(crop, window, step.amount)
    if region is not None:
        field = field * _region_mask(region, crop, window)
    moved = (flow_length(field) > 0).to(photo.img)
    done = composite(photo, window, warp_by_flow(window.crop(photo.img), field).clamp(-1, 1), moved)
    if photo.alpha is None:
        return done
    alpha = photo.alpha.clone()
    window.crop(alpha).copy_(warp_by_flow(window.crop(photo.alpha), field, sharp=False))
    return done.with_img(done.img, alpha=alpha)


def _region_mask(region: Region, crop: Crop, window: Window) -> Tensor:
    return (crop.warp_back(region.mask(BITMAP_PX), window) * crop.coverage(window)).clamp(0, 1)


def _change_background(photo: Photo, step: Backdrop, parts: PartsInPhoto, region: Region | None) -> Photo:
    window = parts.window(("background",))
    behind = parts.masks(("background",), window)
    if region is not None:
        behind = behind * _region_mask(region, parts.crop, window)
    img = photo.img
    if step.kind == "blur":
        sigma = BLUR * step.amount * parts.crop.side
        soft = gaussian_blur(img * behind, sigma) / gaussian_blur(behind, sigma).clamp(min=1e-3)
        return composite(photo, window, img.lerp(soft, behind).clamp(-1, 1), (behind > 0).to(img))
    behind = behind * step.amount
    person = _clean_edges(img, behind)
    if step.kind == "plain":
        return composite(photo, window, person.lerp(parse_colour(step.colour), behind), (behind > 0).to(img))
    alpha = (1 - behind) * (1 if photo.alpha is None else photo.alpha)
    return composite(photo, window, person, (behind > 0).to(img)).with_img(person, alpha=alpha)


def _clean_edges(img: Tensor, behind: Tensor) -> Tensor:
    """The person's own colours where an edge mixes them with what is behind: those of the nearest sure places."""
    sure = 1 - smoothstep(behind, 0.0, 0.3)
    return img.lerp(fill_transparent_colours(img, (sure > 0.5).to(img)), behind)
