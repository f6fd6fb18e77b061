"""What a change of colour does to hair and skin around the crop, in the whole photo."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.blend import Change
from ganvas.editing.colour_shift import carry_colours
from ganvas.images.crop import Crop, Window, composite
from ganvas.images.masks import grow_mask
from ganvas.images.photo import Photo
from ganvas.ops.planes import load_opencv, resize_bilinear
from ganvas.session.part_rendering import PartsInPhoto

OWN_PX = 256  # of the copy on which the person's own hair is told from another's
OWN_REACH = 0.45  # sides of the crop from its middle: what is there belongs to the person
FAINT = 0.2  # of a mask: less does not join two heads


class Surroundings:
    """Hair and skin of one person in a photo; found when an edit first changes their colour, and kept.

    Args:
        img: [1, 3, H, W], the photo before any edit.
        crop: the aligned face square in it.
    """

    def __init__(self, img: Tensor, crop: Crop):
        self.img, self.crop, self._parts = img, crop, PartsInPhoto(img, crop)
        self._masks: dict[str, Tensor] = {}

    def carry_on(self, painted: Photo, change: Change) -> Photo:
        """A photo into which a change was pasted, with its colours carried on around the crop."""
        if not change.shifts:
            return painted
        window = self._window
        masks = {name: self._mask(name) for name in change.shifts}
        outside = 1 - self._inside * (1 - self.crop.warp_back(change.outside, window))
        touched = (outside > 0) & (torch.cat(list(masks.values()), dim=1).amax(dim=1, keepdim=True) > 0)
        picked = [self._pick(x, touched) for x in (window.crop(painted.img), window.crop(self.img), outside)]
        some = {name: self._pick(mask, touched) for name, mask in masks.items()}
        img = window.crop(painted.img).clone()
        img[touched.expand_as(img)] = carry_colours(picked[0], picked[1], picked[2], some, change.shifts).flatten()
        return composite(painted, window, img, touched.to(img))

    @staticmethod
    def _pick(x: Tensor, places: Tensor) -> Tensor:
        """The pixels of some places, [1, C, 1, pixels]."""
        return x[places.expand_as(x)].view(1, x.shape[1], 1, -1)

    @cached_property
    def _window(self) -> Window:
        return self._parts.window(("hair", "skin"))

    @cached_property
    def _inside(self) -> Tensor:
        return self.crop.coverage(self._window)

    def _mask(self, name: str) -> Tensor:
        """[1, 1, h, w] of the window: a part of this person, not of one who stands beside."""
        if name not in self._masks:
            self._masks[name] = self._only_own(self._parts.masks((name,), self._window))
        return self._masks[name]

    def _only_own(self, mask: Tensor) -> Tensor:
        """A mask without what hangs together with nothing near the middle of the crop."""
        height, width = mask.shape[2:]
        share = min(1.0, OWN_PX / max(height, width))
        small = F.interpolate(mask, (max(1, round(height * share)), max(1, round(width * share))), mode="area")
        _, labels = load_opencv().connectedComponents((small[0, 0] > FAINT).numpy().astype(np.uint8))
        labels = torch.from_numpy(labels)
        y, x = torch.meshgrid(*(torch.arange(side) for side in labels.shape), indexing="ij")
        away = torch.hypot(
            (x + 0.5) / share + self._window.left - self.crop.x, (y + 0.5) / share + self._window.top - self.crop.y
        )
        own = labels[(away < OWN_REACH * self.crop.side) & (labels > 0)].unique()
        return mask * resize_bilinear(grow_mask(torch.isin(labels, own)[None, None].float(), 2), (height, width))
