"""Cache of preprocessed images, in memory or in a file that is read image by image.

A cache file is [pixels of all pictures][what they are, as JSON][its length, its checksum, a mark]. It is written under
another name and then renamed, and its mark stands at the end, so one that was cut short is never taken for whole. Every
picture has a checksum, compared when it is first read. The file is read at its place and not memory-mapped: the
operating system keeps it in memory just the same, but a mapped file that becomes unreadable kills the process, where a
read gives an error with a name.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.preprocess import ImageFacts
from ganvas.errors import BadInput

_MARK = b"GANVASP1"
_TAIL = struct.Struct("<QI8s")  # bytes of the description, its checksum, the mark
_MAX_DESCRIPTION = 4 << 30
_OLD_SEC = 86_400.0
_FLAGS = {"grey": "g", "alpha": "a", "deep": "d"}


@dataclass
class CacheDescription:
    """What the pictures of a cache are, in their order."""

    shape: tuple[int, int, int]  # (channels, resolution, resolution)
    names: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)  # of each file's contents
    checksums: list[int] = field(default_factory=list)  # CRC-32 of each picture's pixels
    facts: list[ImageFacts] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (name, why), of files that gave no picture
    unread: list[str] = field(default_factory=list)  # those among them whose contents could not be had

    @property
    def bytes_each(self) -> int:
        """Bytes of one picture."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def add(self, name: str, digest: str, pixels: np.ndarray, facts: ImageFacts) -> None:
        """One more picture."""
        self.names.append(name)
        self.digests.append(digest)
        self.checksums.append(zlib.crc32(pixels.data))
        self.facts.append(facts)

    def to_json(self, key: str) -> bytes:
        """One line of JSON."""
        facts = [[f.width, f.height, "".join(c for n, c in _FLAGS.items() if getattr(f, n))] for f in self.facts]
        return json.dumps({**asdict(self), "facts": facts, "key": key}).encode()

    @staticmethod
    def from_json(data: bytes, key: str) -> CacheDescription | None:
        """None where the key is another: the pictures or the settings have changed since."""
        content: dict[str, Any] = json.loads(data)
        if content.pop("key") != key:
            return None
        content["facts"] = [
            ImageFacts(width=w, height=h, **{n: c in flags for n, c in _FLAGS.items()})
            for w, h, flags in content["facts"]
        ]
        content["shape"] = tuple(content["shape"])
        content["skipped"] = [(name, why) for name, why in content["skipped"]]
        return CacheDescription(**content)


class InMemory:
    """Pictures in memory: uint8 [N, C, R, R]."""

    def __init__(self, pixels: Tensor):
        self.pixels = pixels

    def take(self, rows: np.ndarray) -> Tensor:
        """[len(rows), C, R, R], a copy."""
        return torch.from_numpy(np.take(self.pixels.numpy(), rows, axis=0))  # 12 times as fast as torch's own indexing


class InFile:
    """Pictures in a cache file. Threads may read it at the same time."""

    def __init__(self, path: Path, description: CacheDescription):
        self.path, self.description = path, description
        self._file = open(path, "rb")  # kept open: deleting the file does not take the pictures away
        self._lock = threading.Lock()
        self._verified = np.zeros(len(description.names), bool)

    def take(self, rows: np.ndarray) -> Tensor:
        """[len(rows), C, R, R].

        Raises:
            BadInput: the file was damaged since it was written.
        """
        out = np.empty((len(rows), self.description.bytes_each), np.uint8)
        for pixels, row in zip(out, rows.tolist(), strict=True):
            bytes_read = self._read(pixels, row * self.description.bytes_each)
            if bytes_read != len(pixels) or not (
                self._verified[row] or zlib.crc32(pixels.data) == self.description.checksums[row]
            ):
                raise BadInput(
                    f"the cache {self.path} is damaged at {self.description.names[row]!r}. Delete it and "
                    "start again: it will be rebuilt from the images."
                )
            self._verified[row] = True
        return torch.from_numpy(out).view(len(rows), *self.description.shape)

    def _read(self, into: np.ndarray, at: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [into.data], at)
        with self._lock:
            self._file.seek(at)
            return self._file.readinto(into.data)

    def all(self) -> InMemory:
        """The whole file in memory, every picture compared with its checksum."""
        return InMemory(self.take(np.arange(len(self.description.names))))


def open_cache(path: Path, key: str) -> InFile | None:
    """The cache in a file; None where there is none, or not of these pictures and settings.

    Raises:
        BadInput: there is one, and it is damaged.
    """
    try:
        with open(path, "rb") as file:
            data, size = _description(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, struct.error) as error:
        raise BadInput(f"the cache {path} is damaged: {error}") from error
    try:
        description = CacheDescription.from_json(data, key)
        if description is None:
            return None
        if size != len(description.names) * description.bytes_each:
            raise ValueError("its size is wrong")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"the cache {path} is damaged: {error}") from error
    return InFile(path, description)


def _description(file: IO[bytes]) -> tuple[bytes, int]:
    """(the JSON, how many bytes of pixels come before it)."""
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL.size:
        raise ValueError("it was cut short")
    file.seek(size - _TAIL.size)
    length, checksum, mark = _TAIL.unpack(file.read(_TAIL.size))
    if mark != _MARK or length > min(_MAX_DESCRIPTION, size - _TAIL.size):
        raise ValueError("it is truncated, or not a cache file")
    file.seek(size - _TAIL.size - length)
    data = file.read(length)
    if zlib.crc32(data) != checksum:
        raise ValueError("the checksum of its header is wrong")
    return data, size - _TAIL.size - length


def temporary_path(path: Path) -> Path:
    """Another name in the same folder, to write under; what a killed job of days ago left there is cleared away."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD_SEC:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


@contextmanager
def open_cache_writer(path: Path, key: str) -> Iterator[CacheWriter]:
    """A cache file being written; it is there, whole, when the block ends, and not at all when the block fails.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_path(path)
    try:
        with open(part, "xb") as file:
            writer = CacheWriter(file)
            yield writer
            writer.finish(key)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class CacheWriter:
    """Takes pictures one by one."""

    description: CacheDescription

    def __init__(self, file: IO[bytes]):
        self._file = file

    def add(self, pixels: np.ndarray) -> None:
        """The next picture."""
        self._file.write(np.ascontiguousarray(pixels).data)

    def finish(self, key: str) -> None:
        """Say what was written, and force all of it to the disk."""
        data = self.description.to_json(key)
        self._file.write(data + _TAIL.pack(len(data), zlib.crc32(data), _MARK))
        self._file.flush()
        os.fsync(self._file.fileno())


def write_cache(path: Path, key: str, pixels: Tensor, description: CacheDescription) -> None:
    """Write pictures that are in memory.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with open_cache_writer(path, key) as writer:
        writer.description = description
        writer.add(pixels.numpy())
