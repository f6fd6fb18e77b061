"""Crop: the square of a photo that a model works on, and pasting it back.

Points are (x, y) in pixels from the photo's top left corner; the middle of the top left pixel is (0.5, 0.5). The same
holds inside a crop, whatever its resolution.

Source of the face square: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks", appendix A, which places it as in Karras et al. 2018, "Progressive Growing of GANs", appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_img, check_mask
from ganvas.errors import BadConfig, BadImage, BadMask, NoFace
from ganvas.images.masks import superellipse
from ganvas.images.photo import Photo

_BAND_SAMPLES = 2**20  # taken at a time
_LARGEST = 8  # times the photo's longer side; a larger square would be mostly mirror image

_Points = Tensor | Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Window:
    """An upright rectangle of whole pixels in a photo."""

    left: int
    top: int
    width: int
    height: int

    def crop(self, img: Tensor) -> Tensor:
        """The part [N, C, height, width] of a photo-sized img; a view."""
        return img[:, :, self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A square in a photo: centre, side and rotation.

    It may stand askew and reach over the photo's edge, where the photo is mirrored.
    """

    x: float  # the middle, in pixels of the photo
    y: float
    side: float  # in pixels of the photo
    angle_deg: float = 0.0  # how far the square is turned clockwise, as one sees it

    def __post_init__(self) -> None:
        numbers = (self.x, self.y, self.side, self.angle_deg)
        if not all(math.isfinite(number) for number in numbers) or self.side <= 0:
            raise BadMask(f"a Crop needs finite numbers and a side of more than 0 pixels, got {self}")

    @classmethod
    def from_box(cls, left: float, top: float, right: float, bottom: float) -> Crop:
        """The smallest upright square around the middle of a box that holds all of it.

        Raises:
            BadMask: an empty box.
        """
        if not (left < right and top < bottom):
            raise BadMask(f"a box is (left, top, right, bottom), got {(left, top, right, bottom)}")
        return cls(x=(left + right) / 2, y=(top + bottom) / 2, side=max(right - left, bottom - top))

    @classmethod
    def from_eyes_and_mouth(cls, left_eye: Sequence[float], right_eye: Sequence[float], mouth: Sequence[float]) -> Crop:
        """The aligned crop on which face models were trained (as in FFHQ).

        Args:
            left_eye: the middle of the eye on the left of the picture, (x, y).
            right_eye: the one on the right.
            mouth: the middle of the mouth.

        Raises:
            NoFace: the three points fall together, or lie on a line so that no square follows from them.
        """
        eye_to_eye = (right_eye[0] - left_eye[0], right_eye[1] - left_eye[1])
        middle = ((right_eye[0] + left_eye[0]) / 2, (right_eye[1] + left_eye[1]) / 2)
        eye_to_mouth = (mouth[0] - middle[0], mouth[1] - middle[1])
        # Both say where right is: the eyes directly, the way down to the mouth after a quarter turn.
        right = (eye_to_eye[0] + eye_to_mouth[1], eye_to_eye[1] - eye_to_mouth[0])
        length = math.hypot(*right)
        half = max(2.0 * math.hypot(*eye_to_eye), 1.8 * math.hypot(*eye_to_mouth))
        if not length > 1e-3 * half > 0:
            raise NoFace(f"no face crop can be computed from eyes {left_eye}, {right_eye} and mouth {mouth}")
        return cls(
            x=middle[0] + 0.1 * eye_to_mouth[0],
            y=middle[1] + 0.1 * eye_to_mouth[1],
            side=2 * half,
            angle_deg=math.degrees(math.atan2(right[1], right[0])),
        )

    @classmethod
    def from_landmarks(cls, points: _Points) -> Crop:
        """The same from the five points of a face finder: left eye, right eye, nose, left and right mouth corner.

        Args:
            points: [5, 2], left and right as one sees them in the picture.

        Raises:
            NoFace: another number of points, or points that make no square.
        """
        landmarks = torch.as_tensor(points, dtype=torch.float64)
        if landmarks.shape != (5, 2):
            raise NoFace(f"a face has five landmarks [5, 2], got {list(landmarks.shape)}")
        left_eye, right_eye, _, left_mouth, right_mouth = landmarks.tolist()
        mouth = [(a + b) / 2 for a, b in zip(left_mouth, right_mouth, strict=True)]
        return cls.from_eyes_and_mouth(left_eye, right_eye, mouth)

    def rescale(self, factor: float) -> Crop:
        """The same square in the photo made `factor` times larger."""
        return Crop(x=self.x * factor, y=self.y * factor, side=self.side * factor, angle_deg=self.angle_deg)

    # ── points ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def corners(self) -> Tensor:
        """[4, 2] float64: top left, top right, bottom right, bottom left, as the crop sees them."""
        return self.to_photo_coords([[0, 0], [1, 0], [1, 1], [0, 1]], resolution=1)

    def to_crop_coords(self, points: _Points, *, resolution: int) -> Tensor:
        """Points of the photo → points of the crop cut at `resolution`. [P, 2] → [P, 2] float64."""
        x, y = _columns(points)
        right, down = self._axes()
        along = (x - self.x) * right[0] + (y - self.y) * right[1]
        across = (x - self.x) * down[0] + (y - self.y) * down[1]
        return torch.stack([along, across], dim=1) * (resolution / self.side) + resolution / 2

    def to_photo_coords(self, points: _Points, *, resolution: int) -> Tensor:
        """Points of the crop cut at `resolution` → points of the photo. [P, 2] → [P, 2] float64."""
        x, y = _columns(points)
        right, down = self._axes()
        along, across = (x / resolution - 0.5) * self.side, (y / resolution - 0.5) * self.side
        return torch.stack(
            [self.x + along * right[0] + across * down[0], self.y + along * right[1] + across * down[1]], dim=1
        )

    def _axes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The crop's directions to the right and down, as unit vectors of the photo."""
        turn = math.radians(self.angle_deg)
        return (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))

    # ── pictures and masks ───────────────────────────────────────────────────────────────────────────────────────────

    def cut(self, img: Tensor, *, resolution: int) -> Tensor:
        """Extract the square at any resolution.

        Each pixel of the crop is the mean of n x n bilinear samples spread evenly over it, n = side / resolution
        rounded up, so that nothing of the photo falls between the samples when it shrinks.

        Args:
            img: [1, C, H, W], the whole photo.
            resolution: pixels of the crop, across and down.

        Returns:
            [1, C, resolution, resolution] of img's dtype and device.

        Raises:
            BadMask: the square lies outside the photo, or is far larger than it.
        """
        check_img(img, who="Crop.cut", channels=None)
        return self._cut(img, resolution, padding="reflection")

    def cut_mask(self, mask: Tensor, *, resolution: int) -> Tensor:
        """A mask of the photo → a mask of the crop; outside the photo there is nothing to edit.

        Args:
            mask: [1, 1, H, W] in [0, 1].

        Returns:
            [1, 1, resolution, resolution].
        """
        check_mask(mask, who="Crop.cut_mask", height=mask.shape[-2], width=mask.shape[-1])
        return self._cut(mask, resolution, padding="zeros").clamp_(0, 1)

    def _cut(self, img: Tensor, resolution: int, *, padding: str) -> Tensor:
        if resolution < 1:
            raise BadConfig(f"a crop has a resolution of 1 or more pixels, got {resolution}")
        self.window(width=img.shape[3], height=img.shape[2])  # somewhere within the photo
        right, down = self._axes()
        step = self.side / resolution
        origin = self.corners[0].tolist()
        grid = _Grid(
            origin=(origin[0], origin[1]),
            right=(right[0] * step, right[1] * step),
            down=(down[0] * step, down[1] * step),
            samples=max(1, math.ceil(step - 1e-6)),
        )
        return grid.sample(img, resolution, resolution, padding=padding)

    def window(self, *, width: int, height: int) -> Window:
        """The smallest rectangle of a width x height photo that holds all of the square's part in it.

        Raises:
            BadMask: the square lies outside the photo, or is far larger than it.
        """
        low, high = self.corners.amin(dim=0), self.corners.amax(dim=0)
        left, top = (max(0, math.floor(edge)) for edge in low.tolist())
        right, bottom = (min(most, math.ceil(edge)) for edge, most in zip(high.tolist(), (width, height), strict=True))
        if left >= right or top >= bottom:
            raise BadMask(f"{self} lies outside the photo of {width} x {height} pixels")
        if self.side > _LARGEST * max(width, height):
            raise BadMask(f"{self} is more than {_LARGEST} times as large as the photo of {width} x {height} pixels")
        return Window(left=left, top=top, width=right - left, height=bottom - top)

    def warp_back(self, img: Tensor, window: Window) -> Tensor:
        """A picture (or mask, or several stacked as channels) of the crop, as it lies in the photo.

        Args:
            img: [1, C, R, R], of the crop at any resolution R.
            window: where in the photo, usually `crop.window(width=…, height=…)`.

        Returns:
            [1, C, window.height, window.width]; outside the square the crop's edge is continued, see `coverage`.
        """
        check_img(img, who="Crop.warp_back", channels=None)
        if img.shape[2] != img.shape[3]:
            raise BadImage(f"Crop.warp_back expects a square [1, C, R, R], got {list(img.shape)}")
        return self._back_grid(window, img.shape[3]).sample(img, window.height, window.width, padding="border")

    def turn_back(self, field: Tensor, *, resolution: int) -> Tensor:
        """Arrows in pixels of a crop at `resolution` as arrows in pixels of the photo: [1, 2, H, W], (x, y)."""
        right, down = self._axes()
        step = self.side / resolution
        along, across = field[:, :1] * step, field[:, 1:] * step
        return torch.cat([along * right[0] + across * down[0], along * right[1] + across * down[1]], dim=1)

    def coverage(self, window: Window) -> Tensor:
        """How much of each pixel of the window lies in the square: [1, 1, height, width], 0 … 1."""
        return self._back_grid(window, 1, samples=4).compute_coverage(window.height, window.width)

    def _back_grid(self, window: Window, resolution: int, samples: int = 1) -> _Grid:
        origin = self.to_crop_coords([[window.left, window.top]], resolution=resolution)[0].tolist()
        right, down = self._axes()
        step = resolution / self.side
        return _Grid(
            origin=(origin[0], origin[1]),
            right=(right[0] * step, down[0] * step),
            down=(right[1] * step, down[1] * step),
            samples=max(samples, math.ceil(step - 1e-6)),
        )


@dataclass(frozen=True)
class _Grid:
    """Where the pixels of a target lie in a source: pixel (column, row) begins at origin + column·right + row·down.

    Each is sampled at samples x samples places spread evenly over it. All in pixels of the source.
    """

    origin: tuple[float, float]
    right: tuple[float, float]
    down: tuple[float, float]
    samples: int

    def sample(self, img: Tensor, height: int, width: int, *, padding: str) -> Tensor:
        """The target [1, C, height, width]; padding is that of torch's grid_sample."""
        source, left, top = self._source_region(img, height, width, padding)
        target = img.new_empty(1, img.shape[1], height, width)
        if 0 in source.shape:
            return target.zero_()
        scale = torch.tensor([2 / source.shape[3], 2 / source.shape[2]], dtype=torch.float64)
        for row, count in self._bands(height, width):
            places = self._places(row, count, width) - torch.tensor([left, top], dtype=torch.float64)
            grid = (places * scale - 1).to(source)[None]  # torch's −1 and 1 are the outer edges of the picture
            fine = F.grid_sample(source, grid, mode="bilinear", padding_mode=padding, align_corners=False)
            target[:, :, row : row + count] = F.avg_pool2d(fine, self.samples) if self.samples > 1 else fine
        return target

    def compute_coverage(self, height: int, width: int) -> Tensor:
        """The share of each target pixel's samples that fall into the unit square of the source."""
        target = torch.empty(1, 1, height, width)
        reach = torch.tensor([(abs(self.right[axis]) + abs(self.down[axis])) / 2 for axis in (0, 1)])
        middles = replace(self, samples=1)
        for row, count in middles._bands(height, width):
            places = middles._places(row, count, width)
            sure = ((places > reach) & (places < 1 - reach)).all(dim=2)
            edge = ((places > -reach) & (places < 1 + reach)).all(dim=2) & ~sure
            part = target[0, 0, row : row + count]
            part.copy_(sure)
            part[edge] = self._count_inside(edge.nonzero() + torch.tensor([row, 0]))
        return target

    def _count_inside(self, pixels: Tensor) -> Tensor:
        """The same of single pixels [P, 2], (row, column): few, those that the square's edge may cross."""
        steps = (torch.arange(self.samples, dtype=torch.float64) + 0.5) / self.samples
        rows, columns = (pixels[:, axis, None] + steps for axis in (0, 1))
        inside = torch.ones(len(pixels), self.samples, self.samples, dtype=torch.bool)
        for axis in (0, 1):
            place = self.origin[axis] + rows[:, :, None] * self.down[axis] + columns[:, None, :] * self.right[axis]
            inside &= (place >= 0) & (place <= 1)
        return inside.float().mean(dim=(1, 2))

    def _bands(self, height: int, width: int) -> list[tuple[int, int]]:
        step = max(1, _BAND_SAMPLES // (width * self.samples**2))
        return [(row, min(step, height - row)) for row in range(0, height, step)]

    def _places(self, row: int, count: int, width: int) -> Tensor:
        """[count · samples, width · samples, 2] float64: the (x, y) of every sample of `count` rows."""
        n = self.samples
        columns = (torch.arange(width * n, dtype=torch.float64) + 0.5) / n
        rows = (torch.arange(count * n, dtype=torch.float64) + 0.5) / n + row
        axes = [
            self.origin[axis] + rows[:, None] * self.down[axis] + columns[None, :] * self.right[axis] for axis in (0, 1)
        ]
        return torch.stack(axes, dim=2)

    def _source_region(self, img: Tensor, height: int, width: int, padding: str) -> tuple[Tensor, int, int]:
        """The part of the source that samples come from, and where it begins: coordinates stay small and exact."""
        spans = []
        for axis, size in ((0, img.shape[3]), (1, img.shape[2])):
            ends = [
                self.origin[axis] + a * width * self.right[axis] + b * height * self.down[axis]
                for a in (0, 1)
                for b in (0, 1)
            ]
            low, high = math.floor(min(ends)) - 1, math.ceil(max(ends)) + 1
            if padding == "reflection":  # what lies beyond an edge is read before it
                low, high = min(low, 2 * size - high), max(high, -low)
            elif padding == "border":
                low, high = min(low, size - 1), max(high, 1)
            spans.append((max(0, low), min(size, max(high, 0))))
        (left, right), (top, bottom) = spans
        return img[:, :, top:bottom, left:right], left, top


def _columns(points: _Points) -> tuple[Tensor, Tensor]:
    table = torch.as_tensor(points, dtype=torch.float64)
    if table.ndim != 2 or table.shape[1] != 2:
        raise BadMask(f"points are [P, 2], (x, y) in pixels, got {list(table.shape)}")
    return table[:, 0], table[:, 1]


def composite(photo: Photo, window: Window, img: Tensor, mask: Tensor) -> Photo:
    """Composite another image on the photo through a mask; where the mask is 0 pixels are unchanged, bit for bit.

    Args:
        photo: the photo.
        window: the part of it that changes.
        img: [1, 3, window.height, window.width] in [-1, 1], what is to be seen where the mask is 1.
        mask: [1, 1, window.height, window.width] in [0, 1].

    Returns:
        A new Photo; `photo` is left as it was.

    Raises:
        BadImage, BadMask: a shape that does not fit the window, or a window outside the photo.
    """
    check_img(img, who="composite")
    check_mask(mask, who="composite", height=window.height, width=window.width)
    if tuple(img.shape[2:]) != (window.height, window.width):
        raise BadImage(f"composite expects img of the size of the window {window}, got {list(img.shape)}")
    if not (0 <= window.left <= photo.width - window.width and 0 <= window.top <= photo.height - window.height):
        raise BadMask(f"{window} does not lie in the photo of {photo.width} x {photo.height} pixels")
    whole = photo.img.clone()
    part = window.crop(whole)
    img, mask = img.to(part), mask.to(part)  # a model on a GPU, or in half precision, may have made them
    mixed = part + mask * (img - part)
    part.copy_(torch.where(mask == 0, part, torch.where(mask == 1, img, mixed)))
    return photo.with_img(whole)


def paste(
    photo: Photo, crop: Crop, after: Tensor, *, before: Tensor | None = None, mask: Tensor | None = None
) -> Photo:
    """Put a crop back where it was cut.

    Args:
        photo: the photo.
        crop: where `after` belongs.
        after: [1, 3, R, R], the edited crop.
        before: [1, 3, R, R], the crop before the edit: then only the change is carried over, and the photo's own
            detail stays. None = `after` itself is laid in.
        mask: [1, 1, R, R] in [0, 1], where in the crop; None = all of it but a soft rim.

    Returns:
        A new Photo; where the mask is 0, and outside the crop, it is the old one bit by bit.

    Raises:
        BadImage, BadMask: shapes that do not fit each other.
    """
    check_img(after, who="paste")
    resolution = after.shape[3]
    mask = superellipse(resolution) if mask is None else mask
    check_mask(mask, who="paste", height=resolution, width=resolution)
    if before is not None and before.shape != after.shape:
        raise BadImage(f"paste expects before and after of one size, got {list(before.shape)} and {list(after.shape)}")
    window = crop.window(width=photo.width, height=photo.height)
    content = after if before is None else after - before
    back = crop.warp_back(torch.cat([content, mask.to(content)], dim=1), window).to(photo.img)  # [1, 4, h, w]
    img = back[:, :3] if before is None else (window.crop(photo.img) + back[:, :3]).clamp_(-1, 1)
    return composite(photo, window, img, (back[:, 3:] * crop.coverage(window).to(back)).clamp_(0, 1))
