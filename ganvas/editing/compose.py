"""Composition: what an edited photo shows, from the photo and the generator's pictures before and after the edit.

The edited picture is right in itself, but it is the generator's: smoother, in its colours, on its own background. So

- the person is the edited picture plus the photo's residual, which travels along a dense flow (`residual`);
- a part that changed its shape is visible whole, in the photo's colours;
- the background is the photo's; what a moved head uncovers is filled from the photo's own (`outline`);
- all of it shows only where the picture changed, and where the edit acts.

Pictures of which no parts are known are one layer, and go by the change alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_img
from ganvas.editing.blend import Change
from ganvas.editing.grain import missing_grain
from ganvas.editing.outline import background_drift, bend_body, end_in_strands, find_uncovered, meet_edge
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import (
    LEVEL,
    carry_low,
    find_agreement,
    find_reshaped,
    from_ycc,
    limit_cast,
    to_ycc,
)
from ganvas.errors import BadImage
from ganvas.images.flow import Flow, estimate_flow, warp_by_flow
from ganvas.images.masks import border_distance, grow_mask
from ganvas.ops.blur import gaussian_blur, masked_blur
from ganvas.ops.resample import downscale
from ganvas.ops.smoothstep import smoothstep

MATTE = (0.1, 0.6)  # of the person's map: behind and before
EDGE_MOVE, EDGE_FADE = 0.08, 0.15  # of the side: so near to the crop's edge the photo's own comes in
RIM = 0.04  # of the side, over which a change ends at the crop's edge
GRAIN_PX = 512  # smaller pictures show no grain
WORK_PX, PREVIEW_WORK_PX = 512, 128  # all but the last step is done at this size at most


@dataclass(frozen=True, kw_only=True)
class ComposeConfig:
    """When a change shows. Levels are of 255; lengths are for a 1024-px crop and scale with it."""

    gate_levels: tuple[float, float] = (2.0, 8.0)  # differences below stay out, above go in whole
    moved_px: tuple[float, float] = (2.0, 6.0)  # median movement of the person, from which the edit is a move
    local_px: tuple[float, float] = (0.7, 2.0)  # movement from which a place is visible as it is now


def compose_change(
    photo: Tensor,
    before: Tensor,
    after: Tensor,
    mask: Tensor,
    *,
    maps: tuple[PartMaps, PartMaps, PartMaps] | None = None,
    work_px: int = WORK_PX,
    config: ComposeConfig | None = None,
) -> Change:
    """What to lay over the photo so that it changes as `before` changed into `after`.

    Args:
        photo: [1, 3, S, S] the crop of the photo, in [-1, 1].
        before: [1, 3, S, S] the generator's picture of it.
        after: [1, 3, S, S] the edited picture.
        mask: [1, 1, S, S], 1 = may change, feathered.
        maps: parts of photo, before and after, at any size; None = nobody knows them.
        work_px: outlines, flow and colours are found at this size at most; previews take less.
        config: thresholds; None = the defaults.

    Returns:
        The change; where nothing happens its `gate` is exactly 0.

    Raises:
        BadImage: pictures of different sizes.
    """
    for name, img in (("photo", photo), ("before", before), ("after", after)):
        check_img(img, who=f"compose_change ({name})")
        if img.shape != photo.shape:
            raise BadImage(
                f"compose_change expects images of the same size, got {list(photo.shape)} and {list(img.shape)}"
            )
    config = config or ComposeConfig()
    size = photo.shape[3]
    work = min(size, work_px)
    known = tuple(each.resize(work) for each in maps or (PartMaps.of_one_layer(work),) * 3)
    small = [downscale(img, work) for img in (photo, before, after)]
    is_move = _is_move(small[1], small[2], known[2], config) if maps is not None else 0.0
    bend = bend_body(known[2], known[1]) if is_move else None
    if bend is not None:
        bend = bend * is_move
        small[2], known = warp_by_flow(small[2], bend), (*known[:2], known[2].warp(bend))
        after = warp_by_flow(after, _upscale(bend, size) * (size / work))
    scene = _Scene(small[0], small[1], small[2], known, is_move, config)
    return _assemble(scene, photo, before, after, mask)


class _Scene:
    """What is found out at the work size: flow, agreement, outlines, and where the change shows."""

    def __init__(
        self,
        photo: Tensor,
        before: Tensor,
        after: Tensor,
        maps: tuple[PartMaps, ...],
        is_move: float,
        config: ComposeConfig,
    ):
        self.scale = photo.shape[3] / 1024
        self.photo, self.before, self.after = (to_ycc(img) for img in (photo, before, after))
        self.maps, self.is_move, self.config = maps, is_move, config
        old, _, new = maps
        self.difference = gaussian_blur((after - before).abs().mean(dim=1, keepdim=True), 10 * self.scale) / LEVEL
        self.flow = self._find_flow(before, after)
        self.moved = gaussian_blur(self.flow.field.norm(dim=1, keepdim=True), 4 * self.scale) / self.scale
        self.reshaped = find_reshaped(self.before[:, :1], self.after[:, :1], maps)
        moved_along = warp_by_flow(self.before[:, :1], self.flow.field)
        self.keep = find_agreement(moved_along, self.after[:, :1], self.flow) * (1 - self.reshaped)
        self.ends = self._find_ends()
        added = warp_by_flow(old.person - maps[1].person, self.flow.field, sharp=False)
        self.person = (new.person + added).clamp(0, 1) * self.ends  # with what the generator's outline lacked
        layer = warp_by_flow(torch.minimum(old.person, maps[1].person), self.flow.field, sharp=False) * new.person
        self.low, self.share = carry_low(
            self.photo, self.before, self.after, self.flow.field, layer * (1 - self.reshaped)
        )

    def _find_flow(self, before: Tensor, after: Tensor) -> Flow:
        """From after to before: nowhere where nothing changed; at the outline it is the person's, not the wall's."""
        flow = estimate_flow(after, before)
        field = flow.field * smoothstep(self.difference, 1.5, 5)
        person = self.maps[2].person
        own = masked_blur(field, person.square() + 1e-5, 12 * self.scale)
        inside = smoothstep(gaussian_blur(person, 3 * self.scale), 0.3, 0.9)
        return Flow(field * inside + own * (1 - inside), flow.error)

    def _find_ends(self) -> Tensor:
        """How much of the person is visible, where hair that the photo does not have goes on below the lower edge."""
        old, before, new = self.maps
        added = (1 - grow_mask(torch.maximum(old.person, before.person), 24 * self.scale)) * new.person
        if not (added * new.hair > 0.5).any():
            return torch.ones_like(added)
        return end_in_strands(added.shape[-1], smoothstep(added, 0.2, 0.8))

    def find_gate(self, uncovered: Tensor) -> Tensor:
        """Where the change shows, [1, 1, S, S]."""
        old = self.maps[0].person
        changed = smoothstep(self.difference, *self.config.gate_levels)
        changed = torch.maximum(changed, smoothstep(self.moved, *self.config.local_px))
        local = smoothstep(gaussian_blur(grow_mask(changed, 16 * self.scale), 8 * self.scale), 0.05, 0.9)
        local = torch.maximum(local, self.reshaped)
        anywhere = grow_mask(torch.maximum(old, self.person), 14 * self.scale)
        anywhere = smoothstep(gaussian_blur(anywhere, 6 * self.scale), 0.15, 0.7)
        moved = uncovered * self.is_move * smoothstep(self.wide_move, 1.5, 5)
        return torch.maximum(local * anywhere * self.acting, moved) * (1 - self.kept_clothes)

    @cached_property
    def wide_move(self) -> Tensor:
        """How far the person around a place has moved, in pixels."""
        return masked_blur(self.moved, self.maps[2].person.square() + 1e-5, 24 * self.scale)

    @property
    def kept_clothes(self) -> Tensor:
        """Clothes that do not move and are not covered by hair stay the photo's, wherever the generator has them."""
        clothes = smoothstep(self.maps[0].worn, 0.3, 0.7) * (1 - self.maps[2].hair)
        return gaussian_blur(clothes * (1 - smoothstep(self.wide_move, 3, 8)), 2 * self.scale)

    @property
    def acting(self) -> Tensor:
        """Where the edit acts, before and after it."""
        place = torch.maximum(self.maps[0].acting, self.maps[2].acting)
        return smoothstep(gaussian_blur(grow_mask(place, 10 * self.scale), 6 * self.scale), 0.1, 0.8)


def _assemble(scene: _Scene, photo: Tensor, before: Tensor, after: Tensor, mask: Tensor) -> Change:
    """The last step, at full size."""
    size = photo.shape[3]
    old, one_layer = scene.maps[0].person, bool((scene.maps[0].person == 1).all())
    uncovered = find_uncovered(scene.person, old, scene.photo[:, :1], scene.is_move)
    # Where the generator has a person that is not visible (ends of hair) it has no background to fill in.
    uncovered = uncovered * scene.ends if not one_layer else torch.zeros_like(uncovered)
    gate = scene.find_gate(uncovered)
    edge = meet_edge(old, reach=EDGE_MOVE) * scene.is_move
    if not one_layer:  # a change of colour fades out before the edge at which the person is cut
        gate = gate * (1 - meet_edge(old, reach=EDGE_FADE) * (1 - scene.is_move))
    ratio = size / scene.photo.shape[3]
    field = _upscale(scene.flow.field, size) * ratio
    drift = background_drift(scene.photo, scene.after, old, scene.person)
    low, share, keep, drift = (_upscale(x, size) for x in (scene.low, scene.share, scene.keep, drift))
    p, b, a = (to_ycc(img) for img in (photo, before, after))
    # Pixels of the outline are a person before a background, each of which has its own colours.
    solid = _upscale(gaussian_blur(scene.person, 2 * scene.scale), size) if not one_layer else 1.0
    coarse = solid * share * low + (1 - solid) * drift
    person = a + coarse + keep * share * (warp_by_flow(p - b, field) - low)
    if not one_layer:
        person = limit_cast(person, p, _upscale(scene.maps[2].person * (1 - scene.maps[2].eyes), size))
    edge_large = _upscale(edge, size)
    person = person + edge_large * (p - person)
    matte = scene.person + edge * (old - scene.person)
    matte = smoothstep(gaussian_blur(matte, 1.5 * scene.scale), *MATTE)
    behind = p + _upscale(uncovered, size) * (a + drift - p)
    matte = _upscale(matte, size) if not one_layer else torch.ones_like(edge_large)
    visible = behind + matte * (person - behind)
    if not one_layer and size >= GRAIN_PX:
        light = visible[:, :1]
        skin, wall = (_upscale(x, size) for x in (scene.maps[0].body, 1 - grow_mask(old, 16 * scene.scale)))
        light += missing_grain(light, p[:, :1], skin, seed=0) * matte * (1 - keep)
        light += missing_grain(light, p[:, :1], wall, seed=1) * (1 - matte) * _upscale(uncovered, size)
    visible = from_ycc(visible).clamp(-1, 1)
    return Change(visible, _upscale(gate, size) * mask, keep * matte, field, photo)


def _is_move(before: Tensor, after: Tensor, maps: PartMaps, config: ComposeConfig) -> float:
    """0 to 1: has the person as a whole moved?"""
    size = before.shape[3]
    field = estimate_flow(after, before, limit_px=256).field.norm(dim=1, keepdim=True)
    inside = field[maps.person > 0.8]
    if not len(inside):
        return 0.0
    return smoothstep(inside.median() * 1024 / size, *config.moved_px).item()


def _upscale(img: Tensor, size: int) -> Tensor:
    if img.shape[3] == size:
        return img
    return F.interpolate(img, (size, size), mode="bilinear", align_corners=False)


def fade_to_edge(resolution: int) -> Tensor:
    """The mask of a crop whose parts are known: all of it but a narrow soft rim, [1, 1, S, S]."""
    return smoothstep(border_distance(resolution), 0, RIM)
