"""ganvas mix: a sheet of style mixing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganvas.cli.console import track
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.generator_options import (
    ClassOption,
    ModelOption,
    NoiseModeOption,
    PrecisionOption,
    TruncationOption,
    map_pictures,
    open_generator,
)
from ganvas.cli.parsing import one_of, parse_numbers


def mix(
    model: ModelOption = "faces",
    rows: Annotated[
        str, typer.Option(help="Rows of the sheet: seeds, photos, .npz of 'ganvas invert', e.g. 0-3,me.jpg.")
    ] = "0-3",
    cols: Annotated[str, typer.Option(help="Columns of the sheet, which give the styles, e.g. 4-7,you.jpg.")] = "4-7",
    part: Annotated[
        str,
        typer.Option(
            callback=one_of("colour", "shape", "all"), help="What is taken from the column: colour, shape or all."
        ),
    ] = "colour",
    layers: Annotated[
        str | None, typer.Option(help="Rows of ws taken from the column, e.g. 8-17; overrides --part.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="Strength, 0 to 1.")] = 1.0,
    trunc: TruncationOption = 0.7,
    label: ClassOption = None,
    noise_mode: NoiseModeOption = "const",
    precision: PrecisionOption = "exact",
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet.")] = Path("mix.png"),
    disclose: DiscloseOption = True,
) -> None:
    """Style mixing: every row in the style of every column. Early layers control pose and shape, late ones colour.

    Example: [bold]ganvas mix --model faces --rows 0-3 --cols 4-7 --layers 12-22 -o mix.png[/bold]
    """
    chosen = None if layers is None else parse_numbers(layers, what="layers")

    import torch

    from ganvas.editing.layers import rows_of
    from ganvas.editing.mix import mixing_sheet
    from ganvas.errors import BadConfig
    from ganvas.images.contact_sheet import grid
    from ganvas.images.digital_source import GENERATED
    from ganvas.images.files import write_image
    from ganvas.images.output_check import check_output_path

    check_output_path(output)
    G = open_generator(model)
    if G.num_ws == 1:
        raise BadConfig(f"{model} has a single latent row, so there are no layers to mix; try 'ganvas interpolate'")
    chosen = rows_of(part, G) if chosen is None else chosen
    row_ws = map_pictures(G, rows, what="rows", trunc=trunc, label=label)
    column_ws = map_pictures(G, cols, what="cols", trunc=trunc, label=label)
    mixed = mixing_sheet(row_ws, column_ws, chosen, strength=strength)  # [R, C, num_ws, w_dim]
    cells = [None, *column_ws]
    for row, line in zip(row_ws, mixed, strict=True):
        cells += [row, *line]
    size = (1, G.img_channels, G.img_resolution, G.img_resolution)
    with torch.no_grad():
        pictures = [
            torch.ones(size) if ws is None else G.synthesis(ws[None], noise_mode=noise_mode, precision=precision)
            for ws in track(cells, what="mixing", total=len(cells))
        ]
    sheet = grid(torch.cat(pictures).clamp(-1, 1), columns=1 + len(column_ws))
    write_image(sheet, output, digital_source=GENERATED, disclose=disclose)
    typer.echo(f"sheet: {output}")
