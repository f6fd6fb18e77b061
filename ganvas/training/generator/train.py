"""Training a generator against a discriminator, whole: `train`.

What a step does stands in `trainer.py`, what a run shows in `snapshots.py`; the loop and the folder of a run are those
of every training, in `engine/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.datasets.image_dataset import ImageDataset, open_image_dataset
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.training.engine.distributed import World, broadcast_weights, in_turns, init_distributed
from ganvas.training.engine.loop import Loop, OnTrainStep, TrainResult
from ganvas.training.engine.process import isolated_rng
from ganvas.training.engine.run_folder import lock_run, open_or_resume, resolve_schedule
from ganvas.training.engine.transfer import InitReport
from ganvas.training.generator.config import TrainConfig, schedule_length_kimg
from ganvas.training.generator.networks import build_pair
from ganvas.training.generator.resumed_images import order_as_before, remember_images
from ganvas.training.generator.snapshots import GeneratorSnapshotWriter
from ganvas.training.generator.trainer import GeneratorTrainer
from ganvas.training.generator.transfer import init_from_weights


def train(
    data: Any,
    *,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    config: TrainConfig | None = None,
    folder: str | Path | None = None,
    init_from: str | Path | None = None,
    on_step: OnTrainStep | None = None,
    device: str = "auto",
    facts: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Let a generator and a discriminator learn from pictures.

    Args:
        data: a folder or archive of pictures, `ImageDataset`, or a tensor [N, C, R, R]: uint8, or float in [-1, 1].
        generator, discriminator: any torch modules (see `GANPair`), trained in place; None = built from config.
        config: what to do; None = `TrainConfig()`. Presets: `ganvas.training.generator.presets`.
        folder: of the run; an interrupted run in it is resumed, also with pictures added, another batch size or other
            learning rates. None = nothing is written.
        init_from: weights to start from: a file or a catalogue name.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged generator and the discriminator. Ctrl-C ends a run early: it is saved, `finished` is False.

    Raises:
        BadConfig, BadInput: settings, pictures and networks that do not fit.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `TrainResult` as its `state`.
    """
    # The machine: one process, or one of several that torchrun started.
    config = _resolve_schedule(config or TrainConfig(), folder)
    world = init_distributed(device)
    _check_share(config, world)

    # The pictures.
    pictures = in_turns(lambda: as_image_dataset(data, config), world)
    pictures, data_change = order_as_before(pictures, folder)
    c_dim = pictures.c_dim if config.labels != "none" else config.categories

    # The networks, the same in every process.
    with isolated_rng(config.seed, world):
        G, D = _networks(generator, discriminator, config, pictures, c_dim)
    init = init_from_weights(G, D, init_from) if init_from is not None else InitReport()
    G, D = G.to(world.device), D.to(world.device)
    broadcast_weights([G, D], world)

    # The folder: a new run, or one that is resumed.
    data_facts = {"fingerprint": pictures.fingerprint, "count": len(pictures), "resolution": pictures.img_resolution}
    more_facts = {**(facts or {}), "start": init.to_json()}
    run, resumed = open_or_resume(folder, config, data_facts, more_facts, world, data_change)
    with lock_run(run, world):
        if run.folder is not None and world.is_main:
            remember_images(pictures, run.folder)
        trainer = GeneratorTrainer(G, D, config, pictures, c_dim=c_dim, world=world, run=run)
        return Loop(trainer, GeneratorSnapshotWriter(trainer), on_step, resumed=resumed, events=init.lines).run()


# ---------------------------------------------------------------------------------------------------------------------
# What is handed over


def as_image_dataset(
    data: Any, config: TrainConfig, *, on_step: Callable[[int, int], object] | None = None
) -> ImageDataset:
    """A training set from a path, a dataset or a tensor; `on_step` is called with (images read, total).

    Raises:
        BadImage: a tensor of another type, shape or range.
        BadInput, BadConfig: see `open_image_dataset`.
    """
    if isinstance(data, ImageDataset):
        return _check_channels(data, config)
    if isinstance(data, (str, Path)):
        labels = {"none": "none", "auto": None}.get(config.labels, config.labels)
        channels = config.channels or 3
        return open_image_dataset(
            data,
            resolution=config.resolution,
            labels=labels,
            channels=channels,
            stream=config.stream,
            on_step=on_step,
        )
    if not isinstance(data, (Tensor, np.ndarray)):
        raise BadInput(
            f"train expects a folder, an archive, an ImageDataset or a tensor [N, C, R, R], got {type(data).__name__}."
        )
    img = torch.as_tensor(data)
    if img.is_floating_point():
        low, high = torch.aminmax(img) if img.numel() else (img.new_tensor(math.nan),) * 2
        if not (low >= -1 and high <= 1):
            raise BadImage(f"train expects float images in [-1, 1], got {low.item():.3g} to {high.item():.3g}.")
        img = ((img + 1) * 127.5).round().to(torch.uint8)
    return _check_channels(ImageDataset.from_pixels(img), config)


def _check_channels(pictures: ImageDataset, config: TrainConfig) -> ImageDataset:
    if config.channels not in (None, pictures.img_channels):
        raise BadConfig(
            f"channels={config.channels}, but the images have {pictures.img_channels}: leave channels out, or open "
            "the data set with channels=1 or 3."
        )
    return pictures


def _networks(
    generator: nn.Module | None,
    discriminator: nn.Module | None,
    config: TrainConfig,
    pictures: ImageDataset,
    c_dim: int,
) -> tuple[nn.Module, nn.Module]:
    if (generator is None) != (discriminator is None):
        raise BadInput("train needs both a generator and a discriminator, or neither.")
    if generator is not None and discriminator is not None:
        return generator.train().requires_grad_(True), discriminator.train().requires_grad_(True)
    size, channels = pictures.img_resolution, pictures.img_channels
    return build_pair(config, resolution=size, channels=channels, c_dim=c_dim)


def _resolve_schedule(config: TrainConfig, folder: str | Path | None) -> TrainConfig:
    scheduled = config.schedule == "cosine" or config.augment == "ramp"
    return resolve_schedule(config, folder, length_kimg=schedule_length_kimg(config)) if scheduled else config


def _check_share(config: TrainConfig, world: World) -> None:
    if config.pool and world.size > 1:
        raise BadConfig("pool keeps earlier fakes in one process; train with one, or set pool=0")
    if config.batch_size % world.size:
        raise BadConfig(
            "batch_size is the total over all processes and must be a multiple of their number: "
            f"{config.batch_size} is not divisible by {world.size}."
        )
