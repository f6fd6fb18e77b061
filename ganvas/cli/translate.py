"""ganvas translate: pictures in another domain, one or a folder of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import one_of
from ganvas.cli.process import configure_process, to_best_device

if TYPE_CHECKING:
    from ganvas.images.batch_paths import Task


def translate(
    source: Annotated[Path, typer.Option("--input", "-i", help="An image, or a folder of images.")],
    model: Annotated[
        str, typer.Option("--model", "-n", help="A catalogue name (vintage), a file, or the folder of a training run.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file or folder.")] = Path("results"),
    direction: Annotated[
        str | None,
        typer.Option(help="AtoB or BtoA, where the model is one of a pair; the domain to go to, where there are many."),
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="1 = the model's output, 0 = the input.")] = 1.0,
    statistics: Annotated[
        str,
        typer.Option(
            callback=one_of("training", "picture"),
            help="Batch norm statistics: training, or picture = of each image, as pix2pix was published.",
        ),
    ] = "training",
    tile: Annotated[
        int,
        typer.Option(
            "--tile", "-t", help="Compute images longer than this in strips of tile² pixels; 0 = as memory allows."
        ),
    ] = 0,
    suffix: Annotated[str, typer.Option(help="Suffix added to the names of results in a folder.")] = "out",
    ext: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "png", "jpg", "webp", "tif"), help="auto = same format as the input, png, jpg, …"
        ),
    ] = "auto",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include subfolders.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Skip images whose result exists.")] = False,
    precision: Annotated[
        str, typer.Option(callback=one_of("exact", "fast"), help="fast = bfloat16 where this is faster.")
    ] = "exact",
    disclose: DiscloseOption = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licences without asking.")] = False,
) -> None:
    """Translate images to another domain with any CycleGAN or pix2pix network, at any size.

    Example: [bold]ganvas translate -i holiday.jpg -o holiday-1970.jpg -n vintage[/bold]

    A folder: [bold]ganvas translate -i photos -o drawings -n runs/faces-drawing --direction AtoB --recursive[/bold]
    """
    from ganvas.cli.batch_report import BatchRunner, one_by_one
    from ganvas.images.batch_paths import list_tasks
    from ganvas.translation import TranslateConfig, translate_file, translator

    config = TranslateConfig(strength=strength, tile=tile, precision=precision)
    todo = list_tasks(source, output, suffix=suffix, ext=ext, recursive=recursive)
    ensure_models([model], yes=yes)
    configure_process()
    net: Any = to_best_device(translator(model, direction=direction, statistics=statistics))

    def make(task: Task, on_step: Callable[..., None]) -> Path:
        return translate_file(task, net, config, on_step=on_step, disclose=disclose)

    BatchRunner(todo, one_by_one(make), skip_existing=skip_existing).run()
