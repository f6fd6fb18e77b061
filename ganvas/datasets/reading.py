"""Read and preprocess image files with several threads, in order, reporting invalid files."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ganvas.datasets.archive import Archive, is_zip
from ganvas.datasets.folder import VIDEO_SUFFIXES, Folder, ImageSource, Item
from ganvas.datasets.preprocess import ImageFacts, ImagePreprocessor
from ganvas.datasets.standard import open_standard_file, open_standard_folder
from ganvas.errors import BadImage, BadInput

A = TypeVar("A")
B = TypeVar("B")
MAX_THREADS = 8  # each may hold a large photo
SIZE_SAMPLES = 400  # files whose size is looked at to choose a resolution
MAX_AUTO_RESOLUTION = 256


@dataclass(frozen=True, kw_only=True)
class LoadedImage:
    """What became of one file: a picture, or the reason why not."""

    item: Item
    digest: str = ""  # of the file's contents
    pixels: np.ndarray | None = None  # uint8 [C, R, R]
    facts: ImageFacts | None = None
    error: str = ""
    unread: bool = False  # its contents could not be had at all; perhaps next time


def open_source(path: str | os.PathLike[str]) -> ImageSource:
    """A folder, an archive or a file of pictures, by what is in it; see `open_standard_file` for the kinds of files.

    Raises:
        BadInput: nothing of it, or a damaged or hostile file.
        MissingExtra: Parquet or Arrow tables, without the extra [parquet].
    """
    path = Path(path)
    if path.is_dir():
        folder = Folder(path)
        return folder if folder.items else open_standard_folder(folder) or folder
    if not path.exists():
        raise BadInput(f"there is no folder or archive {path}")
    standard = open_standard_file(path)
    if standard is not None:
        return standard
    if is_zip(path):
        return Archive(path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        raise BadInput(f"{path} is a video; 'ganvas dataset make {path} DEST --resolution R' extracts its frames")
    raise BadInput(
        f"{path} is neither a folder nor a zip or tar archive of images, nor MNIST's idx, CIFAR's batches, .npy, .npz, "
        "Parquet, Arrow or LMDB"
    )


def load_all(source: ImageSource, preprocessor: ImagePreprocessor) -> Iterator[LoadedImage]:
    """Every picture of a source made to fit, in order. A bad file is an answer, not an error."""
    return in_threads(lambda item: load_image(source, item, preprocessor), source.items)


def load_image(source: ImageSource, item: Item, preprocessor: ImagePreprocessor) -> LoadedImage:
    """One picture made to fit."""
    try:
        data = source.read(item)
    except BadImage as error:
        return LoadedImage(item=item, error=reason(error, item.name), unread=True)
    try:
        pixels, facts = preprocessor.read(data, name=item.name)
    except BadImage as error:
        return LoadedImage(item=item, error=reason(error, item.name))
    return LoadedImage(item=item, digest=digest_of(data), pixels=pixels, facts=facts)


def reason(error: Exception, name: str) -> str:
    """The message without the name, which stands beside it."""
    return str(error).removeprefix(name).strip()


def digest_of(data: bytes) -> str:
    """32 hexadecimal digits that say which contents these are."""
    return hashlib.sha256(data).hexdigest()[:32]


def in_threads(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """`map` by several threads, in order, a few ahead at most; Pillow decodes outside of Python's lock."""
    threads = min(MAX_THREADS, cores())
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def natural_resolution(source: ImageSource) -> int:
    """A resolution that the pictures have: a power of two that nine in ten reach, 256 at most.

    Pictures that are all square and of one power of two (a set that was prepared) keep it, also where it is larger.

    Raises:
        BadInput: hardly any picture can be read, or they are tiny.
    """
    step = max(1, len(source.items) // SIZE_SAMPLES)
    sizes = [size for item in source.items[::step] if (size := _size(source, item))]
    if not sizes:
        raise BadInput(f"{source.path}: no image in it can be read")
    if len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1] and sizes[0][0] & (sizes[0][0] - 1) == 0:
        return sizes[0][0]
    across = sorted(min(size) for size in sizes)[len(sizes) // 10]
    if across < 8:
        raise BadInput(f"{source.path}: most of its images are {across} pixels wide; at least 8 are needed")
    return min(MAX_AUTO_RESOLUTION, 1 << (across.bit_length() - 1))


def _size(source: ImageSource, item: Item) -> tuple[int, int] | None:
    try:
        with warnings.catch_warnings(), source.open(item) as file:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is unpacked here
            with Image.open(file) as picture:
                return picture.size
    except Exception:  # whatever is wrong with it is said when it is read
        return None
