"""The residual: what a generator's picture of a photo lacks, carried onto the edited picture.

    photo ≈ before + residual          result ≈ after + residual moved along with what moved

Fine detail goes along only where the edited picture still has the structure of the unedited one; low frequencies go
along everywhere, within their layer, and colour only as far as there is colour: hair that has turned grey does not
take the red out of what was brown, which would make it green.

After "residual detail" in inversion papers, for instance Wang et al. 2022, "High-Fidelity GAN Inversion for Image
Attribute Editing"; flow, agreement and colour rule are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.editing.part_maps import PartMaps
from ganvas.images.flow import Flow, warp_by_flow
from ganvas.images.masks import grow_mask
from ganvas.ops.blur import gaussian_blur, masked_blur
from ganvas.ops.smoothstep import smoothstep

LEVEL = 2 / 255  # one grey level in [-1, 1]
LOW_PX = 24.0  # low frequencies are what this blur leaves; lengths are for a 1024-px crop and scale with it
MISS = (0.55, 1.1)  # misfit of the structure, as a share of it: below, all detail goes along; above, none
ASTRAY_PX = (3.0, 8.0)  # of a flow, there and back
RESHAPED = {"mouth": (0.45, 0.75), "eyes": (0.8, 1.2)}  # change of structure from which a part is shown whole
RECOLOURED = (20.0, 60.0)  # levels: colours that moved so far are the edit's own
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_TO_YCC = torch.stack([_LUMA, torch.tensor([0.5, -0.418688, -0.081312]), torch.tensor([-0.168736, -0.331264, 0.5])])


def to_ycc(img: Tensor) -> Tensor:
    """RGB [N, 3, H, W] → lightness, red and blue against it (ITU-R BT.601), of the same range."""
    return torch.einsum("oc,nchw->nohw", _TO_YCC.to(img), img)


def from_ycc(img: Tensor) -> Tensor:
    """The inverse of `to_ycc`."""
    return torch.einsum("oc,nchw->nohw", torch.linalg.inv(_TO_YCC).to(img), img)


def find_reshaped(before: Tensor, after: Tensor, maps: tuple[PartMaps, ...]) -> Tensor:
    """Parts that changed their shape: an opened mouth is shown whole, without the old lips' detail.

    Args:
        before, after: [1, 1, S, S] lightness.
        maps: of all pictures involved; a part is where any of them has it.

    Returns:
        [1, 1, S, S], 0 to 1.
    """
    scale = before.shape[-1] / 1024
    old, new = (_structure(light, scale) for light in (before, after))
    whole = torch.zeros_like(before)
    for name, limits in RESHAPED.items():
        place = torch.stack([getattr(each, name) for each in maps]).amax(dim=0)
        place = gaussian_blur(grow_mask(place, 10 * scale), 6 * scale)
        for part in _split_sides(place) if name == "eyes" else (place,):  # one may wink
            core = part > 0.5
            if core.any():
                moved = ((new - old)[core].square().mean() / old[core].square().mean().clamp(min=1e-8)).sqrt()
                whole = torch.maximum(whole, part * smoothstep(moved, *limits))
    return whole


def _split_sides(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The left and the right half of a mask [1, 1, S, S], each beside zeros."""
    left = mask.clone()
    left[..., mask.shape[-1] // 2 :] = 0
    return left, mask - left


def find_agreement(before: Tensor, after: Tensor, flow: Flow) -> Tensor:
    """How far the unedited picture, moved along, explains the structure of the edited one.

    Args:
        before: [1, 1, S, S] lightness of the unedited picture, already moved along.
        after: of the edited one.
        flow: that moved it.

    Returns:
        [1, 1, S, S], 1 = the photo's detail belongs there, 0 = there is something else now.
    """
    scale = before.shape[-1] / 1024
    old, new = (_structure(light, scale) for light in (before, after))
    miss = gaussian_blur((new - old).square(), 4 * scale).sqrt()
    have = gaussian_blur(old.square(), 16 * scale).sqrt() + 1.5 * LEVEL
    astray = smoothstep(flow.error, *(limit * scale for limit in ASTRAY_PX))
    return gaussian_blur((1 - smoothstep(miss / have, *MISS)) * (1 - astray), 3 * scale)


def carry_low(photo: Tensor, before: Tensor, after: Tensor, field: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Low frequencies of the residual, moved along, as they are added to the edited picture.

    Args:
        photo, before, after: [1, 3, S, S] in YCC, see `to_ycc`.
        field: the flow from after to before.
        weight: [1, 1, S, S], whose pixels say it: those of the layer.

    Returns:
        What was found [1, 3, S, S], and how much of each of its channels is to be added [1, 3, S, S], 0 to 1.
    """
    scale = photo.shape[-1] / 1024
    low = masked_blur(warp_by_flow(photo - before, field), weight.square() + 1e-5, LOW_PX * scale)
    colours = [
        gaussian_blur(img[:, 1:].square().sum(dim=1, keepdim=True), 12 * scale).sqrt() for img in (after, before)
    ]
    ratio = ((colours[0] + LEVEL) / (colours[1] + LEVEL)).clamp(max=1)
    change = gaussian_blur((after - warp_by_flow(before, field)).abs().sum(dim=1, keepdim=True), LOW_PX * scale / 2)
    same = 1 - smoothstep(change / LEVEL, *RECOLOURED)
    return low, torch.cat([torch.ones_like(ratio), ratio * same, ratio * same], dim=1)


def limit_cast(img: Tensor, near: Tensor, person: Tensor) -> Tensor:
    """No green and no blue people: colours of the person go no further to that side than the photo's do nearby.

    Args:
        img: [1, 3, S, S] in YCC, what would be shown.
        near: [1, 2, S, S], the photo's colours, blurred.
        person: [1, 1, S, S], where this holds.
    """
    red = torch.maximum(img[:, 1:2], near[:, :1].clamp(max=0))
    blue = torch.minimum(img[:, 2:], near[:, 1:].clamp(min=0))
    limited = torch.cat([img[:, :1], red, blue], dim=1)
    return img + person * (limited - img)


def limit_fringe(img: Tensor, layers: list[Tensor], rim: Tensor) -> Tensor:
    """No bright or dark fringe along the outline, where photo and generator differ in where it is.

    Args:
        img: [1, 3, S, S] in YCC.
        layers: what may be seen there, [1, 1 or more, S, S] each, lightness first: no lighter than all, and no darker.
        rim: [1, 1, S, S], where this holds.
    """
    light = torch.cat([layer[:, :1] for layer in layers], dim=1)
    limited = img[:, :1].clamp(light.amin(dim=1, keepdim=True), light.amax(dim=1, keepdim=True))
    return torch.cat([img[:, :1] + rim * (limited - img[:, :1]), img[:, 1:]], dim=1)


def _structure(light: Tensor, scale: float) -> Tensor:
    return light - gaussian_blur(light, LOW_PX * scale)
