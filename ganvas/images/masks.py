"""Masks: 1 = edit here, 0 = keep; float [1, 1, H, W] in [0, 1].

Shapes are given in points (x, y), pixels from the top left corner, as everywhere. A pixel that an edge crosses gets
the share of it that lies inside. Outside a shape (and its soft rim) a mask is exactly 0, so that what it protects stays
as it was bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_mask
from ganvas.errors import BadMask
from ganvas.ops.planes import find_largest, resize_bilinear

_SCANLINES_PER_PIXEL = 8  # of the scan lines on which a polygon's edges are followed exactly
_BAND_CROSSINGS = 2**22  # of scan lines and edges at a time
_ALMOST = 1e-6  # closer to 0 or 1 than this is rounding, not an edge

_Points = Tensor | Sequence[Sequence[float]]


def empty_mask(height: int, width: int) -> Tensor:
    """The mask that keeps everything."""
    _check_size(height, width)
    return torch.zeros(1, 1, height, width)


def full_mask(height: int, width: int) -> Tensor:
    """The mask that edits everywhere."""
    return 1 - empty_mask(height, width)


def brush(height: int, width: int, points: _Points, *, radius_px: float, soft: float = 0.0) -> Tensor:
    """A stroke: everything within `radius_px` of a line through the points.

    Args:
        height, width: of the mask.
        points: [P, 2]; one point makes a dot.
        radius_px: half the width of the brush.
        soft: the share of the radius over which the stroke fades out, 0 … 1; at 0 the edge is one pixel wide.

    Raises:
        BadMask: no point, a radius of 0, a softness outside 0 … 1.
    """
    stroke = _points(points, least=1, what="a stroke")
    if not (radius_px > 0 and 0 <= soft <= 1):
        raise BadMask(f"a brush needs a radius above 0 and a softness from 0 to 1, got {radius_px} and {soft}")
    mask = empty_mask(height, width)
    reach = radius_px + 1
    for start, end in zip(stroke, stroke[1:] if len(stroke) > 1 else stroke, strict=False):
        low, high = torch.minimum(start, end) - reach, torch.maximum(start, end) + reach
        rows, columns = _span(low[1], high[1], height), _span(low[0], high[0], width)
        part = mask[0, 0, rows, columns]
        if part.numel():
            distance = _distance(rows, columns, start, end)
            torch.maximum(part, _falloff(distance, radius_px, soft).float(), out=part)
    return mask


def _distance(rows: slice, columns: slice, start: Tensor, end: Tensor) -> Tensor:
    """From the middle of each pixel to the nearest point of a line from start to end."""
    y = torch.arange(rows.start, rows.stop, dtype=torch.float64)[:, None] + 0.5 - start[1]
    x = torch.arange(columns.start, columns.stop, dtype=torch.float64)[None, :] + 0.5 - start[0]
    dx, dy = (end - start).tolist()
    share = ((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12)).clamp_(0, 1)
    return torch.hypot(x - share * dx, y - share * dy)


def _falloff(distance: Tensor, radius_px: float, soft: float) -> Tensor:
    rim = soft * radius_px
    if rim <= 1:  # a hard edge still takes the pixel that it crosses
        return (radius_px - distance + 0.5).clamp_(0, 1)
    return _smoothstep((radius_px - distance) / rim)


def _smoothstep(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def box(height: int, width: int, *, left: float, top: float, right: float, bottom: float) -> Tensor:
    """An upright rectangle."""
    if not (left < right and top < bottom):
        raise BadMask(f"a box has left < right and top < bottom, got {(left, top, right, bottom)}")
    return polygon(height, width, [[left, top], [right, top], [right, bottom], [left, bottom]])


def ellipse(
    height: int, width: int, *, x: float, y: float, radius_x: float, radius_y: float, angle_deg: float = 0.0
) -> Tensor:
    """An ellipse around (x, y), turned clockwise by angle_deg."""
    if not (radius_x > 0 and radius_y > 0):
        raise BadMask(f"an ellipse has radii above 0, got {radius_x} and {radius_y}")
    # As many corners as keep the polygon within a five-hundredth of a pixel of the ellipse.
    corners = max(64, math.ceil(math.pi / math.acos(1 - min(0.002 / max(radius_x, radius_y), 0.5))))
    t = torch.arange(corners, dtype=torch.float64) * (2 * math.pi / corners)
    turn = math.radians(angle_deg)
    along, across = radius_x * t.cos(), radius_y * t.sin()
    return polygon(
        height,
        width,
        torch.stack(
            [
                x + along * math.cos(turn) - across * math.sin(turn),
                y + along * math.sin(turn) + across * math.cos(turn),
            ],
            dim=1,
        ),
    )


def polygon(height: int, width: int, points: _Points) -> Tensor:
    """The inside of a closed line through the points; where it crosses itself, inside and outside alternate.

    Args:
        points: [P, 2], at least three.

    Raises:
        BadMask: fewer points, or one that is not a number.
    """
    corners = _points(points, least=3, what="a polygon")
    mask = empty_mask(height, width)
    low, high = corners.amin(dim=0), corners.amax(dim=0)
    rows, columns = _span(low[1], high[1], height), _span(low[0], high[0], width)
    if columns.start == columns.stop:
        return mask
    step = max(1, _BAND_CROSSINGS // (_SCANLINES_PER_PIXEL * len(corners)))
    for top in range(rows.start, rows.stop, step):
        band = slice(top, min(top + step, rows.stop))
        mask[0, 0, band, columns] = _rasterize_rows(corners, band, columns)
    return mask


def _rasterize_rows(corners: Tensor, rows: slice, columns: slice) -> Tensor:
    """[rows, columns]: the share of each pixel inside, averaged over its scan lines, exact along each of them."""
    count, width = (rows.stop - rows.start) * _SCANLINES_PER_PIXEL, columns.stop - columns.start
    lines = rows.start + (torch.arange(count, dtype=torch.float64) + 0.5) / _SCANLINES_PER_PIXEL
    ends = corners.roll(-1, dims=0)
    (x0, y0), (x1, y1) = corners.T[:, :, None], ends.T[:, :, None]  # [P, 1]
    crossed = (y0 <= lines) != (y1 <= lines)  # [P, lines]
    x = x0 + (lines - y0) / torch.where(crossed, y1 - y0, 1.0) * (x1 - x0)
    x = torch.where(crossed, x, torch.inf).sort(dim=0).values - columns.start
    # Going right, each crossing adds or takes away the ramp max(0, edge − x); a pixel gets the ramps' rise across it.
    sign = torch.ones(len(x), 1, dtype=torch.float64)
    sign[1::2] = -1
    x = x.clamp(0, width)
    cell = x.floor().clamp(max=width - 1).long()
    share = 1 - (x - cell)  # of the cell that lies to the right of the crossing
    rise = torch.zeros(count, width + 1, dtype=torch.float64)
    rise.scatter_add_(1, cell.T, (sign * share).T)
    rise.scatter_add_(1, cell.T + 1, (sign * (1 - share)).T)
    inside = rise.cumsum(dim=1)[:, :width].view(-1, _SCANLINES_PER_PIXEL, width).mean(dim=1)
    return _snap(inside)


def _snap(mask: Tensor) -> Tensor:
    """Sums leave 1e-16 where 0 is meant; a mask says exactly 0 and exactly 1."""
    mask = torch.where(mask < _ALMOST, 0.0, torch.where(mask > 1 - _ALMOST, 1.0, mask))
    return mask.float()


def superellipse(resolution: int, *, extent: float = 0.92, power: float = 4.0, rim: float = 0.22) -> Tensor:
    """The soft square in which a crop is pasted back: |x / extent|^power + |y / extent|^power <= 1, x and y in [-1, 1].

    Args:
        resolution: of the crop.
        extent: how far it reaches, 1 = to the crop's edges.
        power: 2 = a circle, large = a square.
        rim: the outer share of it over which it fades out (smoothstep).

    Returns:
        [1, 1, resolution, resolution].
    """
    _check_size(resolution, resolution)
    if not (0 < extent <= 1 and power >= 1 and 0 < rim <= 1):
        raise BadMask(f"superellipse expects 0 < extent <= 1 <= power and 0 < rim <= 1, got {extent}, {power}, {rim}")
    across = ((torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution * 2 - 1).abs() / extent
    radius = (across[:, None] ** power + across[None, :] ** power) ** (1 / power)
    return _smoothstep((1 - radius) / rim).float()[None, None]


def feather(mask: Tensor, *, radius_px: float) -> Tensor:
    """The mask with soft edges: blurred by three boxes, which is near to a Gaussian of sigma radius_px / 2.

    Half of the softness lies outside the old edge; 3/2 radius_px beyond it the mask is exactly 0 (and within, 1).

    Args:
        mask: [1, 1, H, W].
        radius_px: 0 = leave it alone.

    Raises:
        BadMask: another shape, or a radius below 0.
    """
    check_mask(mask, who="feather", height=mask.shape[-2], width=mask.shape[-1])
    if not radius_px >= 0:
        raise BadMask(f"feather expects a radius of 0 or more pixels, got {radius_px}")
    # Three boxes of w pixels have the variance (w² − 1) / 4.
    wide = round(math.sqrt(4 * (radius_px / 2) ** 2 + 1))
    wide += 1 - wide % 2
    if wide < 3 or not mask.any():
        return mask.clone()
    reach = 3 * (wide // 2)
    used = mask[0, 0].nonzero()
    (top, left), (bottom, right) = used.amin(dim=0).tolist(), used.amax(dim=0).tolist()
    rows = slice(max(0, top - reach), bottom + reach + 1)
    columns = slice(max(0, left - reach), right + reach + 1)
    blurred = torch.zeros_like(mask)
    part = mask[0, 0, rows, columns].double()
    for _ in range(3):
        part = _box_mean(_box_mean(part, wide).T, wide).T
    blurred[0, 0, rows, columns] = _snap(part).to(mask.dtype)
    return blurred


def _box_mean(rows: Tensor, wide: int) -> Tensor:
    """The mean of `wide` neighbours along the last axis; beyond the ends the last value goes on."""
    half = wide // 2
    ends = rows[:, :1].expand(-1, half + 1), rows[:, -1:].expand(-1, half)
    sums = torch.cat([ends[0], rows, ends[1]], dim=1).cumsum(dim=1)
    return (sums[:, wide:] - sums[:, :-wide]) / wide


def mask_from_lightness(img: Tensor, alpha: Tensor | None = None) -> Tensor:
    """The mask in a picture: white = edit, black = keep, and keep where it is transparent.

    Args:
        img: [1, C, H, W] in [-1, 1].
        alpha: [1, 1, H, W] in [0, 1], its transparency; None = it has none.

    Returns:
        [1, 1, H, W].
    """
    light = ((img.mean(dim=1, keepdim=True) + 1) / 2).clamp(0, 1)
    return light if alpha is None else light * alpha


def invert_mask(mask: Tensor) -> Tensor:
    """Edit what was kept, keep what was edited."""
    return 1 - mask


def union_masks(*masks: Tensor) -> Tensor:
    """The union of the masks."""
    return _combine(masks, torch.maximum)


def intersect_masks(*masks: Tensor) -> Tensor:
    """Edit where all of the masks say so; intersection(mask, invert(stroke)) is the eraser."""
    return _combine(masks, torch.minimum)


def _combine(masks: tuple[Tensor, ...], join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    if not masks or any(mask.shape != masks[0].shape for mask in masks):
        raise BadMask(f"masks must have the same size, got {[list(mask.shape) for mask in masks]}")
    whole = masks[0].clone()
    for mask in masks[1:]:
        whole = join(whole, mask)
    return whole


def _points(points: _Points, *, least: int, what: str) -> Tensor:
    table = torch.as_tensor(points, dtype=torch.float64)
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < least or not table.isfinite().all():
        raise BadMask(f"{what} needs at least {least} points [P, 2], (x, y) in pixels, got {list(table.shape)}")
    return table


def _span(low: Tensor, high: Tensor, size: int) -> slice:
    """The pixels that a stretch touches, within the picture."""
    first = min(max(math.floor(float(low)), 0), size)
    return slice(first, max(first, min(math.ceil(float(high)), size)))


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise BadMask(f"a mask has at least 1 x 1 pixels, got {width} x {height}")


def grow_mask(mask: Tensor, radius_px: float) -> Tensor:
    """The mask with its places grown by a radius: the largest value nearby; taken at a smaller size where it is wide.

    Args:
        mask: [1, 1, H, W].
        radius_px: less than half a pixel leaves it alone.
    """
    radius = round(radius_px)
    if radius < 1:
        return mask
    shrink = max(1, min(4, radius // 2, *mask.shape[2:]))
    small = F.avg_pool2d(mask, shrink, ceil_mode=True) if shrink > 1 else mask
    reach = max(1, round(radius_px / shrink))
    # A square and the same square turned by an eighth make an octagon: nearly a disc, and quick.
    core = 2 * round(0.7 * reach) + 3
    grown = find_largest(small, (core, core))
    for box in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        grown = torch.maximum(grown, find_largest(small, box))
    return grown if shrink == 1 else resize_bilinear(grown, (mask.shape[2], mask.shape[3]))


def border_distance(resolution: int) -> Tensor:
    """How far each pixel's middle is from the nearest edge of a square, in sides of it: [1, 1, S, S], 0 to 0.5."""
    across = (torch.arange(resolution) + 0.5) / resolution
    edge = torch.minimum(across, 1 - across)
    return torch.minimum(edge[:, None], edge[None, :])[None, None]
