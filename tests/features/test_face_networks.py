"""The small face scorer: what it says does not depend on the picture's size or on left and right."""

from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.errors import BadConfig, BrokenWeights
from ganvas.features import face_networks
from ganvas.features.face_networks import EXPRESSIONS, crop_face, load_face_score_net, score_faces
from ganvas.images.crop import Crop
from ganvas.images.files import read_image

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
EYES_NOSE_MOUTH = [[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]]


@pytest.fixture(scope="module")
def smiling():
    """The astronaut, who smiles, framed as FFHQ's faces are; her landmarks are written down, so no finder is needed."""
    return Crop.from_landmarks(EYES_NOSE_MOUTH).cut(read_image(ASTRONAUT).img, resolution=256)


def test_a_smile_is_seen_and_one_upside_down_is_not(smiling):
    frowning = smiling.clone()
    frowning[:, :, 160:210, 85:170] = smiling[:, :, 160:210, 85:170].flip(2)
    assert score_faces(smiling, "smile").item() > 0.9
    assert score_faces(frowning, "smile").item() < 0.7


def test_left_and_right_do_not_matter(smiling):
    for attribute in (*EXPRESSIONS, "age", "gender"):
        torch.testing.assert_close(score_faces(smiling, attribute), score_faces(smiling.flip(3), attribute))


def test_a_batch_is_its_pictures_one_by_one(smiling):
    two = torch.cat([smiling, smiling * 0.5])
    torch.testing.assert_close(score_faces(two, "age")[1:], score_faces(two[1:], "age"), rtol=1e-4, atol=1e-3)


def test_the_cut_is_the_same_face_at_any_size(smiling):
    small = torch.nn.functional.interpolate(smiling, (192, 192), mode="area")
    assert (crop_face(small) - crop_face(smiling)).abs().mean() < 0.03


def test_expressions_are_probabilities(smiling):
    total = sum(score_faces(smiling, name).item() for name in EXPRESSIONS)
    assert total == pytest.approx(1, abs=1e-5)
    assert 0 <= score_faces(smiling, "gender").item() <= 1
    assert 10 < score_faces(smiling, "age").item() < 80


def test_an_unknown_attribute_is_answered_with_the_known(smiling):
    with pytest.raises(BadConfig, match="known"):
        score_faces(smiling, "smlie")


def test_damaged_weights_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(face_networks, "SCORER_WEIGHTS", tmp_path / "gone.safetensors")
    load_face_score_net.cache_clear()
    try:
        with pytest.raises(BrokenWeights, match="install"):
            load_face_score_net()
    finally:
        load_face_score_net.cache_clear()
