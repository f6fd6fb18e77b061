"""Pictures added to a set that something was already learnt from: the known ones keep their places, new ones follow."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganvas.datasets.image_dataset import ImageDataset

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class KnownImages:
    """Which pictures a set had, and in which order."""

    digests: Sequence[str]
    names: Sequence[str]
    fingerprint: str  # of the set


def put_known_first(pictures: ImageDataset, known: KnownImages) -> tuple[ImageDataset, str]:
    """The known pictures in the order they had, then those that are new, in the order of the set.

    Returns:
        The set, and "" or what keeps it from being the known one with others added: pictures that are gone or
        changed, other labels, another size. The set is then as it was.
    """
    places: dict[str, deque[int]] = defaultdict(deque)
    for place, digest in enumerate(pictures.digests):
        places[digest].append(place)
    order, gone = [], []
    for digest, name in zip(known.digests, known.names, strict=True):
        if places[digest]:
            order.append(places[digest].popleft())
        else:
            gone.append(name)
    if gone:
        return pictures, _describe_gone(gone, len(known.digests), set(pictures.names))
    if pictures.select(order).fingerprint != known.fingerprint:
        return pictures, "the images: the same, but with other labels, another size or another crop"
    added = np.setdiff1d(np.arange(len(pictures)), order)
    return pictures.select([*order, *added.tolist()]), ""


def _describe_gone(gone: list[str], count: int, names: set[str]) -> str:
    what = "changed" if names.issuperset(gone) else "gone" if names.isdisjoint(gone) else "gone or changed"
    more = f" and {len(gone) - _NAMED:,} more" if len(gone) > _NAMED else ""
    return f"the images: {len(gone):,} of {count:,} are {what}: {', '.join(gone[:_NAMED])}{more}"
