"""Images in a zip archive, read in place: nothing is unpacked to disk.

The layout is NVIDIA's (pictures anywhere, labels in dataset.json), which many tools write; any zip of photos will do.
An archive is a stranger's file: its size, its names and its claims are checked before anything is unpacked.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from ganvas.datasets.folder import (
    DATASET_JSON,
    MAX_PICTURE_BYTES,
    VIDEO_SUFFIXES,
    Item,
    check_bytes,
)
from ganvas.errors import BadImage, BadInput
from ganvas.images.walk import READABLE_SUFFIXES, is_ignored

MAX_DIRECTORY_BYTES = 256 << 20  # the table of contents: some three million pictures
MAX_COMPRESSION_RATIO = 200  # pictures hardly compress; a flat bitmap does, up to here
MIN_BYTES_CHECKED = 16 << 20  # below this the ratio does not matter
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, struct.error)


class Archive:
    """The pictures of a zip archive.

    Raises:
        BadInput: no zip, cut short, or one that was made to harm: names that lead outside, sizes that cannot be true.
    """

    labels_from = DATASET_JSON

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        _check_directory(self.path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (*_ZIP_ERRORS, ValueError) as error:
            raise BadInput(f"{self.path} is a broken zip archive ({error})") from error
        listed = [info for info in self._zip.infolist() if not info.is_dir()]
        self._check_members(listed)
        wanted = {info.filename: info for info in listed if not any(map(is_ignored, info.filename.split("/")))}
        self._members = wanted
        kinds = {name: Path(name).suffix.lower() for name in sorted(wanted)}
        self.items = tuple(
            Item(name, wanted[name].file_size, wanted[name].CRC)
            for name, kind in kinds.items()
            if kind in READABLE_SUFFIXES
        )
        self.films = tuple(name for name, kind in kinds.items() if kind in VIDEO_SUFFIXES)
        known = READABLE_SUFFIXES | VIDEO_SUFFIXES
        self.others = tuple(name for name, kind in kinds.items() if kind not in known and name != DATASET_JSON)

    def _check_members(self, listed: list[zipfile.ZipInfo]) -> None:
        names = {info.filename for info in listed}
        if len(names) != len(listed):
            raise BadInput(f"{self.path} has two members with the same name; pack it again")
        for info in listed:
            if leads_outside(info.orig_filename):
                raise BadInput(
                    f"{self.path} has a member named {info.orig_filename[:80]!r}, which points outside "
                    "the archive or is not a plain path. Nothing was read. If you trust it, unpack it "
                    "and pass the folder."
                )
            if info.file_size > max(MIN_BYTES_CHECKED, MAX_COMPRESSION_RATIO * info.compress_size):
                raise BadInput(
                    f"{self.path}: {info.filename[:80]!r} has {info.compress_size:,} bytes and would "
                    f"unpack to {info.file_size:,}, which is not plausible for an image. Nothing was read."
                )
        packed, size = sum(info.compress_size for info in listed), self.path.stat().st_size
        if packed > size:
            raise BadInput(f"{self.path} has {size:,} bytes and claims to hold {packed:,}: its members overlap")

    def read(self, item: Item) -> bytes:
        """The contents of a picture.

        Raises:
            BadImage: damaged, locked with a password, empty or far too large.
        """
        info = self._members[item.name]
        check_bytes(info.file_size)
        try:
            return self._zip.read(info)
        except _ZIP_ERRORS as error:
            raise BadImage(f"cannot be unpacked: {error}") from error

    def open(self, item: Item) -> IO[bytes]:
        """Raises OSError when it cannot be opened."""
        try:
            return self._zip.open(self._members[item.name])
        except _ZIP_ERRORS as error:
            raise OSError(str(error)) from error

    def listing(self) -> bytes | None:
        """The contents of dataset.json, if there is one."""
        info = self._members.get(DATASET_JSON)
        if info is None:
            return None
        if info.file_size > MAX_PICTURE_BYTES:
            raise BadInput(f"{self.path}: {DATASET_JSON} has {info.file_size:,} bytes, too large for a list of labels")
        try:
            return self._zip.read(info)
        except _ZIP_ERRORS as error:
            raise BadInput(f"{self.path}: {DATASET_JSON} cannot be unpacked: {error}") from error


def is_zip(path: Path) -> bool:
    """By the first bytes; an empty archive has only its end."""
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def _check_directory(path: Path) -> None:
    """Python reads the table of contents whole, so its size is looked at first. It stands at the end."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - (1 << 16) - 100))
            tail = file.read()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        raise BadInput(f"{path} is a truncated zip archive of {size:,} bytes")
    listed = struct.unpack_from("<I", tail, end + 12)[0]
    large = tail.rfind(b"PK\x06\x06", 0, end)
    if large >= 0 and large + 48 <= len(tail):
        listed = max(struct.unpack_from("<Q", tail, large + 40)[0], 0 if listed == 0xFFFFFFFF else listed)
    if listed > MAX_DIRECTORY_BYTES:
        raise BadInput(
            f"{path} has a table of contents of {listed:,} bytes; the limit is {MAX_DIRECTORY_BYTES:,}. "
            "Split it, or unpack it and pass the folder."
        )


def leads_outside(member: str) -> bool:
    """Nothing is unpacked here, but whoever packed such names meant harm."""
    return member.startswith("/") or "\\" in member or "\0" in member or member[1:2] == ":" or ".." in member.split("/")
