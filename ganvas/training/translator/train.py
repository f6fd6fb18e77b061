"""Training a translator, whole: `train_translator`.

What a step does stands in `trainer.py`, what a run shows in `snapshots.py`; the loop and the folder of a run are those
of every training, in `engine/`. A run's folder holds `AtoB.safetensors`, and `BtoA.safetensors` where both ways are
learnt: `ganvas translate -n FOLDER` takes it at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganvas.datasets.image_dataset import ImageDataset, OnReadStep as OnRead
from ganvas.datasets.translation_data import TranslationDataset, make_translation_dataset, open_translation_dataset
from ganvas.errors import BadConfig, BadInput
from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.loop import Loop, OnTrainStep, TrainResult
from ganvas.training.engine.process import isolated_rng
from ganvas.training.engine.resume import describe_new_run
from ganvas.training.engine.run_folder import lock_run, open_or_resume, resolve_schedule
from ganvas.training.engine.transfer import InitReport
from ganvas.training.translator.config import TranslatorConfig
from ganvas.training.translator.contrast import ContrastTrainer
from ganvas.training.translator.snapshots import TranslatorSnapshotWriter
from ganvas.training.translator.trainer import TranslatorTrainer, build_networks
from ganvas.training.translator.transfer import init_translators_from_weights, translator_like


def train_translator(
    data: Any,
    *,
    config: TranslatorConfig | None = None,
    folder: str | Path | None = None,
    init_from: str | Path | None = None,
    on_step: OnTrainStep | None = None,
    device: str = "auto",
    facts: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Let a network learn to show pictures of one collection as if they were of another.

    Args:
        data: a folder with trainA and trainB, or train (see `open_translation_dataset`), `TranslationDataset`, or the
            two domains as tensors uint8 [N, C, R, R] (or `ImageDataset`); of pairs, in the same order.
        config: what to do; None = `TranslatorConfig()`. Presets: `ganvas.training.translator.presets`.
        folder: of the run; an interrupted run in it is resumed. None = nothing is written.
        init_from: start from these weights: a catalogue name, a file, or the folder of a run; `config.generator`
            becomes theirs.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged translators by direction, `result.generator["AtoB"]`. Ctrl-C ends a run early: it is saved,
        `finished` is False.

    Raises:
        BadConfig, BadInput: invalid settings or images.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `TrainResult` as its `state`.
    """
    config = config or TranslatorConfig()
    config = resolve_schedule(config, folder, length_kimg=config.total_kimg)
    _check_schedule(config, folder, facts or {})
    config = config if init_from is None else translator_like(config, init_from)
    world = init_distributed(device)
    if world.size > 1:
        raise BadConfig("a translator is trained by one process; start it without torchrun")

    # The pictures.
    dataset, held_out = as_translation_dataset(data, config).split(config.kept_back)
    data_facts = {"fingerprint": dataset.fingerprint, "count": len(dataset.rows_a), "count_B": len(dataset.rows_b)}
    data_facts |= {"resolution": dataset.img_resolution, "report": list(dataset.report)}

    # The networks.
    with isolated_rng(config.seed, world):
        G, D = build_networks(config)
    init = InitReport() if init_from is None else init_translators_from_weights(G, config, init_from)
    G, D = G.to(world.device), D.to(world.device)

    # The folder: a new run, or one that is resumed.
    run, resumed = open_or_resume(folder, config, data_facts, {**(facts or {}), "start": init.to_json()}, world)
    by_contrast = config.pairing == "unpaired" and config.learn_by == "contrast"
    with lock_run(run, world):
        build_trainer = ContrastTrainer if by_contrast else TranslatorTrainer
        trainer = build_trainer(G, D, config, dataset, held_out, world=world, run=run)
        return Loop(trainer, TranslatorSnapshotWriter(trainer), on_step, resumed=resumed, events=init.lines).run()


def as_translation_dataset(data: Any, config: TranslatorConfig, *, on_step: OnRead | None = None) -> TranslationDataset:
    """A dataset from a path, a dataset or two sets; `on_step` is called with (images read, total) for each collection.

    Raises:
        BadInput, BadImage: nothing that can be learnt from.
    """
    paired, channels = config.pairing == "paired", (config.channels_a, config.channels_b)
    if isinstance(data, (str, Path)):
        return open_translation_dataset(
            data, resolution=config.loaded_px, paired=paired, channels=channels, on_step=on_step
        )
    domains = _as_domains(data, paired=paired)
    if domains.paired != paired:
        raise BadInput(f"pairing={config.pairing}, but the images are {'paired' if domains.paired else 'unpaired'}")
    if (domains.a.img_channels, domains.b.img_channels) != channels:
        raise BadInput(
            f"channels_a={channels[0]} and channels_b={channels[1]}, but the images have {domains.a.img_channels} and "
            f"{domains.b.img_channels}"
        )
    return domains


def _as_domains(data: Any, *, paired: bool) -> TranslationDataset:
    if isinstance(data, TranslationDataset):
        return data
    if not isinstance(data, Sequence) or len(data) != 2:
        raise BadInput(
            "train_translator expects a folder with trainA and trainB (or train), a TranslationDataset, "
            f"or two sets of images (A, B), got {type(data).__name__}"
        )
    a, b = (each if isinstance(each, ImageDataset) else ImageDataset.from_pixels(each) for each in data)
    return make_translation_dataset(a, b, paired=paired)


def _check_schedule(config: TranslatorConfig, folder: str | Path | None, facts: Mapping[str, Any]) -> None:
    """Raises BadConfig where the run should go beyond its schedule, at whose end the learning rates are 0."""
    assert config.schedule_kimg is not None
    if config.decay_from < 1 and config.total_kimg > config.schedule_kimg:
        new_run = "" if folder is None else describe_new_run(Path(folder), config, facts, from_weights=False)
        raise BadConfig(
            f"the learning rates of this run reach 0 at {config.schedule_kimg:g} thousand images; "
            f"training longer has no effect. Train up to there, or start a longer run with another --name.{new_run}"
        )
