"""The ground of an edit: the photo, the generator's picture of it, and all that both tell whatever the edit is.

Found once, when it is first asked for, and kept while a slider moves.
"""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from ganvas.editing.grain import measure_grain
from ganvas.editing.outline import find_fill, meet_edge
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import LOW_PX, to_ycc
from ganvas.images.masks import grow_mask
from ganvas.ops.blur import gaussian_blur
from ganvas.ops.planes import resize_bilinear
from ganvas.ops.resample import downscale

EDGE_MOVE, EDGE_FADE = 0.08, 0.15  # of the side: so near to the crop's edge the photo's own comes in


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
        self.maps = tuple(each.resize(self.work) for each in maps or (PartMaps.of_one_layer(self.work),) * 2)
        self.ycc = to_ycc(photo)
        self.residual = self.ycc - to_ycc(before)
        self.small_before = downscale(before, self.work)
        self.small_ycc, self.before_ycc = to_ycc(downscale(photo, self.work)), to_ycc(self.small_before)

    @cached_property
    def near_colours(self) -> Tensor:
        """[1, 2, S, S]: colours of the photo around each place."""
        return gaussian_blur(self.small_ycc[:, 1:], LOW_PX * self.scale)

    @cached_property
    def fill(self) -> tuple[Tensor, Tensor]:
        """Around the photo's person; see `find_fill`."""
        return find_fill(self.maps[0].person, self.small_ycc[:, :1])

    @cached_property
    def edge_move(self) -> Tensor:
        """Near the edge at which the photo's person is cut, for edits that move it."""
        return meet_edge(self.maps[0].person, reach=EDGE_MOVE)

    @cached_property
    def edge_fade(self) -> Tensor:
        """Near the edge at which the photo's person is cut, for edits that do not."""
        return meet_edge(self.maps[0].person, reach=EDGE_FADE)

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
