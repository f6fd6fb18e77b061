"""Picture files ⇄ Photo: nothing is lost on the way, and nothing half written is left behind.

Read: JPEG, PNG, WebP, TIFF, BMP, GIF (the first frame), AVIF and HEIC where the installed Pillow can. All state is in
the arguments; nothing global of Pillow's is touched, so that a server may read many pictures at once.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageColor,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from torch import Tensor

from ganvas.checks import check_known
from ganvas.errors import BadConfig, BadImage
from ganvas.images import directory
from ganvas.images.colour import CHANNELS, OneWay, colours_of
from ganvas.images.directory import Directory, first_directory
from ganvas.images.metadata import (
    Metadata,
    exif_for,
    into_jpeg,
    into_png,
    metadata_of,
    metadata_of_tiff,
    tiff_tags,
    xmp_with_recipe,
)
from ganvas.images.photo import Photo
from ganvas.images.sixteen import (
    PNG_SIGNATURE,
    as_array,
    is_tiff16,
    png_chunks,
    read_png16,
    read_tiff16,
    write_png16,
    write_tiff,
)
from ganvas.images.tensors import from_pixels

try:
    from PIL import AvifImagePlugin
except ImportError:  # Pillow before 11.3
    AvifImagePlugin = None  # type: ignore[assignment]

MAX_PIXELS = 2 * 89_478_485  # Pillow's own limit
SMALL_FILE_PIXELS = 32_000_000  # what any file may unfold to, however small it is …
PIXELS_A_BYTE = 256  # … and what a larger one may for each of its bytes
MAX_FILE_BYTES = 2**31

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


def read_image(source: Source, *, max_pixels: int | None = None) -> Photo:
    """Read a picture, upright, as the models want it, with all that its file held.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        max_pixels: refuse larger pictures, by their header, before anything is unpacked. None = 179 million, as Pillow
            has it, and for a file that is very small for its size in pixels (a blank page, or a bomb) 32 million.

    Returns:
        A Photo; `.img` is float32 [1, 3, H, W], sRGB, in [-1, 1].

    Raises:
        BadImage: no file, an empty or a broken one, not a picture, or too large a one; the message names the file.
    """
    name, path, data = _contents(source)
    try:
        return _decoded(data, name, path, max_pixels)
    except BadImage:
        raise
    except (MemoryError, RecursionError) as error:
        raise BadImage(f"{name} is too large or too deep to be unpacked here") from error
    except Exception as error:  # a broken file makes a decoder raise anything at all
        raise BadImage(f"{name} is broken or cut short: {_reason(error)}") from error


def write_image(
    picture: Photo | Tensor,
    path: str | os.PathLike[str],
    *,
    quality: int = 95,
    lossless: bool = False,
    bits: int | None = None,
    background: str | None = None,
    recipe: str | None = None,
) -> Path:
    """Write a picture; the suffix decides the format.

    Pixels that were not edited are written as they were read, bit by bit, where the format is lossless (.png, .tif,
    .bmp, and .webp with `lossless`) and holds what the photo has. What a format cannot hold: 16 bits (all but .png and
    .tif), a colour profile (.bmp, .gif: converted to sRGB), CMYK (all but .jpg and .tif: converted to sRGB),
    metadata (.bmp, .gif). A photo whose profile only leads to sRGB and not back becomes sRGB once it is edited.

    Args:
        picture: a Photo, or img [1, 3, H, W] or [1, 1, H, W] in [-1, 1].
        path: .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .gif, .avif; an existing file is replaced once all is
            written.
        quality: 1 … 100, of .jpg, .webp and .avif; from 90 upward colours keep their full resolution.
        lossless: .webp without loss.
        bits: 8 or 16; None = as the photo was.
        background: a colour ("white", "#204060") to lay behind a transparent picture; needed where the format has no
            transparency.
        recipe: how the picture was made; None = what the photo says.

    Returns:
        The path.

    Raises:
        BadConfig: an unknown suffix or option; nothing has been done.
        BadImage: the picture does not fit the format, or the file cannot be written; an old file is still there.
    """
    path = Path(path)
    format = format_of(path)
    photo = picture if isinstance(picture, Photo) else _photo_of(picture)
    if recipe is not None:
        photo = replace(photo, recipe=recipe)
    _check_target(path)
    data = encode_image(photo, format, quality=quality, lossless=lossless, bits=bits, background=background)
    _write(path, data)
    return path


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that a file name asks for.

    Raises:
        BadConfig: an unknown suffix, or one that the installed Pillow cannot write.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".avif" and AvifImagePlugin is None:
        raise BadConfig(f"{path}: the installed Pillow writes no AVIF. Use .png or .jpg, or pip install -U pillow.")
    if suffix not in SUFFIXES:
        raise BadConfig(f"{path}: a picture is written as {', '.join(SUFFIXES)}; got {suffix or 'no suffix'!r}")
    return SUFFIXES[suffix]


def encode_image(
    photo: Photo,
    format: str,
    *,
    quality: int = 95,
    lossless: bool = False,
    bits: int | None = None,
    background: str | None = None,
) -> bytes:
    """The bytes of a picture file; see `write_image` for the options.

    Args:
        format: "JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF" or "AVIF".

    Raises:
        BadConfig, BadImage: as `write_image`.
    """
    check_known(format, _ENCODERS, what="picture format")
    if not isinstance(quality, int) or not 1 <= quality <= 100:
        raise BadConfig(f"quality is a whole number from 1 to 100, got {quality!r}")
    if bits not in (None, 8, 16):
        raise BadConfig(f"pictures are written with 8 or 16 bits, got {bits}")
    if bits == 16 and format not in _SIXTEEN:
        raise BadConfig(f"{format} has no 16 bits; write .png or .tif")
    if lossless and format in ("JPEG", "GIF", "AVIF"):
        raise BadConfig(f"{format} is not lossless; write .png, .tif or .webp")
    if background is not None:
        photo = _laid_on(photo, background)
    if photo.alpha is not None and format in _OPAQUE:
        photo = _opaque(photo, format)
    depth = (bits or photo.bits) if format in _SIXTEEN else 8
    return _ENCODERS[format](_Page(photo, format, depth), quality, lossless)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _contents(source: Source) -> tuple[str, Path | None, bytes]:
    """(what messages call it, its path, its bytes)."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the picture", None, _not_empty(bytes(source), "the picture")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return str(path), path, _not_empty(_file_bytes(path), str(path))
    if not hasattr(source, "read"):
        raise BadImage(f"read_image expects a path, bytes or an open file, got {type(source).__name__}")
    name = str(getattr(source, "name", "") or "the picture")
    data = source.read(MAX_FILE_BYTES + 1)
    if not isinstance(data, bytes):
        raise BadImage(f"{name}: open the file for reading bytes, open(path, 'rb')")
    return name, None, _not_empty(data, name)


def _file_bytes(path: Path) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise BadImage(f"{path} is a folder; read_image expects one picture file")
        if not stat.S_ISREG(status.st_mode):
            raise BadImage(f"{path} is not a plain file")
        if status.st_size > MAX_FILE_BYTES:
            raise BadImage(f"{path} has {status.st_size:,} bytes; pictures up to {MAX_FILE_BYTES:,} bytes are read")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise BadImage(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from error


def _not_empty(data: bytes, name: str) -> bytes:
    if not data:
        raise BadImage(f"{name} is empty (0 bytes)")
    if len(data) > MAX_FILE_BYTES:
        raise BadImage(f"{name} is too large; pictures up to {MAX_FILE_BYTES:,} bytes are read")
    return data


def _decoded(data: bytes, name: str, path: Path | None, max_pixels: int | None) -> Photo:
    format = _sniffed(data, name)

    def check_size(width: int, height: int) -> None:
        _check_size(width, height, name=name, file_bytes=len(data), max_pixels=max_pixels)

    read = {"PNG": _read_png, "TIFF": _read_tiff}.get(format, _read_by_pillow)
    raw = read(data, format, check_size)
    return _assembled(raw, format, path)


class _Raw:
    """Pixels as the file has them, before they are turned upright and become a Photo."""

    def __init__(
        self,
        pixels: np.ndarray,
        metadata: Metadata,
        *,
        space: str,
        mode: str,
        palette: np.ndarray | None = None,
    ):
        self.pixels = pixels  # [H, W, colours + perhaps alpha], uint8 or uint16
        self.metadata = metadata
        self.space, self.mode, self.palette = space, mode, palette


CheckSize = Callable[[int, int], None]


def _assembled(raw: _Raw, format: str, path: Path | None) -> Photo:
    upright = np.ascontiguousarray(_TURNS[raw.metadata.orientation](raw.pixels))
    raw.pixels = upright
    colours_end = CHANNELS[raw.space]
    alpha = from_pixels(upright[..., colours_end:]).add_(1).div_(2) if upright.shape[2] > colours_end else None
    pixels = upright[..., :colours_end]
    colours = colours_of(raw.metadata.fields["icc_profile"], raw.space)
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
        **raw.metadata.fields,
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


def _sniffed(data: bytes, name: str) -> str:
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
        f"{name} is not a picture that ganvas reads{_looks_like(data)}. "
        "It reads JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF and HEIC."
    )


_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (PNG_SIGNATURE,),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
}


def _looks_like(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return ": it is a web page or an SVG drawing"
    if start.startswith(b"%pdf"):
        return ": it is a PDF"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in data[:512]):
        return ": it looks like text"
    return ""


def _check_size(width: int, height: int, *, name: str, file_bytes: int, max_pixels: int | None) -> None:
    pixels = width * height
    if width < 1 or height < 1:
        raise BadImage(f"{name} is broken: its size is {width} x {height} pixels")
    most = max_pixels
    if most is None:
        pillows = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else MAX_PIXELS
        most = min(MAX_PIXELS, pillows, max(SMALL_FILE_PIXELS, PIXELS_A_BYTE * file_bytes))
    if pixels > most:
        raise BadImage(
            f"{name} has {width} x {height} = {pixels:,} pixels in a file of {file_bytes:,} bytes; at most {most:,} "
            f"are read, lest a small file fills the memory. If you trust it: read_image(…, max_pixels={pixels})."
        )


def _read_by_pillow(data: bytes, format: str, check_size: CheckSize) -> _Raw:
    if format == "WEBP":
        check_size(*_webp_size(data))
    picture = _opened(data, format)
    check_size(*picture.size)
    pixels, space, mode, palette = _pixels_of(picture)
    return _Raw(pixels, metadata_of(picture, data, format), space=space, mode=mode, palette=palette)


def _opened(data: bytes, format: str) -> Any:
    """Pillow's picture, not decoded yet. (Image.open would warn through Python's global warnings, and ask them all.)"""
    file = io.BytesIO(data)
    if format == "AVIF" and AvifImagePlugin is not None:
        return AvifImagePlugin.AvifImageFile(file)
    if format in _OPENERS:
        return _OPENERS[format](file)
    return _opened_heif(file, format)


_OPENERS: dict[str, Callable[[Any], Any]] = {
    # Not jpeg_factory: that one looks for further pictures in the file, and we take the first.
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}


def _opened_heif(file: IO[bytes], format: str) -> Any:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        package = "pillow>=11.3" if format == "AVIF" else "pillow-heif"
        raise BadImage(f"{format} pictures need one more package: pip install '{package}'") from error
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
        raise ValueError(f"pixels of the kind {mode!r} are not supported; save it with 8 or 16 bits a channel first")
    wanted, space = _CONVERTED[mode]
    pixels = as_array(picture if wanted == mode else picture.convert(wanted))
    if key is not None and mode in ("1", "L", "RGB") and not isinstance(key, bytes):
        pixels = _keyed(pixels, key)
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


def _keyed(pixels: np.ndarray, key: Any) -> np.ndarray:
    """One colour stands for transparent: the pixels with an alpha channel that says so."""
    opaque = (pixels != np.asarray(key, pixels.dtype)).any(axis=2, keepdims=True)
    alpha = np.where(opaque, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)
    return np.concatenate([pixels, alpha], axis=2)


def _read_png(data: bytes, format: str, check_size: CheckSize) -> _Raw:
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    check_size(width, height)
    if depth != 16:
        return _read_by_pillow(data, format, check_size)
    pixels, picture = read_png16(data, colour_type)
    key = next((body for name, body in png_chunks(data) if name == b"tRNS"), None)
    colours = pixels.shape[2]
    if key is not None and colours in (1, 3) and len(key) >= 2 * colours:
        pixels = _keyed(pixels, struct.unpack_from(f">{colours}H", key))
    space = "grey" if colours < 3 else "rgb"
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[colours] + ";16"
    return _Raw(pixels, metadata_of(picture, data, format), space=space, mode=mode)


def _read_tiff(data: bytes, format: str, check_size: CheckSize) -> _Raw:
    tags = first_directory(data)
    check_size(tags.whole(256), tags.whole(257))
    metadata = metadata_of_tiff(tags)
    if is_tiff16(tags):
        pixels, space = read_tiff16(data, tags)
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[space] + ("A" if pixels.shape[2] > CHANNELS[space] else "")
        return _Raw(pixels, metadata, space=space, mode=mode + ";16")
    picture = TiffImagePlugin.TiffImageFile(io.BytesIO(_as_it_lies(data, tags)))
    check_size(*picture.size)
    pixels, space, mode, palette = _pixels_of(picture)
    return _Raw(pixels, metadata, space=space, mode=mode, palette=palette)


def _as_it_lies(data: bytes, tags: Directory) -> bytes:
    """The same file calling itself upright: Pillow's TIFF reader turns pictures on its own, and so do we."""
    entry = tags.entries.get(directory.ORIENTATION)
    if entry is None or tags.whole(directory.ORIENTATION, 1) == 1:
        return data
    upright = bytearray(data)
    struct.pack_into(tags.order + {1: "B", 3: "H", 4: "I"}.get(entry.type, "B"), upright, entry.place, 1)
    return bytes(upright)


def _reason(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return f"{words[0][:200]}" if words else type(error).__name__


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _photo_of(img: Tensor) -> Photo:
    if isinstance(img, Tensor) and img.ndim == 4 and img.shape[1] == 1:
        return Photo(img=img.expand(-1, 3, -1, -1), space="grey")
    return Photo(img=img)


class _Page:
    """A photo on its way into one format: the pixels that it will hold, and whether a profile explains them."""

    def __init__(self, photo: Photo, format: str, depth: int):
        self.photo, self.name = photo, photo.name
        self.icc_profile: bytes | None = None
        self.space = photo.space
        try:
            if photo.space not in _SPACES[format] or (format in _NO_PROFILE and photo.colours() is not None):
                raise OneWay
            pixels = photo.own_pixels(bits=depth)
            self.icc_profile = None if format in _NO_PROFILE else photo.icc_profile
        except OneWay:
            pixels = photo.srgb_pixels(bits=depth)
            self.space = "grey" if photo.grey else "rgb"
        self.colours = pixels  # [H, W, 1 | 3 | 4]
        self.alpha = photo.alpha_pixels(bits=depth)

    @property
    def pixels(self) -> np.ndarray:
        """[H, W, C], alpha last."""
        return self.colours if self.alpha is None else np.concatenate([self.colours, self.alpha], axis=2)

    def picture(self) -> Image.Image:
        """8 bits, as Pillow has it."""
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[self.space] + ("" if self.alpha is None else "A")
        return Image.frombytes(mode, self.photo.size, self.pixels.tobytes())

    def in_palette(self) -> Image.Image | None:
        """A palette picture again, if the photo was one and every pixel's colour is still in its palette."""
        palette = self.photo.palette
        if palette is None or self.space != "rgb":
            return None
        alpha = np.full_like(self.colours[..., :1], 255) if self.alpha is None else self.alpha
        pixels = np.ascontiguousarray(np.concatenate([self.colours, alpha], axis=2)).view(np.uint32)[..., 0]
        known = np.ascontiguousarray(palette).view(np.uint32)[:, 0]
        order = np.argsort(known)
        index = np.searchsorted(known[order], pixels).clip(max=len(known) - 1)
        if (known[order][index] != pixels).any():
            return None
        picture = Image.frombytes("P", self.photo.size, order[index].astype(np.uint8).tobytes())
        picture.putpalette(palette[:, :3].tobytes())
        if (palette[:, 3] != 255).any():
            picture.info["transparency"] = palette[:, 3].tobytes()
        return picture


def _png(page: _Page, quality: int, lossless: bool) -> bytes:
    if page.colours.dtype == np.uint16:
        file = write_png16(page.pixels)
    else:
        picture = page.in_palette() or page.picture()
        file = _saved(picture, "PNG", **_transparency(picture))
    return into_png(file, page.photo, page.icc_profile)


def _transparency(picture: Image.Image) -> dict[str, Any]:
    return {"transparency": picture.info["transparency"]} if "transparency" in picture.info else {}


def _jpeg(page: _Page, quality: int, lossless: bool) -> bytes:
    options: dict[str, Any] = {"quality": quality, "subsampling": _subsampling(quality)}
    if page.photo.dpi:
        options["dpi"] = page.photo.dpi
    file = _saved(page.picture(), "JPEG", **options)
    return into_jpeg(file, page.photo, page.icc_profile, name=page.name)


def _subsampling(quality: int) -> str:
    return "4:4:4" if quality >= 90 else "4:2:0"


def _webp(page: _Page, quality: int, lossless: bool) -> bytes:
    return _saved(page.picture(), "WEBP", quality=quality, lossless=lossless, exact=True, **_blocks(page))


def _avif(page: _Page, quality: int, lossless: bool) -> bytes:
    return _saved(page.picture(), "AVIF", quality=quality, subsampling=_subsampling(quality), **_blocks(page))


def _blocks(page: _Page) -> dict[str, Any]:
    blocks = {
        "icc_profile": page.icc_profile,
        "exif": exif_for(page.photo),
        "xmp": xmp_with_recipe(page.photo.xmp, page.photo.recipe),
    }
    return {name: block for name, block in blocks.items() if block}


def _tiff(page: _Page, quality: int, lossless: bool) -> bytes:
    exif = exif_for(page.photo)
    order = first_directory(exif).order if exif else "<"
    tags = tiff_tags(page.photo, page.icc_profile, order)
    return write_tiff(page.pixels, space=page.space, alpha=page.alpha is not None, exif=exif, tags=tags)


def _bmp(page: _Page, quality: int, lossless: bool) -> bytes:
    return _saved(page.picture(), "BMP", **({"dpi": page.photo.dpi} if page.photo.dpi else {}))


def _gif(page: _Page, quality: int, lossless: bool) -> bytes:
    if page.alpha is not None and not np.isin(page.alpha, (0, 255)).all():
        raise BadImage(f"{page.name} is half transparent in places; GIF is not. Write .png or .webp, or a background.")
    picture = page.in_palette() or page.picture()
    if page.alpha is not None and picture.mode == "LA":
        picture = picture.convert("RGBA")
    return _saved(picture, "GIF", **_transparency(picture))


def _saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    try:
        picture.save(file, format, **options)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise BadImage(
            f"a picture of {picture.width} x {picture.height} cannot be written as {format}: {error}"
        ) from error
    return file.getvalue()


_ENCODERS: dict[str, Callable[[_Page, int, bool], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "GIF": _gif,
    "AVIF": _avif,
}
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
}
_SIXTEEN = ("PNG", "TIFF")
_OPAQUE = ("JPEG", "BMP")
_NO_PROFILE = ("BMP", "GIF")
_SPACES = {
    "JPEG": ("grey", "rgb", "cmyk"),
    "PNG": ("grey", "rgb"),
    "WEBP": ("rgb",),
    "TIFF": ("grey", "rgb", "cmyk"),
    "BMP": ("grey", "rgb"),
    "GIF": ("grey", "rgb"),
    "AVIF": ("rgb",),
}


def _laid_on(photo: Photo, background: str) -> Photo:
    """The photo over one colour, opaque."""
    if photo.alpha is None:
        return photo
    try:
        colour = ImageColor.getrgb(background)[:3]
    except ValueError as error:
        raise BadConfig(f"unknown colour {background!r}; say white, #204060, rgb(32, 64, 96)") from error
    behind = torch.tensor(colour, dtype=torch.float32).div(127.5).sub(1).view(1, 3, 1, 1)
    img = torch.where(photo.alpha == 1, photo.img, behind + (photo.img - behind) * photo.alpha)
    return replace(photo.with_img(img, recipe=photo.recipe), alpha=None)


def _opaque(photo: Photo, format: str) -> Photo:
    """An alpha channel that hides nothing can go; one that does is the caller's to decide."""
    if photo.alpha is not None and float(photo.alpha.min()) < 1:
        raise BadImage(
            f"{photo.name} is transparent in places, and {format} cannot be. Write .png, .webp or .tif, or say what "
            "lies behind it: write_image(…, background='white')."
        )
    return replace(photo, alpha=None)


def _check_target(path: Path) -> None:
    if path.is_dir():
        raise BadImage(f"{path} is a folder; say the file's name")
    if not path.parent.is_dir():
        raise BadImage(f"{path} cannot be written: the folder {path.parent} does not exist")


def _write(path: Path, data: bytes) -> None:
    """All or nothing: under another name first, then renamed over the old file."""
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise BadImage(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
