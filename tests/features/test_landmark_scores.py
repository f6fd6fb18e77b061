"""Scores from landmarks on drawn faces: each answers to what it is named for, and to nothing else."""

import math

import pytest
import torch

from ganvas.errors import BadConfig
from ganvas.features.faces import Face
from ganvas.features.landmark_scores import (
    FACE_SHAPE_SCORES,
    POSE_SCORES,
    FiveLandmarks,
    LandmarkScorer,
    compute_landmark_scores,
)


def five(*, nose=(0.0, 0.6)):
    return torch.tensor([[(-0.5, 0.0), (0.5, 0.0), nose, (-0.4, 1.0), (0.4, 1.0)]])


def eye(x, openness):
    """Six points: corner, two above, corner, two below; width 0.3."""
    h = 0.3 * openness / 2
    return [(x - 0.15, 0), (x - 0.05, -h), (x + 0.05, -h), (x + 0.15, 0), (x + 0.05, h), (x - 0.05, h)]


def sixty_eight(*, gap=0.0, lift=0.0, openness=0.3):
    points = torch.zeros(68, 2)
    points[30] = torch.tensor([0.0, 0.6])
    points[36:42] = torch.tensor(eye(-0.5, openness))
    points[42:48] = torch.tensor(eye(0.5, openness))
    points[[48, 54]] = torch.tensor([[-0.4, 1.0 - lift], [0.4, 1.0 - lift]])
    points[51], points[57] = torch.tensor([0.0, 0.9]), torch.tensor([0.0, 1.1])
    points[61:64] = torch.tensor([[-0.1, 1 - gap / 2], [0.0, 1 - gap / 2], [0.1, 1 - gap / 2]])
    points[65:68] = torch.tensor([[0.1, 1 + gap / 2], [0.0, 1 + gap / 2], [-0.1, 1 + gap / 2]])
    return points[None]


def placed(points, *, scale=37.0, turn_deg=0.0, at=(100.0, 50.0)):
    a = math.radians(turn_deg)
    turn = torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
    return points @ turn * scale + torch.tensor(at)


@pytest.mark.parametrize(
    ("nose", "yaw", "pitch"), [((0, 0.6), 0, 0.6), ((0.5, 0.6), 1, 0.6), ((-0.25, 0.3), -0.5, 0.3)]
)
def test_the_nose_tells_yaw_and_pitch(nose, yaw, pitch):
    scores = compute_landmark_scores(five(nose=nose))
    assert scores["yaw"].item() == pytest.approx(yaw, abs=1e-6)
    assert scores["pitch"].item() == pytest.approx(pitch, abs=1e-6)
    assert set(scores) == set(POSE_SCORES)


@pytest.mark.parametrize("turn_deg", [0, 20, -35])
def test_place_size_and_tilt_do_not_matter(turn_deg):
    points = sixty_eight(gap=0.25, lift=0.1, openness=0.4)
    scores = compute_landmark_scores(placed(points, turn_deg=turn_deg))
    assert scores["roll"].item() == pytest.approx(turn_deg, abs=1e-3)
    assert scores["yaw"].item() == pytest.approx(0, abs=1e-5)
    assert scores["mouth_open"].item() == pytest.approx(0.25, abs=1e-5)
    assert scores["mouth_lift"].item() == pytest.approx(0.1, abs=1e-5)
    assert scores["eyes_open"].item() == pytest.approx(0.4, abs=1e-5)


def test_each_feature_answers_to_its_own_change_alone():
    still = compute_landmark_scores(sixty_eight())
    for name, change in (("mouth_open", {"gap": 0.2}), ("mouth_lift", {"lift": 0.1}), ("eyes_open", {"openness": 0.5})):
        moved = compute_landmark_scores(sixty_eight(**change))
        assert {n for n in FACE_SHAPE_SCORES if not torch.allclose(moved[n], still[n])} == {name}
        assert moved[name] > still[name]


class Finder:
    """Finds a face in every bright picture."""

    def find(self, img, turn):
        return [Face((0, 0, 9, 9), five()[0], 1.0)] if img.mean() > 0 else []


def test_a_picture_without_a_face_has_no_score():
    judge = LandmarkScorer(FiveLandmarks(Finder()))
    scores = judge(torch.stack([torch.full((3, 8, 8), v) for v in (0.5, -0.5)]))
    assert scores["yaw"].isnan().tolist() == [False, True]
    assert scores["pitch"][0].item() == pytest.approx(0.6, abs=1e-6)


def test_other_landmarks_are_refused():
    with pytest.raises(BadConfig, match=r"\[1, 7, 2\]"):
        compute_landmark_scores(torch.zeros(1, 7, 2))
