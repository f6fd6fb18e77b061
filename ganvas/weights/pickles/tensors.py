"""Tensors and arrays out of the raw bytes of a file, with every number of the file checked before it is used.

Nothing is copied: what comes back looks into the (memory-mapped) file, so reading costs no memory of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from ganvas.weights.pickles.limits import ReadLimits

STORAGES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_MAX_EMPTY = 1 << 20  # an axis of a tensor without numbers
_NUMPY_CODE = re.compile(r"([<>=|]?)([?bBhHiIlLqQefd]|b1|[iu][1248]|f[248]|[SU]\d{1,4}|O[48]?)")


@dataclass(frozen=True, eq=False)
class Storage:
    """The numbers of one or several tensors, as they lie in the file.

    `data` is None while a file is looked through for the first time; see `unpickle.read_legacy`.
    """

    dtype: torch.dtype
    numel: int
    data: memoryview | None = None

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


def storage(dtype: torch.dtype, numel: object, data: memoryview, limits: ReadLimits) -> Storage:
    """A storage of `numel` numbers that must fill `data` exactly.

    Raises:
        BrokenWeights: the announced count and the bytes differ.
    """
    if not _is_count(numel) or numel * dtype.itemsize != len(data):
        raise limits.broken_error(f"a storage announces {numel!r} numbers of {dtype} and has {len(data):,} bytes")
    return Storage(dtype, numel, data)


def tensor(source: Storage, offset: object, size: object, stride: object, limits: ReadLimits) -> Tensor:
    """A view of a storage.

    Args:
        source: a storage with its data.
        offset: of the first number, counted in numbers.
        size: numbers along each axis.
        stride: numbers from one entry to the next along each axis.
        limits: the file's account.

    Raises:
        BrokenWeights: the view reaches beyond its storage, or is not made of whole numbers.
        UnsafeWeights: all tensors together claim far more than the file holds.
    """
    if not (_are_counts(size) and _are_counts(stride) and _is_count(offset) and len(size) == len(stride) <= 32):
        raise limits.broken_error(f"a tensor of size {_short(size)}, stride {_short(stride)}, offset {_short(offset)}")
    numel = math.prod(size)
    if numel == 0 and max(size) > _MAX_EMPTY:
        raise limits.broken_error(f"an empty tensor of size {_short(size)}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if numel and last >= source.numel:
        raise limits.broken_error(
            f"a tensor of size {tuple(size)} reaches beyond its storage of {source.numel:,} numbers"
        )
    if numel == 0:
        return torch.empty(tuple(size), dtype=source.dtype)
    limits.view(numel * source.dtype.itemsize)
    return _flat(source).as_strided(size, stride, offset)


def _flat(source: Storage) -> Tensor:
    """[numel], looking into the file."""
    assert source.data is not None
    if source.dtype is torch.bool:  # a byte that is neither 0 nor 1 is no bool; torch would not notice
        return torch.frombuffer(source.data, dtype=torch.uint8) != 0
    return torch.frombuffer(source.data, dtype=source.dtype)


def numpy_dtype(code: object, order: str, limits: ReadLimits) -> np.dtype:
    """A plain dtype: numbers, bools, text or object; no structures, no dates.

    Raises:
        BrokenWeights: anything else.
    """
    match = _NUMPY_CODE.fullmatch(code) if isinstance(code, str) else None
    if match is None or order not in ("<", ">", "=", "|"):
        raise limits.broken_error(f"an array of type {_short(code)}; ganvas reads plain numbers, text and objects")
    plain = np.dtype((match[1] or "=") + match[2])
    return plain.newbyteorder(">" if order == ">" else "|")  # "|" leaves it as it is


def array(raw: memoryview, dtype: np.dtype, shape: object, fortran: bool, limits: ReadLimits) -> np.ndarray:
    """An array of `shape` that must fill `raw` exactly, looking into the file where the bytes allow.

    Raises:
        BrokenWeights: shape and bytes differ.
        UnsafeWeights: all arrays together claim far more than the file holds.
    """
    if not _are_counts(shape) or len(shape) > 32 or dtype.hasobject or dtype.itemsize == 0:
        raise limits.broken_error(f"an array of shape {_short(shape)} and type {dtype}")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise limits.broken_error(f"an array of shape {tuple(shape)} and type {dtype} has {len(raw):,} bytes")
    limits.view(len(raw))
    return np.frombuffer(raw, dtype).reshape(tuple(shape), order="F" if fortran else "C")


def object_array(items: object, shape: object, limits: ReadLimits) -> np.ndarray:
    """An array whose entries are the inert objects of a list.

    Raises:
        BrokenWeights: shape and list differ.
    """
    if not isinstance(items, list) or not _are_counts(shape) or len(shape) > 32 or math.prod(shape) != len(items):
        raise limits.broken_error(f"an array of objects of shape {_short(shape)} whose entries do not fit")
    limits.step(len(items))
    flat = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        flat[index] = item
    return flat.reshape(tuple(shape))


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _are_counts(values: object) -> TypeGuard[Sequence[int]]:
    return isinstance(values, Sequence) and not isinstance(values, (str, bytes)) and all(map(_is_count, values))


def _short(value: object) -> str:
    """For messages: what the file said, never more than a line of it."""
    if isinstance(value, (str, int, float, bytes, type(None))):
        return repr(value)[:60]
    if isinstance(value, (tuple, list)) and len(value) <= 8:
        return "(" + ", ".join(_short(entry) if not isinstance(entry, (tuple, list)) else "…" for entry in value) + ")"
    return f"<{type(value).__name__}>"
