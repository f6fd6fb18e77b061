"""Faces on their side, upside down, or at any angle between: the photo is turned in steps, and what is found checked.

A finder of upright faces finds something in turned photos, too, and is often sure of a face that stands on its head. So
no face counts by its score alone: its own landmarks make an upright crop; in that crop a second look must find the same
face, level, and the parts network must see eyes and lips where a face has them. The landmarks are then those of the
second look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import NoFace
from ganvas.features.face import Face
from ganvas.features.parts import PARTS_PX, parse_parts, select_parts
from ganvas.images.crop import Crop

STEP_DEG = 30
TURNED_PX = 720  # longest side of a turned photo; each is searched whole
CROP_PX = 320  # of the second look
GROW = 1.25  # times the usual face crop, so that the second look sees all of the head
MAX_TILT_DEG = 25.0  # of a face in the turned photo: further, another turn sees it better
MAX_LEFT_DEG = 12.0  # of a face in its own crop
MIN_IN_PLACE = 0.4  # share of what is seen of eyes and of lips that lies where an aligned face has them
MIN_LIPS, MIN_EYES = 0.15, 0.08  # areas, in squares of a tenth of the crop's side; below the latter eyes may be shut
SURE = 0.2  # an area of eyes, and a third of one of lips, of a face upright; a quarter missed one
MAX_APART = 0.5  # between the two looks' landmarks, on average, in distances between the eyes

FindUpright = Callable[[Tensor], list[Face]]  # img [1, 3, H, W] → faces


def find_tilted_faces(img: Tensor, find: FindUpright) -> list[Face]:
    """Faces at any angle that a second look confirms, largest first.

    Args:
        img: [1, 3, H, W] in [-1, 1].
        find: finds upright faces in a picture.
    """
    faces: list[Face] = []
    for turn_deg, turned, to_photo in _turned_photos(img):
        for face in find(turned):
            if not face.upright or abs(tilt_deg(face.points)) > MAX_TILT_DEG:
                continue
            confirmed = look_again(img, to_photo(face.points), find)
            if confirmed is not None and has_parts_in_place(img, confirmed.points):
                faces.append(replace(confirmed, turn_deg=turn_deg))
    return sorted(_drop_doubles(faces), key=lambda face: -face.size_px)


def tilt_deg(points: Tensor) -> float:
    """By how much a face [5, 2] leans clockwise: the angle of the line through its eyes."""
    across, down = (points[1] - points[0]).tolist()
    return math.degrees(math.atan2(down, across))


def has_parts_in_place(img: Tensor, points: Tensor) -> bool:
    """Whether the crop that landmarks [5, 2] make of a photo has eyes and lips where an aligned face has them."""
    try:
        crop = Crop.from_landmarks(points)
    except NoFace:
        return False
    upright = crop.cut(img, resolution=PARTS_PX).clamp(-1, 1)
    (eyes, eyes_inside), (lips, lips_inside) = _measure_parts(upright)
    in_place = lips_inside > MIN_IN_PLACE * lips and (eyes_inside > MIN_IN_PLACE * eyes or eyes < MIN_EYES)
    if lips < MIN_LIPS or not in_place:
        return False
    if min(eyes_inside, lips_inside / 3) > SURE:
        return True
    others = (_measure_parts(torch.rot90(upright, turns, (2, 3))) for turns in (1, 2, 3))
    return eyes_inside + lips_inside > max(sum(inside for _, inside in parts) for parts in others)


def _measure_parts(face: Tensor) -> list[tuple[float, float]]:
    """(area, of it where an aligned face has it) of eyes and of lips in [1, 3, S, S]."""
    p = parse_parts(face, refine=False)
    return [_measure(select_parts(p, names)[0, 0], at) for names, at in _PLACES]


# Of an aligned face's crop, in shares of its side: middles (x, y) and half sides of the boxes.
_PLACES = (
    (("eyes",), ((0.375, 0.475, 0.09, 0.07), (0.625, 0.475, 0.09, 0.07))),
    (("lips", "mouth"), ((0.5, 0.72, 0.15, 0.11),)),
)


def _measure(p: Tensor, boxes: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """The area of p [S, S], and how much of it lies in the boxes; in squares of a tenth of the side."""
    p, side = ((p - 0.3) / 0.4).clamp(0, 1), p.shape[0]  # what is faint is everywhere
    inside = 0.0
    for x, y, half_x, half_y in boxes:
        top, bottom, left, right = (round(at * side) for at in (y - half_y, y + half_y, x - half_x, x + half_x))
        inside += float(p[top:bottom, left:right].sum())
    unit = (0.1 * side) ** 2
    return float(p.sum()) / unit, inside / unit


def look_again(img: Tensor, points: Tensor, find: FindUpright) -> Face | None:
    """The face at these landmarks, seen in an upright crop of its own; None where it is not there, or not level.

    Args:
        img: [1, 3, H, W] the photo.
        points: [5, 2] in its pixels.
        find: finds upright faces in a picture.
    """
    try:
        crop = Crop.from_landmarks(points)
    except NoFace:
        return None
    crop = replace(crop, side=crop.side * GROW)
    if not 8 < crop.side < 8 * max(img.shape[2:]):
        return None
    candidates = find(crop.cut(img, resolution=CROP_PX).clamp(-1, 1))
    own = crop.to_crop_coords(points, resolution=CROP_PX)
    eye_px = float((own[1] - own[0]).norm())

    def apart(face: Face) -> float:
        return float((face.points.double() - own).norm(dim=1).mean()) / eye_px

    near = [
        face
        for face in candidates
        if face.upright and abs(tilt_deg(face.points)) < MAX_LEFT_DEG and apart(face) < MAX_APART
    ]
    if not near:
        return None
    best = min(near, key=apart)
    x0, y0, x1, y1 = best.box
    corners = crop.to_photo_coords([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], resolution=CROP_PX)
    (left, top), (right, bottom) = corners.amin(dim=0).tolist(), corners.amax(dim=0).tolist()
    photo_points = crop.to_photo_coords(best.points.double(), resolution=CROP_PX).float()
    return replace(best, box=(left, top, right, bottom), points=photo_points)


def _turned_photos(img: Tensor) -> Iterator[tuple[int, Tensor, Callable[[Tensor], Tensor]]]:
    """(degrees, the photo turned by them, small; what brings points [P, 2] of it back into the photo)."""
    height, width = img.shape[2:]
    scale = min(1.0, TURNED_PX / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = img if scale == 1 else F.interpolate(img, size, mode="area")
    for turn_deg in range(0, 360, STEP_DEG):
        yield turn_deg, *_turn(small, turn_deg, width / size[1], height / size[0])


def _turn(small: Tensor, turn_deg: int, scale_x: float, scale_y: float) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The picture turned counter-clockwise about its middle, in a frame that holds all of it."""
    height, width = small.shape[2:]
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    new = math.ceil(abs(width * cos) + abs(height * sin)), math.ceil(abs(width * sin) + abs(height * cos))
    back = torch.tensor([[cos, -sin], [sin, cos]])  # from the new frame to the old, about the middles

    def to_photo(points: Tensor) -> Tensor:
        middle = (points.float() - torch.tensor([new[0] / 2, new[1] / 2])) @ back.T
        return (middle + torch.tensor([width / 2, height / 2])) * torch.tensor([scale_x, scale_y])

    rows, columns = torch.meshgrid(torch.arange(new[1]) + 0.5, torch.arange(new[0]) + 0.5, indexing="ij")
    places = torch.stack([columns, rows], dim=-1) - torch.tensor([new[0] / 2, new[1] / 2])
    grid = (places @ back.T) * torch.tensor([2 / width, 2 / height])
    return F.grid_sample(small.float(), grid[None], mode="bilinear", align_corners=False), to_photo


def _drop_doubles(faces: Sequence[Face]) -> list[Face]:
    """One face is seen at two or three angles: the surest stays."""
    surest: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        middle = face.points.mean(dim=0)
        if all(float((middle - other.points.mean(dim=0)).norm()) > other.size_px / 3 for other in surest):
            surest.append(face)
    return surest
