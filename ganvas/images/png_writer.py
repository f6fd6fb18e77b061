"""A PNG written strip by strip, so that a picture larger than the memory can be: 8 or 16 bits, with all metadata."""

from __future__ import annotations

import struct
import zlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ganvas.errors import BadImage
from ganvas.images.colour import OneWayProfile
from ganvas.images.files import write_image_file
from ganvas.images.metadata import insert_png_metadata
from ganvas.images.photo import Photo
from ganvas.images.png16 import COLOUR_TYPES, PACK_LEVEL, PNG_SIGNATURE, filter_rows, png_chunk
from ganvas.images.tensors import bands


class PngStripWriter:
    """A PNG being written, from top to bottom; on the disk under its name only when all of it is there.

        with PngStrips(path, template) as file:
            for img, alpha in strips:
                file.put(img, alpha)

    Args:
        path: where it goes; an existing file is replaced at the end.
        template: a Photo of the picture's size that says all but the pixels: depth, greyness, transparency, profile,
            metadata. Its own pixels are not looked at.
    """

    def __init__(self, path: Path, template: Photo):
        self.path, self.template = Path(path), template
        self._own_colours = template.space != "cmyk" and _has_inverse_profile(template)
        self._packer: Any = zlib.compressobj(PACK_LEVEL)
        self._row = 0
        self._above: np.ndarray | None = None

    def __enter__(self) -> PngStripWriter:
        with ExitStack() as stack:
            self._file = stack.enter_context(open(stack.enter_context(write_image_file(self.path)), "wb"))
            self._write_head()
            self._open = stack.pop_all()
        return self

    def _write_head(self) -> None:
        channels = (1 if self.template.grey else 3) + (self.template.alpha is not None)
        width, height = self.template.size
        head = struct.pack(">IIBBBBB", width, height, self.template.bits, COLOUR_TYPES[channels], 0, 0, 0)
        profile = self.template.icc_profile if self._own_colours else None
        self._write(insert_png_metadata(PNG_SIGNATURE + png_chunk(b"IHDR", head), self.template, profile))

    def write_rows(self, img: Tensor, alpha: Tensor | None = None) -> None:
        """The next rows: img [1, 3, rows, W] in [-1, 1], alpha [1, 1, rows, W] in [0, 1] where the template has it.

        Raises:
            BadImage: it cannot be written.
        """
        pixels = self._pixels(img, alpha)
        line_bytes = pixels.shape[1] * pixels.shape[2] * pixels.itemsize
        big_endian = pixels.astype(pixels.dtype.newbyteorder(">"))
        for rows in bands(*pixels.shape[:2]):
            lines = big_endian[rows].reshape(-1, line_bytes // pixels.itemsize).view(np.uint8)
            above = np.zeros(line_bytes, np.uint8) if self._above is None else self._above
            self._data(self._packer.compress(filter_rows(lines, above, line_bytes // pixels.shape[1]).tobytes()))
            self._above = lines[-1]
        self._row += pixels.shape[0]

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self._open.__exit__(*error)
            return
        with self._open:
            assert self._row == self.template.height, "as many rows as in the template"
            self._data(self._packer.flush())
            self._write(png_chunk(b"IEND", b""))

    def _pixels(self, img: Tensor, alpha: Tensor | None) -> np.ndarray:
        """[rows, W, C] as the file has them."""
        strip = replace(self.template, img=img, alpha=alpha)
        pixels = strip.native_pixels() if self._own_colours else strip.srgb_pixels()
        alpha_pixels = strip.alpha_pixels()
        return pixels if alpha_pixels is None else np.concatenate([pixels, alpha_pixels], axis=2)

    def _data(self, packed: bytes) -> None:
        if packed:
            self._write(png_chunk(b"IDAT", packed))

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise BadImage(f"{self.path} cannot be written: {error.strerror or error}") from error


def _has_inverse_profile(template: Photo) -> bool:
    """Whether the profile can say what colours our pixels have."""
    dot = replace(template, img=template.img[:, :, :1, :1], alpha=None, native=None)
    try:
        dot.native_pixels()
    except OneWayProfile:
        return False
    return True
