"""ganvas tune: which settings suit these pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ganvas.training.tune import Trial


def tune(
    data: Annotated[Path, typer.Option("--data", help="A folder or .zip of pictures of any size.")],
    minutes: Annotated[float, typer.Option(help="For the whole search.", min=0.01)] = 60,
    preset: Annotated[str, typer.Option("--preset", "-p", help="What to start from: auto, a name or a file.")] = "auto",
    trials: Annotated[int, typer.Option(help="How many settings are tried.", min=3)] = 8,
    outdir: Annotated[Path, typer.Option(help="Where the search's folder is made.")] = Path("runs"),
    settings: Annotated[list[str] | None, typer.Option("--set", help="Settings for all trials: batch_size=8.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Search learning rates, gamma and augmentation at a small budget; ends in a preset for ganvas train.

    Example: [bold]ganvas tune --data photos --minutes 60[/bold]
    """
    from ganvas.cli.machine import prepare_machine
    from ganvas.cli.train import Request, Voice
    from ganvas.training.generator_loop import as_pictures
    from ganvas.training.tune import tune as search

    prepare_machine()
    request = Request(data=data, preset=preset, outdir=outdir, device=device, minutes=minutes)
    start = request.resolve({}, settings or [])
    pictures = as_pictures(data, start)
    folder = request.folder(f"tune-{request.preset}")
    print(f"{trials} trials of {request.preset}, {60 * minutes / trials:.0f} seconds each: {folder}", flush=True)
    voice = Voice()
    found = search(
        pictures,
        start=start,
        minutes=minutes,
        trials=trials,
        folder=folder,
        base=request.preset,
        on_trial=lambda trial: _say(trial, voice),
        on_step=voice,
        device=device,
    )
    print(f"best: trial {found.best.number}, FD-EffNet {found.best.fd:.1f}. Train with it:")
    print(f"ganvas train --data {data} --preset {found.path}")


def _say(trial: Trial, voice: object) -> None:
    from ganvas.cli.train import Voice

    assert isinstance(voice, Voice)
    voice.close()
    told = f"FD-EffNet {trial.fd:.1f}" if trial.fd is not None else f"no distance: {trial.words}"
    shown = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in trial.settings.items()
    )
    print(f"trial {trial.number}: {told} after {trial.kimg:g} kimg ({shown})", flush=True)
