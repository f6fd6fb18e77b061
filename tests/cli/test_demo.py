"""The last step of the demo: the face of the edited photo, larger."""

import torch

from ganvas.cli.demo import FACE_PX, _upscale_face
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo


def test_the_face_is_made_four_times_larger_with_nothing_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    photo = Photo(img=torch.rand(1, 3, 60, 80) * 2 - 1)
    steps = []
    larger = _upscale_face(photo, Crop(x=40, y=30, side=36), lambda done, total: steps.append((done, total)))
    assert larger.size == (144, 144) and steps and steps[-1][0] == steps[-1][1]
    assert not (tmp_path / "home").exists()


def test_a_large_face_is_not_made_huge():
    photo = Photo(img=torch.zeros(1, 3, 700, 700))
    assert _upscale_face(photo, Crop(x=350, y=350, side=680), lambda done, total: None).size == (4 * FACE_PX,) * 2
