"""What a generator's run shows of itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ganvas.errors import BadConfig, BadImage, FetchError, WeightsError
from ganvas.metrics.evaluate import check_metrics, evaluate
from ganvas.metrics.feature_extractor import FeatureExtractor, efficientnet_extractor, real_features
from ganvas.metrics.frechet import MIN_IMAGES_FD
from ganvas.metrics.names import FEATURE_METRICS, parse_metrics
from ganvas.models.protocol import Generator
from ganvas.training.ema import PowerEma
from ganvas.training.engine.plots import write_sheet, write_walk
from ganvas.training.engine.snapshots import SnapshotWriter
from ganvas.training.generator.trainer import GeneratorTrainer

SHEET_IMAGES = 36  # pictures on a sheet
_SHEET_PX = 1536  # a sheet is no larger: fewer pictures on it
WALK_SEED = 0


class GeneratorSnapshotWriter(SnapshotWriter):
    """Weights, sheets and, where they were asked for, metrics; at the end a walk through latents.

    Raises:
        BadConfig: see `SnapshotMetrics`; what is missing is missed before training.
    """

    def __init__(self, trainer: GeneratorTrainer):
        super().__init__(trainer)
        names, net = parse_metrics(trainer.config.metrics), trainer.averaged.net
        wanted = names and isinstance(net, Generator) and self.folder is not None
        self._metrics = SnapshotMetrics(trainer, net, names) if wanted else None

    def measure(self) -> dict[str, Any]:
        """See `SnapshotWriter`."""
        return {} if self._metrics is None else self._metrics(self.trainer.averaged.net)

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


class SnapshotMetrics:
    """The metrics of the same protocol again and again; the data are looked at once.

    Raises:
        BadConfig: they do not fit the generator or the data, or the feature network is not on this computer.
    """

    def __init__(self, trainer: GeneratorTrainer, G: Any, names: tuple[str, ...]):
        self.run, self.pictures, self.names = trainer.run, trainer.feed.pictures, names
        self.num = max(trainer.config.metrics_num, MIN_IMAGES_FD)
        of_features = set(names) & set(FEATURE_METRICS)
        self.extractor = _open_extractor(trainer.world.device, names) if of_features else None
        check_metrics(G, self.pictures, names, num=self.num, seed=0, extractor=self.extractor)
        self.real = None
        if self.extractor is not None and of_features != {"ppl"}:
            self.real = torch.cat(list(real_features(self.pictures, num=self.num, seed=0, extractor=self.extractor)))

    def __call__(self, G: Any) -> dict[str, Any]:
        """{name: value} and, in run.json, how it was measured; the Fréchet distance is called "fd"."""
        with torch.random.fork_rng(devices=[]):
            try:
                results = evaluate(
                    G,
                    self.pictures,
                    metrics=self.names,
                    num=self.num,
                    seed=0,
                    extractor=self.extractor,
                    real=self.real,
                )
            except BadImage:
                return {}
        keys = ["fd" if result.name.startswith("FD-") else result.name for result in results]
        for key, result in zip(keys, results, strict=True):
            if key == "fd":
                self.run.note(fd_protocol=result.protocol.line(), fd_floor=result.floor)
        self.run.note(metrics={result.name: f"{result.better} is better; {result.line()}" for result in results})
        return {key: result.value for key, result in zip(keys, results, strict=True)}


def _open_extractor(device: torch.device, names: tuple[str, ...]) -> FeatureExtractor:
    try:
        return efficientnet_extractor(precision="fast", device=device)
    except (FetchError, WeightsError) as error:
        raise BadConfig(f"metrics={','.join(names)} needs a feature network: {error}") from error
