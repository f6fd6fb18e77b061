"""Mouths that an edit opens are painted by the generator without its tuning.

The tuning is learnt on the photo. Where the photo's lips are closed it never saw teeth, and veils those that an edit
shows: with all of the tuning they are gone, with half of it they are one soft patch without gaps. What the generator
itself paints there has teeth, and there is nothing of the person's own that could be lost.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.smoothstep import smoothstep

OPENED = (0.3, 0.6)  # share of the open mouth that was not open in the photo: none of it, all of it is painted so
LEAST = 3e-4  # of the picture: smaller openings have no teeth to show
EDGE = (0.25, 0.75)  # of the map of the mouth: inside the lips


def paint_opened_mouth(after: Tensor, untuned: Callable[[], Tensor], now: Tensor, then: Tensor) -> Tensor:
    """The edited picture with the mouth that the edit opened as the generator paints it without its tuning.

    Args:
        after: [1, C, S, S] the edited picture.
        untuned: gives the same without the tuning; called only where it is needed.
        now, then: [1, 1, P, P] what open lips show in the edited picture and in the photo, 0 to 1.

    Returns:
        [1, C, S, S]; `after` itself where the mouth was as open before.
    """
    area = now.mean().item()
    share = 0.0 if area < LEAST else 1 - then.mean().item() / area
    if share <= OPENED[0]:
        return after
    strength = min(1.0, (share - OPENED[0]) / (OPENED[1] - OPENED[0]))
    place = F.interpolate(now, after.shape[2:], mode="bilinear", align_corners=False, antialias=True)
    return after.lerp(untuned(), strength * smoothstep(place, *EDGE))
