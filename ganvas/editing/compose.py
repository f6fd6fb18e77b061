"""Composition: what an edited photo shows, from the photo and the generator's pictures before and after the edit.

The edited picture is right in itself, but it is the generator's: smoother, in its colours, on its own background. So

- the person is the edited picture plus the photo's residual, which travels along a dense flow (`residual`);
- a part that changed its shape is visible whole, in the photo's colours;
- the background is the photo's; what a moved head uncovers is filled from the photo's own (`outline`);
- all of it shows only where the picture changed, and where the edit acts.

Pictures of which no parts are known are one layer, and go by the change alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ganvas.checks import check_img
from ganvas.editing.blend import Change
from ganvas.editing.colour_shift import ColourShift, measure_shift
from ganvas.editing.grain import GRAIN_GRID_PX, missing_grain
from ganvas.editing.ground import HAIRY, WORN, Ground
from ganvas.editing.lip_colour import match_lips
from ganvas.editing.outline import background_drift, bend_body, end_in_strands
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import (
    LEVEL,
    carry_low,
    find_agreement,
    find_reshaped,
    from_ycc,
    limit_cast,
    limit_fringe,
    to_ycc,
)
from ganvas.errors import BadImage
from ganvas.images.flow import Flow, estimate_flow, flow_length, warp_by_flow
from ganvas.images.masks import border_distance, grow_mask
from ganvas.ops.blur import gaussian_blur, masked_blur
from ganvas.ops.planes import resize_bilinear
from ganvas.ops.resample import downscale
from ganvas.ops.smoothstep import smoothstep

MATTE = (0.1, 0.6)  # of the person's map: behind and before
STRANGE = (10.0, 30.0)  # levels between what the generator fills in and what is beside it
RIM = 0.04  # of the side, over which a change ends at the crop's edge
HELD_TIMES, HELD_BLUR_PX = 2, 40.0  # of a 1024-px crop: what is held by an edge is stretched so smoothly
ACTS_ON = 0.5  # of hair or skin: an edit that acts in less of it does not change its colour beyond the crop
GRAIN_PX = 512  # smaller pictures show no grain
WORK_PX, PREVIEW_WORK_PX = 512, 128  # all but the last step is done at this size at most


@dataclass(frozen=True, kw_only=True)
class ComposeConfig:
    """When a change shows. Levels are of 255; lengths are for a 1024-px crop and scale with it."""

    gate_levels: tuple[float, float] = (2.0, 8.0)  # differences below stay out, above go in whole
    moved_px: tuple[float, float] = (2.0, 6.0)  # median movement of the person, from which the edit is a move
    local_px: tuple[float, float] = (0.7, 2.0)  # movement from which a place is visible as it is now
    # movement around a place from which the background shows that it uncovers: beside the old outline, and farther out
    uncovered_px: tuple[tuple[float, float], tuple[float, float]] = ((1.5, 5.0), (8.0, 20.0))


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
    for name, img in (("photo", photo), ("before", before)):
        _check_size(img, photo, name)
    ground = Ground(photo, before, None if maps is None else maps[:2], work_px=work_px)
    return compose_on(ground, after, mask, None if maps is None else maps[2], config=config)


def compose_on(
    ground: Ground,
    after: Tensor,
    mask: Tensor,
    maps: PartMaps | None,
    *,
    keeps_outline: bool = False,
    in_place: bool = False,
    config: ComposeConfig | None = None,
) -> Change:
    """`compose_change` for one of several edits of the same photo, whose ground is kept.

    With `keeps_outline` the edit is one of colour: hair stays where the photo has it, also where the generator has
    none. With `in_place` the edit is about one feature: however far the generator's head moves, the person does not.

    Raises:
        BadImage: `after` is of another size than the photo.
    """
    _check_size(after, ground.photo, "after")
    scene = _Scene(ground, after, maps, config or ComposeConfig(), keeps_outline=keeps_outline, in_place=in_place)
    return _assemble(scene, mask)


def _check_size(img: Tensor, photo: Tensor, name: str) -> None:
    check_img(img, who=f"compose_change ({name})")
    if img.shape != photo.shape:
        raise BadImage(f"compose_change expects images of the same size, got {list(photo.shape)} and {list(img.shape)}")


class _Scene:
    """What is found out at the work size: flow, agreement, outlines, and where the change shows."""

    def __init__(
        self,
        ground: Ground,
        after: Tensor,
        maps: PartMaps | None,
        config: ComposeConfig,
        *,
        keeps_outline: bool,
        in_place: bool,
    ):
        self.ground, self.config, self.scale = ground, config, ground.scale
        self.keeps_outline, self.in_place = keeps_outline, in_place
        self.large, self.maps = after, ground.maps[1] if maps is None else maps.resize(ground.work)
        small = downscale(after, ground.work)
        flow = estimate_flow(small, ground.small_before)
        self.is_move = 0.0 if maps is None or in_place else _is_move(flow, self.maps, config)
        bend = bend_body(self.maps, ground.maps[1]) if self.is_move else None
        if bend is not None:
            small = self._bend(bend * self.is_move, small)
            flow = estimate_flow(small, ground.small_before)
        for _ in range(HELD_TIMES if self.is_move and ground.held.any() else 0):
            own = masked_blur(flow.field, self.maps.person.square() + 1e-5, HELD_BLUR_PX * self.scale)
            small = self._bend(-ground.held * self.is_move * own, small)
            flow = estimate_flow(small, ground.small_before)
        self.difference = gaussian_blur((small - ground.small_before).abs().mean(dim=1, keepdim=True), 10 * self.scale)
        self.difference = self.difference / LEVEL
        self.after, self.flow = to_ycc(small), self._find_flow(flow)
        self.moved = gaussian_blur(flow_length(self.flow.field), 4 * self.scale) / self.scale
        self._find_detail()

    def _bend(self, bend: Tensor, small: Tensor) -> Tensor:
        """The edited picture with its neck bent."""
        size, work = self.ground.size, self.ground.work
        self.maps = self.maps.warp(bend)
        self.large = warp_by_flow(self.large, _enlarge(bend, size) * (size / work))
        return warp_by_flow(small, bend)

    def _find_flow(self, flow: Flow) -> Flow:
        """From after to before: nowhere where nothing changed; at the outline it is the person's, not the wall's."""
        field, person = flow.field * smoothstep(self.difference, 1.5, 5), self.maps.person
        own = masked_blur(field, person.square() + 1e-5, 12 * self.scale)
        inside = smoothstep(gaussian_blur(person, 3 * self.scale), 0.3, 0.9)
        return Flow(field * inside + own * (1 - inside), flow.error)

    def _find_detail(self) -> None:
        """What of the photo goes along, and where the person is."""
        ground, field = self.ground, self.flow.field
        old, before = ground.maps
        light = ground.before_ycc[:, :1]
        self.reshaped = find_reshaped(light, self.after[:, :1], (old, before, self.maps))
        keep = find_agreement(warp_by_flow(light, field), self.after[:, :1], self.flow)
        self.keep = keep * (1 - self.reshaped)
        self.ends = self._find_ends()
        outlines = torch.cat([old.person - before.person, torch.minimum(old.person, before.person)], dim=1)
        added, both = warp_by_flow(outlines, field, sharp=False).split(1, dim=1)
        self.person = (self.maps.person + added).clamp(0, 1) * self.ends  # with what the generator's outline lacked
        layer = both * self.maps.person * (1 - self.reshaped)
        pictures = ground.small_ycc, ground.before_ycc, self.after
        carried = carry_low(*pictures, field, layer)
        self.low, self.share = match_lips(*carried, pictures, (old, before, self.maps), self.reshaped)

    def _find_ends(self) -> Tensor:
        """How much of the person is visible, where hair that the photo does not have goes on below the lower edge."""
        old, before = self.ground.maps
        added = (1 - grow_mask(torch.maximum(old.person, before.person), 24 * self.scale)) * self.maps.hair
        if not (added > 0.5).any():
            return torch.ones_like(added)
        return end_in_strands(added.shape[-1], smoothstep(added, 0.2, 0.8))

    @cached_property
    def uncovered(self) -> Tensor:
        """Where background is to be filled in. Where the generator has a person that is not visible (ends of hair) it
        has none."""
        if self.ground.is_one_layer:
            return torch.zeros_like(self.person)
        near, wide, _ = self.ground.fill
        return torch.maximum(near, wide * self.is_move) * self.ends

    @cached_property
    def gate(self) -> Tensor:
        """Where the change shows, [1, 1, S, S]."""
        changed = smoothstep(self.difference, *self.config.gate_levels)
        changed = torch.maximum(changed, smoothstep(self.moved, *self.config.local_px))
        local = smoothstep(gaussian_blur(grow_mask(changed, 16 * self.scale), 8 * self.scale), 0.05, 0.9)
        local = torch.maximum(local, self.reshaped)
        anywhere = grow_mask(torch.maximum(self.ground.maps[0].person, self.person), 14 * self.scale)
        anywhere = smoothstep(gaussian_blur(anywhere, 6 * self.scale), 0.15, 0.7)
        gate = torch.maximum(local * anywhere * self.acting, self._bared_ground()) * (1 - self.kept_clothes)
        if self.ground.is_one_layer:
            return gate
        if self.in_place:  # within the outline that the photo has, also where the generator's head has become another
            within = torch.minimum(self.ground.maps[0].person, self.maps.person)
            gate = gate * smoothstep(gaussian_blur(within, 5 * self.scale), 0.6, 0.98)
        # A change of colour fades out before the edge at which the person is cut.
        return gate * (1 - self.ground.edge_fade * (1 - self.is_move)) * (1 - self.bare)

    def _bared_ground(self) -> Tensor:
        """Where background shows that a move uncovered: far from the old outline only where much has moved."""
        if self.ground.is_one_layer or not self.is_move:
            return torch.zeros_like(self.person)
        beside, around = (smoothstep(self.wide_move, *limits) for limits in self.config.uncovered_px)
        near = torch.minimum(self.uncovered, self.ground.fill[0])
        return self.is_move * torch.maximum(near * beside, self.uncovered * around)

    @cached_property
    def bare(self) -> Tensor:
        """Where the photo has hair and the generator none, and the edit is one of colour."""
        old, before = self.ground.maps
        if not self.keeps_outline:
            return torch.zeros_like(self.person)
        painted = smoothstep(torch.minimum(before.hair, self.maps.hair), *HAIRY)
        return smoothstep(gaussian_blur(smoothstep(old.hair, *HAIRY) * (1 - painted), 4 * self.scale), 0.1, 0.6)

    @cached_property
    def outside(self) -> Tensor:
        """Where the photo itself is visible only because the crop, or the generator's hair, ends there."""
        ground = self.ground
        if ground.is_one_layer:
            return torch.zeros_like(self.person)
        faded = ground.edge_fade + self.is_move * (ground.edge_move - ground.edge_fade)
        collar = self.kept_clothes * ground.maps[0].body * (1 - self.is_move)
        return 1 - (1 - faded) * (1 - self.bare) * (1 - collar) * fade_to_edge(ground.work)

    def shifts(self, visible: Tensor) -> dict[str, ColourShift]:
        """How colours of hair and skin moved, from what is to be visible."""
        old, now = self.ground.maps[0], self.maps
        if self.ground.is_one_layer or self.in_place:
            return {}
        ycc = to_ycc(downscale(visible, self.ground.work))
        places = {
            "hair": (old.hair * old.acting * (1 - self.bare), now.hair * now.acting),
            "skin": (old.body * old.acting, now.body * now.acting),
        }
        # Braids are a little skin to the parts network: an edit of the face alone would take their colour for hair's.
        whole = {"hair": old.hair, "skin": old.body}
        meant = {name: place for name, place in places.items() if place[0].sum() > ACTS_ON * whole[name].sum()}
        measured = {name: measure_shift(self.ground.small_ycc, ycc, *place) for name, place in meant.items()}
        return {name: shift for name, shift in measured.items() if shift is not None}

    @cached_property
    def wide_move(self) -> Tensor:
        """How far the person around a place has moved, in pixels."""
        return masked_blur(self.moved, self.maps.person.square() + 1e-5, 24 * self.scale)

    @cached_property
    def kept_clothes(self) -> Tensor:
        """Clothes stay the photo's, since below the picture they do, but where hair comes to lie over them; and none
        of the generator's come to lie on the background."""
        clothes = self.ground.dress * (1 - self.maps.hair)
        astray = smoothstep(self.maps.worn, *WORN) * (1 - self.ground.maps[0].person)
        astray = torch.maximum(astray, self.ground.above_shoulders * (1 - self.maps.hair))
        return gaussian_blur(torch.maximum(clothes, astray), 2 * self.scale)

    @property
    def acting(self) -> Tensor:
        """Where the edit acts, before and after it."""
        place = torch.maximum(self.ground.maps[0].acting, self.maps.acting)
        return smoothstep(gaussian_blur(grow_mask(place, 10 * self.scale), 6 * self.scale), 0.1, 0.8)


class _Window(NamedTuple):
    """The part of the picture in which something changes, in pixels of the work size."""

    top: int
    left: int
    bottom: int
    right: int
    work: int
    size: int  # of the large picture

    @classmethod
    def of_gate(cls, gate: Tensor, mask: Tensor) -> _Window:
        """Around all that shows; the whole picture where its size is no multiple of the work size."""
        work, size = gate.shape[3], mask.shape[3]
        if size % work:
            return cls(0, 0, work, work, work, size)
        step = max(1, GRAIN_GRID_PX * work // size)
        ends = []
        for dim in (3, 2):
            allowed = mask.amax(dim=dim).view(work, size // work).amax(dim=1)
            places = (gate.amax(dim=dim).flatten() * allowed > 0).nonzero()
            first, last = (int(places[0]) - 1, int(places[-1]) + 2) if len(places) else (0, 1)
            ends.append((max(0, first // step * step), min(work, math.ceil(last / step) * step)))
        (top, bottom), (left, right) = ends
        return cls(top, left, bottom, right, work, size)

    @property
    def corner(self) -> tuple[int, int]:
        """(left, top) in the large picture."""
        return self.left * self.size // self.work, self.top * self.size // self.work

    def cut(self, img: Tensor) -> Tensor:
        """That part of a large picture, a view of it."""
        top, left, bottom, right = (edge * self.size // self.work for edge in self[:4])
        return img[:, :, top:bottom, left:right]

    def enlarge(self, img: Tensor) -> Tensor:
        """That part of a picture of the work size, large: as if all of it had been enlarged."""
        if self.bottom - self.top == self.right - self.left == self.work:
            return _enlarge(img, self.size)
        ratio, top, left = self.size // self.work, max(0, self.top - 1), max(0, self.left - 1)
        part = img[:, :, top : self.bottom + 1, left : self.right + 1]
        large = resize_bilinear(part, (part.shape[2] * ratio, part.shape[3] * ratio))
        first, across = (self.top - top) * ratio, (self.left - left) * ratio
        height, width = (self.bottom - self.top) * ratio, (self.right - self.left) * ratio
        return large[:, :, first : first + height, across : across + width]

    def put_back(self, part: Tensor, whole: Tensor) -> Tensor:
        """The large picture with that part of it."""
        self.cut(whole).copy_(part)
        return whole


def _assemble(scene: _Scene, mask: Tensor) -> Change:
    """The last step, at full size, where something shows."""
    ground, size = scene.ground, scene.ground.size
    window = _Window.of_gate(scene.gate, mask)
    large, cut = window.enlarge, window.cut
    field, keep = large(scene.flow.field) * (size / ground.work), large(scene.keep)
    p, a = cut(ground.ycc), to_ycc(cut(scene.large))
    carried = warp_by_flow(torch.cat([ground.residual, ground.ycc[:, :1]], dim=1), field, at=window.corner)
    detail, light = carried.split([3, 1], dim=1)
    if ground.is_one_layer:
        matte: Tensor | float = 1.0
        visible = a + large(scene.share) * (large(scene.low) + keep * (detail - large(scene.low)))
    else:
        matte, visible = _join_layers(scene, window, p, a, detail, light, keep)
        if size >= GRAIN_PX:
            skin, wall = ground.grain
            light, uncovered = visible[:, :1], large(scene.uncovered)
            light += missing_grain(light, skin, seed=0) * matte * (1 - keep)
            light += missing_grain(light, wall, seed=1) * (1 - matte) * uncovered
    none = torch.zeros_like(ground.photo)
    picture = window.put_back(from_ycc(visible).clamp(-1, 1), ground.photo.clone())
    return Change(
        picture,
        window.put_back(large(scene.gate) * cut(mask), none[:, :1].clone()),
        window.put_back(keep * matte, none[:, :1].clone()),
        window.put_back(field, none[:, :2].clone()),
        ground.photo,
        scene.outside,
        scene.shifts(picture),
    )


def _join_layers(
    scene: _Scene, window: _Window, p: Tensor, a: Tensor, detail: Tensor, light: Tensor, keep: Tensor
) -> tuple[Tensor, Tensor]:
    """The person's matte, and the picture: a person before a background, each of which has its own colours."""
    ground, large = scene.ground, window.enlarge
    drift = large(background_drift(ground.small_ycc, scene.after, ground.wall, scene.person))
    low, share = large(scene.low), large(scene.share)
    mirrored = window.cut(ground.backdrop)
    painted = a + drift - mirrored  # by the generator; where it has something else than such a background, not that
    strange = gaussian_blur(painted.abs().sum(dim=1, keepdim=True), 10 * ground.size / 1024) / LEVEL
    filled = mirrored + large(ground.fill[2]) * (1 - smoothstep(strange, *STRANGE)) * painted
    behind = p + large(scene.uncovered) * (filled - p)
    solid = large(gaussian_blur(scene.person, 2 * scene.scale))
    coarse = a + solid * share * low + (1 - solid) * drift
    person = coarse + keep * share * (detail - low)
    person = limit_cast(person, large(ground.near_colours), large(scene.maps.person * (1 - scene.maps.eyes)))
    soft = large(gaussian_blur(scene.person, 6 * scene.scale))
    person = limit_fringe(person, [coarse, behind, light], 4 * soft * (1 - soft))
    edge = ground.edge_move * scene.is_move
    person = person + large(edge) * (p - person)
    matte = scene.person + edge * (ground.maps[0].person - scene.person)
    matte = large(smoothstep(gaussian_blur(matte, 1.5 * scene.scale), *MATTE))
    return matte, behind + matte * (person - behind)


def _is_move(flow: Flow, maps: PartMaps, config: ComposeConfig) -> float:
    """0 to 1: has the person as a whole moved?"""
    inside = flow_length(flow.field)[maps.person > 0.8]
    if not len(inside):
        return 0.0
    return smoothstep(inside.median() * 1024 / flow.field.shape[3], *config.moved_px).item()


def _enlarge(img: Tensor, size: int) -> Tensor:
    return resize_bilinear(img, (size, size))


def fade_to_edge(resolution: int) -> Tensor:
    """The mask of a crop whose parts are known: all of it but a narrow soft rim, [1, 1, S, S]."""
    return smoothstep(border_distance(resolution), 0, RIM)
