"""Everything that one `ganvas edit` is asked to do: checked as far as possible before the search, then done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.parsing import region_from
from ganvas.cli.steps import parse_step

if TYPE_CHECKING:
    from ganvas.editing.recipe import Recipe
    from ganvas.editing.words.sentence import Instruction
    from ganvas.images.crop import Crop
    from ganvas.images.photo import Photo
    from ganvas.session.session import Session

_SHARE = r"(0(?:\.\d*)?|1(?:\.0*)?|\.\d+)"  # a number from 0 to 1


@dataclass(frozen=True, kw_only=True)
class EditPlan:
    """The options of `ganvas edit`, read."""

    sliders: Sequence[tuple[str, float | str]] = ()
    drags: Sequence[tuple[list[float], list[float]]] = ()
    mixes: Sequence[tuple[str, Path | int, float]] = ()
    styles: Sequence[tuple[str, float]] = ()
    steps: Sequence[Any] = ()
    regions: Sequence[str] = ()
    feather: float | None = None
    keep: tuple[str, ...] = ()
    recipe: Recipe | None = None
    sentence: str | None = None
    instruction: Instruction | None = None  # what the sentence says, once the model is known

    def check(self, generator: Any, *, model: str) -> EditPlan:
        """The plan with its sentence understood, if a model can do all of it; nothing has been done.

        Args:
            generator: the model.
            model: what messages call it.

        Raises:
            GanvasError: whatever the work itself would end with.
        """
        from ganvas.editing.direction_files import directions_of
        from ganvas.inversion.alignment import is_aligned
        from ganvas.session.auto_amount import check_number, check_search
        from ganvas.session.plan import check_recipe
        from ganvas.weights.checkpoint import fingerprint

        check_recipe(self.as_recipe(generator), generator, model=model)
        directions = directions_of(fingerprint(generator))
        for name, amount in self.sliders:
            if isinstance(amount, str):
                check_search(name, amount, aligned=is_aligned(generator, "auto"))
            else:
                check_number(name, amount, directions[name])
        for _, reference, _ in self.mixes:
            _check_reference(reference, generator)
        if self.sentence is None:
            return self
        return replace(self, instruction=understand(self.sentence, generator))

    def as_recipe(self, generator: Any) -> Recipe:
        """All steps that are known before the search; amounts that are to be found stand as 1."""
        from ganvas.editing.move import Move
        from ganvas.editing.recipe import Recipe
        from ganvas.editing.style import find_style
        from ganvas.editing.stylise import Stylise
        from ganvas.weights.checkpoint import fingerprint

        moves = [
            Move(direction=name, amount=1 if isinstance(amount, str) else amount, keep=self.keep)
            for name, amount in self.sliders
        ]
        ours = fingerprint(generator)
        styles = [
            Stylise(style=name, fingerprint=find_style(name, parent=ours).fingerprint, strength=strength)
            for name, strength in self.styles
        ]
        before = self.recipe or Recipe()
        return replace(before, steps=(*before.steps, *moves, *styles, *self.steps))

    def check_places(self, photo: Photo, crop: Crop, generator: Any) -> None:
        """Do points and regions lie in the square of the photo that the model sees?

        Raises:
            BadMask: one that does not. BadConfig: parts that are not known.
        """
        from ganvas.editing.regions import region_in_crop
        from ganvas.session.dragging import check_drag_points
        from ganvas.session.plan import check_part_region

        for points in ([handle for handle, _ in self.drags], [target for _, target in self.drags]):
            if points:
                check_drag_points(points, crop)
        if self.regions:
            region = region_from(self.regions, photo)
            if isinstance(region, str):
                check_part_region(region, photo, crop, generator)
            else:
                region_in_crop(region, crop, photo_size=photo.size, feather_px=self.feather)

    def apply(self, session: Session) -> None:
        """Do it all, in the order of the manual: recipe, mixes, words, sliders, drags, styles, steps."""
        if self.recipe is not None:
            session.replay(self.recipe)
        if self.regions:
            session.set_region(region_from(self.regions, session.photo), feather_px=self.feather)
        for part, reference, strength in self.mixes:
            with ProgressBar(f"mixing {part} from {reference}") as progress:
                session.mix(reference, part=part, strength=strength, on_step=progress.step)
        if self.instruction is not None:
            session.say(self.instruction, keep=self.keep, on_auto=lambda auto: typer.echo(auto.words()))
        for direction, amount in self.sliders:
            session.set(direction, amount, keep=self.keep)
            if isinstance(amount, str) and session.last_auto is not None:
                typer.echo(session.last_auto.words())
        if self.drags:
            drag_points(session, self.drags)
        for style, strength in self.styles:
            session.stylise(style, strength)
        for step in self.steps:
            session.put(step)


def understand(sentence: str, generator: Any) -> Instruction:
    """What a sentence asks of a generator's sliders, printed.

    Raises:
        BadConfig: see `parse_sentence`.
    """
    from ganvas.editing.direction_files import directions_of
    from ganvas.editing.words.sentence import parse_sentence
    from ganvas.inversion.alignment import is_aligned
    from ganvas.session.saying import dials_of
    from ganvas.weights.checkpoint import fingerprint

    directions = directions_of(fingerprint(generator))
    instruction = parse_sentence(sentence, dials_of(directions, aligned=is_aligned(generator, "auto")))
    typer.echo(f"understood: {instruction.words()}")
    return instruction


def _check_reference(reference: Path | int, generator: Any) -> None:
    """Can a picture to mix from be read, and does an inversion fit?"""
    if isinstance(reference, int):
        return
    from ganvas.images.files import read_image
    from ganvas.inversion.alignment import find_reference

    if reference.suffix.lower() == ".npz":
        find_reference(reference, generator)
    else:
        read_image(reference)


def drag_points(session: Session, drag_pairs: Sequence[tuple[list[float], list[float]]]) -> None:
    """Drag all points at once, with a progress bar, and print the result."""
    with ProgressBar("pulling") as progress:
        result = session.drag(
            [handle for handle, _ in drag_pairs], [target for _, target in drag_pairs], on_step=progress.step
        )
    places = ", ".join(f"{x:.0f},{y:.0f}" for x, y in result.points.tolist())
    typer.echo(
        f"dragged to {places} in {result.steps} steps"
        + ("" if result.arrived else "; stopped: the model cannot move the points any further")
    )


def parse_change(text: str) -> tuple[str, float | str]:
    """`smile=1` → ("smile", 1); `smile=auto` → ("smile", "auto"); `age=40y` → ("age", "40y").

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    searched = r"[+-]?auto|[+-]?\d{1,3}(?:\.\d+)?y"
    match = re.fullmatch(rf"([\w-]+)=(?:({searched})|([+-]?\d+(?:\.\d*)?|[+-]?\.\d+))", text.strip())
    if not match:
        raise typer.BadParameter(
            f"a change is written as smile=1, smile=auto, smile=-auto, age=40y or age=-10y; cannot read {text!r}"
        )
    return match[1], match[2] or float(match[3])


def parse_mix(text: str) -> tuple[str, Path | int, float]:
    """`colour=you.jpg:0.7` → ("colour", Path("you.jpg"), 0.7); a number for the picture is a seed.

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(rf"(all|colour|shape)=(.+?)(?::{_SHARE})?", text.strip())
    if not match:
        raise typer.BadParameter(
            f"a mix is written as colour=you.jpg, shape=7 or all=you.npz:0.7 (strength 0 to 1); cannot read {text!r}"
        )
    strength = 1.0 if match[3] is None else float(match[3])
    return match[1], int(match[2]) if match[2].isdigit() else Path(match[2]), strength


def parse_style(text: str) -> tuple[str, float]:
    """`ink=0.7` → ("ink", 0.7); `ink` → ("ink", 1.0).

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(rf"([\w-]+)(?:={_SHARE})?", text.strip())
    if not match:
        raise typer.BadParameter(f"a style is written as ink, or ink=0.7 (strength 0 to 1); cannot read {text!r}")
    return match[1], 1.0 if match[2] is None else float(match[2])


def parse_part_colour(text: str) -> Any:
    """`hair=#7a3b1e:0.8` → Colour(part="hair", colour="#7a3b1e", amount=0.8).

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(rf"([a-z+]+)=(#?[0-9a-fA-F]{{6}})(?::{_SHARE})?", text.strip())
    if not match:
        raise typer.BadParameter(
            f"a colour is written as hair=#7a3b1e or lips=#a01030:0.8 (amount 0 to 1); cannot read {text!r}"
        )
    amount = "" if match[3] is None else f",amount={match[3]}"
    return parse_step(f"colour:part={match[1]},colour=#{match[2].lstrip('#')}{amount}")
