"""ganvas upscale: larger pictures, one or a folder of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.compare import compare_upscalers, parse_names
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import one_of
from ganvas.cli.process import configure_process, has_cuda, to_best_device

if TYPE_CHECKING:
    from ganvas.images.batch_paths import Task


def upscale(
    source: Annotated[Path, typer.Option("--input", "-i", help="An image, or a folder of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file or folder.")] = Path("results"),
    model: Annotated[
        str | None,
        typer.Option("--model", "-n", help="A catalogue name or a file (default: chosen for this machine)."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", "-s", help="Scale factor, e.g. 2 or 3.5 (default: the model's)."),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option("--denoise", "-dn", help="0 = keep grain … 1 = smooth; for realesr-general-x4v3 (there 0.5)."),
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="1 = the model's output, 0 = plain resampling.")] = 1.0,
    tile: Annotated[int, typer.Option("--tile", "-t", help="Tile size in pixels; 0 = as memory allows.")] = 0,
    tile_pad: Annotated[
        int | None, typer.Option("--tile-pad", help="Tile overlap in pixels (default: enough to leave no seam).")
    ] = None,
    suffix: Annotated[str, typer.Option(help="Suffix added to the names of results in a folder.")] = "out",
    ext: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "png", "jpg", "webp", "tif"), help="auto = same format as the input, png, jpg, …"
        ),
    ] = "auto",
    face_enhance: Annotated[
        bool, typer.Option("--face-enhance", help="Restore faces with the face model and paste them back.")
    ] = False,
    face_strength: Annotated[
        float, typer.Option(min=0, max=1, help="With --face-enhance: 1 = the restored face, 0 = the upscaled face.")
    ] = 0.7,
    face_model: Annotated[str, typer.Option(help="With --face-enhance: the face model.")] = "faces",
    compare: Annotated[
        str | None,
        typer.Option(help="Two to nine upscalers, a,b,c: a file of each in the folder of -o, and a sheet."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include subfolders.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Skip images whose result exists.")] = False,
    lock_colours: Annotated[
        bool, typer.Option("--lock-colours/--free-colours", help="Keep the low-frequency colours of the input.")
    ] = True,
    precision: Annotated[
        str, typer.Option(callback=one_of("exact", "fast"), help="fast = bfloat16 where this is faster.")
    ] = "exact",
    disclose: DiscloseOption = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licences without asking.")] = False,
) -> None:
    """Upscale images by any scale, without seams; transparency, 16 bits, profile and metadata are preserved.

    Example: [bold]ganvas upscale -i holiday.jpg -o holiday-large.png -s 4[/bold]

    Which one? [bold]ganvas upscale -i holiday.jpg -o compared --compare compact-x4,realesr-animevideov3[/bold]

    A folder: [bold]ganvas upscale -i photos -o larger -s 2 --recursive --skip-existing[/bold]
    """
    from ganvas.cli.batch_report import BatchRunner, one_by_one
    from ganvas.images.batch_paths import list_tasks
    from ganvas.upscaling.folders import upscale_file
    from ganvas.upscaling.upscale import UpscaleConfig, upscaler

    config = UpscaleConfig(
        scale=scale, strength=strength, tile=tile, tile_pad=tile_pad, lock_colours=lock_colours, precision=precision
    )
    if compare is not None:
        names = parse_names(compare)
        if not source.is_file():
            raise typer.BadParameter(f"--compare takes one image as -i, got {source}")
        ensure_models([name for name in names if not Path(name).is_file()], yes=yes)
        configure_process()
        return compare_upscalers(source, output, names, config, ext=ext)
    todo = list_tasks(source, output, suffix=suffix, ext=ext, recursive=recursive)
    name, denoise = _choose_model(model, denoise)
    ensure_models(_required_models(name, denoise, face_enhance, face_model), yes=yes)
    configure_process()
    net = to_best_device(upscaler(name, denoise=denoise))
    face_restorer = _face_restorer(face_model, face_strength, disclose) if face_enhance else None

    def make(task: Task, on_step: Callable[..., None]) -> Path:
        how: Any = upscale_file if face_restorer is None else face_restorer.upscale_file
        written: Path = how(task, net, config, on_step=on_step)
        return written

    BatchRunner(todo, one_by_one(make), skip_existing=skip_existing).run()


def _choose_model(model: str | None, denoise: float | None) -> tuple[str, float | None]:
    """The model's name, and the share of it when interpolated with its variant."""
    from ganvas.upscaling.upscale import DENOISE_PAIRS, LIGHT_MODEL, STRONG_MODEL

    if model is None:
        model = STRONG_MODEL if has_cuda() else LIGHT_MODEL
        if model == LIGHT_MODEL:
            typer.echo(
                f"model: {LIGHT_MODEL}, the fast one bundled with ganvas; -n {STRONG_MODEL} generates "
                "more detail in photos, is downloaded once, and is about 100 times slower here"
            )
    return model, 0.5 if denoise is None and model in DENOISE_PAIRS else denoise


def _required_models(name: str, denoise: float | None, face_enhance: bool, face_model: str) -> list[str]:
    from ganvas.upscaling.upscale import DENOISE_PAIRS

    names = [name]
    if denoise is not None and denoise < 1 and name in DENOISE_PAIRS:
        names.append(DENOISE_PAIRS[name])
    return names + ([face_model, "mtcnn", "efficientnet-lite0"] if face_enhance else [])


def _face_restorer(model: str, strength: float, disclose: bool) -> Any:
    from ganvas.cli.face_enhance import FaceRestorer

    return FaceRestorer(model, strength=strength, disclose=disclose)
