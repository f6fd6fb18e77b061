"""TIFF directories as raw bytes: what EXIF blocks and TIFF files are made of.

A block starts with the byte order and the place of its first directory; a directory is a list of twelve-byte entries
(tag, type, count, value or place of the value). Edits are made in place, so that whatever else the block holds, maker
notes with absolute offsets among it, stays where it was.

Specifications: Adobe 1992, "TIFF Revision 6.0"; CIPA 2019, "Exif Version 2.32"; the BigTIFF proposal of libtiff.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass

ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {BYTE: "B", SHORT: "H", LONG: "I", 13: "I", 16: "Q"}
_SUB_DIRECTORIES = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
_MOST_BYTES = 16 * 2**20  # of metadata in one directory; what is larger is no metadata
_THUMBNAIL_AT, _THUMBNAIL_BYTES = 0x0201, 0x0202
_SIZE_TAGS = {0x0100: 0, 0x0101: 1, 0xA002: 0, 0xA003: 1}  # tag → 0 for a width, 1 for a height


class BrokenIFD(ValueError):
    """The bytes are no directory; callers in this room say which file it was."""


@dataclass(frozen=True)
class IFDEntry:
    """One entry, and where in the block it stands and where its value does."""

    tag: int
    type: int
    count: int
    offset: int
    value_offset: int
    size: int


@dataclass(frozen=True)
class IFD:
    """All entries of one directory; `order` is "<" or ">"; `end` is where the pointer to the next one stands."""

    block: bytes | bytearray
    entries: dict[int, IFDEntry]
    order: str
    start: int
    end: int
    next: int

    def int_value(self, tag: int, default: int | None = None) -> int:
        """The first number of an entry; `default` where there is none."""
        values = self.int_values(tag, most=1)
        if values:
            return values[0]
        if default is None:
            raise BrokenIFD(f"the tag {tag} is missing")
        return default

    def int_values(self, tag: int, *, most: int = 2**22) -> tuple[int, ...]:
        """The whole numbers of an entry, `most` of them at most; empty where there is none."""
        entry = self.entries.get(tag)
        if entry is None or entry.type not in _WHOLE:
            return ()
        return struct.unpack_from(
            f"{self.order}{min(entry.count, most)}{_WHOLE[entry.type]}", self.block, entry.value_offset
        )

    def value(self, tag: int) -> bytes:
        """The raw bytes of an entry, in the block's byte order; empty where there is none."""
        entry = self.entries.get(tag)
        return b"" if entry is None else bytes(self.block[entry.value_offset : entry.value_offset + entry.size])


def read_first_ifd(block: bytes | bytearray) -> IFD:
    """The directory that the block's header points to.

    Raises:
        BrokenDirectory: no header of a TIFF or BigTIFF block, or the directory lies outside the block.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 8:
        raise BrokenIFD("no TIFF header")
    version = struct.unpack_from(order + "H", block, 2)[0]
    if version == 43 and len(block) >= 16:
        return read_ifd(block, struct.unpack_from(order + "Q", block, 8)[0], order, big=True)
    if version != 42:
        raise BrokenIFD("no TIFF header")
    return read_ifd(block, struct.unpack_from(order + "I", block, 4)[0], order)


def read_ifd(block: bytes | bytearray, start: int, order: str, *, big: bool = False) -> IFD:
    """Read the directory at `start`; entries whose value lies outside the block are left out."""
    count_of, entry_of, inline_bytes = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    try:
        count = struct.unpack_from(order + count_of, block, start)[0]
        first = start + struct.calcsize(order + count_of)
        step = struct.calcsize(order + entry_of) + inline_bytes
        end = first + count * step
        next_at = struct.unpack_from(order + ("Q" if big else "I"), block, end)[0]
    except (struct.error, OverflowError) as error:
        raise BrokenIFD("a directory lies outside the file") from error
    entries: dict[int, IFDEntry] = {}
    for at in range(first, end, step):
        tag, kind, values = struct.unpack_from(order + entry_of, block, at)
        size = _TYPE_BYTES.get(kind, 0) * values
        place = at + step - inline_bytes
        if size > inline_bytes:
            place = struct.unpack_from(order + ("Q" if big else "I"), block, place)[0]
        if 0 < size <= len(block) - place:
            entries.setdefault(tag, IFDEntry(tag, kind, values, at, place, size))
    return IFD(block, entries, order, start, end, next_at)


def is_readable(block: bytes) -> bool:
    """Whether the block has a header and a whole first directory."""
    try:
        read_first_ifd(block)
    except BrokenIFD:
        return False
    return True


def orientation_of(block: bytes) -> int:
    """1 … 8 as EXIF counts them; 1 (upright) where the block does not say."""
    try:
        turn = read_first_ifd(block).int_value(ORIENTATION, 1)
    except BrokenIFD:
        return 1
    return turn if 1 <= turn <= 8 else 1


def remove_orientation(block: bytes) -> bytes:
    """The block without its orientation tag: the picture is upright now."""

    def edit(edited: bytearray, directory: IFD) -> None:
        entry = directory.entries.get(ORIENTATION)
        if entry is not None:
            tail = edited[entry.offset + 12 : directory.end + 4]
            edited[entry.offset : directory.end + 4] = tail + bytes(12)
            struct.pack_into(
                directory.order + "H", edited, directory.start, (directory.end - directory.start) // 12 - 1
            )

    return _edit_block(block, edit)


def remove_thumbnail(block: bytes) -> bytes:
    """The block without its thumbnail, which would show the old image; its bytes are zeroed."""

    def edit(edited: bytearray, directory: IFD) -> None:
        if directory.next:
            preview = read_ifd(edited, directory.next, directory.order)
            start, size = preview.int_value(_THUMBNAIL_AT, 0), preview.int_value(_THUMBNAIL_BYTES, 0)
            stop = min(start + size, len(edited))
            if 8 <= start < stop:
                edited[start:stop] = bytes(stop - start)
            struct.pack_into(directory.order + "I", edited, directory.end, 0)

    return _edit_block(block, edit)


def set_image_size(block: bytes, width: int, height: int) -> bytes:
    """The block with the picture's size in every tag that names it; no tag is added."""

    def edit(edited: bytearray, directory: IFD) -> None:
        directories = [directory]
        if EXIF_IFD in directory.entries:
            directories.append(read_ifd(edited, directory.int_value(EXIF_IFD), directory.order))
        for each in directories:
            for tag, axis in _SIZE_TAGS.items():
                entry = each.entries.get(tag)
                size = (width, height)[axis]
                if entry is not None and entry.count == 1 and entry.type in (SHORT, LONG):
                    # A LONG fills the four bytes of the value; a SHORT that is too small for the size becomes one.
                    kind = LONG if size > 0xFFFF else entry.type
                    struct.pack_into(each.order + "HHI", edited, entry.offset, tag, kind, 1)
                    struct.pack_into(each.order + ("I" if kind == LONG else "HH"), edited, entry.offset + 8,
                                     *((size,) if kind == LONG else (size, 0)))  # fmt: skip

    return _edit_block(block, edit)


def _edit_block(block: bytes, edit: Callable[[bytearray, IFD], None]) -> bytes:
    """Where a block ends too early for the edit, it stays as it is."""
    edited = bytearray(block)
    try:
        edit(edited, read_first_ifd(block))
    except (BrokenIFD, struct.error):
        return block
    return bytes(edited)


def repack_exif(block: bytes, *, without: Collection[int]) -> bytes:
    """An EXIF block packed anew, without its thumbnail and without these tags of its EXIF and GPS directories."""
    try:
        return pack_ifd(read_first_ifd(block), without=(), without_below=without)
    except (BrokenIFD, struct.error):
        return block


def pack_ifd(directory: IFD, *, without: Collection[int], without_below: Collection[int] = ()) -> bytes:
    """A block of its own, holding one directory of a larger file and the EXIF and GPS directories it points to."""
    order = directory.order
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + _pack_entries(directory, without, without_below, offset=8, depth=0)


def _pack_entries(
    directory: IFD, without: Collection[int], without_below: Collection[int], *, offset: int, depth: int
) -> bytes:
    order = directory.order
    entries = [entry for tag, entry in sorted(directory.entries.items()) if tag not in without and entry.type <= 13]
    table, tail = b"", b""
    tail_at = offset + 2 + 12 * len(entries) + 4
    for entry in entries:
        kind, count, data = entry.type, entry.count, b""
        if entry.tag in _SUB_DIRECTORIES and depth < 3:
            kind, count = LONG, 1
            below = _read_sub_ifd(directory, entry.tag)
            data = _pack_entries(below, without_below, without_below, offset=tail_at + len(tail), depth=depth + 1)
        elif len(tail) + entry.size < _MOST_BYTES:
            data = directory.value(entry.tag)
        else:
            kind, count = UNDEFINED, 0
        if len(data) > 4 or entry.tag in _SUB_DIRECTORIES:
            place = struct.pack(order + "I", tail_at + len(tail))
            tail, data = tail + data + bytes(len(data) % 2), place
        table += struct.pack(order + "HHI", entry.tag, kind, count) + data.ljust(4, b"\0")
    return struct.pack(order + "H", len(entries)) + table + bytes(4) + tail


def _read_sub_ifd(directory: IFD, tag: int) -> IFD:
    try:
        return read_ifd(directory.block, directory.int_value(tag), directory.order)
    except BrokenIFD:
        return IFD(b"", {}, directory.order, 0, 0, 0)
