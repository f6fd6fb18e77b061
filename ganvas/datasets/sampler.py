"""The order of training images, unchanged by a resume."""

from __future__ import annotations

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
