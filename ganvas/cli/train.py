"""ganvas train: a generator from a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ganvas.cli.parsing import require_metrics, settings_option
from ganvas.cli.train_arguments import TrainArguments
from ganvas.cli.training_common import (
    ConfigOption,
    DeviceOption,
    DryRunOption,
    KimgOption,
    ListOption,
    MinutesOption,
    NameOption,
    OutdirOption,
    SeedOption,
    SettingsOption,
    current_command,
    print_presets,
    print_result,
    print_settings,
    print_start,
    read_data,
    train_with_progress,
)
from ganvas.training.generator.config import TrainConfig


def train(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder, .zip or standard dataset (MNIST, CIFAR, .npz, tar, Parquet).", show_default=False
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="auto, a name (see --list), or a preset's .json file.")
    ] = "auto",
    outdir: OutdirOption = Path("runs"),
    name: NameOption = None,
    kimg: KimgOption = None,
    minutes: MinutesOption = None,
    settings: SettingsOption = None,
    init_from: Annotated[
        str | None, typer.Option(help="Fine-tune from weights: a file or a catalogue name. Enables FreezeD.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            callback=require_metrics, help="Measured at each snapshot, as 'ganvas evaluate' does: fd,kid,swd, or none."
        ),
    ] = None,
    fallback: Annotated[
        str | None, typer.Option(help="If the watchdog gives the run up: start this preset instead, in its own folder.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="auto (from the dataset), folders, or FILE.csv:COLUMN (default: none).")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Image size in pixels (default: the preset's).")] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=3, help="1 = grey, 3 = colour (default: 3).")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Decode images while training, without a cache: for sets beyond the disk.")
    ] = False,
    seed: SeedOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    dry_run: DryRunOption = False,
    show: ListOption = False,
    show_settings: Annotated[bool, settings_option(TrainConfig)] = False,
) -> None:
    """Train a generator on your own pictures. Run the same command again to resume.

    Example: [bold]ganvas train --data photos --minutes 30[/bold]
    """
    if show:
        from ganvas.training.generator.presets import GENERATOR_PRESETS

        return print_presets(GENERATOR_PRESETS)
    if data is None and config is None:
        raise typer.BadParameter("no training images: add --data DIR (a folder or a .zip)", param_hint="--data")

    from ganvas.cli.process import configure_process

    configure_process()
    request = TrainArguments(
        data=data,
        preset=preset,
        outdir=outdir,
        name=name,
        init_from=init_from,
        config=config,
        device=device,
        minutes=minutes,
    )
    changed = {"total_kimg": kimg, "minutes": minutes, "metrics": metrics, "labels": labels}
    changed |= {"resolution": resolution, "channels": channels, "seed": seed, "stream": stream or None}
    chosen = request.resolve(changed, settings)
    second = None if fallback is None else replace(request, preset=fallback, config=None, name=None, why=[], notes=[])
    second_config = None if second is None else second.resolve(changed, None)
    if dry_run:
        for line in request.why:
            print(f"auto: {line}")
        return print_settings(request.preset, request.folder(request.preset), chosen)
    from ganvas.training.engine.loop import FailedTraining

    try:
        _run(request, chosen)
    except FailedTraining as error:
        if second is None or second_config is None:
            raise
        print(f"{error}\nfallback: {second.preset}", flush=True)
        _run(second, second_config)


def _run(request: TrainArguments, config: TrainConfig) -> None:
    from ganvas.training.engine.distributed import in_turns, init_distributed
    from ganvas.training.generator.train import as_image_dataset, train

    world = init_distributed(request.device)
    folder = request.folder(request.preset)
    if world.is_main:
        for line in request.why:
            print(f"auto: {line}")
    read = read_data if world.is_main else _read_quietly
    pictures = in_turns(lambda: read(as_image_dataset, request.data, config), world)
    if world.is_main:
        notes = [f"settled: {line}" for line in request.notes]
        if config.mirror:
            notes.append("images are also shown mirrored: use --set mirror=false for anything with text")
        print_start(request.preset, config, folder, report=pictures.report, notes=notes)
    facts = {
        "preset": request.preset,
        "asked": "auto" if request.why else request.preset,
        "init_from": request.init_from,
        "command": current_command(),
        "data": {"path": str(request.data), "report": list(pictures.report)},
    }
    done = train_with_progress(
        train,
        pictures,
        config=config,
        folder=folder,
        init_from=request.init_from,
        device=request.device,
        facts=facts,
    )
    if world.is_main:
        new = f"generate images: ganvas generate --model {folder / 'model.safetensors'}"
        print_result(done, folder, [new, "to train longer: run the same command with a larger --kimg or --minutes"])


def _read_quietly(read: Callable[..., Any], data: Path | None, config: TrainConfig) -> Any:
    """`read_data` in a process beside the first, which is the one that speaks."""
    return read(data, config)
