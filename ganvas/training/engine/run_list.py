"""The runs in a folder, and how each stands."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig
from ganvas.training.engine.run_folder import eta_sec, is_locked, read_log, read_record


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run as `ganvas runs` lists it."""

    folder: Path
    status: str  # running, stopped, killed, finished, failed
    preset: str
    kimg: float
    total_kimg: float
    minutes: float  # trained
    img_per_sec: float
    eta_sec: float | None  # of a running one
    fd: float | None  # the latest Fréchet distance
    words: str  # why it stopped, where it says


def list_runs(outdir: Path) -> list[RunState]:
    """Every run below a folder, the latest last."""
    folders = sorted({path.parent for path in outdir.rglob("run.json")}, key=lambda f: (f / "run.json").stat().st_mtime)
    states = []
    for folder in folders:
        with contextlib.suppress(BadConfig):
            states.append(read_run_state(folder))
    return states


def read_run_state(folder: Path) -> RunState:
    """How one run stands, without disturbing it.

    Raises:
        BadConfig: no run.
    """
    record, lines = read_record(folder), read_log(folder)
    budget = _budget(record, folder)
    last = lines[-1] if lines else {"kimg": 0.0, "sec": 0.0, "img_per_sec": 0.0}
    status = record.get("status", "stopped")
    if status == "running" and not is_locked(folder / "lock"):
        status = "killed"
    speed = next((line["img_per_sec"] for line in reversed(lines) if line.get("img_per_sec")), 0.0)
    distances = [line["fd"] for line in lines if line.get("fd") is not None]
    return RunState(
        folder=folder,
        status=status,
        preset=record.get("preset", "?"),
        kimg=max(last["kimg"], record.get("nimg", 0) / 1000),
        total_kimg=budget.total_kimg,
        minutes=max(last["sec"], record.get("sec", 0)) / 60,
        img_per_sec=speed,
        eta_sec=eta_sec(budget, 1000 * last["kimg"], last["sec"], speed) if status == "running" else None,
        fd=distances[-1] if distances else None,
        words=record.get("words", ""),
    )


@dataclass(frozen=True)
class _Budget:
    total_kimg: float
    minutes: float | None


def _budget(record: Mapping[str, Any], folder: Path) -> _Budget:
    """Of any kind of run.

    Raises:
        BadConfig: the record does not say.
    """
    try:
        total, minutes = record["config"]["total_kimg"], record["config"].get("minutes")
        return _Budget(float(total), None if minutes is None else float(minutes))
    except (KeyError, TypeError, ValueError) as error:
        raise BadConfig(f"{folder / 'run.json'} does not contain the length of the run") from error
