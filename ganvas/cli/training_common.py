"""What the commands that train have in common: options, the folder of the run, progress and the closing lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from ganvas.training.engine.config_base import BaseTrainConfig
    from ganvas.training.engine.loop import TrainResult, TrainStatus

_C = TypeVar("_C", bound="BaseTrainConfig")
_LINE_SEC = 20.0  # where nobody watches: one line so often at most

OutdirOption = Annotated[Path, typer.Option("--outdir", help="Parent folder of the run folder.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the run folder (default: DATA-PRESET).")]
KimgOption = Annotated[
    float | None, typer.Option("--kimg", help="Stop after this many thousand images (or crops).", min=0.001)
]
MinutesOption = Annotated[
    float | None, typer.Option("--minutes", help="Stop after this many minutes of training, resumes included.")
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting of --dry-run: d_lr=0.001, generator.ngf=32.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Random seed.", min=0)]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Repeat the run described by this run.json.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show every setting and exit.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the presets and exit.")]


# ---------------------------------------------------------------------------------------------------------------------
# What was typed


def current_command() -> str:
    """The command line, to be repeated to resume."""
    import shlex

    return "ganvas " + " ".join(shlex.quote(word) for word in sys.argv[1:])


def slug(path: Path) -> str:
    """The name of a folder or file as a part of another name."""
    import re

    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.resolve().stem).strip("-") or "run"


def parse_settings(settings: list[str]) -> dict[str, str]:
    """--set name=value, several."""
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set takes name=value, such as --set g_lr=0.001; got {setting!r}")
        pairs[key.strip()] = value.strip()
    return pairs


def apply_options(start: _C, changed: Mapping[str, Any], settings: list[str] | None) -> _C:
    """A config with the options that were given (None = it was not), then --set."""
    from dataclasses import replace

    from ganvas.training.engine.config_base import apply_settings

    changes = {name: value for name, value in changed.items() if value is not None}
    return apply_settings(replace(start, **changes), parse_settings(settings or []))


def load_run_record(path: Path, kind: str) -> dict[str, Any]:
    """--config run.json, of a run of this kind.

    Raises:
        BadConfig: it is the record of something else.
    """
    from ganvas.errors import BadConfig
    from ganvas.training.engine.run_folder import kind_of, read_record

    record = read_record(path if path.is_dir() else path.parent)
    if kind_of(record) != kind:
        wanted = f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
        raise BadConfig(f"{path} is the record of a {kind_of(record)}, not of {wanted}")
    return record


def choose_start(
    config: Path | None,
    kind: type[_C],
    data: Path | None,
    option: str,
    find_preset: Callable[[Path], tuple[str, _C]],
) -> tuple[Path, str, _C]:
    """What a run begins with: its data, the preset's name, and the config before options.

    Args:
        config: a run's record to repeat; None = as `find_preset` says for the data.
        kind: of config.
        data: the user's, which count more than the record's.
        option: that gives the data, for the message.
        find_preset: data → the name of a preset and its config.

    Raises:
        typer.BadParameter: no data.
    """
    record = {} if config is None else load_run_record(config, kind.kind)
    recorded = data or record.get("data", {}).get("path")
    if recorded is None:
        raise typer.BadParameter(f"no training images: add {option} DIR", param_hint=option)
    data = Path(recorded)

    from ganvas.cli.process import configure_process

    configure_process()
    if record:
        return data, str(record.get("preset", "custom")), kind.from_json(record["config"], who="run.json")
    return data, *find_preset(data)


def run_folder(outdir: Path, name: str | None, data: Path, preset: str) -> Path:
    """Of a run: the same request finds the same folder again."""
    return outdir / (name or f"{slug(data)}-{preset}")


def resolve_device_type(device: str) -> str:
    """`auto` as it comes out here; `cuda:1` as `cuda`."""
    import torch

    if device != "auto":
        return device.split(":")[0]
    return "cuda" if torch.cuda.is_available() else "cpu"


# ---------------------------------------------------------------------------------------------------------------------
# Instead of training


def print_presets(presets: Mapping[str, Any]) -> None:
    """--list"""
    width = max(map(len, presets))
    for name, preset in presets.items():
        print(f"{name:{width}}  {preset.about} [{preset.result}]")


def print_settings(preset: str, folder: Path, config: BaseTrainConfig) -> None:
    """--dry-run"""
    import json

    print(f"preset: {preset}\nrun: {folder}")
    for key, value in config.to_json().items():
        print(f"{key} = {json.dumps(value)}")


# ---------------------------------------------------------------------------------------------------------------------
# Training


def read_data(read: Callable[..., Any], data: Path | None, config: BaseTrainConfig) -> Any:
    """The data set; reading it the first time shows how far it is."""
    from ganvas.cli.console import ProgressBar

    with ProgressBar(f"reading {data}") as progress:
        return read(data, config, on_step=progress.step)


def print_start(
    preset: str, config: Any, folder: Path, *, report: Sequence[str], what: str = "pictures", notes: Sequence[str] = ()
) -> None:
    """What will be trained, on what and for how long."""
    for line in report:
        print(f"data: {line}")
    limit = "" if config.minutes is None else f" or {config.minutes:g} minutes"
    print(f"preset: {preset}, {config.total_kimg:g} thousand {what}{limit}; every setting: --dry-run")
    for line in notes:
        print(line)
    print(f"run: {folder}", flush=True)


def train_with_progress(train: Callable[..., TrainResult], dataset: Any, **options: Any) -> TrainResult:
    """One of the `train` functions, with its progress on stderr."""
    reporter = ProgressReporter()
    try:
        return train(dataset, on_step=reporter, **options)
    finally:
        reporter.close()


def print_result(done: TrainResult, folder: Path, then: Sequence[str]) -> None:
    """Print the result; `then`: next steps, printed if the run is finished."""
    print(f"{done.nimg / 1000:g} kimg in {format_duration(done.sec)}: {folder}")
    if not done.finished:
        print(f"saved. To resume: {current_command()}")
        return
    for line in (f"report: {folder / 'report.html'}", *then):
        print(line)


class ProgressReporter:
    """One updated line on a terminal; occasional lines otherwise."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._is_shown = False
        self._last_sec = -_LINE_SEC
        self._line: dict[str, Any] = {}

    def __call__(self, status: TrainStatus) -> None:
        """After every step."""
        if status.event:
            self._clear()
            for line in status.event.splitlines():
                print(f"note: {line}", file=sys.stderr, flush=True)
        self._line |= dict(status.line or {})
        if self._terminal:
            self._is_shown = True
            sys.stderr.write("\r" + _format_progress(status, self._line)[:119].ljust(119))
            sys.stderr.flush()
        elif status.line is not None and status.sec - self._last_sec >= _LINE_SEC:
            self._last_sec = status.sec
            print(_format_progress(status, self._line), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line as it is and go to the next."""
        if self._is_shown:
            sys.stderr.write("\n")

    def _clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r" + " " * 119 + "\r")


def _format_progress(status: TrainStatus, line: dict[str, Any]) -> str:
    """`12.4 kimg · 51.2 img/s · D 1.12 · G 0.93 · p 0.08 · ETA 24:10`"""
    parts = [f"{status.nimg / 1000:.1f} kimg", f"{status.img_per_sec:.1f} img/s"]
    parts += [f"{name} {line[key]:.2f}" for name, key in (("D", "loss_D"), ("G", "loss_G")) if key in line]
    parts += [f"pixels {line['pixel']:.4f}"] if "pixel" in line else []
    parts += [f"PSNR {line['psnr']:.2f} ({line['psnr_gain']:+.2f})"] if "psnr" in line else []
    parts += [f"p {line['p']:.2f}"] if line.get("p") else []
    parts += [f"diversity {line['diversity']:.2f}"] if "diversity" in line else []
    parts.append("ETA …" if status.eta_sec is None else f"ETA {format_duration(status.eta_sec)}")
    return " · ".join(parts)


def format_duration(sec: float) -> str:
    """`3:05`, `1:02:09`."""
    minutes, seconds = divmod(round(sec), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
