"""Lips that an edit reshapes keep the colour that they have in the photo.

They are shown whole, as the generator paints them, and the face that it knows has redder lips than most people have.
What the photo has otherwise around them is skin's. So what is added to them is what the photo's own lips have and the
generator's lack. People who smile keep the colour of their lips (15 people: red against lightness moves by 0.2 levels
on average, 3.3 at most), so a small change of it goes with the shape and is left out; a large one is wanted: make-up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import LEVEL
from ganvas.images.masks import grow_mask
from ganvas.ops.smoothstep import smoothstep

LIP_CORE = (0.4, 0.8)  # of a map of lips: what is surely lips is measured
LIP_RIM = (0.1, 0.5)  # and what may be lips gets their colour, as far as its own is lips'
FEWEST = 1e-4  # of the picture: fewer lips say nothing
BESIDE_LIPS_PX = 24.0  # of a 1024-px crop: skin beside the lips
OWN_COLOUR = (4.0, 8.0)  # levels by which an edit moves the colour: below with the shape, above because it is meant to
COLOURS_APART = (2.0, 6.0)  # levels between the colours of lips and of skin: below, nothing tells one by it


def match_lips(
    low: Tensor, share: Tensor, pictures: tuple[Tensor, ...], maps: tuple[PartMaps, ...], place: Tensor
) -> tuple[Tensor, Tensor]:
    """Low frequencies that are added to the edited picture, with the lips' own at the lips.

    Args:
        low, share: [1, 3, S, S] what is added and how much of it, see `ganvas.editing.residual.carry_low`.
        pictures: photo, unedited and edited picture, [1, 3, S, S] in YCC.
        maps: of the same.
        place: [1, 1, S, S] where parts are shown whole.

    Returns:
        Both with the lips' own; as they were where a picture has hardly any lips.
    """
    weights = [smoothstep(each.lips, *LIP_CORE) for each in maps]
    if not place.any() or min(weight.mean() for weight in weights) < FEWEST:
        return low, share
    photo, before, after = (_mean(img, weight) for img, weight in zip(pictures, weights, strict=True))
    change = (after - before)[:, 1:]
    wanted = smoothstep(change.norm() / LEVEL, *OWN_COLOUR)
    own = torch.cat([(photo - before)[:, :1], (photo - after)[:, 1:] + wanted * change], dim=1)
    at = smoothstep(maps[2].lips, *LIP_RIM) * place * _likeness(pictures[2][:, 1:], after[:, 1:], maps[2])
    return low + at * (own - low), share + at.clamp(max=1) * (1 - share)


def _likeness(colours: Tensor, lips: Tensor, maps: PartMaps) -> Tensor:
    """How far each pixel has the colour of lips and not that of the skin around them: 0 = skin's, 1 = their mean's."""
    near = grow_mask(maps.lips, BESIDE_LIPS_PX * maps.lips.shape[-1] / 1024) * maps.body
    if not near.any():
        return torch.ones_like(colours[:, :1])
    skin = _mean(colours, near)
    axis = lips - skin
    along = ((colours - skin) * axis).sum(dim=1, keepdim=True) / axis.square().sum().clamp(min=LEVEL**2)
    return torch.lerp(torch.ones_like(along), along.clamp(0, 1.5), smoothstep(axis.norm() / LEVEL, *COLOURS_APART))


def _mean(img: Tensor, weight: Tensor) -> Tensor:
    return (img * weight).sum(dim=(2, 3), keepdim=True) / weight.sum()
