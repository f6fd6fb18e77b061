"""What a generator's run shows of itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ganvas.errors import BadConfig, BadImage, FetchError, WeightsError
from ganvas.metrics.feature_extractor import efficientnet_extractor
from ganvas.metrics.frechet import MIN_IMAGES_FD, fd_effnet, real_statistics
from ganvas.models.protocol import Generator
from ganvas.training.ema import PowerEma
from ganvas.training.engine.plots import write_sheet, write_walk
from ganvas.training.engine.snapshots import SnapshotWriter
from ganvas.training.generator.trainer import GeneratorTrainer

SHEET_IMAGES = 36  # pictures on a sheet
_SHEET_PX = 1536  # a sheet is no larger: fewer pictures on it
WALK_SEED = 0


class GeneratorSnapshotWriter(SnapshotWriter):
    """Weights, sheets and, where it was asked for, the distance to the data; at the end a walk through latents.

    Raises:
        BadConfig: see `FDMetric`; what is missing is missed before training.
    """

    def __init__(self, trainer: GeneratorTrainer):
        super().__init__(trainer)
        wanted = trainer.config.metrics == "fd" and isinstance(trainer.averaged.net, Generator)
        self._fd_metric = FDMetric(trainer) if wanted and self.folder is not None else None

    def measure(self) -> dict[str, Any]:
        """See `SnapshotWriter`."""
        return {} if self._fd_metric is None else self._fd_metric(self.trainer.averaged.net)

    def show(self, name: str) -> None:
        """See `SnapshotWriter`."""
        averaged = self.trainer.averaged
        for end, net, facts in _averages(averaged):
            self.save_network(net, f"snapshots/{name}{end}", half=True, **facts)
        self.save_network(averaged.net, "model")
        self.save_network(self.trainer.D, "D")
        pictures = self.trainer.feed.pictures
        count = min(SHEET_IMAGES, max(int(_SHEET_PX / pictures.img_resolution), 1) ** 2)
        assert self.folder is not None
        if not (self.folder / "reals.jpg").exists():
            write_sheet(pictures.batch(self.trainer.feed.spread_indices(count))[0], self.folder / "reals.jpg")
        self.write_fakes(self.trainer.fixed.sample(averaged.net, count).clamp(-1, 1), name)

    def close(self) -> None:
        """See `SnapshotWriter`."""
        net: Any = self.trainer.averaged.net
        if self.folder is not None and isinstance(net, Generator) and self.trainer.is_finite():
            write_walk(net, self.folder / "walk.gif", WALK_SEED)
        super().close()


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
        self.run, self.pictures = trainer.run, trainer.feed.pictures
        self.num = max(trainer.config.metrics_num, MIN_IMAGES_FD)
        try:
            self.extractor = efficientnet_extractor(precision="fast", device=trainer.world.device)
        except (FetchError, WeightsError) as error:
            raise BadConfig(f"metrics=fd needs a feature network: {error}") from error
        real = min(self.num, len(self.pictures))
        self.reference = real_statistics(self.pictures, num=real, seed=0, extractor=self.extractor)

    def __call__(self, G: Any) -> dict[str, Any]:
        """{"fd": …} and, in run.json, how it was measured."""
        with torch.random.fork_rng(devices=[]):
            try:
                result = fd_effnet(
                    G,
                    self.pictures,
                    num=self.num,
                    seed=0,
                    extractor=self.extractor,
                    reference=self.reference,
                )
            except BadImage:
                return {}
        self.run.note(fd_protocol=result.protocol.line(), fd_floor=result.floor)
        return {"fd": result.value}
