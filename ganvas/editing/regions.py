"""Regions: this step only here. Painted strokes or a mask as data, and what is painted where several steps have one.

A region is written in sides of the crop: (0, 0) is its top left corner, (1, 1) its bottom right one. So it is the same
at every size, lies on the same part of another face when a recipe is replayed, and takes a few hundred bytes.

Every place of the picture is painted with the steps that apply there, all of them in one go, by the generator:

    steps     age (everywhere) · smile in A · hair in B
    cells     age │ age, smile: in A without B │ age, hair: in B without A │ age, smile, hair: where A and B overlap

A region may also be the parts of a picture, such as hair: its mask is then made from each photo it is used on (see
ganvas/session/parts_of_photo.py).

A cell is one synthesis; their pictures are joined through soft masks that add up to 1.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_mask
from ganvas.editing.step import EditContext, LatentStep
from ganvas.errors import BadConfig, BadMask
from ganvas.fields import check_known, check_settings, setting
from ganvas.images.crop import Crop
from ganvas.images.masks import brush, feather

BITMAP_PX = 256  # a mask is kept at this size
MAX_DRAW_PX = 512  # strokes are drawn at this size at most, and enlarged: a recipe cannot ask for an hour of drawing
MAX_STROKES, MAX_POINTS = 200, 2000  # of one region
MAX_BITMAP_CHARS = 100_000  # characters
MAX_REACH = 4.0  # sides of the crop that a stroke may reach beyond it
MAX_REGIONS, MAX_CELLS = 8, 16  # of one recipe
MIN_CELL_WEIGHT = 1 / 512  # a cell that is nowhere stronger is not painted
DEFAULT_FEATHER = 0.03  # where nobody says how soft an edge shall be
PART_FEATHER = 0.008  # the same of a part, whose edge is known
MAX_REGION_PARTS = 32
_PART_NAME = r"[\w-]{1,40}"

_Points = Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line of a round brush; one point makes a dot. Lengths are those of whatever the stroke lies in.

    In a Region that is the crop (1 = its side); at a session's door it is the photo (pixels).
    """

    points: tuple[tuple[float, float], ...]
    radius: float = setting(gt=0, help="of the brush")
    erase: bool = setting(False, help="takes away what strokes before it have painted")

    def __post_init__(self) -> None:
        try:
            points = tuple((float(x), float(y)) for x, y in self.points)
            radius = float(self.radius)
        except (TypeError, ValueError) as error:
            raise BadMask(f"a stroke has points [[x, y], …] and a radius, got {str(self)[:80]} ({error})") from error
        if not points or not all(map(math.isfinite, (radius, *(number for point in points for number in point)))):
            raise BadMask(f"a stroke has at least one point, and finite numbers, got {str(self)[:80]}")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "radius", radius)
        check_settings(self, who="a stroke", error=BadMask)

    def to_crop_coords(self, crop: Crop) -> Stroke:
        """From pixels of the photo to sides of the crop; points closer together than a quarter of the radius go."""
        thinned = [self.points[0]]
        for point in self.points[1:]:
            if math.dist(point, thinned[-1]) > self.radius / 4:
                thinned.append(point)
        inside = crop.to_crop_coords(thinned, resolution=1).tolist()
        rounded = tuple((round(x, 5), round(y, 5)) for x, y in inside)
        return replace(self, points=rounded, radius=round(max(self.radius / crop.side, 1e-4), 5))


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where a step applies: strokes in the order of painting, on top of a mask if there is one.

    `bitmap` is the mask of the crop, BITMAP_PX x BITMAP_PX levels of 0 … 255, packed (zlib, base64); see `of_mask`.
    `parts` says what the mask was made from, so that a recipe finds the same parts in another photo.
    `feather` is how soft the edges are, in sides of the crop; 3/2 of it outside the strokes nothing changes at all.
    """

    strokes: tuple[Stroke, ...] = setting((), help="in the order of painting")
    bitmap: str = setting("", repr=False, help="a mask of the crop, packed")
    parts: tuple[str, ...] = setting((), pattern=_PART_NAME, expected="names of parts", help="parts of the picture")
    feather: float = setting(DEFAULT_FEATHER, ge=0, le=1, unit="sides of the crop", help="how soft the edges are")

    def __post_init__(self) -> None:
        check_settings(self, who="a region", error=BadMask)
        points = [point for stroke in self.strokes for point in stroke.points]
        if len(self.strokes) > MAX_STROKES or len(points) > MAX_POINTS:
            raise BadMask(
                f"a region has up to {MAX_STROKES} strokes with {MAX_POINTS} points, got {len(self.strokes)} with "
                f"{len(points)}; use a mask instead"
            )
        reach = [abs(number) for point in points for number in point] + [stroke.radius for stroke in self.strokes]
        if max(reach, default=0) > MAX_REACH:
            raise BadMask(f"a region is in units of the crop's side, 0 to 1; {max(reach):g} is far outside")
        if not (self.strokes or self.bitmap or self.parts) or len(self.parts) > MAX_REGION_PARTS:
            raise BadMask(f"a region has at least one stroke, a bitmap, or up to {MAX_REGION_PARTS} parts")
        if self.bitmap:
            _unpack_bitmap(self.bitmap)

    @classmethod
    def of_mask(cls, mask: Tensor, *, feather: float = DEFAULT_FEATHER, parts: Sequence[str] = ()) -> Region:
        """A region from a mask of the crop, [1, 1, S, S] in [0, 1] at any size; `parts` is what it shows."""
        check_mask(mask, who="Region.of_mask", height=mask.shape[-1], width=mask.shape[-1])
        small = _resize_mask(mask.float(), BITMAP_PX)
        levels = (small[0, 0] * 255).round().to(torch.uint8).numpy().tobytes()
        return cls(bitmap=base64.b64encode(zlib.compress(levels, 9)).decode(), feather=feather, parts=tuple(parts))

    def mask(self, resolution: int) -> Tensor:
        """[1, 1, resolution, resolution] in [0, 1], feathered; exactly 0 where nothing may change.

        Raises:
            BadMask: parts that were not looked for in a photo yet.
        """
        if not (self.strokes or self.bitmap):
            raise BadMask(f"where {', '.join(self.parts)} is depends on the photo; replay the recipe in a session")
        return _draw_mask(self, resolution)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; fields that say nothing are left out."""
        strokes = [
            {"points": [list(point) for point in s.points], "radius": s.radius, **({"erase": True} if s.erase else {})}
            for s in self.strokes
        ]
        more: dict[str, Any] = {"bitmap": self.bitmap} if self.bitmap else {}
        more |= {"parts": list(self.parts)} if self.parts else {}
        return {**({"strokes": strokes} if strokes else {}), **more, "feather": self.feather}

    @classmethod
    def from_dict(cls, data: Any) -> Region:
        """The region that `to_dict` wrote.

        Raises:
            BadConfig: not a region, or an unknown field.
            BadMask: numbers out of range, too much of it, or a bitmap that is none.
        """
        _check_fields(data, ("strokes", "bitmap", "parts", "feather"), what="a region")
        strokes = data.get("strokes", [])
        if not isinstance(strokes, list) or len(strokes) > MAX_STROKES:
            raise BadMask(f"a region's strokes are a list of up to {MAX_STROKES}")
        for stroke in strokes:
            _check_fields(stroke, ("points", "radius", "erase"), what="a stroke")
            if not isinstance(stroke.get("points"), list) or "radius" not in stroke:
                raise BadMask(f"a stroke has points [[x, y], …] and a radius, got {str(stroke)[:80]}")
        return cls(**{**data, "strokes": tuple(Stroke(**stroke) for stroke in strokes)})


def _check_fields(data: Any, known: Sequence[str], *, what: str) -> None:
    if not isinstance(data, dict):
        raise BadConfig(f"{what} is written with the fields {', '.join(known)}, got {str(data)[:80]}")
    for key in data:
        check_known(key, known, what=f"field of {what}")


def _unpack_bitmap(bitmap: str) -> Tensor:
    """[1, 1, BITMAP_PX, BITMAP_PX]; never more memory than that, whatever the text promises."""
    size = BITMAP_PX**2
    try:
        if len(bitmap) > MAX_BITMAP_CHARS:
            raise ValueError(f"{len(bitmap):,} characters")
        reader = zlib.decompressobj()
        levels = reader.decompress(base64.b64decode(bitmap, validate=True), size + 1)
        if len(levels) != size:
            raise ValueError(f"it holds {'more' if len(levels) > size else len(levels)} bytes")
    except (ValueError, binascii.Error, zlib.error) as error:
        raise BadMask(
            f"a region's bitmap is {BITMAP_PX} x {BITMAP_PX} bytes, packed by zlib, in at most {MAX_BITMAP_CHARS:,} "
            f"characters of base64: {error}"
        ) from error
    return torch.frombuffer(bytearray(levels), dtype=torch.uint8).view(1, 1, BITMAP_PX, BITMAP_PX) / 255


@lru_cache(maxsize=32)
def _draw_mask(region: Region, resolution: int) -> Tensor:
    px = min(resolution, MAX_DRAW_PX)
    mask = _resize_mask(_unpack_bitmap(region.bitmap), px) if region.bitmap else torch.zeros(1, 1, px, px)
    for stroke in region.strokes:
        points = torch.tensor(stroke.points, dtype=torch.float64) * px
        stroke_mask = brush(px, px, points, radius_px=stroke.radius * px)
        mask = mask * (1 - stroke_mask) if stroke.erase else torch.maximum(mask, stroke_mask)
    return _resize_mask(feather(mask, radius_px=region.feather * px), resolution)


def _resize_mask(mask: Tensor, px: int) -> Tensor:
    if mask.shape[-1] == px:
        return mask
    if mask.shape[-1] % px == 0:
        return F.avg_pool2d(mask, mask.shape[-1] // px)
    return F.interpolate(mask, (px, px), mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


@dataclass(frozen=True)
class InRegion:
    """A step that applies in a region only. In a recipe it is the step with the region under "within"."""

    name: ClassVar[str] = "within"  # never written: a recipe has the name of the step
    step: LatentStep
    region: Region

    def __post_init__(self) -> None:
        if isinstance(self.step, InRegion):
            raise BadConfig("a step can have only one region; draw the intersection instead")

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """What the step does inside its region; `partition_steps` says where that is."""
        return self.step.apply(ws, context)


def region_in_crop(
    shape: Region | Tensor | Iterable[Stroke], crop: Crop, *, photo_size: tuple[int, int], feather_px: float | None
) -> Region:
    """A shape drawn on the photo as a region of the crop.

    Args:
        shape: strokes of a brush in pixels of the photo; a mask [1, 1, H, W] of the photo in [0, 1]; a Region.
        crop: the square that the generator paints.
        photo_size: (width, height).
        feather_px: how soft the edges are, in pixels of the photo; None = DEFAULT_FEATHER. A Region has its own.

    Raises:
        BadMask: it does not fit, or nothing of it lies in the crop.
    """
    if feather_px is not None and not feather_px >= 0:
        raise BadMask(f"feather_px is 0 or more pixels of the photo, got {feather_px}")
    softness = DEFAULT_FEATHER if feather_px is None else round(min(feather_px / crop.side, 1.0), 5)
    if isinstance(shape, Tensor):
        check_mask(shape, who="set_region", width=photo_size[0], height=photo_size[1])
        region = Region.of_mask(crop.cut_mask(shape, resolution=BITMAP_PX), feather=softness)
    elif isinstance(shape, Region):
        region = shape
    else:
        region = Region(strokes=tuple(stroke.to_crop_coords(crop) for stroke in shape), feather=softness)
    if not region.mask(BITMAP_PX).any():
        raise BadMask("this region is outside the model's crop, so no edit would be visible")
    return region


def region_of(step: Any) -> Region | None:
    """Where a step applies; None = everywhere."""
    return step.region if isinstance(step, InRegion) else None


def unwrap_step(step: Any) -> Any:
    """The step itself, without its region."""
    return step.step if isinstance(step, InRegion) else step


@dataclass(frozen=True)
class RegionCell:
    """A part of the picture to which the same steps apply; `inside` is None for the rest, where no region is."""

    steps: tuple[LatentStep, ...]
    regions: tuple[Region, ...] = ()
    inside: tuple[bool, ...] | None = None

    def weight(self, resolution: int) -> Tensor | float:
        """How much each place belongs here, [1, 1, resolution, resolution]; 1 where there is no region at all."""
        if not self.regions:
            return 1.0
        if self.inside is not None:
            return _cell_weight(self.regions, self.inside, resolution)
        others = [_cell_weight(self.regions, inside, resolution) for inside in _overlaps(self.regions)]
        return (1 - sum(others, torch.zeros(1, 1, resolution, resolution))).clamp(min=0)


def partition_steps(steps: Iterable[LatentStep]) -> tuple[RegionCell, ...]:
    """Which steps are painted where. The first cell is the rest of the picture, outside all regions.

    Raises:
        BadConfig: too many regions, or too many overlaps between them.
    """
    steps = tuple(steps)
    regions = regions_of(steps)
    everywhere = tuple(step for step in steps if region_of(step) is None)
    if not regions:
        return (RegionCell(everywhere),)
    partition = [RegionCell(everywhere, regions)]
    for inside in _overlaps(regions):
        here = {region for region, is_in in zip(regions, inside, strict=True) if is_in}
        applied = tuple(step for step in steps if region_of(step) is None or region_of(step) in here)
        partition.append(RegionCell(applied, regions, inside))
    return tuple(partition)


def regions_of(steps: Iterable[LatentStep]) -> tuple[Region, ...]:
    """The different regions of some steps, in order.

    Raises:
        BadConfig: more than MAX_REGIONS.
    """
    regions = tuple(dict.fromkeys(step.region for step in steps if isinstance(step, InRegion)))
    if len(regions) > MAX_REGIONS:
        raise BadConfig(f"a recipe has up to {MAX_REGIONS} different regions, got {len(regions)}")
    return regions


@lru_cache(maxsize=32)
def _overlaps(regions: tuple[Region, ...]) -> tuple[tuple[bool, ...], ...]:
    """In which combinations the regions cover a place, at least one of them each time."""
    combinations: list[tuple[tuple[bool, ...], Tensor]] = [((), torch.ones(1, 1, BITMAP_PX, BITMAP_PX))]
    for region in regions:
        mask = region.mask(BITMAP_PX)
        split = [
            ((*inside, is_in), weight * (mask if is_in else 1 - mask))
            for inside, weight in combinations
            for is_in in (0, 1)
        ]
        combinations = [
            (tuple(map(bool, inside)), weight) for inside, weight in split if float(weight.max()) > MIN_CELL_WEIGHT
        ]
        if len(combinations) > MAX_CELLS:
            raise BadConfig(f"these regions overlap in more than {MAX_CELLS} ways; use fewer, or the same one again")
    return tuple(inside for inside, _ in combinations if any(inside))


def _cell_weight(regions: tuple[Region, ...], inside: tuple[bool, ...], resolution: int) -> Tensor:
    weight = torch.ones(1, 1, resolution, resolution)
    for region, is_in in zip(regions, inside, strict=True):
        mask = region.mask(resolution)
        weight = weight * (mask if is_in else 1 - mask)
    return weight


def blend_cells(parts: Sequence[tuple[Tensor, RegionCell]]) -> Tensor:
    """The cells' pictures, [1, C, S, S] each, as one; where a cell is alone its pixels are its own, bit for bit."""
    if len(parts) == 1:
        return parts[0][0]
    whole = torch.zeros_like(parts[0][0])
    for img, cell in parts:
        whole = whole + img * cell.weight(img.shape[-1])
    return whole
