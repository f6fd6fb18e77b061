"""What a file may ask of a decoder: a small one must not keep this computer busy, or fill its memory.

Pixels are limited by the file's length, and so is what a decoder would walk through one by one: a JPEG's scans (each
goes over the whole picture again) and segments, and a PNG's chunks. What is left takes about 0.1 s of one core for each
million pixels, in every format.
"""

from __future__ import annotations

import re
import struct

from PIL import Image

from ganvas.errors import BadImage

MAX_PIXELS = 2 * 89_478_485  # Pillow's own limit
SMALL_FILE_PIXELS = 32_000_000  # what any file may unfold to, however small it is …
MAX_PIXELS_PER_BYTE = 256  # … and what a larger one may for each of its bytes
MAX_SCANS = 100  # of a JPEG; writers make up to 20
MAX_SCAN_PIXELS = 2_500_000_000  # pixels times scans, 2 s
MAX_SEGMENTS = 20_000  # of a JPEG before its first scan; extended XMP of 64 MB takes 1,000
MAX_CHUNKS = 200_000  # of a PNG; 256 MB in pieces of 8 kB are 32,000

_MARKER = re.compile(rb"\xff+([\xc0-\xcf\xd8-\xfe])")
_SCAN_MARK, _END = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_pixel_count(width: int, height: int, *, name: str, file_bytes: int, max_pixels: int | None) -> None:
    """Raises BadImage where a file of so many bytes unfolds to more than `max_pixels`, or than is plausible."""
    pixels = width * height
    if width < 1 or height < 1:
        raise BadImage(f"{name} is broken: its size is {width} x {height} pixels")
    most = max_pixels
    if most is None:
        pillows = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else MAX_PIXELS
        most = min(MAX_PIXELS, pillows, max(SMALL_FILE_PIXELS, MAX_PIXELS_PER_BYTE * file_bytes))
    if pixels > most:
        raise BadImage(
            f"{name} has {width} x {height} = {pixels:,} pixels in a file of {file_bytes:,} bytes, more "
            f"than the limit of {most:,} for such a small file. If you trust it: read_image(…, "
            f"max_pixels={pixels})."
        )


def check_jpeg(data: bytes, *, name: str) -> None:
    """Raises BadImage where a JPEG has more segments or scans than any writer makes."""
    many_scans = data.count(b"\xff\xda") > MAX_SCANS // 4  # else there is no need to look further than the first
    segments = scans = pixels = at = 0
    while (marker := _MARKER.search(data, at)) is not None:
        kind, at = marker[1][0], marker.end()
        if kind == _END:
            return
        if kind != 0xD8 and at + 7 <= len(data):
            pixels = max(pixels, _pixels_of_frame(data, at)) if kind in _FRAMES else pixels
            at += struct.unpack_from(">H", data, at)[0]
        segments, scans = segments + 1, scans + (kind == _SCAN_MARK)
        if segments > MAX_SEGMENTS:
            raise BadImage(f"{name} has more than {MAX_SEGMENTS:,} JPEG segments")
        if scans > MAX_SCANS or scans * pixels > MAX_SCAN_PIXELS:
            raise BadImage(
                f"{name} is a JPEG with {scans} scans or more, which takes too long to decode. If you trust it, save "
                "it as an ordinary JPEG with another program."
            )
        if scans and not many_scans:
            return


def _pixels_of_frame(data: bytes, at: int) -> int:
    height, width = struct.unpack_from(">HH", data, at + 3)
    return height * width
