"""Sets that fit neither memory nor disk as pixels: encoded files are read and decoded when it is their turn.

A million JPEGs of 256 px are 25 GB, their pixels 197 GB. Nothing is decoded in advance, so what is wrong with a file is
found when it is reached: the next readable picture takes its place. The order is that of every other set, a pure
function of the seed and of the pictures shown, so a run resumes exactly, and gives bit for bit what it gives with the
cache; the price is one read at a random place for each picture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.cache import CacheDescription
from ganvas.datasets.folder import ImageSource
from ganvas.datasets.preprocess import ImagePreprocessor
from ganvas.datasets.reading import digest_of, in_threads, load_image
from ganvas.errors import BadInput

KEPT_BYTES = 256 << 20  # of decoded pictures that stay in memory
_MAX_BAD_IN_A_ROW = 100


class Streamed:
    """The pictures of a source, decoded by several threads when they are taken.

    Args:
        source: a folder, archive, tar shards, …
        preprocessor: makes them fit.
        kept_bytes: the first pictures that are taken stay decoded in memory, up to here; more are decoded each time.
    """

    def __init__(self, source: ImageSource, preprocessor: ImagePreprocessor, *, kept_bytes: int = KEPT_BYTES):
        self.source, self.preprocessor, self.kept_bytes = source, preprocessor, kept_bytes
        self.skipped: dict[str, str] = {}  # name → why it could not be shown, of those that were reached
        self._kept: dict[int, np.ndarray] = {}

    def take(self, rows: np.ndarray) -> Tensor:
        """[len(rows), C, R, R].

        Raises:
            BadInput: many pictures in a row cannot be read.
        """
        return torch.from_numpy(np.stack(list(in_threads(self._load, rows.tolist()))))

    def _load(self, row: int) -> np.ndarray:
        """A picture, or the next one that can be read."""
        count = len(self.source.items)
        for place in range(row, row + min(_MAX_BAD_IN_A_ROW, count)):
            pixels = self._decode(place % count)
            if pixels is not None:
                return pixels
        raise BadInput(
            f"{self.source.path}: {_MAX_BAD_IN_A_ROW} images in a row cannot be read; the last: "
            + "; ".join(f"{name} {why}" for name, why in list(self.skipped.items())[-1:])
        )

    def _decode(self, row: int) -> np.ndarray | None:
        if row in self._kept:
            return self._kept[row]
        item = self.source.items[row]
        loaded = None if item.name in self.skipped else load_image(self.source, item, self.preprocessor)
        if loaded is None or loaded.pixels is None:
            self.skipped.setdefault(item.name, "" if loaded is None else loaded.error)
            return None
        if (len(self._kept) + 1) * loaded.pixels.nbytes <= self.kept_bytes:
            self._kept[row] = loaded.pixels
        return loaded.pixels


def open_streamed(source: ImageSource, preprocessor: ImagePreprocessor) -> tuple[Streamed, CacheDescription]:
    """The store, and what is known of its pictures without reading them: their names and sizes."""
    size = preprocessor.resolution
    description = CacheDescription((preprocessor.channels, size, size))
    description.names = [item.name for item in source.items]
    description.digests = [digest_of(f"{item.name} {item.size}".encode()) for item in source.items]
    return Streamed(source, preprocessor), description
