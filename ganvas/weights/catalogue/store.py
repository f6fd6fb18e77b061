"""Where fetched files are kept on this computer, and how they get there in one piece.

A folder of the store is complete or it is not there: it is made under another name and then renamed, so a process that
is killed half-way leaves nothing that looks whole. Two processes that want the same files take turns at a lock which
the operating system gives back when its owner dies.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ganvas.errors import FetchError
from ganvas.ops.file_lock import try_lock, unlock
from ganvas.ops.home import home as home

OnDownloadProgress = Callable[[int, "int | None"], None]  # (bytes so far, bytes in all where known); may raise Stopped

POLL_SEC = 0.1
CHUNK_BYTES = 1 << 20
MARGIN_BYTES = 16 << 20  # left free on the disk beside what we are about to write


def weights_folder() -> Path:
    """Where fetched weights are, one folder a source."""
    return home() / "weights"


def ensure_folder(
    key: str,
    make: Callable[[Path], None],
    *,
    is_whole: Callable[[Path], bool],
    on_wait: Callable[[], None] | None = None,
) -> Path:
    """The store's folder `key`; made first when it is not there, or not whole.

    Args:
        key: a plain name, such as "random-face-2021.7.21.1".
        make: fills the empty folder it is given; what it raises leaves the store as it was.
        is_whole: says whether a folder has everything it should.
        on_wait: called once when another process is at it and this one has to wait.

    Returns:
        The folder, complete.

    Raises:
        FetchError: the disk is full, the store cannot be written; and whatever `make` raises.
    """
    folder = weights_folder() / key
    if is_whole(folder):
        return folder
    with explain_os_errors(weights_folder()), lock(key, on_wait=on_wait):
        if is_whole(folder):  # another process was faster
            return folder
        making = weights_folder() / ".making" / key  # safe to clear: only the owner of the lock is ever in there
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        try:
            make(making)
            _swap(making, folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def remove_folder(key: str) -> int:
    """Delete the folder `key` and return the bytes that were in it; 0 when it is not there.

    Raises:
        FetchError: the store cannot be written.
    """
    folder = weights_folder() / key
    if not folder.is_dir():
        return 0
    with explain_os_errors(folder), lock(key):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder)
    return size


def part_file(key: str) -> Path:
    """Path of a partial download of `key`, to be resumed."""
    folder = weights_folder() / ".parts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}.part"


def check_room(needed_bytes: int) -> None:
    """Say that the disk is too small before an hour of download, not after it.

    Raises:
        FetchError: less than `needed_bytes` free where the store is.
    """
    folder = next(path for path in (weights_folder(), *weights_folder().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + MARGIN_BYTES:
        raise FetchError(
            f"not enough room in {weights_folder()}: {megabytes(needed_bytes)} are needed and "
            f"{megabytes(free)} are free. Free some space, or set GANVAS_HOME to a folder on a larger "
            "disk."
        )


def sha256_of(path: Path, *, on_chunk: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            if on_chunk is not None:
                on_chunk(len(chunk))
    return digest.hexdigest()


def megabytes(count_bytes: int) -> str:
    """37588926 → "37.6 MB"; small files in kB."""
    return f"{count_bytes / 1e6:,.1f} MB" if count_bytes >= 100_000 else f"{count_bytes / 1e3:,.1f} kB"


@contextmanager
def lock(key: str, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Only one process (and one thread) at a time is inside for the same `key`; the others wait here.

    Raises:
        OSError: the folder cannot be written, or its file system has no locks.
    """
    folder = weights_folder() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{key}.lock", "a+b") as file:  # never deleted: a deleted lock file could be locked twice
        if not try_lock(file):
            if on_wait is not None:
                on_wait()
            while not try_lock(file):
                time.sleep(POLL_SEC)
        try:
            yield
        finally:
            unlock(file)


def _swap(new_folder: Path, folder: Path) -> None:
    """Put `new_folder` in the place of `folder`, which may be there and damaged."""
    if folder.exists():
        old = new_folder.with_name(f"{new_folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(new_folder, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(new_folder, folder)


@contextmanager
def explain_os_errors(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about `folder` into an error that says what to do.

    Raises:
        FetchError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        raise FetchError(_explain(error, folder)) from error


def _explain(error: OSError, folder: Path) -> str:
    advice = "set GANVAS_HOME to a writable folder"
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"the disk is full: writing in {folder} failed. Free some space, or set GANVAS_HOME to another folder."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return f"cannot write in {folder} ({error.strerror}). Change the permissions, or {advice}."
    if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP):
        return f"the file system of {folder} has no file locks ({error.strerror}): {advice} on a local disk."
    return f"writing in {folder} failed: {error}. Try again, or {advice}."
