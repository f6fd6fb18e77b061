"""Training a generator against a discriminator, whole: `train`.

What a step does stands in `bench.py`; what watches over it, in `watch.py`; what is kept of a run, in `run.py`; what can
be seen of it, in `gallery.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.datasets.pictures import Pictures, open_pictures
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.training.bench import Batch, Bench
from ganvas.training.config import TrainConfig, schedule_length_kimg
from ganvas.training.distributed import World, join, leave, same_start
from ganvas.training.gallery import Gallery
from ganvas.training.pair import build_pair
from ganvas.training.run import MemoryRun
from ganvas.training.transfer import Start, start_from
from ganvas.training.watch import OnStep, Watch, asked_to_stop, held, opened, own_randomness
from ganvas.training.watchdog import Finding


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
    with own_randomness(config.seed, world):
        G, D = _networks(generator, discriminator, config, pictures, c_dim)
    begin = start_from(G, D, init_from) if init_from is not None else Start()
    G, D = G.to(world.device), D.to(world.device)
    same_start([G, D], world)

    # The folder: a new run, or one that goes on.
    told = {"fingerprint": pictures.fingerprint, "count": len(pictures), "resolution": pictures.img_resolution}
    run, goes_on = opened(folder, config, told, {**(facts or {}), "start": begin.to_json()}, world)
    with held(run, world):
        bench = Bench(G, D, config, pictures, c_dim=c_dim, world=world, run=run)
        watch = GeneratorWatch(bench, Gallery(bench), on_step, run.load() if goes_on else None)
        watch.say([] if goes_on else begin.lines)

        # The loop.
        with own_randomness(config.seed, world), asked_to_stop() as asked, watch.to_the_end(asked):
            while not watch.is_over(bool(asked)):
                batch = bench.draw()
                watch.at_work()
                one_step(bench, batch)
                watch.after_step()
    leave(world)
    return watch.trained()


def one_step(bench: Bench, batch: Batch) -> None:
    """Both networks learn from one batch."""
    # The discriminator.
    bench.discriminator_step(batch)
    if bench.penalty_is_due():
        bench.penalty_step(batch)

    # The generator.
    if bench.generator_is_due():
        bench.generator_step(batch)
        if bench.path_length_is_due():
            bench.path_length_step(batch)

    # Averages, augmentation, counters.
    bench.average()


# ---------------------------------------------------------------------------------------------------------------------
# What watches over the loop


class GeneratorWatch(Watch):
    """What watches over a generator and its discriminator."""

    bench: Bench

    def trained(self) -> Trained:
        """What there is now."""
        bench = self.bench
        return Trained(
            generator=bench.averaged.net.eval(),
            discriminator=bench.pair.D.eval(),
            nimg=bench.nimg,
            sec=bench.sec,
            finished=self.finished,
            folder=self.run.folder,
            log=self.run.lines if isinstance(self.run, MemoryRun) else [],
        )

    def advice(self, finding: Finding) -> str:
        """What to try when the same trouble came back after its remedy."""
        return _ADVICE[finding.trouble]

    def less_memory(self) -> str:
        """The same training in smaller portions, or smaller pictures."""
        return _less_memory(self.config, self.world)


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
