"""Metadata of image files: read, and written back.

EXIF, XMP, IPTC, profile, resolution, text, and the recipe by which ganvas made the picture: a text chunk of a PNG, a
property of the XMP packet in a JPEG, WebP, TIFF or AVIF.

Specifications: CIPA 2019, "Exif Version 2.32"; ISO 16684-1 (XMP); W3C 2003, "Portable Network Graphics (Second
Edition)", section 11; ITU-T T.81 annex B (JPEG segments); ICC.1:2022 annex B (profiles in files).
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, unescape

from ganvas.images import tiff_tags
from ganvas.images.companions import remove_promises
from ganvas.images.digital_source import EMPTY_XMP
from ganvas.images.jpeg_segments import (
    EXIF_HEAD,
    join_comments,
    join_xmp,
    pack_comment,
    pack_exif,
    pack_icc,
    pack_segment,
    pack_xmp,
    segments_named,
)
from ganvas.images.photo import COLOUR_CHUNKS, Photo
from ganvas.images.png16 import png_chunk
from ganvas.images.tiff16 import STRUCTURAL_TAGS
from ganvas.images.tiff_tags import BYTE, IFD, RATIONAL, SHORT, UNDEFINED

RECIPE_KEY = "ganvas-recipe"  # of the PNG text chunk
_XMP_KEY = "XML:com.adobe.xmp"
_XMP_TAG, _ICC_TAG, _X_TAG, _Y_TAG, _UNIT_TAG = 700, 34675, 282, 283, 296
_LONG_RECIPE = 20_000  # characters; longer ones are compressed where the format is short of room
_LONGEST_RECIPE = 2**24  # bytes, unpacked


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The fields of a Photo that are not pixels, and how the pixels are turned."""

    orientation: int = 1
    fields: dict[str, Any] = field(default_factory=dict)


def read_metadata(picture: Any, format: str, chunks: Mapping[bytes, bytes]) -> Metadata:
    """What a file says, by Pillow's picture of it (loaded already) and the `first_png_chunks` of a PNG."""
    info = picture.info
    text = _texts(picture)
    xmp_text = text.pop(_XMP_KEY, None)
    xmp = join_xmp(segments_named(picture, "APP1")) or _as_bytes(info.get("xmp") or xmp_text)
    exif = _as_bytes(info.get("exif")) or _exif_from_text(text)
    icc_profile = info.get("icc_profile") or None
    recipe = text.pop(RECIPE_KEY, None)
    return _metadata(
        exif=exif.removeprefix(EXIF_HEAD) if exif else None,
        xmp=xmp,
        icc_profile=icc_profile,
        dpi=_valid_dpi(info.get("dpi")),
        text=text,
        recipe=recipe,
        segments=_segments(picture, format, chunks),
    )


def read_tiff_metadata(tags: IFD) -> Metadata:
    """What a TIFF says; its own directory is its EXIF block."""
    unit = {2: 1.0, 3: 2.54}.get(tags.int_value(_UNIT_TAG, 2))
    dpi = tuple(_ratio(tags, tag) * unit for tag in (_X_TAG, _Y_TAG)) if unit else None
    rest = set(tags.entries) - STRUCTURAL_TAGS - {tiff_tags.ORIENTATION}
    turn = tags.int_value(tiff_tags.ORIENTATION, 1)
    metadata = _metadata(
        exif=tiff_tags.pack_ifd(tags, without=STRUCTURAL_TAGS | {tiff_tags.ORIENTATION}) if rest else None,
        xmp=tags.value(_XMP_TAG) or None,
        icc_profile=tags.value(_ICC_TAG) or None,
        dpi=_valid_dpi(dpi),
        text={},
        recipe=None,
        segments=(),
    )
    return Metadata(orientation=turn if 1 <= turn <= 8 else 1, fields=metadata.fields)


def _metadata(*, exif: bytes | None, xmp: bytes | None, recipe: str | None, **fields: Any) -> Metadata:
    turn = _orientation(exif, xmp)
    if exif and not tiff_tags.is_readable(exif):
        exif = None  # it says nothing that anybody could read, and some writers stumble over it
    if exif:
        exif = tiff_tags.remove_orientation(exif)
        exif = tiff_tags.remove_thumbnail(exif) if turn != 1 else exif
    if xmp:
        xmp, embedded_recipe = _extract_recipe(remove_promises(re.sub(_XMP_TURN, b"", xmp)))
        recipe = embedded_recipe if recipe is None else recipe
    return Metadata(orientation=turn, fields={**fields, "exif": exif or None, "xmp": xmp or None, "recipe": recipe})


_XMP_TURN = rb'\s*tiff:Orientation\s*=\s*["\'](\d)["\']|<tiff:Orientation>(\d)</tiff:Orientation>'


def _orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """EXIF decides; XMP where EXIF is silent."""
    turn = tiff_tags.orientation_of(exif) if exif else 1
    match = re.search(_XMP_TURN, xmp) if xmp and turn == 1 else None
    if match:
        turn = int(match[1] or match[2])
    return turn if 1 <= turn <= 8 else 1


def _texts(picture: Any) -> dict[str, str]:
    text = {str(key): str(value) for key, value in (getattr(picture, "text", None) or {}).items()}
    comment = join_comments(segments_named(picture, "COM")) or picture.info.get("comment")
    if comment:
        text["Comment"] = _decode_text(comment) if isinstance(comment, bytes) else str(comment)
    return text


def _decode_text(words: bytes) -> str:
    try:
        return words.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return words.rstrip(b"\0").decode("latin-1")


def _as_bytes(value: Any) -> bytes | None:
    return value.encode("utf-8") if isinstance(value, str) else bytes(value) if value else None


def _exif_from_text(text: dict[str, str]) -> bytes | None:
    """Older tools write EXIF into a PNG as a text chunk of hexadecimal digits, three lines down."""
    for key in ("Raw profile type exif", "Raw profile type APP1"):
        digits = "".join(text.get(key, "").split("\n")[3:])
        if digits:
            try:
                block = bytes.fromhex(digits)
            except ValueError:
                continue
            if block.startswith(EXIF_HEAD):
                del text[key]
                return block
    return None


def _valid_dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(each) for each in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def _ratio(tags: IFD, tag: int) -> float:
    value = tags.value(tag)
    if len(value) < 8:
        return 0.0
    above, below = struct.unpack_from(tags.order + "II", value)
    return above / below if below else 0.0


def _segments(picture: Any, format: str, chunks: Mapping[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    """IPTC and Photoshop's notes of a JPEG; what a PNG says about its gamma and primaries."""
    if format == "JPEG":
        return tuple((name, bytes(body)) for name, body in getattr(picture, "applist", ()) if name == "APP13")
    if format == "PNG":
        return tuple((name, chunks[name.encode()]) for name in COLOUR_CHUNKS if name.encode() in chunks)
    return ()


# ── the recipe in XMP ────────────────────────────────────────────────────────────────────────────────────────────────

_NAMESPACE = "urn:ganvas:1"
_RECIPE = re.compile(
    rb'<rdf:Description[^>]*xmlns:ganvas="urn:ganvas:1"[^>]*><ganvas:recipe( packed="zlib")?>([^<]*)</ganvas:recipe>'
    rb"</rdf:Description>"
)


def _extract_recipe(xmp: bytes) -> tuple[bytes | None, str | None]:
    """The packet without our property, and what it said; None for a packet that held nothing else."""
    match = _RECIPE.search(xmp)
    if not match:
        return xmp, None
    rest = xmp[: match.start()] + xmp[match.end() :]
    try:
        words = base64.b64decode(match[2], validate=True) if match[1] else match[2]
        if match[1]:
            words = zlib.decompressobj().decompress(words, _LONGEST_RECIPE)
        return None if rest == EMPTY_XMP else rest, unescape(words.decode("utf-8"))
    except (ValueError, zlib.error):
        return rest, None


def add_recipe_to_xmp(xmp: bytes | None, recipe: str | None) -> bytes | None:
    """The packet with the recipe in it; a packet that has no place for it is replaced."""
    if recipe is None:
        return xmp
    words, packed = escape(recipe).encode("utf-8"), b""
    if len(words) > _LONG_RECIPE:
        words, packed = base64.b64encode(zlib.compress(words, 9)), b' packed="zlib"'
    ours = (
        f'<rdf:Description rdf:about="" xmlns:ganvas="{_NAMESPACE}">'.encode()
        + b"<ganvas:recipe" + packed + b">" + words + b"</ganvas:recipe></rdf:Description>"
    )  # fmt: skip
    whole = xmp if xmp is not None and b"</rdf:RDF>" in xmp else EMPTY_XMP
    return whole.replace(b"</rdf:RDF>", ours + b"</rdf:RDF>", 1)


# ── into files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def exif_for(photo: Photo) -> bytes | None:
    """The EXIF block with the picture's present size."""
    return None if photo.exif is None else tiff_tags.set_image_size(photo.exif, *photo.size)


def insert_png_metadata(file: bytes, photo: Photo, icc_profile: bytes | None) -> bytes:
    """A PNG without metadata → the same with the photo's."""
    # Once the colours were converted, what the file said of them is wrong.
    kept_colours = photo.format == "PNG" and (icc_profile is not None or photo.icc_profile is None)
    chunks = [(name.encode(), body) for name, body in photo.segments] if kept_colours else []
    if icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile)))
    if photo.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(each / 0.0254) for each in photo.dpi), 1)))
    if exif := exif_for(photo):
        chunks.append((b"eXIf", exif))
    if photo.xmp:
        chunks.append(_text_chunk(_XMP_KEY, photo.xmp.decode("utf-8", "replace"), international=True))
    chunks += [_text_chunk(key, words) for key, words in photo.text.items()]
    if photo.recipe is not None:
        chunks.append(_text_chunk(RECIPE_KEY, photo.recipe, international=True))
    head = 8 + 25  # the signature and IHDR, behind which all of these may stand
    return file[:head] + b"".join(png_chunk(*chunk) for chunk in chunks) + file[head:]


def _text_chunk(key: str, words: str, *, international: bool = False) -> tuple[bytes, bytes]:
    name = key.encode("latin-1", "replace")[:79] or b"Comment"
    try:
        if not international:
            return b"tEXt", name + b"\0" + words.encode("latin-1")
    except UnicodeEncodeError:
        pass
    return b"iTXt", name + b"\0\0\0\0\0" + words.encode("utf-8")


def insert_jpeg_metadata(file: bytes, photo: Photo, icc_profile: bytes | None, *, name: str) -> bytes:
    """A JPEG without metadata → the same with the photo's; what has no room in one is left out with an ImageWarning."""
    segments: list[bytes] = []
    if exif := exif_for(photo):
        segments += pack_exif(exif, name=name)
    if xmp := add_recipe_to_xmp(photo.xmp, photo.recipe):
        segments += pack_xmp(xmp)
    if icc_profile:
        segments += pack_icc(icc_profile)
    if photo.format == "JPEG":
        segments += [pack_segment(0xED, body) for _, body in photo.segments]
    segments += pack_comment(photo.text.get("Comment", ""))
    at = 4 + struct.unpack_from(">H", file, 4)[0] if file[2:4] == b"\xff\xe0" else 2  # JFIF's own segment comes first
    return file[:at] + b"".join(segments) + file[at:]


def metadata_tags(photo: Photo, icc_profile: bytes | None, order: str) -> dict[int, tuple[int, bytes]]:
    """The photo's metadata as TIFF entries, besides EXIF."""
    tags: dict[int, tuple[int, bytes]] = {}
    if xmp := add_recipe_to_xmp(photo.xmp, photo.recipe):
        tags[_XMP_TAG] = (BYTE, xmp)
    if icc_profile:
        tags[_ICC_TAG] = (UNDEFINED, icc_profile)
    if photo.dpi:
        for tag, value in zip((_X_TAG, _Y_TAG), photo.dpi, strict=True):
            tags[tag] = (RATIONAL, struct.pack(order + "II", round(value * 1000), 1000))
        tags[_UNIT_TAG] = (SHORT, struct.pack(order + "H", 2))
    return tags
