"""What a step of a generator's training is given: real pictures, in the order of the run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.sampler import GrowingSampler, Sampler, grow_parts
from ganvas.training.engine.distributed import World
from ganvas.training.generator.config import TrainConfig
from ganvas.training.gradients import split_batch


class ImageBatch(NamedTuple):
    """One process's share of a batch, or a part of it."""

    img: Tensor  # [n, C, R, R] real pictures
    c: Tensor | None  # [n, c_dim]
    fresh: Tensor | None = None  # as many other real pictures, where the generator's loss compares with them
    fresh_c: Tensor | None = None  # their labels

    def part(self, part: slice) -> ImageBatch:
        """Some of its pictures."""
        return ImageBatch(*(None if each is None else each[part] for each in self))  # type: ignore[arg-type]


class MicroBatch(NamedTuple):
    """What goes through the networks at once."""

    part: slice  # of this process's share
    place: int  # of its first picture in the whole batch

    @property
    def size(self) -> int:
        """How many pictures."""
        return self.part.stop - self.part.start


class ReadAhead:
    """Pixels of the batches to come, read by a thread while the step before them is computed.

    Args:
        read: position of the run → pixels and labels on the CPU.
        pin: put them into page-locked memory, from which a GPU copies while it computes.
    """

    def __init__(self, read: Callable[[int], tuple[Tensor, Tensor | None]], *, pin: bool):
        self._read, self._pin = read, pin
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._coming: dict[int, Future[tuple[Tensor, Tensor | None]]] = {}

    def take(self, nimg: int, step: int) -> tuple[Tensor, Tensor | None]:
        """The batch at a position; those `step` and 2 · `step` further are begun."""
        wanted = (nimg, nimg + step, nimg + 2 * step)
        self._coming = {
            at: self._coming.get(at) or self._thread.submit(self._load, at) for at in wanted
        }  # what a run that stepped back no longer needs is dropped
        return self._coming.pop(nimg).result()

    def _load(self, nimg: int) -> tuple[Tensor, Tensor | None]:
        pixels, c = self._read(nimg)
        if not self._pin:
            return pixels, c
        return pixels.pin_memory(), None if c is None else c.pin_memory()


class ImageFeed:
    """The pictures of a run, as img on the device; which come next is a pure function of the pictures shown so far.

    Args:
        pictures: `ganvas.datasets.image_dataset.ImageDataset`, or whatever has its length and its `batch`.
        config: resolved.
        c_dim: of the labels that are used, or the number of categories that are not in the data; 0 = none.
        world: of processes; each gets its share of every batch.
    """

    def __init__(self, pictures: Any, config: TrainConfig, *, c_dim: int, world: World):
        self.pictures, self.config, self.c_dim, self.world = pictures, config, c_dim, world
        self._follow([(0, len(pictures))])

    def _follow(self, parts: list[tuple[int, int]]) -> None:
        seed, mirror = self.config.seed, self.config.mirror
        self._sampler = GrowingSampler(parts, seed=seed, mirror=mirror)
        self._fresh_sampler = GrowingSampler(parts, seed=seed + 1, mirror=mirror)
        pin = self.world.device.type == "cuda"
        self._ahead = {
            sampler: ReadAhead(partial(self._read, sampler), pin=pin)
            for sampler in (self._sampler, self._fresh_sampler)
            if pin or getattr(self.pictures, "is_streamed", False)  # else reading costs a thousandth of a step
        }

    def state(self) -> list[tuple[int, int]]:
        """From which position on the set had how many pictures; for `load_state`."""
        return self._sampler.parts

    def load_state(self, parts: list[tuple[int, int]], nimg: int) -> None:
        """Resume at `nimg`; pictures that were added since take part once the round that was begun is over."""
        self._follow(grow_parts(parts, len(self.pictures), nimg))

    @property
    def local(self) -> int:
        """How many pictures of each batch are this process's."""
        return self.config.batch_size // self.world.size

    @property
    def micro_batches(self) -> list[MicroBatch]:
        """The share of this process in portions that fit."""
        cuts = split_batch(self.local, self.config.micro_batch or self.local)
        return [MicroBatch(cut, self.world.rank * self.local + cut.start) for cut in cuts]

    def take(self, nimg: int, *, with_fresh: bool) -> ImageBatch:
        """The batch after so many pictures."""
        fresh = self._take(self._fresh_sampler, nimg) if with_fresh else (None, None)
        return ImageBatch(*self._take(self._sampler, nimg), *fresh)

    def _take(self, sampler: GrowingSampler, nimg: int) -> tuple[Tensor, Tensor | None]:
        step = self.config.batch_size * (self.config.d_steps if sampler is self._fresh_sampler else 1)
        ahead = self._ahead.get(sampler)
        pixels, c = self._read(sampler, nimg) if ahead is None else ahead.take(nimg, step)
        return self._to_device(pixels, c)

    def _read(self, sampler: GrowingSampler, nimg: int) -> tuple[Tensor, Tensor | None]:
        """This process's share of a batch, mirrored where it is, on the CPU."""
        indices, mirrored = sampler.take(nimg, self.config.batch_size)
        mine = slice(self.world.rank * self.local, (self.world.rank + 1) * self.local)
        pixels, c = self.pictures.batch(indices[mine])
        if self.config.categories:
            drawn = np.random.default_rng([self.config.seed, nimg]).integers(self.c_dim, size=self.config.batch_size)
            c = self._one_hot(drawn[mine])
        flipped = torch.from_numpy(mirrored[mine])
        return torch.where(flipped[:, None, None, None], pixels.flip(3), pixels), c

    def _to_device(self, pixels: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        device = self.world.device
        img = pixels.to(device, non_blocking=True).float().div_(127.5).sub_(1)
        return img, c.to(device, non_blocking=True) if c is not None and self.c_dim else None

    def load(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """These pictures of the set, and their labels where labels are used."""
        pixels, c = self.pictures.batch(indices)
        return self._to_device(pixels, None if self.config.categories else c)

    def _one_hot(self, classes: np.ndarray) -> Tensor:
        return torch.eye(self.c_dim)[torch.from_numpy(classes)]

    def spread_indices(self, count: int) -> np.ndarray:
        """So many pictures of the set, at equal distances."""
        return np.linspace(0, len(self.pictures) - 1, min(count, len(self.pictures))).astype(np.int64)

    def labels(self, count: int) -> Tensor | None:
        """Labels as the data have them, always the same; None where none are used."""
        if not self.c_dim:
            return None
        if self.config.categories:
            return self._one_hot(np.arange(count) % self.c_dim).to(self.world.device)
        return self.load(Sampler(len(self.pictures), seed=self.config.seed).take(0, count)[0])[1]
