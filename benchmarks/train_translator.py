"""Processor seconds of a step of each way to train an unpaired translator: CycleGAN, CUT and FastCUT in turns.

    python benchmarks/train_translator.py

A ratio within one process, so that a busy machine slows all alike; seconds for a thousand pictures depend on the load.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from ganvas.datasets.image_dataset import ImageDataset
from ganvas.datasets.translation_data import make_translation_dataset
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun
from ganvas.training.translator.config import TranslatorConfig
from ganvas.training.translator.contrast import ContrastTrainer
from ganvas.training.translator.presets import find_translator_preset
from ganvas.training.translator.trainer import TranslatorTrainer, build_networks

ROUNDS, WARM_UP = 10, 2


def make_trainer(config: TranslatorConfig) -> TranslatorTrainer:
    """A trainer on noise: what is learnt does not matter."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (20, 3, config.loaded_px, config.loaded_px), dtype=torch.uint8, generator=rng)
    dataset = make_translation_dataset(*map(ImageDataset.from_pixels, (pixels, 255 - pixels)), paired=False)
    kind = ContrastTrainer if config.learn_by == "contrast" else TranslatorTrainer
    config = replace(config, schedule_kimg=config.total_kimg)
    return kind(*build_networks(config), config, dataset, dataset, world=World(), run=MemoryRun())


def main() -> None:
    """The command."""
    cut = find_translator_preset("cut-64-cpu")
    configs = {
        "cyclegan-64-cpu": find_translator_preset("cyclegan-64-cpu"),
        "cut-64-cpu": cut,
        "cut-64-cpu as FastCUT": replace(cut, contrast=10.0, contrast_identity=0.0),
    }
    trainers = {name: make_trainer(config) for name, config in configs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(ROUNDS):
        for name, trainer in trainers.items():
            batch, start = trainer.draw(), time.process_time()
            trainer.step(batch)
            seconds[name].append((time.process_time() - start) / trainer.config.batch_size)
    medians = {name: statistics.median(each[WARM_UP:]) for name, each in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: {1000 * median:.0f} s a kimg, {median / medians['cyclegan-64-cpu']:.2f} of CycleGAN's")


if __name__ == "__main__":
    main()
