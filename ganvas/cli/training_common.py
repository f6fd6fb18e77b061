"""What the commands that train have in common: options, the folder of the run, progress and the closing lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ganvas.training.engine.loop import TrainStatus


_LINE_SEC = 20.0  # where nobody watches: one line so often at most


def current_command() -> str:
    """What was typed, and is typed again to go on."""
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


def recorded_data_path(record: dict[str, Any]) -> Path | None:
    """Where a run's pictures lay."""
    recorded_path = record.get("data", {}).get("path")
    return None if recorded_path is None else Path(recorded_path)


def run_folder(outdir: Path, name: str | None, data: Path, preset: str) -> Path:
    """Of a run: the same request finds the same folder again."""
    return outdir / (name or f"{slug(data)}-{preset}")


def resolve_device_type(device: str) -> str:
    """`auto` as it comes out here; `cuda:1` as `cuda`."""
    import torch

    if device != "auto":
        return device.split(":")[0]
    return "cuda" if torch.cuda.is_available() else "cpu"


class ProgressReporter:
    """One line on a terminal, kept up to date; a line now and then where nobody watches."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
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
            sys.stderr.write("\r" + _format_progress(status, self._line)[:119].ljust(119))
            sys.stderr.flush()
        elif status.line is not None and status.sec - self._last_sec >= _LINE_SEC:
            self._last_sec = status.sec
            print(_format_progress(status, self._line), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line as it is and go to the next."""
        if self._terminal:
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
