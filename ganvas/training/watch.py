"""What watches over every training loop, whatever it trains: figures, watchdog, saving, showing, stopping.

A loop reads: open the run, build the bench, then step after step between `at_work` and `after_step`, inside
`to_the_end`. What differs from kind to kind (what comes of a run, which advice helps) a subclass of `Watch` says.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ganvas.errors import BadConfig, BrokenWeights, GanvasError, Stopped
from ganvas.training.distributed import World, any_says
from ganvas.training.run import MemoryRun, Run, eta_sec, open_run, read_record
from ganvas.training.watchdog import Finding, Remedy, Vitals, Watchdog

ETA_AFTER_STEPS = 20
STEPS_BACK_ALLOWED = 1


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run is; what `on_step` is told after every step."""

    step: int
    nimg: int
    sec: float
    img_per_sec: float
    eta_sec: float | None  # None during the first 20 steps
    line: Mapping[str, Any] | None = None  # the line of the log, where one was just written
    event: str | None = None  # lines for people: weights taken over, what the watchdog found, a full disk


OnStep = Callable[[Status], object]


class Bench(Protocol):
    """The networks of a run with everything that must survive a stop; steps are the loop's affair."""

    config: Any  # Settings with the fields of `run.Budget`
    run: Run | MemoryRun
    world: World
    watchdog: Watchdog
    remedy: Remedy
    step: int
    nimg: int
    attempt: int

    @property
    def sec(self) -> float: ...
    @property
    def img_per_sec(self) -> float: ...
    @property
    def penalised(self) -> bool: ...
    def set_clock(self, sec: float) -> None: ...
    def figures(self) -> dict[str, Any]: ...
    def vitals(self, line: dict[str, Any]) -> Vitals: ...
    def is_finite(self) -> bool: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: dict[str, Any]) -> None: ...


class Gallery(Protocol):
    """What a run shows of itself."""

    def write(self, line: Mapping[str, Any]) -> None: ...
    def snapshot(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class Watch:
    """Figures, watchdog, saving, showing: all that happens between steps and changes no number of a healthy run.

    Args:
        bench: see `Bench`.
        gallery: see `Gallery`.
        on_step: called with a `Status` after every step; may raise Stopped.
        state: to go on from; None = a new run.
    """

    def __init__(self, bench: Bench, gallery: Gallery, on_step: OnStep | None, state: dict[str, Any] | None):
        self.bench, self.run, self.world, self.config = bench, bench.run, bench.world, bench.config
        self.on_step, self.gallery = on_step, gallery
        self._between = True  # steps: nothing is half done
        self._events: list[str] = []
        self._steps_here = 0
        self._asked = False
        if state is not None:
            bench.load(state)
        if self.world.leads:
            self.run.rewind_log(bench.nimg)
        if state is None:
            self._save()
            self._raise_first_failure()
        self._saved_sec = bench.sec

    def say(self, lines: Iterable[str]) -> None:
        """Tell the caller with the next step."""
        self._events += lines

    # -- during the loop

    def is_over(self, asked: bool) -> bool:
        """Is the run done, by pictures or by time, or was it asked to stop? All processes agree."""
        config = self.config
        timed_out = config.minutes is not None and self.bench.sec >= 60 * config.minutes
        return self.is_done() or any_says(asked or self._asked or timed_out, self.world)

    def is_done(self) -> bool:
        """Have all pictures been shown?"""
        return self.bench.nimg >= 1000 * self.config.total_kimg

    def at_work(self) -> None:
        """A step has begun: until it is done, there is nothing to save."""
        self._between = False

    def after_step(self) -> None:
        """A step is done: write figures, look for trouble, save and show, when it is time."""
        bench, config = self.bench, self.config
        self._steps_here += 1
        self._between = True
        line = None
        if self._crossed(config.tick_kimg):
            line = bench.figures()
            finding = bench.watchdog.look(bench.vitals(line)) if config.watchdog else None
            if finding is not None:
                line = self._respond(finding, line)
            self._write(line)
        if self._crossed(config.snapshot_kimg) and bench.is_finite():
            self._show()
        if bench.sec - self._saved_sec >= 60 * config.save_minutes:
            self._save()
        self._tell(line)

    def _crossed(self, every_kimg: float) -> bool:
        """Has this step passed a multiple of so many pictures?"""
        every, step = max(every_kimg * 1000, 1), self.config.batch_size
        return self.bench.nimg // every > (self.bench.nimg - step) // every

    def _write(self, line: Mapping[str, Any]) -> None:
        if not self.world.leads:
            return
        try:
            self.run.log(line)
            self.gallery.write(line)
        except OSError as error:
            self._events.append(f"the log cannot be written ({error}); training goes on")

    def _show(self) -> None:
        if not self.world.leads:
            return
        try:
            facts = self.gallery.snapshot()
        except OSError as error:
            self._events.append(f"the snapshot cannot be written ({error}); training goes on")
            return
        if facts:
            self._write(
                {"nimg": self.bench.nimg, "kimg": self.bench.nimg / 1000, "sec": round(self.bench.sec, 2), **facts}
            )

    def _save(self) -> None:
        """Keep the state; what cannot be saved now (a full disk, sick weights) waits for the next time."""
        bench = self.bench
        self._saved_sec, self._failure = bench.sec, None
        if not (self.world.leads and self._between and bench.is_finite()):
            return
        try:
            self.run.save(bench.state(), good=bench.watchdog.calm)
            self.run.note(nimg=bench.nimg, sec=round(bench.sec, 2), status="running")
        except (OSError, BadConfig, BrokenWeights) as error:
            self._failure = GanvasError(f"the state cannot be saved: {error}")
            self._events.append(f"{self._failure}. The state before stands; training goes on and tries again")

    def _raise_first_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _tell(self, line: Mapping[str, Any] | None) -> None:
        if self.on_step is None or not self.world.leads:
            return
        event = "\n".join(self._events) or None
        self._events.clear()
        try:
            self.on_step(self.status(line, event))
        except Stopped:
            if self.world.size == 1:
                raise
            self._asked = True  # the other processes must hear of it first

    def status(self, line: Mapping[str, Any] | None = None, event: str | None = None) -> Status:
        """How far the run is."""
        bench = self.bench
        speed = bench.img_per_sec if self._steps_here >= ETA_AFTER_STEPS else 0.0
        return Status(
            step=bench.step,
            nimg=bench.nimg,
            sec=bench.sec,
            img_per_sec=bench.img_per_sec,
            eta_sec=eta_sec(self.config, bench.nimg, bench.sec, speed),
            line=line,
            event=event,
        )

    # -- trouble

    def _respond(self, finding: Finding, line: dict[str, Any]) -> dict[str, Any]:
        """What the watchdog has found: go back, change course, or give up. Returns the line for the log."""
        if finding.steps_back:
            return self._step_back(finding)
        words = finding.words
        if finding.trouble not in self.bench.watchdog.warned:
            self.bench.watchdog.warned.append(finding.trouble)
            words += f". Remedy: {self._apply(finding)}"
            self._events.append(words)
        return {**line, "event": words}

    def _step_back(self, finding: Finding) -> dict[str, Any]:
        bench, at_kimg = self.bench, self.bench.nimg / 1000
        before = [each for each in self.run.record["remedies"] if each["stepped_back"]]
        state = self.run.load(good=True)
        self._between = False
        if len(before) >= STEPS_BACK_ALLOWED or state is None:
            raise self._given_up(finding, at_kimg)
        remedy, attempt, sec, watchdog = bench.remedy, bench.attempt, bench.sec, bench.watchdog
        bench.watchdog = Watchdog()
        bench.load(state)
        bench.watchdog.learn_from(watchdog)
        bench.remedy, bench.attempt = remedy, attempt + 1  # other randomness, too: not into the same batch again
        bench.set_clock(sec)
        words = f"{finding.words}. Back to {bench.nimg / 1000:g} kimg; remedy: {self._apply(finding, at_kimg)}"
        if self.world.leads:
            self.run.rewind_log(bench.nimg)
        self._events.append(words)
        self._between = True
        self._save()
        return {"nimg": bench.nimg, "kimg": bench.nimg / 1000, "sec": round(bench.sec, 2), "event": words}

    def _apply(self, finding: Finding, at_kimg: float | None = None) -> str:
        """Put the remedy into force and into run.json; its words."""
        remedy = finding.remedy(penalised=self.bench.penalised)
        self.bench.remedy = self.bench.remedy.then(remedy)
        note = {
            "kimg": self.bench.nimg / 1000 if at_kimg is None else at_kimg,
            "trouble": finding.trouble,
            "words": finding.words,
            "remedy": asdict(remedy),
            "stepped_back": finding.steps_back,
        }
        remedies = [*self.run.record["remedies"], note]
        if self.world.leads:
            self.run.note(remedies=remedies)
        else:
            self.run.record["remedies"] = remedies
        return remedy.words()

    def _given_up(self, finding: Finding, at_kimg: float) -> GanvasError:
        words = f"stopped at {at_kimg:g} kimg: {finding.words}, again after a remedy. {self.advice(finding)}"
        where = f" The last good state is {self.run.folder}/good.safetensors." if self.run.folder else ""
        self._write({"nimg": self.bench.nimg, "kimg": at_kimg, "sec": round(self.bench.sec, 2), "event": words})
        return GanvasError(words + where)

    # -- the end

    @contextlib.contextmanager
    def to_the_end(self, asked: list[int]) -> Iterator[None]:
        """However the loop ends, save what can be saved and say in run.json how it was."""
        try:
            yield
        except BaseException as error:
            self._save()
            stopped = isinstance(error, (Stopped, KeyboardInterrupt))
            self._note("stopped" if stopped else "failed", str(error) or type(error).__name__)
            if isinstance(error, Stopped):
                error.state = self.trained()
            if _out_of_memory(error):
                raise GanvasError(self.less_memory()) from error
            raise
        self._save()
        self._raise_first_failure()
        stopped = bool(asked) or self._asked
        self._note("stopped" if stopped and not self.is_done() else "finished", "by request" if stopped else "")
        if self.bench.is_finite():
            self._show()
        if self.world.leads:
            self.gallery.close()

    def _note(self, status: str, words: str) -> None:
        if self.world.leads:
            with contextlib.suppress(OSError, BadConfig):
                self.run.note(status=status, words=words, nimg=self.bench.nimg, sec=round(self.bench.sec, 2))

    # -- what each kind of run says for itself

    def trained(self) -> Any:
        """What there is now: the answer of the loop."""
        raise NotImplementedError

    def advice(self, finding: Finding) -> str:
        """What to try when the same trouble came back after its remedy."""
        raise NotImplementedError

    def less_memory(self) -> str:
        """What to say when memory ran out."""
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        """Has the run had all that it was asked for?"""
        minutes = self.config.minutes
        return self.is_done() or (minutes is not None and self.bench.sec >= 60 * minutes)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


# ---------------------------------------------------------------------------------------------------------------------
# The folder


def opened(
    folder: str | Path | None, config: Any, data: Mapping[str, Any], facts: Mapping[str, Any], world: World
) -> tuple[Run | MemoryRun, bool]:
    """The run, and whether it goes on. The leading process makes the folder, the others only read it.

    Args:
        folder: of the run; None = nothing is written.
        config: Settings, resolved.
        data: of the pictures: their fingerprint, and what else run.json should say of them.
        facts: what else should stand in run.json.
        world: of processes.
    """
    if folder is None:
        return MemoryRun(), False
    path, goes_on = Path(folder), False
    if world.leads:
        merged = {
            **facts,
            "device": str(world.device),
            "processes": world.size,
            "data": {**facts.get("data", {}), **data},
        }
        run, goes_on = open_run(path, config, merged)
    goes_on = any_says(goes_on, world)
    return (run if world.leads else Run(path, read_record(path))), goes_on


@contextlib.contextmanager
def held(run: Run | MemoryRun, world: World) -> Iterator[None]:
    """The run's folder is ours inside."""
    if not world.leads:
        yield
        return
    run.lock()
    try:
        run.note(status="running", words="")
        yield
    finally:
        run.unlock()


# ---------------------------------------------------------------------------------------------------------------------
# The process


@contextlib.contextmanager
def own_randomness(seed: int, world: World) -> Iterator[None]:
    """Inside, torch's randomness is the run's; outside, the caller's goes on as if nothing had been."""
    # Only the process's own card: asking the others for their state would take memory on each.
    with torch.random.fork_rng(devices=[world.device] if world.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """Inside, Ctrl-C and a polite kill are noted in the list that is given; a second one interrupts at once."""
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
