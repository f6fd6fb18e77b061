"""ganvas train-upscaler: a network that makes pictures larger, from a folder of photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ganvas.cli.parsing import settings_option
from ganvas.cli.training_common import load_run_record, recorded_data_path, run_folder
from ganvas.training.upscaler.config import UpscalerConfig


def train_upscaler(
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder or .zip of photos, larger than 128 px.", show_default=False)
    ] = None,
    preset: Annotated[str, typer.Option("--preset", "-p", help="A name (see --list).")] = "compact-x4",
    valid: Annotated[
        Path | None, typer.Option("--valid", help="Photos to measure with; default: some of the data are kept back.")
    ] = None,
    outdir: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Of the run's folder; default: data and preset.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Stop after so many thousand crops.", min=0.001)] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so much training time, over all resumes.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: lr=0.001, generator.num_feat=48. See --dry-run.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(help="Start from an upscaler's weights: a file or a catalogue name.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", min=0)] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A run.json: that run once more.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show every setting and stop.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show the presets and stop.")] = False,
    show_settings: Annotated[bool, settings_option(UpscalerConfig)] = False,
) -> None:
    """Train an upscaler on your own photos. The same command again goes on where it stopped.

    Example: [bold]ganvas train-upscaler --data photos --kimg 200[/bold]

    What comes out works at once: [bold]ganvas upscale -i small.jpg -n runs/photos-compact-x4/model.safetensors[/bold]
    """
    from ganvas.training.upscaler.presets import UPSCALER_PRESETS

    if show:
        width = max(map(len, UPSCALER_PRESETS))
        for key, recipe in UPSCALER_PRESETS.items():
            print(f"{key:{width}}  {recipe.about} [{recipe.result}]")
        return
    record = {} if config is None else load_run_record(config, "upscaler")
    preset, data = record.get("preset", preset), data or recorded_data_path(record)
    if data is None:
        raise typer.BadParameter("which photos? --data DIR (a folder or a .zip)", param_hint="--data")

    from ganvas.cli.process import configure_process

    configure_process()
    changed = {"total_kimg": kimg, "minutes": minutes, "seed": seed}
    chosen = _build_config(
        record, preset, {key: value for key, value in changed.items() if value is not None}, settings
    )
    folder = run_folder(outdir, name, data, preset)
    if dry_run:
        print(f"preset: {preset}\nrun: {folder}")
        for key, value in chosen.to_json().items():
            print(f"{key} = {json.dumps(value)}")
        return
    _run(chosen, data, valid, folder, preset=preset, init_from=init_from, device=device)


def _build_config(
    record: dict[str, Any], preset: str, changed: dict[str, Any], settings: list[str] | None
) -> UpscalerConfig:
    """The recipe or the run that is repeated, then options, then --set."""
    from dataclasses import replace

    from ganvas.cli.training_common import parse_settings
    from ganvas.training.engine.config_base import apply_settings
    from ganvas.training.upscaler.presets import find_upscaler_preset

    start = UpscalerConfig.from_json(record["config"], who="run.json") if record else find_upscaler_preset(preset)
    return apply_settings(replace(start, **changed), parse_settings(settings or []))


def _run(
    config: UpscalerConfig,
    data: Path,
    valid: Path | None,
    folder: Path,
    *,
    preset: str,
    init_from: str | None,
    device: str,
) -> None:
    from ganvas.cli.console import ProgressBar
    from ganvas.cli.ensure_models import ensure_models
    from ganvas.cli.training_common import ProgressReporter, current_command, format_duration
    from ganvas.training.upscaler.train import as_photo_dataset, train_upscaler

    ensure_models([] if init_from is None else [init_from])
    with ProgressBar(f"reading {data}") as progress:
        photos = as_photo_dataset(data, config, on_step=progress.step)
    for line in photos.report:
        print(f"data: {line}")
    limit = "" if config.minutes is None else f" or {config.minutes:g} minutes"
    print(f"preset: {preset}, {config.total_kimg:g} thousand crops{limit}; every setting: --dry-run")
    if config.pixel_kimg is not None and config.pixel_kimg >= config.total_kimg:
        print(f"the discriminator would join at {config.pixel_kimg:g} kimg, which is not reached: --set pixel_kimg=…")
    print(f"run: {folder}", flush=True)
    facts = {"preset": preset, "init_from": init_from, "command": current_command(), "data": {"path": str(data)}}
    reporter = ProgressReporter()
    try:
        done = train_upscaler(
            photos,
            config=config,
            valid=valid,
            folder=folder,
            init_from=init_from,
            on_step=reporter,
            device=device,
            facts=facts,
        )
    finally:
        reporter.close()
    print(f"{done.nimg / 1000:g} kimg in {format_duration(done.sec)}: {folder}")
    if not done.finished:
        print(f"saved. To go on: {current_command()}")
        return
    print(f"look at {folder / 'report.html'}")
    print(f"larger pictures: ganvas upscale -i small.jpg -o large.png -n {folder / 'model.safetensors'}")
    print("longer: the same command with a larger --kimg or --minutes")
