"""Pictures in tar archives, read in place: plain tars of photos, and WebDataset's shards with their classes.

WebDataset (webdataset.github.io): the files of one sample share the name up to its first dot, 000123.jpg and
000123.cls; the .cls holds the number of the class. Only the headers are read at first; nothing is unpacked to the disk.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from ganvas.datasets.archive import leads_outside
from ganvas.datasets.folder import DATASET_JSON, VIDEO_SUFFIXES, Item, check_bytes, read_piece
from ganvas.errors import BadInput
from ganvas.images.walk import READABLE_SUFFIXES, is_ignored

_MAX_LABEL_BYTES = 64


class TarShards:
    """The pictures of one or several tar archives, in their order.

    Args:
        path: one archive, or the folder that holds several.
        shards: the archives, sorted.
        others: files beside them that are not used.

    Raises:
        BadInput: broken, or made to harm: names that lead outside.
    """

    labels_from = "the archive itself"

    def __init__(self, path: Path, shards: Sequence[Path], *, others: Sequence[str] = ()):
        self.path = path
        self._places: dict[str, tuple[Path, int, int]] = {}  # name → (archive, first byte, how many)
        self._classes: dict[str, int] = {}  # name without its endings → class
        items, films, rest = [], [], list(others)
        for shard in shards:
            prefix, stamp = "" if len(shards) == 1 else f"{shard.stem}/", shard.stat().st_mtime_ns
            for member in _members(shard):
                name, kind = prefix + member.name.removeprefix("./"), PurePosixPath(member.name).suffix.lower()
                if name in self._places:
                    raise BadInput(f"{shard} has two files called {member.name!r}; pack it again")
                self._places[name] = (shard, member.offset_data, member.size)
                if kind in READABLE_SUFFIXES:
                    items.append(Item(name, member.size, stamp))
                elif kind == ".cls":
                    self._classes[_key(name)] = self._class(name)
                elif kind in VIDEO_SUFFIXES:
                    films.append(name)
                elif name != DATASET_JSON:
                    rest.append(name)
        self.items, self.films, self.others = tuple(items), tuple(films), tuple(rest)

    def read(self, item: Item) -> bytes:
        """The contents of a picture file.

        Raises:
            BadImage: gone, cut short, empty or far too large.
        """
        check_bytes(self._places[item.name][2])
        return self._read(item.name)

    def open(self, item: Item) -> IO[bytes]:
        """The same as a file."""
        return io.BytesIO(self.read(item))

    def listing(self) -> bytes | None:
        """The archive's own dataset.json, or the classes of WebDataset's .cls files in that form."""
        if DATASET_JSON in self._places:
            return self._read(DATASET_JSON)
        pairs = [[item.name, self._classes[_key(item.name)]] for item in self.items if _key(item.name) in self._classes]
        return json.dumps({"labels": pairs}).encode() if pairs else None

    def _read(self, name: str) -> bytes:
        return read_piece(*self._places[name])

    def _class(self, name: str) -> int:
        shard, _, size = self._places[name]
        text = self._read(name).decode("latin-1").strip() if size <= _MAX_LABEL_BYTES else ""
        if not text.isdecimal():
            raise BadInput(f"{shard}: {name} should hold the number of a class, holds {text[:40]!r}")
        return int(text)


def _members(shard: Path) -> list[tarfile.TarInfo]:
    """The plain files of an archive."""
    try:
        with tarfile.open(shard, "r:") as archive:
            members = [member for member in archive if member.isreg() and not member.issparse()]
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BadInput(f"{shard} is a broken or truncated tar archive: {error}") from error
    for member in members:
        if leads_outside(member.name):
            raise BadInput(
                f"{shard} has a member named {member.name[:80]!r}, which points outside the archive or is not a plain "
                "path. Nothing was read. If you trust it, unpack it and pass the folder."
            )
    return [member for member in members if not any(map(is_ignored, member.name.removeprefix("./").split("/")))]


def _key(name: str) -> str:
    """The name up to the first dot of its last part: what the files of one sample share."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]
