"""The ground of an edit: the photo, the generator's picture of it, and all that both tell whatever the edit is.

Found once, when it is first asked for, and kept while a slider moves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from ganvas.editing.grain import measure_grain
from ganvas.editing.outline import find_fill, meet_edge, reflect_at_outline
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import LOW_PX, to_ycc
from ganvas.images.flow import warp_by_flow
from ganvas.images.masks import grow_mask
from ganvas.ops.blur import gaussian_blur
from ganvas.ops.planes import resize_bilinear
from ganvas.ops.resample import downscale
from ganvas.ops.smoothstep import smoothstep

STRAY_PX, STRAY_HAIR_PX = 40.0, 110.0  # farther from the generator's person there is none; lengths for a 1024-px crop
HAIRY = (0.3, 0.7)  # of the map of hair: none, and nothing else
WORN = (0.3, 0.55)  # of the map of clothes: not worn, and worn
COLLAR_PX = 16.0  # beside clothes: the neck's end
HEAD_REACH_PX = 64.0  # so far a neck moves
LOW_ROWS = (0.93, 0.97)  # of the side: from here on the picture is shoulders
EDGE_MOVE, EDGE_FADE, EDGE_HOLD = 0.08, 0.15, 0.3  # of the side: so near to the crop's edge the photo's own comes in


class Ground:
    """What an edited picture is composed with. All but `photo`, `residual` and `ycc` is at the work size.

    Args:
        photo: [1, 3, S, S] the crop of the photo, in [-1, 1].
        before: [1, 3, S, S] the generator's picture of it.
        maps: parts of both, at any size; None = nobody knows them, and the picture is one layer.
        work_px: outlines, flow and colours are found at this size at most.
    """

    def __init__(self, photo: Tensor, before: Tensor, maps: tuple[PartMaps, PartMaps] | None, *, work_px: int):
        self.photo, self.size, self.work = photo, photo.shape[3], min(photo.shape[3], work_px)
        self.scale = self.work / 1024
        self.is_one_layer = maps is None
        self.maps = self._prepare_maps(maps)
        self.ycc = to_ycc(photo)
        self.residual = self.ycc - to_ycc(before)
        self.small_before = downscale(before, self.work)
        self.small_ycc, self.before_ycc = to_ycc(downscale(photo, self.work)), to_ycc(self.small_before)

    def _prepare_maps(self, maps: tuple[PartMaps, PartMaps] | None) -> tuple[PartMaps, PartMaps]:
        """At the work size. Parts were learnt on the generator's pictures, so what its picture has no person near is
        no person in the photo either, and clothes that are found there are clothes in both. Hair may be much larger
        than the generator's."""
        if maps is None:
            return (PartMaps.of_one_layer(self.work),) * 2
        photo, before = (each.resize(self.work) for each in maps)
        near, hairy = (
            smoothstep(gaussian_blur(grow_mask(before.person, reach * self.scale), 8 * self.scale), 0.05, 0.7)
            for reach in (STRAY_PX, STRAY_HAIR_PX)
        )
        near = torch.maximum(near, hairy * smoothstep(photo.hair, *HAIRY))
        return replace(photo, person=photo.person * near, worn=torch.maximum(photo.worn, before.worn)), before

    @cached_property
    def dress(self) -> Tensor:
        """Clothes of the photo, and the skin beside them: what goes on below the picture's lower edge, and stays."""
        photo = self.maps[0]
        worn = smoothstep(photo.worn, *WORN)
        collar = smoothstep(gaussian_blur(grow_mask(worn, COLLAR_PX * self.scale), 12 * self.scale), 0.1, 0.9)
        return torch.maximum(worn, collar * photo.body)

    @cached_property
    def above_shoulders(self) -> Tensor:
        """Background over clothes and low in the picture, too far from the head for it to come there."""
        photo = self.maps[0]
        worn = smoothstep(photo.worn, *WORN)
        head = (photo.person - worn).clamp(min=0)
        over, beside = (
            smoothstep(gaussian_blur(grow_mask(x, HEAD_REACH_PX * self.scale), 8 * self.scale), 0.1, 0.9)
            for x in (worn, head)
        )
        rows = (torch.arange(self.work) + 0.5) / self.work
        low = smoothstep(rows, *LOW_ROWS)[None, None, :, None].expand_as(over)
        return torch.maximum(over, low) * (1 - beside) * (1 - photo.person)

    @cached_property
    def near_colours(self) -> Tensor:
        """[1, 2, S, S]: colours of the photo around each place."""
        return gaussian_blur(self.small_ycc[:, 1:], LOW_PX * self.scale)

    @cached_property
    def fill(self) -> tuple[Tensor, Tensor, Tensor]:
        """Around the photo's person; see `find_fill`."""
        return find_fill(self.maps[0].person, self.small_ycc[:, :1])

    @cached_property
    def backdrop(self) -> Tensor:
        """[1, 3, S, S] of the photo's size, in YCC: the photo, with what is beside the person in the person's place."""
        hole = self.fill[0]
        field = resize_bilinear(reflect_at_outline(hole), (self.size, self.size)) * (self.size / self.work)
        return warp_by_flow(self.ycc, field, sharp=False)

    @cached_property
    def edge_move(self) -> Tensor:
        """Near the edge at which the photo's person is cut, for edits that move it."""
        return meet_edge(self.maps[0].person, reach=EDGE_MOVE)

    @cached_property
    def edge_fade(self) -> Tensor:
        """Near the edge at which the photo's person is cut, for edits that do not."""
        return meet_edge(self.maps[0].person, reach=EDGE_FADE)

    @cached_property
    def held(self) -> Tensor:
        """How firmly the left or right edge at which the photo's head is cut holds a head that moves."""
        head = (self.maps[0].person - smoothstep(self.maps[0].worn, *WORN)).clamp(min=0)
        return meet_edge(head, reach=EDGE_HOLD, across=True)

    @cached_property
    def wall(self) -> Tensor:
        """Where the photo shows background, with a distance from the person."""
        return 1 - grow_mask(self.maps[0].person, 16 * self.scale)

    @cached_property
    def grain(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of the photo's skin, and of its background; see `measure_grain`."""
        size, light = (self.size, self.size), self.ycc[:, :1]
        skin, wall = (measure_grain(light, resize_bilinear(x, size)) for x in (self.maps[0].body, self.wall))
        return skin, wall
