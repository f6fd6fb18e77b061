"""The image files of a folder tree, for every command alike: which suffixes, which links, what is not looked at."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath

IMAGE_SUFFIXES = {  # that can be written, and their formats
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
}
READABLE_SUFFIXES = frozenset((*IMAGE_SUFFIXES, ".apng", ".heic", ".heif"))
_NAMED_KINDS = 5  # of files that are no images, in a message


def is_image_name(name: str | PurePath) -> bool:
    """Whether a file is an image, by its name."""
    return PurePath(name).suffix.lower() in READABLE_SUFFIXES


def is_ignored(name: str) -> bool:
    """What computers leave in folders unasked."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")


def walk_files(
    root: Path, *, recursive: bool = True, on_error: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, os.stat_result]]:
    """(path below the root with /, status) of every plain file, folder by folder.

    Links are followed; a folder that links lead to twice, or back to, is read once. A link that leads nowhere is kept,
    so that it is named when it is read.

    Args:
        root: a folder.
        recursive: the folders in it, too.
        on_error: called for a folder that cannot be read; None = it is passed over.
    """
    visited: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True, onerror=on_error):
        real = os.path.realpath(folder)
        below[:] = [] if real in visited or not recursive else sorted(name for name in below if not is_ignored(name))
        if real in visited:
            continue
        visited.add(real)
        for file in files:
            status = None if is_ignored(file) else _status(Path(folder, file))
            if status is not None:
                yield Path(folder, file).relative_to(root).as_posix(), status


def _status(path: Path) -> os.stat_result | None:
    """None for pipes and the like."""
    try:
        status = os.stat(path)
    except OSError:
        return os.lstat(path)
    return status if stat.S_ISREG(status.st_mode) else None


def describe_kinds(names: Iterable[str]) -> str:
    """What files there are besides images, in words: "3 .txt, 1 .cr2"; "nothing" where there are none."""
    kinds = Counter(PurePath(name).suffix.lower() or "without a suffix" for name in names)
    words = [f"{count:,} {kind}" for kind, count in kinds.most_common(_NAMED_KINDS)]
    more = len(kinds) - len(words)
    return (", ".join(words) + (f" and {more} other kinds" if more > 0 else "")) or "nothing"
