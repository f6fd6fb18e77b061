"""The way of a photo through the studio: open, bring in, slide, undo, look, save."""

import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas.editing.recipe import Recipe

from .conftest import heard, pixels_of, png


@pytest.fixture(scope="module")
def id(studio):
    """A session for tests that leave it as they found it."""
    return studio.ready()


def test_info_says_what_is_here(studio):
    said = studio.http.get("/api/info").json()
    assert said["default_model"] == "runs/tiny"
    assert [model["name"] for model in said["models"]] == ["runs/tiny"]
    assert said["models"][0]["resolution"] == 32
    assert said["models"][0]["faces"] is False
    assert "faces" in said["missing"]


def test_a_photo_opens_and_waits_to_be_brought_in(studio):
    opened = studio.open()
    assert (opened["width"], opened["height"], opened["state"]) == (90, 60, "faces")
    assert opened["faces"] == [] and opened["needs_face"] is False
    refused = studio.post(f"{opened['id']}/set", 409, direction="smile", amount=1)
    assert "invert" in refused["error"]["message"]
    before = studio.http.get(f"/api/sessions/{opened['id']}/photo.jpg", params={"which": "before"})
    assert Image.open(io.BytesIO(before.content)).size == (90, 60)


def test_an_inversion_reports_and_shows_itself(studio):
    opened = studio.open()
    with studio.socket(opened["id"]) as socket:
        assert heard(socket, lambda m: m["type"] == "state")["state"] == "faces"
        job = studio.post(f"{opened['id']}/invert", effort="fast")
        preview = heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")
        assert preview["job"] == job["id"]
        assert Image.open(io.BytesIO(socket.recv(timeout=5))).size == (preview["w"], preview["h"])
        done = heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "job" and m["state"] == "done")
    assert done["progress"] == 1
    assert done["result"]["fidelity"]["psnr_db"] > 5
    state = studio.http.get(f"/api/sessions/{opened['id']}").json()
    assert state["state"] == "ready"
    assert state["latent"] is None, "of faces alone it is said whom the latent shows"
    assert state["crop"] == {"x": 45.0, "y": 30.0, "side": 60.0, "angle_deg": 0.0}


def test_a_square_of_ones_own_is_brought_in(studio):
    opened = studio.open()
    square = {"x": 30.0, "y": 25.0, "side": 40.0, "angle_deg": 5.0}
    assert studio.wait(studio.post(f"{opened['id']}/invert", crop=square))["state"] == "done"
    assert studio.http.get(f"/api/sessions/{opened['id']}").json()["crop"] == square


def test_sliders_undo_and_go_back(studio, id):
    state = studio.post(f"{id}/set", direction="smile", amount=1.5)
    state = studio.post(f"{id}/set", direction="age", amount=-1, keep=["smile"])
    amounts = {d["name"]: (d["amount"], d["keep"]) for d in state["directions"]}
    assert amounts == {"smile": (1.5, []), "age": (-1, ["smile"])}
    assert [entry["label"] for entry in state["history"]] == ["", "smile +1.5", "age -1"]
    assert (state["at"], state["can_undo"], state["can_redo"]) == (2, True, False)
    version = state["version"]
    assert studio.post(f"{id}/undo")["at"] == 1
    assert studio.post(f"{id}/redo")["at"] == 2
    gone_back = studio.post(f"{id}/goto", at=0)
    assert gone_back["steps"] == [] and gone_back["can_redo"]
    assert gone_back["version"] > version
    refused = studio.post(f"{id}/goto", 422, at=9)
    assert "0 to 2" in refused["error"]["message"]
    said = studio.post(f"{id}/say", sentence="smile a lot, a little older")
    assert said["history"][-1]["amounts"].keys() == {"smile", "age"}  # one entry for a sentence


def test_a_saved_photo_differs_in_the_square_and_carries_its_recipe(studio, id):
    studio.post(f"{id}/goto", at=0)
    studio.post(f"{id}/set", direction="smile", amount=2)
    answer = studio.saved(id, format="png")
    assert answer.headers["content-disposition"].startswith('attachment; filename="me-ganvas.png"')
    before, after = pixels_of(png()), pixels_of(answer.content)
    different = (before != after).any(axis=2)
    assert different[:, 15:75].any()
    assert not different[:, :15].any() and not different[:, 75:].any()
    recipe = Recipe.from_json(ganvas.read_image(answer.content).recipe)
    assert recipe.amount("smile") == 2 and recipe.model == "runs/tiny"
    said = studio.http.get(f"/api/sessions/{id}/recipe").json()
    assert Recipe.from_json(json.dumps(said)) == recipe
    studio.post(f"{id}/goto", at=0)
    assert np.array_equal(pixels_of(studio.saved(id, format="png").content), before)


def test_without_a_change_the_result_is_kept_and_a_change_drops_it(studio, id):
    assert studio.saved(id, format="webp", quality=80).headers["content-type"] == "image/webp"
    assert studio.http.get(f"/api/sessions/{id}/result").status_code == 200
    studio.post(f"{id}/set", direction="age", amount=1)
    assert studio.http.get(f"/api/sessions/{id}/result").status_code == 404


def test_a_recipe_is_replayed(studio, id):
    studio.post(f"{id}/goto", at=0)
    studio.post(f"{id}/set", direction="smile", amount=1)
    recipe = studio.http.get(f"/api/sessions/{id}/recipe").json()
    other = studio.ready(png(seed=5))
    answer = studio.http.put(f"/api/sessions/{other}/recipe", json=recipe)
    assert answer.json()["steps"][0]["amount"] == 1
    recipe["steps"].append({"step": "mvoe"})
    answer = studio.http.put(f"/api/sessions/{other}/recipe", json=recipe)
    assert answer.status_code == 422 and "move" in answer.json()["error"]["message"]


def test_the_screen_shows_what_will_be_saved(studio, id):
    studio.post(f"{id}/goto", at=0)
    studio.post(f"{id}/set", direction="smile", amount=2)
    screen = pixels_of(studio.http.get(f"/api/sessions/{id}/photo.jpg", params={"size": 90}).content).astype(int)
    saved = pixels_of(studio.saved(id, format="png").content).astype(int)
    assert screen.shape == saved.shape
    assert np.abs(screen - saved).mean() < 8  # JPEG of a noisy photo; the change itself is far larger
    small = studio.http.get(f"/api/sessions/{id}/photo.jpg", params={"size": 45})
    assert Image.open(io.BytesIO(small.content)).size == (45, 30)
    square = studio.http.get(f"/api/sessions/{id}/preview.jpg", params={"size": 32})
    assert Image.open(io.BytesIO(square.content)).size == (32, 32)


def test_a_moving_slider_is_answered_and_leaves_no_history(studio, id):
    before = studio.http.get(f"/api/sessions/{id}").json()
    with studio.socket(id) as socket:
        slide = {"type": "slide", "direction": "smile", "amount": 1.2, "seq": 7}
        socket.send(json.dumps(slide))
        head = heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")
        assert head["seq"] == 7
        first = socket.recv(timeout=5)
        socket.send(json.dumps(slide | {"amount": -3, "seq": 8}))
        heard(socket, lambda m: not isinstance(m, bytes) and m.get("seq") == 8)
        assert socket.recv(timeout=5) != first
        socket.send(json.dumps(slide | {"direction": "smiel", "seq": 9}))
        error = heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "error")
        assert error["seq"] == 9 and "smile" in error["message"]
    after = studio.http.get(f"/api/sessions/{id}").json()
    assert after["history"] == before["history"]


def test_the_latest_slide_wins(studio, id):
    inside = studio.inside
    with studio.socket(id) as socket:
        heard(socket, lambda m: m["type"] == "state")

        gate = threading.Event()
        inside.jobs.submit(lambda: gate.wait(10))  # the device is at something else
        for seq in range(20):
            socket.send(json.dumps({"type": "slide", "direction": "smile", "amount": seq / 10, "seq": seq}))
        socket.send(json.dumps({"type": "nonsense"}))  # its answer comes at once, after all slides were taken
        heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "error")
        gate.set()
        assert heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")["seq"] == 19


def test_a_seed_is_ready_at_once_and_edited_as_a_whole(studio):
    state = studio.seed(3)
    assert state["state"] == "ready" and state["width"] == 32
    assert studio.seed(3)["id"] != state["id"]
    plain = pixels_of(studio.saved(state["id"], format="png").content)
    studio.post(f"{state['id']}/set", direction="age", amount=2)
    edited = pixels_of(studio.saved(state["id"], format="png").content)
    assert (plain != edited).any()
    G = ganvas.load(studio.inside.config.runs / "tiny" / "model.safetensors")
    from ganvas.models.seeds import latents_from_seeds

    img = G(latents_from_seeds([3], 16), truncation_psi=0.7)
    from ganvas.images.tensors import to_pixels

    assert np.abs(to_pixels(img.clamp(-1, 1)).astype(int) - plain).max() <= 1


def test_a_job_is_cancelled_and_the_photo_can_be_tried_again(studio):
    opened = studio.open()
    job = studio.post(f"{opened['id']}/invert", effort="best")
    studio.post(f"{opened['id']}/invert", 409)
    studio.http.delete(f"/api/jobs/{job['id']}")
    assert studio.wait(job)["state"] == "cancelled"
    assert studio.http.get(f"/api/sessions/{opened['id']}").json()["state"] == "faces"


def test_a_closed_session_is_gone(studio):
    opened = studio.open()
    assert studio.http.delete(f"/api/sessions/{opened['id']}").status_code == 200
    assert studio.http.get(f"/api/sessions/{opened['id']}").status_code == 404
    assert not list(studio.inside.folder.glob(f"{opened['id']}*"))


def test_a_slide_that_breaks_is_shown_again_with_less_of_the_tuning(studio, id, monkeypatch):
    session = studio.inside.open_photos[id].session
    monkeypatch.setattr(type(session), "first_share", 0.5)
    monkeypatch.setattr(session, "share_of", lambda recipe: 0.25 if recipe.amount("smile") > 2 else 0.5)
    with studio.socket(id) as socket:

        def pictures_of(amount, seq):
            socket.send(json.dumps({"type": "slide", "direction": "smile", "amount": amount, "seq": seq}))
            heard(socket, lambda m: not isinstance(m, bytes) and m.get("seq") == seq)
            return socket.recv(timeout=5)

        first = pictures_of(3, 1)
        again = heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")
        assert again["seq"] == 1 and socket.recv(timeout=5) != first
        assert pictures_of(3, 2) != first  # what was found is remembered
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)


def test_sliders_that_break_the_picture_up_are_told(studio, id):
    def ask():
        return studio.http.get(f"/api/sessions/{id}/breakups").json()["breakups"]

    studio.post(f"{id}/set", direction="smile", amount=500)
    (found,) = ask()
    assert found["direction"] == "smile" and found["amount"] == 500 and 0 <= found["holds_to"] < 500
    studio.post(f"{id}/set", direction="smile", amount=found["holds_to"])
    assert ask() == []


def test_an_inversion_that_is_cancelled_before_it_began_leaves_the_photo_as_it_was(studio):
    opened, gate = studio.open(), threading.Event()
    busy = studio.inside.jobs.submit(lambda: gate.wait(20))
    job = studio.post(f"{opened['id']}/invert")
    assert studio.http.get(f"/api/sessions/{opened['id']}").json()["state"] == "inverting"
    studio.http.delete(f"/api/jobs/{job['id']}")
    gate.set()
    busy.result(20)
    assert studio.http.get(f"/api/sessions/{opened['id']}").json()["state"] == "faces"
    assert studio.wait(studio.post(f"{opened['id']}/invert"))["state"] == "done"
