"""A look through pictures before anything is made of them: what is there, what is odd, what will be done."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ganvas.datasets.fit import Facts, Fit
from ganvas.datasets.folder import Source
from ganvas.datasets.intake import Taken, in_threads, natural_resolution, open_source, take
from ganvas.datasets.labels import find_labels, labels_of
from ganvas.datasets.likeness import Seen, Sketch, sketched
from ganvas.errors import BadInput

OnStep = Callable[[int, int], object]  # (pictures done, pictures in all); may raise Stopped

FINDINGS = {  # what may be odd, in the order in which it matters → what is done about it
    "broken": "left out",
    "tiny": "left out",
    "copies": "kept by 'ganvas train', dropped by 'ganvas dataset make'",
    "look-alikes": "kept by 'ganvas train', dropped by 'ganvas dataset make'",
    "small": "enlarged, and a little soft",
    "transparent": "laid on the background colour",
    "grey": "given three equal channels",
    "16 bit": "rounded to 8 bits",
    "not square": "cut to the middle square, or padded with --crop pad",
    "videos": "left aside by 'ganvas train'; 'ganvas dataset make' takes their frames",
    "other files": "left aside",
}


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a folder or archive of pictures is like."""

    path: Path
    resolution: int  # at which it was judged
    count: int  # picture files
    usable: int
    sizes: dict[tuple[int, int], int]  # (width, height) → how many
    findings: dict[str, list[str]]  # a key of FINDINGS → the files, some with a reason
    class_counts: dict[str, int] = field(default_factory=dict)
    labels_trouble: str = ""  # what is wrong with the labels, if something is


def survey(
    path: str | os.PathLike[str],
    *,
    resolution: int | None = None,
    labels: str | Path | None = None,
    on_step: OnStep | None = None,
) -> Survey:
    """Read every picture and name each that is odd. Nothing is written.

    Args:
        path: a folder tree or a .zip.
        resolution: at which it will be used; None = what the pictures have.
        labels: as in `open_pictures`.
        on_step: called as (done, total); may raise Stopped.

    Raises:
        BadInput: no folder, no archive, or no picture in it.
    """
    source = open_source(path)
    findings: dict[str, list[str]] = {kind: [] for kind in FINDINGS}
    findings["videos"], findings["other files"] = list(source.films), list(source.others)
    if not source.items:
        raise BadInput(f"{source.path} has no pictures, {len(source.films):,} videos and {len(source.others):,} others")
    fit = Fit(resolution=resolution or _resolution(source), smallest=1)
    sizes: Counter[tuple[int, int]] = Counter()
    good: list[str] = []
    likeness = _Likeness()
    look = in_threads(lambda item: _looked_at(take(source, item, fit)), source.items)
    for step, (taken, sketch) in enumerate(look, start=1):
        if taken.facts is None or sketch is None:
            findings["broken"].append(f"{taken.item.name}: {taken.why_not}")
        else:
            sizes[taken.facts.width, taken.facts.height] += 1
            _note(taken.item.name, taken.facts, fit.resolution, findings)
            likeness.note(taken.item.name, taken.digest, sketch, findings)
            good.append(taken.item.name)
        if on_step is not None:
            on_step(step, len(source.items))
    counts, trouble = _labels(source, labels, good)
    return Survey(
        path=source.path,
        resolution=fit.resolution,
        count=len(source.items),
        usable=len(good) - len(findings["tiny"]),
        sizes=dict(sizes),
        findings=findings,
        class_counts=counts,
        labels_trouble=trouble,
    )


def _resolution(source: Source) -> int:
    """A doctor looks at tiny and broken pictures too."""
    try:
        return natural_resolution(source)
    except BadInput:
        return 8


def _looked_at(taken: Taken) -> tuple[Taken, Sketch | None]:
    return taken, None if taken.pixels is None else sketched(taken.pixels)


def _note(name: str, facts: Facts, resolution: int, findings: dict[str, list[str]]) -> None:
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


class _Likeness:
    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.seen, self.names = Seen(), list[str]()

    def note(self, name: str, digest: str, sketch: Sketch, findings: dict[str, list[str]]) -> None:
        first = self.digests.setdefault(digest, name)
        if first != name:
            findings["copies"].append(f"{name} = {first}")
            return
        like = self.seen.like(sketch)
        if like is not None:
            findings["look-alikes"].append(f"{name} ~ {self.names[like]}")
            return
        self.seen.add(sketch)
        self.names.append(name)


def _labels(source: Source, labels: str | Path | None, names: list[str]) -> tuple[dict[str, int], str]:
    try:
        found = find_labels(source, labels)
        return ({}, "") if found is None else (labels_of(found, names)[0].counts(), "")
    except BadInput as error:
        return {}, str(error)
