"""Files of several pictures, a picture at a time: the frames of GIF, WebP and PNG, the pages of TIFF.

Specifications: CompuServe 1990, "GIF89a"; W3C 2024, "Portable Network Graphics (Third Edition)" (APNG); Adobe 1992,
"TIFF Revision 6.0" (a file is a chain of directories).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image, PngImagePlugin, WebPImagePlugin

from ganvas.errors import BadImage
from ganvas.images import tiff_tags
from ganvas.images.decode import decode_image
from ganvas.images.digital_source import add_digital_source
from ganvas.images.encode import encode_image
from ganvas.images.files import check_target, format_of, write_image_file
from ganvas.images.photo import Photo
from ganvas.images.tiff_pages import join_pages, page_offsets, with_first_page
from ganvas.images.walk import IMAGE_SUFFIXES

MAX_FRAMES = 10_000
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error)
_OPENERS: dict[str, Callable[[Any], Any]] = {
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "PNG": PngImagePlugin.PngImageFile,
}
_WEBP_FLAGS, _WEBP_ALPHA = 20, 0x10  # where in the file, and which bit
ChangeFrame = Callable[[Photo, Any], Photo]  # (a frame, what to call with (steps done, steps in all)) → the new one


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The pictures of a file, read one after the other."""

    photos: Callable[[], Iterator[Photo]]
    count: int
    durations_ms: tuple[int, ...] = ()  # of frames; empty for pages
    loop: int | None = None  # times that an animation is shown, 0 = for ever; None = the file does not say: once


def open_frames(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Frames | None:
    """The frames or pages of an image file; None where it holds one picture, or `target` can only hold one.

    Args:
        source: an image file.
        target: where they shall go: animations to .gif, .webp, .png and .apng, pages (and frames as pages) to .tif.

    Raises:
        BadImage: not an image, broken, or of more than MAX_FRAMES pictures.
    """
    path, wanted = Path(source), IMAGE_SUFFIXES.get(Path(target).suffix.lower())
    if wanted not in (*_OPENERS, "TIFF") or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _pages(path) if wanted == "TIFF" else None
    format = {b"GIF8": "GIF", b"\x89PNG": "PNG", b"RIFF": "WEBP" if head[8:] == b"WEBP" else None}.get(head[:4])
    return None if format is None else _animation(path, format)


def _pages(path: Path) -> Frames | None:
    data = path.read_bytes()
    try:
        offsets = page_offsets(data, most=MAX_FRAMES)
    except (tiff_tags.BrokenIFD, struct.error):
        return None  # `read_image` says what is wrong
    if len(offsets) < 2:
        return None

    def photos() -> Iterator[Photo]:
        for at in offsets:
            yield replace(decode_image(with_first_page(data, at), name=str(path), path=path), companions=())

    return Frames(photos=photos, count=len(offsets))


def _animation(path: Path, format: str) -> Frames | None:
    data = path.read_bytes()
    try:
        with _OPENERS[format](io.BytesIO(data)) as picture:
            count, loop = int(getattr(picture, "n_frames", 1)), picture.info.get("loop")
            if count < 2:
                return None
            if count > MAX_FRAMES:
                raise BadImage(f"{path} has {count:,} frames; the limit is {MAX_FRAMES:,}")
            first = decode_image(data, name=str(path), path=path)  # checks the size, too
            durations = tuple(_duration_ms(picture, index) for index in range(count))
    except _BROKEN as error:
        raise BadImage(f"{path} is broken or truncated: {str(error)[:200]}") from error

    def photos() -> Iterator[Photo]:
        with _OPENERS[format](io.BytesIO(data)) as picture:
            for index in range(count):
                yield _read_frame(picture, index, first)

    return Frames(photos=photos, count=count, durations_ms=durations, loop=loop)


def _duration_ms(picture: Any, index: int) -> int:
    picture.seek(index)
    if picture.format == "WEBP":
        picture.load()  # says it only then
    return max(int(picture.info.get("duration") or 0), 0)


def _read_frame(picture: Any, index: int, first: Photo) -> Photo:
    """One frame as it is seen, laid over those before; its metadata are those of the file."""
    try:
        picture.seek(index)
        whole = picture.convert("RGBA" if "A" in picture.mode or "transparency" in picture.info else "RGB")
    except _BROKEN as error:
        raise BadImage(f"{first.name} is broken at frame {index + 1}: {str(error)[:200]}") from error
    file = io.BytesIO()
    whole.save(file, "PNG", compress_level=0, icc_profile=first.icc_profile)
    photo = decode_image(file.getvalue(), name=first.name, path=first.path, max_pixels=whole.width * whole.height)
    of_file = {name: getattr(first, name) for name in ("exif", "xmp", "dpi", "text", "recipe", "format")}
    return replace(photo, **of_file)


# ── written ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def change_frames(
    frames: Frames,
    change: ChangeFrame,
    target: str | os.PathLike[str],
    *,
    on_step: Callable[[int, int], object] | None = None,
    quality: int = 95,
    disclose: bool = True,
) -> Path:
    """Every picture of a file through `change`, written as one file with the same durations.

    Args:
        frames: of `open_frames`.
        change: a frame and a progress function → the new frame.
        target: .gif, .webp, .png, .apng or .tif.
        on_step: called with (steps done, steps in all) over all of them; what it raises stops the work.
        quality: 1 … 100, of .webp.
        disclose: see `write_image`.

    Raises:
        BadImage: the file cannot be written, or a frame not be read.
    """
    path = Path(target)
    check_target(path)
    changed = _change_each(frames, change, on_step)
    format = format_of(path)
    with write_image_file(path) as part, open(part, "wb") as file:
        if format == "TIFF":
            file.write(_encode_pages(changed, disclose))
        else:
            _save_animation(changed, frames, file, format, quality=quality, disclose=disclose)
    return path


def _change_each(frames: Frames, change: ChangeFrame, on_step: Callable[[int, int], object] | None) -> Iterator[Photo]:
    for index, photo in enumerate(frames.photos()):

        def report(done: int, steps: int, index: int = index) -> None:
            if on_step is not None:
                on_step(index * steps + done, frames.count * steps)

        yield change(photo, report)


def _encode_pages(photos: Iterator[Photo], disclose: bool) -> bytes:
    pages: list[bytes] = []
    for photo in photos:
        page = encode_image(photo, "TIFF", disclose=disclose)
        if pages and page[:2] != pages[0][:2]:  # all of a file has one byte order
            empty = pages[0][:4] + struct.pack("<I" if page[:2] == b"MM" else ">I", 8) + bytes(6)
            page = encode_image(replace(photo, exif=empty), "TIFF", disclose=disclose)
        pages.append(page)
    return join_pages(pages)


def _save_animation(
    photos: Iterator[Photo], frames: Frames, file: Any, format: str, *, quality: int, disclose: bool
) -> None:
    first = next(photos)
    xmp = add_digital_source(first.xmp, first.digital_source) if disclose else first.xmp
    durations = list(frames.durations_ms) or [1000] * frames.count
    options: dict[str, Any] = {"duration": durations, "save_all": True}
    options |= {} if frames.loop is None else {"loop": frames.loop}
    match format:
        case "GIF":
            options |= {"disposal": 2}  # a frame may be clear where the one before was not
        case "WEBP":
            options |= {"quality": quality, "method": 2, **({"xmp": xmp} if xmp else {})}
            options |= {} if frames.loop is not None else {"loop": 1}
        case "PNG":
            options |= {"disposal": 0, "blend": 0, **({"pnginfo": _xmp_text(xmp)} if xmp else {})}
            options |= {} if frames.loop is not None else {"loop": 1}
    rest = (_srgb_picture(photo, hard=format == "GIF") for photo in photos)
    packed = io.BytesIO()
    # GIF is packed as frames come; Pillow goes over those of a PNG twice.
    _srgb_picture(first, hard=format == "GIF").save(
        file if format == "GIF" else packed, format, append_images=rest if format == "GIF" else list(rest), **options
    )
    if format == "WEBP" and first.alpha is not None:
        packed.getbuffer()[_WEBP_FLAGS] |= _WEBP_ALPHA  # libwebp leaves it out where only the background is clear
    file.write(packed.getbuffer())


def _srgb_picture(photo: Photo, *, hard: bool) -> Image.Image:
    """For Pillow; `hard`: a pixel is clear or it is not."""
    pixels, alpha = photo.srgb_pixels(bits=8), photo.alpha_pixels(bits=8)
    if hard and alpha is not None:
        alpha = np.where(alpha < 128, 0, 255).astype(np.uint8)
    pixels = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
    return Image.fromarray(pixels if alpha is None else np.concatenate([pixels, alpha], axis=2))


def _xmp_text(xmp: bytes) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return info
