"""Training a generator against a discriminator, whole: `train`, and what watches over it.

What a step does stands in `bench.py`; what is kept of a run, in `run.py`; what can be seen of it, in `gallery.py`.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.datasets.pictures import Pictures, open_pictures
from ganvas.errors import BadConfig, BadImage, BadInput, BrokenWeights, GanvasError, Stopped
from ganvas.training.bench import Bench
from ganvas.training.config import TrainConfig, schedule_length_kimg
from ganvas.training.distributed import World, any_says, join, leave, same_start, wait
from ganvas.training.gallery import Gallery
from ganvas.training.pair import build_pair
from ganvas.training.run import MemoryRun, Run, eta_sec, open_run, read_record
from ganvas.training.transfer import Start, start_from
from ganvas.training.watchdog import Finding, Watchdog

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


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run."""

    generator: Any  # the averaged one, in eval mode
    discriminator: Any
    nimg: int
    sec: float
    finished: bool  # False: stopped before what it was asked for; the same call goes on
    folder: Path | None
    log: list[dict[str, Any]]  # of a run without a folder; the others have log.jsonl


def train(
    data: Any,
    *,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    config: TrainConfig | None = None,
    folder: str | Path | None = None,
    init_from: str | Path | None = None,
    on_step: OnStep | None = None,
    device: str = "auto",
    facts: Mapping[str, Any] | None = None,
) -> Trained:
    """Let a generator and a discriminator learn from pictures.

    Args:
        data: a folder or archive of pictures, `Pictures`, or a tensor [N, C, R, R]: uint8, or float in [-1, 1].
        generator, discriminator: any torch modules (see `pair.Pair`), trained where they are; None = built from config.
        config: what to do; None = `TrainConfig()`. Presets: `ganvas.training.presets`.
        folder: of the run; an interrupted run in it goes on. None = nothing is written.
        init_from: weights to start from: a file or a catalogue name.
        on_step: called with a `Status` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged generator and the discriminator. Ctrl-C ends a run early: it is saved, `finished` is False.

    Raises:
        BadConfig, BadInput: settings, pictures and networks that do not fit.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `Trained` as its `state`.
    """
    # The machine: one process, or one of several that torchrun started.
    config = _settled(config or TrainConfig())
    world = join(device)
    _check_share(config, world)

    # The pictures.
    pictures = as_pictures(data, config)
    c_dim = pictures.c_dim if config.labels != "none" else 0

    # The networks, the same in every process.
    with _own_randomness(config.seed, world):
        G, D = _networks(generator, discriminator, config, pictures, c_dim)
    begin = start_from(G, D, init_from) if init_from is not None else Start()
    G, D = G.to(world.device), D.to(world.device)
    same_start([G, D], world)

    # The folder: a new run, or one that goes on.
    run, goes_on = _opened(folder, config, pictures, {**(facts or {}), "start": begin.to_json()}, world)
    with _held(run, world):
        bench = Bench(G, D, config, pictures, c_dim=c_dim, world=world, run=run)
        watch = Watch(bench, on_step, run.load() if goes_on else None)
        watch.say([] if goes_on else begin.lines)

        # The loop.
        with _own_randomness(config.seed, world), _asked_to_stop() as asked, watch.to_the_end(asked):
            while not watch.is_over(bool(asked)):
                batch = bench.draw()
                watch.at_work()
                bench.discriminator_step(batch)
                if bench.penalty_is_due():
                    bench.penalty_step(batch)
                if bench.generator_is_due():
                    bench.generator_step(batch)
                    if bench.path_length_is_due():
                        bench.path_length_step(batch)
                bench.average()
                watch.after_step()
    leave(world)
    return watch.trained()


# ---------------------------------------------------------------------------------------------------------------------
# What watches over the loop


class Watch:
    """Figures, watchdog, saving, showing: all that happens between steps and changes no number of a healthy run."""

    def __init__(self, bench: Bench, on_step: OnStep | None, state: dict[str, Any] | None):
        self.bench, self.run, self.world, self.config = bench, bench.run, bench.world, bench.config
        self.on_step, self.gallery = on_step, Gallery(bench)
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
        words = f"stopped at {at_kimg:g} kimg: {finding.words}, again after a remedy. {_ADVICE[finding.trouble]}"
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
                raise GanvasError(_less_memory(self.config, self.world)) from error
            raise
        self._save()
        self._raise_first_failure()
        stopped = bool(asked) or self._asked
        self._note("stopped" if stopped and not self.is_done() else "finished", "by request" if stopped else "")
        if self.bench.is_finite():
            self._show()
        if self.world.leads:
            self.gallery.close()
        wait(self.world)

    def _note(self, status: str, words: str) -> None:
        if self.world.leads:
            with contextlib.suppress(OSError, BadConfig):
                self.run.note(status=status, words=words, nimg=self.bench.nimg, sec=round(self.bench.sec, 2))

    def trained(self) -> Trained:
        """What there is now."""
        bench, config = self.bench, self.config
        timed_out = config.minutes is not None and bench.sec >= 60 * config.minutes
        return Trained(
            generator=bench.averaged.net.eval(),
            discriminator=bench.pair.D.eval(),
            nimg=bench.nimg,
            sec=bench.sec,
            finished=self.is_done() or timed_out,
            folder=self.run.folder,
            log=self.run.lines if isinstance(self.run, MemoryRun) else [],
        )


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _less_memory(config: TrainConfig, world: World) -> str:
    portion = config.micro_batch or config.batch_size // world.size
    return (
        f"not enough memory for {portion} pictures at once on {world.device}. The same training in smaller portions: "
        f"--set micro_batch={max(portion // 2, 1)} (under another --name); or a smaller --resolution"
    )


_ADVICE = {
    "nan": "Try a lower learning rate (g_lr, d_lr), precision=exact, or without path_length.",
    "exploding": "Try a lower learning rate (g_lr, d_lr) or a stronger r1_gamma.",
    "collapse": "Try more pictures, a stronger r1_gamma, a larger batch_size, or another preset.",
    "d_wins": "Try a stronger r1_gamma, a lower d_lr, augment=ada, or more pictures.",
}


# ---------------------------------------------------------------------------------------------------------------------
# What is handed over


def as_pictures(data: Any, config: TrainConfig, *, on_step: Callable[[int, int], object] | None = None) -> Pictures:
    """A training set from whatever was handed over; `on_step` hears (pictures read, pictures in all).

    Raises:
        BadImage: a tensor of another type, shape or range.
        BadInput, BadConfig: see `open_pictures`.
    """
    if isinstance(data, Pictures):
        return data
    if isinstance(data, (str, Path)):
        labels = {"none": "none", "auto": None}.get(config.labels, config.labels)
        return open_pictures(data, resolution=config.resolution, labels=labels, on_step=on_step)
    if not isinstance(data, (Tensor, np.ndarray)):
        raise BadInput(
            f"train expects a folder, an archive, Pictures or a tensor [N, C, R, R], got {type(data).__name__}."
        )
    img = torch.as_tensor(data)
    if img.is_floating_point():
        low, high = torch.aminmax(img) if img.numel() else (img.new_tensor(math.nan),) * 2
        if not (low >= -1 and high <= 1):
            raise BadImage(f"train expects float pictures in [-1, 1], got {low.item():.3g} to {high.item():.3g}.")
        img = ((img + 1) * 127.5).round().to(torch.uint8)
    return Pictures.from_pixels(img)


def _networks(
    generator: nn.Module | None, discriminator: nn.Module | None, config: TrainConfig, pictures: Pictures, c_dim: int
) -> tuple[nn.Module, nn.Module]:
    if (generator is None) != (discriminator is None):
        raise BadInput("train takes a generator and a discriminator, or neither: these two belong together.")
    if generator is not None and discriminator is not None:
        return generator.train().requires_grad_(True), discriminator.train().requires_grad_(True)
    size, channels = pictures.img_resolution, pictures.img_channels
    return build_pair(config, resolution=size, channels=channels, c_dim=c_dim)


def _settled(config: TrainConfig) -> TrainConfig:
    """The schedule's length written down, so that a longer budget does not bend a schedule that has begun."""
    bends = config.schedule == "cosine" or config.augment == "ramp"
    return replace(config, schedule_kimg=schedule_length_kimg(config)) if bends else config


def _check_share(config: TrainConfig, world: World) -> None:
    if config.batch_size % world.size:
        raise BadConfig(
            f"batch_size is over all processes together and must be a multiple of them: {config.batch_size} does not "
            f"divide by {world.size}."
        )


# ---------------------------------------------------------------------------------------------------------------------
# The folder


def _opened(
    folder: str | Path | None, config: TrainConfig, pictures: Pictures, facts: Mapping[str, Any], world: World
) -> tuple[Run | MemoryRun, bool]:
    """The run, and whether it goes on. The leading process makes the folder, the others only read it."""
    if folder is None:
        return MemoryRun(), False
    path, goes_on = Path(folder), False
    data = {"fingerprint": pictures.fingerprint, "count": len(pictures), "resolution": pictures.img_resolution}
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
def _held(run: Run | MemoryRun, world: World) -> Iterator[None]:
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
def _own_randomness(seed: int, world: World) -> Iterator[None]:
    """Inside, torch's randomness is the run's; outside, the caller's goes on as if nothing had been."""
    # Only the process's own card: asking the others for their state would take memory on each.
    with torch.random.fork_rng(devices=[world.device] if world.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
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
