"""ImageDataset: a training set from a folder, an archive or tensors."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets import cache as caches
from ganvas.datasets.cache import CacheDescription, InFile, InMemory
from ganvas.datasets.folder import ImageSource
from ganvas.datasets.labels import ImageLabels, find_labels, match_labels
from ganvas.datasets.preprocess import FILTER, ImageFacts, ImagePreprocessor
from ganvas.datasets.reading import LoadedImage, digest_of, load_all, natural_resolution, open_source
from ganvas.datasets.streaming import Streamed, open_streamed
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.images.walk import describe_kinds
from ganvas.ops.home import home

DATASET_IN_MEMORY_BYTES = 256 << 20  # sets up to here are held in memory, larger ones are read from their cache file
_FORMAT = 1  # counts up when the same file and settings come to give other numbers
_STREAM_NOTE = "streamed: decoded when it is their turn; one that cannot be read is replaced by the next"
_NAMED = 20  # bad files that the report names one by one

OnReadStep = Callable[[int, int], object]  # (pictures done, pictures in all); may raise Stopped


class _Store(Protocol):
    def take(self, rows: np.ndarray) -> Tensor: ...


class ImageDataset:
    """A training set of `len(dataset)` images of one size; created by `open_image_dataset` or `from_pixels`.

    Attributes:
        img_resolution, img_channels: of every picture.
        c_dim: numbers in a label; 0 = no labels.
        class_names: the classes' names, where they have some.
        names: where each picture came from.
        digests: of each picture's contents.
        skipped: (name, why) of every file that gave no picture.
        report: what was done, in plain lines for people.
        fingerprint: 16 hexadecimal digits; the same contents, order, labels and settings give the same on any machine.
        settings: how photos were made to fit, the shrinking filter included.
    """

    def __init__(
        self,
        store: _Store,
        description: CacheDescription,
        *,
        rows: np.ndarray,
        labels: ImageLabels | None,
        settings: dict[str, object],
        report: Sequence[str],
        skipped: Sequence[tuple[str, str]] = (),
    ):
        self._store, self._description, self._rows, self._labels = store, description, rows, labels
        self.img_channels, self.img_resolution = description.shape[0], description.shape[1]
        self.c_dim = labels.c_dim if labels else 0
        self.class_names = labels.class_names if labels else ()
        self.names = tuple(description.names[row] for row in rows.tolist())
        self.skipped, self.report, self.settings = tuple(skipped), tuple(report), settings
        self.digests = tuple(description.digests[row] for row in rows.tolist())
        self.fingerprint = _fingerprint(self.digests, labels, settings)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: np.ndarray | Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Some pictures and their labels.

        Args:
            indices: [N] whole numbers from 0 to len − 1.

        Returns:
            uint8 [N, C, R, R], contiguous, a copy; and float32 [N, c_dim], or None where there are no labels.

        Raises:
            BadConfig: an index outside.
            BadInput: the cache file was damaged while it was in use.
        """
        chosen = np.asarray(indices, np.int64)
        if chosen.ndim != 1 or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(self)):
            raise BadConfig(f"ImageDataset.batch expects indices from 0 to {len(self) - 1}, got {str(indices)[:80]}")
        return self._store.take(self._rows[chosen]), self._labels.take(chosen) if self._labels else None

    @property
    def is_streamed(self) -> bool:
        """Does each `batch` decode files?"""
        return isinstance(self._store, Streamed)

    def select(self, indices: np.ndarray | Sequence[int]) -> ImageDataset:
        """Some pictures as a set of their own, in the order of `indices`; the pixels are shared."""
        chosen = np.asarray(indices, np.int64)
        return ImageDataset(
            self._store,
            self._description,
            rows=self._rows[chosen],
            labels=self._labels.rows(chosen) if self._labels else None,
            settings=self.settings,
            report=self.report,
            skipped=self.skipped,
        )

    def class_counts(self) -> dict[str, int]:
        """How many pictures each class has; empty without classes."""
        return self._labels.counts() if self._labels else {}

    @classmethod
    def from_pixels(cls, pixels: np.ndarray | Tensor, labels: np.ndarray | Tensor | None = None) -> ImageDataset:
        """A dataset from an array in memory.

        Args:
            pixels: uint8 [N, C, R, R], C = 1 or 3; kept, not copied.
            labels: whole numbers [N] (classes), or floats [N, c_dim].

        Raises:
            BadImage, BadInput: another dtype or shape.
        """
        img = torch.as_tensor(pixels)
        if img.dtype != torch.uint8 or img.ndim != 4 or img.shape[1] not in (1, 3) or img.shape[2] != img.shape[3]:
            raise BadImage(f"an ImageDataset needs uint8 [N, 1 or 3, R, R], got {img.dtype} {list(img.shape)}")
        if 0 in img.shape:
            raise BadImage("an ImageDataset needs at least one image, got none")
        img = img.contiguous()
        description = CacheDescription((img.shape[1], img.shape[2], img.shape[3]))
        facts = ImageFacts(width=img.shape[3], height=img.shape[2])
        for i, each in enumerate(img.numpy()):
            description.add(str(i), digest_of(each.tobytes()), each, facts)
        return cls(
            InMemory(img),
            description,
            rows=np.arange(len(img)),
            labels=None if labels is None else _make_labels(np.asarray(labels), len(img)),
            settings={"resolution": img.shape[2], "channels": img.shape[1]},
            report=[f"{len(img):,} images of {img.shape[2]} x {img.shape[2]} pixels from memory"],
        )


def open_image_dataset(
    path: str | os.PathLike[str],
    *,
    resolution: int | None = None,
    labels: str | Path | None = None,
    crop: str = "center",
    cache: str | os.PathLike[str] | bool | None = None,
    on_step: OnReadStep | None = None,
    background: str = "white",
    channels: int = 3,
    smallest: int | None = None,
    half: str | None = None,
    stream: bool = False,
) -> ImageDataset:
    """Open a folder or an archive of images of any size as a training set.

    Every photo is rotated upright, converted to sRGB, cropped to a square and resized. Broken files are skipped and
    listed in `report` and `skipped`. The result is kept in a cache, so that the next start is instant and training
    continues when the files themselves change or vanish; when they have changed, the next start notices.

    Args:
        path: a folder (with all folders below it) or a .zip, NVIDIA's data sets among them; or a data set in one of the
            standard forms, see `standard.open_standard_file`.
        resolution: pixels across; None = what the pictures have: a power of two that nine in ten reach, 256 at most.
        labels: None = what comes with them (in the file, dataset.json, metadata.csv); "none"; "folders" = the names of
            the sub-folders;
            "FILE.csv" or "FILE.csv:COLUMN", whose first column names the pictures: those that it does not name are
            left out.
        crop: "center" = the largest square in the middle, "pad" = the whole photo with bars beside it.
        cache: a folder to keep the cache file in; None = ganvas's own ($GANVAS_HOME moves it); False = keep nothing.
        on_step: called as (done, total) while files are read; may raise Stopped.
        background: the colour behind transparent and beside padded photos.
        channels: 3, or 1 for grey.
        smallest: leave out photos with fewer pixels across; None = half the resolution.
        stream: decode pictures when they are taken instead of all at once: no cache file, memory stays bounded; see
            `streaming`.
        half: "left" or "right" = only that half of each photo: pairs that stand side by side.

    Raises:
        BadInput: nothing there, nothing usable, a hostile archive, or labels that do not fit.
        BadConfig: a setting that does not exist.
    """
    source = open_source(path)
    if not source.items:
        raise BadInput(_no_images_message(source))
    table = find_labels(source, labels)
    requested_resolution = resolution
    preprocessor = ImagePreprocessor(
        resolution=natural_resolution(source) if resolution is None else resolution,
        crop=crop,
        background=background,
        channels=channels,
        smallest=smallest,
        half=half,
    )
    store: _Store
    if stream:
        (store, description), notes = open_streamed(source, preprocessor), [_STREAM_NOTE]
    else:
        store, description, notes = _load_or_build(source, preprocessor, cache, on_step)
    if not description.names:
        raise BadInput(f"{source.path}: no usable image. " + "; ".join(_skip_lines(description.skipped)))
    rows = np.arange(len(description.names))
    image_labels = None
    if table is not None:
        image_labels, rows = match_labels(table, description.names)
    skipped = description.skipped + [
        (name, f"has no label in {table.where}")
        for name in description.names
        if table is not None and name not in table.values
    ]
    report = [
        *_summary(source, preprocessor, description, len(rows), requested_resolution),
        *([] if table is None or image_labels is None else [_label_line(image_labels, table.where)]),
        *_skip_lines(skipped),
        *notes,
    ]
    return ImageDataset(
        store,
        description,
        rows=rows,
        labels=image_labels,
        settings=preprocessor.settings(),
        report=report,
        skipped=skipped,
    )


# ── from files or from the cache ─────────────────────────────────────────────────────────────────────────────────────


def _load_or_build(
    source: ImageSource,
    preprocessor: ImagePreprocessor,
    cache: str | os.PathLike[str] | bool | None,
    on_step: OnReadStep | None,
) -> tuple[_Store, CacheDescription, list[str]]:
    """(the pixels, what they are, lines for the report)."""
    if cache is False:
        return *_in_memory(source, preprocessor, on_step), []
    folder = home() / "datasets" if cache is None or cache is True else Path(cache)
    path, key = folder / _cache_name(source, preprocessor), _key(source, preprocessor)
    notes = []
    try:
        cached = caches.open_cache(path, key)
        if cached is not None and not _readable_now(source, cached.description.unread):
            return _load_cached(cached), cached.description, [f"read from the cache {path}"]
    except BadInput:
        notes.append(f"the cache {path} was damaged, and has been rebuilt")
    if preprocessor.bytes_each * len(source.items) > DATASET_IN_MEMORY_BYTES:
        return *_in_file(source, preprocessor, on_step, path, key), [*notes, _cache_note(path)]
    store, description = _in_memory(source, preprocessor, on_step)
    if not description.names:
        return store, description, notes
    try:
        caches.write_cache(path, key, store.pixels, description)
    except OSError as error:
        return store, description, [*notes, f"no cache was saved: {path}: {error.strerror or error}"]
    return store, description, [*notes, _cache_note(path)]


def _cache_note(path: Path) -> str:
    return f"saved in the cache {path} ({path.stat().st_size / 1e6:,.1f} MB)"


def _readable_now(source: ImageSource, unread: Sequence[str]) -> bool:
    """Whether a file that could not be read when the cache was made (a network disk that was away) can be read now."""
    items = {item.name: item for item in source.items}
    for name in unread:
        with suppress(BadImage):
            source.read(items[name])
            return True
    return False


def _load_cached(cached: InFile) -> _Store:
    small = cached.description.bytes_each * len(cached.description.names) <= DATASET_IN_MEMORY_BYTES
    return cached.all() if small else cached


def _in_memory(
    source: ImageSource, preprocessor: ImagePreprocessor, on_step: OnReadStep | None
) -> tuple[InMemory, CacheDescription]:
    description = CacheDescription(preprocessor.shape)
    pixels = torch.empty(len(source.items), *preprocessor.shape, dtype=torch.uint8)
    for step, loaded in enumerate(load_all(source, preprocessor), start=1):
        if _record(loaded, description):
            pixels[len(description.names) - 1] = torch.from_numpy(loaded.pixels)
        if on_step is not None:
            on_step(step, len(source.items))
    return InMemory(pixels[: len(description.names)]), description


def _in_file(
    source: ImageSource, preprocessor: ImagePreprocessor, on_step: OnReadStep | None, path: Path, key: str
) -> tuple[InFile, CacheDescription]:
    description = CacheDescription(preprocessor.shape)
    try:
        _check_room(path, preprocessor.bytes_each * len(source.items))
        with caches.open_cache_writer(path, key) as writer:
            writer.description = description
            for step, loaded in enumerate(load_all(source, preprocessor), start=1):
                if _record(loaded, description) and loaded.pixels is not None:
                    writer.add(loaded.pixels)
                if on_step is not None:
                    on_step(step, len(source.items))
    except OSError as error:
        raise BadInput(
            f"the images need a cache of {preprocessor.bytes_each * len(source.items) / 1e9:.1f} GB, and "
            f"{path} cannot be written: {error.strerror or error}. Choose another folder (cache=…, or set "
            "GANVAS_HOME), or a lower resolution."
        ) from error
    return InFile(path, description), description


def _check_room(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(f"{free / 1e9:.1f} GB are free")


def _record(loaded: LoadedImage, description: CacheDescription) -> bool:
    if loaded.pixels is None or loaded.facts is None:
        description.skipped.append((loaded.item.name, loaded.error))
        if loaded.unread:
            description.unread.append(loaded.item.name)
        return False
    description.add(loaded.item.name, loaded.digest, loaded.pixels, loaded.facts)
    return True


def _cache_name(source: ImageSource, preprocessor: ImagePreprocessor) -> str:
    """One file for a place and settings: when the pictures change, the new cache takes the place of the old."""
    which = json.dumps([str(source.path.resolve()), preprocessor.settings()], sort_keys=True)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", source.path.resolve().name)[:40]
    return f"{plain}-{preprocessor.resolution}-{digest_of(which.encode())[:8]}.pictures"


def _key(source: ImageSource, preprocessor: ImagePreprocessor) -> str:
    """Changes when a file was added, taken away or changed."""
    items = [[item.name, item.size, item.stamp] for item in source.items]
    return digest_of(json.dumps([_FORMAT, preprocessor.settings(), items], sort_keys=True).encode())


def _fingerprint(digests: Sequence[str], labels: ImageLabels | None, settings: dict[str, object]) -> str:
    state = hashlib.sha256(json.dumps([_FORMAT, settings], sort_keys=True).encode())
    for digest in digests:
        state.update(digest.encode())
    if labels is not None:
        state.update(f"{labels.c_dim}".encode())
        state.update(np.ascontiguousarray(labels.values).astype(labels.values.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()[:16]


def _make_labels(labels: np.ndarray, count: int) -> ImageLabels:
    if len(labels) != count:
        raise BadInput(f"{count} images need {count} labels, got {len(labels)}")
    if labels.ndim == 2 and labels.dtype.kind == "f" and np.isfinite(labels).all():
        return ImageLabels(labels.astype(np.float32), labels.shape[1])
    if labels.ndim == 1 and labels.dtype.kind in "iu" and labels.min() >= 0:
        return ImageLabels(labels.astype(np.int64), int(labels.max()) + 1)
    raise BadInput(
        f"labels are classes [N] of 0 or more, or finite floats [N, c_dim]; got {labels.dtype} {list(labels.shape)}"
    )


# ── what is said about it ────────────────────────────────────────────────────────────────────────────────────────────


def _no_images_message(source: ImageSource) -> str:
    if source.films:
        return (
            f"{source.path} has no images, but {len(source.films):,} videos: 'ganvas dataset make "
            f"{source.path} DEST --resolution R' extracts their frames"
        )
    return (
        f"{source.path} has no images; it has {describe_kinds(source.others)}; supported formats are JPEG, PNG, WebP, "
        "TIFF, BMP, GIF, AVIF and HEIC"
    )


def _summary(
    source: ImageSource,
    preprocessor: ImagePreprocessor,
    description: CacheDescription,
    used: int,
    requested_resolution: int | None,
) -> list[str]:
    facts, resolution = description.facts, preprocessor.resolution
    chosen = "" if requested_resolution is not None else " (chosen automatically: 90 % are at least as large)"
    lines = [f"{used:,} of {len(source.items):,} images in {source.path}, at {resolution} x {resolution}{chosen}"]
    odd = sum(not each.square for each in facts)
    if preprocessor.half is not None:
        lines.append(f"of each, the {preprocessor.half} half")
    if odd:
        how = (
            "centre-cropped" if preprocessor.crop == "center" else f"padded with {preprocessor.background} to a square"
        )
        lines.append(f"{odd:,} are not square: {how}")
    larger = sum(min(each.width, each.height) > resolution for each in facts)
    if larger:
        lines.append(f"{larger:,} are larger: downscaled with Pillow's {FILTER} filter")
    fewer = sum(min(each.width, each.height) < resolution for each in facts)
    if fewer:
        lines.append(f"{fewer:,} are smaller than {resolution}: enlarged with the same filter, and slightly blurry")
    lines += _kinds(preprocessor, facts)
    copies = len(description.digests) - len(set(description.digests))
    if copies:
        lines.append(f"{copies:,} are exact duplicates and count twice; 'ganvas dataset make' drops them")
    if source.films or source.others:
        rest = [*source.films, *source.others]
        lines.append(f"ignored, not images: {_join_names(rest)}")
    return lines


def _kinds(preprocessor: ImagePreprocessor, facts: Sequence[ImageFacts]) -> list[str]:
    grey = sum(each.grey for each in facts)
    clear = sum(each.alpha for each in facts)
    lines = []
    if grey and preprocessor.channels == 3:
        lines.append(f"{grey:,} are grey: three equal channels")
    if clear:
        lines.append(f"{clear:,} have transparency: composited on {preprocessor.background}")
    return lines


def _label_line(labels: ImageLabels, where: str) -> str:
    if labels.values.ndim == 2:
        return f"labels from {where}: {labels.c_dim} values per image"
    counts = labels.counts()
    counts_text = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:12])
    return f"labels from {where}: {labels.c_dim} classes ({counts_text}{', …' if len(counts) > 12 else ''})"


def _skip_lines(skipped: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"skipped {name}: {why}" for name, why in skipped[:_NAMED]]
    if len(skipped) > _NAMED:
        lines.append(f"skipped {len(skipped) - _NAMED:,} more; 'ganvas dataset check' lists all")
    return lines


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
