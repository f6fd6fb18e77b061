"""The studio's own folder for what is kept only while it runs; those of servers that were killed are swept."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

from ganvas.ops.file_lock import try_lock

PREFIX = "ganvas-studio-"
_OWNER = "owner.lock"  # locked while the server lives; the operating system lets go of it when the server dies
YOUNG_SEC = 60.0  # another server may be about to lock a folder that it has just made


class TempFolder:
    """A private folder, deleted when it is closed, or by the next server if this one is killed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._owner: IO[bytes] = open(self.path / _OWNER, "a+b")
        try_lock(self._owner)

    def close(self) -> None:
        """Delete it with all that is in it."""
        self._owner.close()
        shutil.rmtree(self.path, ignore_errors=True)


def sweep_temp_folders(parent: Path | None = None) -> int:
    """Delete the folders of servers that were killed.

    Args:
        parent: where they are; None = the system's folder for temporary files.

    Returns:
        How many were deleted.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    return sum(_sweep(folder) for folder in parent.glob(f"{PREFIX}*"))


def _sweep(folder: Path) -> bool:
    try:
        if folder.is_symlink() or time.time() - folder.stat().st_mtime < YOUNG_SEC:
            return False
        with open(folder / _OWNER, "r+b") as owner:  # folders without one are not ours, or of an older version
            if not try_lock(owner):
                return False
        shutil.rmtree(folder)
    except OSError:
        return False
    return True
