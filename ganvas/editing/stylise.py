"""Painting in a style that was taught, as a step; and what lies between two generators.

Generators that were trained further than their common parent can be joined without any training: `swap_layers` takes
the coarse layers of one and the fine layers of the other. (`ganvas.weights.interpolate` mixes all layers alike.)

Paper: Pinkney and Adler 2020, "Resolution Dependent GAN Interpolation for Controllable Image Generation Between
Domains" (layer swap).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganvas.editing.style import STYLE_FINGERPRINT, STYLE_NAME, STYLE_NAME_RULE
from ganvas.errors import BadConfig
from ganvas.fields import check_settings, setting
from ganvas.weights.interpolate import interpolate_networks

if TYPE_CHECKING:
    from ganvas.editing.step import EditContext


@dataclass(frozen=True, kw_only=True)
class Stylise:
    """Paint in a style that the generator was taught.

    `style` is its name among those in the user's folder, `fingerprint` says which one is meant ("" = whichever has the
    name), `strength` goes from 0 (the generator as it is) to 1 (as it was taught).
    """

    name: ClassVar[str] = "stylise"
    style: str = setting(pattern=STYLE_NAME.pattern, expected=STYLE_NAME_RULE, help="name of the style")
    strength: float = setting(1.0, ge=0, le=1, help="0 = the generator as it is, 1 = as it was taught")
    fingerprint: str = setting(
        "",
        pattern=f"({STYLE_FINGERPRINT.pattern})?",
        expected="64 hexadecimal digits",
        help="which style is meant; empty = whichever has the name",
    )

    def __post_init__(self) -> None:
        check_settings(self, who=self.name)

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """See `LatentStep`; ws stay, the style goes to the bench's."""
        if context.style is None or context.styles is None:
            raise BadConfig(f"style {self.style!r} changes the generator, which is not supported here")
        context.styles.append((context.style(self.style, self.fingerprint), self.strength))
        return ws


@torch.no_grad()
def swap_layers(coarse: Any, fine: Any, *, at_px: float, width: float = 0.0) -> Any:
    """The layers that paint below a size from one generator, those above from another of one parent.

    Coarse layers bring shape, fine ones texture and colour: a cartoon model's coarse layers with its photographic
    parent's fine ones give photographs of cartoon shapes; the other way round, a portrait in the cartoon's paint.

    Args:
        coarse, fine: generators of one family and config; one is a fine-tune of the other, or both are of one parent.
        at_px: the size at which they meet; layers of just this size are the fine one's where width is 0, half and half
            where it is not.
        width: how smooth, in doublings of the size: 0 = a hard cut, 1 = within about an octave on either side.

    Returns:
        A new generator; what is not tied to a size (the mapping network) is the coarse one's.

    Raises:
        BadConfig: generators of different shape, a family that does not say at which size its layers paint, or at_px or
            width out of range.
    """
    if not width >= 0 or not at_px > 0:
        raise BadConfig(f"swap_layers expects at_px above 0 and width of 0 or more, got {at_px} and {width}")
    merged = interpolate_networks(coarse, fine, 1.0)  # checks that they fit
    theirs = fine.state_dict()
    placed = False
    for name, value in merged.state_dict().items():
        px = merged.place_px(name)
        if px is not None and value.is_floating_point():
            placed = True
            value.lerp_(theirs[name].to(value), fine_share(px, at_px=at_px, width=width))
    if not placed:
        raise BadConfig(f"{merged.family} does not define the resolution of its layers; use --blend instead")
    merged.facts = {"swapped": {"at_px": at_px, "width": width, "coarse": coarse.facts, "fine": fine.facts}}
    return merged


def fine_share(px: int, *, at_px: float, width: float) -> float:
    """How much of the fine generator a layer of this size gets: a logistic curve over doublings of the size, 0 … 1."""
    octaves = math.log2(px / at_px)
    if width == 0:
        return float(octaves >= 0)
    return 1 / (1 + math.exp(min(700.0, -4 * octaves / width)))
