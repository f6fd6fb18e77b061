"""Images in a folder and its subfolders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from ganvas.errors import BadImage, BadInput

TRAINING_IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif")
)
VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"))
DATASET_JSON = "dataset.json"  # the labels, as NVIDIA's tools write them
MAX_PICTURE_BYTES = 512 << 20


@dataclass(frozen=True)
class Item:
    """A picture file that a source has."""

    name: str  # the path below the source, with /
    size: int  # bytes
    stamp: int  # changes when the contents do: the time of the last change, or a checksum


class ImageSource(Protocol):
    """Where picture files come from: a folder or an archive."""

    path: Path
    items: tuple[Item, ...]  # pictures, in the order of their names
    films: tuple[str, ...]  # videos
    others: tuple[str, ...]  # what is neither

    def read(self, item: Item) -> bytes:
        """The contents. Raises BadImage when they cannot be had."""
        ...

    def open(self, item: Item) -> IO[bytes]:
        """The same as a file, for looking at the beginning."""
        ...

    def listing(self) -> bytes | None:
        """The contents of dataset.json, if there is one."""
        ...


class Folder:
    """The pictures of a folder tree; links are followed, names that begin with a dot are not looked at.

    Raises:
        BadInput: no folder, or one that cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.is_dir():
            raise BadInput(f"there is no folder {self.path}")
        items, films, others = [], [], []
        for name, status in _files(self.path):
            kind = Path(name).suffix.lower()
            if kind in TRAINING_IMAGE_SUFFIXES:
                items.append(Item(name, status.st_size, status.st_mtime_ns))
            elif kind in VIDEO_SUFFIXES:
                films.append(name)
            elif name != DATASET_JSON:
                others.append(name)
        self.items = tuple(sorted(items, key=lambda item: item.name))
        self.films, self.others = tuple(sorted(films)), tuple(sorted(others))

    def read(self, item: Item) -> bytes:
        """The contents of a picture file.

        Raises:
            BadImage: gone, not readable, empty or far too large.
        """
        try:
            with self.open(item) as file:
                data = file.read(MAX_PICTURE_BYTES + 1)
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror or error}") from error
        check_bytes(len(data))
        return data

    def open(self, item: Item) -> IO[bytes]:
        """Raises OSError when it cannot be opened."""
        return open(self.path / item.name, "rb")

    def listing(self) -> bytes | None:
        """The contents of dataset.json, if there is one."""
        file = self.path / DATASET_JSON
        if not file.is_file():
            return None
        if file.stat().st_size > MAX_PICTURE_BYTES:
            raise BadInput(f"{file} has {file.stat().st_size:,} bytes, too large for a list of labels")
        return file.read_bytes()


def check_bytes(size: int) -> None:
    """Raises BadImage where no picture has that many bytes."""
    if size == 0:
        raise BadImage("is empty (0 bytes)")
    if size > MAX_PICTURE_BYTES:
        raise BadImage(f"has more than {MAX_PICTURE_BYTES:,} bytes")


def _files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(path below the root with /, status) of every plain file. A folder that links lead to twice is read once."""
    visited: set[str] = set()

    def complain(error: OSError) -> None:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error

    for folder, below, files in os.walk(root, followlinks=True, onerror=complain):
        real = os.path.realpath(folder)
        below[:] = [] if real in visited else sorted(name for name in below if not is_ignored(name))
        if real in visited:
            continue
        visited.add(real)
        for file in files:
            path = Path(folder, file)
            if is_ignored(file):
                continue
            status = _status(path)
            if status is not None:
                yield path.relative_to(root).as_posix(), status


def _status(path: Path) -> os.stat_result | None:
    """None for pipes and the like; a link that leads nowhere is kept, so that it is named when it is read."""
    try:
        status = os.stat(path)
    except OSError:
        status = os.lstat(path)
        return status
    return status if stat.S_ISREG(status.st_mode) else None


def is_ignored(name: str) -> bool:
    """What computers leave in folders unasked."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")
