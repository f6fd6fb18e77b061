"""The training loop, whatever it trains: steps, metrics, watchdog, saving, showing, stopping.

What a step does, and which advice helps, the trainer says; what is shown, the snapshot writer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ganvas.errors import BadConfig, BadImage, BrokenWeights, GanvasError, Stopped
from ganvas.training.engine.distributed import LostProcess, any_process, shutdown_distributed
from ganvas.training.engine.process import catch_stop_signals, isolated_rng
from ganvas.training.engine.run_folder import MemoryRun, eta_sec
from ganvas.training.engine.snapshots import SnapshotWriter
from ganvas.training.engine.trainer import Trainer
from ganvas.training.engine.watchdog import Finding, Watchdog

ETA_AFTER_STEPS = 20
STEPS_BACK_ALLOWED = 1


class FailedTraining(GanvasError):
    """The watchdog has given up; the message says why, and what to try."""


@dataclass(frozen=True, kw_only=True)
class TrainStatus:
    """Progress of a run; passed to `on_step` after every step."""

    step: int
    nimg: int
    sec: float
    img_per_sec: float
    eta_sec: float | None  # None during the first 20 steps
    line: Mapping[str, Any] | None = None  # the line of the log, where one was just written
    event: str | None = None  # lines for people: weights taken over, what the watchdog found, a full disk


OnTrainStep = Callable[[TrainStatus], object]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of a run."""

    generator: Any  # averaged, in eval mode: a generator or an upscaler; of a translator {"AtoB": …, "BtoA": …}
    discriminator: Any  # the same; None where there was none
    nimg: int
    sec: float
    finished: bool  # False: stopped before what it was asked for; the same call resumes
    folder: Path | None
    log: list[dict[str, Any]]  # of a run without a folder; the others have log.jsonl


class Loop:
    """Steps, and what happens between them: metrics, watchdog, saving, showing; it changes no number of a healthy run.

    Args:
        trainer: see `Trainer`.
        snapshot_writer: see `SnapshotWriter`.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        resumed: resume from the state in the run's folder; False = a new run.
        events: to tell with the first step of a new run.
    """

    def __init__(
        self,
        trainer: Trainer,
        snapshot_writer: SnapshotWriter,
        on_step: OnTrainStep | None,
        *,
        resumed: bool,
        events: Sequence[str] = (),
    ):
        self.trainer, self.run_folder, self.world, self.config = trainer, trainer.run, trainer.world, trainer.config
        self.on_step, self.snapshot_writer = on_step, snapshot_writer
        self._between_steps = True  # steps: nothing is half done
        self._events = [] if resumed else list(events)
        self._steps_here = 0
        self._stop_requested = False
        state = self.run_folder.load() if resumed else None
        if state is not None:
            trainer.load(state)
        if self.world.is_main:
            self.run_folder.rewind_log(trainer.nimg)
        if state is None:
            self._save(must=True)
        if self.run_folder.changes:
            self._note_changes(self.run_folder.changes)
        self._saved_sec = trainer.clock.sec

    def run(self) -> TrainResult:
        """Step after step until the run is done, by pictures or by time, or is stopped.

        Raises:
            GanvasError: the watchdog has given up, memory ran out, or the state cannot be saved; says what to do.
            Stopped: on_step asked for it; saved, with a `TrainResult` as its `state`.
        """
        trainer = self.trainer
        with isolated_rng(self.config.seed, self.world), catch_stop_signals() as signals, self._finishing(signals):
            while not self._is_over(bool(signals)):
                batch = trainer.draw()
                self._between_steps = False  # until the step is done, there is nothing to save
                trainer.step(batch)
                self._after_step()
        shutdown_distributed(self.world)
        return self.result()

    # -- during the loop

    def _is_over(self, stop_requested: bool) -> bool:
        """Is the run done, by pictures or by time, or was it asked to stop? All processes agree."""
        stop = stop_requested or self._stop_requested or self._timed_out()
        return self._is_done() or any_process(stop, self.world)

    def _after_step(self) -> None:
        """A step is done: write metrics, look for trouble, save and show, when it is time."""
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
        if trainer.clock.sec - self._saved_sec >= 60 * config.save_minutes:
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
            self.run_folder.log(line)
            self.snapshot_writer.write(line)
        except (OSError, BadConfig, BadImage) as error:
            self._events.append(f"the log cannot be written ({error}); training continues")

    def _write_snapshot(self, *, last: bool = False) -> None:
        if not self.world.is_main:
            return
        try:
            facts = self.snapshot_writer.snapshot(report=not last)
        except (OSError, BadConfig, BadImage) as error:
            self._events.append(f"the snapshot cannot be written ({error}); training continues")
            return
        if facts:
            self._write(self._line(**facts))

    def _note_changes(self, changes: Sequence[str]) -> None:
        """Say in the log, in run.json and to the caller what a resumed run has otherwise than before."""
        words = "resumed with " + ", ".join(changes)
        self._events.append(words)
        self._write(self._line(event=words))
        noted = [*self.run_folder.record.get("changes", []), {"nimg": self.trainer.nimg, "words": words}]
        self.run_folder.note(changes=noted)

    def _line(self, **facts: Any) -> dict[str, Any]:
        """A line of the log besides those of every tick."""
        nimg = self.trainer.nimg
        return {"nimg": nimg, "kimg": nimg / 1000, "sec": round(self.trainer.clock.sec, 2), **facts}

    def _save(self, *, must: bool = False) -> None:
        """Keep the state; what cannot be saved now (a full disk, sick weights) waits for the next time, or raises."""
        trainer = self.trainer
        self._saved_sec = trainer.clock.sec
        if not (self.world.is_main and self._between_steps and trainer.is_finite()):
            return
        try:
            self.run_folder.save(trainer.state(), good=trainer.watchdog.is_healthy)
            self.run_folder.note(nimg=trainer.nimg, sec=round(trainer.clock.sec, 2), status="running")
        except (OSError, BadConfig, BrokenWeights) as error:
            words = f"the state cannot be saved: {error}"
            if must:
                raise GanvasError(words) from error
            self._events.append(f"{words}. The previous checkpoint is kept; training continues and will retry")

    def _report(self, line: Mapping[str, Any] | None) -> None:
        if self.on_step is None or not self.world.is_main:
            return
        nimg, clock = self.trainer.nimg, self.trainer.clock
        speed = clock.img_per_sec if self._steps_here >= ETA_AFTER_STEPS else 0.0
        status = TrainStatus(
            step=self.trainer.steps,
            nimg=nimg,
            sec=clock.sec,
            img_per_sec=clock.img_per_sec,
            eta_sec=eta_sec(self.config, nimg, clock.sec, speed),
            line=line,
            event="\n".join(self._events) or None,
        )
        self._events.clear()
        try:
            self.on_step(status)
        except Stopped:
            if self.world.size == 1:
                raise
            self._stop_requested = True  # the other processes must hear of it first

    # -- trouble

    def _respond(self, finding: Finding, line: dict[str, Any]) -> dict[str, Any]:
        """What the watchdog has found: go back, change course, or give up. Returns the line for the log."""
        if finding.ends_the_run:
            raise self._give_up(finding, self.trainer.nimg / 1000, again=False)
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
        before = [each for each in self.run_folder.record["remedies"] if each["stepped_back"]]
        state = self.run_folder.load(good=True)
        self._between_steps = False
        if len(before) >= STEPS_BACK_ALLOWED or state is None:
            raise self._give_up(finding, at_kimg)
        remedy, attempt, sec, watchdog = trainer.remedy, trainer.attempt, trainer.clock.sec, trainer.watchdog
        trainer.watchdog = Watchdog()
        trainer.load(state)
        trainer.watchdog.inherit(watchdog)
        trainer.remedy, trainer.attempt = remedy, attempt + 1  # other randomness, too: not into the same batch again
        trainer.clock.set(sec)
        words = f"{finding.words}. Back to {trainer.nimg / 1000:g} kimg; remedy: {self._apply(finding, at_kimg)}"
        if self.world.is_main:
            self.run_folder.rewind_log(trainer.nimg)
        self._events.append(words)
        self._between_steps = True
        self._save()
        return self._line(event=words)

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
        remedies = [*self.run_folder.record["remedies"], note]
        if self.world.is_main:
            self.run_folder.note(remedies=remedies)
        else:
            self.run_folder.record["remedies"] = remedies
        return remedy.words()

    def _give_up(self, finding: Finding, at_kimg: float, *, again: bool = True) -> FailedTraining:
        said = f"{finding.words}, again after a remedy" if again else finding.words
        words = f"stopped at {at_kimg:g} kimg: {said}. {self.trainer.advice(finding)}"
        keeps = again and self.run_folder.folder  # one that never learnt has no good state
        where = f" The last good state is {self.run_folder.folder}/good.safetensors." if keeps else ""
        self._write(self._line(kimg=at_kimg, event=words))
        return FailedTraining(words + where)

    # -- the end

    @contextlib.contextmanager
    def _finishing(self, stop_signals: list[int]) -> Iterator[None]:
        """However the loop ends, save what can be saved and say in run.json how it was."""
        try:
            yield
        except BaseException as error:
            self._save()
            stopped = isinstance(error, (Stopped, KeyboardInterrupt))
            self._note("stopped" if stopped else "failed", str(error) or type(error).__name__)
            if isinstance(error, Stopped):
                error.state = self.result()
            if isinstance(error, LostProcess):
                raise LostProcess(f"{error}. {self._how_to_resume()}") from error
            if _out_of_memory(error):
                raise GanvasError(self.trainer.out_of_memory_advice()) from error
            raise
        self._save(must=True)
        stopped = bool(stop_signals) or self._stop_requested
        self._note("stopped" if stopped and not self._is_done() else "finished", "by request" if stopped else "")
        if self.trainer.is_finite():
            self._write_snapshot(last=True)
        if self.world.is_main:
            self.snapshot_writer.close()

    def _how_to_resume(self) -> str:
        if self.run_folder.folder is None:
            return "Nothing was written: give the training a folder to resume from"
        return f"The last state is kept in {self.run_folder.folder}: start all processes again to resume"

    def _note(self, status: str, words: str) -> None:
        nimg, sec = self.trainer.nimg, round(self.trainer.clock.sec, 2)
        if self.world.is_main:
            with contextlib.suppress(OSError, BadConfig):
                self.run_folder.note(status=status, words=words, nimg=nimg, sec=sec)

    def result(self) -> TrainResult:
        """What there is now."""
        trainer, run = self.trainer, self.run_folder
        return TrainResult(
            generator=trainer.averaged.net.eval(),
            discriminator=None if trainer.D is None else trainer.D.eval(),
            nimg=trainer.nimg,
            sec=trainer.clock.sec,
            finished=self._is_done() or self._timed_out(),
            folder=run.folder,
            log=run.lines if isinstance(run, MemoryRun) else [],
        )

    def _is_done(self) -> bool:
        """Have all pictures been shown?"""
        return self.trainer.nimg >= 1000 * self.config.total_kimg

    def _timed_out(self) -> bool:
        return self.config.minutes is not None and self.trainer.clock.sec >= 60 * self.config.minutes


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
