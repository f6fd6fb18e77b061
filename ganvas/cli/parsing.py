"""What people type for seeds, layers and places in a photo, as numbers; wrong usage is answered with an example."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ganvas.fields import list_settings

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.editing.regions import Stroke
    from ganvas.images.photo import Photo

_PARTS = r"part:[\w-]+(\+[\w-]+)*"
_NUMBER = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*"


def parse_numbers(text: str, *, what: str) -> list[int]:
    """`0-7,12` → [0, 1, …, 7, 12].

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise typer.BadParameter(f"{what} are written as 0-7,12; cannot read {part!r} in {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 1_000_000:
            raise typer.BadParameter(f"{what}: the range {part!r} should rise, and hold a million at most")
        numbers += range(first, last + 1)
    return numbers


def parse_shift(text: str) -> tuple[float, float]:
    """`0.25,-0.1` → (0.25, -0.1): to the right and down.

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(r"\s*(-?\d*\.?\d+)\s*,\s*(-?\d*\.?\d+)\s*", text)
    if not match:
        raise typer.BadParameter(f"a shift is written as 0.25,-0.1 (right and down); cannot read {text!r}")
    return float(match[1]), float(match[2])


def parse_size(text: str, *, what: str) -> tuple[int, int]:
    """`4x2` → (4, 2): across and down.

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if not match or not int(match[1]) or not int(match[2]):
        raise typer.BadParameter(f"{what} is written as 4x2 (across x down); cannot read {text!r}")
    return int(match[1]), int(match[2])


def settings_option(config: type) -> Any:
    """The flag --settings: print every field of a config that --set takes, and stop."""

    def show(wanted: bool) -> None:
        if wanted:
            typer.echo("\n".join(list_settings(config)))
            raise typer.Exit()

    return typer.Option("--settings", callback=show, is_eager=True, help="List every setting for --set and stop.")


def one_of(*known: str) -> Callable[[str | None], str | None]:
    """A callback for options that take one word of several; anything else is wrong usage, exit status 2."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"one of {', '.join(known)}; got {value!r}")
        return value

    return check


def require_metrics(text: str | None) -> str | None:
    """A callback for --metrics; an unknown name is wrong usage, exit status 2."""
    from ganvas.errors import BadConfig
    from ganvas.metrics.names import parse_metrics

    try:
        parse_metrics("none" if text is None else text)
    except BadConfig as error:
        raise typer.BadParameter(str(error)) from error
    return text


def parse_drag(text: str) -> tuple[list[float], list[float]]:
    """`120,80:135,80` → ([120, 80], [135, 80]): a handle and its target, in pixels of the photo.

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(f"{_NUMBER},{_NUMBER}:{_NUMBER},{_NUMBER}", text)
    if not match:
        raise typer.BadParameter(
            f"a drag is written as 120,80:135,80 (from x,y to x,y, in pixels of the photo); cannot read {text!r}"
        )
    x, y, to_x, to_y = map(float, match.groups())
    return [x, y], [to_x, to_y]


def parse_circle(text: str) -> tuple[float, float, float] | None:
    """`120,80,40` → its middle and radius in pixels of the photo; None where the text is something else."""
    match = re.fullmatch(f"{_NUMBER},{_NUMBER},{_NUMBER}", text)
    return (float(match[1]), float(match[2]), float(match[3])) if match else None


def check_region(texts: Sequence[str]) -> None:
    """Circles, parts, or one file; said before the work.

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    if len(texts) == 1 and re.fullmatch(_PARTS, texts[0]):
        return
    circles = [text for text in texts if parse_circle(text)]
    if len(circles) != len(texts) and (len(texts) > 1 or not Path(texts[0]).is_file()):
        raise typer.BadParameter(
            "a region is written as 120,80,40 (a circle: x, y and radius in pixels of the photo; may be "
            "repeated), as part:hair or part:hair+lips, or as one mask image of the photo's size, white = edit; "
            "cannot read "
            f"{', '.join(texts)!r}"
        )


def region_from(texts: Sequence[str], photo: Photo) -> list[Stroke] | Tensor | str:
    """What `Session.set_region` takes: dots of a brush, parts of the picture, or the mask in a file.

    Raises:
        BadMask: a picture of another size. BadImage: none.
    """
    from ganvas.editing.regions import Stroke
    from ganvas.errors import BadMask
    from ganvas.images.files import read_image
    from ganvas.images.masks import mask_from_lightness

    if re.fullmatch(_PARTS, texts[0]):
        return texts[0]
    circles = [circle for text in texts if (circle := parse_circle(text))]
    if circles:
        return [Stroke(points=((x, y),), radius=radius) for x, y, radius in circles]
    picture = read_image(texts[0])
    if picture.size != photo.size:
        raise BadMask(f"{texts[0]} should have the photo's size {photo.size}, it has {picture.size}")
    return mask_from_lightness(picture.img, picture.alpha)
