"""Encode a Photo to the bytes of an image file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageColor

from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.images.colour import OneWayProfile
from ganvas.images.digital_source import add_digital_source
from ganvas.images.jpeg_segments import MAX_ICC_BYTES
from ganvas.images.metadata import add_recipe_to_xmp, exif_for, insert_jpeg_metadata, insert_png_metadata, metadata_tags
from ganvas.images.photo import Photo
from ganvas.images.png16 import PACK_LEVEL, write_png16
from ganvas.images.tiff16 import write_tiff
from ganvas.images.tiff_tags import read_first_ifd


def encode_image(
    photo: Photo,
    format: str,
    *,
    quality: int = 95,
    lossless: bool = False,
    bits: int | None = None,
    background: str | None = None,
    disclose: bool = True,
) -> bytes:
    """The bytes of a picture file; see `write_image` for the options.

    Args:
        format: "JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF" or "AVIF".

    Raises:
        BadConfig, BadImage: as `write_image`.
    """
    check_known(format, _ENCODERS, what="picture format")
    if not isinstance(quality, int) or not 1 <= quality <= 100:
        raise BadConfig(f"quality must be an integer from 1 to 100, got {quality!r}")
    if bits not in (None, 8, 16):
        raise BadConfig(f"bits must be 8 or 16, got {bits}")
    if bits == 16 and format not in _FORMATS_16_BIT:
        raise BadConfig(f"{format} does not support 16 bits; use .png or .tif")
    if lossless and format in ("JPEG", "GIF", "AVIF"):
        raise BadConfig(f"{format} is not lossless; use .png, .tif or .webp")
    if disclose:
        photo = replace(photo, xmp=add_digital_source(photo.xmp, photo.digital_source))
    if background is not None:
        photo = _composite_on_colour(photo, background)
    if photo.alpha is not None and format in _FORMATS_WITHOUT_ALPHA:
        photo = _drop_opaque_alpha(photo, format)
    depth = (bits or photo.bits) if format in _FORMATS_16_BIT else 8
    return _ENCODERS[format](_EncodeInput(photo, format, depth), quality, lossless)


def _composite_on_colour(photo: Photo, background: str) -> Photo:
    """The photo over one colour, opaque."""
    if photo.alpha is None:
        return photo
    try:
        colour = ImageColor.getrgb(background)[:3]
    except ValueError as error:
        raise BadConfig(f"unknown colour {background!r}; use e.g. white, #204060, rgb(32, 64, 96)") from error
    behind = torch.tensor(colour, dtype=torch.float32).div(127.5).sub(1).view(1, 3, 1, 1)
    img = torch.where(photo.alpha == 1, photo.img, behind + (photo.img - behind) * photo.alpha)
    return replace(photo.with_img(img, recipe=photo.recipe), alpha=None)


def _drop_opaque_alpha(photo: Photo, format: str) -> Photo:
    """An alpha channel that hides nothing can go; one that does is the caller's to decide."""
    if photo.alpha is not None and float(photo.alpha.min()) < 1:
        raise BadImage(
            f"{photo.name} has transparency, which {format} does not support. Use .png, .webp or .tif, or "
            "give a background colour such as white."
        )
    return replace(photo, alpha=None)


class _EncodeInput:
    """A photo on its way into one format: the pixels that it will hold, and whether a profile explains them."""

    def __init__(self, photo: Photo, format: str, depth: int):
        self.photo, self.name = photo, photo.name
        self.icc_profile: bytes | None = None
        self.space = photo.space
        try:
            too_long = format == "JPEG" and len(photo.icc_profile or b"") > MAX_ICC_BYTES
            unexplained = too_long or format in _FORMATS_WITHOUT_PROFILE
            if photo.space not in _SPACES[format] or (unexplained and photo.colours() is not None):
                raise OneWayProfile
            pixels = photo.native_pixels(bits=depth)
            self.icc_profile = None if unexplained else photo.icc_profile
        except OneWayProfile:
            pixels = photo.srgb_pixels(bits=depth)
            self.space = "grey" if photo.grey else "rgb"
        self.colours = pixels  # [H, W, 1 | 3 | 4]
        self.alpha = photo.alpha_pixels(bits=depth)

    @property
    def pixels(self) -> np.ndarray:
        """[H, W, C], alpha last."""
        return self.colours if self.alpha is None else np.concatenate([self.colours, self.alpha], axis=2)

    def to_pil(self) -> Image.Image:
        """8 bits, as Pillow has it."""
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[self.space] + ("" if self.alpha is None else "A")
        return Image.frombytes(mode, self.photo.size, self.pixels.tobytes())

    def to_palette(self) -> Image.Image | None:
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


def _png(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    if page.colours.dtype == np.uint16:
        file = write_png16(page.pixels)
    else:
        picture = page.to_palette() or page.to_pil()
        file = _save_with_pillow(picture, "PNG", compress_level=PACK_LEVEL, **_transparency(picture))
    return insert_png_metadata(file, page.photo, page.icc_profile)


def _transparency(picture: Image.Image) -> dict[str, Any]:
    return {"transparency": picture.info["transparency"]} if "transparency" in picture.info else {}


def _jpeg(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    options: dict[str, Any] = {"quality": quality, "subsampling": _subsampling(quality)}
    if page.photo.dpi:
        options["dpi"] = page.photo.dpi
    file = _save_with_pillow(page.to_pil(), "JPEG", **options)
    return insert_jpeg_metadata(file, page.photo, page.icc_profile, name=page.name)


def _subsampling(quality: int) -> str:
    return "4:4:4" if quality >= 90 else "4:2:0"


def _webp(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    return _save_with_pillow(
        page.to_pil(), "WEBP", quality=quality, lossless=lossless, exact=True, **_metadata_options(page)
    )


def _avif(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    return _save_with_pillow(
        page.to_pil(), "AVIF", quality=quality, subsampling=_subsampling(quality), **_metadata_options(page)
    )


def _metadata_options(page: _EncodeInput) -> dict[str, Any]:
    blocks = {
        "icc_profile": page.icc_profile,
        "exif": exif_for(page.photo),
        "xmp": add_recipe_to_xmp(page.photo.xmp, page.photo.recipe),
    }
    return {name: block for name, block in blocks.items() if block}


def _tiff(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    exif = exif_for(page.photo)
    order = read_first_ifd(exif).order if exif else "<"
    tags = metadata_tags(page.photo, page.icc_profile, order)
    return write_tiff(page.pixels, space=page.space, alpha=page.alpha is not None, exif=exif, tags=tags)


def _bmp(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    return _save_with_pillow(page.to_pil(), "BMP", **({"dpi": page.photo.dpi} if page.photo.dpi else {}))


def _gif(page: _EncodeInput, quality: int, lossless: bool) -> bytes:
    if page.alpha is not None and not np.isin(page.alpha, (0, 255)).all():
        raise BadImage(
            f"{page.name} has partial transparency, which GIF does not support. Use .png or .webp, or set a background."
        )
    picture = page.to_palette() or page.to_pil()
    if page.alpha is not None and picture.mode == "LA":
        picture = picture.convert("RGBA")
    return _save_with_pillow(picture, "GIF", **_transparency(picture))


def _save_with_pillow(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    try:
        picture.save(file, format, **options)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise BadImage(
            f"an image of {picture.width} x {picture.height} cannot be written as {format}: {error}"
        ) from error
    return file.getvalue()


_ENCODERS: dict[str, Callable[[_EncodeInput, int, bool], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "GIF": _gif,
    "AVIF": _avif,
}
_FORMATS_16_BIT = ("PNG", "TIFF")
_FORMATS_WITHOUT_ALPHA = ("JPEG", "BMP")
_FORMATS_WITHOUT_PROFILE = ("BMP", "GIF")
_SPACES = {
    "JPEG": ("grey", "rgb", "cmyk"),
    "PNG": ("grey", "rgb"),
    "WEBP": ("rgb",),
    "TIFF": ("grey", "rgb", "cmyk"),
    "BMP": ("grey", "rgb"),
    "GIF": ("grey", "rgb"),
    "AVIF": ("rgb",),
}
