"""Recipe in, photo out: everything that turns the steps of a recipe into pixels, and no history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.acting import Place, acting_places, limit_to_discs
from ganvas.editing.blend import Change, lay_over, paste_change
from ganvas.editing.colour_shift import carry_colours
from ganvas.editing.compose import PREVIEW_WORK_PX, WORK_PX, compose_on, fade_to_edge
from ganvas.editing.direction_files import find_direction
from ganvas.editing.directions import Direction
from ganvas.editing.drag import latent_spread
from ganvas.editing.ground import Ground
from ganvas.editing.opened_mouth import paint_opened_mouth
from ganvas.editing.part_effects import sharpen_mask
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.post_steps import RESAMPLE_ONLY, PostStep, Translate, Upscale
from ganvas.editing.recipe import Recipe, latent_steps_of, part_steps_of, post_steps_of
from ganvas.editing.regions import RegionCell, blend_cells, partition_steps, regions_of
from ganvas.editing.step import EditContext, EditedLatents, LatentStep, run_steps
from ganvas.editing.style import Style, find_style
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.naturalness import CRITIC_PX
from ganvas.features.parts import PARTS_PX, parse_parts, select_parts
from ganvas.images.crop import Crop
from ganvas.images.digital_source import EDITED, GENERATED
from ganvas.images.masks import superellipse
from ganvas.images.photo import Photo
from ganvas.inversion.loss import to_rgb
from ganvas.inversion.result import Inversion
from ganvas.ops.resample import downscale
from ganvas.session.finishing import NetworkLoader, OnFinishStep, apply_post_steps, size_after, translate_preview
from ganvas.session.part_rendering import apply_part_steps, check_part_steps, preview_part_steps
from ganvas.session.photo_parts import PhotoParts, find_photo_parts
from ganvas.session.surroundings import Surroundings
from ganvas.session.tuned_generator import CROP_PREVIEW_PX, TunedGenerator
from ganvas.weights.load import load

RECOLOURED_ONLY = ("hair",)  # edits that act there alone change its colour, and move nothing
MAX_CACHED_CROPS = 3  # sizes at which the photo's own crop is kept
MAX_CACHED_GROUNDS = 3  # sizes and kinds of edits whose ground is kept: 40 MB each at 1,024 pixels


class Part(NamedTuple):
    """A cell of the picture with what is painted in it; see `ganvas.editing.regions`."""

    cell: RegionCell
    edited: EditedLatents


class Renderer:
    """Paints recipes into one photo; neither the photo nor the generator is ever changed.

    Args:
        photo: the original.
        generator: any that keeps the protocol.
        crop: the square of the photo that the generator paints.
        inversion: where that square lies in latent space.
        directions: the sliders, by name.
        model: what messages call the generator.
        extractor: for the guard of the tuning, see `TunedGenerator`; None = no guard.
        network: names in finishing steps → networks.
        aligned: whether the crop is a face, cut as FFHQ's are: its parts are known then.
    """

    digital_source = EDITED  # what files say of the result

    def __init__(
        self,
        photo: Photo,
        generator: Any,
        crop: Crop,
        inversion: Inversion,
        *,
        directions: dict[str, Direction],
        model: str,
        extractor: EfficientNetLite0 | None = None,
        network: NetworkLoader = load,
        aligned: bool = False,
    ):
        self.photo, self.generator, self.crop, self.inversion = photo, generator, crop, inversion
        self.directions, self.model, self.network, self.aligned = directions, model, network, aligned
        self.tuned = TunedGenerator(generator, inversion, extractor, aligned=aligned)
        self._finished: Photo | None = None  # what was rendered last, where finishing took long
        self._screen_cache: dict[float, Surroundings] = {}  # share of the size → the photo made smaller
        self._crop_cache: dict[int, Tensor] = {}  # size → the photo's own crop
        self._ground_cache: dict[tuple[Any, ...], Ground] = {}  # size, share, where the edit acts, precision → ground
        self._parts_cache: dict[float, Tensor] = {}  # share → parts of the unedited picture
        self._styles: dict[str, Style] = {}  # those that were asked for, by name

    # -- what steps come to

    def check(self, recipe: Recipe) -> None:
        """Do all steps fit this generator?

        Raises:
            BadConfig, BadLatent: one that does not, or that needs a direction or style that is not there.
        """
        self._parts(recipe)
        check_part_steps(part_steps_of(recipe), aligned=self.aligned)

    def check_post_step(self, step: PostStep) -> None:
        """Is the network of a finishing step there? Says so before the photo is saved."""
        if isinstance(step, (Upscale, Translate)) and step.model != RESAMPLE_ONLY:
            self.network(step.model)

    def edit_latents(self, steps: Iterable[LatentStep]) -> EditedLatents:
        """What the photo's latents become, and what they are to be painted with."""
        return run_steps(steps, self.inversion.ws, EditContext(self.generator, self.direction, style=self.style))

    def direction(self, name: str) -> Direction:
        """A slider by its name.

        Raises:
            BadConfig: there is none of that name.
        """
        return find_direction(name, self.directions, model=self.model)

    def style(self, name: str, fingerprint: str = "") -> Style:
        """A taught style by name and fingerprint ("" = any); see `find_style`."""
        if name not in self._styles or fingerprint not in ("", self._styles[name].fingerprint):
            self._styles[name] = find_style(name, fingerprint, parent=self.inversion.fingerprint)
        return self._styles[name]

    @cached_property
    def parts(self) -> PhotoParts:
        """Of the photo's own crop."""
        generator = self.tuned.with_share(self.tuned.unedited, 1.0)
        ws, label = self.inversion.ws, self.inversion.fingerprint
        return find_photo_parts(self._target(PARTS_PX), generator, ws, aligned=self.aligned, fingerprint=label)

    def renew_parts(self, steps: tuple[LatentStep, ...]) -> tuple[LatentStep, ...]:
        """Steps of a recipe, perhaps from another photo, with regions of parts where these are in this one.

        Raises:
            BadConfig: parts that this picture does not have.
        """
        return self.parts.renew(steps) if any(region.parts for region in regions_of(steps)) else steps

    @cached_property
    def spread(self) -> Tensor:
        """Of natural latents; see `latent_spread`."""
        return latent_spread(self.generator)

    def _parts(self, recipe: Recipe) -> tuple[Part, ...]:
        """What is painted where. The first part is the one outside all regions."""
        steps = latent_steps_of(recipe)
        limited = limit_to_discs(steps, self.direction) if self.aligned else steps
        return tuple(Part(cell, self.edit_latents(cell.steps)) for cell in partition_steps(limited))

    # -- pictures of a recipe

    @torch.no_grad()
    def render(self, recipe: Recipe, *, on_step: OnFinishStep | None = None) -> Photo:
        """The whole photo with its changes, in full quality; see `Session.render`."""
        finished = self._find_finished(recipe)
        if finished is not None:
            return finished
        self._finished = None
        steps = post_steps_of(recipe)
        photo = apply_post_steps(self.paint(recipe), steps, self.network, on_step)
        photo = replace(photo, recipe=recipe.to_json())
        if steps:  # those take long; all else is quick
            self._finished = photo
        return photo

    def paint(self, recipe: Recipe) -> Photo:
        """The photo before its finishing steps."""
        steps = part_steps_of(recipe)
        return apply_part_steps(self._paint(recipe), steps, self.crop) if steps else self._paint(recipe)

    def _paint(self, recipe: Recipe) -> Photo:
        """The photo with what the generator changes in it."""
        if not latent_steps_of(recipe):
            return self.photo.with_img(self.photo.img)
        change = self._change(self._parts(recipe), self.generator.img_resolution, precision="exact")
        painted = self._surroundings.carry_on(paste_change(self.photo, self.crop, change), change)
        return replace(painted, digital_source=self.digital_source)

    @cached_property
    def _surroundings(self) -> Surroundings:
        return Surroundings(self.photo.img, self.crop)

    @torch.no_grad()
    def render_crop(self, recipe: Recipe) -> Photo:
        """The edited square alone, at the generator's size, as the generator paints it: nothing is pasted back."""
        parts = self._parts(recipe)
        img = self._collage(parts, self._min_share(parts), self.generator.img_resolution, precision="exact")
        return Photo(img=to_rgb(img), recipe=recipe.to_json(), digital_source=self.digital_source)

    @torch.no_grad()
    def crop_picture(self) -> Tensor:
        """What the generator makes of the photo without any edit, [1, C, R, R]."""
        return self.tuned.synthesize(self.tuned.unedited, 1.0)

    @torch.no_grad()
    def preview(
        self,
        recipe: Recipe,
        *,
        resolution: int = CROP_PREVIEW_PX,
        share: float | None = None,
        precision: str = "fast",
    ) -> Tensor:
        """The edited crop, quickly: [1, 3, resolution, resolution]; see `Session.preview`."""
        img = self._preview_pasted_back(self._parts(recipe), resolution, share, precision)
        whole = Crop(x=resolution / 2, y=resolution / 2, side=resolution)
        return preview_part_steps(img, steps, whole) if (steps := part_steps_of(recipe)) else img

    @torch.no_grad()
    def preview_photo(self, recipe: Recipe, *, longest_px: int) -> Tensor:
        """The whole photo with its changes at the size of a screen, quickly: [1, 3, H, W]."""
        finished = self._find_finished(recipe)
        if finished is not None:
            return resize_by_area(finished.img, min(1.0, longest_px / max(finished.size)))
        img = self._paint_preview(recipe, longest_px)
        if steps := part_steps_of(recipe):
            img = preview_part_steps(img, steps, self.crop.rescale(img.shape[3] / self.photo.width))
        return translate_preview(img, post_steps_of(recipe), self.network)

    @torch.no_grad()
    def share_of(self, recipe: Recipe) -> float:
        """With how much of its tuning the generator paints a recipe: what the guard finds that the edit bears."""
        return self._min_share(self._parts(recipe))

    @torch.no_grad()
    def is_broken(self, recipe: Recipe) -> bool:
        """Do the steps of a recipe leave the pictures that the generator knows? See `TunedGenerator.is_broken`."""
        parts = self._parts(recipe)
        if len(parts) == 1:
            return self.tuned.is_broken(parts[0].edited)
        img = self._collage(parts, self.tuned.first_share, CRITIC_PX, precision="fast")
        return self.tuned.is_collage_broken(img, (part.edited for part in parts))

    def result_size(self, recipe: Recipe) -> tuple[int, int]:
        """(width, height) of what `render` gives."""
        return size_after(self.photo.size, post_steps_of(recipe))

    def _find_finished(self, recipe: Recipe) -> Photo | None:
        """The rendered photo, where its finishing steps were done last."""
        return self._finished if self._finished is not None and self._finished.recipe == recipe.to_json() else None

    def _paint_preview(self, recipe: Recipe, longest_px: int) -> Tensor:
        share = min(1.0, longest_px / max(self.photo.size))
        if share not in self._screen_cache:
            self._screen_cache.clear()
            self._screen_cache[share] = Surroundings(resize_by_area(self.photo.img, share), self.crop.rescale(share))
        around = self._screen_cache[share]
        if not latent_steps_of(recipe):
            return around.img
        whole = self.generator.img_resolution
        size = max(1, whole // max(1, int(whole / around.crop.side)))
        change = self._change(self._parts(recipe), size, precision="fast")
        return around.carry_on(paste_change(Photo(img=around.img), around.crop, change), change).img

    def _preview_pasted_back(
        self, parts: Sequence[Part], resolution: int, share: float | None, precision: str
    ) -> Tensor:
        photo, change = self._target(resolution), self._change(parts, resolution, precision=precision, share=share)
        img = lay_over(photo, change)
        if not change.shifts:
            return img
        masks = {name: _resize_to(sharpen_mask(self.parts.mask((name,))), resolution) for name in change.shifts}
        return carry_colours(img, photo, _resize_to(change.outside, resolution), masks, change.shifts)

    # -- the change that goes back into the photo

    def _change(self, parts: Sequence[Part], size: int, *, precision: str, share: float | None = None) -> Change:
        """What goes back into the photo, by the generator with as much of its tuning as the edit bears."""
        share = self._min_share(parts) if share is None else share
        before = self.tuned.picture(self.tuned.unedited, share, size, precision=precision)
        after = self._collage(parts, share, size, precision=precision)
        acting = acting_places((step for part in parts for step in part.cell.steps), self.direction)
        acting = acting if self.aligned else None
        quick = precision != "exact"
        ground = self._ground(before, share, acting, quick=quick)
        mask = (superellipse(size) if acting is None else fade_to_edge(size)) * self._reach(parts, size)
        if acting is None:
            return compose_on(ground, after, mask, None)
        arithmetic = "fast" if quick else "exact"
        parsed = parse_parts(_resize_to(after, PARTS_PX), refine=not quick, mirror=not quick, precision=arithmetic)
        if not quick or size <= CROP_PREVIEW_PX:  # larger previews would take half as long again
            now, then = (select_parts(p, ("mouth",)) for p in (parsed, self.parts.probabilities))
            after = paint_opened_mouth(after, lambda: self._collage(parts, 0.0, size, precision=precision), now, then)
        maps = PartMaps.of_parts(parsed, acting)
        recolours = {place.parts for place in acting} == {RECOLOURED_ONLY}
        in_place = all(place.zone for place in acting)
        change = compose_on(ground, after, mask, maps, keeps_outline=recolours, in_place=in_place)
        return change if len(parts) == 1 else self._limit_to_regions(change, parts)

    def _limit_to_regions(self, change: Change, parts: Sequence[Part]) -> Change:
        """Around the crop only what is whole parts, not a painted region, goes on."""
        if not all(region.parts for part in parts for region in part.cell.regions):
            return replace(change, shifts={})
        size = change.outside.shape[3]
        return replace(change, outside=change.outside * self._reach(parts, size))

    def _ground(self, before: Tensor, share: float, acting: tuple[Place, ...] | None, *, quick: bool) -> Ground:
        """What edits of the photo are composed with; the last few are kept."""
        size = before.shape[3]
        key = size, share, acting, quick
        ground = self._ground_cache.pop(key, None)
        if ground is None:
            maps = None if acting is None else self._unedited_maps(before, share, acting)
            work = min(WORK_PX, max(PREVIEW_WORK_PX, size // 2)) if quick else WORK_PX
            ground = Ground(self._target(size), before, maps, work_px=work)
        self._ground_cache[key] = ground
        if len(self._ground_cache) > MAX_CACHED_GROUNDS:
            del self._ground_cache[next(iter(self._ground_cache))]
        return ground

    def _unedited_maps(self, before: Tensor, share: float, acting: tuple[Place, ...]) -> tuple[PartMaps, PartMaps]:
        """Of the photo and of the generator's picture of it."""
        if share not in self._parts_cache:
            self._parts_cache[share] = parse_parts(_resize_to(before, PARTS_PX))
        photo, old = (
            PartMaps.of_parts(parts, acting) for parts in (self.parts.probabilities, self._parts_cache[share])
        )
        return photo, old

    def _collage(self, parts: Sequence[Part], share: float, size: int, *, precision: str) -> Tensor:
        return blend_cells(
            [(self.tuned.picture(part.edited, share, size, precision=precision), part.cell) for part in parts]
        )

    def _min_share(self, parts: Sequence[Part]) -> float:
        return min(self.tuned.share(part.edited) for part in parts)

    def _reach(self, parts: Sequence[Part], size: int) -> Tensor | float:
        """Where a change may show: everywhere but where the picture is left as it was found."""
        unchanged = [part.cell.weight(size) for part in parts if part.edited.key == self.tuned.unedited.key]
        return 1 - sum(unchanged) if len(parts) > 1 else 1

    def _target(self, size: int) -> Tensor:
        """The photo's own crop; the last few sizes are kept, since cutting it out of a large photo takes long."""
        target = self._crop_cache.pop(size, None)
        if target is None:
            target = self.crop.cut(self.photo.img, resolution=size)
        self._crop_cache[size] = target
        if len(self._crop_cache) > MAX_CACHED_CROPS:
            del self._crop_cache[next(iter(self._crop_cache))]
        return target


class SeedRenderer(Renderer):
    """A picture of the generator's own: there is no photo to keep, so what the generator paints is the result."""

    digital_source = GENERATED

    def _paint(self, recipe: Recipe) -> Photo:
        """As the generator paints it, all of it."""
        return self.render_crop(recipe)

    def _paint_preview(self, recipe: Recipe, longest_px: int) -> Tensor:
        return self.preview(recipe, resolution=min(longest_px, self.generator.img_resolution))

    def _preview_pasted_back(
        self, parts: Sequence[Part], resolution: int, share: float | None, precision: str
    ) -> Tensor:
        return to_rgb(self._collage(parts, 1.0, resolution, precision=precision))


def resize_by_area(img: Tensor, share: float) -> Tensor:
    """The picture made smaller by area; share 1 = as it is."""
    if share == 1:
        return img
    return F.interpolate(img, [max(1, round(side * share)) for side in img.shape[2:]], mode="area")


def _resize_to(img: Tensor, px: int) -> Tensor:
    """A square picture at another size."""
    small = downscale(img, px)
    return small if small.shape[3] == px else F.interpolate(img, (px, px), mode="bilinear", align_corners=False)
