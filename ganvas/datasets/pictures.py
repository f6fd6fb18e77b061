"""Pictures: a training set that is there at once, whatever it was made from."""

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
from ganvas.datasets.cache import Description, InFile, InMemory
from ganvas.datasets.fit import FILTER, Facts, Fit
from ganvas.datasets.folder import Source
from ganvas.datasets.intake import Taken, digest_of, natural_resolution, open_source, take_all
from ganvas.datasets.labels import Labels, find_labels, labels_of
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.ops.home import home

IN_MEMORY_BYTES = 256 << 20  # sets up to here are held in memory, larger ones are read from their cache file
FORMAT = 1  # counts up when the same file and settings come to give other numbers
NAMED = 20  # bad files that the report names one by one

OnStep = Callable[[int, int], object]  # (pictures done, pictures in all); may raise Stopped


class _Store(Protocol):
    def take(self, rows: np.ndarray) -> Tensor: ...


class Pictures:
    """A training set: `len(pictures)` pictures of one size; made by `open_pictures` or `from_pixels`.

    Attributes:
        img_resolution, img_channels: of every picture.
        c_dim: numbers in a label; 0 = no labels.
        class_names: the classes' names, where they have some.
        names: where each picture came from.
        skipped: (name, why) of every file that gave no picture.
        report: what was done, in plain lines for people.
        fingerprint: 16 hexadecimal digits; the same contents, order, labels and settings give the same on any machine.
        settings: how photos were made to fit, the shrinking filter included.
    """

    def __init__(
        self,
        store: _Store,
        description: Description,
        *,
        rows: np.ndarray,
        labels: Labels | None,
        settings: dict[str, object],
        report: Sequence[str],
        skipped: Sequence[tuple[str, str]] = (),
    ):
        self._store, self._rows, self._labels = store, rows, labels
        self.img_channels, self.img_resolution = description.shape[0], description.shape[1]
        self.c_dim = labels.c_dim if labels else 0
        self.class_names = labels.class_names if labels else ()
        self.names = tuple(description.names[row] for row in rows.tolist())
        self.skipped, self.report, self.settings = tuple(skipped), tuple(report), settings
        self.fingerprint = _fingerprint([description.digests[row] for row in rows.tolist()], labels, settings)

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
            raise BadConfig(f"Pictures.batch expects indices from 0 to {len(self) - 1}, got {str(indices)[:80]}")
        return self._store.take(self._rows[chosen]), self._labels.take(chosen) if self._labels else None

    def class_counts(self) -> dict[str, int]:
        """How many pictures each class has; empty without classes."""
        return self._labels.counts() if self._labels else {}

    @classmethod
    def from_pixels(cls, pixels: np.ndarray | Tensor, labels: np.ndarray | Tensor | None = None) -> Pictures:
        """A set from numbers that are there already.

        Args:
            pixels: uint8 [N, C, R, R], C = 1 or 3; kept, not copied.
            labels: whole numbers [N] (classes), or floats [N, c_dim].

        Raises:
            BadImage, BadInput: another dtype or shape.
        """
        img = torch.as_tensor(pixels)
        if img.dtype != torch.uint8 or img.ndim != 4 or img.shape[1] not in (1, 3) or img.shape[2] != img.shape[3]:
            raise BadImage(f"a set is made from uint8 [N, 1 or 3, R, R], got {img.dtype} {list(img.shape)}")
        if 0 in img.shape:
            raise BadImage("a set needs at least one picture, got none")
        img = img.contiguous()
        description = Description((img.shape[1], img.shape[2], img.shape[3]))
        facts = Facts(width=img.shape[3], height=img.shape[2])
        for i, each in enumerate(img.numpy()):
            description.add(str(i), digest_of(each.tobytes()), each, facts)
        return cls(
            InMemory(img),
            description,
            rows=np.arange(len(img)),
            labels=None if labels is None else _given_labels(np.asarray(labels), len(img)),
            settings={"resolution": img.shape[2], "channels": img.shape[1]},
            report=[f"{len(img):,} pictures of {img.shape[2]} x {img.shape[2]} pixels, handed over as numbers"],
        )


def open_pictures(
    path: str | os.PathLike[str],
    *,
    resolution: int | None = None,
    labels: str | Path | None = None,
    crop: str = "center",
    cache: str | os.PathLike[str] | bool | None = None,
    on_step: OnStep | None = None,
    background: str = "white",
    channels: int = 3,
    smallest: int | None = None,
    half: str | None = None,
) -> Pictures:
    """Open a folder or an archive of pictures of any size as a training set.

    Every photo is turned upright, converted to sRGB, cut to a square and resized. Broken files are left out and named
    in `report` and `skipped`. The result is kept in a cache, so that the next start is instant and training goes on
    when the files themselves change or vanish; when they have changed, the next start notices.

    Args:
        path: a folder (with all folders below it) or a .zip, NVIDIA's data sets among them.
        resolution: pixels across; None = what the pictures have: a power of two that nine in ten reach, 256 at most.
        labels: None = what dataset.json says, if there is one; "none"; "folders" = the names of the sub-folders;
            "FILE.csv" or "FILE.csv:COLUMN", whose first column names the pictures: those that it does not name are
            left out.
        crop: "center" = the largest square in the middle, "pad" = the whole photo with bars beside it.
        cache: a folder to keep the cache file in; None = ganvas's own ($GANVAS_HOME moves it); False = keep nothing.
        on_step: called as (done, total) while files are read; may raise Stopped.
        background: the colour behind transparent and beside padded photos.
        channels: 3, or 1 for grey.
        smallest: leave out photos with fewer pixels across; None = half the resolution.
        half: "left" or "right" = only that half of each photo: pairs that stand side by side.

    Raises:
        BadInput: nothing there, nothing usable, a hostile archive, or labels that do not fit.
        BadConfig: a setting that does not exist.
    """
    source = open_source(path)
    if not source.items:
        raise BadInput(_nothing_in(source))
    found = find_labels(source, labels)
    asked = resolution
    fit = Fit(
        resolution=natural_resolution(source) if resolution is None else resolution,
        crop=crop,
        background=background,
        channels=channels,
        smallest=smallest,
        half=half,
    )
    store, description, notes = _stored(source, fit, cache, on_step)
    if not description.names:
        raise BadInput(f"{source.path}: not one usable picture. " + "; ".join(_skip_lines(description.skipped)))
    rows = np.arange(len(description.names))
    chosen = None
    if found is not None:
        chosen, rows = labels_of(found, description.names)
    skipped = description.skipped + [
        (name, f"has no label in {found.where}")
        for name in description.names
        if found is not None and name not in found.values
    ]
    report = [
        *_summary(source, fit, description, len(rows), asked),
        *([] if found is None or chosen is None else [_label_line(chosen, found.where)]),
        *_skip_lines(skipped),
        *notes,
    ]
    return Pictures(
        store, description, rows=rows, labels=chosen, settings=fit.settings(), report=report, skipped=skipped
    )


# ── from files or from the cache ─────────────────────────────────────────────────────────────────────────────────────


def _stored(
    source: Source, fit: Fit, cache: str | os.PathLike[str] | bool | None, on_step: OnStep | None
) -> tuple[_Store, Description, list[str]]:
    """(the pixels, what they are, lines for the report)."""
    if cache is False:
        return *_in_memory(source, fit, on_step), []
    folder = home() / "datasets" if cache is None or cache is True else Path(cache)
    path, key = folder / _cache_name(source, fit), _key(source, fit)
    notes = []
    try:
        opened = caches.open_cache(path, key)
        if opened is not None and not _readable_now(source, opened.description.unread):
            return _opened(opened), opened.description, [f"read from the cache {path}"]
    except BadInput:
        notes.append(f"the cache {path} was damaged, and was made anew")
    if fit.bytes_each * len(source.items) > IN_MEMORY_BYTES:
        return *_in_file(source, fit, on_step, path, key), [*notes, _kept(path)]
    store, description = _in_memory(source, fit, on_step)
    if not description.names:
        return store, description, notes
    try:
        caches.keep(path, key, store.pixels, description)
    except OSError as error:
        return store, description, [*notes, f"no cache was kept: {path}: {error.strerror or error}"]
    return store, description, [*notes, _kept(path)]


def _kept(path: Path) -> str:
    return f"kept in the cache {path} ({path.stat().st_size / 1e6:,.1f} MB)"


def _readable_now(source: Source, unread: Sequence[str]) -> bool:
    """Whether a file that could not be read when the cache was made (a network disk that was away) can be read now."""
    items = {item.name: item for item in source.items}
    for name in unread:
        with suppress(BadImage):
            source.read(items[name])
            return True
    return False


def _opened(opened: InFile) -> _Store:
    small = opened.description.bytes_each * len(opened.description.names) <= IN_MEMORY_BYTES
    return opened.all() if small else opened


def _in_memory(source: Source, fit: Fit, on_step: OnStep | None) -> tuple[InMemory, Description]:
    description = Description(fit.shape)
    pixels = torch.empty(len(source.items), *fit.shape, dtype=torch.uint8)
    for step, taken in enumerate(take_all(source, fit), start=1):
        if _noted(taken, description):
            pixels[len(description.names) - 1] = torch.from_numpy(taken.pixels)
        if on_step is not None:
            on_step(step, len(source.items))
    return InMemory(pixels[: len(description.names)]), description


def _in_file(source: Source, fit: Fit, on_step: OnStep | None, path: Path, key: str) -> tuple[InFile, Description]:
    description = Description(fit.shape)
    try:
        _check_room(path, fit.bytes_each * len(source.items))
        with caches.writing(path, key) as writer:
            writer.description = description
            for step, taken in enumerate(take_all(source, fit), start=1):
                if _noted(taken, description) and taken.pixels is not None:
                    writer.add(taken.pixels)
                if on_step is not None:
                    on_step(step, len(source.items))
    except OSError as error:
        raise BadInput(
            f"the pictures need a cache of {fit.bytes_each * len(source.items) / 1e9:.1f} GB, and {path} cannot be "
            f"written: {error.strerror or error}. Choose a folder elsewhere (cache=…, or set GANVAS_HOME), or a lower "
            "resolution."
        ) from error
    return InFile(path, description), description


def _check_room(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(f"{free / 1e9:.1f} GB are free")


def _noted(taken: Taken, description: Description) -> bool:
    if taken.pixels is None or taken.facts is None:
        description.skipped.append((taken.item.name, taken.why_not))
        if taken.unread:
            description.unread.append(taken.item.name)
        return False
    description.add(taken.item.name, taken.digest, taken.pixels, taken.facts)
    return True


def _cache_name(source: Source, fit: Fit) -> str:
    """One file for a place and settings: when the pictures change, the new cache takes the place of the old."""
    which = json.dumps([str(source.path.resolve()), fit.settings()], sort_keys=True)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", source.path.resolve().name)[:40]
    return f"{plain}-{fit.resolution}-{digest_of(which.encode())[:8]}.pictures"


def _key(source: Source, fit: Fit) -> str:
    """Changes when a file was added, taken away or changed."""
    items = [[item.name, item.size, item.stamp] for item in source.items]
    return digest_of(json.dumps([FORMAT, fit.settings(), items], sort_keys=True).encode())


def _fingerprint(digests: Sequence[str], labels: Labels | None, settings: dict[str, object]) -> str:
    state = hashlib.sha256(json.dumps([FORMAT, settings], sort_keys=True).encode())
    for digest in digests:
        state.update(digest.encode())
    if labels is not None:
        state.update(f"{labels.c_dim}".encode())
        state.update(np.ascontiguousarray(labels.values).astype(labels.values.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()[:16]


def _given_labels(labels: np.ndarray, count: int) -> Labels:
    if len(labels) != count:
        raise BadInput(f"{count} pictures need {count} labels, got {len(labels)}")
    if labels.ndim == 2 and labels.dtype.kind == "f" and np.isfinite(labels).all():
        return Labels(labels.astype(np.float32), labels.shape[1])
    if labels.ndim == 1 and labels.dtype.kind in "iu" and labels.min() >= 0:
        return Labels(labels.astype(np.int64), int(labels.max()) + 1)
    raise BadInput(
        f"labels are classes [N] of 0 or more, or finite floats [N, c_dim]; got {labels.dtype} {list(labels.shape)}"
    )


# ── what is said about it ────────────────────────────────────────────────────────────────────────────────────────────


def _nothing_in(source: Source) -> str:
    if source.films:
        return (
            f"{source.path} has no pictures, but {len(source.films):,} videos: 'ganvas dataset make {source.path} DEST "
            "--resolution R' takes their frames"
        )
    other = f" ({len(source.others):,} other files, such as {source.others[0]})" if source.others else ""
    return f"{source.path} has no pictures{other}; ganvas reads JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF and HEIC"


def _summary(source: Source, fit: Fit, description: Description, used: int, asked: int | None) -> list[str]:
    facts, resolution = description.facts, fit.resolution
    chosen = "" if asked is not None else " (chosen: nine in ten are as large)"
    lines = [f"{used:,} of {len(source.items):,} pictures in {source.path}, at {resolution} x {resolution}{chosen}"]
    odd = sum(not each.square for each in facts)
    if fit.half is not None:
        lines.append(f"of each, the {fit.half} half")
    if odd:
        how = "cut to their middle square" if fit.crop == "center" else f"padded with {fit.background} to a square"
        lines.append(f"{odd:,} are not square: {how}")
    larger = sum(min(each.width, each.height) > resolution for each in facts)
    if larger:
        lines.append(f"{larger:,} are larger: shrunk with Pillow's {FILTER} filter")
    fewer = sum(min(each.width, each.height) < resolution for each in facts)
    if fewer:
        lines.append(f"{fewer:,} are smaller than {resolution}: enlarged with the same filter, and a little soft")
    lines += _kinds(fit, facts)
    copies = len(description.digests) - len(set(description.digests))
    if copies:
        lines.append(
            f"{copies:,} are copies of others, byte for byte, and count twice; 'ganvas dataset make' drops them"
        )
    if source.films or source.others:
        rest = [*source.films, *source.others]
        lines.append(f"left aside, no pictures: {_listed(rest)}")
    return lines


def _kinds(fit: Fit, facts: Sequence[Facts]) -> list[str]:
    grey = sum(each.grey for each in facts)
    clear = sum(each.alpha for each in facts)
    lines = []
    if grey and fit.channels == 3:
        lines.append(f"{grey:,} are grey: three equal channels")
    if clear:
        lines.append(f"{clear:,} have transparency: laid on {fit.background}")
    return lines


def _label_line(labels: Labels, where: str) -> str:
    if labels.values.ndim == 2:
        return f"labels from {where}: {labels.c_dim} numbers a picture"
    counts = labels.counts()
    shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:12])
    return f"labels from {where}: {labels.c_dim} classes ({shown}{', …' if len(counts) > 12 else ''})"


def _skip_lines(skipped: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"left out {name}: {why}" for name, why in skipped[:NAMED]]
    if len(skipped) > NAMED:
        lines.append(f"left out {len(skipped) - NAMED:,} more; 'ganvas dataset check' names them all")
    return lines


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
