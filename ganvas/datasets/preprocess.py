"""Preprocessing of one photo of any size to a training image.

Shrinking is done by Pillow's Lanczos filter, widened with the scale so that nothing of the photo falls between two
samples. That is part of a data set's identity: Fréchet distances differ by a fifth between one filter and another.
A JPEG of four times the size or more is decoded at a half, a quarter or an eighth first, never below twice the size.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image, ImageColor, JpegImagePlugin
from torch import Tensor

from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.images.crop import Crop
from ganvas.images.decode import decode_image
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels, to_pixels

FILTER = "Lanczos"
CROPS = ("center", "pad")
HALVES = ("left", "right")
MAX_RESOLUTION = 4096

Aligner = Callable[[Tensor], Sequence[Crop]]  # img [1, 3, H, W] → the squares worth having; may raise BadImage, NoFace


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What a file was before it was made to fit."""

    width: int
    height: int
    grey: bool = False
    alpha: bool = False
    deep: bool = False  # 16 bits a channel

    @property
    def square(self) -> bool:
        """As wide as high."""
        return self.width == self.height


@dataclass(frozen=True, kw_only=True)
class ImagePreprocessor:
    """Preprocesses photos to images of the dataset."""

    resolution: int
    crop: str = "center"  # "center": the largest square in the middle; "pad": the whole photo, bars beside it
    background: str = "white"  # behind transparency and beside padded photos
    channels: int = 3  # 3 = colour (a grey photo gets three equal channels), 1 = grey
    smallest: int | None = None  # leave out photos with fewer pixels across; None = half the resolution
    half: str | None = None  # "left" or "right": only that half of each photo, where two stand side by side
    window: tuple[int, int] | None = None  # (width, height) of what is cut from the middle; bars fill the square

    def __post_init__(self) -> None:
        if not 4 <= self.resolution <= MAX_RESOLUTION:
            raise BadConfig(f"resolution must be from 4 to {MAX_RESOLUTION:,} pixels, got {self.resolution}")
        check_known(self.crop, CROPS, what="crop")
        if self.half is not None:
            check_known(self.half, HALVES, what="half")
        if self.channels not in (1, 3):
            raise BadConfig(f"channels must be 1 (grey) or 3 (colour), got {self.channels}")
        self._background()
        if self.window is not None and (max(self.window) != self.resolution or min(self.window) < 4):
            raise BadConfig(
                f"a window of {self.window[0]} x {self.window[1]} pixels needs resolution={max(self.window)}, got "
                f"{self.resolution}, and at least 4 pixels to each side"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, resolution, resolution)."""
        return self.channels, self.resolution, self.resolution

    @property
    def bytes_each(self) -> int:
        """Bytes of one picture."""
        return self.channels * self.resolution**2

    @property
    def at_least_px(self) -> int:
        """The least that a photo must have across."""
        return max(1, self.resolution // 2) if self.smallest is None else self.smallest

    def settings(self) -> dict[str, object]:
        """Everything that the numbers depend on."""
        said = asdict(self) | {"smallest": self.at_least_px, "filter": FILTER}
        return {name: value for name, value in said.items() if value is not None or name not in ("half", "window")}

    def read(self, data: bytes, *, name: str) -> tuple[np.ndarray, ImageFacts]:
        """The contents of a picture file → (uint8 [C, R, R], what the file was).

        Raises:
            BadImage: broken, no picture, or too small.
        """
        size = self._worth_shrinking(data)
        photo = decode_image(data, name=name, at_least_px=2 * self.resolution if size else None)
        facts = _image_facts(photo, size)
        if self.half is None:
            self.check_size(facts, name=name)
            return self.preprocess(photo.img, photo.alpha), facts
        facts = replace(facts, width=facts.width // 2)
        self.check_size(facts, name=name)
        side = slice(0, photo.width // 2) if self.half == "left" else slice(photo.width - photo.width // 2, None)
        return self.preprocess(photo.img[..., side], None if photo.alpha is None else photo.alpha[..., side]), facts

    def read_aligned(self, data: bytes, align: Aligner, *, name: str) -> tuple[list[np.ndarray], ImageFacts]:
        """The same for the crops given by `align`; each becomes an image.

        Raises:
            BadImage: as `read`; NoFace and others: what `align` raises.
        """
        photo = decode_image(data, name=name)
        return self.crop_aligned(photo.img, align, alpha=photo.alpha), _image_facts(photo, None)

    def crop_aligned(self, img: Tensor, align: Aligner, alpha: Tensor | None = None) -> list[np.ndarray]:
        """The squares of img [1, 3, H, W] that `align` wants, each uint8 [C, R, R].

        Raises:
            BadImage: none that is large enough.
        """
        img = self._composite(img, alpha)
        crops = align(img)
        large = [crop for crop in crops if crop.side >= self.at_least_px]
        if not large:
            what = f"faces of {max(crop.side for crop in crops):.0f} pixels at most" if crops else "nothing"
            raise BadImage(f"has {what} to align on; at least {self.at_least_px} pixels are needed")
        return [self.cut(img, crop) for crop in large]

    def preprocess(self, img: Tensor, alpha: Tensor | None = None) -> np.ndarray:
        """img [1, 3, H, W], alpha [1, 1, H, W] or None → uint8 [C, R, R]."""
        picture = Image.fromarray(to_pixels(self._composite(img, alpha)))
        if self.window is not None:
            return self._to_array(self._window_crop(picture, *self.window))
        small = self._pad_to_square(picture) if self.crop == "pad" else self._center_crop(picture)
        return self._to_array(small)

    def cut(self, img: Tensor, crop: Crop) -> np.ndarray:
        """The square `crop` of img [1, 3, H, W] → uint8 [C, R, R], by the same filter."""
        times = max(1, min(8, round(crop.side / self.resolution)))
        fine = Image.fromarray(to_pixels(crop.cut(img, resolution=times * self.resolution)))
        return self._to_array(fine.resize((self.resolution,) * 2, Image.Resampling.LANCZOS))

    def check_size(self, facts: ImageFacts, *, name: str) -> None:
        """Raises BadImage where the photo has too few pixels to be worth learning from."""
        across: float = (max if self.crop == "pad" else min)(facts.width, facts.height)
        if self.window is not None:
            across = self.resolution * min(facts.width / self.window[0], facts.height / self.window[1])
        if across < self.at_least_px:
            raise BadImage(
                f"{name} has {facts.width} x {facts.height} pixels, less than {self.at_least_px}: at "
                f"{self.resolution} it would be too blurry"
            )

    def _worth_shrinking(self, data: bytes) -> tuple[int, int] | None:
        if not data.startswith(b"\xff\xd8\xff"):
            return None
        try:
            size = JpegImagePlugin.JpegImageFile(io.BytesIO(data)).size
        except Exception:  # broken: the decoder will say how
            return None
        return size if min(size) >= 4 * self.resolution else None

    def _composite(self, img: Tensor, alpha: Tensor | None) -> Tensor:
        if alpha is None:
            return img
        behind = from_pixels(np.array([[self._background()]], np.uint8))  # [1, 3, 1, 1]
        return img * alpha + behind * (1 - alpha)

    def _background(self) -> tuple[int, int, int]:
        try:
            return ImageColor.getrgb(self.background)[:3]
        except ValueError as error:
            raise BadConfig(f"background must be a colour such as white or #204060, got {self.background!r}") from error

    def _center_crop(self, picture: Image.Image) -> Image.Image:
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        return picture.resize((self.resolution,) * 2, Image.Resampling.LANCZOS, box=box)

    def _window_crop(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        """The largest part of this shape in the middle, with bars above and below it, or beside it."""
        scale = min(picture.width / width, picture.height / height)
        left, top = (picture.width - scale * width) / 2, (picture.height - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
        square = Image.new("RGB", (self.resolution,) * 2, self._background())
        part = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
        square.paste(part, ((self.resolution - width) // 2, (self.resolution - height) // 2))
        return square

    def _pad_to_square(self, picture: Image.Image) -> Image.Image:
        scale = self.resolution / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        square = Image.new("RGB", (self.resolution,) * 2, self._background())
        place = (self.resolution - size[0]) // 2, (self.resolution - size[1]) // 2
        square.paste(picture.resize(size, Image.Resampling.LANCZOS), place)
        return square

    def _to_array(self, picture: Image.Image) -> np.ndarray:
        """[C, R, R]."""
        if self.channels == 1:
            return np.asarray(picture.convert("L"))[None].copy()
        return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _image_facts(photo: Photo, size: tuple[int, int] | None) -> ImageFacts:
    """`size` is what the file has, where the photo was decoded smaller; it may stand on its side."""
    width, height = size or photo.size
    if (width > height) != (photo.width > photo.height) and width != height:
        width, height = height, width
    return ImageFacts(width=width, height=height, grey=photo.grey, alpha=photo.alpha is not None, deep=photo.bits == 16)
