"""Paste back: a change made in a crop is laid over the whole photo; everything else stays as it was taken.

What is visible comes from `compose`, at the crop's size. The photo may be finer: the detail that the crop has lost goes
along the same way as all other detail. Pixels that the change does not reach are the photo's own, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganvas.editing.colour_shift import ColourShift
from ganvas.images.crop import Crop, Window
from ganvas.images.flow import warp_by_flow
from ganvas.images.photo import Photo
from ganvas.images.tensors import bands

PASTED_AT_ONCE = 2**21  # laid over at a time: a change of a whole photo of 48 megapixels would take 5 GB at once
CUBIC_PX = 2  # rows beside a place that its bicubic sample takes in


@dataclass(frozen=True)
class Change:
    """A change ready to be laid over the photo: result = photo · (1 − gate) + visible · gate, wherever `gate` > 0.

    All are in the crop's own space: `visible` [1, 3, S, S] and its opacity `gate` [1, 1, S, S]; `keep` [1, 1, S, S]
    says how much of detail finer than the crop goes along, from where `flow` [1, 2, S, S] (pixels of the crop) points;
    `source` [1, 3, S, S] is the photo's crop, by which that detail is told. `outside` [1, 1, s, s], of any size, says
    where the photo itself is visible only because the crop ends there; `shifts` how the colours of parts that may go on
    beyond it have moved, see `ganvas.editing.colour_shift`.
    """

    visible: Tensor
    gate: Tensor
    keep: Tensor
    flow: Tensor
    source: Tensor
    outside: Tensor
    shifts: Mapping[str, ColourShift]


def lay_over(photo: Tensor, change: Change) -> Tensor:
    """The photo's crop with the change, in [-1, 1]; untouched pixels are the photo's own, bit for bit."""
    changed = (photo + change.gate * (change.visible - photo)).clamp(-1, 1)
    return torch.where(change.gate > 0, changed, photo)


def paste_change(photo: Photo, crop: Crop, change: Change) -> Photo:
    """Lay a change that was made in a crop over the whole photo.

    Args:
        photo: the photo, of any size, depth and colour space.
        crop: where `change` belongs.
        change: as `compose_change` gave it.

    Returns:
        A new Photo; pixels that the change does not touch are the old ones, bit for bit.
    """
    window = _touched_window(crop, change, photo)
    if window is None:
        return photo.with_img(photo.img)
    img = photo.img.clone()
    for rows in bands(window.height, window.width, pixels=PASTED_AT_ONCE):
        band = replace(window, top=window.top + rows.start, height=rows.stop - rows.start)
        band.crop(img).copy_(_lay_band(photo.img, crop, change, window, band))
    return photo.with_img(img)


def _lay_band(img: Tensor, crop: Crop, change: Change, window: Window, band: Window) -> Tensor:
    """What some rows of the window come to: [1, 3, band.height, band.width]."""
    stacked = torch.cat([change.visible, change.gate, change.keep, change.flow], dim=1)
    visible, gate, keep, flow = crop.warp_back(stacked, band).split([3, 1, 1, 2], dim=1)
    here = band.crop(img)
    gate = gate * crop.coverage(band)
    flow = crop.turn_back(flow, resolution=change.gate.shape[3])
    wide = _reach_out(band, window, math.ceil(float(flow[:, 1].abs().max())) + CUBIC_PX)
    detail = (wide.crop(img) - crop.warp_back(change.source, wide)).to(here)
    visible = visible + keep * warp_by_flow(detail, flow, at=(0, band.top - wide.top))
    return torch.where(gate > 0, (here + gate * (visible - here)).clamp(-1, 1), here)


def _reach_out(band: Window, window: Window, px: int) -> Window:
    """The band with so many rows of the window above and below it."""
    top, end = max(window.top, band.top - px), min(window.top + window.height, band.top + band.height + px)
    return replace(band, top=top, height=end - top)


def _touched_window(crop: Crop, change: Change, photo: Photo) -> Window | None:
    """The smallest window of the photo that holds all that changes; None where nothing does."""
    touched = (change.gate[0, 0] > 0).nonzero()
    if not len(touched):
        return None
    size, whole = change.gate.shape[3], crop.window(width=photo.width, height=photo.height)
    (top, left), (bottom, right) = touched.amin(dim=0).tolist(), touched.amax(dim=0).tolist()
    corners = [[x, y] for x in (left - 2, right + 3) for y in (top - 2, bottom + 3)]
    places = crop.to_photo_coords(corners, resolution=size)
    low, high = places.amin(dim=0).floor().long().tolist(), places.amax(dim=0).ceil().long().tolist()
    first = max(whole.left, low[0]), max(whole.top, low[1])
    last = min(whole.left + whole.width, high[0]), min(whole.top + whole.height, high[1])
    if first[0] >= last[0] or first[1] >= last[1]:
        return None
    return Window(left=first[0], top=first[1], width=last[0] - first[0], height=last[1] - first[1])
