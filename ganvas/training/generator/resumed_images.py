"""The pictures of a run that is resumed: others may have been added since, and come after those that it knows."""

from __future__ import annotations

import json
from pathlib import Path

from ganvas.datasets.added_images import KnownImages, put_known_first
from ganvas.datasets.image_dataset import ImageDataset
from ganvas.training.engine.resume import DataChange
from ganvas.weights.checkpoint import write_atomically

_FILE = "images.json"


def order_as_before(pictures: ImageDataset, folder: str | Path | None) -> tuple[ImageDataset, DataChange | None]:
    """The pictures with those that the run in `folder` knows first, in their order.

    Returns:
        The set, and how it differs from the run's; None where no run is there, or it does not remember its pictures.
    """
    known = None if folder is None else _read_known(Path(folder))
    if known is None:
        return pictures, None
    ordered, refused = put_known_first(pictures, known)
    before, now = len(known.digests), len(ordered)
    accepted = f"images: {before:,} → {now:,}" if now > before and not refused else ""
    return ordered, DataChange(accepted=accepted, refused=refused)


def remember_images(pictures: ImageDataset, folder: Path) -> None:
    """Write which pictures the run has, and in which order."""
    known = _read_known(folder)
    if known is not None and known.fingerprint == pictures.fingerprint:
        return
    content = {"fingerprint": pictures.fingerprint, "digests": pictures.digests, "names": pictures.names}
    text = json.dumps(content)
    write_atomically(folder / _FILE, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def _read_known(folder: Path) -> KnownImages | None:
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        digests, names = [str(each) for each in content["digests"]], [str(each) for each in content["names"]]
        fingerprint = str(content["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return KnownImages(digests=digests, names=names, fingerprint=fingerprint) if len(digests) == len(names) else None
