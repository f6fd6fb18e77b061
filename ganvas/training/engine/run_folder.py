"""A run's folder: what it was asked to do, how far it is, and everything it has made.

    run.json             the whole configuration, versions, the data's fingerprint, remedies, how it ended
    log.jsonl            one line of metrics a tick
    images.json          which pictures a generator's run has, and in which order
    state.safetensors    all that an exact resume needs; good.safetensors: the last one the watchdog had no doubts about
    model.safetensors    the averaged generator of the last snapshot: `ganvas generate --model` takes it
    D.safetensors        its discriminator, for `--init-from`
    snapshots/           the averaged generator at every snapshot, in half precision
    *.jpg, *.png, *.gif  sheets, walks and plots; report.html shows them together

Every file is whole or not there: a process that is killed, or a disk that is full, costs at most what has happened
since the last save.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch

from ganvas import __version__
from ganvas.errors import BadConfig, BrokenWeights
from ganvas.training.engine.config_base import BaseTrainConfig
from ganvas.training.engine.distributed import World, any_process
from ganvas.training.engine.resume import DataChange, compare_with_before
from ganvas.training.engine.state import copy_to_cpu, read_state, write_state
from ganvas.weights.checkpoint import write_atomically

_C = TypeVar("_C", bound=BaseTrainConfig)
_FORMAT = 1
# How the names of files begin and end while they are written: `.state.safetensors.x7f3`, `.fakes-000020.jpg.0a1b.part`.
_PART = re.compile(r"\.[\w-]+\.(?:json|jsonl|safetensors|jpg|png|html|gif)\..+")
RunStatus = Literal["running", "stopped", "finished", "failed"]


class Budget(Protocol):
    """Length of a run, and how often it saves and writes snapshots: fields of every `BaseTrainConfig`."""

    @property
    def total_kimg(self) -> float: ...
    @property
    def minutes(self) -> float | None: ...


class Run:
    """One folder; made by `open_run`. Only the leading process of several writes to it."""

    def __init__(self, folder: Path, record: dict[str, Any]):
        self.folder, self.record = folder, record
        self.changes: list[str] = []  # what is other than before the resume
        self._lock: Any = None

    # -- run.json

    def note(self, **facts: Any) -> None:
        """Change facts in run.json."""
        self.record |= facts
        text = json.dumps(self.record, indent=1)
        write_atomically(self.folder / "run.json", lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))

    # -- log.jsonl

    def log(self, line: Mapping[str, Any]) -> None:
        """Append one line of metrics."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(line)) + "\n")

    def rewind_log(self, nimg: int) -> None:
        """Forget lines of more than `nimg` pictures: what came after the state that is resumed."""
        lines = [json.dumps(line) + "\n" for line in read_log(self.folder) if line["nimg"] <= nimg]
        text = "".join(lines)
        write_atomically(
            self.folder / "log.jsonl", lambda temporary: Path(temporary).write_text(text, encoding="utf-8")
        )

    # -- state

    def save(self, tree: Mapping[str, Any], *, good: bool) -> None:
        """Write the state; `good` = also the one to step back to."""
        write_state(tree, self.folder / "state.safetensors")
        if good:
            _same_file(self.folder / "state.safetensors", self.folder / "good.safetensors")

    def load(self, *, good: bool = False) -> dict[str, Any] | None:
        """The latest state, or the latest good one; None where nothing was saved yet."""
        names = ("good", "state") if good else ("state", "good")
        paths = [self.folder / f"{name}.safetensors" for name in names]
        for path in paths:
            with contextlib.suppress(BrokenWeights):
                return read_state(path)
        if any(path.exists() for path in paths):
            raise BrokenWeights(f"{paths[0]} is corrupted and cannot be resumed. Start a new run with another --name.")
        return None

    # -- one process at a time

    def lock(self) -> None:
        """Keep other processes from training in this folder; the system frees it even after a kill.

        Raises:
            BadConfig: another process trains here.
        """
        self._lock = _try_lock(self.folder / "lock")
        if self._lock is None:
            raise BadConfig(
                f"{self.folder} is being trained by another process ({self.record.get('pid', '?')}). Wait for it, stop "
                "it, or give this run another --name."
            )
        for part in self.folder.rglob(".*.*"):  # of a process that was killed while it wrote
            if _PART.fullmatch(part.name):
                part.unlink(missing_ok=True)

    def unlock(self) -> None:
        """Let others."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class MemoryRun:
    """A run without a folder: the state to step back to is kept in memory, everything else is the caller's."""

    folder = None

    def __init__(self) -> None:
        self.record: dict[str, Any] = {"remedies": []}
        self.changes: list[str] = []
        self.lines: list[dict[str, Any]] = []
        self._good: dict[str, Any] | None = None

    def note(self, **facts: Any) -> None:
        """As `Run.note`."""
        self.record |= facts

    def log(self, line: Mapping[str, Any]) -> None:
        """As `Run.log`."""
        self.lines.append(dict(line))

    def rewind_log(self, nimg: int) -> None:
        """As `Run.rewind_log`."""
        self.lines = [line for line in self.lines if line["nimg"] <= nimg]

    def save(self, tree: Mapping[str, Any], *, good: bool) -> None:
        """As `Run.save`; only good states are of use here."""
        if good:
            self._good = copy_to_cpu(tree)

    def load(self, *, good: bool = False) -> dict[str, Any] | None:
        """As `Run.load`."""
        return copy_to_cpu(self._good)

    def lock(self) -> None:
        """Nothing to keep others from."""

    def unlock(self) -> None:
        """Nothing to let others to."""


# ---------------------------------------------------------------------------------------------------------------------
# Starting and resuming


def open_run(
    folder: Path, config: BaseTrainConfig, facts: Mapping[str, Any], data_change: DataChange | None = None
) -> tuple[Run, bool]:
    """The run in this folder: started, or resumed.

    Args:
        folder: of the run.
        config: resolved; fields of the run's length, and those of its course (`may_change_course`), may differ from
            what it was started with.
        facts: for run.json: the data's path, fingerprint and count, the preset's name, …
        data_change: how the pictures differ from the run's; None = they must be the same, by their fingerprint.

    Returns:
        The run, and whether it is resumed.

    Raises:
        BadConfig: the folder holds a run of another configuration or of other data; the differences are named.
    """
    if not (folder / "run.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.suffix == ".safetensors" for path in folder.iterdir()):
            raise BadConfig(f"{folder} has weights but no run.json: it is not a run. Give this run another --name.")
        run = Run(folder, {"format": _FORMAT, "begun": _now(), "remedies": [], "nimg": 0, "sec": 0.0})
        run.note(**_versions(), **facts, kind=config.kind, config=config.to_json(), status="running", pid=os.getpid())
        return run, False
    run = Run(folder, read_record(folder))
    kind = kind_of(run.record)
    if kind != config.kind:
        raise BadConfig(f"{folder} is the run of a {kind}, not of a {config.kind}. Give this run another --name.")
    run.changes = compare_with_before(folder, run.record, config, facts, data_change)
    run.note(**_versions(), **facts, config=config.to_json(), pid=os.getpid())
    return run, True


def read_record(folder: Path) -> dict[str, Any]:
    """run.json of a folder.

    Raises:
        BadConfig: there is none, or it cannot be read.
    """
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert isinstance(record["config"], dict)
    except (OSError, ValueError, KeyError, AssertionError, TypeError, RecursionError, MemoryError) as error:
        why = str(error) or type(error).__name__
        raise BadConfig(f"{folder / 'run.json'} cannot be read as the record of a run ({why})") from error
    return record


def resolve_schedule(config: _C, folder: str | Path | None, *, length_kimg: float) -> _C:
    """Fix the length of the schedule, so that a longer budget does not change a schedule in progress.

    It is the config's `schedule_kimg`, or what the run in `folder` began with, or `length_kimg`.
    """
    kimg = config.schedule_kimg  # type: ignore[attr-defined]
    if kimg is None and folder is not None and (Path(folder) / "run.json").exists():
        kimg = read_record(Path(folder))["config"].get("schedule_kimg")
    return replace(config, schedule_kimg=kimg or length_kimg)  # type: ignore[call-arg]


def kind_of(record: Mapping[str, Any]) -> str:
    """What a run trains: "generator", "translator", …; the first ones did not say."""
    return str(record.get("kind", "generator"))


def read_log(folder: Path | str) -> list[dict[str, Any]]:
    """The lines of log.jsonl; one that was cut when the run died, or that does not say its `nimg`, is left out."""
    path = Path(folder) / "log.jsonl"
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [line for text in texts if (line := _parse_line(text)) is not None]


def _parse_line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and number_of(line.get("nimg")) is not None else None


def number_of(value: Any) -> float | None:
    """A value of the log as a float; None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON allows whole numbers of any length
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Looking at runs


def eta_sec(config: Budget, nimg: float, sec: float, img_per_sec: float) -> float | None:
    """Seconds until the run has what it was asked for, by pictures or by time; None while the speed is unknown."""
    if img_per_sec <= 0:
        return None
    left = (config.total_kimg * 1000 - nimg) / img_per_sec
    if config.minutes is not None:
        left = min(left, config.minutes * 60 - sec)
    return max(left, 0.0)


# ---------------------------------------------------------------------------------------------------------------------


def _versions() -> dict[str, Any]:
    return {
        "ganvas": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "taken_up": _now(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _finite(line: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what is not finite becomes null."""
    return {
        name: None if isinstance(value, float) and value - value != 0 else value
        for name, value in line.items()
        if value is not None
    }


def _same_file(source: Path, target: Path) -> None:
    """`target` becomes another name of `source` (a copy where the file system has no links), in one step."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _try_lock(path: Path) -> Any:
    """An open file that holds the lock, or None where another process holds it."""
    file = path.open("a")
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder are then the user's care
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    file = _try_lock(path)
    if file is None:
        return True
    file.close()
    return False


def open_or_resume(
    folder: str | Path | None,
    config: Any,
    data: Mapping[str, Any],
    facts: Mapping[str, Any],
    world: World,
    data_change: DataChange | None = None,
) -> tuple[Run | MemoryRun, bool]:
    """The run, and whether it is resumed. The leading process makes the folder, the others only read it.

    Args:
        folder: of the run; None = nothing is written.
        config: Settings, resolved.
        data: of the pictures: their fingerprint, and what else run.json should say of them.
        facts: what else should stand in run.json.
        world: of processes.
        data_change: see `open_run`.
    """
    if folder is None:
        return MemoryRun(), False
    path, resumed = Path(folder), False
    if world.is_main:
        merged = {
            **facts,
            "device": str(world.device),
            "processes": world.size,
            "data": {**facts.get("data", {}), **data},
        }
        run, resumed = open_run(path, config, merged, data_change)
    resumed = any_process(resumed, world)
    return (run if world.is_main else Run(path, read_record(path))), resumed


@contextlib.contextmanager
def lock_run(run: Run | MemoryRun, world: World) -> Iterator[None]:
    """The run's folder is ours inside."""
    if not world.is_main:
        yield
        return
    run.lock()
    try:
        run.note(status="running", words="")
        yield
    finally:
        run.unlock()
