"""PNG with 16 bits a channel, read and written."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from ganvas.errors import BadImage
from ganvas.images.limits import MAX_CHUNKS
from ganvas.images.tensors import bands

PACK_LEVEL = 5  # of zlib; 6, its own choice, takes 1.7 times as long for files 3 to 7 % smaller


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


_GREY, _RGB, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6


_SAME_BYTES = {_GREY: _GREY_ALPHA, _GREY_ALPHA: _RGB_ALPHA}  # an 8-bit type with as many bytes a pixel


_LONG_CHUNKS = frozenset((b"IDAT", b"fdAT", b"tEXt", b"zTXt", b"iTXt"))


COLOUR_TYPES = {1: _GREY, 2: _GREY_ALPHA, 3: _RGB, 4: _RGB_ALPHA}


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, contents) of each chunk, up to the first that is cut short."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return
        yield name, data[at + 8 : at + 8 + size]
        at += 12 + size


def first_png_chunks(data: bytes) -> dict[bytes, bytes]:
    """What a PNG says besides its pixels and texts: the first chunk of each name, by name.

    Raises:
        BadImage: more chunks than any writer makes.
    """
    chunks: dict[bytes, bytes] = {}
    for count, (name, body) in enumerate(png_chunks(data)):
        if name not in _LONG_CHUNKS:
            chunks.setdefault(name, body)
        if count > MAX_CHUNKS:
            raise BadImage(f"the PNG has more than {MAX_CHUNKS:,} chunks")
    return chunks


def png_chunk(name: bytes, contents: bytes) -> bytes:
    """Length, name, contents, checksum."""
    return struct.pack(">I", len(contents)) + name + contents + struct.pack(">I", zlib.crc32(name + contents))


def read_png16(data: bytes, colour_type: int) -> tuple[np.ndarray, Any]:
    """The pixels of a 16-bit PNG, and Pillow's picture of it for the metadata.

    Returns:
        uint16 [H, W, C] with C = 1, 2, 3 or 4 (grey, grey + alpha, RGB, RGB + alpha).

    Raises:
        Whatever Pillow and zlib raise at a broken file.
    """
    if colour_type in _SAME_BYTES:
        # PNG filters and interlaces bytes, not numbers: read as 8-bit pixels of as many bytes, nothing is lost.
        head = bytearray(data[16:29])
        head[8:10] = bytes((8, _SAME_BYTES[colour_type]))
        picture = PngImagePlugin.PngImageFile(io.BytesIO(data[:8] + png_chunk(b"IHDR", bytes(head)) + data[33:]))
        halves = as_array(picture)  # [H, W, 2·C] bytes, high before low
        return halves.view(">u2").astype(np.uint16), picture
    mode = "RGB" if colour_type == _RGB else "RGBA"
    # Pillow keeps one of the two bytes. Telling it that the low byte stands first makes it keep that one.
    picture = _decode_as(data, f"{mode};16B")
    pixels = as_array(picture).astype(np.uint16)
    pixels <<= 8
    pixels |= as_array(_decode_as(data, f"{mode};16L"))
    return pixels, picture


def _decode_as(data: bytes, rawmode: str) -> Any:
    picture = PngImagePlugin.PngImageFile(io.BytesIO(data))
    picture.tile = [(*tile[:3], rawmode) for tile in picture.tile]  # type: ignore[misc]
    picture.load()
    return picture


def as_array(picture: Any) -> np.ndarray:
    """Pillow's picture as uint8 [H, W, C], copied a band at a time: Pillow's own way holds it three times."""
    picture.load()
    width, height = picture.size
    pixels = np.empty((height, width, len(picture.getbands())), np.uint8)
    for rows in bands(height, width):
        band = picture.crop((0, rows.start, width, rows.stop))
        pixels[rows] = np.asarray(band, np.uint8).reshape(pixels[rows].shape)
    return pixels


def write_png16(pixels: np.ndarray) -> bytes:
    """A 16-bit PNG without metadata. pixels: uint16 [H, W, C], C = 1 … 4."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    packer = zlib.compressobj(PACK_LEVEL)
    packed = []
    above = np.zeros(width * channels * 2, np.uint8)
    for rows in bands(height, width):
        lines = pixels[rows].astype(">u2").reshape(-1, width * channels).view(np.uint8)  # [rows, W·C·2] bytes
        packed.append(packer.compress(filter_rows(lines, above, channels * 2).tobytes()))
        above = lines[-1]
    packed.append(packer.flush())
    return PNG_SIGNATURE + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", b"".join(packed)) + png_chunk(b"IEND", b"")


def filter_rows(lines: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Section 12.8: of the filters none, sub, up, average and Paeth, each line takes the one with the smallest sum."""
    line_bytes = lines.shape[1]
    up = np.concatenate([above[None], lines[:-1]])
    left, up_left = np.zeros_like(lines), np.zeros_like(lines)
    left[:, step:], up_left[:, step:] = lines[:, :-step], up[:, :-step]
    best = np.empty((len(lines), 1 + line_bytes), np.uint8)
    smallest = np.full(len(lines), np.iinfo(np.int64).max)
    average = ((left.astype(np.uint16) + up) // 2).astype(np.uint8)
    for kind, guess in enumerate((np.zeros_like(lines), left, up, average, _paeth(left, up, up_left))):
        rest = lines - guess
        cost = np.abs(rest.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
        better = cost < smallest
        best[better, 0], best[better, 1:], smallest[better] = kind, rest[better], cost[better]
    return best


def _paeth(left: np.ndarray, up: np.ndarray, up_left: np.ndarray) -> np.ndarray:
    """Section 9.4: of the three neighbours, the one nearest to left + up − up_left."""
    a, b, c = (each.astype(np.int16) for each in (left, up, up_left))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, up_left))
