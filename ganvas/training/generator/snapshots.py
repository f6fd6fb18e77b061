"""What a run shows of itself: weights, sheets, a walk, figures and a report, into its folder, whenever it is time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ganvas.errors import BadConfig, BadImage, FetchError, WeightsError
from ganvas.metrics.feature_extractor import efficientnet_extractor
from ganvas.metrics.frechet import MIN_IMAGES_FD, fd_effnet, real_statistics
from ganvas.models.protocol import Generator, Network
from ganvas.training.ema import PowerEma
from ganvas.training.engine.plots import plot_log, write_sheet, write_walk
from ganvas.training.engine.report import write_report
from ganvas.training.engine.tensorboard import open_tensorboard
from ganvas.training.generator.trainer import GeneratorTrainer
from ganvas.weights.checkpoint import save, write_atomically

SHEET_IMAGES = 36  # pictures on a sheet
_SHEET_PX = 1536  # a sheet is no larger: fewer pictures on it
WALK_SEED = 0


class GeneratorSnapshotWriter:
    """Writes into the run's folder; does nothing for a run without one."""

    def __init__(self, trainer: GeneratorTrainer):
        self.trainer = trainer
        self.folder: Path | None = trainer.run.folder if trainer.world.is_main else None
        self._tensorboard = open_tensorboard(self.folder) if self.folder else None
        measures_fd = (
            self.folder is not None and trainer.config.metrics == "fd" and isinstance(trainer.averaged.net, Generator)
        )
        self._fd_metric = (
            FDMetric(trainer) if measures_fd else None
        )  # now, so that what is missing is missed before training

    def write(self, line: Mapping[str, Any]) -> None:
        """A line of the log, for TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.write(line)

    def snapshot(self) -> dict[str, Any]:
        """Weights, a sheet, and the distance where it was asked for. Returns what belongs into the log.

        Raises:
            OSError, BadConfig: the folder cannot be written.
        """
        if self.folder is None:
            return {}
        trainer, name = self.trainer, f"{round(self.trainer.nimg / 1000):06d}"
        (self.folder / "snapshots").mkdir(exist_ok=True)
        for end, net, facts in _averages(trainer.averaged):
            self._save(net, self.folder / "snapshots" / f"{name}{end}.safetensors", half=True, **facts)
        self._save(trainer.averaged.net, self.folder / "model.safetensors")
        self._save(trainer.pair.D, self.folder / "D.safetensors")
        self._sheets(name)
        metrics = self._distance()
        plot_log(self.folder)
        write_report(self.folder)
        return metrics

    def close(self) -> None:
        """The last figures of a run that has ended."""
        if self.folder is None:
            return
        net: Any = self.trainer.averaged.net
        if isinstance(net, Generator) and self.trainer.is_finite():
            write_walk(net, self.folder / "walk.gif", WALK_SEED)
        plot_log(self.folder)
        write_report(self.folder)
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _save(self, net: nn.Module, path: Path, *, half: bool = False, **facts: Any) -> None:
        """A family of ours with its card; anybody's module as plain weights."""
        if isinstance(net, Network):
            trained = {"trained_kimg": self.trainer.nimg / 1000, "trained_on": self.trainer.run.record.get("data", {})}
            save(net, path, half=half, **trained, **facts)
            return
        tensors = {key: value.detach().cpu().contiguous().clone() for key, value in net.state_dict().items()}
        write_atomically(path, lambda temporary: save_file(tensors, temporary, {"format": "pt"}))

    def _sheets(self, name: str) -> None:
        assert self.folder is not None
        pictures = self.trainer.pictures
        across = max(int(_SHEET_PX / pictures.img_resolution), 1)
        count = min(SHEET_IMAGES, across**2)
        reals = self.folder / "reals.jpg"
        if not reals.exists():
            chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(np.int64)
            write_sheet(pictures.batch(chosen)[0], reals)
        write_sheet(
            self.trainer.sample(self.trainer.averaged.net, count).clamp(-1, 1), self.folder / f"fakes-{name}.jpg"
        )

    def _distance(self) -> dict[str, Any]:
        return {} if self._fd_metric is None else self._fd_metric(self.trainer.averaged.net)


def _averages(averaged: Any) -> list[tuple[str, nn.Module, dict[str, Any]]]:
    """(end of the file's name, network, facts); `ema.average_of_files` mixes those of PowerEma after the run."""
    if isinstance(averaged, PowerEma):
        return [(f"-sigma{sigma:g}", net, {"power_sigma": sigma}) for sigma, net in averaged.nets.items()]
    return [("", averaged.net, {})]


class FDMetric:
    """FD-EffNet of the same protocol again and again: reals are looked at once.

    Raises:
        BadConfig: too few pictures, or the feature network is not on this computer; says what to do.
    """

    def __init__(self, trainer: GeneratorTrainer):
        config, self.trainer = trainer.config, trainer
        self.num = max(config.metrics_num, MIN_IMAGES_FD)
        try:
            self.extractor = efficientnet_extractor(precision="fast", device=trainer.world.device)
        except (FetchError, WeightsError) as error:
            raise BadConfig(f"metrics=fd needs a network to look with: {error}") from error
        real = min(self.num, len(trainer.pictures))
        self.reference = real_statistics(trainer.pictures, num=real, seed=0, extractor=self.extractor)

    def __call__(self, G: Any) -> dict[str, Any]:
        """{"fd": …} and, in run.json, how it was measured."""
        with torch.random.fork_rng(devices=[]):
            try:
                result = fd_effnet(
                    G,
                    self.trainer.pictures,
                    num=self.num,
                    seed=0,
                    extractor=self.extractor,
                    reference=self.reference,
                )
            except BadImage:
                return {}
        self.trainer.run.note(fd_protocol=result.protocol.line(), fd_floor=result.floor)
        return {"fd": result.value}
