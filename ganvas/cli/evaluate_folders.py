"""ganvas evaluate inversion, edits, upscaler: figures of every picture of a folder, as text, JSON and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.generator_options import PrecisionOption, open_generator
from ganvas.cli.parsing import one_of
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from ganvas.evaluation.edits import EditPair
    from ganvas.evaluation.folder_figures import FolderFigures

FiguresOption = Annotated[Path | None, typer.Option("--output", "-o", help="Also write the figures as JSON.")]
PageOption = Annotated[
    Path | None, typer.Option("--report", help="Also write a page (.html) with figures, protocol and sheets.")
]
FolderSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]


def measure_inversion(
    photos: Annotated[Path, typer.Argument(help="Folder of photos.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A catalogue name, or a file of any generator.")
    ] = "faces",
    effort: Annotated[
        str, typer.Option(callback=one_of("fast", "standard", "best"), help="fast, standard or best.")
    ] = "standard",
    align: Annotated[
        str, typer.Option(callback=one_of("auto", "faces", "centre"), help="faces, centre, or auto (by the model).")
    ] = "auto",
    max_sec: Annotated[float | None, typer.Option(min=1, help="Approximate limit for each photo, in seconds.")] = None,
    seed: FolderSeedOption = 0,
    output: FiguresOption = None,
    report: PageOption = None,
) -> None:
    """How faithfully photos are found: identity, PSNR, SSIM, features, expression; means, spread, the ten worst.

    Example: [bold]ganvas evaluate inversion photos --effort fast --report inversion.html[/bold]
    """
    _check_outputs(output, report)
    from ganvas.evaluation.inversions import measure_inversions
    from ganvas.features.efficientnet import load_efficientnet_if_available

    G = open_generator(model)

    def measure(on_step: Callable[[int, int], object]) -> FolderFigures:
        return measure_inversions(
            photos,
            G,
            effort=effort,
            align=align,
            seed=seed,
            max_sec=max_sec,
            extractor=load_efficientnet_if_available(),
            on_step=on_step,
        )

    _print_and_write(measure, output, report)


def measure_edited(
    originals: Annotated[Path, typer.Argument(help="Folder of photos.")],
    edited: Annotated[
        Path | None, typer.Argument(help="Folder of their edits, named alike; or give --recipe.", show_default=False)
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Edit every photo by this recipe (JSON, or an image saved by ganvas).")
    ] = None,
    align: Annotated[
        str,
        typer.Option(callback=one_of("faces", "centre"), help="faces, or centre: already framed as FFHQ's photos."),
    ] = "faces",
    effort: Annotated[
        str | None, typer.Option(callback=one_of("fast", "standard", "best"), help="With --recipe: of the inversions.")
    ] = None,
    output: FiguresOption = None,
    report: PageOption = None,
) -> None:
    """What edits did: is it the same person, does the face hold together (critic), is the rest of the photo untouched?

    Example: [bold]ganvas evaluate edits photos smiling -o edits.json[/bold]
    """
    if (edited is None) == (recipe is None):
        raise typer.BadParameter("give a folder of edits, or --recipe RECIPE to edit the photos with")
    _check_outputs(output, report)
    from ganvas.evaluation.edits import measure_edits, pair_edits
    from ganvas.features.efficientnet import load_efficientnet_if_available

    configure_process()
    facts: dict[str, Any] = {}
    if recipe is not None:
        pairs, facts = _edit_by_recipe(originals, recipe, align, effort)
        missing: dict[str, str] = {}
    else:
        assert edited is not None
        pairs, missing = pair_edits(originals, edited)

    def measure(on_step: Callable[[int, int], object]) -> FolderFigures:
        extractor = load_efficientnet_if_available()
        return measure_edits(pairs, protocol=facts, missing=missing, align=align, extractor=extractor, on_step=on_step)

    _print_and_write(measure, output, report)


def _edit_by_recipe(
    originals: Path, recipe: Path, align: str, effort: str | None
) -> tuple[dict[str, EditPair], dict[str, Any]]:
    """Pairs whose edit is made when it is its turn, and how."""
    from ganvas.cli.edit import read_recipe
    from ganvas.evaluation.inversions import list_photos
    from ganvas.images.files import read_image
    from ganvas.images.photo import Photo
    from ganvas.session.open import open_session

    wanted = read_recipe(recipe)
    G, effort = open_generator(wanted.model), effort or wanted.effort

    def editor(file: Path) -> EditPair:
        def edit() -> tuple[Photo, Photo]:
            photo = read_image(file)
            session = open_session(photo, model=G, name=wanted.model, effort=effort, align=align)
            session.replay(wanted)
            return photo, session.render()

        return edit

    facts = {"model": wanted.model, "effort": effort, "recipe": recipe.name}
    return {name: editor(originals / name) for name in list_photos(originals)}, facts


def measure_upscaling(
    truths: Annotated[Path, typer.Argument(help="Folder or .zip of sharp photos.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A catalogue name, or a file.")] = "compact-x4",
    degradation: Annotated[
        str,
        typer.Option(
            callback=one_of("bicubic", "real"), help="How they are made small: bicubic, or real (blur, noise, JPEG)."
        ),
    ] = "bicubic",
    largest: Annotated[int, typer.Option(min=64, help="Of each photo, at most a middle of so many pixels.")] = 1024,
    precision: PrecisionOption = "exact",
    seed: FolderSeedOption = 0,
    output: FiguresOption = None,
    report: PageOption = None,
) -> None:
    """Make photos small, enlarge them, compare with the truth: PSNR, SSIM, feature distance, seconds per megapixel.

    Example: [bold]ganvas evaluate upscaler photos --model compact-x4 -o figures.json[/bold]
    """
    _check_outputs(output, report)
    from ganvas.evaluation.upscalers import measure_upscaler
    from ganvas.features.efficientnet import load_efficientnet_if_available
    from ganvas.upscaling.upscale import upscaler

    configure_process()
    net = upscaler(model)

    def measure(on_step: Callable[[int, int], object]) -> FolderFigures:
        return measure_upscaler(
            truths,
            net,
            degradation=degradation,
            largest_px=largest,
            precision=precision,
            seed=seed,
            extractor=load_efficientnet_if_available(),
            on_step=on_step,
        )

    _print_and_write(measure, output, report)


def check_parent(path: Path | None, option: str) -> None:
    """Wrong usage where a file would have no folder; said before the work."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"{option}: there is no folder {str(path.parent)!r}")


def _check_outputs(output: Path | None, report: Path | None) -> None:
    check_parent(output, "--output")
    check_parent(report, "--report")


def _print_and_write(
    measure: Callable[[Callable[[int, int], object]], FolderFigures], output: Path | None, report: Path | None
) -> None:
    from ganvas.evaluation.report import write_folder_page

    with ProgressBar("measuring") as progress:
        figures = measure(progress.step)
    for line in figures.lines():
        typer.echo(line)
    if report is not None:
        write_folder_page(report, figures)
        typer.echo(f"report: {report}")
    if output is not None:
        write_figures(figures.to_dict(), output)


def write_figures(figures: dict[str, Any], output: Path) -> None:
    """JSON, under a temporary name first."""
    import json

    from ganvas.weights.checkpoint import write_atomically

    text = json.dumps(figures, indent=1, ensure_ascii=False)
    write_atomically(output, lambda part: Path(part).write_text(text + "\n", encoding="utf-8"))
    typer.echo(f"metrics: {output}")
