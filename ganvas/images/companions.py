"""What a file holds besides its first picture: frames, pages, HDR gain maps, videos of motion photos.

ganvas works on one picture. What else there is is named, and what is left behind is no longer promised in the XMP
packet: a viewer that looks for a gain map or a video behind a new picture would find nothing, or read beyond its end.

Specifications: W3C 2024, "Portable Network Graphics (Third Edition)" (acTL); CIPA DC-007-2021 (Multi-Picture Format);
Android 2023, "Ultra HDR Image Format" and "Motion Photo format" (the namespaces).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from ganvas.images import tiff_tags
from ganvas.images.jpeg_segments import join_xmp, segments_named

_PHOTOS = b"http://ns.google.com/photos/1.0/"
# Namespaces whose every property speaks of what else is in the file.
_PROMISES = (
    _PHOTOS + b"container/",
    _PHOTOS + b"container/item/",
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"http://ns.apple.com/HDRGainMap/1.0/",
    b"http://ns.google.com/photos/dd/1.0/container/",
    b"http://ns.google.com/photos/dd/1.0/item/",
)
_CAMERA = _PHOTOS + b"camera/"  # of which only these properties do
_CAMERA_PROMISES = rb"(?:MotionPhoto|MicroVideo)\w*"
_MPF_HEAD, _MPF_COUNT = b"MPF\0", 0xB001
_SAMSUNG_VIDEO = b"MotionPhoto_Data"
_MOST_PAGES = 100_000


def describe_companions(data: bytes, format: str, picture: Any, chunks: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """Each thing in a file that is left out, in words for people; () where it holds one picture.

    Args:
        data: the file.
        format: as `decode_image` names it.
        picture: Pillow's picture, where there is one.
        chunks: of a PNG, see `first_png_chunks`.
    """
    if format == "JPEG":
        return _beside_jpeg(data, picture)
    try:
        count, kind = _count(data, format, picture, chunks)
    except (ValueError, OSError, EOFError, struct.error, tiff_tags.BrokenIFD):
        return ()  # only the rest of the file is damaged
    return (f"1 of {count} {kind}",) if count > 1 else ()


def _count(data: bytes, format: str, picture: Any, chunks: Mapping[bytes, bytes]) -> tuple[int, str]:
    """How many pictures there are, and what they are called."""
    match format:
        case "PNG":
            return int.from_bytes(chunks.get(b"acTL", b"")[:4], "big"), "frames"
        case "TIFF":
            return _count_pages(data), "pages"
        case "GIF" | "WEBP" | "AVIF":
            return int(getattr(picture, "n_frames", 1)), "frames"
        case "HEIF":
            return int(getattr(picture, "n_frames", 1)), "images"
    return 1, ""


def _count_pages(data: bytes) -> int:
    page, count, visited = tiff_tags.read_first_ifd(data), 1, set()
    big = data[2:4] in (b"+\0", b"\0+")
    while page.next and page.next not in visited and count < _MOST_PAGES:
        visited.add(page.next)
        page = tiff_tags.read_ifd(data, page.next, page.order, big=big)
        reduced = page.int_value(254, 0) & 1  # a smaller copy of another page
        count += not reduced
    return count


def _beside_jpeg(data: bytes, picture: Any) -> tuple[str, ...]:
    notes, xmp = [], join_xmp(segments_named(picture, "APP1")) or b""
    if b'Semantic="GainMap"' in xmp or re.search(rb"hdrgm:Version|HDRGainMapVersion", xmp):
        notes.append("without its HDR gain map")
    if re.search(rb"MotionPhoto\s*(=\s*[\"']1|>\s*1)|MicroVideo\s*(=\s*[\"']1|>\s*1)", xmp) or _SAMSUNG_VIDEO in data:
        notes.append("without the video of the motion photo")
    count = 0 if notes else _count_mpf(picture)
    return (*notes, f"1 of {count} images") if count > 1 else tuple(notes)


def _count_mpf(picture: Any) -> int:
    segments = segments_named(picture, "APP2")
    index = next((body.removeprefix(_MPF_HEAD) for body in segments if body.startswith(_MPF_HEAD)), None)
    try:
        return tiff_tags.read_first_ifd(index).int_value(_MPF_COUNT, 1) if index else 1
    except (struct.error, tiff_tags.BrokenIFD):
        return 1


def remove_promises(xmp: bytes) -> bytes:
    """An XMP packet without the properties that announce further pictures or a video in the file; else unchanged."""
    for prefix, uri in re.findall(rb'xmlns:([\w.-]{1,40})\s*=\s*["\']([^"\']{1,200})["\']', xmp):
        if uri in _PROMISES:
            xmp = _remove_properties(xmp, prefix, rb"[\w.-]+")
            xmp = re.sub(rb"\s*xmlns:" + re.escape(prefix) + rb'\s*=\s*["\']' + re.escape(uri) + rb'["\']', b"", xmp)
        elif uri == _CAMERA:
            xmp = _remove_properties(xmp, prefix, _CAMERA_PROMISES)
    return xmp


def _remove_properties(xmp: bytes, prefix: bytes, names: bytes) -> bytes:
    """Elements (with all that is in them) and attributes of these names."""
    name = re.escape(prefix) + b":(?:" + names + b")"
    xmp = _remove_elements(xmp, name)
    return re.sub(rb"\s+" + name + rb"""\s*=\s*(?:"[^"]*"|'[^']*')""", b"", xmp)


def _remove_elements(xmp: bytes, name: bytes) -> bytes:
    """In one pass: a packet may hold thousands of tags that are never closed."""
    pieces, at, start, depth = [], 0, 0, 0
    for tag in re.finditer(rb"\s*<(/?)" + name + rb"\b[^<>]*?(/?)>", xmp):
        closing, empty = bool(tag[1]), bool(tag[2])
        start = tag.start() if depth == 0 else start
        depth = max(depth - 1, 0) if closing else depth + (not empty)
        if depth == 0:
            pieces.append(xmp[at:start])
            at = tag.end()
    return b"".join([*pieces, xmp[at:]])
