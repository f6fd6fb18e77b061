"""Read and write image files without loss; writing is atomic.

Read: JPEG, PNG, WebP, TIFF, BMP, GIF (the first frame), AVIF and HEIC where the installed Pillow can.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from torch import Tensor

from ganvas.errors import BadConfig, BadImage, ImageWarning
from ganvas.images.decode import HAS_AVIF, decode_image
from ganvas.images.encode import encode_image
from ganvas.images.photo import Photo
from ganvas.images.walk import IMAGE_SUFFIXES
from ganvas.ops.new_file import write_new_file

MAX_FILE_BYTES = 2**31
_ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


def read_image(source: _ImageSource, *, max_pixels: int | None = None) -> Photo:
    """Read an image, upright, as img for the models, with everything else of the file.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        max_pixels: refuse larger pictures, by their header, before anything is unpacked. None = 179 million, as Pillow
            has it, and for a file that is very small for its size in pixels (a blank page, or a bomb) 32 million.

    Returns:
        A Photo; `.img` is float32 [1, 3, H, W], sRGB, in [-1, 1]. Of a file with several frames or pages, the first;
        what else there is stands in `.companions`, and an `ImageWarning` says so.

    Raises:
        BadImage: no file, an empty or a broken one, not a picture, or too large a one; the message names the file.
    """
    name, path, data = _read_source(source)
    photo = decode_image(data, name=name, path=path, max_pixels=max_pixels)
    for words in photo.companions:
        warnings.warn(f"{name}: {words}", ImageWarning, stacklevel=2)
    return photo


def write_image(
    picture: Photo | Tensor,
    path: str | os.PathLike[str],
    *,
    quality: int = 95,
    lossless: bool = False,
    bits: int | None = None,
    background: str | None = None,
    recipe: str | None = None,
    digital_source: str | None = None,
    disclose: bool = True,
) -> Path:
    """Write an image; the suffix decides the format.

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
        digital_source: "trainedAlgorithmicMedia" for what a model made, "compositeWithTrainedAlgorithmicMedia" for a
            photo that it changed; None = what the photo says.
        disclose: say in the XMP of the file that a model made or changed the picture, where the format has XMP: all
            but .bmp and .gif.

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
    if digital_source is not None:
        photo = replace(photo, digital_source=digital_source)
    check_target(path)
    data = encode_image(
        photo, format, quality=quality, lossless=lossless, bits=bits, background=background, disclose=disclose
    )
    with write_image_file(path) as part:
        part.write_bytes(data)
    return path


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that a file name asks for.

    Raises:
        BadConfig: an unknown suffix, or one that the installed Pillow cannot write.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".avif" and not HAS_AVIF:
        raise BadConfig(f"{path}: the installed Pillow cannot write AVIF. Use .png or .jpg, or pip install -U pillow.")
    if suffix not in IMAGE_SUFFIXES:
        raise BadConfig(f"{path}: supported formats are {', '.join(IMAGE_SUFFIXES)}; got {suffix or 'no suffix'!r}")
    return IMAGE_SUFFIXES[suffix]


def _read_source(source: _ImageSource) -> tuple[str, Path | None, bytes]:
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
        plain = stat.S_ISREG(status.st_mode)  # a pipe would keep us waiting
        data = path.read_bytes() if plain and status.st_size <= MAX_FILE_BYTES else b""
    except FileNotFoundError as error:
        raise BadImage(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise BadImage(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise BadImage(f"{path} is a folder; read_image expects an image file")
    if not plain:
        raise BadImage(f"{path} is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise BadImage(f"{path} has {status.st_size:,} bytes; the limit is {MAX_FILE_BYTES:,} bytes")
    return data


def _not_empty(data: bytes, name: str) -> bytes:
    if not data:
        raise BadImage(f"{name} is empty (0 bytes)")
    if len(data) > MAX_FILE_BYTES:
        raise BadImage(f"{name} is too large; the limit is {MAX_FILE_BYTES:,} bytes")
    return data


def _photo_of(img: Tensor) -> Photo:
    if isinstance(img, Tensor) and img.ndim == 4 and img.shape[1] == 1:
        return Photo(img=img.expand(-1, 3, -1, -1), space="grey")
    return Photo(img=img)


def check_target(path: Path) -> None:
    """Is there a folder that a file of this name can be written to?

    Raises:
        BadImage: no such folder, one that cannot be written, or a folder, a device or a pipe of this name.
    """
    if path.is_dir():
        raise BadImage(f"{path} is a folder; expected a file name")
    if path.exists() and not path.is_file():
        raise BadImage(f"{path} is a device or a pipe; expected a file name")  # renaming would put a file in its place
    if not path.parent.is_dir():
        raise BadImage(f"{path} cannot be written: the folder {path.parent} does not exist")
    if not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK | os.X_OK):
        raise BadImage(f"{path} cannot be written: the folder {path.parent} may not be written to")


@contextmanager
def write_image_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """`write_new_file`, refused as an image is.

    Raises:
        BadImage: the file cannot be written; an old one is still there.
    """
    try:
        with write_new_file(path, suffix) as part:
            yield part
    except OSError as error:
        raise BadImage(f"{path} cannot be written: {error.strerror or error}") from error
