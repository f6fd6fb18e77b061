"""Several faces of one photo: each with steps of its own, all in one picture, and a finish that is the photo's."""

from dataclasses import replace

import pytest
import torch

import ganvas
from ganvas.editing.directions import Direction
from ganvas.editing.post_steps import Upscale
from ganvas.errors import BadConfig
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo
from ganvas.inversion.result import Inversion
from ganvas.session.open import open_session
from ganvas.session.photo_edits import PhotoEdits
from ganvas.weights.checkpoint import fingerprint

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}
APART = Crop(x=24, y=32, side=40), Crop(x=104, y=32, side=40)
CLOSE = Crop(x=50, y=32, side=48), Crop(x=78, y=32, side=48)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photo():
    rng = torch.Generator().manual_seed(1)
    return Photo(img=torch.randint(0, 256, (1, 3, 64, 128), generator=rng) / 127.5 - 1)


@pytest.fixture(scope="module")
def open_square(generator, photo):
    """open_square(crop, seed) → the session of a square of the photo, as if it had been searched for."""
    directions = {
        name: Direction(name, 6 * torch.randn(1, 16, generator=torch.Generator().manual_seed(n)))
        for n, name in enumerate(("smile", "age"))
    }

    def open_one(crop, seed=2):
        rng = torch.Generator().manual_seed(seed)
        ws = generator.mapping(torch.randn(1, 16, generator=rng))
        place = (crop.x, crop.y, crop.side, crop.angle_deg)
        inversion = Inversion(ws=ws, fingerprint=fingerprint(generator), source="a photo", crop=place)
        session = open_session(photo, model=generator, name="tiny", inversion=inversion, crop=crop)
        session.renderer.directions = directions
        return session

    return open_one


def edited(photo, open_square, crops, order):
    """Both squares are edited in this order."""
    edits = PhotoEdits(photo)
    for face, crop in enumerate(crops):
        edits.add(face, open_square(crop, seed=face))
    for face in order:
        edits.activate(face).set("smile", (2.0, -2.0)[face])
    return edits


def test_two_faces_are_in_one_photo_in_any_order(photo, open_square):
    both = edited(photo, open_square, APART, (0, 1)).render().img
    assert torch.equal(both, edited(photo, open_square, APART, (1, 0)).render().img)
    for face, crop in enumerate(APART):
        alone = edited(photo, open_square, APART, (face,)).render().img
        window = crop.window(width=128, height=64)
        assert (window.crop(alone) != window.crop(photo.img)).any()
        assert torch.allclose(window.crop(both), window.crop(alone), atol=1e-6)
    assert torch.equal(both[..., 50:78], photo.img[..., 50:78])  # between them nothing changes


def test_where_two_faces_overlap_each_place_follows_the_nearer_one(photo, open_square):
    edits = edited(photo, open_square, CLOSE, (0, 1))
    both = edits.render().img
    assert torch.equal(both, edited(photo, open_square, CLOSE, (1, 0)).render().img)
    ones = [edited(photo, open_square, CLOSE, (face,)).render().img for face in (0, 1)]
    for face, x in ((0, slice(36, 46)), (1, slice(82, 92))):
        near, far = (ones[one][..., 20:44, x] for one in (face, 1 - face))
        here = both[..., 20:44, x]
        assert (here - near).abs().mean() < 0.1 * (here - far).abs().mean()


def test_previews_show_what_the_render_will(photo, open_square):
    edits = edited(photo, open_square, CLOSE, (0, 1))
    shown = edits.preview_photo(longest_px=128)
    result = edits.render().img
    assert shown.shape == result.shape
    assert (shown - result).abs().mean() < 0.05 * (photo.img - result).abs().mean() + 0.01
    square = edits.preview(resolution=32)
    assert (square - CLOSE[1].cut(result, resolution=32)).abs().mean() < 0.06  # noise, whose flow is not the same small


def test_a_second_search_keeps_the_steps_and_their_history(photo, open_square):
    edits = edited(photo, open_square, APART, (0,))
    edits.session.set("age", 1.0)
    edits.session.undo()
    before = edits.session
    edits.add(0, open_square(APART[0], seed=7))
    now = edits.session
    assert now is not before and now.at == 1 and len(now.history) == 3
    assert [recipe.steps for recipe in now.history] == [recipe.steps for recipe in before.history]
    assert now.redo() and now.amount("age") == 1.0


def test_the_finish_is_the_photos(photo, open_square):
    edits = edited(photo, open_square, APART, (0, 1))
    edits.session.put(Upscale(model="lanczos", scale=2.0))
    assert edits.render().size == (256, 128)
    edits.activate(0)
    assert edits.render().size == (256, 128) and edits.active.result_size == (256, 128)
    edits.active.undo()  # of a step of this face
    assert edits.active.result_size == (256, 128) and edits.active.amount("smile") == 0
    edits.active.put(Upscale(model="lanczos", scale=1.0))
    assert edits.activate(1).result_size == (128, 64)


def test_the_same_on_all_faces(photo, open_square):
    edits = edited(photo, open_square, APART, (0, 1))
    edits.activate(0).set("age", 1.5)
    assert edits.copy_to_all() == [1]
    assert edits.sessions[1].recipe.steps == edits.sessions[0].recipe.steps
    assert edits.sessions[1].undo() and edits.sessions[1].amount("smile") == -2.0


def test_a_photo_without_a_face_is_finished(photo):
    edits = PhotoEdits(photo)
    assert not edits.is_changed and torch.equal(edits.render().img, photo.img)
    edits.active.put(Upscale(model="lanczos", scale=1.5))
    assert edits.render().size == (192, 96) and edits.is_changed
    edits.active.undo()
    assert edits.render().size == (128, 64)
    with pytest.raises(BadConfig, match="model first"):
        edits.active.put(ganvas.editing.move.Move(direction="smile", amount=1.0))
    with pytest.raises(BadConfig, match="not brought into a model"):
        edits.activate(0)


def test_a_finish_from_before_the_search_stays(photo, open_square):
    edits = PhotoEdits(photo)
    edits.active.put(Upscale(model="lanczos", scale=2.0))
    edits.add(0, open_square(APART[0]))
    assert edits.render().size == (256, 128)
    assert replace(edits.active.recipe, steps=()) == replace(edits.active.history[0], steps=())
