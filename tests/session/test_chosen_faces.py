"""Which faces of a photo a recipe is for: by number, every one, the one like an example."""

import pytest
import torch
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.editing.directions import Direction
from ganvas.editing.post_steps import Upscale
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, NoFace
from ganvas.features.faces import Face
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.session import chosen_faces
from ganvas.session.chosen_faces import FaceChoice, FacePicker, parse_face_choice, replay_on_faces
from ganvas.weights.checkpoint import fingerprint

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}
EYES_NOSE_MOUTH = torch.tensor([[12.0, 12.0], [20.0, 12.0], [16.0, 16.0], [13.0, 20.0], [19.0, 20.0]])

pytestmark = pytest.mark.usefixtures("short_searches")


@pytest.fixture
def model(monkeypatch):
    """A generator of faces, as far as anybody asks; faces are where `two_faces` has them."""
    for module in ("chosen_faces", "open"):
        monkeypatch.setattr(f"ganvas.session.{module}.is_aligned", lambda *_: True)
    torch.manual_seed(0)
    return ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)


@pytest.fixture
def two_faces(monkeypatch):
    """A photo with a red face at the right, the larger one, and a blue one at the left; told apart by their colour."""
    img = torch.rand(1, 3, 32, 96, generator=torch.Generator().manual_seed(1)) * 0.2 - 1
    img[:, 2, :, :32] = 0.9
    img[:, 0, :, 64:] = 0.9
    points = [EYES_NOSE_MOUTH + torch.tensor([left, 0.0]) for left in (64.0, 0.0)]
    faces = [
        Face(box=(left, 0, left + 32, 32), points=one, score=1.0, number=at)
        for at, (left, one) in enumerate(zip((64.0, 0.0), points, strict=True), start=1)
    ]
    colours = lambda img: img.mean(dim=(2, 3))  # noqa: E731  stands for whom a face shows
    monkeypatch.setattr(chosen_faces, "embed_identity", colours)
    monkeypatch.setattr(chosen_faces, "find_faces", lambda img, finder=None: faces if img.shape[3] == 96 else faces[1:])
    return Photo(img=img)


def lefts(faces):
    return [face.box[0] for face in faces]


def test_faces_are_picked_by_number_all_or_by_likeness(model, two_faces, tmp_path):
    assert lefts(FacePicker(FaceChoice(), model).pick(two_faces)) == [64]
    assert lefts(FacePicker(FaceChoice(number=2), model).pick(two_faces)) == [0]
    assert lefts(FacePicker(FaceChoice(every=True), model).pick(two_faces)) == [0, 64]
    me = write_image(Photo(img=two_faces.img[..., :40]), tmp_path / "me.png")
    picker = FacePicker(parse_face_choice(f"like:{me}"), model)
    assert lefts(picker.pick(two_faces)) == [0]
    strangers = two_faces.img.clone()
    strangers[:, 2] = -1
    with pytest.raises(NoFace, match=r"none of the 2 faces.*me\.png"):
        picker.pick(Photo(img=strangers))


def test_a_recipe_is_replayed_on_every_face_and_the_finish_once(model, two_faces):
    directions = {"smile": Direction("smile", 3 * torch.randn(1, 16, generator=torch.Generator().manual_seed(3)))}
    recipe = Recipe(model="tiny", fingerprint=fingerprint(model), steps=(Upscale(model="lanczos", scale=2.0),))
    faces, told = FacePicker(FaceChoice(every=True), model).pick(two_faces), []
    edits = replay_on_faces(
        two_faces, recipe, faces, model=model, name="tiny", effort="fast", on_step=lambda *at: told.append(at)
    )
    plain = edits.render()
    assert plain.size == (192, 64) and len(edits.sessions) == 2
    for session in edits.sessions.values():
        session.renderer.directions = directions
        session.set("smile", 2.0)
    change = (edits.render().img - plain.img).abs().mean(dim=1)[0]
    assert change[:, :60].max() > 0.01 and change[:, 132:].max() > 0.01
    assert [total for _, total in told] == [2] * len(told) and told == sorted(told)


@pytest.mark.parametrize("text", ["0", "-1", "everyone", "like:", "like:nobody.jpg", "²", ""])
def test_what_is_no_choice_is_said_before_any_work(text):
    with pytest.raises(BadConfig, match=r"face is|there is no photo"):
        parse_face_choice(text)


def test_a_model_that_is_not_of_faces_has_nothing_to_choose():
    torch.manual_seed(0)
    with pytest.raises(BadConfig, match="not of faces"):
        FacePicker(FaceChoice(every=True), ganvas.build("stylegan2", num_mapping_layers=2, **TINY))


def test_edit_takes_the_face_like_an_example(model, two_faces, tmp_path):
    weights = ganvas.save(model, tmp_path / "tiny.safetensors")
    photo, out = write_image(two_faces, tmp_path / "two.png"), tmp_path / "out.png"
    me = write_image(Photo(img=two_faces.img[..., :40]), tmp_path / "me.png")
    words = ["edit", photo, "-o", out, "--model", weights, "--mix", "all=7", "--effort", "fast", "--face", f"like:{me}"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    change = (read_image(out).img - read_image(photo).img).abs().amax(dim=(0, 1, 2))
    assert change[:32].max() > 0.1 and change[64:].max() == 0
    refused = CliRunner().invoke(app, [*map(str, words[:-1]), "all"])
    assert refused.exit_code == 2 and "ganvas batch" in refused.output
