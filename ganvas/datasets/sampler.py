"""The order of training images, unchanged by a resume."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ganvas.errors import BadConfig


class Sampler:
    """An infinite order of images in which every image comes once before any repeats.

    A pure function of the seed and of how many pictures were shown: a run stopped at `nimg` resumes exactly, and
    several processes that each take their part of a batch see the same images as one.
    """

    def __init__(self, count: int, *, seed: int, mirror: bool = False):
        """
        Args:
            count: how many pictures there are.
            seed: 0 or more.
            mirror: show half of the pictures mirrored; two rounds show each once either way.

        Raises:
            BadConfig: no picture, or a negative seed.
        """
        if count < 1 or seed < 0:
            raise BadConfig(f"a Sampler needs 1 or more images and a seed of 0 or more, got {count} and {seed}")
        self.count, self.seed, self.mirror = count, seed, mirror

    def take(self, nimg: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next `n` pictures after `nimg` were shown.

        Returns:
            int64 [n] indices below `count`, and bool [n]: which of them are shown mirrored.
        """
        if nimg < 0 or n < 0:
            raise BadConfig(f"Sampler.take expects nimg and n of 0 or more, got {nimg} and {n}")
        places = np.arange(nimg, nimg + n, dtype=np.int64)
        rounds, at = places // self.count, places % self.count
        indices, mirrored = np.empty(n, np.int64), np.zeros(n, bool)
        for each in np.unique(rounds).tolist():
            here = rounds == each
            indices[here] = _order(self.count, self.seed, each)[at[here]]
            if self.mirror:
                mirrored[here] = _sides(self.count, self.seed, each // 2)[indices[here]] ^ bool(each % 2)
        return indices, mirrored


class GrowingSampler:
    """A `Sampler` over a set that grows: a round that was begun is finished first, then all pictures take part.

    Args:
        parts: (first position, pictures from there on), in order, the first at 0.
        seed, mirror: as of `Sampler`.
    """

    def __init__(self, parts: Sequence[tuple[int, int]], *, seed: int, mirror: bool = False):
        self.parts = list(parts)
        self._samplers = [Sampler(count, seed=seed, mirror=mirror) for _, count in self.parts]

    def take(self, nimg: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Sampler.take`."""
        starts = [start for start, _ in self.parts]
        ends = [*starts[1:], nimg + n]
        pieces = [
            sampler.take(max(nimg, start) - start, min(nimg + n, end) - max(nimg, start))
            for sampler, start, end in zip(self._samplers, starts, ends, strict=True)
            if max(nimg, start) < min(nimg + n, end)
        ]
        if len(pieces) < 2:
            return pieces[0] if pieces else self._samplers[-1].take(0, 0)
        return np.concatenate([each[0] for each in pieces]), np.concatenate([each[1] for each in pieces])


def grow_parts(parts: Sequence[tuple[int, int]], count: int, nimg: int) -> list[tuple[int, int]]:
    """The parts of a `GrowingSampler` from `nimg` on, when the set has `count` pictures now."""
    begun = [part for part in parts if part[0] <= nimg]
    start, before = begun[-1]
    if before == count:
        return begun
    at = start + -(-(nimg - start) // before) * before  # the end of the round that was begun
    return [*(part for part in begun if part[0] < at), (at, count)]


@lru_cache(maxsize=4)
def _order(count: int, seed: int, round: int) -> np.ndarray:
    return _random(seed, 2 * round).permutation(count)


@lru_cache(maxsize=4)
def _sides(count: int, seed: int, pair: int) -> np.ndarray:
    """Which pictures the first round of a pair shows mirrored; the second shows the others."""
    return _random(seed, 2 * pair + 1).random_sample(count) < 0.5


def _random(seed: int, stream: int) -> np.random.RandomState:
    """RandomState, because numpy promises that its numbers never change; those of its successor may."""
    words = [part >> shift & 0xFFFFFFFF for part in (seed, stream) for shift in (0, 32, 64)]
    return np.random.RandomState(np.array(words, np.uint32))
