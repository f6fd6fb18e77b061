"""Find duplicate images: exact, or visually similar.

A picture's sketch is 64 bits, each saying whether a spot is darker than its right neighbour (the "difference hash" of
photo archives), and 12 x 12 colours. Two pictures count as one where few bits differ and the colours agree: the bits
survive another size, format or quality, and the colours tell apart what merely has the same outlines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

MAX_HASH_DISTANCE = 8  # of 64 that may differ
MAX_COLOUR_RMS = 5.0  # root mean square of the colours' differences, of 255
_COLOURS = 12


@dataclass(frozen=True, kw_only=True)
class ImageHash:
    """What a picture is recognised by."""

    bits: int  # 64 of them
    colours: np.ndarray  # float32 [12 · 12 · C]


def hash_image(pixels: np.ndarray) -> ImageHash:
    """uint8 [C, R, R] → its sketch."""
    whole = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    picture = Image.fromarray(whole if whole.shape[2] == 3 else whole[:, :, 0])
    grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    darker = np.packbits(grey[:, :-1] < grey[:, 1:])
    colours = np.asarray(picture.resize((_COLOURS, _COLOURS), Image.Resampling.BOX), np.float32).ravel()
    return ImageHash(bits=int.from_bytes(darker.tobytes(), "big"), colours=colours)


class DuplicateIndex:
    """The sketches of pictures so far, and the first that a new one resembles."""

    def __init__(self) -> None:
        self._bits = np.empty(0, np.uint64)
        self._colours: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._colours)

    def find_similar(self, image_hash: ImageHash) -> int | None:
        """The number of the first picture that looks the same, or None."""
        differing = _count_bits(self._bits[: len(self)] ^ np.uint64(image_hash.bits))
        for i in np.flatnonzero(differing <= MAX_HASH_DISTANCE).tolist():
            if np.sqrt(np.square(self._colours[i] - image_hash.colours).mean()) <= MAX_COLOUR_RMS:
                return int(i)
        return None

    def add(self, image_hash: ImageHash) -> None:
        """Remember one more; it gets the next number."""
        if len(self) == len(self._bits):
            self._bits = np.concatenate([self._bits, np.empty(max(64, len(self)), np.uint64)])
        self._bits[len(self)] = image_hash.bits
        self._colours.append(image_hash.colours)


def _count_bits(numbers: np.ndarray) -> np.ndarray:
    """How many bits are set in each uint64."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        return np.asarray(np.bitwise_count(numbers))
    return np.unpackbits(numbers.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)
