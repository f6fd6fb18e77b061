"""The guided filter: a map takes the edges of a picture.

Paper: He, Sun, Tang 2010, "Guided Image Filtering", section 3.4 (a colour picture guides). In every window the map is
a straight line of the picture's three colours, so where the picture has an edge the map may have one, and nowhere else.
He, Sun 2015, "Fast Guided Filter": the lines are fitted on a smaller picture and drawn on the full one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.planes import load_opencv, map_planes, suits_opencv

FIT_PX = 256  # where nobody says at which size the lines are fitted


def filter_guided(p: Tensor, guide: Tensor, *, radius_px: float, eps: float, fit_px: int = FIT_PX) -> Tensor:
    """A map smoothed along a picture's areas, but not across its edges.

    Args:
        p: [N, M, h, w], any number of maps, of the guide's size or smaller.
        guide: [N, 3, H, W], the picture, in [0, 1].
        radius_px: half the side of the window, in pixels of the guide.
        eps: variance of colours below which the picture counts as flat.
        fit_px: the lines are fitted at this size at most.

    Returns:
        [N, M, H, W]. Maps that sum to 1 do so afterwards too; single values may overshoot a little.
    """
    shrink = max(1.0, max(p.shape[-2:]) / fit_px)
    size = [max(1, round(side / shrink)) for side in p.shape[-2:]]
    small_p, small = (x if list(x.shape[-2:]) == size else F.interpolate(x, size, mode="area") for x in (p, guide))
    radius = max(1, round(radius_px * size[1] / guide.shape[-1]))
    slope, offset = _fit_lines(small_p, small, radius, eps)
    if guide.shape[-2:] != small.shape[-2:]:
        lines = torch.cat([slope.flatten(1, 2), offset], dim=1)
        lines = F.interpolate(lines, guide.shape[-2:], mode="bilinear", align_corners=False)
        slope, offset = lines[:, : 3 * p.shape[1]].unflatten(1, (p.shape[1], 3)), lines[:, 3 * p.shape[1] :]
    return (slope * guide[:, None]).sum(dim=2) + offset


def _fit_lines(p: Tensor, guide: Tensor, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """Slopes [N, M, 3, H, W] and offsets [N, M, H, W], averaged over the windows that cover a place (eq. 14, 15)."""
    mean, mean_p = _box(guide, radius), _box(p, radius)
    product = _box((guide[:, :, None] * guide[:, None]).flatten(1, 2), radius).unflatten(1, (3, 3))
    spread = product - mean[:, :, None] * mean[:, None]  # [N, 3, 3, H, W]
    cross = _box((p[:, :, None] * guide[:, None]).flatten(1, 2), radius).unflatten(1, (p.shape[1], 3))
    cross = cross - mean_p[:, :, None] * mean[:, None]  # [N, M, 3, H, W]
    a = torch.einsum("nmchw,ncdhw->nmdhw", cross, _inverse(spread, eps))
    b = mean_p - (a * mean[:, None]).sum(dim=2)
    return _box(a.flatten(1, 2), radius).unflatten(1, (p.shape[1], 3)), _box(b, radius)


def _inverse(m: Tensor, eps: float) -> Tensor:
    """Of symmetric 3 x 3 matrices + eps, [N, 3, 3, H, W], by cofactors: many times as fast as a general solver."""
    a, d, f = (m[:, i, i] + eps for i in range(3))
    b, c, e = m[:, 0, 1], m[:, 0, 2], m[:, 1, 2]
    rows = [[d * f - e * e, c * e - b * f, b * e - c * d], [a * f - c * c, b * c - a * e], [a * d - b * b]]
    det = a * rows[0][0] + b * rows[0][1] + c * rows[0][2]
    (i00, i01, i02), (i11, i12), (i22,) = rows
    flat = torch.stack([i00, i01, i02, i01, i11, i12, i02, i12, i22], dim=1) / det[:, None]
    return flat.unflatten(1, (3, 3))


def _box(x: Tensor, radius: int) -> Tensor:
    """The mean of a window, of its part inside the picture."""
    count = [_window(side, radius, x) for side in x.shape[-2:]]
    if not suits_opencv(x):
        return (count[0] / count[0].sum(dim=1, keepdim=True)) @ x @ (count[1] / count[1].sum(dim=1, keepdim=True)).T
    cv2, side = load_opencv(), 2 * radius + 1
    total = map_planes(x, lambda plane: cv2.boxFilter(plane, -1, (side, side), normalize=False, borderType=0))
    return total / (count[0].sum(dim=1)[:, None] * count[1].sum(dim=1))


def _window(side: int, radius: int, like: Tensor) -> Tensor:
    """[side, side]: 1 where a place is in the window of another."""
    place = torch.arange(side, device=like.device)
    return ((place[:, None] - place[None]).abs() <= radius).to(like.dtype)
