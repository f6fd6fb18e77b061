"""ganvas train-upscaler: a network that makes pictures larger, from a folder of photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganvas.cli.parsing import settings_option
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
    apply_options,
    choose_start,
    current_command,
    print_presets,
    print_result,
    print_settings,
    print_start,
    read_data,
    run_folder,
    train_with_progress,
)
from ganvas.training.upscaler.config import UpscalerConfig


def train_upscaler(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder or .zip of photos, larger than 128 px.", show_default=False)
    ] = None,
    preset: Annotated[str, typer.Option("--preset", "-p", help="A name (see --list).")] = "compact-x4",
    valid: Annotated[
        Path | None, typer.Option("--valid", help="Validation photos (default: some of the data are held out).")
    ] = None,
    outdir: OutdirOption = Path("runs"),
    name: NameOption = None,
    kimg: KimgOption = None,
    minutes: MinutesOption = None,
    settings: SettingsOption = None,
    init_from: Annotated[
        str | None, typer.Option(help="Fine-tune from an upscaler's weights: a file or a catalogue name.")
    ] = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    dry_run: DryRunOption = False,
    show: ListOption = False,
    show_settings: Annotated[bool, settings_option(UpscalerConfig)] = False,
) -> None:
    """Train an upscaler on your own photos. Run the same command again to resume.

    Example: [bold]ganvas train-upscaler --data photos --kimg 200[/bold]

    The result works at once: [bold]ganvas upscale -i small.jpg -n runs/photos-compact-x4/model.safetensors[/bold]
    """
    from ganvas.training.upscaler.presets import UPSCALER_PRESETS, find_upscaler_preset

    if show:
        return print_presets(UPSCALER_PRESETS)

    def find_preset(_: Path) -> tuple[str, UpscalerConfig]:
        return preset, find_upscaler_preset(preset)

    data, preset, start = choose_start(config, UpscalerConfig, data, "--data", find_preset)
    chosen = apply_options(start, {"total_kimg": kimg, "minutes": minutes, "seed": seed}, settings)
    folder = run_folder(outdir, name, data, preset)
    if dry_run:
        return print_settings(preset, folder, chosen)
    _run(chosen, data, valid, folder, preset=preset, init_from=init_from, device=device)


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
    from ganvas.cli.ensure_models import ensure_models
    from ganvas.training.upscaler.train import as_photo_dataset, train_upscaler

    ensure_models([] if init_from is None else [init_from])
    photos = read_data(as_photo_dataset, data, config)
    notes = []
    if config.pixel_kimg is not None and config.pixel_kimg >= config.total_kimg:
        notes = [
            (
                f"note: the GAN stage starts at {config.pixel_kimg:g} kimg, after the end of this run: use "
                "--set pixel_kimg=…"
            )
        ]
    print_start(preset, config, folder, report=photos.report, what="crops", notes=notes)
    done = train_with_progress(
        train_upscaler,
        photos,
        config=config,
        valid=valid,
        folder=folder,
        init_from=init_from,
        device=device,
        facts={"preset": preset, "init_from": init_from, "command": current_command(), "data": {"path": str(data)}},
    )
    larger = f"upscale: ganvas upscale -i small.jpg -o large.png -n {folder / 'model.safetensors'}"
    print_result(done, folder, [larger, "to train longer: run the same command with a larger --kimg or --minutes"])
