"""Check images before training: counts, unusual files, planned preprocessing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ganvas.datasets.duplicates import DuplicateIndex, ImageHash, hash_image
from ganvas.datasets.folder import ImageSource
from ganvas.datasets.labels import find_labels, match_labels
from ganvas.datasets.preprocess import ImageFacts, ImagePreprocessor
from ganvas.datasets.reading import LoadedImage, in_threads, load_image, natural_resolution, open_source
from ganvas.errors import BadInput

_OnStep = Callable[[int, int], object]  # (pictures done, pictures in all); may raise Stopped

FINDINGS = {  # what may be odd, in the order in which it matters → what is done about it
    "broken": "left out",
    "tiny": "left out",
    "copies": "kept by 'ganvas train', dropped by 'ganvas dataset make'",
    "look-alikes": "kept by 'ganvas train', dropped by 'ganvas dataset make'",
    "small": "enlarged, and slightly blurry",
    "transparent": "composited on the background colour",
    "grey": "converted to three equal channels",
    "16 bit": "rounded to 8 bits",
    "not square": "centre-cropped, or padded with --crop pad",
    "videos": "ignored by 'ganvas train'; 'ganvas dataset make' extracts their frames",
    "other files": "left aside",
}


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """Report on a folder or archive of images."""

    path: Path
    resolution: int  # at which it was judged
    count: int  # picture files
    usable: int
    sizes: dict[tuple[int, int], int]  # (width, height) → how many
    findings: dict[str, list[str]]  # a key of FINDINGS → the files, some with a reason
    class_counts: dict[str, int] = field(default_factory=dict)
    labels_trouble: str = ""  # what is wrong with the labels, if something is


def check_dataset(
    path: str | os.PathLike[str],
    *,
    resolution: int | None = None,
    labels: str | Path | None = None,
    on_step: _OnStep | None = None,
) -> DatasetReport:
    """Read every image and list unusual ones. Nothing is written.

    Args:
        path: whatever `open_image_dataset` reads.
        resolution: at which it will be used; None = what the pictures have.
        labels: as in `open_image_dataset`.
        on_step: called as (done, total); may raise Stopped.

    Raises:
        BadInput: no folder, no archive, or no picture in it.
    """
    source = open_source(path)
    findings: dict[str, list[str]] = {kind: [] for kind in FINDINGS}
    findings["videos"], findings["other files"] = list(source.films), list(source.others)
    if not source.items:
        raise BadInput(
            f"{source.path} has no images, {len(source.films):,} videos and {len(source.others):,} other files"
        )
    preprocessor = ImagePreprocessor(resolution=resolution or _resolution(source), smallest=1)
    sizes: Counter[tuple[int, int]] = Counter()
    good: list[str] = []
    duplicates = _DuplicateFinder()
    outcomes = in_threads(lambda item: _load_and_hash(load_image(source, item, preprocessor)), source.items)
    for step, (loaded, image_hash) in enumerate(outcomes, start=1):
        if loaded.facts is None or image_hash is None:
            findings["broken"].append(f"{loaded.item.name}: {loaded.error}")
        else:
            sizes[loaded.facts.width, loaded.facts.height] += 1
            _note(loaded.item.name, loaded.facts, preprocessor.resolution, findings)
            duplicates.add(loaded.item.name, loaded.digest, image_hash, findings)
            good.append(loaded.item.name)
        if on_step is not None:
            on_step(step, len(source.items))
    counts, trouble = _labels(source, labels, good)
    return DatasetReport(
        path=source.path,
        resolution=preprocessor.resolution,
        count=len(source.items),
        usable=len(good) - len(findings["tiny"]),
        sizes=dict(sizes),
        findings=findings,
        class_counts=counts,
        labels_trouble=trouble,
    )


def _resolution(source: ImageSource) -> int:
    """A doctor looks at tiny and broken pictures too."""
    try:
        return natural_resolution(source)
    except BadInput:
        return 8


def _load_and_hash(loaded: LoadedImage) -> tuple[LoadedImage, ImageHash | None]:
    return loaded, None if loaded.pixels is None else hash_image(loaded.pixels)


def _note(name: str, facts: ImageFacts, resolution: int, findings: dict[str, list[str]]) -> None:
    size = f"{name} ({facts.width} x {facts.height})"
    across = min(facts.width, facts.height)
    odd = {
        "tiny": across < max(1, resolution // 2),
        "small": resolution // 2 <= across < resolution,
        "not square": not facts.square,
    }
    for kind, is_so in odd.items():
        if is_so:
            findings[kind].append(size)
    for kind, is_so in {"grey": facts.grey, "transparent": facts.alpha, "16 bit": facts.deep}.items():
        if is_so:
            findings[kind].append(name)


class _DuplicateFinder:
    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.index, self.names = DuplicateIndex(), list[str]()

    def add(self, name: str, digest: str, image_hash: ImageHash, findings: dict[str, list[str]]) -> None:
        first = self.digests.setdefault(digest, name)
        if first != name:
            findings["copies"].append(f"{name} = {first}")
            return
        match = self.index.find_similar(image_hash)
        if match is not None:
            findings["look-alikes"].append(f"{name} ~ {self.names[match]}")
            return
        self.index.add(image_hash)
        self.names.append(name)


def _labels(source: ImageSource, labels: str | Path | None, names: list[str]) -> tuple[dict[str, int], str]:
    try:
        table = find_labels(source, labels)
        return ({}, "") if table is None else (match_labels(table, names)[0].counts(), "")
    except BadInput as error:
        return {}, str(error)
