"""The person's outline in an edited photo: what was uncovered, and how a moved head meets the body that stays.

A head that turns uncovers background, and its neck no longer fits the shoulders beyond the picture's lower edge. A calm
background is filled by the generator's in the photo's colours, a busy one by the photo's own beside it, mirrored; the
neck is bent, row by row, so that its outline meets the photo's; long hair that would go on below the edge ends in
strands.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import LEVEL
from ganvas.images.masks import border_distance, grow_mask
from ganvas.ops.blur import gaussian_blur, masked_blur
from ganvas.ops.planes import load_opencv
from ganvas.ops.smoothstep import smoothstep

BEND_ZONE = 0.22  # of the side, above the lower edge
BEND_REACH = 0.08  # of the side: beside the body, so far the background gives way
BENT_WIDTHS = (0.7, 1.35)  # a body that became so much narrower or wider is another one: nothing is bent
# Around the old outline, lengths for a 1024-px crop; wide where all is calm, and loose hairs still farther out.
FILL_PX, FILL_WIDE_PX, STRAYS_PX = 12.0, 50.0, 120.0
CALM = (1.0, 3.0)  # levels of fine structure in the background
STRAY = (2.0, 4.0)  # levels of fine structure before a calm one: a loose hair
MIRROR_PX = 6.0  # of a 1024-px crop: so smooth is the mirror
STRANDS_ZONE = 0.16  # of the side, above the lower edge


def bend_body(after: PartMaps, before: PartMaps) -> Tensor | None:
    """A flow [1, 2, S, S] that bends the edited picture's neck and shoulders onto the unedited one's at the lower edge.

    Each row is stretched sideways so that its ends lie between where they are and where they were: at the lower edge
    where they were. None where there is no body at the edge, or quite another one.
    """
    size = before.body.shape[-1]
    first = round(size * (1 - BEND_ZONE))
    now, goal = (_row_ends(maps.body[0, 0, first:]) for maps in (after, before))
    if now is None or goal is None:
        return None
    (left, right), (goal_left, goal_right) = now, goal
    last = slice(-max(1, size // 50), None)
    width = ((right - left)[last] / (goal_right - goal_left)[last].clamp(min=1)).mean().item()
    if not BENT_WIDTHS[0] < width < BENT_WIDTHS[1]:
        return None
    height = len(left)
    share = 1 - smoothstep((height - 1 - torch.arange(height)) / size, 0, BEND_ZONE)
    # Where a body reaches the picture's side there is no outline to be moved.
    shift_left, shift_right = (
        (old - new) * share * ((old > 0.02 * size) & (old < 0.98 * size) & (new > 0.02 * size) & (new < 0.98 * size))
        for old, new in ((left, goal_left), (right, goal_right))
    )
    x = torch.arange(size)[None, :].float()
    ends_now = [(left - shift_left)[:, None], (right - shift_right)[:, None]]
    along = ((x - ends_now[0]) / (ends_now[1] - ends_now[0]).clamp(min=1)).clamp(0, 1)
    beside = (ends_now[0] - x).clamp(min=0) + (x - ends_now[1]).clamp(min=0)
    shift = shift_left[:, None] * (1 - along) + shift_right[:, None] * along
    field = torch.zeros(1, 2, size, size)
    field[0, 0, first:] = shift * (-(beside / (BEND_REACH * size)).square()).exp()
    return field


def _row_ends(body: Tensor) -> tuple[Tensor, Tensor] | None:
    """The first and last column of a body in each of its rows, smoothed; None where it does not reach the last ones."""
    inside = body > 0.5
    there = inside.any(dim=1)
    if not there[-max(1, len(body) // 28) :].all():
        return None
    columns = torch.arange(body.shape[1]).expand_as(body)
    left = torch.where(inside, columns, body.shape[1]).amin(dim=1).float()
    right = torch.where(inside, columns, -1).amax(dim=1).float() + 1
    weight = there.float()[None, None, :, None].expand(1, 1, -1, 3)
    rows = torch.stack([left * there, right * there])[None, :, :, None].expand(1, 2, -1, 3)
    smooth = masked_blur(rows, weight, body.shape[1] / 128)[0, :, :, 1]
    return smooth[0], smooth[1]


def find_fill(photo_person: Tensor, photo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the photo's pixels are not background, so that background has to be filled in once the person is gone.

    Around the old outline there are hairs that no map has; where the background is calm they are looked for far out.

    Args:
        photo_person: where the person was.
        photo: [1, 1, S, S], the photo's lightness.

    Returns:
        Near the person, farther out (for a person that moved), and how calm the background is: [1, 1, S, S] each.
    """
    scale = photo.shape[-1] / 1024
    near = smoothstep(gaussian_blur(grow_mask(photo_person, FILL_PX * scale), 6 * scale), 0.05, 0.5)
    fine = (photo - gaussian_blur(photo, 2 * scale)).abs() / LEVEL
    far_off = (1 - grow_mask(photo_person, 60 * scale)).square() + 1e-5
    calm = 1 - smoothstep(masked_blur(fine, far_off, 40 * scale), *CALM)
    wide, far = (
        smoothstep(gaussian_blur(grow_mask(photo_person, reach * scale), 12 * scale), 0.05, 0.7)
        for reach in (FILL_WIDE_PX, STRAYS_PX)
    )
    strays = smoothstep(gaussian_blur(grow_mask(smoothstep(fine, *STRAY), 8 * scale), 4 * scale), 0.1, 0.7)
    return near, torch.maximum(wide, far * strays) * calm, calm


def reflect_at_outline(hole: Tensor) -> Tensor:
    """A flow [1, 2, S, S] that fills a hole with its surroundings, seen in a mirror along its outline.

    Each place of the hole points as far beyond the nearest place outside as it lies inside; the others point nowhere.

    Args:
        hole: [1, 1, S, S], 1 inside.
    """
    inside = (hole[0, 0] > 0.5).numpy()
    if inside.all() or not inside.any():
        return torch.zeros(1, 2, *hole.shape[2:])
    cv2 = load_opencv()
    _, labels = cv2.distanceTransformWithLabels(inside.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    places = np.stack(np.indices(inside.shape)[::-1]).astype(np.float32)  # (x, y)
    nearest = np.zeros((2, labels.max() + 1), np.float32)
    nearest[:, labels[~inside]] = places[:, ~inside]
    field = torch.from_numpy(2 * (nearest[:, labels] - places))[None]
    return gaussian_blur(field, MIRROR_PX * hole.shape[-1] / 1024)


def background_drift(photo: Tensor, after: Tensor, wall: Tensor, person: Tensor) -> Tensor:
    """How far the photo's background is from the generator's, coarsely: [1, 3, S, S], to be added to the latter.

    Args:
        photo, after: [1, 3, S, S].
        wall: [1, 1, S, S], where the photo shows background, with a distance from the person.
        person: where the person is now.
    """
    scale = photo.shape[-1] / 1024
    wall = wall * (1 - grow_mask(person, 9 * scale))
    return masked_blur(photo - after, wall.square() + 1e-5, 40 * scale)


def end_in_strands(resolution: int, new_hair: Tensor) -> Tensor:
    """How much of the person is shown: hair that is new and would go on below the lower edge ends in strands above it.

    Args:
        resolution: of the picture.
        new_hair: [1, 1, S, S], where hair is that the photo does not have.

    Returns:
        [1, 1, S, S], 1 = shown.
    """
    up = 1 - (torch.arange(resolution) + 0.5) / resolution
    fringe = up[None, None, :, None] / STRANDS_ZONE - 0.62 + 0.22 * _strand_noise(resolution)
    return 1 - new_hair * (1 - smoothstep(fringe, -0.12, 0.12))


def _strand_noise(resolution: int) -> Tensor:
    """[1, 1, S, S] of deviation 1: thin upright streaks in thick ones, the same each time."""
    dice = torch.Generator().manual_seed(0)
    layers = []
    for wide_px in (3.2, 28.0):
        columns = torch.randn(1, 1, 8, resolution, generator=dice)
        streaks = gaussian_blur(columns, wide_px * resolution / 1024)
        streaks = torch.nn.functional.interpolate(streaks, (resolution, resolution), mode="bilinear")
        layers.append(streaks / streaks.std())
    return 0.6 * layers[0] + 0.8 * layers[1]


def meet_edge(person: Tensor, *, reach: float, across: bool = False) -> Tensor:
    """How near to an edge at which the photo's person is cut: [1, 1, S, S], 1 = at it, 0 = `reach` sides away; with
    `across` only to the left or the right one."""
    size = person.shape[-1]
    distance = border_distance(size)
    if across:
        distance = distance[:, :, size // 2 : size // 2 + 1].expand(1, 1, size, size)
    cut = masked_blur(person, (distance < 0.03).float() + 1e-6, 40 * size / 1024)
    return (1 - smoothstep(distance, 0, reach)) * smoothstep(cut, 0.1, 0.4)
