"""The manifest of a batch: a line of JSON for every photo that is done, so that a batch that was killed is taken up."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig
from ganvas.images.batch_paths import Task
from ganvas.ops.file_lock import try_lock

_KEYS = {"source", "source_sha256", "result", "bytes", "sha256", "settings"}


class BatchManifest:
    """What was done, on the disk after every photo.

    A line has the photo's name and SHA-256, the result's name, bytes and SHA-256, and the digest of the settings.
    Manifests of other shards in the folder are read, too.

    Args:
        source: the folder of photos; names are relative to it.
        folder: of the results, where the manifest is.
        settings: a digest of all that decides what a result looks like.
        shard: (3, 8) is the third of eight parts, each with a manifest of its own.

    Raises:
        BadConfig: another batch is writing this manifest.
    """

    def __init__(self, source: Path, folder: Path, *, settings: str, shard: tuple[int, int] | None = None):
        self.source, self.folder, self.settings = source, folder, settings
        folder.mkdir(parents=True, exist_ok=True)
        part = "" if shard is None else f"-{shard[0]}-of-{shard[1]}"
        self.path = folder / f"batch{part}.jsonl"
        self._file = open(self.path, "a+b")
        if not try_lock(self._file):
            raise BadConfig(f"another batch is writing {self.path}: wait for it, or give this one another folder")
        self._end_torn_line()
        self._done = {line["source"]: line for path in sorted(folder.glob("batch*.jsonl")) for line in _read(path)}

    def holds(self, task: Task) -> bool:
        """Was this photo, as it is now, done with these settings, and is its result there, whole?"""
        line = self._done.get(self._name(task))
        if line is None or line["settings"] != self.settings:
            return False
        result = self.folder / line["result"]
        with suppress(OSError):
            same_size = result.stat().st_size == line["bytes"]
            return same_size and _digest(result) == line["sha256"] and _digest(task.source) == line["source_sha256"]
        return False

    def add(self, task: Task, result: Path) -> None:
        """A photo is done; after this the line is on the disk.

        Raises:
            OSError: a file cannot be read, or the manifest not be written.
        """
        line = {
            "source": self._name(task),
            "source_sha256": _digest(task.source),
            "result": result.relative_to(self.folder).as_posix(),
            "bytes": result.stat().st_size,
            "sha256": _digest(result),
            "settings": self.settings,
        }
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let others write it."""
        self._file.close()

    def _name(self, task: Task) -> str:
        return task.source.relative_to(self.source).as_posix()

    def _end_torn_line(self) -> None:
        """A batch that was killed in the middle of a line leaves one that cannot be read; ours begin on the next."""
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole."""
    lines = []
    for text in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            line = json.loads(text.decode("utf-8", "surrogatepass"))
            if isinstance(line, dict) and line.keys() >= _KEYS:
                lines.append(line)
    return lines


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
