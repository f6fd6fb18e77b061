"""Paste back: only the change goes into the photo, everything else stays as it was taken.

The generator's picture of a face is never quite the photo: pores, single hairs, the shirt. So the *difference* between
the edited and the inverted picture is added to the photo (after "residual detail" in inversion papers, for instance
Wang et al. 2022, "High-Fidelity GAN Inversion for Image Attribute Editing"), with two corrections of ours:

- a gate: where the difference is as small as the generator's own noise nothing is added at all, and the photo stays
  bit for bit;
- a cross-fade: where the difference is large (teeth that were not there) adding it would leave ghosts of the old
  contour; there the edited picture itself is shown, in the photo's colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadImage
from ganvas.images.crop import Crop, composite
from ganvas.images.photo import Photo
from ganvas.ops.blur import gaussian_blur

LEVEL = 2 / 255  # one grey level in [-1, 1]


@dataclass(frozen=True, kw_only=True)
class BlendConfig:
    """Where the change shows, and how. Lengths are for a 1024-px crop and scale with it; levels are of 255."""

    gate_levels: tuple[float, float] = (2.0, 8.0)  # differences below stay out, above go in whole
    gate_blur_px: float = 10.0
    cross_levels: tuple[float, float] = (14.0, 28.0)  # differences above show the edit itself
    cross_blur_px: float = 8.0
    colour_blur_px: float = 48.0  # colours of the photo are matched at this coarseness


@dataclass(frozen=True)
class Change:
    """A change ready to be laid over the photo: result = photo · (1 − cover) + add, wherever `touched` > 0.

    All are in the crop's own space: `add` [1, 3, S, S], `cover` and `touched` [1, 1, S, S].
    """

    add: Tensor
    cover: Tensor
    touched: Tensor


def blend_change(
    photo: Tensor,
    before: Tensor,
    after: Tensor,
    mask: Tensor,
    *,
    drift: Tensor | None = None,
    config: BlendConfig | None = None,
) -> Change:
    """What to lay over the photo so that it changes as `before` changed into `after`.

    Args:
        photo: [1, 3, S, S] the crop of the photo, in [-1, 1].
        before: [1, 3, S, S] the generator's picture of it.
        after: [1, 3, S, S] the edited picture.
        mask: [1, 1, S, S], 1 = may change, feathered.
        drift: `colour_drift(photo, before)`, where the caller has it: half the work.
        config: the thresholds; None = the defaults.

    Returns:
        The change; where nothing happens `touched` is exactly 0.

    Raises:
        BadImage: pictures of different sizes.
    """
    for name, img in (("photo", photo), ("before", before), ("after", after)):
        check_img(img, who=f"blend_change ({name})")
        if img.shape != photo.shape:
            raise BadImage(
                f"blend_change expects images of the same size, got {list(photo.shape)} and {list(img.shape)}"
            )
    config = config or BlendConfig()
    scale = photo.shape[3] / 1024
    difference = after - before
    size = difference.abs().mean(dim=1, keepdim=True) / LEVEL  # [1, 1, S, S] grey levels
    gate = mask * smoothstep(gaussian_blur(size, config.gate_blur_px * scale), *config.gate_levels)
    cross = smoothstep(gaussian_blur(size, config.cross_blur_px * scale), *config.cross_levels)
    cross = gaussian_blur(cross, config.cross_blur_px * scale)
    cover = gate * cross
    drift = colour_drift(photo, before, config=config) if drift is None else drift
    return Change(gate * (1 - cross) * difference + cover * (after + drift), cover, gate)


def colour_drift(photo: Tensor, before: Tensor, *, config: BlendConfig | None = None) -> Tensor:
    """How far the generator's colours are from the photo's, coarsely; what is shown of an edit is moved by so much.

    Args:
        photo, before, config: as for `blend_change`.

    Returns:
        [1, 3, S, S], to be added.
    """
    config = config or BlendConfig()
    return gaussian_blur(photo - before, config.colour_blur_px * photo.shape[3] / 1024)


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, and a smooth S between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def lay_over(photo: Tensor, change: Change) -> Tensor:
    """The photo's crop with the change, in [-1, 1]; untouched pixels are the photo's own, bit for bit."""
    changed = (photo * (1 - change.cover) + change.add).clamp(-1, 1)
    return torch.where(change.touched > 0, changed, photo)


def paste_change(photo: Photo, crop: Crop, change: Change) -> Photo:
    """Lay a change that was made in a crop over the whole photo.

    Args:
        photo: the photo, of any size, depth and colour space.
        crop: where `change` belongs.
        change: as `blend_change` gave it.

    Returns:
        A new Photo; pixels that the change does not touch are the old ones, bit for bit.
    """
    window = crop.window(width=photo.width, height=photo.height)
    stacked = torch.cat([change.add, change.cover, change.touched], dim=1)
    add, cover, touched = (crop.warp_back(stacked, window) * crop.coverage(window)).split([3, 1, 1], dim=1)
    laid = lay_over(window.crop(photo.img), Change(add, cover, touched))
    return composite(photo, window, laid, (touched > 0).to(laid))
