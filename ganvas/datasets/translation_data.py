"""Two collections of pictures to translate between: paired (each A has its B) or not.

    D/trainA, D/trainB    two folders; as pairs, by equal names, where that is asked for
    D/train               pictures that show A and B side by side: pairs

Folders may be zip archives of the same name, and everything that `open_image_dataset` reads will do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.image_dataset import ImageDataset, OnReadStep, open_image_dataset
from ganvas.datasets.sampler import Sampler
from ganvas.errors import BadConfig, BadInput

HELD_OUT_DIVISOR = 10  # at most a tenth of the pictures is kept back
_NAMED = 5  # pictures without a partner that are named


@dataclass(frozen=True, kw_only=True, eq=False)
class TranslationDataset:
    """Pictures of A and of B, of one size; made by `open_translation_dataset` or `make_translation_dataset`."""

    a: ImageDataset
    b: ImageDataset
    rows_a: np.ndarray  # which of `a`; where there are pairs, a pair stands at the same place
    rows_b: np.ndarray
    paired: bool
    report: tuple[str, ...] = ()  # what was done, in plain lines for people

    @property
    def img_resolution(self) -> int:
        """Pixels across, before anything is cut."""
        return self.a.img_resolution

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; the same pictures in the same order give the same."""
        state = hashlib.sha256(f"{self.a.fingerprint} {self.b.fingerprint} {self.paired}".encode())
        for rows in (self.rows_a, self.rows_b):
            state.update(rows.astype("<i8").tobytes())
        return state.hexdigest()[:16]

    def split(self, count: int) -> tuple[TranslationDataset, TranslationDataset]:
        """(most of them, some that are kept back): `count` of each domain, at most a tenth, evenly over the names."""
        held_out = [
            _evenly(len(rows), min(count, len(rows) // HELD_OUT_DIVISOR)) for rows in (self.rows_a, self.rows_b)
        ]
        rest = [np.setdiff1d(np.arange(len(rows)), each) for rows, each in zip(self._rows, held_out, strict=True)]
        most, some = (
            replace(self, rows_a=self.rows_a[in_a], rows_b=self.rows_b[in_b]) for in_a, in_b in (rest, held_out)
        )
        return most, some

    @property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        return self.rows_a, self.rows_b

    def first_images(self, count: int) -> tuple[Tensor, Tensor]:
        """The first pictures of each, uint8 [≤ count, C, R, R]."""
        return self.a.batch(self.rows_a[:count])[0], self.b.batch(self.rows_b[:count])[0]


def _evenly(count: int, n: int) -> np.ndarray:
    return np.linspace(0, count - 1, n).astype(np.int64)


def open_translation_dataset(
    dataroot: str | os.PathLike[str],
    *,
    resolution: int | None = None,
    paired: bool | None = None,
    channels: tuple[int, int] = (3, 3),
    cache: str | os.PathLike[str] | bool | None = None,
    on_step: OnReadStep | None = None,
) -> TranslationDataset:
    """The two collections below a folder.

    Args:
        dataroot: holds `trainA` and `trainB`, or `train`.
        resolution: pixels across; None = what the pictures of A have.
        paired: True = each A has its B; None = yes where there is only `train`.
        channels: of A and of B: 3, or 1 for grey.
        cache, on_step: as for `open_image_dataset`.

    Raises:
        BadInput: neither is there, or nothing in it can be used; the message says how it should look.
    """
    root = Path(dataroot)
    pairs = is_paired(root, paired=paired)
    unpaired_paths = [_find(root, name) for name in ("trainA", "trainB")]
    if unpaired_paths[0] is not None and unpaired_paths[1] is not None:
        a = _open(unpaired_paths[0], resolution, channels[0], cache, on_step)
        b = _open(unpaired_paths[1], a.img_resolution, channels[1], cache, on_step)
        return make_translation_dataset(a, b, paired=pairs)
    paired_path = _find(root, "train")
    assert paired_path is not None, "checked by holds_pairs"
    a, b = (
        _open(paired_path, resolution, count, cache, on_step, half)
        for half, count in zip(("left", "right"), channels, strict=True)
    )
    return make_translation_dataset(a, b, paired=True)


def is_paired(dataroot: str | os.PathLike[str], *, paired: bool | None = None) -> bool:
    """Whether the pictures below a folder are to be taken as pairs; see `open_translation_dataset`.

    Raises:
        BadInput: there is nothing to learn from.
    """
    root = Path(dataroot)
    if _find(root, "trainA") is not None and _find(root, "trainB") is not None:
        return bool(paired)
    if _find(root, "train") is None or paired is False:
        raise BadInput(_missing_message(root, paired=paired))
    return True


def make_translation_dataset(a: ImageDataset, b: ImageDataset, *, paired: bool) -> TranslationDataset:
    """Two sets as domains.

    Args:
        a, b: of one size.
        paired: each picture of `a` belongs to the one of the same name (without its ending) in `b`; where the names
            are numbers only (sets handed over as tensors), to the one at the same place.

    Raises:
        BadInput: two sizes, or no pair.
    """
    if a.img_resolution != b.img_resolution:
        raise BadInput(
            f"both domains must have images of the same size, got {a.img_resolution} px and {b.img_resolution} px"
        )
    report = [*(f"A: {line}" for line in a.report), *(f"B: {line}" for line in b.report)]
    if not paired:
        return TranslationDataset(
            a=a, b=b, rows_a=np.arange(len(a)), rows_b=np.arange(len(b)), paired=False, report=tuple(report)
        )
    places = {_stem(name): place for place, name in enumerate(b.names)}
    pairs = [(place, places[_stem(name)]) for place, name in enumerate(a.names) if _stem(name) in places]
    if not pairs:
        raise BadInput(
            "no image of A has a counterpart of the same name in B (A starts with "
            f"{', '.join(a.names[:3])}; B with {', '.join(b.names[:3])})"
        )
    rows = np.array(pairs, np.int64)
    known = {_stem(name) for name in a.names}
    unmatched = [name for name in a.names if _stem(name) not in places] + [n for n in b.names if _stem(n) not in known]
    if unmatched:
        more = f" and {len(unmatched) - _NAMED:,} more" if len(unmatched) > _NAMED else ""
        report.append(f"skipped, without a counterpart: {', '.join(unmatched[:_NAMED])}{more}")
    return TranslationDataset(
        a=a, b=b, rows_a=rows[:, 0], rows_b=rows[:, 1], paired=True, report=(*report, f"{len(rows):,} pairs")
    )


def _stem(name: str) -> str:
    """The name below its folder, without its ending."""
    return str(Path(name).with_suffix(""))


def _find(root: Path, name: str) -> Path | None:
    places = (root / name, root / f"{name}.zip")
    return next((place for place in places if place.exists()), None)


def _open(
    path: Path,
    resolution: int | None,
    channels: int,
    cache: str | os.PathLike[str] | bool | None,
    on_step: OnReadStep | None,
    half: str | None = None,
) -> ImageDataset:
    return open_image_dataset(
        path, resolution=resolution, labels="none", channels=channels, cache=cache, on_step=on_step, half=half
    )


def _missing_message(root: Path, *, paired: bool | None) -> str:
    if not root.is_dir():
        return f"there is no folder {root}"
    there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
    alone = "" if paired is not False else " (train/ alone is for pairs, and paired is not set)"
    return (
        f"{root} should contain trainA/ and trainB/ (two collections; with --paired, pairs of equal "
        f"names), or train/ (images with A and B side by side); it contains {there}{alone}"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Which picture comes when


class TranslationLoader:
    """An endless order of pictures of both domains, randomly cut and mirrored; pairs alike.

    A pure function of the seed and of how many pictures were shown, as `Sampler` is.

    Args:
        domains: what there is.
        resolution: pixels across, of what is cut out at a random place; at most that of the pictures.
        mirror: show half of them mirrored.
        seed: 0 or more.

    Raises:
        BadConfig: pictures smaller than what is to be cut out of them.
    """

    def __init__(self, domains: TranslationDataset, *, resolution: int, mirror: bool, seed: int):
        self.domains, self.resolution, self.seed = domains, resolution, seed
        self.room = domains.img_resolution - resolution
        if self.room < 0:
            raise BadConfig(
                f"crops of {resolution} px do not fit in images of {domains.img_resolution} px: set "
                f"load_px to {resolution} or more"
            )
        counts = (len(domains.rows_a), len(domains.rows_b))
        self._samplers = [Sampler(n, seed=2 * seed + k, mirror=mirror) for k, n in enumerate(counts)]

    def take(self, nimg: int, n: int) -> tuple[Tensor, Tensor]:
        """The next `n` of each after `nimg` were shown, uint8 [n, C, resolution, resolution]."""
        first = self._part(self.domains.a.batch, self.domains.rows_a, self._samplers[0], nimg, n, stream=0)
        other = self._samplers[0 if self.domains.paired else 1]
        stream = 0 if self.domains.paired else 1
        return first, self._part(self.domains.b.batch, self.domains.rows_b, other, nimg, n, stream=stream)

    def _part(
        self,
        batch: Callable[[Sequence[int] | np.ndarray], tuple[Tensor, Tensor | None]],
        rows: np.ndarray,
        sampler: Sampler,
        nimg: int,
        n: int,
        *,
        stream: int,
    ) -> Tensor:
        indices, mirrored = sampler.take(nimg, n)
        pixels, r = batch(rows[indices])[0], self.resolution
        crops = []
        for k in range(n):
            down, right = np.random.RandomState([self.seed, stream, *_words(nimg + k)]).randint(0, self.room + 1, 2)
            part = pixels[k, :, down : down + r, right : right + r]
            crops.append(part.flip(2) if mirrored[k] else part)
        return torch.stack(crops)


def _words(number: int) -> list[int]:
    """A whole number as RandomState takes it."""
    return [number >> shift & 0xFFFFFFFF for shift in (0, 32)]
