"""ganvas generate: pictures from seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import track
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.generator_options import (
    ClassOption,
    ModelOption,
    NoiseModeOption,
    PrecisionOption,
    TruncationOption,
    open_generator,
)
from ganvas.cli.parsing import parse_numbers, parse_shift

if TYPE_CHECKING:
    from torch import Tensor


def generate(
    model: ModelOption = "faces",
    seeds: Annotated[str, typer.Option(help="Seeds such as 0-7,12.")] = "0-7",
    trunc: TruncationOption = 0.7,
    label: ClassOption = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Move a slider: smile=1.5 (see 'ganvas directions list').")
    ] = None,
    noise_mode: NoiseModeOption = "const",
    precision: PrecisionOption = "exact",
    rotate: Annotated[
        float, typer.Option("--rotate", help="StyleGAN3: turn every image counter-clockwise by so many degrees.")
    ] = 0.0,
    translate: Annotated[
        str, typer.Option("--translate", help="StyleGAN3: shift every image right and down, in shares of its side.")
    ] = "0,0",
    outdir: Annotated[Path | None, typer.Option(help="Output folder, one PNG per seed: seed0000.png, …")] = None,
    sheet: Annotated[Path | None, typer.Option("--grid", help="Save all of them as one grid image.")] = None,
    disclose: DiscloseOption = True,
) -> None:
    """Generate images from seeds. The same seed gives the same image.

    Example: [bold]ganvas generate --model faces --seeds 0-7,12 --trunc 0.7 --outdir out[/bold]
    """
    from ganvas.cli.edit_plan import parse_change
    from ganvas.models.seeds import map_seeds

    amounts = [parse_change(text) for text in changes or []]
    numbers = parse_numbers(seeds, what="seeds")
    shift = parse_shift(translate)
    if outdir is None and sheet is None:
        outdir = Path("out")

    import torch

    from ganvas.editing.style_space import shift_styles
    from ganvas.images.contact_sheet import grid
    from ganvas.images.digital_source import GENERATED
    from ganvas.images.files import write_image
    from ganvas.images.output_check import check_output_path

    if sheet is not None:
        check_output_path(sheet)
    G = open_generator(model)
    if rotate or shift != (0, 0):
        _place(G, rotate, shift)
    ws = map_seeds(G, numbers, trunc=trunc, label=label)
    ws, shift_of_styles = _move(G, ws, amounts, model=model)
    suffix = "" if label is None else f"-class{label}"
    if outdir is not None:
        outdir.mkdir(parents=True, exist_ok=True)
    pictures = []
    with torch.no_grad(), shift_styles(G, shift_of_styles):
        for seed, row in track(zip(numbers, ws, strict=True), what="generating", total=len(numbers)):
            img = G.synthesis(row[None], noise_mode=noise_mode, precision=precision).clamp(-1, 1)
            if outdir is not None:
                write_image(img, outdir / f"seed{seed:04d}{suffix}.png", digital_source=GENERATED, disclose=disclose)
            if sheet is not None:
                pictures.append(img)
    if outdir is not None:
        typer.echo(f"{len(numbers)} images in {outdir}")
    if sheet is not None:
        write_image(grid(torch.cat(pictures)), sheet, digital_source=GENERATED, disclose=disclose)
        typer.echo(f"sheet: {sheet}")


def _move(
    G: Any, ws: Tensor, amounts: Sequence[tuple[str, float | str]], *, model: str
) -> tuple[Tensor, Tensor | None]:
    """The latents moved along directions of the generator, and what is added to its styles (None = nothing).

    Raises:
        BadConfig: an unknown direction, or an amount that only a photo's edit can find.
    """
    if not amounts:
        return ws, None
    from ganvas.editing.direction_files import directions_of, find_direction
    from ganvas.editing.directions import apply_direction
    from ganvas.errors import BadConfig
    from ganvas.weights.checkpoint import fingerprint

    known, shifts = directions_of(fingerprint(G)), []
    for name, amount in amounts:
        direction = find_direction(name, known, model=model)
        if isinstance(amount, str):
            raise BadConfig(f"--set {name}={amount}: generate takes a number; 'auto' and years are for ganvas edit")
        ws, shift = apply_direction(ws, direction, amount, G)
        shifts += [] if shift is None else [shift]
    return ws, sum(shifts[1:], shifts[0]) if shifts else None


def _place(G: Any, rotate_deg: float, translate: tuple[float, float]) -> None:
    """Turn and shift what a StyleGAN3's pictures grow from.

    Raises:
        BadConfig: another family, whose pictures grow from a fixed grid.
    """
    from ganvas.errors import BadConfig
    from ganvas.models.stylegan3 import StyleGAN3Generator

    if not isinstance(G, StyleGAN3Generator):
        raise BadConfig(
            f"--rotate and --translate are for StyleGAN3, whose pictures can be placed; this is a {G.family}"
        )
    G.set_transform(rotate_deg=rotate_deg, translate=translate)
