"""ganvas train-translator: a network that shows pictures of one collection as if they were of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ganvas.cli.parsing import one_of, settings_option
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
    resolve_device_type,
    run_folder,
    train_with_progress,
)
from ganvas.training.translator.config import TranslatorConfig


def train_translator(
    data: Annotated[
        Path | None,
        typer.Option("--dataroot", "--data", help="Folder with trainA/ and trainB/, or train/ with A|B side by side."),
    ] = None,
    paired: Annotated[
        bool | None, typer.Option("--paired/--unpaired", help="Whether trainA and trainB have pairs of equal names.")
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(callback=one_of("AtoB", "BtoA"), help="The one direction that pairs, or contrast (CUT), teach."),
    ] = None,
    domains: Annotated[
        bool, typer.Option("--domains", help="Many domains, a folder each (StarGAN): one network for all ways.")
    ] = False,
    preset: Annotated[str, typer.Option("--preset", "-p", help="auto, or a name (see --list).")] = "auto",
    outdir: OutdirOption = Path("runs"),
    name: NameOption = None,
    kimg: KimgOption = None,
    minutes: MinutesOption = None,
    settings: SettingsOption = None,
    resolution: Annotated[int | None, typer.Option(help="Image size in pixels (default: the preset's).", min=8)] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=3, help="1 = grey, 3 = colour (default: 3).")] = None,
    init_from: Annotated[
        str | None, typer.Option(help="Start from a translator's weights: a catalogue name, a file, or a run.")
    ] = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    dry_run: DryRunOption = False,
    show: ListOption = False,
    show_settings: Annotated[bool, settings_option(TranslatorConfig)] = False,
) -> None:
    """Train a translator on two collections of your own. Run the same command again to resume.

    Without pairs (CycleGAN), photos in trainA and paintings in trainB:
    [bold]ganvas train-translator --dataroot paintings --minutes 60[/bold]

    One direction only (CUT):
    [bold]ganvas train-translator --dataroot paintings --preset cut-64-cpu[/bold]

    With pairs (pix2pix): [bold]ganvas train-translator --dataroot drawings --paired --direction BtoA[/bold]

    Many domains (StarGAN), a folder of images each: [bold]ganvas train-translator --dataroot hair --domains[/bold]

    The result works at once: [bold]ganvas translate -i IN -o OUT -n runs/paintings-cyclegan-64-cpu[/bold]
    """
    changed: dict[str, Any]
    if show:
        from ganvas.training.domains.config import DOMAINS_PRESETS
        from ganvas.training.translator.presets import TRANSLATOR_PRESETS

        return print_presets({**TRANSLATOR_PRESETS, **DOMAINS_PRESETS})
    if domains:
        from ganvas.cli.train_domains import train_between_domains

        if channels is not None or init_from is not None:
            raise typer.BadParameter("--channels and --init-from are not for --domains", param_hint="--domains")
        changed = {"total_kimg": kimg, "minutes": minutes, "seed": seed, "resolution": resolution}
        return train_between_domains(
            data, config, preset, changed, settings, outdir=outdir, name=name, device=device, dry_run=dry_run
        )
    from ganvas.training.translator.presets import find_translator_preset, resize_config

    def find_preset(data: Path) -> tuple[str, TranslatorConfig]:
        name = _choose_preset(preset, data, paired, device)
        return name, find_translator_preset(name)

    data, preset, start = choose_start(config, TranslatorConfig, data, "--dataroot", find_preset)
    start = start if resolution is None else resize_config(start, resolution)
    changed = {"total_kimg": kimg, "minutes": minutes, "seed": seed, "direction": direction}
    changed |= {"channels_a": channels, "channels_b": channels}
    changed["pairing"] = {None: None, True: "paired", False: "unpaired"}[paired]
    chosen = apply_options(start, changed, settings)
    folder = run_folder(outdir, name, data, preset)
    if dry_run:
        return print_settings(preset, folder, chosen)
    _run(chosen, data, folder, preset=preset, init_from=init_from, device=device)


def _choose_preset(preset: str, data: Path, paired: bool | None, device: str) -> str:
    """--preset auto becomes a name: by what the folder holds, and the machine."""
    from ganvas.datasets.translation_data import is_paired
    from ganvas.training.translator.presets import choose_translator_preset

    if preset != "auto":
        return preset
    return choose_translator_preset(paired=is_paired(data, paired=paired), device=resolve_device_type(device))


def _run(
    config: TranslatorConfig, data: Path, folder: Path, *, preset: str, init_from: str | None, device: str
) -> None:
    from ganvas.cli.ensure_models import ensure_models
    from ganvas.training.translator.train import as_translation_dataset, train_translator

    ensure_models([] if init_from is None else [init_from])
    dataset = read_data(as_translation_dataset, data, config)
    what = f"{'both directions' if len(config.ways) == 2 else config.direction}, {config.pairing}"
    notes = ["half of the images are shown mirrored: use --set mirror=false for anything with text"]
    print_start(f"{preset}, {what}", config, folder, report=dataset.report, notes=notes if config.mirror else [])
    done = train_with_progress(
        train_translator,
        dataset,
        config=config,
        folder=folder,
        init_from=init_from,
        device=device,
        facts={"preset": preset, "init_from": init_from, "command": current_command(), "data": {"path": str(data)}},
    )
    then = [f"translate: ganvas translate -i IN -o OUT -n {folder} --direction {way}" for way in config.ways]
    if done.nimg < 1000 * config.total_kimg:
        then.append("to train longer: run the same command with a larger --minutes")
    else:
        then.append(
            "to train longer: start another run with a larger --kimg and another --name; the learning rates "
            "of this one are 0"
        )
    print_result(done, folder, then)
