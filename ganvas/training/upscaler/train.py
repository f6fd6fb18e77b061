"""Training an upscaler, whole: `train_upscaler`, and what a run shows of itself.

What a step does stands in `upscaler_bench.py`; what watches over it, in `watch.py`; what is kept of it, in `run.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.datasets.sr_pairs import (
    PhotoDataset,
    SRDataset,
    SRPairConfig,
    open_photo_dataset,
)
from ganvas.errors import BadConfig, BadInput, FetchError, WeightsError
from ganvas.models import build
from ganvas.models.protocol import Network
from ganvas.training.engine.distributed import init_distributed, shutdown_distributed
from ganvas.training.engine.loop import Loop, OnTrainStep
from ganvas.training.engine.process import catch_stop_signals, isolated_rng
from ganvas.training.engine.run_folder import MemoryRun, lock_run, open_or_resume, read_record
from ganvas.training.engine.watchdog import Finding
from ganvas.training.generator.networks import Distance
from ganvas.training.generator.transfer import InitReport, init_upscaler_from_weights, upscaler_like
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.training.upscaler.snapshots import UpscalerSnapshotWriter
from ganvas.training.upscaler.trainer import UpscalerTrainer


@dataclass(frozen=True, kw_only=True)
class UpscalerTrainResult:
    """What came of a run."""

    upscaler: Any  # the averaged one, in eval mode
    discriminator: Any  # None where there was none
    nimg: int
    sec: float
    finished: bool  # False: stopped before what it was asked for; the same call goes on
    folder: Path | None
    log: list[dict[str, Any]]  # of a run without a folder; the others have log.jsonl


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
) -> UpscalerTrainResult:
    """Let a network learn to enlarge pictures.

    Args:
        data: a folder or archive of photos larger than the crops, `PhotoDataset`, or uint8 tensors [3, H, W] of any
            sizes.
        config: what to do; None = `UpscalerConfig()`. Recipes: `ganvas.training.upscaler.config`.
        valid: photos to measure with, as `data`; None = some of the data are kept back for that.
        folder: of the run; an interrupted run in it goes on. None = nothing is written.
        init_from: weights to start from, a file or a catalogue name; the network is then built as that one is.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged network, and the discriminator, if there is one. Ctrl-C ends a run early: it is
        saved, `finished` is False.

    Raises:
        BadConfig, BadInput: settings and pictures that do not fit.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `UpscalerTrainResult` as its `state`.
    """
    config = _resolve_schedule(config or UpscalerConfig(), folder)
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

    # The folder: a new run, or one that goes on.
    data_facts = {"fingerprint": photos.fingerprint, "count": len(photos), "report": photos.report}
    run, resumed = open_or_resume(folder, config, data_facts, {**(facts or {}), "start": init.to_json()}, world)
    with lock_run(run, world):
        trainer = UpscalerTrainer(G, D, config, pairs, distance=distance, world=world, run=run)
        loop = UpscalerLoop(
            trainer, UpscalerSnapshotWriter(trainer, held_out), on_step, run.load() if resumed else None
        )
        loop.add_events([] if resumed else init.lines)

        # The loop.
        with isolated_rng(config.seed, world), catch_stop_signals() as stop_signals, loop.finishing(stop_signals):
            while not loop.is_over(bool(stop_signals)):
                low, high = trainer.draw()
                loop.begin_step()
                if trainer.has_discriminator():
                    trainer.gan_step(low, high)
                else:
                    trainer.pixel_step(low, high)
                trainer.average()
                loop.after_step()
    shutdown_distributed(world)
    return loop.result()


class UpscalerLoop(Loop):
    """What a run of an upscaler says for itself."""

    def result(self) -> UpscalerTrainResult:
        """What there is now."""
        trainer: Any = self.trainer
        D = trainer.pair.D
        return UpscalerTrainResult(
            upscaler=trainer.averaged.net.eval(),
            discriminator=None if D is None else D.eval(),
            nimg=trainer.nimg,
            sec=trainer.sec,
            finished=self.finished,
            folder=self.run.folder,
            log=self.run.lines if isinstance(self.run, MemoryRun) else [],
        )

    def advice(self, finding: Finding) -> str:
        """What to try when the same trouble came back after its remedy."""
        slower = "Try lower learning rates (lr, gan_lr, d_lr)"
        return f"{slower} or a smaller gan_weight." if self.config.gan != "none" else f"{slower} or precision=exact."

    def out_of_memory_advice(self) -> str:
        """What to say when memory ran out."""
        config = self.config
        return (
            f"not enough memory for {config.batch_size} crops of {config.low_px * config.scale} px at once on "
            f"{self.world.device}: --set batch_size={max(config.batch_size // 2, 1)} or --set "
            f"low_px={max(config.low_px // 2, 8)} (under another --name)"
        )


# ---------------------------------------------------------------------------------------------------------------------
# What is handed over


def as_photo_dataset(data: Any, config: UpscalerConfig, *, on_step: Any = None) -> PhotoDataset:
    """Photos from whatever was handed over; `on_step` hears (photos read, photos in all).

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
        f"train_upscaler expects a folder, an archive, Photos or uint8 tensors [3, H, W], got {type(data).__name__}."
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
    from ganvas.features.efficientnet import feature_distance, load_efficientnet

    try:
        extractor = load_efficientnet().to(device)
    except (FetchError, WeightsError) as error:
        raise BadConfig(
            "perceptual_weight compares features of EfficientNet-Lite0, which is not here: ganvas models get "
            "efficientnet-lite0, or --set perceptual_weight=0"
        ) from error

    def distance(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = extractor.features(b)
        return feature_distance(extractor.features(a), theirs)

    return distance


def _resolve_schedule(config: UpscalerConfig, folder: str | Path | None) -> UpscalerConfig:
    """The schedule's length written down, so that a longer budget does not bend a schedule that has begun."""
    if config.schedule_kimg is not None:
        return config
    if folder is not None and (Path(folder) / "run.json").exists():
        before = read_record(Path(folder))["config"].get("schedule_kimg")
        return replace(config, schedule_kimg=before or config.total_kimg)
    return replace(config, schedule_kimg=config.total_kimg)
