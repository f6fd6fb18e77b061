"""ganvas tune: which settings suit these pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.training_common import DeviceOption, ProgressReporter

if TYPE_CHECKING:
    from ganvas.training.generator.tune import Trial


def tune(
    data: Annotated[Path, typer.Option("--data", help="Folder or .zip of images of any size.")],
    minutes: Annotated[float, typer.Option(help="Time limit of the whole search in minutes.", min=0.01)] = 60,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="Preset to start from: auto, a name or a file.")
    ] = "auto",
    trials: Annotated[int, typer.Option(help="Number of trials.", min=3)] = 8,
    outdir: Annotated[Path, typer.Option(help="Parent folder of the search.")] = Path("runs"),
    settings: Annotated[list[str] | None, typer.Option("--set", help="Settings for all trials: batch_size=8.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Search learning rates, gamma and augmentation at a small budget; ends in a preset for ganvas train.

    Example: [bold]ganvas tune --data photos --minutes 60[/bold]
    """
    from ganvas.cli.process import configure_process
    from ganvas.cli.train_arguments import TrainArguments
    from ganvas.training.generator.train import as_image_dataset
    from ganvas.training.generator.tune import tune as search

    configure_process()
    request = TrainArguments(data=data, preset=preset, outdir=outdir, device=device, minutes=minutes)
    start = request.resolve({}, settings)
    pictures = as_image_dataset(data, start)
    folder = request.folder(f"tune-{request.preset}")
    print(f"{trials} trials of {request.preset}, {60 * minutes / trials:.0f} seconds each: {folder}", flush=True)
    reporter = ProgressReporter()
    outcome = search(
        pictures,
        start=start,
        minutes=minutes,
        trials=trials,
        folder=folder,
        base=request.preset,
        on_trial=lambda trial: _print_trial(trial, reporter),
        on_step=reporter,
        device=device,
    )
    print(f"best: trial {outcome.best.number}, FD-EffNet {outcome.best.fd:.1f}. Train with it:")
    print(f"ganvas train --data {data} --preset {outcome.path}")


def _print_trial(trial: Trial, reporter: ProgressReporter) -> None:
    reporter.close()
    score_text = f"FD-EffNet {trial.fd:.1f}" if trial.fd is not None else f"failed: {trial.words}"
    settings_text = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in trial.settings.items()
    )
    print(f"trial {trial.number}: {score_text} after {trial.kimg:g} kimg ({settings_text})", flush=True)
