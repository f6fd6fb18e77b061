"""Training an upscaler, whole: `train_upscaler`.

What a step does stands in `trainer.py`, what a run shows in `snapshots.py`; the loop and the folder of a run are those
of every training, in `engine/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganvas.datasets.sr_pairs import (
    PhotoDataset,
    SRDataset,
    SRPairConfig,
    open_photo_dataset,
)
from ganvas.errors import BadConfig, BadInput, FetchError, WeightsError
from ganvas.models import build
from ganvas.models.protocol import Network
from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.loop import Loop, OnTrainStep, TrainResult
from ganvas.training.engine.process import isolated_rng
from ganvas.training.engine.run_folder import lock_run, open_or_resume, resolve_schedule
from ganvas.training.engine.transfer import InitReport
from ganvas.training.perceptual import Distance, load_feature_distance
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.training.upscaler.snapshots import UpscalerSnapshotWriter
from ganvas.training.upscaler.trainer import UpscalerTrainer
from ganvas.training.upscaler.transfer import init_upscaler_from_weights, upscaler_like


def train_upscaler(
    data: Any,
    *,
    config: UpscalerConfig | None = None,
    valid: Any = None,
    folder: str | Path | None = None,
    init_from: str | Path | None = None,
    on_step: OnTrainStep | None = None,
    device: str = "auto",
    facts: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train an upscaler.

    Args:
        data: a folder or archive of photos larger than the crops, `PhotoDataset`, or uint8 tensors [3, H, W] of any
            sizes.
        config: what to do; None = `UpscalerConfig()`. Presets: `ganvas.training.upscaler.presets`.
        valid: photos to measure with, as `data`; None = some of the data are kept back for that.
        folder: of the run; an interrupted run in it is resumed. None = nothing is written.
        init_from: weights to start from, a file or a catalogue name; the network is then built as that one is.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged network, and the discriminator, if there is one. Ctrl-C ends a run early: it is
        saved, `finished` is False.

    Raises:
        BadConfig, BadInput: invalid settings or images.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `TrainResult` as its `state`.
    """
    config = config or UpscalerConfig()
    config = resolve_schedule(config, folder, length_kimg=config.total_kimg)
    config = config if init_from is None else upscaler_like(config, init_from)
    world = init_distributed(device)
    if world.size > 1:
        raise BadConfig("an upscaler is trained by one process; start it without torchrun")

    # The photos.
    photos, held_out = as_photo_dataset(data, config), None
    if valid is not None:
        held_out = as_photo_dataset(valid, config)
    else:
        photos, held_out = photos.split(min(config.kept_back, len(photos) // 4))
    pairs = SRDataset(photos, _pair_config(config), seed=config.seed)

    # The networks.
    with isolated_rng(config.seed, world):
        G, D = _networks(config)
    init = init_upscaler_from_weights(G, D, init_from) if init_from is not None else InitReport()
    G, D = G.to(world.device), None if D is None else D.to(world.device)
    distance = feature_distance_on(world.device) if config.perceptual_weight > 0 and D is not None else None

    # The folder: a new run, or one that is resumed.
    data_facts = {"fingerprint": photos.fingerprint, "count": len(photos), "report": photos.report}
    run, resumed = open_or_resume(folder, config, data_facts, {**(facts or {}), "start": init.to_json()}, world)
    with lock_run(run, world):
        trainer = UpscalerTrainer(G, D, config, pairs, distance=distance, world=world, run=run)
        snapshot_writer = UpscalerSnapshotWriter(trainer, held_out)
        return Loop(trainer, snapshot_writer, on_step, resumed=resumed, events=init.lines).run()


# ---------------------------------------------------------------------------------------------------------------------
# What is handed over


def as_photo_dataset(data: Any, config: UpscalerConfig, *, on_step: Any = None) -> PhotoDataset:
    """Photos from a path, a dataset or tensors; `on_step` is called with (photos read, total).

    Raises:
        BadInput, BadImage: nothing that can be learnt from.
    """
    if isinstance(data, PhotoDataset):
        return data
    high_px = config.low_px * config.scale
    if isinstance(data, (str, Path)):
        return open_photo_dataset(data, smallest_px=high_px, on_step=on_step)
    if isinstance(data, (list, tuple)):
        return PhotoDataset.of(data, smallest_px=high_px)
    raise BadInput(
        "train_upscaler expects a folder, an archive, an SRDataset or uint8 tensors [3, H, W], got "
        f"{type(data).__name__}."
    )


def _pair_config(config: UpscalerConfig) -> SRPairConfig:
    names = ("scale", "low_px", "degradation", "kernel_px", "candidates")
    return SRPairConfig(**{name: getattr(config, name) for name in names})


def _networks(config: UpscalerConfig) -> tuple[Network, Network | None]:
    G = build(config.family, **{**config.generator, "scale": config.scale})
    if config.gan == "none":
        return G, None
    px = config.low_px * config.scale
    return G, build("rrdbnet", network="D", **{**config.discriminator, "img_resolution": px})


def feature_distance_on(device: torch.device) -> Distance:
    """How unlike two pictures are to EfficientNet-Lite0, [N].

    Raises:
        BadConfig: its weights are not on this computer; says how to get them and how to do without.
    """
    try:
        return load_feature_distance(device)
    except (FetchError, WeightsError) as error:
        raise BadConfig(
            "perceptual_weight compares features of EfficientNet-Lite0, which is not downloaded: ganvas "
            "models get efficientnet-lite0, or --set perceptual_weight=0"
        ) from error
