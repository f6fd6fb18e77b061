"""Who a picture shows: light, size and mirror images are no other person; another face is."""

from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.errors import BadImage, BrokenWeights
from ganvas.features import identity
from ganvas.features.identity import (
    IDENTITY_DIM,
    SAME_PERSON,
    SIMILAR_PERSON,
    VERDICTS,
    describe_identity,
    embed_identity,
    identity_distance,
    load_identity_net,
)
from ganvas.images.crop import Crop
from ganvas.images.files import read_image

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
EYES_NOSE_MOUTH = [[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]]


@pytest.fixture(scope="module")
def face():
    """The astronaut framed as FFHQ's faces are; her landmarks are written down, so no finder is needed."""
    return Crop.from_landmarks(EYES_NOSE_MOUTH).cut(read_image(ASTRONAUT).img, resolution=256)


def test_the_same_picture_is_the_same_person(face):
    assert embed_identity(face).shape == (1, IDENTITY_DIM)
    assert identity_distance(face, face).item() == 0


def test_light_size_and_mirror_images_are_no_other_person(face):
    small = torch.nn.functional.interpolate(face, (128, 128), mode="area")
    for changed in (face * 0.9, small, face.flip(3)):
        assert describe_identity(identity_distance(face, changed).item()) == VERDICTS[0]


def test_a_face_with_its_parts_moved_is_another_person(face):
    other = face.clone()
    other[:, :, 90:200] = face[:, :, 90:200].flip(2)
    assert describe_identity(identity_distance(face, other).item()) == VERDICTS[2]


def test_a_batch_is_its_pictures_one_by_one(face):
    two = torch.cat([face, face * 0.5])
    torch.testing.assert_close(embed_identity(two)[1:], embed_identity(two[1:]), rtol=1e-3, atol=1e-3)


def test_an_edit_can_be_held_to_the_person(face):
    img = (face * 0.8).requires_grad_()
    identity_distance(img, face).sum().backward()
    assert img.grad.abs().sum() > 0


def test_words_change_at_the_named_thresholds():
    distances = (0, SAME_PERSON, SAME_PERSON + 0.01, SIMILAR_PERSON, SIMILAR_PERSON + 0.01)
    assert [VERDICTS.index(describe_identity(distance)) for distance in distances] == [0, 0, 1, 1, 2]


def test_pictures_of_the_wrong_kind_are_refused():
    with pytest.raises(BadImage):
        embed_identity(torch.zeros(3, 64, 64))


@pytest.mark.parametrize("contents", [None, b"", b"no weights"])
def test_damaged_weights_say_so(monkeypatch, tmp_path, contents):
    file = tmp_path / "identity.safetensors"
    if contents is not None:
        file.write_bytes(contents)
    monkeypatch.setattr(identity, "IDENTITY_WEIGHTS", file)
    load_identity_net.cache_clear()
    try:
        with pytest.raises(BrokenWeights, match="install"):
            load_identity_net()
    finally:
        load_identity_net.cache_clear()
