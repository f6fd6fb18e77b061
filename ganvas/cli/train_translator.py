"""ganvas train-translator: a network that shows pictures of one collection as if they were of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ganvas.cli.parsing import one_of, settings_option
from ganvas.cli.training_common import load_run_record, recorded_data_path, run_folder
from ganvas.training.translator.config import TranslatorConfig


def train_translator(
    data: Annotated[
        Path | None,
        typer.Option("--dataroot", "--data", help="Holds trainA/ and trainB/, or train/ with A|B side by side."),
    ] = None,
    paired: Annotated[
        bool | None, typer.Option("--paired/--unpaired", help="trainA and trainB hold pairs of equal names, or not.")
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(callback=one_of("AtoB", "BtoA"), help="Of pairs; without pairs both are learnt at once."),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", "-p", help="auto, or a name (see --list).")] = "auto",
    outdir: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Of the run's folder; default: data and preset.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Stop after so many thousand pictures.", min=0.001)] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so much training time, over all resumes.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: g_lr=0.001, generator.ngf=32. See --dry-run.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels across; default: the preset's.", min=8)] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", min=0)] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A run.json: that run once more.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show every setting and stop.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show the presets and stop.")] = False,
    show_settings: Annotated[bool, settings_option(TranslatorConfig)] = False,
) -> None:
    """Train a translator on two collections of your own. The same command again goes on where it stopped.

    Without pairs (CycleGAN), photos in trainA and paintings in trainB:
    [bold]ganvas train-translator --dataroot paintings --minutes 60[/bold]

    With pairs (pix2pix): [bold]ganvas train-translator --dataroot drawings --paired --direction BtoA[/bold]

    What comes out works at once: [bold]ganvas translate -i IN -o OUT -n runs/paintings-cyclegan-64-cpu[/bold]
    """
    if show:
        return _show_presets()
    record = {} if config is None else load_run_record(config, "translator")
    data = data or recorded_data_path(record)
    if data is None:
        raise typer.BadParameter("which pictures? --dataroot DIR", param_hint="--dataroot")

    from ganvas.cli.process import configure_process

    configure_process()
    if record:
        preset = str(record.get("preset", "custom"))
    else:
        preset = _choose_preset(preset, data, paired, device)
    changed = {"total_kimg": kimg, "minutes": minutes, "resolution": resolution, "seed": seed, "direction": direction}
    changed = {key: value for key, value in changed.items() if value is not None}
    chosen = _build_config(record, preset, paired, changed, settings or [])
    folder = run_folder(outdir, name, data, preset)
    if dry_run:
        print(f"preset: {preset}\nrun: {folder}")
        for key, value in chosen.to_json().items():
            print(f"{key} = {json.dumps(value)}")
        return
    _run(chosen, data, folder, preset=preset, device=device)


def _show_presets() -> None:
    from ganvas.training.translator.presets import TRANSLATOR_PRESETS

    width = max(map(len, TRANSLATOR_PRESETS))
    for name, preset in TRANSLATOR_PRESETS.items():
        print(f"{name:{width}}  {preset.about} [{preset.result}]")


def _choose_preset(preset: str, data: Path, paired: bool | None, device: str) -> str:
    """--preset auto becomes a name: by what the folder holds, and the machine."""
    from ganvas.cli.training_common import resolve_device_type
    from ganvas.datasets.translation_data import is_paired
    from ganvas.training.translator.presets import choose_translator_preset

    if preset != "auto":
        return preset
    return choose_translator_preset(paired=is_paired(data, paired=paired), device=resolve_device_type(device))


def _build_config(
    record: dict[str, Any], preset: str, paired: bool | None, changed: dict[str, Any], settings: list[str]
) -> TranslatorConfig:
    """The preset or the run that is repeated, then options, then --set."""
    from dataclasses import replace

    from ganvas.cli.training_common import parse_settings
    from ganvas.training.engine.config_base import apply_settings
    from ganvas.training.translator.presets import find_translator_preset, resize_config

    start = TranslatorConfig.from_json(record["config"], who="run.json") if record else find_translator_preset(preset)
    if paired is not None:
        changed["pairing"] = "paired" if paired else "unpaired"
    if "resolution" in changed:
        start = resize_config(start, changed.pop("resolution"))
    return apply_settings(replace(start, **changed), parse_settings(settings))


def _run(config: TranslatorConfig, data: Path, folder: Path, *, preset: str, device: str) -> None:
    from ganvas.cli.console import ProgressBar
    from ganvas.cli.training_common import ProgressReporter, current_command, format_duration
    from ganvas.training.translator.train import as_translation_dataset, train_translator

    with ProgressBar(f"reading {data}") as progress:
        domains = as_translation_dataset(data, config, on_step=progress.step)
    for line in domains.report:
        print(f"data: {line}")
    limit = "" if config.minutes is None else f" or {config.minutes:g} minutes"
    what = "both ways, without pairs" if config.pairing == "unpaired" else f"{config.direction}, from pairs"
    print(f"preset: {preset}, {what}, {config.total_kimg:g} thousand pictures{limit}; every setting: --dry-run")
    if config.mirror:
        print("half of the pictures are shown mirrored: --set mirror=false for anything with writing")
    print(f"run: {folder}", flush=True)
    facts = {"preset": preset, "command": current_command(), "data": {"path": str(data)}}
    reporter = ProgressReporter()
    try:
        done = train_translator(domains, config=config, folder=folder, on_step=reporter, device=device, facts=facts)
    finally:
        reporter.close()
    print(f"{done.nimg / 1000:g} kimg in {format_duration(done.sec)}: {folder}")
    if not done.finished:
        print(f"saved. To go on: {current_command()}")
        return
    print(f"look at {folder / 'report.html'}")
    for way in config.ways:
        print(f"translate: ganvas translate -i IN -o OUT -n {folder} --direction {way}")
    if done.nimg < 1000 * config.total_kimg:
        print("longer: the same command with a larger --minutes")
    else:
        print("longer: another run with a larger --kimg and another --name; this one's learning rates have come to 0")
