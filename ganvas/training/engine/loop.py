"""What watches over every training loop, whatever it trains: figures, watchdog, saving, showing, stopping.

A loop reads: open the run, build the bench, then step after step between `begin_step` and `after_step`, inside
`finishing`. What differs from kind to kind (what comes of a run, which advice helps) a subclass of `Loop` says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from ganvas.errors import BadConfig, BrokenWeights, GanvasError, Stopped
from ganvas.training.engine.distributed import World, any_process
from ganvas.training.engine.run_folder import MemoryRun, Run, eta_sec
from ganvas.training.engine.watchdog import Finding, HealthMetrics, Remedy, Watchdog

ETA_AFTER_STEPS = 20
STEPS_BACK_ALLOWED = 1


@dataclass(frozen=True, kw_only=True)
class TrainStatus:
    """How far a run is; what `on_step` is told after every step."""

    step: int
    nimg: int
    sec: float
    img_per_sec: float
    eta_sec: float | None  # None during the first 20 steps
    line: Mapping[str, Any] | None = None  # the line of the log, where one was just written
    event: str | None = None  # lines for people: weights taken over, what the watchdog found, a full disk


OnTrainStep = Callable[[TrainStatus], object]


class TrainerLike(Protocol):
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
    def collect_metrics(self) -> dict[str, Any]: ...
    def health_metrics(self, line: dict[str, Any]) -> HealthMetrics: ...
    def is_finite(self) -> bool: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: dict[str, Any]) -> None: ...


class SnapshotWriter(Protocol):
    """What a run shows of itself."""

    def write(self, line: Mapping[str, Any]) -> None: ...
    def snapshot(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class Loop:
    """Figures, watchdog, saving, showing: all that happens between steps and changes no number of a healthy run.

    Args:
        trainer: see `TrainerLike`.
        snapshot_writer: see `SnapshotWriter`.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        state: to go on from; None = a new run.
    """

    def __init__(
        self,
        trainer: TrainerLike,
        snapshot_writer: SnapshotWriter,
        on_step: OnTrainStep | None,
        state: dict[str, Any] | None,
    ):
        self.trainer, self.run, self.world, self.config = trainer, trainer.run, trainer.world, trainer.config
        self.on_step, self.snapshot_writer = on_step, snapshot_writer
        self._between_steps = True  # steps: nothing is half done
        self._events: list[str] = []
        self._steps_here = 0
        self._stop_requested = False
        if state is not None:
            trainer.load(state)
        if self.world.is_main:
            self.run.rewind_log(trainer.nimg)
        if state is None:
            self._save()
            self._raise_first_failure()
        self._saved_sec = trainer.sec

    def add_events(self, lines: Iterable[str]) -> None:
        """Tell the caller with the next step."""
        self._events += lines

    # -- during the loop

    def is_over(self, stop_requested: bool) -> bool:
        """Is the run done, by pictures or by time, or was it asked to stop? All processes agree."""
        config = self.config
        timed_out = config.minutes is not None and self.trainer.sec >= 60 * config.minutes
        return self.is_done() or any_process(stop_requested or self._stop_requested or timed_out, self.world)

    def is_done(self) -> bool:
        """Have all pictures been shown?"""
        return self.trainer.nimg >= 1000 * self.config.total_kimg

    def begin_step(self) -> None:
        """A step has begun: until it is done, there is nothing to save."""
        self._between_steps = False

    def after_step(self) -> None:
        """A step is done: write figures, look for trouble, save and show, when it is time."""
        trainer, config = self.trainer, self.config
        self._steps_here += 1
        self._between_steps = True
        line = None
        if self._is_due(config.tick_kimg):
            line = trainer.collect_metrics()
            finding = trainer.watchdog.check(trainer.health_metrics(line)) if config.watchdog else None
            if finding is not None:
                line = self._respond(finding, line)
            self._write(line)
        if self._is_due(config.snapshot_kimg) and trainer.is_finite():
            self._write_snapshot()
        if trainer.sec - self._saved_sec >= 60 * config.save_minutes:
            self._save()
        self._report(line)

    def _is_due(self, every_kimg: float) -> bool:
        """Has this step passed a multiple of so many pictures?"""
        every, step = max(every_kimg * 1000, 1), self.config.batch_size
        return self.trainer.nimg // every > (self.trainer.nimg - step) // every

    def _write(self, line: Mapping[str, Any]) -> None:
        if not self.world.is_main:
            return
        try:
            self.run.log(line)
            self.snapshot_writer.write(line)
        except OSError as error:
            self._events.append(f"the log cannot be written ({error}); training goes on")

    def _write_snapshot(self) -> None:
        if not self.world.is_main:
            return
        try:
            facts = self.snapshot_writer.snapshot()
        except OSError as error:
            self._events.append(f"the snapshot cannot be written ({error}); training goes on")
            return
        if facts:
            self._write(
                {
                    "nimg": self.trainer.nimg,
                    "kimg": self.trainer.nimg / 1000,
                    "sec": round(self.trainer.sec, 2),
                    **facts,
                }
            )

    def _save(self) -> None:
        """Keep the state; what cannot be saved now (a full disk, sick weights) waits for the next time."""
        trainer = self.trainer
        self._saved_sec, self._failure = trainer.sec, None
        if not (self.world.is_main and self._between_steps and trainer.is_finite()):
            return
        try:
            self.run.save(trainer.state(), good=trainer.watchdog.is_healthy)
            self.run.note(nimg=trainer.nimg, sec=round(trainer.sec, 2), status="running")
        except (OSError, BadConfig, BrokenWeights) as error:
            self._failure = GanvasError(f"the state cannot be saved: {error}")
            self._events.append(f"{self._failure}. The state before stands; training goes on and tries again")

    def _raise_first_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _report(self, line: Mapping[str, Any] | None) -> None:
        if self.on_step is None or not self.world.is_main:
            return
        event = "\n".join(self._events) or None
        self._events.clear()
        try:
            self.on_step(self.status(line, event))
        except Stopped:
            if self.world.size == 1:
                raise
            self._stop_requested = True  # the other processes must hear of it first

    def status(self, line: Mapping[str, Any] | None = None, event: str | None = None) -> TrainStatus:
        """How far the run is."""
        trainer = self.trainer
        speed = trainer.img_per_sec if self._steps_here >= ETA_AFTER_STEPS else 0.0
        return TrainStatus(
            step=trainer.step,
            nimg=trainer.nimg,
            sec=trainer.sec,
            img_per_sec=trainer.img_per_sec,
            eta_sec=eta_sec(self.config, trainer.nimg, trainer.sec, speed),
            line=line,
            event=event,
        )

    # -- trouble

    def _respond(self, finding: Finding, line: dict[str, Any]) -> dict[str, Any]:
        """What the watchdog has found: go back, change course, or give up. Returns the line for the log."""
        if finding.steps_back:
            return self._step_back(finding)
        words = finding.words
        if finding.trouble not in self.trainer.watchdog.warned:
            self.trainer.watchdog.warned.append(finding.trouble)
            words += f". Remedy: {self._apply(finding)}"
            self._events.append(words)
        return {**line, "event": words}

    def _step_back(self, finding: Finding) -> dict[str, Any]:
        trainer, at_kimg = self.trainer, self.trainer.nimg / 1000
        before = [each for each in self.run.record["remedies"] if each["stepped_back"]]
        state = self.run.load(good=True)
        self._between_steps = False
        if len(before) >= STEPS_BACK_ALLOWED or state is None:
            raise self._give_up(finding, at_kimg)
        remedy, attempt, sec, watchdog = trainer.remedy, trainer.attempt, trainer.sec, trainer.watchdog
        trainer.watchdog = Watchdog()
        trainer.load(state)
        trainer.watchdog.inherit(watchdog)
        trainer.remedy, trainer.attempt = remedy, attempt + 1  # other randomness, too: not into the same batch again
        trainer.set_clock(sec)
        words = f"{finding.words}. Back to {trainer.nimg / 1000:g} kimg; remedy: {self._apply(finding, at_kimg)}"
        if self.world.is_main:
            self.run.rewind_log(trainer.nimg)
        self._events.append(words)
        self._between_steps = True
        self._save()
        return {"nimg": trainer.nimg, "kimg": trainer.nimg / 1000, "sec": round(trainer.sec, 2), "event": words}

    def _apply(self, finding: Finding, at_kimg: float | None = None) -> str:
        """Put the remedy into force and into run.json; its words."""
        remedy = finding.remedy(penalised=self.trainer.penalised)
        self.trainer.remedy = self.trainer.remedy.then(remedy)
        note = {
            "kimg": self.trainer.nimg / 1000 if at_kimg is None else at_kimg,
            "trouble": finding.trouble,
            "words": finding.words,
            "remedy": asdict(remedy),
            "stepped_back": finding.steps_back,
        }
        remedies = [*self.run.record["remedies"], note]
        if self.world.is_main:
            self.run.note(remedies=remedies)
        else:
            self.run.record["remedies"] = remedies
        return remedy.words()

    def _give_up(self, finding: Finding, at_kimg: float) -> GanvasError:
        words = f"stopped at {at_kimg:g} kimg: {finding.words}, again after a remedy. {self.advice(finding)}"
        where = f" The last good state is {self.run.folder}/good.safetensors." if self.run.folder else ""
        self._write({"nimg": self.trainer.nimg, "kimg": at_kimg, "sec": round(self.trainer.sec, 2), "event": words})
        return GanvasError(words + where)

    # -- the end

    @contextlib.contextmanager
    def finishing(self, stop_signals: list[int]) -> Iterator[None]:
        """However the loop ends, save what can be saved and say in run.json how it was."""
        try:
            yield
        except BaseException as error:
            self._save()
            stopped = isinstance(error, (Stopped, KeyboardInterrupt))
            self._note("stopped" if stopped else "failed", str(error) or type(error).__name__)
            if isinstance(error, Stopped):
                error.state = self.result()
            if _out_of_memory(error):
                raise GanvasError(self.out_of_memory_advice()) from error
            raise
        self._save()
        self._raise_first_failure()
        stopped = bool(stop_signals) or self._stop_requested
        self._note("stopped" if stopped and not self.is_done() else "finished", "by request" if stopped else "")
        if self.trainer.is_finite():
            self._write_snapshot()
        if self.world.is_main:
            self.snapshot_writer.close()

    def _note(self, status: str, words: str) -> None:
        if self.world.is_main:
            with contextlib.suppress(OSError, BadConfig):
                self.run.note(status=status, words=words, nimg=self.trainer.nimg, sec=round(self.trainer.sec, 2))

    # -- what each kind of run says for itself

    def result(self) -> Any:
        """What there is now: the answer of the loop."""
        raise NotImplementedError

    def advice(self, finding: Finding) -> str:
        """What to try when the same trouble came back after its remedy."""
        raise NotImplementedError

    def out_of_memory_advice(self) -> str:
        """What to say when memory ran out."""
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        """Has the run had all that it was asked for?"""
        minutes = self.config.minutes
        return self.is_done() or (minutes is not None and self.trainer.sec >= 60 * minutes)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
