"""Pictures that lie as numbers in arrays: MNIST's idx files, NumPy's .npy and .npz; packed by gzip or not.

The layouts: LeCun et al., "The MNIST database of handwritten digits" (idx: 0, 0, type, dimensions, then each size as
big-endian 32 bits, then the numbers), and numpy.lib.format. No pickle inside of an .npy is ever read.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ganvas.datasets.folder import Item
from ganvas.errors import BadInput
from ganvas.images.png16 import COLOUR_TYPES, PNG_SIGNATURE, png_chunk

MAX_UNPACKED_BYTES = 4 << 30  # a packed array is unpacked into the memory; larger ones are unpacked by the user first
_IDX_PICTURES, _IDX_CLASSES = b"\0\0\x08", b"\0\0\x08\1"
_IMAGE_NAMES = ("train_images", "x_train", "images", "x", "data", "imgs", "arr_0")  # inside of an .npz, best first
_LABEL_NAMES = ("train_labels", "y_train", "labels", "y", "label", "targets", "arr_1")


class ArraySource:
    """Pictures of arrays as a source of picture files: each is a PNG when it is read.

    Args:
        path: where they come from.
        arrays: {what each is called: uint8 [N, H, W, C]}, C from 1 to 4.
        classes: [sum of N] whole numbers, or None.
        class_names: of the classes, where they have names.
        others: files beside them that are not used.
    """

    films: tuple[str, ...] = ()
    labels_from = "the file itself"

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, np.ndarray],
        *,
        classes: np.ndarray | None = None,
        class_names: Sequence[str] = (),
        others: Sequence[str] = (),
    ):
        self.path, self.others = path, tuple(others)
        self._classes, self._class_names = classes, class_names
        self._rows = {f"{name}/{row:06d}": (array, row) for name, array in arrays.items() for row in range(len(array))}
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        stamp = max(file.stat().st_mtime_ns for file in files)
        self.items = tuple(Item(name, array[0].nbytes, stamp) for name, (array, _) in self._rows.items())

    def read(self, item: Item) -> bytes:
        """The picture as a PNG."""
        array, row = self._rows[item.name]
        return encode_plain_png(array[row])

    def open(self, item: Item) -> IO[bytes]:
        """The same as a file."""
        return io.BytesIO(self.read(item))

    def listing(self) -> bytes | None:
        """The classes, in the form of a dataset.json."""
        if self._classes is None:
            return None
        pairs = [[item.name, int(c)] for item, c in zip(self.items, self._classes, strict=True)]
        return json.dumps({"labels": pairs, "class_names": list(self._class_names) or None}).encode()


def encode_plain_png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, C] as a PNG that is not packed at all: quick, and the same bytes with any version of zlib."""
    height, width, channels = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1).tobytes()
    blocks = []
    for start in range(0, len(lines), 65_535):
        block = lines[start : start + 65_535]
        last = start + len(block) == len(lines)
        blocks.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    packed = b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(lines))
    head = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    return PNG_SIGNATURE + chunks


# ── MNIST's idx ──────────────────────────────────────────────────────────────────────────────────────────────────────


def is_idx(start: bytes) -> bool:
    """Whether a file begins as idx pictures do: bytes in 3 or 4 dimensions."""
    return start[:3] == _IDX_PICTURES and start[3:4] in (b"\3", b"\4")


def open_idx(path: Path, *, others: Sequence[str] = ()) -> ArraySource:
    """The pictures of an idx file, with the classes of the file beside it that is called the same with "labels".

    Raises:
        BadInput: cut short, or labels that do not fit.
    """
    pixels = as_pictures(_read_idx(path), where=str(path))
    beside = _beside(path, "labels")
    classes = None if beside is None else _checked_classes(_read_idx(beside), len(pixels), beside)
    return ArraySource(path, {_stem(path): pixels}, classes=classes, others=others)


def _read_idx(path: Path) -> np.ndarray:
    data = memoryview(_read_unpacked(path))
    count = _idx_size(bytes(data[:64]), path)
    if len(data) < count:
        raise BadInput(f"{path} is truncated: {len(data):,} bytes are there, {count:,} are announced")
    sizes = struct.unpack_from(f">{data[3]}I", data, 4)
    return np.frombuffer(data[:count], np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


def _idx_size(start: bytes, path: Path) -> int:
    """Bytes of the whole file, by its beginning."""
    if len(start) < 4 or not (is_idx(start) or start[:4] == _IDX_CLASSES) or len(start) < 4 + 4 * start[3]:
        raise BadInput(f"{path} is no idx file of bytes (MNIST's format), or is truncated")
    return 4 + 4 * start[3] + math.prod(struct.unpack_from(f">{start[3]}I", start, 4))


# ── NumPy ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_npy(path: Path) -> ArraySource:
    """The pictures of an .npy; their classes from the file beside it: labels.npy of images.npy, y.npy of x.npy.

    Raises:
        BadInput: another type or shape, cut short, or objects in it.
    """
    pixels = as_pictures(_load_npy(path), where=str(path))
    beside = _beside(path, "labels")
    classes = None if beside is None else _checked_classes(_load_npy(beside), len(pixels), beside)
    return ArraySource(path, {path.stem: pixels}, classes=classes)


def _load_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # not read into the memory
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path} cannot be read as an array of numbers: {error}") from error


def is_numpy_pictures(path: Path) -> bool:
    """Is a file an .npz, or an .npy with as many dimensions as pictures have?"""
    if path.suffix.lower() == ".npy":
        with contextlib.suppress(BadInput):
            return _load_npy(path).ndim in (3, 4)
    return path.suffix.lower() == ".npz"


def open_npz(path: Path) -> ArraySource:
    """The pictures of an .npz and their classes, by the usual names (train_images, x_train, images, …; labels, y, …).

    Raises:
        BadInput: no array of pictures in it, objects, or sizes that cannot be true.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_UNPACKED_BYTES:
            raise BadInput(f"{path} unpacks to {size:,} bytes, more than {MAX_UNPACKED_BYTES:,}: save it as .npy")
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path} cannot be read as arrays of numbers: {error}") from error
    images = [name for name, array in arrays.items() if array.dtype == np.uint8 and array.ndim in (3, 4)]
    chosen = _first_named(images, _IMAGE_NAMES)
    if chosen is None:
        listed = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items())
        raise BadInput(
            f"{path} should have pictures uint8 [N, H, W] or [N, H, W, C] under one of the names "
            f"{', '.join(_IMAGE_NAMES)}, or one such array alone; it has {listed or 'nothing'}"
        )
    pixels = as_pictures(arrays[chosen], where=f"{path}: {chosen}")
    whole = [n for n, a in arrays.items() if a.dtype.kind in "iu" and a.size == len(a) == len(pixels)]
    labels = _first_named(whole, _LABEL_NAMES)
    classes = None if labels is None else _checked_classes(arrays[labels].reshape(-1), len(pixels), path)
    others = [name for name in arrays if name not in (chosen, labels)]
    return ArraySource(path, {chosen: pixels}, classes=classes, others=others)


def _first_named(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The best of them by name; without a known name, the only one."""
    known = [name for name in wanted if name in names]
    return known[0] if known else names[0] if len(names) == 1 else None


# ── what both need ───────────────────────────────────────────────────────────────────────────────────────────────────


def as_pictures(array: np.ndarray, *, where: str) -> np.ndarray:
    """uint8 [N, H, W], [N, H, W, C] or [N, C, H, W] → [N, H, W, C], a view.

    Raises:
        BadInput: floats, whose range nobody can know, or another shape.
    """
    if array.dtype != np.uint8:
        raise BadInput(
            f"{where} has numbers of type {array.dtype}, and pictures are uint8, 0 to 255: save "
            "(255 * x).round().astype('uint8') for x from 0 to 1"
        )
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[3] > 4 and array.shape[1] <= 4:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or not 1 <= array.shape[3] <= 4 or 0 in array.shape:
        raise BadInput(f"{where} has shape {list(array.shape)}; pictures are [N, H, W], [N, H, W, C] or [N, C, H, W]")
    return array


def _checked_classes(array: np.ndarray, count: int, where: Path) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) != count:
        raise BadInput(f"{where} should have {count:,} whole numbers, has {array.dtype} {list(array.shape)}")
    return np.asarray(array)


def _beside(path: Path, word: str) -> Path | None:
    """train-images-idx3-ubyte.gz → train-labels-idx1-ubyte.gz, packed or not; x_train.npy → y_train.npy."""
    name = re.sub("images", word, path.name, flags=re.IGNORECASE).replace("idx3", "idx1").replace("idx4", "idx1")
    name = re.sub(r"^x(?=[_.])", "y", name)
    plain = name.removesuffix(".gz")
    places = [path.with_name(each) for each in dict.fromkeys((name, plain, f"{plain}.gz")) if each != path.name]
    return next((place for place in places if place.is_file()), None)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz")


def is_packed(path: Path) -> bool:
    """Is a file packed by gzip?"""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def read_start(path: Path, count: int = 512) -> bytes:
    """The first bytes of a file, of what is in it where it is packed by gzip; empty where it cannot be read."""
    try:
        with gzip.open(path, "rb") if is_packed(path) else open(path, "rb") as file:
            return file.read(count)
    except (OSError, EOFError, zlib.error):
        return b""


def _read_unpacked(path: Path) -> bytes:
    """All of a file, of what is in it where it is packed; never more than its own beginning announces."""
    try:
        if not is_packed(path):
            return path.read_bytes()
        with gzip.open(path, "rb") as stream:
            start = stream.read(64)
            size = _idx_size(start, path)
            if size > MAX_UNPACKED_BYTES:
                raise BadInput(f"{path} would unpack to {size:,} bytes: unpack it first (gunzip)")
            return start + stream.read(size - len(start))
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
