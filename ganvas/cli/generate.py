"""ganvas generate: pictures from seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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


def generate(
    model: ModelOption = "faces",
    seeds: Annotated[str, typer.Option(help="Seeds such as 0-7,12.")] = "0-7",
    trunc: TruncationOption = 0.7,
    label: ClassOption = None,
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
    from ganvas.models.seeds import map_seeds

    numbers = parse_numbers(seeds, what="seeds")
    shift = parse_shift(translate)
    if outdir is None and sheet is None:
        outdir = Path("out")

    import torch

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
    suffix = "" if label is None else f"-class{label}"
    if outdir is not None:
        outdir.mkdir(parents=True, exist_ok=True)
    pictures = []
    with torch.no_grad():
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
