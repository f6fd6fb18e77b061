"""ganvas mix: a sheet of style mixing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganvas.cli.choices import parse_numbers
from ganvas.cli.console import track
from ganvas.cli.generator import Class, Model, NoiseMode, Precision, Truncation, map_seeds, open_generator


def mix(
    model: Model = "faces",
    rows: Annotated[str, typer.Option(help="Seeds down the side: pictures.")] = "0-3",
    cols: Annotated[str, typer.Option(help="Seeds along the top: styles.")] = "4-7",
    layers: Annotated[
        str | None, typer.Option(help="Rows of ws that come from the column, such as 8-17; default: the later half.")
    ] = None,
    trunc: Truncation = 0.7,
    label: Class = None,
    noise_mode: NoiseMode = "const",
    precision: Precision = "exact",
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet.")] = Path("mix.png"),
) -> None:
    """Every row's picture in every column's style. Early layers carry pose and shape, late ones colour.

    Example: [bold]ganvas mix --model faces --rows 0-3 --cols 4-7 --layers 12-22 -o mix.png[/bold]
    """
    row_seeds, column_seeds = parse_numbers(rows, what="rows"), parse_numbers(cols, what="cols")
    chosen = None if layers is None else parse_numbers(layers, what="layers")

    import torch

    from ganvas.editing.mix import mixing_sheet
    from ganvas.errors import BadConfig
    from ganvas.images.files import write_image
    from ganvas.images.sheet import grid

    G = open_generator(model)
    if G.num_ws == 1:
        raise BadConfig(f"{model} has a single latent row, so there are no layers to mix; try 'ganvas interpolate'")
    chosen = list(range(G.num_ws // 2, G.num_ws)) if chosen is None else chosen
    row_ws = map_seeds(G, row_seeds, trunc=trunc, label=label)
    column_ws = map_seeds(G, column_seeds, trunc=trunc, label=label)
    mixed = mixing_sheet(row_ws, column_ws, chosen)  # [R, C, num_ws, w_dim]
    cells = [None, *column_ws]
    for row, line in zip(row_ws, mixed, strict=True):
        cells += [row, *line]
    size = (1, G.img_channels, G.img_resolution, G.img_resolution)
    with torch.no_grad():
        pictures = [
            torch.ones(size) if ws is None else G.synthesis(ws[None], noise_mode=noise_mode, precision=precision)
            for ws in track(cells, what="mixing", total=len(cells))
        ]
    write_image(grid(torch.cat(pictures).clamp(-1, 1), columns=1 + len(column_ws)), output)
    typer.echo(f"sheet: {output}")
