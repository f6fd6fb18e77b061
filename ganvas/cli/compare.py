"""Several results of one photo beside one another: a file each, and a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ganvas.session.session import Session
    from ganvas.upscaling.upscale import UpscaleConfig

_SHEET_PX = 512  # of each picture in a sheet


def parse_names(text: str) -> list[str]:
    """ "a,b,c" → its names, two to nine, no two alike."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not 2 <= len(names) <= 9 or len(set(names)) != len(names):
        raise typer.BadParameter(f"--compare takes two to nine different upscalers: a,b,c; got {text!r}")
    return names


def parse_amounts(text: str) -> tuple[str, list[float]]:
    """ "smile=0.5,1,1.5" → the slider and its amounts, two to nine."""
    name, _, amounts = text.partition("=")
    try:
        numbers = [float(one) for one in amounts.split(",")]
    except ValueError:
        numbers = []
    if not name or not 2 <= len(numbers) <= 9:
        raise typer.BadParameter(f"--variants takes a slider and two to nine amounts: smile=0.5,1,1.5; got {text!r}")
    return name, numbers


def compare_upscalers(source: Path, output: Path, names: Sequence[str], config: UpscaleConfig, *, ext: str) -> None:
    """One photo by several upscalers, each into the folder `output`, and the middle of each at full size in a sheet."""
    from ganvas.cli.console import ProgressBar
    from ganvas.cli.process import to_best_device
    from ganvas.images.batch_paths import Task
    from ganvas.images.files import read_image
    from ganvas.upscaling.folders import upscale_file
    from ganvas.upscaling.upscale import upscaler

    suffix = source.suffix if ext == "auto" else f".{ext}"
    nets = {name: to_best_device(upscaler(name)) for name in names}
    scale = config.scale or max(net.scale for net in nets.values())
    config = replace(config, scale=scale)  # what is compared has one size
    pictures = []
    for name, net in nets.items():
        target = output / f"{source.stem}-{Path(name).stem}{suffix}"
        with ProgressBar(name) as progress:
            written = upscale_file(Task(source, target), net, config, on_step=progress.step)
        typer.echo(f"saved: {written}")
        pictures.append(_middle(read_image(written).img))
    _write_sheet(pictures, [Path(name).stem for name in names], output / f"{source.stem}-compare.png")


def write_variants(
    session: Session, direction: str, amounts: Sequence[float], output: Path, *, background: str | None, disclose: bool
) -> None:
    """What several amounts of a slider make of what was done so far: a file each beside `output`, and a sheet."""
    from ganvas.editing.move import Move
    from ganvas.images.files import write_image

    pictures, captions = [], []
    for amount in amounts:
        recipe = session.with_step(Move(direction=direction, amount=amount))
        captions.append(f"{direction} {amount:+g}")
        target = output.with_name(f"{output.stem}-{direction}{amount:+g}{output.suffix}")
        write_image(session.renderer.render(recipe), target, background=background, disclose=disclose)
        typer.echo(f"saved: {target}")
        pictures.append(session.preview(resolution=min(_SHEET_PX, session.generator.img_resolution), recipe=recipe))
    _write_sheet(pictures, captions, output.with_name(f"{output.stem}-variants.png"))


def _middle(img: Any) -> Any:
    height, width = img.shape[2:]
    side = min(_SHEET_PX, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return img[:, :, top : top + side, left : left + side]


def _write_sheet(pictures: Sequence[Any], captions: Sequence[str], path: Path) -> None:
    import torch

    from ganvas.images.contact_sheet import make_captioned_grid
    from ganvas.images.files import write_image
    from ganvas.images.photo import Photo

    columns = len(pictures) if len(pictures) <= 3 else 3
    sheet = make_captioned_grid(torch.cat(list(pictures)), captions, columns=columns)
    write_image(Photo(img=sheet), path)
    typer.echo(f"sheet: {path}")
