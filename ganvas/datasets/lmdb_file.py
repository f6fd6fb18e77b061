"""Pictures in an LMDB, key → encoded picture: LSUN's, BasicSR's, and those of PyTorch ports of StyleGAN.

Only the tree of keys is read at first, and a picture when it is needed, by reads within the file: nothing is mapped,
locked or written, so a damaged or hostile file ends in an error; the C library would crash with it.

Format: the comments of liblmdb's mdb.c, version 1, 64 bits, little-endian.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ganvas.datasets.folder import Item, check_bytes, read_piece
from ganvas.errors import BadInput

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_PAGE_HEADER, _NODE_HEADER = 16, 8
_BRANCH, _LEAF, _LEAF2 = 1, 2, 0x20  # of pages
_BIG, _NOT_PLAIN = 1, 6  # of nodes: the value has pages of its own; the value is a tree, or several
_EMPTY = (1 << 64) - 1
_MAX_DEPTH = 32
_SIZED = re.compile(rb"(\d+)-\d+")  # 256-00012: a picture of that size


class _Node(NamedTuple):
    key: bytes
    start: int  # of the value, in the file
    size: int


class LmdbFile:
    """The pictures of one LMDB, in the order of their keys; of several sizes (`256-00012`) those of the largest.

    Raises:
        BadInput: damaged, of another version, or with values that are no plain bytes.
    """

    films: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    labels_from = "the file itself"

    def __init__(self, path: Path):
        self.path, stamp = path, path.stat().st_mtime_ns
        try:
            with open(path, "rb") as file:
                nodes = _keep_largest([node for node in _walk(file, path.stat().st_size) if node.key != b"length"])
        except (OSError, struct.error, ValueError) as error:
            raise BadInput(f"{path} cannot be read as an LMDB: {error}") from error
        self._places = {_name_of(node.key): (node.start, node.size) for node in nodes}
        if len(self._places) < len(nodes):
            raise BadInput(f"{path} is damaged: two of its keys are the same")
        self.items = tuple(Item(name, size, stamp) for name, (_, size) in self._places.items())

    def read(self, item: Item) -> bytes:
        """The contents of a picture.

        Raises:
            BadImage: gone, cut short, empty or far too large.
        """
        start, size = self._places[item.name]
        check_bytes(size)
        return read_piece(self.path, start, size)

    def open(self, item: Item) -> IO[bytes]:
        """The same as a file."""
        return io.BytesIO(self.read(item))

    def listing(self) -> bytes | None:
        """An LMDB has no labels."""
        return None


def is_lmdb(start: bytes) -> bool:
    """By a file's first bytes."""
    return start[_PAGE_HEADER : _PAGE_HEADER + 4] == _MAGIC.to_bytes(4, "little")


def _walk(file: IO[bytes], length: int) -> Iterator[_Node]:
    """Every key with the place of its value, in order.

    Raises:
        ValueError, struct.error: the file is not what it says.
    """
    page_size, root = _read_newest_tree(file)
    waiting = [] if root == _EMPTY else [(root, 0)]
    visited: set[int] = set()
    while waiting:
        number, depth = waiting.pop()
        if number in visited or depth > _MAX_DEPTH or not 2 <= number < length // page_size:
            raise ValueError(f"page {number} is not in the file, or not where it belongs (is it cut short?)")
        visited.add(number)
        file.seek(number * page_size)
        page = file.read(page_size)
        _, _, flags, lower, _ = struct.unpack_from("<QHHHH", page)
        if flags & _LEAF2 or not flags & (_BRANCH | _LEAF):
            raise ValueError(f"page {number} is of an unknown kind ({flags:#x})")
        offsets = struct.unpack_from(f"<{max(lower - _PAGE_HEADER, 0) // 2}H", page, _PAGE_HEADER)
        if flags & _BRANCH:
            waiting += [(_child(page, offset), depth + 1) for offset in reversed(offsets)]
        else:
            yield from (_leaf(page, offset, number * page_size, page_size, length) for offset in offsets)


def _read_newest_tree(file: IO[bytes]) -> tuple[int, int]:
    """(bytes of a page, number of the root's page) by the newer of the two descriptions at the beginning."""
    newest, at = (-1, 0, 0), 0
    for _ in range(2):
        file.seek(at + _PAGE_HEADER)
        # magic, version, address, size of the map; of free pages the size of a page; of the main tree the root.
        magic, version, page_size, root, transaction = struct.unpack("<II16xI44x40xQ8xQ", file.read(136))
        if magic != _MAGIC or version != _VERSION or page_size not in (1 << n for n in range(9, 17)):
            raise ValueError(f"it is damaged, or of another version ({version}) or another machine")
        newest, at = max(newest, (transaction, page_size, root)), page_size
    return newest[1:]


def _child(page: bytes, offset: int) -> int:
    low, middle, high = struct.unpack_from("<HHH", page, offset)
    return low | middle << 16 | high << 32


def _leaf(page: bytes, offset: int, page_start: int, page_size: int, length: int) -> _Node:
    low, high, flags, key_size = struct.unpack_from("<HHHH", page, offset)
    value, size = offset + _NODE_HEADER + key_size, low | high << 16
    if flags & _NOT_PLAIN:
        raise ValueError("it holds several tables, or several values of one key; one of key → picture is expected")
    start = page_start + value
    if flags & _BIG:
        start = struct.unpack_from("<Q", page, value)[0] * page_size + _PAGE_HEADER
    if start + size > length:
        raise ValueError("it is cut short")
    return _Node(page[value - key_size : value], start, size)


def _keep_largest(nodes: list[_Node]) -> list[_Node]:
    """Where the same pictures are there in several sizes, those of the largest."""
    sizes = [int(match[1]) for node in nodes if (match := _SIZED.fullmatch(node.key))]
    if not sizes or len(sizes) < len(nodes):
        return nodes
    largest = max(sizes)
    return [node for node, size in zip(nodes, sizes, strict=True) if size == largest]


def _name_of(key: bytes) -> str:
    """A key as it is shown: as text where it is text."""
    text = key.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else key.hex()
