"""Where the person is, and the parts of a face that change shape: what the composition of an edit goes by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.acting import Place
from ganvas.editing.zones import zone_mask
from ganvas.features.parts import select_parts
from ganvas.images.flow import warp_by_flow
from ganvas.ops.resample import downscale
from ganvas.ops.smoothstep import smoothstep

OUTLINE = (0.5, 0.9)  # of the map of the person, whose edges are softer than a person's


@dataclass(frozen=True, kw_only=True)
class PartMaps:
    """Maps of one picture, [1, 1, S, S] each, 0 to 1.

    `person` is all that stands before the background; where nobody can tell (any other generator) it is 1 everywhere,
    and the picture is one layer. `body` is what goes on below the picture's lower edge: neck and clothes. `mouth` is
    with its lips, which are `lips` alone too, and `eyes` with their lids; `hair` is hair, `worn` are clothes and hats.
    `acting` is where the edit acts.
    """

    person: Tensor
    body: Tensor
    mouth: Tensor
    lips: Tensor
    eyes: Tensor
    hair: Tensor
    worn: Tensor
    acting: Tensor

    @classmethod
    def of_parts(cls, parts: Tensor, acting: Iterable[Place]) -> PartMaps:
        """From the parts of a face picture.

        Args:
            parts: [1, len(PARTS), S, S], see `ganvas.features.parts.parse_parts`.
            acting: where the edit acts.

        Raises:
            BadConfig: an unknown name.
        """
        size = parts.shape[-1]
        acts = [select_parts(parts, place.parts) * zone_mask(place.zone, size) for place in acting]
        place = {
            name: select_parts(parts, names)
            for name, names in (
                ("person", ("person",)),
                ("body", ("skin",)),
                ("mouth", ("lips", "mouth")),
                ("lips", ("lips",)),
                ("eyes", ("eyes",)),
                ("hair", ("hair",)),
                ("worn", ("clothes",)),
            )
        }
        everywhere = torch.stack([torch.zeros_like(parts[:, :1]), *acts]).amax(dim=0)
        return cls(**{**place, "person": smoothstep(place["person"], *OUTLINE), "acting": everywhere})

    @classmethod
    def of_one_layer(cls, resolution: int) -> PartMaps:
        """For pictures whose parts nobody knows: one layer, acting everywhere."""
        one, none = torch.ones(1, 1, resolution, resolution), torch.zeros(1, 1, resolution, resolution)
        return cls(person=one, body=none, mouth=none, lips=none, eyes=none, hair=none, worn=none, acting=one)

    def warp(self, field: Tensor) -> PartMaps:
        """The maps of the picture seen through a flow, see `warp_by_flow`."""
        names = [field.name for field in fields(self)]
        stacked = warp_by_flow(torch.cat([getattr(self, name) for name in names], dim=1), field, sharp=False)
        return PartMaps(**dict(zip(names, stacked.split(1, dim=1), strict=True)))

    def resize(self, resolution: int) -> PartMaps:
        """The maps at another size."""
        if self.person.shape[-1] == resolution:
            return self
        names = [field.name for field in fields(self)]
        stacked = torch.cat([getattr(self, name) for name in names], dim=1)
        resized = downscale(stacked, resolution)
        if resized.shape[-1] < resolution:
            resized = F.interpolate(stacked, (resolution, resolution), mode="bilinear", align_corners=False)
        return PartMaps(**dict(zip(names, resized.split(1, dim=1), strict=True)))
