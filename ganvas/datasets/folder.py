"""Images in a folder and its subfolders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from ganvas.errors import BadImage, BadInput
from ganvas.images.walk import READABLE_SUFFIXES, walk_files

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
    labels_from: str  # what `listing` gives the contents of, for messages

    def read(self, item: Item) -> bytes:
        """The contents. Raises BadImage when they cannot be had."""
        ...

    def open(self, item: Item) -> IO[bytes]:
        """The same as a file, for looking at the beginning."""
        ...

    def listing(self) -> bytes | None:
        """The labels in the form of a dataset.json, if there are some."""
        ...


class Folder:
    """The pictures of a folder tree; links are followed, names that begin with a dot are not looked at.

    Raises:
        BadInput: no folder, or one that cannot be read.
    """

    labels_from = DATASET_JSON

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.is_dir():
            raise BadInput(f"there is no folder {self.path}")
        items, films, others = [], [], []
        for name, status in walk_files(self.path, on_error=_complain):
            kind = Path(name).suffix.lower()
            if kind in READABLE_SUFFIXES:
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


def read_piece(path: Path, start: int, size: int) -> bytes:
    """Some bytes of a file that holds many pictures. Raises BadImage where they are not there."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read(size)
    except OSError as error:
        raise BadImage(f"cannot be read: {error.strerror or error}") from error
    if len(data) != size:
        raise BadImage(f"is cut short: {path.name} ends within it")
    return data


def _complain(error: OSError) -> None:
    raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error
