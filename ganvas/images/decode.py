"""Decode image files: format, size limits, contents.

All state is in the arguments; nothing global of Pillow's is touched, so that a server may read many pictures at once.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ganvas.errors import BadImage
from ganvas.images import tiff_tags
from ganvas.images.colour import COLOUR_CHANNELS, colour_space_of
from ganvas.images.colour_signals import ColourSignal, from_tiff_tags, read_colour_signal
from ganvas.images.companions import describe_companions
from ganvas.images.limits import check_jpeg, check_pixel_count
from ganvas.images.metadata import Metadata, read_metadata, read_tiff_metadata
from ganvas.images.photo import Photo
from ganvas.images.png16 import PNG_SIGNATURE, as_array, first_png_chunks, read_png16
from ganvas.images.tensors import from_pixels
from ganvas.images.tiff16 import is_tiff16, read_tiff16
from ganvas.images.tiff_tags import IFD, read_first_ifd

try:
    from PIL import AvifImagePlugin

    HAS_AVIF = AvifImagePlugin.SUPPORTED
except ImportError:  # Pillow before 11.3
    HAS_AVIF = False

CheckSize = Callable[[int, int], None]


def decode_image(
    data: bytes, *, name: str, path: Path | None = None, max_pixels: int | None = None, at_least_px: int | None = None
) -> Photo:
    """What `read_image` returns, from the contents of a file that messages call `name`.

    Args:
        at_least_px: a JPEG may come at a half, a quarter or an eighth of its size, as long as both sides have this many
            pixels: it is then decoded several times as fast, each pixel the mean of those it stands for.

    Raises:
        BadImage: not a picture, a broken one, or too large a one.
    """
    format = _sniff_format(data, name)

    check_pixels = partial(check_pixel_count, name=name, file_bytes=len(data), max_pixels=max_pixels)
    shrinking = partial(_read_with_pillow, at_least_px=at_least_px)
    read: Callable[[bytes, str, CheckSize], _Raw] = {"PNG": _read_png, "TIFF": _read_tiff}.get(format, shrinking)
    try:
        if format == "JPEG":
            check_jpeg(data, name=name)
        raw = read(data, format, check_pixels)
        signal = raw.signal or read_colour_signal(data, format, raw.metadata.fields, raw.chunks)
        raw = replace(raw, signal=signal)
        companions = describe_companions(data, format, raw.picture, raw.chunks)
        return _assemble_photo(raw, format, path, companions)
    except BadImage:
        raise
    except (MemoryError, RecursionError) as error:
        raise BadImage(f"{name} is too large or too deeply nested to decode") from error
    except Exception as error:  # a broken file makes a decoder raise anything at all
        raise BadImage(f"{name} is broken or truncated: {_reason(error)}") from error


@dataclass(frozen=True, kw_only=True)
class _Raw:
    """Pixels as the file has them, before they are turned upright and become a Photo."""

    pixels: np.ndarray  # [H, W, colours and perhaps alpha], uint8 or uint16
    metadata: Metadata
    space: str
    mode: str
    palette: np.ndarray | None = None
    picture: Any = None  # Pillow's, where it decoded the file
    signal: ColourSignal | None = None  # of its colours, where no profile says more
    chunks: Mapping[bytes, bytes] = field(default_factory=dict)  # of a PNG


def _assemble_photo(raw: _Raw, format: str, path: Path | None, companions: tuple[str, ...]) -> Photo:
    upright = np.ascontiguousarray(_TURNS[raw.metadata.orientation](raw.pixels))
    colours_end = COLOUR_CHANNELS[raw.space]
    alpha = from_pixels(upright[..., colours_end:]).add_(1).div_(2) if upright.shape[2] > colours_end else None
    pixels = upright[..., :colours_end]
    fields = raw.metadata.fields
    signalled = raw.signal is not None and raw.space in ("grey", "rgb")
    profile = raw.signal.to_profile(raw.space) if raw.signal and signalled else fields["icc_profile"]
    colours = colour_space_of(profile, raw.space)
    if signalled:
        fields = {**fields, "icc_profile": None if colours is None else profile}
    if colours is None:
        img = from_pixels(pixels)
        img = img.repeat(1, 3, 1, 1) if colours_end == 1 else img
    else:
        img = colours.to_srgb(pixels)
    return Photo(
        img=img,
        alpha=alpha,
        bits=pixels.itemsize * 8,
        space=raw.space,
        native=None if colours is None else np.ascontiguousarray(pixels),
        palette=raw.palette,
        path=path,
        format=format,
        mode=raw.mode,
        companions=companions,
        **fields,
    )


# EXIF's orientation 1 … 8: what turns the stored pixels upright.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
    8: lambda p: p.swapaxes(0, 1)[::-1],
}


def _sniff_format(data: bytes, name: str) -> str:
    """The format by the first bytes; the name of the file says nothing.

    Raises:
        BadImage: none that we read.
    """
    for format, starts in _SIGNATURES.items():
        if data.startswith(starts):
            return format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = data[8 : max(16, min(struct.unpack_from(">I", data)[0], 256))]
        return "AVIF" if b"avif" in brands or b"avis" in brands else "HEIF"
    raise BadImage(
        f"{name} is not a supported image{_describe_content(data)}. Supported: JPEG, PNG, WebP, TIFF, "
        "BMP, GIF, AVIF and HEIC."
    )


_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (PNG_SIGNATURE,),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
}


def _describe_content(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return ": it is a web page or an SVG drawing"
    if start.startswith(b"%pdf"):
        return ": it is a PDF"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in data[:512]):
        return ": it looks like text"
    return ""


def _read_with_pillow(
    data: bytes,
    format: str,
    check_size: CheckSize,
    at_least_px: int | None = None,
    chunks: Mapping[bytes, bytes] = MappingProxyType({}),
) -> _Raw:
    if format == "WEBP":
        check_size(*_webp_size(data))
    picture = _open_with_pillow(data, format)
    check_size(*picture.size)
    if format == "JPEG" and at_least_px is not None:
        picture.draft(None, (at_least_px, at_least_px))
    pixels, space, mode, palette = _pixels_of(picture)
    return _Raw(
        pixels=pixels,
        metadata=read_metadata(picture, format, chunks),
        space=space,
        mode=mode,
        palette=palette,
        picture=picture,
        chunks=chunks,
    )


def _open_with_pillow(data: bytes, format: str) -> Any:
    """Pillow's picture, not decoded yet. (Image.open would warn through Python's global warnings, and ask them all.)"""
    file = io.BytesIO(data)
    if format == "AVIF" and HAS_AVIF:
        return AvifImagePlugin.AvifImageFile(file)
    if format in _OPENERS:
        return _OPENERS[format](file)
    return _open_heif(file, format)


_OPENERS: dict[str, Callable[[Any], Any]] = {
    # Not jpeg_factory: that one looks for further pictures in the file, and we take the first.
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}


def _open_heif(file: IO[bytes], format: str) -> Any:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        package = "pillow>=11.3" if format == "AVIF" else "pillow-heif"
        raise BadImage(f"{format} images need an extra package: pip install '{package}'") from error
    return HeifImageFile(file)


def _webp_size(data: bytes) -> tuple[int, int]:
    """By the header: Pillow's decoder takes memory for the picture as soon as it is opened."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        both = int.from_bytes(data[21:25], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no WebP header")


def _pixels_of(picture: Any) -> tuple[np.ndarray, str, str, np.ndarray | None]:
    """Pillow's picture → (pixels [H, W, C], space, mode, palette)."""
    picture.load()
    mode = picture.mode
    key = picture.info.get("transparency")
    if mode in ("P", "PA"):
        transparent = mode == "PA" or key is not None or picture.palette.mode == "RGBA"
        return as_array(picture.convert("RGBA" if transparent else "RGB")), "rgb", mode, _palette_of(picture)
    if mode not in _CONVERTED:
        raise ValueError(
            f"pixels of type {mode!r} are not supported; convert the image to 8 or 16 bits per channel first"
        )
    wanted, space = _CONVERTED[mode]
    pixels = as_array(picture if wanted == mode else picture.convert(wanted))
    if key is not None and mode in ("1", "L", "RGB") and not isinstance(key, bytes):
        pixels = _apply_transparent_colour(pixels, key)
    return pixels, space, mode, None


# Pillow's mode → the mode it is taken as, and what its numbers mean.
_CONVERTED = {
    "1": ("L", "grey"),
    "L": ("L", "grey"),
    "LA": ("LA", "grey"),
    "La": ("LA", "grey"),
    "RGB": ("RGB", "rgb"),
    "RGBX": ("RGB", "rgb"),
    "RGBA": ("RGBA", "rgb"),
    "RGBa": ("RGBA", "rgb"),
    "YCbCr": ("RGB", "rgb"),
    "CMYK": ("CMYK", "cmyk"),
}


def _palette_of(picture: Any) -> np.ndarray:
    """[P, 4] RGBA of the palette's colours."""
    row = Image.new("P", (256, 1))
    row.putdata(range(256))
    row.putpalette(picture.palette)
    if "transparency" in picture.info:
        row.info["transparency"] = picture.info["transparency"]
    return np.unique(np.asarray(row.convert("RGBA")).reshape(-1, 4), axis=0)


def _apply_transparent_colour(pixels: np.ndarray, key: Any) -> np.ndarray:
    """One colour stands for transparent: the pixels with an alpha channel that says so."""
    opaque = (pixels != np.asarray(key, pixels.dtype)).any(axis=2, keepdims=True)
    alpha = np.where(opaque, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)
    return np.concatenate([pixels, alpha], axis=2)


def _read_png(data: bytes, format: str, check_size: CheckSize) -> _Raw:
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    check_size(width, height)
    chunks = first_png_chunks(data)
    if depth != 16:
        return _read_with_pillow(data, format, check_size, chunks=chunks)
    pixels, picture = read_png16(data, colour_type)
    key = chunks.get(b"tRNS")
    colours = pixels.shape[2]
    if key is not None and colours in (1, 3) and len(key) >= 2 * colours:
        pixels = _apply_transparent_colour(pixels, struct.unpack_from(f">{colours}H", key))
    space = "grey" if colours < 3 else "rgb"
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[colours] + ";16"
    metadata = read_metadata(picture, format, chunks)
    return _Raw(pixels=pixels, metadata=metadata, space=space, mode=mode, chunks=chunks)


def _read_tiff(data: bytes, format: str, check_size: CheckSize) -> _Raw:
    tags = read_first_ifd(data)
    check_size(tags.int_value(256), tags.int_value(257))
    metadata = read_tiff_metadata(tags)
    signal = None if metadata.fields["icc_profile"] else from_tiff_tags(tags)
    if is_tiff16(tags):
        pixels, space = read_tiff16(data, tags)
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[space] + (
            "A" if pixels.shape[2] > COLOUR_CHANNELS[space] else ""
        )
        return _Raw(pixels=pixels, metadata=metadata, space=space, mode=mode + ";16", signal=signal)
    picture = TiffImagePlugin.TiffImageFile(io.BytesIO(_ignore_orientation(data, tags)))
    check_size(*picture.size)
    pixels, space, mode, palette = _pixels_of(picture)
    return _Raw(pixels=pixels, metadata=metadata, space=space, mode=mode, palette=palette, signal=signal)


def _ignore_orientation(data: bytes, tags: IFD) -> bytes:
    """The same file calling itself upright: Pillow's TIFF reader turns pictures on its own, and so do we."""
    entry = tags.entries.get(tiff_tags.ORIENTATION)
    if entry is None or tags.int_value(tiff_tags.ORIENTATION, 1) == 1:
        return data
    upright = bytearray(data)
    struct.pack_into(tags.order + {1: "B", 3: "H", 4: "I"}.get(entry.type, "B"), upright, entry.value_offset, 1)
    return bytes(upright)


def _reason(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return f"{words[0][:200]}" if words else type(error).__name__
