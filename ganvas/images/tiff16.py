"""Sixteen bits a channel: what Pillow reads as eight, or not at all. PNG and TIFF, in and out.

Compressed bytes are unpacked by the C code that Pillow and zlib bring along; only the layout of the pixels is ours.

Specifications: W3C 2003, "Portable Network Graphics (Second Edition)", sections 9, 11 and 12.8; Adobe 1992, "TIFF
Revision 6.0", sections 7, 14 and 18.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import TiffImagePlugin

from ganvas.images.png16 import PACK_LEVEL
from ganvas.images.tensors import bands
from ganvas.images.tiff_tags import BYTE, IFD, LONG, RATIONAL, SHORT, UNDEFINED, BrokenIFD, read_first_ifd

# ── PNG ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


# ── TIFF ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _SAMPLES = 256, 257, 258, 259, 262, 273, 277
_STRIP_ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT = 278, 279, 284, 317, 322, 323
_TILES, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT = 324, 325, 338, 339
_NO_COMPRESSION, _DEFLATE = 1, (8, 32946)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _TIFF_RGB, _TIFF_CMYK = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _TIFF_RGB: 3, _TIFF_CMYK: 4}
_ASSOCIATED_ALPHA = 1  # ExtraSamples: the colours are multiplied by alpha
TIFF_STRIP_BYTES = 2**18  # of pixels in one strip of a TIFF that we write


def is_tiff16(tags: IFD) -> bool:
    """Every channel has 16 bits and holds whole numbers, in a colour space that we know."""
    return (
        set(tags.int_values(_BITS)) == {16}
        and set(tags.int_values(_SAMPLE_FORMAT) or (1,)) == {1}
        and tags.int_value(_PHOTOMETRIC, -1) in _COLOURS
    )


def read_tiff16(data: bytes, tags: IFD) -> tuple[np.ndarray, str]:
    """The pixels of a 16-bit TIFF.

    Returns:
        uint16 [H, W, C] with the colours and, where the file has it, alpha behind them; and "grey", "rgb" or "cmyk".

    Raises:
        BrokenDirectory: the layout does not add up, or a strip is cut short.
    """
    width, height = tags.int_value(_WIDTH), tags.int_value(_HEIGHT)
    samples = tags.int_value(_SAMPLES, 1)
    photometric = tags.int_value(_PHOTOMETRIC)
    colours = _COLOURS[photometric]
    extra = tags.int_values(_EXTRA)
    wanted = colours + (1 if samples > colours and (not extra or extra[0] != 0 or photometric == _TIFF_RGB) else 0)
    if not colours <= samples <= 64:
        raise BrokenIFD(f"{samples} channels where {colours} are needed")
    planes = samples if tags.int_value(_PLANAR, 1) == 2 else 1
    pixels = np.empty((height, width, wanted), np.uint16)
    for plane in range(wanted if planes > 1 else 1):
        for box, block in _blocks(data, tags, width, height, samples // planes, plane):
            target = pixels[box][..., plane : plane + 1] if planes > 1 else pixels[box]
            target[...] = block[: target.shape[0], : target.shape[1], : target.shape[2]]
    if photometric == _WHITE_IS_ZERO:
        pixels[..., 0] = 0xFFFF - pixels[..., 0]
    if wanted > colours and extra[:1] == (_ASSOCIATED_ALPHA,):
        _divide_by_alpha(pixels)
    return pixels, {1: "grey", 3: "rgb", 4: "cmyk"}[colours]


def _blocks(
    data: bytes, tags: IFD, width: int, height: int, samples: int, plane: int
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Each strip or tile of one plane: where it belongs, and its numbers [rows, columns, samples]."""
    tiled = _TILE_WIDTH in tags.entries
    columns = tags.int_value(_TILE_WIDTH) if tiled else width
    rows = tags.int_value(_TILE_HEIGHT) if tiled else min(tags.int_value(_STRIP_ROWS, height), height)
    places, sizes = (tags.int_values(tag) for tag in ((_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)))
    if columns < 1 or rows < 1 or columns > width + 4096 or rows > height + 4096:
        raise BrokenIFD(f"strips or tiles of {columns} x {rows} pixels")
    across, down = -(-width // columns), -(-height // rows)
    first = plane * across * down
    if len(places) < first + across * down or len(sizes) < len(places):
        raise BrokenIFD(f"{len(places)} strips or tiles where {across * down} are needed")
    for index in range(across * down):
        top, left = index // across * rows, index % across * columns
        # The last strip ends with the picture; tiles are whole, filled up at the edges.
        tall = rows if tiled else min(rows, height - top)
        packed = data[places[first + index] : places[first + index] + sizes[first + index]]
        block = _decompress(packed, tags, columns * samples * 2, tall).reshape(tall, columns, samples)
        if tags.int_value(_PREDICTOR, 1) == 2:
            block = np.cumsum(block, axis=1, dtype=np.uint16)
        yield (slice(top, min(top + tall, height)), slice(left, min(left + columns, width))), block


def _decompress(packed: bytes, tags: IFD, row_bytes: int, rows: int) -> np.ndarray:
    """The numbers of one strip or tile, in this machine's byte order."""
    compression = tags.int_value(_COMPRESSION, _NO_COMPRESSION)
    if compression == _NO_COMPRESSION:
        raw = packed
    elif compression in _DEFLATE:
        raw = zlib.decompressobj().decompress(packed, row_bytes * rows)
    else:
        raw = _decompress_with_libtiff(packed, compression, row_bytes, rows)
    if len(raw) < row_bytes * rows:
        raise BrokenIFD("a strip or tile is truncated")
    return np.frombuffer(raw, tags.order + "u2", row_bytes * rows // 2).astype(np.uint16)


def _decompress_with_libtiff(packed: bytes, compression: int, row_bytes: int, rows: int) -> bytes:
    """LZW, PackBits, Zstandard …: libtiff unpacks bytes without asking what they mean, here those of a grey picture."""
    fields = {_WIDTH: row_bytes, _HEIGHT: rows, _BITS: 8, _COMPRESSION: compression, _PHOTOMETRIC: _BLACK_IS_ZERO,
              _STRIPS: 8, _SAMPLES: 1, _STRIP_ROWS: rows, _STRIP_BYTES: len(packed)}  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, LONG, 1, value) for tag, value in fields.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + len(packed))
    file = io.BytesIO(head + packed + struct.pack("<H", len(fields)) + table + bytes(4))
    return TiffImagePlugin.TiffImageFile(file).tobytes()


def _divide_by_alpha(pixels: np.ndarray) -> None:
    """In place: colours that were multiplied by alpha become the colours themselves."""
    for rows in bands(*pixels.shape[:2]):
        alpha = pixels[rows, :, -1:].astype(np.uint32)
        whole = (pixels[rows, :, :-1].astype(np.uint32) * 0xFFFF + alpha // 2) // np.maximum(alpha, 1)
        pixels[rows, :, :-1] = np.minimum(whole, 0xFFFF)


def write_tiff(
    pixels: np.ndarray,
    *,
    space: str,
    alpha: bool,
    exif: bytes | None = None,
    tags: dict[int, tuple[int, bytes]] | None = None,
) -> bytes:
    """A TIFF of 8 or 16 bits a channel, deflated with differences of neighbours.

    Args:
        pixels: uint8 or uint16 [H, W, C].
        space: "grey", "rgb" or "cmyk".
        alpha: the last channel is alpha, not multiplied into the colours.
        exif: an EXIF block. The file starts with it, so that each place it names stays where it was.
        tags: further entries, tag → (type, value as bytes in the byte order of `exif`, else little-endian).
    """
    height, width, channels = pixels.shape
    block = exif or struct.pack("<2sHI", b"II", 42, 8) + bytes(6)
    known = read_first_ifd(block)
    order = known.order
    file = bytearray(block)
    rows = max(1, TIFF_STRIP_BYTES // (width * channels * pixels.itemsize))
    places, sizes = [], []
    for top in range(0, height, rows):
        strip = pixels[top : top + rows]
        rest = strip.copy()
        rest[:, 1:] -= strip[:, :-1]
        packed = zlib.compress(rest.astype(rest.dtype.newbyteorder(order)).tobytes(), PACK_LEVEL)
        places.append(len(file))
        sizes.append(len(packed))
        file += packed + bytes(len(packed) % 2)

    def shorts(*values: int) -> tuple[int, bytes]:
        return SHORT, struct.pack(f"{order}{len(values)}H", *values)

    def longs(*values: int) -> tuple[int, bytes]:
        return LONG, struct.pack(f"{order}{len(values)}I", *values)

    own = {
        _WIDTH: longs(width),
        _HEIGHT: longs(height),
        _BITS: shorts(*[pixels.itemsize * 8] * channels),
        _COMPRESSION: shorts(_DEFLATE[0]),
        _PHOTOMETRIC: shorts({"grey": _BLACK_IS_ZERO, "rgb": _TIFF_RGB, "cmyk": _TIFF_CMYK}[space]),
        _STRIPS: longs(*places),
        _SAMPLES: shorts(channels),
        _STRIP_ROWS: longs(rows),
        _STRIP_BYTES: longs(*sizes),
        _PLANAR: shorts(1),
        _PREDICTOR: shorts(2),
        **({_EXTRA: shorts(2)} if alpha else {}),
        **(tags or {}),
    }
    return _with_directory(file, known, own)


def _with_directory(file: bytearray, known: IFD, own: dict[int, tuple[int, bytes]]) -> bytes:
    """Append one directory of our own entries and the block's, and let the header point to it."""
    order = known.order
    entries: dict[int, bytes] = {}
    for tag, entry in known.entries.items():
        if tag not in STRUCTURAL_TAGS:
            entries[tag] = bytes(file[entry.offset : entry.offset + 12])
    for tag, (kind, value) in own.items():
        count = len(value) // {SHORT: 2, LONG: 4, RATIONAL: 8, BYTE: 1, UNDEFINED: 1}[kind]
        if len(value) > 4:
            place = len(file)
            file += value + bytes(len(value) % 2)
            value = struct.pack(order + "I", place)
        entries[tag] = struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
    struct.pack_into(order + "I", file, 4, len(file))
    file += struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return bytes(file)


# What says how pixels lie in the file, belongs to another part of a Photo, or points into the old file.
STRUCTURAL_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289,
     290, 291, 292, 293, 296, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 336, 338, 339, 340, 341,
     347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700, 34675}
)  # fmt: skip
