"""Training a translator, whole: `train_translator`, and what a run shows of itself.

What a step does stands in `translator_bench.py`; what watches over it, in `watch.py`; what is kept of it, in `run.py`.
A run's folder holds `AtoB.safetensors`, and `BtoA.safetensors` where both ways are learnt: `ganvas translate -n FOLDER`
takes it at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganvas.datasets.image_dataset import ImageDataset, OnReadStep as OnRead
from ganvas.datasets.translation_data import TranslationDataset, make_translation_dataset, open_translation_dataset
from ganvas.errors import BadConfig, BadInput
from ganvas.training.engine.distributed import init_distributed, shutdown_distributed
from ganvas.training.engine.loop import Loop, OnTrainStep
from ganvas.training.engine.process import catch_stop_signals, isolated_rng
from ganvas.training.engine.run_folder import MemoryRun, lock_run, open_or_resume, read_record
from ganvas.training.engine.watchdog import Finding
from ganvas.training.translator.config import TranslatorConfig
from ganvas.training.translator.snapshots import TranslatorSnapshotWriter
from ganvas.training.translator.trainer import TranslatorTrainer


@dataclass(frozen=True, kw_only=True)
class TranslatorTrainResult:
    """What came of a run."""

    translators: dict[str, Any]  # by direction: the averaged ones, in eval mode
    discriminators: dict[str, Any]
    nimg: int
    sec: float
    finished: bool  # False: stopped before what it was asked for; the same call goes on
    folder: Path | None
    log: list[dict[str, Any]]  # of a run without a folder; the others have log.jsonl


def train_translator(
    data: Any,
    *,
    config: TranslatorConfig | None = None,
    folder: str | Path | None = None,
    on_step: OnTrainStep | None = None,
    device: str = "auto",
    facts: Mapping[str, Any] | None = None,
) -> TranslatorTrainResult:
    """Let a network learn to show pictures of one collection as if they were of another.

    Args:
        data: a folder with trainA and trainB, or train (see `open_translation_dataset`), `TranslationDataset`, or the
            two domains as tensors uint8 [N, 3, R, R] (or `ImageDataset`); of pairs, in the same order.
        config: what to do; None = `TranslatorConfig()`. Presets: `ganvas.training.translator.config`.
        folder: of the run; an interrupted run in it goes on. None = nothing is written.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged translators by direction. Ctrl-C ends a run early: it is saved, `finished` is False.

    Raises:
        BadConfig, BadInput: settings and pictures that do not fit.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `TranslatorTrainResult` as its `state`.
    """
    config = _resolve_schedule(config or TranslatorConfig(), folder)
    world = init_distributed(device)
    if world.size > 1:
        raise BadConfig("a translator is trained by one process; start it without torchrun")

    # The pictures.
    dataset, held_out = as_translation_dataset(data, config).split(config.kept_back)
    data_facts = {"fingerprint": dataset.fingerprint, "count": len(dataset.rows_a), "count_B": len(dataset.rows_b)}
    data_facts |= {"resolution": dataset.img_resolution, "report": list(dataset.report)}

    # The folder: a new run, or one that goes on.
    run, resumed = open_or_resume(folder, config, data_facts, facts or {}, world)
    with lock_run(run, world), isolated_rng(config.seed, world):
        trainer = TranslatorTrainer(config, dataset, held_out, world=world, run=run)
        loop = TranslatorLoop(trainer, TranslatorSnapshotWriter(trainer), on_step, run.load() if resumed else None)

        # The loop.
        with catch_stop_signals() as stop_signals, loop.finishing(stop_signals):
            while not loop.is_over(bool(stop_signals)):
                batch = trainer.draw()
                loop.begin_step()
                if config.pairing == "paired":
                    trainer.paired_step(batch)
                else:
                    trainer.unpaired_step(batch)
                trainer.average()
                loop.after_step()
    shutdown_distributed(world)
    return loop.result()


def as_translation_dataset(data: Any, config: TranslatorConfig, *, on_step: OnRead | None = None) -> TranslationDataset:
    """Domains from whatever was handed over; `on_step` hears (pictures read, pictures in all) of each collection.

    Raises:
        BadInput, BadImage: nothing that can be learnt from.
    """
    paired = config.pairing == "paired"
    if isinstance(data, TranslationDataset):
        if data.paired != paired:
            raise BadInput(f"pairing={config.pairing}, but the pictures are {'paired' if data.paired else 'unpaired'}")
        return data
    if isinstance(data, (str, Path)):
        return open_translation_dataset(data, resolution=config.loaded_px, paired=paired, on_step=on_step)
    if not isinstance(data, Sequence) or len(data) != 2:
        raise BadInput(
            "train_translator expects a folder with trainA and trainB (or train), Domains, or two sets of pictures "
            f"(A, B), got {type(data).__name__}"
        )
    a, b = (each if isinstance(each, ImageDataset) else ImageDataset.from_pixels(each) for each in data)
    return make_translation_dataset(a, b, paired=paired)


def _resolve_schedule(config: TranslatorConfig, folder: str | Path | None) -> TranslatorConfig:
    """The schedule's length written down, so that a longer budget does not bend a schedule that has begun.

    Raises:
        BadConfig: the run should go on beyond its schedule, where the learning rates are 0.
    """
    if config.schedule_kimg is None:
        before = None
        if folder is not None and (Path(folder) / "run.json").exists():
            before = read_record(Path(folder))["config"].get("schedule_kimg")
        config = replace(config, schedule_kimg=before or config.total_kimg)
    assert config.schedule_kimg is not None
    if config.decay_from < 1 and config.total_kimg > config.schedule_kimg:
        raise BadConfig(
            f"the learning rates of this run come down to 0 at {config.schedule_kimg:g} thousand pictures; more would "
            "change nothing. Go on to there, or begin a longer run under another --name."
        )
    return config


# ---------------------------------------------------------------------------------------------------------------------
# What watches over the loop


class TranslatorLoop(Loop):
    """What watches over a translator."""

    trainer: TranslatorTrainer

    def result(self) -> TranslatorTrainResult:
        """What there is now."""
        trainer = self.trainer
        return TranslatorTrainResult(
            translators={way: net.eval() for way, net in trainer.translators.items()},
            discriminators={way: trainer.D[way].eval() for way in trainer.config.ways},
            nimg=trainer.nimg,
            sec=trainer.sec,
            finished=self.finished,
            folder=self.run.folder,
            log=self.run.lines if isinstance(self.run, MemoryRun) else [],
        )

    def advice(self, finding: Finding) -> str:
        """What to try when the same trouble came back after its remedy."""
        return _ADVICE.get(finding.trouble, "Look at the sheets and the curves.")

    def out_of_memory_advice(self) -> str:
        """The same training with smaller batches, or smaller pictures."""
        half = max(self.config.batch_size // 2, 1)
        return (
            f"not enough memory for {self.config.batch_size} pictures of {self.config.resolution} px at once on "
            f"{self.world.device}. Try --set batch_size={half} or a smaller --resolution, under another --name"
        )


_ADVICE = {
    "nan": "Try lower learning rates (g_lr, d_lr), or precision=exact.",
    "exploding": "Try lower learning rates (g_lr, d_lr).",
    "collapse": "Try more pictures, a larger cycle (unpaired) or l1 (paired), or a lower d_lr.",
    "d_wins": "Try a lower d_lr, or more pictures.",
}
