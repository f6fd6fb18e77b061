"""One photo on the bench: open it, change it, go back, and get the photo again.

    session = open_session("me.jpg", model="faces")
    session.set("smile", 1.5)
    result = session.render()          # the whole photo, everything but the change as it was

A session joins what the crafts below do: it finds the face, cuts the square the generator wants, brings it into latent
space (inversion), applies the steps of its recipe (editing) and pastes the change back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_mask
from ganvas.editing.blend import Change, blend_change, colour_drift, lay_over, paste_change
from ganvas.editing.directions import Direction
from ganvas.editing.drag import DragConfig, DragResult, OnDrag, drag, latent_spread
from ganvas.editing.mix import Mix, encode_latent
from ganvas.editing.post_steps import RESAMPLE_ONLY, PostStep, Translate, Upscale
from ganvas.editing.recipe import Recipe, post_steps_of
from ganvas.editing.regions import (
    BITMAP_PX,
    DEFAULT_FEATHER,
    InRegion,
    Region,
    RegionCell,
    Stroke,
    blend_cells,
    partition_steps,
    region_of,
    unwrap_step,
)
from ganvas.editing.step import EditContext, EditedLatents, LatentStep, run_steps
from ganvas.editing.style import Style, find_style, sum_deltas
from ganvas.editing.style_space import shift_styles, synthesize_with_shift
from ganvas.editing.stylise import Stylise
from ganvas.errors import BadConfig, BadMask
from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.features.face_networks import score_faces
from ganvas.features.faces import Face
from ganvas.images.crop import Crop
from ganvas.images.masks import superellipse
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import find_reference
from ganvas.inversion.loss import to_rgb
from ganvas.inversion.optimise import OnInversionStep
from ganvas.inversion.pivotal import with_delta
from ganvas.inversion.result import Inversion
from ganvas.ops.resample import downscale
from ganvas.session.auto_amount import AUTO_TARGETS, find_smallest_amount
from ganvas.translation import translate
from ganvas.upscaling.upscale import resize_lanczos, upscale
from ganvas.weights.load import load

CROP_PREVIEW_PX = 256
# How much of the tuning an edit keeps, tried in this order. All of it holds the unedited face in place: measured on 24
# portraits, a smile needs a quarter more of the slider, and mouths break. Half of it is enough, because only the change
# goes back into the photo.
TUNING_SHARES = (0.5, 0.25)
MAX_STRAIN_RATIO = (
    1.6  # an edit whose tuning changes features so many times more than the unedited picture's is breaking
)
MAX_CACHED_IMAGES = 12  # pictures that were asked for last
MAX_CACHED_GENERATORS = 6  # generators with a tuning and styles that were asked for last
MAX_CACHED_CROPS = 3  # sizes at which the photo's own crop is kept


class Part(NamedTuple):
    """A cell of the picture with what is painted in it; see `ganvas.editing.regions`."""

    cell: RegionCell
    edited: EditedLatents


class Session:
    """A photo (or a seed) being edited; see `open_session`.

    `recipe` is what has been done; `undo` and `redo` walk through its history. Nothing of the photo or the generator is
    ever changed.
    """

    def __init__(
        self,
        photo: Photo,
        generator: Any,
        crop: Crop,
        inversion: Inversion,
        recipe: Recipe,
        directions: dict[str, Direction],
        *,
        aligned: bool,
    ):
        self.photo = photo
        self.generator = generator
        self.crop = crop
        self.inversion = inversion
        self.directions = directions
        self.aligned = aligned
        self.extractor: EfficientNetLite0 | None = None  # for the guard; set by open_session where the weights are here
        self.face: Face | None = None  # the one that was found and chosen
        self.region: Region | None = None  # where the steps to come apply; see set_region
        self.network: Callable[[str], Any] = load  # names in finishing steps → networks
        self._rendered: Photo | None = None  # what was rendered last
        self._screen_cache: dict[float, Photo] = {}  # share of the size → the photo made smaller
        self._crop_cache: dict[int, Tensor] = {}  # size → the photo's own crop
        self._generator_cache: dict[
            tuple[float, bytes], Any
        ] = {}  # share of the tuning, styles → the generator with them
        self._drift_cache: tuple[Tensor, Tensor] | None = None  # picture of the photo, and its drift from it
        self._spread: Tensor | None = None  # of natural latents, once a drag has asked for it
        self._styles: dict[str, Style] = {}  # those that were asked for, by name
        self._baseline_strain: dict[float, float] = {}  # share of the tuning → strain of the unedited face
        self._image_cache: dict[tuple[float, int, bytes], Tensor] = {}  # share, size, latent → picture
        self._history = [recipe]
        self._at = 0

    @property
    def recipe(self) -> Recipe:
        """What has been done so far."""
        return self._history[self._at]

    @property
    def history(self) -> tuple[Recipe, ...]:
        """Every recipe there was, the untouched one first; what was taken back stands behind `at`."""
        return tuple(self._history)

    @property
    def at(self) -> int:
        """Which entry of `history` is in force."""
        return self._at

    def goto(self, at: int) -> None:
        """Go to any entry of `history`: many undos or redos at once.

        Raises:
            BadConfig: there is no such entry.
        """
        if not 0 <= at < len(self._history):
            raise BadConfig(f"this session's history has entries 0 to {len(self._history) - 1}, got {at}")
        self._at = at

    def restore(self, history: Sequence[Recipe], at: int) -> None:
        """Take up an editing that was kept: all its recipes, the untouched one first, and where in it we are.

        Raises:
            BadConfig: of another generator, or no such entry. BadLatent and others: a step that does not fit.
        """
        for recipe in history:
            if recipe.fingerprint != self.recipe.fingerprint:
                raise BadConfig(
                    f"this editing was done with {recipe.model!r} ({recipe.fingerprint[:12]}), the session uses "
                    f"{self.recipe.model!r} ({self.recipe.fingerprint[:12]})"
                )
            self._parts(recipe)
        if not 0 <= at < len(history):
            raise BadConfig(f"this editing has entries 0 to {len(history) - 1}, got {at}")
        self._history, self._at = list(history), at

    def do(self, step: LatentStep) -> None:
        """Add a step at the end; where a region is set, it applies there only."""
        if self.region is not None and region_of(step) is None:
            step = InRegion(step, self.region)
        self._apply(self.recipe.then(step))

    def with_step(self, step: LatentStep) -> Recipe:
        """What `put` would make of the recipe; nothing is changed. For `preview`, while a slider moves.

        Raises:
            BadConfig, BadLatent: the step does not fit this session.
        """
        inner = unwrap_step(step)
        if isinstance(inner, Stylise) and not inner.fingerprint:
            inner = replace(inner, fingerprint=self._style(inner.style, "").fingerprint)
        if isinstance(inner, (Upscale, Translate)):
            self._check_post_step(inner)
        recipe = self.recipe.with_step(inner, region=region_of(step) or self.region)
        self._parts(recipe)
        return recipe

    def put(self, step: LatentStep) -> None:
        """A step where it belongs: a slider, a mix or a style replaces what it was before; others go to the end.

        Raises:
            BadConfig, BadLatent: the step does not fit this session.
        """
        self._push_history(self.with_step(step))

    def set_region(
        self, region: Region | Tensor | Iterable[Stroke] | None, *, feather_px: float | None = None
    ) -> Region | None:
        """From now on steps apply in this part of the photo only; what was done before stays as it is.

        Args:
            region: where: strokes of a brush in pixels of the photo; a mask [1, 1, H, W] of the photo in [0, 1]; a
                Region; None = everywhere again.
            feather_px: how soft the edges are, in pixels of the photo; None = a thirtieth of the square that the model
                sees. A Region has its own.

        Returns:
            The region, as steps in the recipe will carry it.

        Raises:
            BadMask: it does not fit, or nothing of it lies in the square that the model sees.
        """
        self.region = self._region_in_crop(region, feather_px)
        return self.region

    def reshape_region(self, region: Region | Tensor | Iterable[Stroke], *, feather_px: float | None = None) -> Region:
        """Draw the current region anew: the steps that apply in it move along, as one change that can be undone.

        Args:
            region, feather_px: as for `set_region`.

        Raises:
            BadConfig: no region is set. BadMask: see `set_region`.
        """
        if self.region is None:
            raise BadConfig("there is no region to reshape; set_region comes first")
        new = self._region_in_crop(region, feather_px)
        assert new is not None
        old = self.recipe.steps
        steps = tuple(InRegion(unwrap_step(step), new) if region_of(step) == self.region else step for step in old)
        recipe = replace(self.recipe, steps=steps)
        if recipe != self.recipe:
            self._apply(recipe)
        self.region = new
        return new

    def _region_in_crop(
        self, region: Region | Tensor | Iterable[Stroke] | None, feather_px: float | None
    ) -> Region | None:
        """Into sides of the crop."""
        if region is None or isinstance(region, Region):
            in_crop = region
        else:
            if feather_px is not None and not feather_px >= 0:
                raise BadMask(f"feather_px is 0 or more pixels of the photo, got {feather_px}")
            feather = DEFAULT_FEATHER if feather_px is None else round(min(feather_px / self.crop.side, 1.0), 5)
            if isinstance(region, Tensor):
                check_mask(region, who="set_region", height=self.photo.height, width=self.photo.width)
                in_crop = Region.of_mask(self.crop.cut_mask(region, resolution=BITMAP_PX), feather=feather)
            else:
                in_crop = Region(strokes=tuple(s.to_crop_coords(self.crop) for s in region), feather=feather)
        if in_crop is not None and not in_crop.mask(BITMAP_PX).any():
            raise BadMask("nothing of this region lies in the square that the model sees, so no step could show in it")
        return in_crop

    def set(self, direction: str, amount: float | str, *, keep: Sequence[str] = ()) -> float:
        """Move a slider to an amount; 0 takes it out of the recipe.

        Args:
            direction: one of `directions`.
            amount: in standard deviations of the attribute; "auto" = just as far as it takes until the effect is there
                in the finished photo, "-auto" = the same the other way. Only for directions with a scorer.
            keep: directions whose attributes shall stay where they are.

        Where a region is set, this is the slider of that region: it changes nothing outside.

        Returns:
            The amount that was set.

        Raises:
            BadConfig: an unknown direction, or "auto" for one without a scorer.
        """
        chosen = self._direction(direction)
        if isinstance(amount, str):
            if amount not in ("auto", "+auto", "-auto"):
                raise BadConfig(f"an amount is a number, 'auto' or '-auto', got {amount!r}")
            amount = self._find_amount(chosen, upward=amount != "-auto", keep=tuple(keep))
        self._apply(self.recipe.with_move(direction, amount, keep=tuple(keep), region=self.region))
        return amount

    def mix(
        self,
        reference: Photo | Path | str | int,
        *,
        part: str = "all",
        strength: float = 1.0,
        layers: Sequence[int] | None = None,
        truncation_psi: float = 0.7,
        on_step: OnInversionStep | None = None,
    ) -> Mix:
        """Take colours, shape or everything from another picture; one such step a part, strength 0 takes it out.

        Args:
            reference: a photo or its file, a .npz of `ganvas invert`, or a seed. A photo is searched for first.
            part: "colour", "shape" or "all".
            strength: 0 … 1.
            layers: rows of ws to take instead of a part's.
            truncation_psi: of a seed.
            on_step: see `open_session`; of the search.

        Where a region is set, it applies there only.

        Returns:
            The step.

        Raises:
            NoFace, BadImage, BadConfig, BadLatent: what is handed in does not fit.
        """
        rows = None if layers is None else tuple(layers)
        if isinstance(reference, int):
            step = Mix(seed=reference, truncation_psi=truncation_psi, part=part, layers=rows, strength=strength)
        else:
            align = "faces" if self.aligned else "centre"
            inversion = find_reference(
                reference, self.generator, align=align, extractor=self.extractor, on_step=on_step
            )
            origin = Path(reference).name if isinstance(reference, (str, Path)) else "a photo"
            text = encode_latent(inversion.ws)
            step = Mix(latent=text, origin=origin, part=part, layers=rows, strength=strength)
        self._apply(self.recipe.with_mix(step, region=self.region))
        return step

    def stylise(self, style: str, strength: float = 1.0) -> Stylise:
        """Paint in a style that the generator was taught (`ganvas stylise`); strength 0 takes it out.

        Args:
            style: its name.
            strength: 0 … 1.

        Where a region is set, it applies there only.

        Returns:
            The step.

        Raises:
            BadConfig: no such style for this generator.
        """
        step = Stylise(style=style, fingerprint=self._style(style, "").fingerprint, strength=strength)
        self._apply(self.recipe.with_style(step, region=self.region))
        return step

    def drag(
        self,
        points: Tensor | Sequence[Sequence[float]],
        targets: Tensor | Sequence[Sequence[float]],
        *,
        region: Region | Tensor | Iterable[Stroke] | None = None,
        config: DragConfig | None = None,
        on_step: OnDrag | None = None,
    ) -> DragResult:
        """Pull points of the photo to places; one step of the recipe, which replays what was found.

        Args:
            points: [P, 2] handles, (x, y) in pixels of the photo.
            targets: [P, 2] where they shall go.
            region: where the photo may change, as for `set_region`; None = the region that is set, if one is.
            config: how; None = the defaults.
            on_step: called with (step, steps at most, the edited crop so far [1, 3, px, px], points [P, 2] so far in
                pixels of the photo). Returning True stops: what was reached is kept. What it raises leaves the photo
                as it was; a `Stopped` carries what was reached as its `state`.

        Returns:
            How far it came; its points are in pixels of the photo.

        Raises:
            BadMask: points outside the square that the model sees, or a region that does not fit.
            BadConfig: a generator without feature maps, or too many points. Stopped: raised by on_step.
        """
        where = self.region if region is None else self._region_in_crop(region, None)
        applied = [step for step in self._latent_steps(self.recipe) if region_of(step) in (None, where)]
        edited = run_steps(applied, self.inversion.ws, self._edit_context)
        # What an edit is painted with; see _share.
        generator = self._with_tuning(
            edited, TUNING_SHARES[0] if self.extractor is not None and self.inversion.delta else 1.0
        )
        generator = with_delta(generator, {})  # its own copy: what is painted meanwhile is not shifted twice
        size = generator.img_resolution
        handles, goals = (self.crop.to_crop_coords(one, resolution=size) for one in (points, targets))
        if self._spread is None:
            self._spread = latent_spread(self.generator)
        with shift_styles(generator, edited.shift):
            dragged = drag(
                edited.ws,
                generator,
                handles,
                goals,
                mask=None if where is None else where.mask(BITMAP_PX),
                spread=self._spread,
                config=config,
                on_step=None if on_step is None else self._wrap_on_step(on_step, where),
            )
        self._apply(self.recipe.then(dragged.step if where is None else InRegion(dragged.step, where)))
        return dragged._replace(points=self.crop.to_photo_coords(dragged.points, resolution=size))

    def _wrap_on_step(self, on_step: OnDrag, region: Region | None) -> OnDrag:
        """The generator's pictures and points as the photo's: laid over what the crop shows now."""
        first: list[Tensor] = []

        def report(step: int, total: int, img: Tensor, points: Tensor) -> bool | None:
            px = img.shape[3]
            if not first:
                first.extend([self.preview(resolution=px), img])
            current, before = first
            mask = superellipse(px) * (1 if region is None else region.mask(px))
            now = lay_over(current, blend_change(current, before, img, mask))
            at = self.crop.to_photo_coords(points, resolution=self.generator.img_resolution)
            return on_step(step, total, now, at)

        return report

    def undo(self) -> bool:
        """Take the last change back; False if there is none."""
        self._at, moved = max(0, self._at - 1), self._at > 0
        return moved

    def redo(self) -> bool:
        """Do again what was taken back; False if there is nothing."""
        last = len(self._history) - 1
        self._at, moved = min(last, self._at + 1), self._at < last
        return moved

    def set_model_name(self, model: str) -> None:
        """Say by which name the generator is known: what the recipe is to carry where a loaded one was handed in."""
        self._history = [replace(recipe, model=model) for recipe in self._history]

    def replay(self, recipe: Recipe) -> None:
        """Apply another recipe's steps to this photo.

        Raises:
            BadConfig: it was made with another generator.
        """
        if recipe.fingerprint and recipe.fingerprint != self.recipe.fingerprint:
            raise BadConfig(
                f"this recipe was made with {recipe.model!r} ({recipe.fingerprint[:12]}), the session uses "
                f"{self.recipe.model!r} ({self.recipe.fingerprint[:12]})"
            )
        for step in post_steps_of(recipe):
            self._check_post_step(step)
        self._apply(replace(self.recipe, steps=recipe.steps))

    @torch.no_grad()
    def preview(
        self, *, resolution: int = CROP_PREVIEW_PX, recipe: Recipe | None = None, share: float | None = None
    ) -> Tensor:
        """The edited crop, quickly: [1, 3, resolution, resolution], pasted back as `render` would.

        Args:
            resolution: of the crop's picture.
            recipe: one to try on, while a slider is moving; None = what has been done.
            share: of the tuning, where the caller knows it (see `share_of`): half the work. None = as the edit bears.
        """
        return self._preview_pasted_back(self._parts(self.recipe if recipe is None else recipe), resolution, share)

    @torch.no_grad()
    def share_of(self, recipe: Recipe) -> float:
        """With how much of its tuning the generator paints a recipe: what the guard finds that the edit bears."""
        return self._min_share(self._parts(recipe))

    @property
    def first_share(self) -> float:
        """What the guard tries first, and mostly finds: good enough while a slider moves."""
        return TUNING_SHARES[0] if self.extractor is not None and self.inversion.delta else 1.0

    @torch.no_grad()
    def preview_photo(self, *, longest_px: int) -> Tensor:
        """The whole photo with its changes at the size of a screen, quickly: [1, 3, H, W].

        Args:
            longest_px: of the longer side; a smaller photo stays as it is.
        """
        if self._is_rendered:  # its finish is there already
            assert self._rendered is not None
            return _resize_by_area(self._rendered.img, min(1.0, longest_px / max(self._rendered.size)))
        share = min(1.0, longest_px / max(self.photo.size))
        if share not in self._screen_cache:
            self._screen_cache.clear()
            self._screen_cache[share] = Photo(img=_resize_by_area(self.photo.img, share))
        small, crop = self._screen_cache[share], self.crop.rescale(share)
        if not self._latent_steps(self.recipe):
            return self._apply_translation(small.img)
        whole = self.generator.img_resolution
        size = max(1, whole // max(1, int(whole / crop.side)))
        change = self._change(self._parts(self.recipe), size, precision="fast")
        return self._apply_translation(paste_change(small, crop, change).img)

    @property
    def _is_rendered(self) -> bool:
        """Is the finish of the recipe in force at hand?"""
        return self._rendered is not None and self._rendered.recipe == self.recipe.to_json()

    def _apply_translation(self, img: Tensor) -> Tensor:
        """A picture of the screen in the domain that the recipe asks for; larger pixels would not show there."""
        photo = Photo(img=img)
        for step in post_steps_of(self.recipe):
            photo = self._apply_post_step(photo, step, None) if isinstance(step, Translate) else photo
        return photo.img

    @torch.no_grad()
    def render(self, *, on_step: Callable[[int, int], Any] | None = None) -> Photo:
        """The whole photo with its changes; pixels that no change reaches are the original's, bit for bit.

        Args:
            on_step: called with (steps done, steps in all) while a finish (upscaling, translation) runs; what it raises
                stops the work.

        Returns:
            A photo of the original's size (larger where the recipe says so), depth and metadata, with its recipe.
        """
        recipe = self.recipe.to_json()
        if self._rendered is not None and self._rendered.recipe == recipe:
            return self._rendered
        self._rendered = None
        rendered = replace(self._apply_post_steps(self._render_photo(), on_step), recipe=recipe)
        if post_steps_of(self.recipe):  # those take long; all else is quick
            self._rendered = rendered
        return rendered

    def _render_photo(self) -> Photo:
        """Before the finish."""
        if not self._latent_steps(self.recipe):
            return self.photo.with_img(self.photo.img)
        size = self.generator.img_resolution
        change = self._change(self._parts(self.recipe), size, precision="exact")
        return paste_change(self.photo, self.crop, change)

    def _apply_post_steps(self, photo: Photo, on_step: Callable[[int, int], Any] | None = None) -> Photo:
        for step in post_steps_of(self.recipe):
            photo = self._apply_post_step(photo, step, on_step)
        return photo

    def _apply_post_step(self, photo: Photo, step: PostStep, on_step: Callable[[int, int], Any] | None) -> Photo:
        if step.model == RESAMPLE_ONLY:
            return resize_lanczos(photo, scale=step.scale) if isinstance(step, Upscale) else photo
        net = self.network(step.model)
        if isinstance(step, Upscale):
            return upscale(photo, model=net, scale=step.scale, strength=step.strength, on_step=on_step)
        return translate(photo, model=net, strength=step.strength, direction=step.direction, on_step=on_step)

    def _check_post_step(self, step: PostStep) -> None:
        """Says now that its network is not there, not when the photo is saved."""
        if step.model != RESAMPLE_ONLY:
            self.network(step.model)

    def _latent_steps(self, recipe: Recipe) -> list[LatentStep]:
        return [step for step in recipe.steps if not isinstance(unwrap_step(step), (Upscale, Translate))]

    @property
    def result_size(self) -> tuple[int, int]:
        """(width, height) of what `render` gives."""
        width, height = self.photo.size
        for step in post_steps_of(self.recipe):
            if isinstance(step, Upscale):
                width, height = (max(1, round(side * step.scale)) for side in (width, height))
        return width, height

    @torch.no_grad()
    def render_crop(self) -> Photo:
        """The edited square alone, at the generator's size, as the generator paints it: nothing is pasted back."""
        parts = self._parts(self.recipe)
        img = self._collage(parts, self._min_share(parts), self.generator.img_resolution, precision="exact")
        return Photo(img=to_rgb(img), recipe=self.recipe.to_json())

    def crop_picture(self) -> Tensor:
        """What the generator makes of the photo without any edit, [1, 3, S, S]."""
        with torch.no_grad():
            return self._synthesize(self._unedited, 1.0).clamp(-1, 1)

    def amount(self, direction: str) -> float:
        """Where a slider stands; where a region is set, the slider of that region."""
        return self.recipe.amount(direction, region=self.region)

    @property
    def _edit_context(self) -> EditContext:
        return EditContext(self.generator, self._direction, style=self._style)

    def _direction(self, name: str) -> Direction:
        if name not in self.directions:
            known = ", ".join(sorted(self.directions)) or "none; learn one with 'ganvas directions learn'"
            raise BadConfig(f"unknown direction {name!r} for {self.recipe.model}; known: {known}")
        return self.directions[name]

    def _style(self, name: str, print_: str) -> Style:
        if name not in self._styles or print_ not in ("", self._styles[name].fingerprint):
            self._styles[name] = find_style(name, print_, parent=self.recipe.fingerprint)
        return self._styles[name]

    def _apply(self, recipe: Recipe) -> None:
        self._parts(recipe)  # what does not fit says so now, not at the next render
        self._push_history(recipe)

    def _push_history(self, recipe: Recipe) -> None:
        self._history = [*self._history[: self._at + 1], recipe]
        self._at += 1

    def _parts(self, recipe: Recipe) -> tuple[Part, ...]:
        """What is painted where. The first part is the one outside all regions."""
        return tuple(
            Part(cell, run_steps(cell.steps, self.inversion.ws, self._edit_context))
            for cell in partition_steps(recipe.steps)
        )

    @property
    def _unedited(self) -> EditedLatents:
        return EditedLatents(self.inversion.ws)

    def _target(self, size: int) -> Tensor:
        """The photo's own crop; the last few sizes are kept, since cutting it out of a large photo takes long."""
        target = self._crop_cache.pop(size, None)
        if target is None:
            target = self.crop.cut(self.photo.img, resolution=size)
        self._crop_cache[size] = target
        if len(self._crop_cache) > MAX_CACHED_CROPS:
            del self._crop_cache[next(iter(self._crop_cache))]
        return target

    def _change(self, parts: Sequence[Part], size: int, *, precision: str, share: float | None = None) -> Change:
        """What goes back into the photo, by the generator with as much of its tuning as the edit bears."""
        share = self._min_share(parts) if share is None else share
        before = self._picture(self._unedited, share, size, precision=precision)
        after = self._collage(parts, share, size, precision=precision)
        mask = superellipse(size) * self._reach(parts, size)
        drift = self._drift(before) if precision == "fast" else None  # a render's large one is asked for once
        return blend_change(self._target(size), before, after, mask, drift=drift)

    def _drift(self, before: Tensor) -> Tensor:
        """Of the photo's crop from a picture of it; the last one is kept, since a slider asks for it at every move."""
        if self._drift_cache is None or self._drift_cache[0] is not before:
            self._drift_cache = before, colour_drift(self._target(before.shape[3]), before)
        return self._drift_cache[1]

    def _reach(self, parts: Sequence[Part], size: int) -> Tensor | float:
        """Where a change may show: everywhere but where the picture is left as it was found."""
        unchanged = [part.cell.weight(size) for part in parts if part.edited.key == self._unedited.key]
        return 1 - sum(unchanged) if len(parts) > 1 else 1

    def _collage(self, parts: Sequence[Part], share: float, size: int, *, precision: str) -> Tensor:
        return blend_cells(
            [(self._picture(part.edited, share, size, precision=precision), part.cell) for part in parts]
        )

    def _picture(self, edited: EditedLatents, share: float, size: int, *, precision: str) -> Tensor:
        if precision == "fast":
            return self._synthesize_preview(edited, share, size)
        return downscale(self._synthesize(edited, share).clamp(-1, 1), size)

    def _synthesize(self, edited: EditedLatents, share: float) -> Tensor:
        return synthesize_with_shift(self._with_tuning(edited, share), edited.ws, edited.shift)

    def _synthesize_preview(self, edited: EditedLatents, share: float, resolution: int) -> Tensor:
        """The picture, quickly: painted whole and averaged down, [1, C, resolution, resolution].

        Not an early exit: those were learnt on the generator as it was, and show a face that is tuned and edited too
        dull (a wide smile without its teeth). The last few pictures are kept: a slider asks for some of them again.
        """
        key = share, resolution, edited.key
        img = self._image_cache.pop(key, None)
        if img is None:
            generator = self._with_tuning(edited, share)
            with shift_styles(generator, edited.shift):
                img = generator.synthesize_downscaled(edited.ws, resolution, precision="fast").float().clamp(-1, 1)
        self._image_cache[key] = img  # last again: the unedited picture is asked for at every move and never drops out
        if len(self._image_cache) > MAX_CACHED_IMAGES:
            del self._image_cache[next(iter(self._image_cache))]
        return img

    def _with_tuning(self, edited: EditedLatents, share: float) -> Any:
        """The generator with a share of the tuning and the edit's styles; the last few are kept."""
        key = share, edited.styles_key
        generator = self._generator_cache.pop(key, None)
        if generator is None:
            delta = sum_deltas(self.generator, edited.styles, [(self.inversion.delta, share)])
            generator = with_delta(self.generator, delta) if delta else self.generator
        self._generator_cache[key] = generator
        if len(self._generator_cache) > MAX_CACHED_GENERATORS:
            del self._generator_cache[next(iter(self._generator_cache))]
        return generator

    def _preview_pasted_back(self, parts: Sequence[Part], resolution: int, share: float | None = None) -> Tensor:
        return lay_over(self._target(resolution), self._change(parts, resolution, precision="fast", share=share))

    def _min_share(self, parts: Sequence[Part]) -> float:
        return min(self._share(part.edited) for part in parts)

    def _share(self, edited: EditedLatents) -> float:
        """The guard: the tuning was made for the unedited face; where an edit breaks under it, less of it is used.

        Compared are features of one picture with and without the tuning. On the unedited face their distance is what
        the tuning is for; on the edited one it should be about the same. A melted mouth shows as a much larger one.
        """
        if self.extractor is None or not self.inversion.delta or edited.key == self._unedited.key:
            return 1.0
        for share in TUNING_SHARES:
            if share == TUNING_SHARES[-1]:
                return share
            if share not in self._baseline_strain:
                self._baseline_strain[share] = self._strain(self._unedited, share)
            if self._strain(edited, share) <= MAX_STRAIN_RATIO * self._baseline_strain[share]:
                return share
        raise AssertionError("the last share is always taken")

    def _strain(self, edited: EditedLatents, share: float) -> float:
        assert self.extractor is not None
        size = min(CROP_PREVIEW_PX, self.generator.img_resolution)
        plain, ours = (self.extractor.features(self._synthesize_preview(edited, part, size)) for part in (0.0, share))
        return feature_distance(ours, plain).item()

    def _find_amount(self, direction: Direction, *, upward: bool, keep: tuple[str, ...]) -> float:
        """By the pasted-back preview: paste-back weakens mild edits, so it must be in the measurement."""
        if direction.name not in AUTO_TARGETS or not self.aligned:
            known = ", ".join(AUTO_TARGETS) if self.aligned else "none for this generator"
            raise BadConfig(f"direction {direction.name!r} has no scorer for 'auto'; directions that have one: {known}")
        target = AUTO_TARGETS[direction.name]

        def effect(amount: float) -> float:
            moved = self._parts(self.recipe.with_move(direction.name, amount, keep=keep, region=self.region))
            score = score_faces(self._preview_pasted_back(moved, CROP_PREVIEW_PX), target.attribute).item()
            return score if upward else 1 - score

        goal = target.high if upward else 1 - target.low
        with torch.no_grad():
            return find_smallest_amount(effect, goal, direction.high if upward else direction.low)


def _resize_by_area(img: Tensor, share: float) -> Tensor:
    """The picture made smaller by area; share 1 = as it is."""
    if share == 1:
        return img
    return F.interpolate(img, [max(1, round(side * share)) for side in img.shape[2:]], mode="area")


class SeedSession(Session):
    """A picture of the generator's own being edited: there is no photo to keep, so the whole picture is the result."""

    def _render_photo(self) -> Photo:
        """As the generator paints it, all of it."""
        return self.render_crop()

    def _preview_pasted_back(self, parts: Sequence[Part], resolution: int, share: float | None = None) -> Tensor:
        return to_rgb(self._collage(parts, 1.0, resolution, precision="fast"))

    @torch.no_grad()
    def preview_photo(self, *, longest_px: int) -> Tensor:
        """The edited picture, quickly; see `Session.preview_photo`."""
        if self._is_rendered:
            return super().preview_photo(longest_px=longest_px)
        img = self.preview(resolution=min(longest_px, self.generator.img_resolution))
        return self._apply_translation(img)
