"""Photos of any size, and training pairs for upscalers cropped from them.

Crop number n of a run is a pure function of the seed and n, so a stopped run resumes exactly. A pair is a crop and the
small picture made of it; what is made small is larger than the crop by a margin that is cut away again, so that a
crop's edge looks like the middle of a photo and not like its end.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganvas.datasets.degrade import DegradeConfig, degrade
from ganvas.datasets.folder import ImageSource, Item
from ganvas.datasets.reading import digest_of, in_threads, open_source
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.images.decode import decode_image
from ganvas.images.tensors import from_pixels, to_pixels

PHOTOS_IN_MEMORY_BYTES = 1 << 30  # photos up to here are held in memory, more of them in a file without a name
_NAMED = 20  # bad files that the report names one by one
CROP_MARGIN = 4  # low px around a crop

_OnStep = Callable[[int, int], object]  # (photos done, photos in all); may raise Stopped


@dataclass(frozen=True)
class _Place:
    """Where a photo lies in the store."""

    name: str
    height: int
    width: int
    at: int  # its first byte


class PhotoDataset:
    """Photos of any size, unpacked: made by `open_photo_dataset` or `Photos.of`.

    Attributes:
        names: where each came from.
        skipped: (name, why) of every file that gave no photo.
        report: what was done, in plain lines for people.
        fingerprint: 16 hexadecimal digits; the same contents in the same order give the same on any machine.
    """

    def __init__(self, smallest_px: int):
        self.smallest_px = smallest_px
        self._places: list[_Place] = []
        self._digests: list[str] = []
        self._bytes = 0
        self._images: list[np.ndarray] = []  # while they are few
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self.skipped: list[tuple[str, str]] = []

    def add(self, name: str, pixels: np.ndarray, digest: str) -> None:
        """One more photo: uint8 [H, W, 3]."""
        height, width = pixels.shape[:2]
        if min(height, width) < self.smallest_px:
            self.skipped.append((name, f"is {width} x {height}, smaller than the crops of {self.smallest_px} px"))
            return
        self._places.append(_Place(name, height, width, self._bytes))
        self._digests.append(digest)
        self._bytes += pixels.size
        if self._bytes > PHOTOS_IN_MEMORY_BYTES and self._file is None:
            self._file = tempfile.TemporaryFile()  # gone with the process
            for image in self._images:
                self._file.write(image.data)
            self._images = []
        if self._file is None:
            self._images.append(np.ascontiguousarray(pixels))
        else:
            self._file.write(np.ascontiguousarray(pixels).data)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> tuple[str, ...]:
        """Where each photo came from."""
        return tuple(place.name for place in self._places)

    @property
    def sizes(self) -> np.ndarray:
        """int64 [N, 2]: height and width of each."""
        return np.array([(place.height, place.width) for place in self._places], np.int64).reshape(-1, 2)

    @property
    def fingerprint(self) -> str:
        """What these photos are, in 16 digits."""
        return hashlib.sha256("\n".join(self._digests).encode()).hexdigest()[:16]

    @property
    def report(self) -> list[str]:
        """Plain lines for people."""
        million = sum(place.height * place.width for place in self._places) / 1e6
        lines = [f"{len(self):,} photos, {million:,.1f} million pixels"]
        lines += [f"skipped: {name} {why}" for name, why in self.skipped[:_NAMED]]
        more = len(self.skipped) - _NAMED
        return lines + ([f"skipped: {more:,} more"] if more > 0 else [])

    def window(self, index: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A part of a photo: uint8 [height, width, 3], a copy."""
        place = self._places[index]
        if self._file is None:
            return self._images[index][top : top + height, left : left + width].copy()
        row = 3 * place.width
        with self._lock:
            self._file.seek(place.at + top * row)
            data = self._file.read(height * row)
        rows = np.frombuffer(data, np.uint8).reshape(height, place.width, 3)
        return rows[:, left : left + width].copy()

    def whole(self, index: int) -> np.ndarray:
        """uint8 [H, W, 3]."""
        place = self._places[index]
        return self.window(index, 0, 0, place.height, place.width)

    @classmethod
    def of(cls, photos: Iterable[Tensor], *, smallest_px: int = 1) -> PhotoDataset:
        """From pictures that are there already: uint8 [3, H, W] each, of any sizes.

        Raises:
            BadImage: another type or shape.
        """
        dataset = cls(smallest_px)
        for number, photo in enumerate(photos):
            photo = torch.as_tensor(photo)
            if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[0] != 3:
                raise BadImage(f"photos are uint8 [3, H, W] each, got {photo.dtype} {list(photo.shape)}")
            pixels = np.ascontiguousarray(photo.permute(1, 2, 0).numpy())
            dataset.add(str(number), pixels, digest_of(pixels.tobytes() + str(pixels.shape).encode()))
        return dataset

    def split(self, kept_back: int) -> tuple[PhotoDataset, PhotoDataset]:
        """(all but `kept_back` photos, those): spread evenly over the order of names."""
        held_out = set(np.linspace(0, len(self) - 1, kept_back).round().astype(int).tolist()) if kept_back else set()
        parts = PhotoDataset(self.smallest_px), PhotoDataset(self.smallest_px)
        for index, place in enumerate(self._places):
            parts[index in held_out].add(place.name, self.whole(index), self._digests[index])
        parts[0].skipped = self.skipped
        return parts


def open_photo_dataset(
    path: str | os.PathLike[str], *, smallest_px: int, on_step: _OnStep | None = None
) -> PhotoDataset:
    """All photos of a folder or an archive, upright, in sRGB, transparency on white. Bad files are left out and named.

    Args:
        path: a folder (with all folders below it) or a .zip.
        smallest_px: photos that are smaller than this to one side are left out.
        on_step: called as (done, total); may raise Stopped.

    Raises:
        BadInput: nothing there, or nothing usable.
    """
    source = open_source(path)
    if not source.items:
        raise BadInput(f"{path} has no images; an upscaler is trained on photos in a folder or a .zip")
    photos = PhotoDataset(smallest_px)
    for done, (item, outcome) in enumerate(
        zip(source.items, in_threads(_reader(source), source.items), strict=True), 1
    ):
        if isinstance(outcome, str):
            photos.skipped.append((item.name, outcome))
        else:
            photos.add(item.name, *outcome)
        if on_step is not None:
            on_step(done, len(source.items))
    if not len(photos):
        why = "; ".join(f"{name} {what}" for name, what in photos.skipped[:3])
        raise BadInput(f"{path}: no usable photo. {why}")
    return photos


def _reader(source: ImageSource) -> Callable[[Item], tuple[np.ndarray, str] | str]:
    def read(item: Item) -> tuple[np.ndarray, str] | str:
        try:
            data = source.read(item)
            photo = decode_image(data, name=item.name)
        except BadImage as error:
            return str(error).removeprefix(item.name).strip()
        img = photo.img if photo.alpha is None else photo.img * photo.alpha + (1 - photo.alpha)
        return to_pixels(img), digest_of(data)

    return read


# ---------------------------------------------------------------------------------------------------------------------
# Pairs


@dataclass(frozen=True, kw_only=True)
class SRPairConfig:
    """How a training pair is made."""

    scale: int = 4
    low_px: int = 32  # side of the small picture; the crop is `scale` times that
    degradation: str = "bicubic"  # Pillow's, which PSNR is measured with; or "real", see `datasets.degrade`
    kernel_px: tuple[int, int] = (7, 21)  # of "real"
    candidates: int = 1  # of so many crops, the one with most detail is taken; skies teach little

    def __post_init__(self) -> None:
        if self.degradation not in ("bicubic", "real"):
            raise BadConfig(f"degradation must be bicubic or real, got {self.degradation!r}")
        if min(self.scale, self.low_px, self.candidates) < 1:
            raise BadConfig(f"scale, low_px and candidates must be 1 or more, got {self}")

    @property
    def high_px(self) -> int:
        """Side of a crop."""
        return self.low_px * self.scale


class SRDataset:
    """An endless row of training pairs.

    Args:
        photos: none smaller than `config.high_px`.
        config: how pairs are made.
        seed: 0 or more.
    """

    def __init__(self, photos: PhotoDataset, config: SRPairConfig, *, seed: int):
        if not len(photos) or int(photos.sizes.min()) < config.high_px:
            raise BadInput(f"pairs need at least one photo of {config.high_px} x {config.high_px} px or more")
        self.photos, self.config, self.seed = photos, config, seed
        areas = photos.sizes.prod(axis=1).astype(np.float64)
        self._up_to = np.cumsum(areas) / areas.sum()

    def take(self, nimg: int, n: int) -> tuple[Tensor, Tensor]:
        """Pairs number nimg … nimg + n − 1.

        Returns:
            (low [n, 3, low_px, low_px], high [n, 3, high_px, high_px]), float in [-1, 1], on the levels of 8 bits.
        """
        numbers = range(nimg, nimg + n)
        pairs = in_threads(self._pair, numbers) if self.config.degradation == "real" else map(self._pair, numbers)
        lows, highs = zip(*pairs, strict=True)
        return torch.cat(lows), torch.cat(highs)

    def _pair(self, number: int) -> tuple[Tensor, Tensor]:
        config, rng = self.config, np.random.default_rng([self.seed, number])
        tries = [self._window(rng) for _ in range(config.candidates)]
        window, top, left = max(tries, key=lambda each: _detail(each[0])) if len(tries) > 1 else tries[0]
        small = (
            bicubic_downscale(window, config.scale) if config.degradation == "bicubic" else self._degrade(window, rng)
        )
        low = small[top : top + config.low_px, left : left + config.low_px]
        y, x = top * config.scale, left * config.scale
        high = window[y : y + config.high_px, x : x + config.high_px]
        turn = int(rng.integers(8))
        return tuple(from_pixels(_rotate_flip(pixels, turn)) for pixels in (low, high))  # type: ignore[return-value]

    def _window(self, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
        """A part of some photo, and where in it, in low px, the crop lies. Large photos come more often."""
        config = self.config
        index = min(int(np.searchsorted(self._up_to, rng.random())), len(self.photos) - 1)
        spans = []
        for side in self.photos.sizes[index].tolist():
            start = int(rng.integers(side - config.high_px + 1))
            before = min(CROP_MARGIN, start // config.scale)
            after = min(CROP_MARGIN, (side - start - config.high_px) // config.scale)
            spans.append((start - before * config.scale, config.high_px + (before + after) * config.scale, before))
        (top, height, y), (left, width, x) = spans
        return self.photos.window(index, top, left, height, width), y, x

    def _degrade(self, window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        config = DegradeConfig(kernel_px=self.config.kernel_px)
        return to_pixels(degrade(from_pixels(window), scale=self.config.scale, rng=rng, config=config))


def bicubic_downscale(pixels: np.ndarray, scale: int) -> np.ndarray:
    """uint8 [H, W, 3] → [H / scale, W / scale, 3] by Pillow's bicubic, which smooths as it shrinks.

    Raises:
        BadImage: sides that are no multiples of `scale`.
    """
    height, width = pixels.shape[:2]
    if height % scale or width % scale:
        raise BadImage(f"downscaling by {scale} needs sides that are multiples of it, got {width} x {height}")
    return np.asarray(Image.fromarray(pixels).resize((width // scale, height // scale), Image.Resampling.BICUBIC))


def bicubic_upscale(pixels: np.ndarray, scale: int) -> np.ndarray:
    """uint8 [H, W, 3] → [H · scale, W · scale, 3] by Pillow's bicubic: what an upscaler must beat."""
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.BICUBIC))


def _detail(pixels: np.ndarray) -> float:
    """How much there is to see: the mean square of the steps between neighbours, in every other row."""
    grey = pixels[::2, :, 1].astype(np.float32)
    return float(np.square(np.diff(grey, axis=1)).mean())


def _rotate_flip(pixels: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight ways to lay a square."""
    pixels = pixels[:, ::-1] if turn & 1 else pixels
    return np.ascontiguousarray(np.rot90(pixels, turn >> 1))


def to_multiple(pixels: np.ndarray, scale: int, largest_px: int | None = None) -> np.ndarray:
    """The middle of a picture whose sides are multiples of `scale`, at most `largest_px` to each."""
    spans: Sequence[tuple[int, int]] = [
        ((side - fit) // 2, fit)
        for side in pixels.shape[:2]
        for fit in [min(side, largest_px or side) // scale * scale]
    ]
    (top, height), (left, width) = spans
    return pixels[top : top + height, left : left + width]
