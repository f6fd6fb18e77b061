"""Hair and skin that go on beyond the crop take the colours that the edit gave them inside it.

The generator paints a square, and a head is often larger: its crown, long hair, the neck. There the photo's own pixels
are moved as the part's colours were moved on the average, near the crop's edge: lightness by mean and deviation, colour
as the new part has it at that lightness. Strands and gloss stay, and where the square ends nothing is to be seen.

After Reinhard et al. 2001, "Color Transfer between Images".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.editing.residual import LEVEL, from_ycc, to_ycc
from ganvas.images.masks import border_distance
from ganvas.ops.smoothstep import smoothstep

NOTICED = (5.0, 12.0)  # levels by which a part's mean colour moved: below, nothing goes on beyond the crop
MEASURED_AT, MEASURED_WIDTH = 0.1, 0.15  # sides of the crop from its edge: where the colours are measured
LEAST_PART = 0.002  # of the crop's pixels, to tell anything by
CONTRASTS = (0.6, 1.6)  # of contrast
PLAY = 0.5  # of the photo's own play of colours that stays
FOREIGN = (2.0, 4.0)  # standard deviations of lightness from the part's: in its soft rim that is something else
DYED = (4.0, 7.0)  # standard deviations of colour from the part's: something else wherever it is, such as clothes
SOFT_EDGE = (0.9, 1.0)  # of a mask


@dataclass(frozen=True, kw_only=True)
class ColourShift:
    """How a part's colours moved; means and deviations are [1, 3, 1, 1] in YCC, see `ganvas.editing.residual.to_ycc`.

    `slope` [1, 2, 1, 1] is how the new colour goes with the new lightness; `strength` 0 to 1 says how much is applied.
    """

    old: Tensor
    old_deviation: Tensor
    new: Tensor
    new_deviation: Tensor
    slope: Tensor
    strength: float

    def apply(self, ycc: Tensor) -> Tensor:
        """[1, 3, H, W] with the colours moved."""
        gain = (self.new_deviation[:, :1] / self.old_deviation[:, :1].clamp(min=LEVEL)).clamp(*CONTRASTS)
        from_mean = ycc - self.old
        light = gain * from_mean[:, :1]
        colour = self.slope * light + PLAY * from_mean[:, 1:]
        return ycc.lerp(self.new + torch.cat([light, colour], dim=1), self.strength)

    def belongs(self, ycc: Tensor, mask: Tensor) -> Tensor:
        """The mask without what in its soft rim is as light as the part never was, the wall between hairs, and without
        what has quite another colour: a black collar that was taken for skin."""
        far = (ycc - self.old).abs() / self.old_deviation.clamp(min=LEVEL)
        light, colour = far[:, :1], far[:, 1:].norm(dim=1, keepdim=True)
        own = torch.maximum(1 - smoothstep(light, *FOREIGN), smoothstep(mask, *SOFT_EDGE))
        return mask * own * (1 - smoothstep(colour, *DYED))


def measure_shift(before: Tensor, after: Tensor, old: Tensor, new: Tensor) -> ColourShift | None:
    """How a part's colours moved, near the edge of the picture.

    Args:
        before, after: [1, 3, S, S] in YCC, the photo and what is to be visible.
        old, new: [1, 1, S, S], where the part is in them.

    Returns:
        None where there is too little of the part, or it kept its colours.
    """
    near = (-((border_distance(before.shape[3]) - MEASURED_AT) / MEASURED_WIDTH).square()).exp()
    weights = old.square() * near, new.square() * near
    if min(weight.mean().item() for weight in weights) < LEAST_PART:
        return None
    (mean, spread, _), (new_mean, new_spread, slope) = (
        _statistics(img, weight) for img, weight in zip((before, after), weights, strict=True)
    )
    strength = smoothstep((new_mean - mean).norm() / LEVEL, *NOTICED).item()
    if strength == 0:
        return None
    return ColourShift(
        old=mean, old_deviation=spread, new=new_mean, new_deviation=new_spread, slope=slope, strength=strength
    )


def _statistics(ycc: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, standard deviation, and the slope of colour over lightness."""
    mean_of = lambda x: (x * weight).sum(dim=(2, 3), keepdim=True) / weight.sum()  # noqa: E731
    mean = mean_of(ycc)
    off = ycc - mean
    variance = mean_of(off.square())
    return mean, variance.sqrt(), mean_of(off[:, 1:] * off[:, :1]) / (variance[:, :1] + LEVEL**2)


def carry_colours(
    painted: Tensor, photo: Tensor, outside: Tensor, masks: Mapping[str, Tensor], shifts: Mapping[str, ColourShift]
) -> Tensor:
    """A painted picture with the colours of its parts carried on where the photo itself is visible.

    Args:
        painted: [1, 3, H, W] in [-1, 1].
        photo: [1, 3, H, W], as it was.
        outside: [1, 1, H, W], how much of the photo itself is visible: 1 beyond the crop.
        masks: [1, 1, H, W] each, a part's places.
        shifts: by the same names.
    """
    ycc = to_ycc(photo)
    for name, shift in shifts.items():
        weight = outside * shift.belongs(ycc, masks[name])
        moved = painted + weight * (from_ycc(shift.apply(ycc)) - photo)
        painted = torch.where(weight > 0, moved.clamp(-1, 1), painted)
    return painted
