"""Photo: an image as img for the models, with everything else of its file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.checks import check_img, check_mask
from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.images import tiff_tags
from ganvas.images.colour import COLOUR_CHANNELS, ColourSpace, colour_space_of
from ganvas.images.digital_source import DIGITAL_SOURCES
from ganvas.images.tensors import bands, to_pixels

# Two pictures count as equal in a pixel where they differ less than this: an eighth of a 16-bit level.
SAME_TOLERANCE = 4e-6
COLOUR_CHUNKS = ("gAMA", "cHRM", "sRGB", "cICP")  # of a PNG: what its numbers mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """One image; created by `read_image`, changed by `with_img`, written by `write_image`.

    What is untouched stays what it was: where `img` still says what the file said, `write_image` writes the file's own
    numbers again, also under a colour profile and in CMYK.
    """

    img: Tensor  # float [1, 3, H, W], sRGB, [-1, 1], upright; a grey photo has three equal channels
    alpha: Tensor | None = None  # float [1, 1, H, W] in [0, 1], 0 = transparent; the colours are not multiplied by it
    bits: int = 8  # 8 or 16: the depth of the file, and the depth at which it is written
    space: str = "rgb"  # "grey", "rgb" or "cmyk": what the file's numbers mean
    native: np.ndarray | None = None  # [H, W, C] the file's own numbers, where `img` alone does not tell them
    palette: np.ndarray | None = None  # [P, 4] uint8 RGBA of a palette picture, so that it can be one again
    icc_profile: bytes | None = None
    exif: bytes | None = None  # an EXIF block from its byte order mark on, without the orientation: that is spent
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None  # dots per inch, x and y
    text: dict[str, str] = field(default_factory=dict)  # the text chunks of a PNG, the comment of a JPEG
    recipe: str | None = None  # how ganvas made this picture
    digital_source: str | None = None  # what a model did to it since it was read: one of DIGITAL_SOURCES
    path: Path | None = None  # where it was read
    format: str | None = None  # "JPEG", "PNG", …
    mode: str | None = None  # the file's own word for its pixels: "P", "LA", "RGB;16", …
    segments: tuple[tuple[str, bytes], ...] = ()  # private parts of this format: IPTC of a JPEG, gamma of a PNG
    companions: tuple[str, ...] = ()  # what else the file had and this has not: "1 of 4 frames", "without its HDR …"

    def __post_init__(self) -> None:
        check_img(self.img, who="Photo")
        if len(self.img) != 1:
            raise BadImage(f"a Photo needs img of shape [1, 3, H, W], got {list(self.img.shape)}")
        check_known(self.space, COLOUR_CHANNELS, what="colour space")
        if self.digital_source is not None:
            check_known(self.digital_source, DIGITAL_SOURCES, what="digital source")
        if self.bits not in (8, 16):
            raise BadConfig(f"a Photo has 8 or 16 bits, got {self.bits}")
        if self.alpha is not None:
            check_mask(self.alpha, who="the alpha of a Photo", height=self.height, width=self.width)
        if self.native is not None and self.native.shape != (self.height, self.width, COLOUR_CHANNELS[self.space]):
            raise BadImage(
                f"a Photo's native pixels must match its img, here [{self.height}, {self.width}, "
                f"{COLOUR_CHANNELS[self.space]}], got {list(self.native.shape)}. Change the image with "
                "photo.with_img(img)."
            )

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.img.shape[3]

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.img.shape[2]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def grey(self) -> bool:
        """True where the file has no colours."""
        return self.space == "grey"

    @property
    def name(self) -> str:
        """What an error message calls this photo."""
        return str(self.path) if self.path is not None else "the picture"

    def with_img(
        self, img: Tensor, *, alpha: Tensor | None = None, grey: bool | None = None, recipe: str | None = None
    ) -> Photo:
        """The same photo with a different img; depth, profile and metadata are kept.

        Args:
            img: [1, 3, H, W] (or [1, 1, H, W]) in [-1, 1], of any size.
            alpha: [1, 1, H, W] in [0, 1]; None keeps the old one, which must still fit.
            grey: a grey photo stays grey (the luma of `img` is taken) unless this is False; True makes any photo grey.
            recipe: how the new picture was made. An old recipe does not stay: it describes the old picture.

        Raises:
            BadImage: another shape, or another size while the old alpha would have to stay.
        """
        check_img(img, who="Photo.with_img", channels=None)
        if img.shape[1] not in (1, 3):
            raise BadImage(f"Photo.with_img expects img of shape [1, 3, H, W], got {list(img.shape)}")
        if alpha is None and self.alpha is not None and self.alpha.shape[2:] != img.shape[2:]:
            raise BadImage(
                f"{self.name} has transparency for {self.width} x {self.height} pixels; the new image has "
                f"{img.shape[3]} x {img.shape[2]}. Resize photo.alpha as well and pass it: with_img(img, "
                "alpha=…)."
            )
        space = self.space if grey is None else "grey" if grey else _space_with_colour(self.space)
        img = img.expand(-1, 3, -1, -1)
        return replace(
            self,
            img=_to_grey(img) if space == "grey" else img,
            alpha=self.alpha if alpha is None else alpha,
            space=space,
            native=self.native if space == self.space and img.shape == self.img.shape else None,
            icc_profile=self.icc_profile if space == self.space else None,
            segments=tuple(one for one in self.segments if space == self.space or one[0] not in COLOUR_CHUNKS),
            exif=None if self.exif is None else tiff_tags.remove_thumbnail(self.exif),
            recipe=recipe,
        )

    def colours(self) -> ColourSpace | None:
        """How the file's own colours become sRGB; None where they are sRGB already."""
        return colour_space_of(self.icc_profile, self.space)

    def native_pixels(self, *, bits: int | None = None) -> np.ndarray:
        """The pixels in the file's own colours, [H, W, 1 | 3 | 4]: untouched ones as they were, edited ones converted.

        Args:
            bits: 8 or 16; None = the photo's own depth.

        Raises:
            OneWay: something was edited, and the profile has no way back from sRGB.
        """
        colours = self.colours()
        if colours is None:
            return self.srgb_pixels(bits=bits)
        own = self._merge_native(colours)
        return own if bits in (None, self.bits) else _rescale_depth(own, bits=bits or self.bits)

    def srgb_pixels(self, *, bits: int | None = None) -> np.ndarray:
        """The pixels in sRGB, [H, W, 1 | 3]."""
        img = _luma(self.img) if self.grey else self.img
        return to_pixels(img, bits=bits or self.bits)

    def alpha_pixels(self, *, bits: int | None = None) -> np.ndarray | None:
        """Alpha as whole numbers, [H, W, 1], or None."""
        return None if self.alpha is None else to_pixels(self.alpha * 2 - 1, bits=bits or self.bits)

    def _merge_native(self, colours: ColourSpace) -> np.ndarray:
        """The file's own numbers where `img` still shows them, `img` converted where it does not."""
        if self.native is None:
            return colours.from_srgb(self.img.detach(), bits=self.bits)
        own = self.native.copy()
        for rows in bands(self.height, self.width, pixels=2**22):
            _merge_changes(own[rows], self.img[:, :, rows].detach().to("cpu", torch.float32), colours, self.bits)
        return own


def _merge_changes(own: np.ndarray, img: Tensor, colours: ColourSpace, bits: int) -> None:
    """Put what `img` [1, 3, H, W] shows into the file's own numbers [H, W, C] wherever these show something else."""
    before = colours.to_srgb(own)
    changed = ((img - before).abs() > SAME_TOLERANCE).any(dim=1)[0]  # [H, W]
    if changed.any():
        where = changed.numpy()
        new = colours.from_srgb(img[:, :, changed][:, :, None], bits=bits)[0]  # [P, C]
        old = colours.from_srgb(before[:, :, changed][:, :, None], bits=bits)[0]
        # A change too small for the depth leaves the file's number alone, also where sRGB could not show it.
        own[where] = np.where((new == old).all(axis=-1, keepdims=True), own[where], new)


def _space_with_colour(space: str) -> str:
    return "rgb" if space == "grey" else space


def _luma(img: Tensor) -> Tensor:
    """[1, 3, H, W] → [1, 1, H, W], ITU-R BT.601 weights, the ones every picture tool greys with."""
    red, green, blue = img.split(1, dim=1)
    return torch.where((red == green) & (red == blue), red, 0.299 * red + 0.587 * green + 0.114 * blue)


def _to_grey(img: Tensor) -> Tensor:
    return _luma(img).expand(-1, 3, -1, -1).contiguous()


def _rescale_depth(pixels: np.ndarray, *, bits: int) -> np.ndarray:
    if bits == 16:
        return pixels.astype(np.uint16) * 257
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
