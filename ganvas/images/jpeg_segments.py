"""Metadata in JPEG segments of 64 kB: what is longer is split as the specifications say, or left out with a word.

Specifications: ITU-T T.81 annex B; Adobe 2016, "XMP Specification Part 3", 1.1.3.1 (extended XMP); CIPA 2019, "Exif
Version 2.32"; ICC.1:2022 annex B.4.
"""

from __future__ import annotations

import hashlib
import re
import struct
import warnings
from collections.abc import Iterable
from typing import Any

from ganvas.errors import ImageWarning
from ganvas.images import tiff_tags

EXIF_HEAD = b"Exif\0\0"
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_HEAD = b"http://ns.adobe.com/xmp/extension/\0"
MAX_SEGMENT_BYTES = 65533  # that a segment holds after its length
MAX_ICC_BYTES = 255 * (MAX_SEGMENT_BYTES - 14)
_EXTENDED_STEP = 65_400
_MAX_EXTENDED = 64 << 20
_NOTE = b"http://ns.adobe.com/xmp/note/"
_HAS_EXTENDED = re.compile(rb"""\s*\b[\w.-]+:HasExtendedXMP\s*=\s*["']([0-9A-Fa-f]{32})["']""")
_LONG_TAGS = (0x927C, 0x9286)  # maker note, user comment


def pack_segment(marker: int, body: bytes) -> bytes:
    """Marker 0xFF.., length and contents of at most MAX_SEGMENT_BYTES."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def pack_exif(exif: bytes, *, name: str) -> list[bytes]:
    """The APP1 segment of an EXIF block; parts that have no room are left out with an `ImageWarning`."""
    room = MAX_SEGMENT_BYTES - len(EXIF_HEAD)
    dropped = []
    for words, without in (("thumbnail", ()), ("maker notes", _LONG_TAGS[:1]), ("user comment", _LONG_TAGS)):
        if len(exif) > room:
            smaller = tiff_tags.repack_exif(exif, without=without)
            dropped += [words] if len(smaller) < len(exif) else []
            exif = smaller
    if len(exif) > room:
        _warn(f"{name}: its EXIF block of {len(exif):,} bytes does not fit a JPEG and is left out")
        return []
    if dropped:
        _warn(f"{name}: of its EXIF block the {' and the '.join(dropped)} did not fit a JPEG")
    return [pack_segment(0xE1, EXIF_HEAD + exif)]


def pack_xmp(xmp: bytes) -> list[bytes]:
    """The APP1 segments of an XMP packet: one, or a stub and the packet as extended XMP."""
    if len(xmp) <= MAX_SEGMENT_BYTES - len(XMP_HEAD):
        return [pack_segment(0xE1, XMP_HEAD + xmp)]
    packet = re.sub(rb"<\?xpacket[^>]*\?>", b"", xmp).strip()
    guid = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
    stub = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="' + _NOTE + b'" xmpNote:HasExtendedXMP="' + guid + b'"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    parts = [
        EXTENDED_HEAD + guid + struct.pack(">II", len(packet), at) + packet[at : at + _EXTENDED_STEP]
        for at in range(0, len(packet), _EXTENDED_STEP)
    ]
    return [pack_segment(0xE1, XMP_HEAD + stub), *(pack_segment(0xE1, part) for part in parts)]


def pack_icc(profile: bytes) -> list[bytes]:
    """The APP2 segments of a profile of at most MAX_ICC_BYTES."""
    step = MAX_SEGMENT_BYTES - 14
    parts = [profile[at : at + step] for at in range(0, len(profile), step)]
    return [
        pack_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, len(parts))) + part)
        for number, part in enumerate(parts, start=1)
    ]


def pack_comment(words: str) -> list[bytes]:
    """COM segments; a long comment goes on in the next one."""
    text = words.encode("utf-8", "replace")
    step = MAX_SEGMENT_BYTES
    return [pack_segment(0xFE, text[at : at + step]) for at in range(0, len(text), step)]


def segments_named(picture: Any, name: str) -> list[bytes]:
    """The segments of a kind ("APP1", "COM", …) of Pillow's picture of a JPEG; none of other formats."""
    return [bytes(body) for each, body in getattr(picture, "applist", ()) if each == name]


def join_comments(segments: Iterable[bytes]) -> bytes:
    """What `pack_comment` split; of comments that are independent, the last."""
    words = b""
    for body in segments:
        words = words + body if len(words) and len(words) % MAX_SEGMENT_BYTES == 0 else body
    return words


def join_xmp(segments: Iterable[bytes]) -> bytes | None:
    """The XMP packet of a JPEG's APP1 segments, with its extended part in it; None where there is none.

    An extended part that is incomplete, or another than the packet announces, is left out, and so is its announcement.
    """
    bodies = [body for body in segments if body.startswith((XMP_HEAD, EXTENDED_HEAD))]
    main = next((body.removeprefix(XMP_HEAD) for body in bodies if body.startswith(XMP_HEAD)), None)
    announced = _HAS_EXTENDED.search(main) if main else None
    if main is None or announced is None:
        return main
    main = main[: announced.start()] + main[announced.end() :]
    extended = _join_extended(bodies, announced[1].upper())
    if extended is None:
        return main
    if not re.search(rb"<rdf:Description(?![^>]*/>)|<rdf:Description[^>]*\s(?!xmlns|rdf:about)[\w.-]+:", main):
        return extended  # the packet was a stub
    descriptions = re.search(rb"(?s)<rdf:RDF[^>]*>(.*)</rdf:RDF>", extended)
    return main.replace(b"</rdf:RDF>", (descriptions[1] if descriptions else b"") + b"</rdf:RDF>", 1)


def _join_extended(bodies: Iterable[bytes], guid: bytes) -> bytes | None:
    head = len(EXTENDED_HEAD)
    parts: dict[int, bytes] = {}
    whole = 0
    for body in bodies:
        if body.startswith(EXTENDED_HEAD) and body[head : head + 32].upper() == guid and len(body) > head + 40:
            whole, at = struct.unpack_from(">II", body, head + 32)
            parts[at] = body[head + 40 :]
    if whole > _MAX_EXTENDED or sum(map(len, parts.values())) != whole:
        return None
    packet = b"".join(parts[at] for at in sorted(parts))
    return packet if hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode() == guid else None


def _warn(words: str) -> None:
    warnings.warn(words, ImageWarning, stacklevel=2)
