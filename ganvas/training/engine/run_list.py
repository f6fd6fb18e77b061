"""The runs in a folder, and how each stands.

A run folder may be anybody's, half written, or damaged: whatever is in it, the list of runs is given, and a run that
cannot be understood is listed as damaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig
from ganvas.training.engine.run_folder import eta_sec, is_locked, number_of, read_log, read_record


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run as `ganvas runs` lists it."""

    folder: Path
    status: str  # running, stopped, killed, finished, failed, damaged
    preset: str = "?"
    kimg: float = 0.0
    total_kimg: float = 0.0
    minutes: float = 0.0  # trained
    img_per_sec: float = 0.0
    eta_sec: float | None = None  # of a running one
    fd: float | None = None  # the latest Fréchet distance
    resolution: int | None = None
    words: str = ""  # why it stopped, or what is damaged


def list_runs(outdir: Path) -> list[RunState]:
    """Every run below a folder, the latest last; see `describe_run`."""
    records = {path: _modified_sec(path) for path in outdir.rglob("run.json")}
    return [describe_run(path.parent) for path in sorted(records, key=lambda path: (records[path], path))]


def describe_run(folder: Path) -> RunState:
    """How one run stands; "damaged", with the reason, where its files do not say."""
    try:
        return read_run_state(folder)
    except Exception as error:  # what is in there may be anything, and the other runs are to be listed all the same
        return RunState(folder=folder, status="damaged", words=str(error) or type(error).__name__)


def read_run_state(folder: Path) -> RunState:
    """How one run stands, without disturbing it.

    Raises:
        BadConfig: no run, or its record is damaged.
    """
    record, lines = read_record(folder), read_log(folder)
    budget = _budget(record, folder)
    last = lines[-1] if lines else {}
    status = _text(record, "status", "stopped", folder)
    if status == "running" and not is_locked(folder / "lock"):
        status = "killed"
    kimg, sec = number_of(last.get("kimg")) or 0.0, number_of(last.get("sec")) or 0.0
    speed = next((speed for line in reversed(lines) if (speed := number_of(line.get("img_per_sec")))), 0.0)
    resolution = number_of(record["config"].get("resolution"))
    return RunState(
        folder=folder,
        status=status,
        preset=_text(record, "preset", "?", folder),
        kimg=max(kimg, _number(record, "nimg", folder) / 1000),
        total_kimg=budget.total_kimg,
        minutes=max(sec, _number(record, "sec", folder)) / 60,
        img_per_sec=speed,
        eta_sec=eta_sec(budget, 1000 * kimg, sec, speed) if status == "running" else None,
        fd=next((fd for line in reversed(lines) if (fd := number_of(line.get("fd"))) is not None), None),
        resolution=None if resolution is None else int(resolution),
        words=_text(record, "words", "", folder),
    )


def _number(record: Mapping[str, Any], name: str, folder: Path) -> float:
    """A number of 0 or more; 0 where the record does not have it."""
    number = number_of(record.get(name, 0))
    if number is None or number < 0:
        raise BadConfig(f"{folder / 'run.json'} is damaged: {name} must be a number, got {str(record[name])[:80]}")
    return number


def _text(record: Mapping[str, Any], name: str, default: str, folder: Path) -> str:
    text = record.get(name, default)
    if not isinstance(text, str):
        raise BadConfig(f"{folder / 'run.json'} is damaged: {name} must be text, got {str(text)[:80]}")
    return text


def _modified_sec(path: Path) -> float:
    """0 for a file that has just gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@dataclass(frozen=True)
class _Budget:
    total_kimg: float
    minutes: float | None


def _budget(record: Mapping[str, Any], folder: Path) -> _Budget:
    """Of any kind of run.

    Raises:
        BadConfig: the record does not say.
    """
    total, minutes = (number_of(record["config"].get(name)) for name in ("total_kimg", "minutes"))
    if total is None:
        raise BadConfig(f"{folder / 'run.json'} does not contain the length of the run")
    return _Budget(total, minutes)
