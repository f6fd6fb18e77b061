"""Scores from landmarks: where a head is turned, how far mouth and eyes are open, which way the mouth's corners point.

All are measured in the face's own frame (the line between the eyes is level, the distance between them is 1), so they
are the same for a face that is larger, elsewhere or tilted. Five landmarks (ganvas.features.faces) tell the pose; mouth
and eyes take the 68 of the usual scheme (Sagonas et al. 2013, "300 Faces in-the-Wild Challenge"): 36-41 and 42-47 are
the eyes, 48-59 the outer and 60-67 the inner lips, each from the left of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadConfig
from ganvas.features.faces import FaceFinder

Landmarks: TypeAlias = Callable[[Tensor], Tensor]  # img [N, 3, H, W] → [N, 5 or 68, 2], nan where there is no face

POSE_SCORES = ("yaw", "pitch", "roll")
FACE_SHAPE_SCORES = ("mouth_open", "mouth_lift", "eyes_open")


def compute_landmark_scores(points: Tensor) -> dict[str, Tensor]:
    """Scores of faces from their landmarks.

    Args:
        points: [N, 5, 2] or [N, 68, 2] as (x, y), in any unit, y down; nan where there is no face.

    Returns:
        [N] a score, nan where there is no face:
        `yaw`: where the nose stands between the eyes; 0 = midway, ±1 = below one of them, + = to the picture's right.
        `pitch`: how far down the nose stands from the eyes (0) to the mouth (1); a raised head has less.
        `roll`: degrees by which the face is tilted, + = clockwise.
        From 68 points only, in shares of the distance between the eyes but for the last:
        `mouth_open`: gap between the inner lips.
        `mouth_lift`: how far the mouth's corners stand above its middle.
        `eyes_open`: height of the eyes over their width, both eyes' mean.

    Raises:
        BadConfig: another number of landmarks.
    """
    if points.ndim != 3 or points.shape[1] not in (5, 68) or points.shape[2] != 2:
        raise BadConfig(f"landmarks are [N, 5, 2] or [N, 68, 2], got {list(points.shape)}")
    left, right, nose, mouth = _five_landmarks(points)
    across = right - left
    roll = torch.rad2deg(torch.atan2(across[:, 1], across[:, 0]))
    down = mouth - (left + right) / 2
    scores = {
        "yaw": 2 * _share(nose - left, across) - 1,
        "pitch": _share(nose - (left + right) / 2, down),
        "roll": roll,
    }
    return scores if points.shape[1] == 5 else scores | _features(points, across)


def _five_landmarks(points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left eye, right eye, nose, middle of the mouth's corners; [N, 2] each."""
    if points.shape[1] == 5:
        return points[:, 0], points[:, 1], points[:, 2], points[:, 3:].mean(dim=1)
    eyes = points[:, 36:42].mean(dim=1), points[:, 42:48].mean(dim=1)
    return *eyes, points[:, 30], points[:, [48, 54]].mean(dim=1)


def _share(vector: Tensor, along: Tensor) -> Tensor:
    """The coordinate of vectors along others, 1 = as far as they reach; [N]."""
    return (vector * along).sum(dim=1) / along.square().sum(dim=1).clamp(min=1e-12)


def _features(points: Tensor, across: Tensor) -> dict[str, Tensor]:
    down = torch.stack([-across[:, 1], across[:, 0]], dim=1)  # the eyes' line turned by 90°, as long as it
    lips = points[:, [65, 66, 67]] - points[:, [63, 62, 61]]  # [N, 3, 2], lower minus upper
    middle, corners = points[:, [51, 57]].mean(dim=1), points[:, [48, 54]].mean(dim=1)
    return {
        "mouth_open": _share(lips.mean(dim=1), down),
        "mouth_lift": _share(middle - corners, down),
        "eyes_open": (_openness(points[:, 36:42]) + _openness(points[:, 42:48])) / 2,
    }


def _openness(eye: Tensor) -> Tensor:
    """Height over width of six points around an eye (Soukupová and Čech 2016, "Real-Time Eye Blink Detection")."""
    height = (eye[:, 1] - eye[:, 5]).norm(dim=1) + (eye[:, 2] - eye[:, 4]).norm(dim=1)
    return height / 2 / (eye[:, 0] - eye[:, 3]).norm(dim=1).clamp(min=1e-12)


class LandmarkScorer:
    """A judge of pictures: img [N, 3, H, W] in [-1, 1] → scores by name, nan where no face is found.

    Args:
        landmarks: where the points come from; None = the five of the catalogue's face finder, which tell the pose.
    """

    def __init__(self, landmarks: Landmarks | None = None):
        self.landmarks = landmarks or FiveLandmarks()

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, Tensor]:
        check_img(img, who="LandmarkScorer")
        return compute_landmark_scores(self.landmarks(img))


class FiveLandmarks:
    """Landmarks of the largest face in each picture: eyes, nose, mouth corners; [N, 5, 2] in pixels."""

    def __init__(self, finder: FaceFinder | None = None):
        self.finder = finder or FaceFinder()

    def __call__(self, img: Tensor) -> Tensor:
        """img [N, 3, H, W] → [N, 5, 2], nan where there is no face."""
        detections = [self.finder.find(picture[None], turn=False) for picture in img]
        return torch.stack([faces[0].points if faces else torch.full((5, 2), torch.nan) for faces in detections])
