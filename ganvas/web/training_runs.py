"""Training runs from the studio: each a child process, so that sliders stay quick; its folder tells how it stands.

A run continues when the studio closes, and the next studio finds it. What may be trained on lies below the studio's
data root; what is trained lies below its runs' folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from ganvas.errors import BadConfig
from ganvas.fields import check_known, fields_of
from ganvas.images.walk import is_image_name
from ganvas.training.engine.run_folder import read_log, read_record
from ganvas.training.engine.run_list import describe_run, list_runs
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.presets import GENERATOR_PRESETS
from ganvas.web.errors import NotReady, public_message

MAX_FOLDER_ENTRIES = 20_000  # of a folder that is looked at
CONSOLE_LOG = "console.log"
SHEETS = {"fakes": "fakes-*.jpg", "curves": "curves.png"}  # of a run: kind → its files
LOG_LINES, LOG_BYTES = 40, 64 * 1024
NICENESS = 10
STOPPED_CODES = (130, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
STATES = {"finished": "done", "killed": "stopped"}


class TrainingRuns:
    """The runs of one studio.

    Args:
        data_root: training pictures lie here and below.
        runs: where runs are made.
    """

    def __init__(self, *, data_root: Path, runs: Path):
        self.root, self.runs = data_root.resolve(), runs
        self._children: dict[str, subprocess.Popen] = {}

    # -- folders

    def inside(self, under: str) -> Path:
        """A place below the data root, by its relative path.

        Raises:
            BadConfig: it is not there. HTTPException: 403, it lies elsewhere.
        """
        if "\0" in under or len(under) > 1000:
            raise BadConfig("invalid folder name")
        place = (self.root / under).resolve()
        if not place.is_relative_to(self.root):
            raise HTTPException(403, "only folders below the data root of the studio can be used")
        if not place.is_dir() and place.suffix.lower() != ".zip":
            raise BadConfig(f"there is no folder {under[:80]!r} here")
        return place

    def folders(self, under: str) -> dict[str, Any]:
        """A folder: what is in it, and how many pictures."""
        here = self.inside(under)
        below = sorted((p for p in _entries(here) if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.name)
        allowed = [p for p in below if p.resolve().is_relative_to(self.root)]
        archives = [p for p in _entries(here) if p.suffix.lower() == ".zip" and p.resolve().is_relative_to(self.root)]
        relative = "" if here == self.root else here.relative_to(self.root).as_posix()
        return {
            "under": relative,
            "parent": None if here == self.root else relative.rpartition("/")[0],
            "folders": [{"name": p.name, "path": self._relative(p), "pictures": _count_images(p)} for p in allowed],
            "archives": [{"name": p.name, "path": self._relative(p)} for p in archives],
            "pictures": _count_images(here),
        }

    def _relative(self, place: Path) -> str:
        return place.resolve().relative_to(self.root).as_posix()

    # -- runs

    def start(
        self,
        *,
        data: str,
        preset: str | None,
        minutes: float | None,
        name: str | None,
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a run, or resume the run of that name.

        Args:
            data: a folder below the data root.
            preset: None = chosen by the pictures.
            minutes: of training, over all resumes; None = as the preset has it.
            name: of the run; None = after data and preset.
            settings: fields of `TrainConfig` that differ from the preset's.

        Returns:
            Its name.

        Raises:
            BadConfig: no such folder or preset, an invalid name or setting. NotReady: it runs already.
        """
        source = self.inside(data)
        if preset is not None and preset not in GENERATOR_PRESETS:
            raise BadConfig(f"unknown preset {preset[:60]!r}; known: {', '.join(GENERATOR_PRESETS)}")
        chosen = name or self._free_name(f"{source.stem}-{preset or 'auto'}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", chosen):
            raise BadConfig(f"a run's name may have up to 64 letters, digits, ., - and _, got {chosen[:80]!r}")
        if self._alive(chosen) or sum(self._alive(one) for one in list(self._children)) >= 2:
            raise NotReady("this run, or two others, are already training: stop one first")
        words = ["train", "--data", str(source), "--preset", preset or "auto", "--outdir", str(self.runs)]
        words += ["--name", chosen, *([] if minutes is None else ["--minutes", f"{minutes:g}"])]
        words += typed_settings(settings or {})
        folder = self.runs / chosen
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / CONSOLE_LOG).open("ab") as console:
            child = subprocess.Popen(
                [sys.executable, "-m", "ganvas", *words],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C in the studio's terminal is for the studio
            )
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
        self._children[chosen] = child
        return chosen

    def stop(self, name: str) -> None:
        """Ask a run to save and stop, by SIGTERM: SIGINT is ignored by whatever a script begins in the background.

        Raises:
            NotReady: it does not run, or was not started from here and cannot be told apart from other programs.
        """
        folder = self.folder(name)
        if self._alive(name):
            return self._children[name].send_signal(signal.SIGTERM)
        running = (folder / "run.json").is_file() and describe_run(folder).status == "running"
        pid = read_record(folder).get("pid") if running else None
        if not isinstance(pid, int) or not _is_trainer(pid):
            raise NotReady("this run is not running, or was started elsewhere: stop it there")
        os.kill(pid, signal.SIGTERM)

    def folder(self, name: str) -> Path:
        """A run's folder, by its exact name.

        Raises:
            HTTPException: 404.
        """
        known = {path.name: path for path in self.runs.iterdir()} if self.runs.is_dir() else {}
        if name not in known or not ((known[name] / "run.json").is_file() or (known[name] / CONSOLE_LOG).is_file()):
            raise HTTPException(404, "there is no such run")
        return known[name]

    def all(self) -> list[dict[str, Any]]:
        """Every run, the latest first; one that is only starting has no metrics yet."""
        runs = {}
        for state in list_runs(self.runs) if self.runs.is_dir() else []:
            if state.folder.parent == self.runs:
                runs[state.folder.name] = self._brief(state)
        for name in self._children:
            if name not in runs:
                runs[name] = {"name": name, "state": self._state_before_record(name), "kimg": 0.0}
        return list(reversed(runs.values()))

    def one(self, name: str) -> dict[str, Any]:
        """A run with its last metrics and lines."""
        folder = self.folder(name)
        begun = (folder / "run.json").is_file()
        brief = self._brief(describe_run(folder)) if begun else next((r for r in self.all() if r["name"] == name), {})
        lines = read_log(folder)
        model = (folder / "model.safetensors").is_file()
        return brief | {
            "log": _tail(folder / CONSOLE_LOG),
            "figures": lines[-1] if lines else {},
            "model": f"runs/{name}" if model else None,
            "pictures": [kind for kind, files in SHEETS.items() if any(folder.glob(files))],
        }

    def picture(self, name: str, kind: str) -> Path:
        """The newest sheet of fakes, or the curves.

        Raises:
            HTTPException: 404, none yet.
        """
        folder = self.folder(name)
        files = sorted(folder.glob(SHEETS[kind]), key=_modified_sec)
        if not files:
            raise HTTPException(404, "this run has no such image yet")
        return files[-1]

    def _brief(self, state: Any) -> dict[str, Any]:
        plain = {key: value for key, value in asdict(state).items() if key not in ("folder", "status")}
        return {
            "name": state.folder.name,
            "state": STATES.get(state.status, state.status),
            **plain,
            "words": public_message(Exception(state.words)),
        }

    def _state_before_record(self, name: str) -> str:
        """Of a run that has not written its record: it starts, was stopped while it did, or could not."""
        if self._alive(name):
            return "running"
        return "stopped" if self._children[name].returncode in STOPPED_CODES else "failed"

    def _alive(self, name: str) -> bool:
        return name in self._children and self._children[name].poll() is None

    def _free_name(self, wanted: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip(".-") or "run"
        names = [plain[:56], *(f"{plain[:56]}-{i}" for i in range(2, 1000))]
        return next(one for one in names if not (self.runs / one).exists())


def typed_settings(settings: Mapping[str, Any]) -> list[str]:
    """Settings as a command line has them: {"batch_size": 8} → ["--set", "batch_size=8"].

    Raises:
        BadConfig: an unknown one, a value that does not fit, or labels of a file, which may lie anywhere.
    """
    infos, words = fields_of(TrainConfig), []
    for name, value in settings.items():
        check_known(name, infos, what="setting")
        words += ["--set", f"{name}={infos[name].format(infos[name].require(value))}"]
    if settings.get("labels", "none") not in ("none", "auto", "folders"):
        raise BadConfig("labels must be none, auto or folders for runs started here")
    return words


def _entries(folder: Path) -> list[Path]:
    paths: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            paths.append(Path(entry.path))
            if len(paths) >= MAX_FOLDER_ENTRIES:
                break
    return paths


def _count_images(folder: Path) -> int:
    """Pictures right in a folder."""
    return sum(is_image_name(path) for path in _entries(folder))


def _modified_sec(path: Path) -> float:
    return path.stat().st_mtime


def _tail(path: Path) -> list[str]:
    """The last lines, without this computer's paths."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        text = file.read().decode("utf-8", "replace")
    return [public_message(Exception(line)) for line in text.splitlines()[-LOG_LINES:]]


def _is_trainer(pid: int) -> bool:
    """Is this process one of ours? Where the system does not tell, it is not."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"train" in words and any(b"ganvas" in word for word in words)
