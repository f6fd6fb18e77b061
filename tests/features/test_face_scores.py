"""Face scorers by name: what is asked for comes, nothing more is computed, and units are those that were promised."""

import pytest
import torch

from ganvas.errors import BadConfig, FetchError
from ganvas.features.colour_scores import compute_colour_scores
from ganvas.features.face_networks import score_faces
from ganvas.features.face_scores import FACE_SCORES, FaceScorer, face_scorer


@pytest.fixture
def img():
    return torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_looks_are_logits_of_the_small_network(img):
    scores = FaceScorer(["smile", "age", "gender", "angry"])(img)
    assert list(scores) == ["smile", "age", "gender", "angry"]
    assert torch.allclose(scores["smile"].sigmoid(), score_faces(img, "smile").clamp(1e-3, 1 - 1e-3), atol=1e-5)
    assert torch.allclose(scores["gender"].sigmoid(), score_faces(img, "gender"), atol=1e-5)
    assert torch.allclose(scores["age"], score_faces(img, "age"), atol=1e-3)


def test_colours_and_poses_come_from_where_they_are_measured(img):
    landmarks = torch.tensor([[[30.0, 40], [60, 40], [45, 55], [35, 70], [55, 70]]]).expand(3, -1, -1)
    scores = FaceScorer(["yaw", "glasses"], landmarks=lambda img: landmarks)(img)
    assert torch.equal(scores["glasses"], compute_colour_scores(img)["glasses"])
    assert scores["yaw"].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert torch.equal(face_scorer("glasses")(img), scores["glasses"])


def test_no_weights_are_asked_for_before_a_pose_is(img):
    names = [name for name in FACE_SCORES if name not in ("yaw", "pitch", "roll")]
    scores = FaceScorer(names)(img)
    assert list(scores) == names and all(score.isfinite().all() for score in scores.values())
    with pytest.raises(FetchError, match="not downloaded"):  # in this test's empty store
        FaceScorer(["yaw"])(img)


def test_unknown_names_are_told():
    with pytest.raises(BadConfig, match="face scorer 'smiel'"):
        FaceScorer(["smiel"])
