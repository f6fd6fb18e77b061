"""ganvas upscale: larger pictures, one or a folder of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.choices import one_of
from ganvas.cli.console import Progress, say_error
from ganvas.cli.fetch import have
from ganvas.cli.machine import prepare_machine

if TYPE_CHECKING:
    from ganvas.upscaling.folders import Task
    from ganvas.upscaling.upscale import UpscaleConfig


def upscale(
    source: Annotated[Path, typer.Option("--input", "-i", help="A picture, or a folder of pictures.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The larger picture's file, or a folder.")] = Path(
        "results"
    ),
    model: Annotated[
        str | None,
        typer.Option("--model", "-n", help="A catalogue name or a file; by default one that suits this machine."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", "-s", help="How many times larger, such as 2 or 3.5; default: the model's."),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option("--denoise", "-dn", help="0 = keep grain … 1 = smooth; for realesr-general-x4v3 (there 0.5)."),
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="1 = the model's picture, 0 = plain resampling.")] = 1.0,
    tile: Annotated[int, typer.Option("--tile", "-t", help="Side of a tile in pixels; 0 = as memory allows.")] = 0,
    tile_pad: Annotated[
        int | None, typer.Option("--tile-pad", help="Pixels around a tile; default: as many as leave no seam.")
    ] = None,
    suffix: Annotated[str, typer.Option(help="Added to the names of results in a folder.")] = "out",
    ext: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "png", "jpg", "webp", "tif"), help="auto = as the picture is, png, jpg, …"
        ),
    ] = "auto",
    face_enhance: Annotated[
        bool, typer.Option("--face-enhance", help="Faces are painted anew by the face model, and laid in.")
    ] = False,
    face_strength: Annotated[
        float, typer.Option(min=0, max=1, help="With --face-enhance: 1 = the face model's face, 0 = none of it.")
    ] = 0.7,
    face_model: Annotated[str, typer.Option(help="With --face-enhance: the generator of faces.")] = "faces",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Folders in the folder, too.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave results that are there.")] = False,
    lock_colours: Annotated[
        bool, typer.Option("--lock-colours/--free-colours", help="Broad colours stay those of the picture.")
    ] = True,
    precision: Annotated[
        str, typer.Option(callback=one_of("exact", "fast"), help="fast = bfloat16 where it is quicker here.")
    ] = "exact",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="You have seen the licences; do not ask.")] = False,
) -> None:
    """Make pictures larger: any scale, no seams, with transparency, 16 bits, profile and metadata kept.

    Example: [bold]ganvas upscale -i holiday.jpg -o holiday-large.png -s 4[/bold]

    A folder: [bold]ganvas upscale -i photos -o larger -s 2 --recursive --skip-existing[/bold]
    """
    from ganvas.upscaling.folders import clashes, tasks
    from ganvas.upscaling.upscale import UpscaleConfig, upscaler

    config = UpscaleConfig(
        scale=scale, strength=strength, tile=tile, tile_pad=tile_pad, lock_colours=lock_colours, precision=precision
    )
    todo = tasks(source, output, suffix=suffix, ext=ext, recursive=recursive)
    name, denoise = _choice(model, denoise)
    have(_needed(name, denoise, face_enhance, face_model), yes=yes)
    prepare_machine()
    net = _on_best_device(upscaler(name, denoise=denoise))
    faces = _face_painter(face_model, face_strength) if face_enhance else None
    report = _Report(len(todo), clashes(todo), skip_existing=skip_existing)
    for task in todo:
        report.run(task, net, config, faces)
    report.close()


def _choice(model: str | None, denoise: float | None) -> tuple[str, float | None]:
    """The model's name, and how much of it is mixed with its twin."""
    from ganvas.upscaling.upscale import DENOISE_PAIRS, LIGHT, STRONG

    if model is None:
        model = STRONG if _has_cuda() else LIGHT
        if model == LIGHT:
            typer.echo(
                f"model: {LIGHT}, the quick one; -n {STRONG} draws more detail into photos and takes about 30 times "
                "as long here"
            )
    return model, 0.5 if denoise is None and model in DENOISE_PAIRS else denoise


def _needed(name: str, denoise: float | None, face_enhance: bool, face_model: str) -> list[str]:
    from ganvas.upscaling.upscale import DENOISE_PAIRS

    names = [name]
    if denoise is not None and denoise < 1 and name in DENOISE_PAIRS:
        names.append(DENOISE_PAIRS[name])
    return names + ([face_model, "mtcnn", "efficientnet-lite0"] if face_enhance else [])


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _on_best_device(net: Any) -> Any:
    return net.to("cuda") if _has_cuda() else net


def _face_painter(model: str, strength: float) -> Any:
    from ganvas.cli.face_enhance import FacePainter

    return FacePainter(model, strength=strength)


class _Report:
    """Runs one task after the other; what fails is told at once and again at the end, and the rest goes on."""

    def __init__(self, total: int, clashing: dict[Path, Path], *, skip_existing: bool):
        self.total, self.clashing, self.skip_existing = total, clashing, skip_existing
        self.done: list[Path] = []
        self.skipped = 0
        self.failed: list[tuple[Path, str]] = []
        self._started_sec = time.monotonic()

    def run(self, task: Task, net: Any, config: UpscaleConfig, faces: Any) -> None:
        """One picture; nothing that is wrong with it leaves this function."""
        from ganvas.errors import GanvasError

        if self.skip_existing and task.target.exists():
            self.skipped += 1
            return
        try:
            if task.source in self.clashing:
                raise GanvasError(f"its result would overwrite that of {self.clashing[task.source]}")
            self._say(self._make(task, net, config, faces))
        except (GanvasError, OSError, MemoryError) as error:
            self.failed.append((task.source, str(error)))
            say_error(error)

    def _make(self, task: Task, net: Any, config: UpscaleConfig, faces: Any) -> Path:
        from ganvas.upscaling.folders import upscale_file

        with Progress(task.source.name) as progress:
            if faces is None:
                return upscale_file(task, net, config, on_step=progress.step)
            written: Path = faces.upscale_file(task, net, config, on_step=progress.step)
            return written

    def _say(self, path: Path) -> None:
        self.done.append(path)
        count = len(self.done) + len(self.failed)
        left_sec = (time.monotonic() - self._started_sec) / count * (self.total - self.skipped - count)
        more = f"  ({count + self.skipped} of {self.total}, about {_duration(left_sec)} left)" if left_sec else ""
        typer.echo(f"saved: {path}{more}")

    def close(self) -> None:
        """The end: counts, and every file that failed; exit status 1 if there is one."""
        if self.total > 1:
            skipped = f", {self.skipped} skipped" if self.skipped else ""
            typer.echo(f"{len(self.done)} saved{skipped}, {len(self.failed)} failed")
        if self.failed:
            for path, why in self.failed if self.total > 1 else []:
                typer.echo(f"failed: {why if str(path) in why else f'{path}: {why}'}", err=True)
            raise typer.Exit(1)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )
