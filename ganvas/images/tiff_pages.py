"""The pages of a TIFF: a chain of directories, taken apart and put together.

Specification: Adobe 1992, "TIFF Revision 6.0", section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ganvas.images import tiff_tags
from ganvas.images.tiff_tags import IFD, read_first_ifd, read_ifd

_STRIPS, _SUBFILE, _REDUCED = 273, 254, 1
_POINTERS = (tiff_tags.EXIF_IFD, tiff_tags.GPS_IFD, tiff_tags.INTEROP_IFD)


def page_offsets(data: bytes, *, most: int) -> list[int]:
    """Where the directories of the full-size pages of a (not Big-) TIFF are, the first `most` of them.

    Raises:
        BrokenIFD: the first directory is broken; one further on ends the list.
    """
    page = read_first_ifd(data)
    offsets: list[int] = []
    visited: set[int] = set()
    while page.start not in visited and len(offsets) < most:
        visited.add(page.start)
        if not page.int_value(_SUBFILE, 0) & _REDUCED or not offsets:
            offsets.append(page.start)
        if not page.next:
            break
        try:
            page = read_ifd(data, page.next, page.order)
        except tiff_tags.BrokenIFD:
            break
    return offsets


def with_first_page(data: bytes, offset: int) -> bytes:
    """The same TIFF beginning with the directory at `offset`."""
    order = "<" if data[:2] == b"II" else ">"
    return data[:4] + struct.pack(order + "I", offset) + data[8:]


def join_pages(files: Sequence[bytes]) -> bytes:
    """One TIFF of several that `write_tiff` made, in their order.

    Raises:
        ValueError: they have two byte orders.
    """
    joined = bytearray(files[0])
    last = read_first_ifd(joined)
    for file in files[1:]:
        joined += bytes(len(joined) % 2)
        base, page = len(joined), bytearray(file)
        ifd = read_first_ifd(page)
        if ifd.order != last.order:
            raise ValueError("the pages have two byte orders")
        _move(page, ifd, base)
        joined += page
        struct.pack_into(last.order + "I", joined, last.end, base + ifd.start)
        last = read_ifd(joined, base + ifd.start, ifd.order)
    return bytes(joined)


def _move(file: bytearray, ifd: IFD, by: int) -> None:
    """Every place that a directory names, and those below it, `by` bytes further."""
    for tag, entry in ifd.entries.items():
        if tag == _STRIPS:
            places = [place + by for place in ifd.int_values(tag)]
            struct.pack_into(f"{ifd.order}{len(places)}I", file, entry.value_offset, *places)
        elif tag in _POINTERS:
            below = ifd.int_value(tag)
            _move(file, read_ifd(file, below, ifd.order), by)
            struct.pack_into(ifd.order + "I", file, entry.value_offset, below + by)
        if entry.size > 4:
            struct.pack_into(ifd.order + "I", file, entry.offset + 8, entry.value_offset + by)
