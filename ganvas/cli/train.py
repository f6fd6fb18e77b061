"""ganvas train: a generator from a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.parsing import one_of, settings_option
from ganvas.cli.training_common import (
    ProgressReporter,
    current_command,
    format_duration,
    parse_settings,
    resolve_device_type,
    slug,
)
from ganvas.training.generator.config import TrainConfig

if TYPE_CHECKING:
    from ganvas.datasets.image_dataset import ImageDataset


def train(
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder or .zip of pictures of any size.", show_default=False)
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="auto, a name (see --list), or a preset's .json file.")
    ] = "auto",
    outdir: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Of the run's folder; default: data and preset.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Stop after so many thousand pictures.", min=0.001)] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so much training time, over all resumes.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: g_lr=0.001, generator.ngf=32. See --dry-run.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(help="Start from weights: a file or a catalogue name. FreezeD is switched on.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(callback=one_of("none", "fd"), help="fd = Fréchet distance at each snapshot, or none.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="auto (of the data set), folders, or FILE.csv:COLUMN; default: without.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels across; default: the preset's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", min=0)] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A run.json: that run once more.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show every setting and stop.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show the presets and stop.")] = False,
    show_settings: Annotated[bool, settings_option(TrainConfig)] = False,
) -> None:
    """Train a generator on your own pictures. The same command again goes on where it stopped.

    Example: [bold]ganvas train --data photos --minutes 30[/bold]
    """
    if show:
        return _show_presets()
    if data is None and config is None:
        raise typer.BadParameter("which pictures? --data DIR (a folder or a .zip)", param_hint="--data")

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
    changed |= {"resolution": resolution, "seed": seed}
    chosen = request.resolve({key: value for key, value in changed.items() if value is not None}, settings or [])
    if dry_run:
        return _show_config(request, chosen)
    _run(request, chosen)


class TrainArguments:
    """What was typed, and what it comes to."""

    def __init__(
        self,
        *,
        data: Path | None,
        preset: str = "auto",
        outdir: Path = Path("runs"),
        name: str | None = None,
        init_from: str | None = None,
        config: Path | None = None,
        device: str = "auto",
        minutes: float | None = None,
    ):
        self.data, self.preset, self.outdir, self.name = data, preset, outdir, name
        self.init_from, self.config, self.device, self.minutes = init_from, config, device, minutes
        self.why: list[str] = []  # of auto's choice
        self.notes: list[str] = []  # what else was settled

    def resolve(self, changed: dict[str, Any], settings: list[str]) -> TrainConfig:
        """The configuration: preset, then weights to start from, then options, then --set."""
        from dataclasses import replace

        from ganvas.training.engine.config_base import apply_settings
        from ganvas.training.generator.presets import (
            GENERATOR_PRESETS,
            find_generator_preset,
            for_transfer,
            rescale_preset,
        )
        from ganvas.training.generator.transfer import shaped_like

        start = self._load_run_config() if self.config else None
        if start is None:
            self._choose_preset()
            start = find_generator_preset(self.preset)
        if self.init_from is not None:
            start = for_transfer(shaped_like(replace(start, resolution=None), self.init_from))
        elif self.preset in GENERATOR_PRESETS and GENERATOR_PRESETS[self.preset].transfer_only:
            _refuse_from_scratch(self.preset)
        chosen = apply_settings(replace(start, **changed), parse_settings(settings))
        if self.config is not None or not self.preset.startswith("style-"):
            return chosen
        rescaled_config = rescale_preset(chosen, GENERATOR_PRESETS[self.preset].config)
        if rescaled_config != chosen:
            self.notes.append(
                f"r1_gamma {rescaled_config.r1_gamma:.3g} and ema_kimg {rescaled_config.ema_kimg:.3g} follow "
                f"size and batch"
            )
        return rescaled_config

    def _load_run_config(self) -> TrainConfig:
        """--config run.json."""
        from ganvas.errors import BadConfig
        from ganvas.training.engine.run_folder import read_record
        from ganvas.training.generator.presets import find_generator_preset

        assert self.config is not None
        path = self.config / "run.json" if self.config.is_dir() else self.config
        record = read_record(path.parent) if path.name == "run.json" else {}
        self.preset = record.get("preset", "custom")
        self.init_from = self.init_from or record.get("init_from")
        recorded_path = record.get("data", {}).get("path")
        if self.data is None and recorded_path is None:
            raise BadConfig(f"{path} does not say which pictures: add --data DIR")
        self.data = self.data or Path(recorded_path)
        return find_generator_preset(str(path))

    def _choose_preset(self) -> None:
        """--preset auto becomes a name; a run that auto has begun keeps the one it was begun with."""
        if self.preset != "auto":
            return
        from ganvas.datasets.reading import natural_resolution, open_source
        from ganvas.training.generator.presets import choose_generator_preset
        from ganvas.weights.load import load

        previous = self._previous_auto_preset()
        if previous is not None:
            self.preset, self.why = previous, [f"auto chose {previous} when this run was begun"]
            return
        assert self.data is not None
        source = open_source(self.data)
        base = None if self.init_from is None else load(self.init_from)
        self.preset, self.why = choose_generator_preset(
            resolution=natural_resolution(source) if base is None else base.img_resolution,
            count=len(source.items),
            device=resolve_device_type(self.device),
            minutes=self.minutes,
            base_family=None if base is None else base.family,
        )

    def _previous_auto_preset(self) -> str | None:
        from ganvas.errors import BadConfig
        from ganvas.training.engine.run_folder import read_record

        for record_file in sorted(self.outdir.glob("*/run.json")):
            if self.name is not None and record_file.parent.name != self.name:
                continue
            try:
                record = read_record(record_file.parent)
            except BadConfig:
                continue
            same = record.get("data", {}).get("path") == str(self.data)
            if record.get("asked") == "auto" and same and record.get("init_from") == self.init_from:
                return str(record["preset"])
        return None

    def folder(self, preset: str) -> Path:
        """Of the run: the same request finds the same folder again."""
        assert self.data is not None
        return self.outdir / (self.name or f"{slug(self.data)}-{slug(Path(preset))}")


def _refuse_from_scratch(preset: str) -> None:
    from ganvas.errors import BadConfig

    raise BadConfig(
        f"{preset} from scratch takes many days on many cards, so this preset only goes on from weights: add "
        "--init-from FILE, or choose another preset (ganvas train --list)"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Running


def _pictures(data: Path | None, config: TrainConfig) -> ImageDataset:
    """The training set; reading it the first time shows how far it is."""
    from ganvas.cli.console import ProgressBar
    from ganvas.training.generator.train import as_image_dataset

    with ProgressBar(f"reading {data}") as progress:
        return as_image_dataset(data, config, on_step=progress.step)


def _run(request: TrainArguments, config: TrainConfig) -> None:
    from ganvas.errors import GanvasError
    from ganvas.training.engine.distributed import init_distributed
    from ganvas.training.generator.train import as_image_dataset, train

    leads = init_distributed(request.device).is_main
    reporter = ProgressReporter() if leads else None
    for line in request.why if leads else []:
        print(f"auto: {line}")
    pictures = _pictures(request.data, config) if leads else as_image_dataset(request.data, config)
    folder = request.folder(request.preset)
    if leads:
        _print_summary(request, config, pictures, folder)
    facts = {
        "preset": request.preset,
        "asked": "auto" if request.why else request.preset,
        "init_from": request.init_from,
        "command": current_command(),
        "data": {"path": str(request.data), "report": list(pictures.report)},
    }
    try:
        done = train(
            pictures,
            config=config,
            folder=folder,
            init_from=request.init_from,
            on_step=reporter,
            device=request.device,
            facts=facts,
        )
    except GanvasError:
        if reporter is not None:
            reporter.close()
        raise
    if reporter is not None:
        reporter.close()
        _print_result(request, done, folder)


def _print_summary(request: TrainArguments, config: TrainConfig, pictures: Any, folder: Path) -> None:
    for line in pictures.report:
        print(f"data: {line}")
    print(f"preset: {request.preset}, {_format_length(config)}; every setting: --dry-run")
    for line in request.notes:
        print(f"settled: {line}")
    if config.mirror:
        print("every picture is shown mirrored, too: --set mirror=false for anything with writing")
    print(f"run: {folder}", flush=True)


def _format_length(config: TrainConfig) -> str:
    limit = "" if config.minutes is None else f" or {config.minutes:g} minutes"
    return f"{config.total_kimg:g} thousand pictures{limit}"


def _print_result(request: TrainArguments, done: Any, folder: Path) -> None:
    print(f"{done.nimg / 1000:g} kimg in {format_duration(done.sec)}: {folder}")
    if done.finished:
        print(f"look at {folder / 'report.html'}; new pictures: ganvas generate --model {folder / 'model.safetensors'}")
        print("longer: the same command with a larger --kimg or --minutes")
    else:
        print(f"saved. To go on: {current_command()}")


# ---------------------------------------------------------------------------------------------------------------------
# Showing


def _show_presets() -> None:
    from ganvas.training.generator.presets import GENERATOR_PRESETS

    width = max(map(len, GENERATOR_PRESETS))
    for name, preset in GENERATOR_PRESETS.items():
        print(f"{name:{width}}  {preset.about} [{preset.result}]")


def _show_config(request: TrainArguments, config: TrainConfig) -> None:
    import json

    for line in request.why:
        print(f"auto: {line}")
    print(f"preset: {request.preset}")
    print(f"run: {request.folder(request.preset)}")
    for key, value in config.to_json().items():
        print(f"{key} = {json.dumps(value)}")
