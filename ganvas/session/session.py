"""Edit one photo: open it, change it, go back, and get the photo again.

    session = open_session("me.jpg", model="faces")
    session.set("smile", 1)
    result = session.render()          # the whole photo, everything but the change as it was

A session adds steps to a history of recipes; its renderer turns each recipe into a picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import Direction
from ganvas.editing.drag import DragConfig, DragResult, OnDrag
from ganvas.editing.mix import Mix, encode_latent
from ganvas.editing.post_steps import Translate, Upscale
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import PART_FEATHER, InRegion, Region, Stroke, region_in_crop, region_of, unwrap_step
from ganvas.editing.step import LatentStep
from ganvas.editing.stylise import Stylise
from ganvas.editing.words.sentence import Instruction, parse_sentence
from ganvas.errors import BadConfig, EditWarning
from ganvas.features.faces import Face
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import find_reference
from ganvas.inversion.optimise import OnInversionStep
from ganvas.session.auto_amount import AutoAmount, check_number, find_amount
from ganvas.session.breakup import Breakup, find_breakups
from ganvas.session.dragging import drag_photo
from ganvas.session.finishing import OnFinishStep
from ganvas.session.history import EditHistory
from ganvas.session.photo_parts import parse_part_names
from ganvas.session.renderer import Renderer
from ganvas.session.saying import dials_of, follow
from ganvas.session.tuned_generator import CROP_PREVIEW_PX


class Session(EditHistory):
    """A photo (or a seed) being edited; see `open_session`.

    `recipe` is what has been done; `undo` and `redo` walk through its history. Nothing of the photo or the generator is
    ever changed.

    Args:
        renderer: of the photo.
        recipe: the untouched one, without steps.
        aligned: is the crop a face, cut as FFHQ's are?
        face: the one that was found and chosen.
    """

    def __init__(self, renderer: Renderer, recipe: Recipe, *, aligned: bool, face: Face | None = None):
        super().__init__(renderer, recipe)
        self.photo, self.generator, self.crop = renderer.photo, renderer.generator, renderer.crop
        self.inversion, self.aligned, self.face = renderer.inversion, aligned, face
        self.last_auto: AutoAmount | None = None  # what the last search for an amount found
        self.region: Region | None = None  # where the steps to come apply; see set_region
        self._breakups: tuple[Recipe, tuple[Breakup, ...]] | None = None  # those that were asked for last

    @property
    def directions(self) -> dict[str, Direction]:
        """The sliders, by name."""
        return self.renderer.directions

    def reload_directions(self) -> None:
        """Read the directions of this generator again: those that were learnt meanwhile are sliders now."""
        self.renderer.directions = directions_of(self.recipe.fingerprint)

    # -- steps

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
            inner = replace(inner, fingerprint=self.renderer.style(inner.style).fingerprint)
        if isinstance(inner, (Upscale, Translate)):
            self.renderer.check_post_step(inner)
        recipe = self.recipe.with_step(inner, region=region_of(step) or self.region)
        self.renderer.check(recipe)
        return recipe

    def put(self, step: LatentStep) -> None:
        """A step where it belongs: a slider, a mix or a style replaces what it was before; others go to the end.

        Raises:
            BadConfig, BadLatent: the step does not fit this session.
        """
        self._push(self.with_step(step))

    def set(self, direction: str, amount: float | str, *, keep: Sequence[str] = ()) -> float:
        """Move a slider to an amount; 0 takes it out of the recipe.

        Args:
            direction: one of `directions`.
            amount: in standard deviations of the attribute; "auto" = just as far as it takes until the effect is there
                in the finished photo, "-auto" = the same the other way; for age also years, "40y". Only for directions
                with a scorer; `last_auto` then tells the scores, and whether the goal was reached.
            keep: directions whose attributes are kept unchanged.

        Where a region is set, this is the slider of that region: it changes nothing outside.

        Returns:
            The amount that was set.

        Raises:
            BadConfig: an unknown direction, "auto" for one without a scorer, or an age where an amount is expected.
        """
        slider = self.renderer.direction(direction)  # an unknown one says so first
        if not isinstance(amount, str):
            check_number(direction, amount, slider)
        else:
            self.last_auto = find_amount(
                self.renderer,
                self.recipe,
                direction,
                amount,
                aligned=self.aligned,
                keep=tuple(keep),
                region=self.region,
            )
            amount = self.last_auto.amount
        self._apply(self.recipe.with_move(direction, amount, keep=tuple(keep), region=self.region))
        return amount

    def understand(self, sentence: str) -> Instruction:
        """What `say` would do with a sentence; nothing is changed.

        Raises:
            BadConfig: see `say`.
        """
        return parse_sentence(sentence, dials_of(self.directions, aligned=self.aligned))

    def say(
        self,
        sentence: str | Instruction,
        *,
        keep: Sequence[str] = (),
        on_auto: Callable[[AutoAmount], Any] | None = None,
    ) -> Instruction:
        """Move sliders as a sentence asks, English or Korean: "smile a little, ten years younger, keep the glasses".

        The recipe holds the sliders that it set, not the sentence; the whole of it is one change that can be undone.

        Args:
            sentence: what is wanted, or what `understand` made of it.
            keep: directions to keep unchanged besides those that the sentence names.
            on_auto: called with what each search for an amount found.

        Where a region is set, it applies there only.

        Returns:
            What was understood.

        Raises:
            BadConfig: an unknown word, a contradiction, or a slider that this generator does not have; nothing is done.
        """
        wanted = self.understand(sentence) if isinstance(sentence, str) else sentence
        recipe, searches = follow(
            wanted, self.renderer, self.recipe, aligned=self.aligned, keep=tuple(keep), region=self.region
        )
        if recipe != self.recipe:
            self._apply(recipe)
        for self.last_auto in searches:
            if on_auto is not None:
                on_auto(self.last_auto)
        return wanted

    def amount(self, direction: str) -> float:
        """Where a slider stands; where a region is set, the slider of that region."""
        return self.recipe.amount(direction, region=self.region)

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
            NoFace, BadImage, BadConfig, BadLatent: invalid input.
        """
        rows = None if layers is None else tuple(layers)
        if isinstance(reference, int):
            step = Mix(seed=reference, truncation_psi=truncation_psi, part=part, layers=rows, strength=strength)
        else:
            align, extractor = "faces" if self.aligned else "centre", self.renderer.tuned.extractor
            inversion = find_reference(reference, self.generator, align=align, extractor=extractor, on_step=on_step)
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
        step = Stylise(style=style, fingerprint=self.renderer.style(style).fingerprint, strength=strength)
        self._apply(self.recipe.with_style(step, region=self.region))
        return step

    def drag(
        self,
        points: Tensor | Sequence[Sequence[float]],
        targets: Tensor | Sequence[Sequence[float]],
        *,
        region: Region | Tensor | Iterable[Stroke] | str | None = None,
        config: DragConfig | None = None,
        on_step: OnDrag | None = None,
    ) -> DragResult:
        """Pull points of the photo to places; one step of the recipe, which replays what was found.

        Args:
            points: [P, 2] handles, (x, y) in pixels of the photo.
            targets: [P, 2], the target of each handle.
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
        result = drag_photo(self.renderer, self.recipe, points, targets, region=where, config=config, on_step=on_step)
        self._apply(self.recipe.then(result.step if where is None else InRegion(result.step, where)))
        return result

    # -- regions

    def set_region(
        self, region: Region | Tensor | Iterable[Stroke] | str | None, *, feather_px: float | None = None
    ) -> Region | None:
        """From now on steps apply in this part of the photo only; what was done before stays as it is.

        Args:
            region: where: "part:hair" or "part:hair+lips", parts of the picture (see `parts`); strokes of a brush in
                pixels of the photo; a mask [1, 1, H, W] of the photo in [0, 1]; a Region; None = everywhere again.
            feather_px: how soft the edges are, in pixels of the photo; None = a thirtieth of the square that the model
                sees, and less for parts. A Region has its own.

        Returns:
            The region, as steps in the recipe will carry it.

        Raises:
            BadMask: it does not fit, or nothing of it lies in the square that the model sees.
            BadConfig: an unknown part, or parts of what is no face.
        """
        self.region = None if region is None else self._region_in_crop(region, feather_px)
        return self.region

    def reshape_region(
        self, region: Region | Tensor | Iterable[Stroke] | str, *, feather_px: float | None = None
    ) -> Region:
        """Draw the current region again: the steps that apply in it move along, as one change that can be undone.

        Args:
            region: as for `set_region`.
            feather_px: as for `set_region`.

        Raises:
            BadConfig: no region is set. BadMask: see `set_region`.
        """
        if self.region is None:
            raise BadConfig("there is no region to reshape; call set_region first")
        new = self._region_in_crop(region, feather_px)
        old = self.recipe.steps
        steps = tuple(InRegion(unwrap_step(step), new) if region_of(step) == self.region else step for step in old)
        recipe = replace(self.recipe, steps=steps)
        if recipe != self.recipe:
            self._apply(recipe)
        self.region = new
        return new

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that regions can be made of, then groups of them; none where the picture is no face."""
        return self.renderer.parts.names

    def part_at(self, x: float, y: float) -> str:
        """The part at a place of the photo, in pixels; one of `parts`.

        Raises:
            BadConfig: the picture is no face. BadMask: outside the square that the model sees.
        """
        return self.renderer.parts.at(self.crop, x, y)

    def _region_in_crop(self, region: Region | Tensor | Iterable[Stroke] | str, feather_px: float | None) -> Region:
        if isinstance(region, str):
            soft = PART_FEATHER if feather_px is None else round(min(max(feather_px, 0) / self.crop.side, 1.0), 5)
            return self.renderer.parts.region(parse_part_names(region), feather=soft)
        return region_in_crop(region, self.crop, photo_size=self.photo.size, feather_px=feather_px)

    # -- pictures

    def render_crop(self) -> Photo:
        """The edited square alone, at the generator's size, as the generator paints it: nothing is pasted back.

        Warns as `render` does.
        """
        self.warn_of_breakups()
        return self.renderer.render_crop(self.recipe)

    def crop_picture(self) -> Tensor:
        """What the generator makes of the photo without any edit, [1, C, R, R]."""
        return self.renderer.crop_picture()

    def preview(
        self,
        *,
        resolution: int = CROP_PREVIEW_PX,
        recipe: Recipe | None = None,
        share: float | None = None,
        precision: str = "fast",
    ) -> Tensor:
        """The edited crop, quickly: [1, 3, resolution, resolution], pasted back as `render` would.

        Args:
            resolution: of the crop's picture.
            recipe: one to try on, while a slider is moving; None = what has been done.
            share: of the tuning, where the caller knows it (see `share_of`): half the work. None = as the edit bears.
            precision: "fast", or "draft" while a slider moves: quicker still, about a level (of 255) off.
        """
        recipe = self.recipe if recipe is None else recipe
        return self.renderer.preview(recipe, resolution=resolution, share=share, precision=precision)

    def share_of(self, recipe: Recipe) -> float:
        """With how much of its tuning the generator paints a recipe: what the guard finds that the edit bears."""
        return self.renderer.share_of(recipe)

    def is_broken(self) -> bool:
        """Do the steps so far leave the pictures that the generator knows? Smaller amounts look better then."""
        return self.renderer.is_broken(self.recipe)

    def find_breakups(
        self, recipe: Recipe | None = None, *, on_look: Callable[[], object] | None = None
    ) -> tuple[Breakup, ...]:
        """The sliders that stand so far out that the picture breaks up, and how far each holds on this photo.

        Args:
            recipe: one to try, while a slider is moving; None = what has been done.
            on_look: called before each picture that is looked at; what it raises ends the search.
        """
        recipe = self.recipe if recipe is None else recipe
        if self._breakups is None or self._breakups[0] != recipe:
            self._breakups = recipe, find_breakups(self.renderer, recipe, on_look=on_look)
        return self._breakups[1]

    def render(self, *, on_step: OnFinishStep | None = None) -> Photo:
        """See `EditHistory.render`; warns (`EditWarning`) of sliders so far out that the picture breaks up."""
        self.warn_of_breakups()
        return super().render(on_step=on_step)

    def warn_of_breakups(self) -> None:
        """Warn (`EditWarning`) of each slider in `find_breakups`."""
        for breakup in self.find_breakups():
            warnings.warn(breakup.words(), EditWarning, stacklevel=3)

    @property
    def first_share(self) -> float:
        """What the guard tries first, and mostly finds: good enough while a slider moves."""
        return self.renderer.tuned.first_share
