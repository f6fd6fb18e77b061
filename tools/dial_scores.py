"""Scores of aligned faces that the dials of `faces` are learnt from and judged by: landmarks, parts, colours, networks.

    scores = DialScores(face_api=DIR, mesh=FILE, iris=FILE)(img)     # name → [N]

`mesh` and `iris` are face_landmark.tflite and iris_landmark.tflite of the wheel mediapipe 0.10.14 (Apache-2.0), see
scorers.py for them and `face_api`. Lengths are in distances between the eyes, in the face's own frame; colours in
CIELAB, by the parts network that ships with ganvas.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.features.colour_scores import compute_colour_scores
from ganvas.features.face_scores import FaceScorer
from ganvas.features.parts import PARTS, parse_parts
from ganvas.ops.lab import to_lab
from scorers import EXPRESSIONS, Expression

LOOK_PX = 256
BOX = (0.18, 0.98, 0.10, 0.90)  # top, bottom, left, right of what the mesh wants to see, as shares of the crop
EYES = ((33, 133, 159, 145), (362, 263, 386, 374))  # left corner, right corner, upper lid, lower lid
BROWS = ([70, 63, 105, 66, 107], [300, 293, 334, 296, 336])
INNER_BROWS, OUTER_BROWS = ([107, 66], [336, 296]), ([70, 63], [300, 293])
LIDS, LOWER_LID, UPPER_LID = 71, slice(2, 7), slice(10, 15)  # points of an eye, by the network of irises
IRISES, POINTS = 468, 478 + 2 * LIDS
Points: TypeAlias = (
    np.ndarray
)  # [POINTS, 2] in shares of the crop's side: the mesh, ten of irises, the lids of each eye


class FaceMesh:
    """468 points of a face, five of each iris, 71 of the lids of each eye.

    The mesh guesses one eye by the other, and a nose by the whole face: only the network of irises sees one eye alone.
    """

    def __init__(self, mesh: Path, iris: Path):
        from ai_edge_litert.interpreter import Interpreter

        self.nets = [Interpreter(str(file), num_threads=1) for file in (mesh, iris)]
        for net in self.nets:
            net.allocate_tensors()

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> Points:
        """[3, S, S] → [POINTS, 2]; nan where it sees no face."""
        side = picture.shape[-1]
        top, bottom, left, right = (round(side * share) for share in BOX)
        cut = picture[None, :, top:bottom, left:right]
        found = self._run(0, F.interpolate(cut, (192, 192), mode="bilinear", antialias=True, align_corners=False))
        if next(out for out in found if out.size == 1)[0] < 0:  # a logit
            return np.full((POINTS, 2), np.nan, np.float32)
        mesh = max(found, key=lambda out: out.size).reshape(468, 3)[:, :2] / 192
        mesh = mesh * [right - left, bottom - top] + [left, top]
        eyes = [self._eye(picture, mesh, *eye[:2], flip=eye is EYES[0]) for eye in EYES]
        irises, lids = ([eye[part] for eye in eyes] for part in (slice(5), slice(5, None)))
        return (np.concatenate([mesh, *irises, *lids]) / side).astype(np.float32)

    def _eye(self, picture: Tensor, mesh: np.ndarray, left: int, right: int, *, flip: bool) -> np.ndarray:
        """The network knows one eye; the other is shown to it in a mirror."""
        side, middle = picture.shape[-1], (mesh[left] + mesh[right]) / 2
        size = 2.3 * np.linalg.norm(mesh[right] - mesh[left])
        frame = [[size / side, 0, 2 * middle[0] / side - 1], [0, size / side, 2 * middle[1] / side - 1]]
        grid = F.affine_grid(torch.tensor([frame], dtype=torch.float32), [1, 3, 64, 64], align_corners=False)
        eye = F.grid_sample(picture[None], grid, mode="bicubic", padding_mode="border", align_corners=False)
        out = self._run(1, eye.flip(3) if flip else eye)
        parts = (next(one for one in out if one.size == 3 * count) for count in (5, LIDS))
        points = np.concatenate([part.reshape(-1, 3)[:, :2] for part in parts])
        if flip:
            points = np.stack([64 - points[:, 0], points[:, 1]], axis=1)
        return points / 64 * size + middle - size / 2

    def _run(self, which: int, img: Tensor) -> list[np.ndarray]:
        net = self.nets[which]
        pixels = ((img[0] + 1) / 2).clamp(0, 1).permute(1, 2, 0)[None].contiguous().numpy()
        net.set_tensor(net.get_input_details()[0]["index"], pixels)
        net.invoke()
        return [net.get_tensor(out["index"]).ravel() for out in net.get_output_details()]


def score_shape(points: Points) -> dict[str, float]:
    """Pose, brows, eyes, mouth, nose and outline from points."""
    middles = [(points[left] + points[right]) / 2 for left, right, *_ in EYES]
    across = middles[1] - middles[0]
    unit = float(np.linalg.norm(across))
    x_axis = across / unit
    centred = (points - sum(middles) / 2) / unit
    q = np.stack([centred @ x_axis, centred @ [-x_axis[1], x_axis[0]]], axis=1)

    def gap(a: int, b: int) -> float:
        return float(np.linalg.norm(q[a] - q[b]))

    def y(*at: int) -> float:
        return float(q[list(at), 1].mean())

    lids, gaze, apertures = [], [], []
    for side, (left, right, upper, lower) in enumerate(EYES):
        iris, contour = IRISES + 5 * side, q[POINTS - (2 - side) * LIDS :]
        middle, width = (q[left] + q[right]) / 2, gap(left, right)
        lids.append(((middle[1] - q[upper, 1]) / width, (q[lower, 1] - middle[1]) / width))
        gaze.append((q[iris] - middle) / width)
        apertures.append(float(contour[LOWER_LID, 1].mean() - contour[UPPER_LID, 1].mean()) / width)
    inner, outer = (-(y(*a) + y(*b)) / 2 for a, b in (INNER_BROWS, OUTER_BROWS))
    face_width = gap(234, 454)
    return {
        "yaw": float(q[1, 0] - (q[234, 0] + q[454, 0]) / 2) / face_width,
        "pitch": y(1) / y(61, 291),
        "mouth_open": y(14) - y(13),
        "mouth_width": gap(61, 291),
        "lips": y(13) - y(0) + y(17) - y(14),
        "brow_height": -(y(*BROWS[0]) + y(*BROWS[1])) / 2,
        "brow_tilt": inner - outer,
        "brow_gap": gap(107, 336),
        "eyes_open": sum(map(sum, lids)) / 2,
        "eye_left": apertures[0],
        "eye_right": apertures[1],
        "lower_lids": (lids[0][1] + lids[1][1]) / 2,
        "gaze_x": float(gaze[0][0] + gaze[1][0]) / 2,
        "gaze_y": float(gaze[0][1] + gaze[1][1]) / 2,
        "nose_width": gap(129, 358),
        "nose_length": y(2),
        "chin": y(152) - y(17),
        "jaw": gap(172, 397) / face_width,
        "cheeks": face_width / (y(152) - y(10)),
    }


def score_parts(lab: np.ndarray, parts: np.ndarray, points: Points) -> dict[str, float]:
    """Hair, light, beard and make-up: lab [3, 256, 256], parts [256, 256] (numbers of PARTS)."""
    at_y, at_x = np.mgrid[:LOOK_PX, :LOOK_PX] / LOOK_PX
    hair, skin = parts == PARTS.index("hair"), parts == PARTS.index("skin")
    eyes = [(points[left] + points[right]) / 2 for left, right, *_ in EYES]
    unit = float(np.linalg.norm(eyes[1] - eyes[0]))
    chin, brow, top = points[152, 1], (points[105, 1] + points[334, 1]) / 2, points[10, 1]

    def mean(where: np.ndarray) -> np.ndarray:
        return lab[:, where].mean(axis=1) if where.sum() > 20 else np.full(3, np.nan)

    def disc(at: np.ndarray, radius: float) -> np.ndarray:
        return ((at_x - at[0]) ** 2 + (at_y - at[1]) ** 2 < (radius * unit) ** 2) & skin

    def darker(where: np.ndarray) -> float:
        """Than the cheeks, and greyer."""
        there = mean(where)
        return float(cheek[0] - there[0] + (np.hypot(*cheek[1:]) - np.hypot(*there[1:])) / 2)

    cheeks = disc(points[50], 0.16) | disc(points[280], 0.16)
    cheek, whole = mean(cheeks), mean(skin)
    chin_disc = disc((points[199] + points[152]) / 2, 0.16)
    forehead = (at_y < brow - 0.03) & (at_y > top - 0.02) & (at_x > points[70, 0]) & (at_x < points[300, 0])
    face = skin & (at_y < chin) & (at_y > top)
    x_axis = (eyes[1] - eyes[0]) / unit
    side = ((at_x - (eyes[0] + eyes[1])[0] / 2) * x_axis[0] + (at_y - (eyes[0] + eyes[1])[1] / 2) * x_axis[1]) / unit
    lids = (disc(eyes[0], 0.3) | disc(eyes[1], 0.3)) & (at_y < (eyes[0] + eyes[1])[1] / 2 + 0.02) & (at_y > brow)
    lips = mean(parts == PARTS.index("lips"))
    fine = np.abs(lab[0] - cv2.GaussianBlur(lab[0], (0, 0), 2.5))
    return {
        "hair_long": float(np.log1p(4 * hair[at_y > chin].sum() / (unit * LOOK_PX) ** 2)),
        "hair_low": float(-np.log(0.3 + hair[at_y < brow].sum() / (unit * LOOK_PX) ** 2)),
        "hair_light": float(mean(hair)[0]),
        "hair_yellow": float(mean(hair)[2]),
        "fringe": float((hair & forehead).sum() / max(1, forehead.sum())),
        "skin_light": float(whole[0]),
        "skin_red": float(whole[1]),
        "skin_yellow": float(whole[2]),
        "background_light": float(mean(parts == PARTS.index("background"))[0]),
        "light_x": float(mean(face & (side > 0.15))[0] - mean(face & (side < -0.15))[0]),
        "light_y": float(
            mean(face & (at_y < brow))[0] - mean(face & (at_y > points[2, 1]) & (at_y < points[17, 1]))[0]
        ),
        "teeth": float((parts == PARTS.index("mouth")).mean()),
        "chin_dark": darker(disc(points[172], 0.13) | disc(points[397], 0.13) | chin_disc),
        "lip_dark": darker(disc((points[2] + points[0]) / 2, 0.10)),
        "chin_texture": float(lab[0][chin_disc].std()) if chin_disc.sum() > 20 else np.nan,
        "cheek_texture": float(fine[cheeks].mean()) if cheeks.sum() > 20 else np.nan,
        "lids_dark": float(cheek[0] - mean(lids)[0]),
        "lips_colour": float(np.hypot(*lips[1:]) - np.hypot(*cheek[1:])),
        "lips_dark": float(cheek[0] - lips[0]),
    }


class DialScores:
    """All scores of aligned faces img [N, 3, S, S] in [-1, 1], by name, [N] each; nan where there is no face."""

    def __init__(self, *, face_api: Path, mesh: Path, iris: Path):
        self.mesh, self.expression = FaceMesh(mesh, iris), Expression(face_api)
        self.network = FaceScorer(["age", "gender"])

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, np.ndarray]:
        small = img if img.shape[-1] == LOOK_PX else F.interpolate(img, (LOOK_PX, LOOK_PX), mode="area")
        odds = self.expression.log_odds(small)
        scores = {name: odds[:, i].numpy() for i, name in enumerate(EXPRESSIONS)}
        scores |= {name: values.numpy() for name, values in self.network(small).items()}
        scores["glasses"] = compute_colour_scores(small)["glasses"].numpy()
        lab, parts = to_lab(small).numpy(), parse_parts(small, refine=False, mirror=False).argmax(dim=1).numpy()
        rows = [self._of_face(*one) for one in zip(small, lab, parts, strict=True)]
        return scores | {name: np.array([row.get(name, np.nan) for row in rows]) for name in max(rows, key=len)}

    def _of_face(self, picture: Tensor, lab: np.ndarray, parts: np.ndarray) -> dict[str, float]:
        points = self.mesh(picture)
        return score_shape(points) | score_parts(lab, parts, points) if np.isfinite(points).all() else {}
