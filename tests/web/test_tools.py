"""Regions, mixing and styles over the API."""

import io
import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.editing.style import Style, save_style
from ganvas.models import build
from ganvas.session.session import Session
from ganvas.weights.checkpoint import fingerprint

from .conftest import heard, pixels_of, png


@pytest.fixture(scope="module")
def id(studio):
    return studio.ready()


@pytest.fixture(autouse=True)
def afresh(studio, id):
    studio.http.delete(f"/api/sessions/{id}/region")
    studio.post(f"{id}/goto", at=0)


def left_half(width=180, height=120):
    """A mask of twice the photo's size, white on the left."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, : width // 2] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def changed_columns(studio, id):
    before, after = pixels_of(png()), pixels_of(studio.saved(id, format="png").content)
    return (before != after).any(axis=(0, 2))


def test_a_painted_region_limits_what_follows(studio, id):
    files = {"mask": ("mask.png", left_half(), "image/png")}
    answer = studio.http.post(f"/api/sessions/{id}/region", files=files, data={"feather_px": "2"})
    assert answer.json()["region"] == {"feather_px": 2.0, "parts": []}
    studio.post(f"{id}/set", direction="smile", amount=3)
    changed = changed_columns(studio, id)
    assert changed[15:43].any()
    assert not changed[50:].any()
    shown = pixels_of(studio.http.get(f"/api/sessions/{id}/region.png").content)
    assert shown.shape == (60, 90, 3)
    assert shown[30, 25].min() > 250 and shown[30, 65].max() < 5
    assert studio.http.delete(f"/api/sessions/{id}/region").json()["region"] is None
    assert studio.http.get(f"/api/sessions/{id}/region.png").status_code == 404


def test_strokes_do_the_same(studio, id):
    stroke = {"points": [[60, 30]], "radius": 8}
    studio.post(f"{id}/region", strokes=[stroke], feather_px=1)
    studio.post(f"{id}/set", direction="smile", amount=3)
    changed = changed_columns(studio, id)
    assert changed[55:65].any() and not changed[:48].any()
    studio.post(f"{id}/region", 422, strokes=[{"points": [[5000, 5000]], "radius": 8}])
    studio.post(f"{id}/region", 422, strokes=[{"points": [[1, 2, 3]], "radius": 8}])


def test_a_mask_that_is_no_picture_is_refused(studio, id):
    answer = studio.http.post(f"/api/sessions/{id}/region", files={"mask": ("m.png", b"no picture", "image/png")})
    assert answer.status_code == 422


def test_mixing_with_a_seed_replaces_the_mix_before(studio, id):
    studio.post(f"{id}/do", step="mix", seed=5, part="colour", strength=0.5)
    state = studio.post(f"{id}/do", step="mix", seed=6, part="colour", strength=1)
    assert [(s["step"], s["seed"]) for s in state["steps"]] == [("mix", 6)]
    assert changed_columns(studio, id).any()
    assert studio.post(f"{id}/do", step="mix", seed=6, part="colour", strength=0)["steps"] == []
    assert "colour" in studio.post(f"{id}/do", 422, step="mix", seed=6, part="color")["error"]["message"]


def test_a_step_is_tried_before_it_is_done(studio, id):
    before = studio.http.get(f"/api/sessions/{id}").json()

    def tried(size=32, status=200, **step):
        answer = studio.http.post(f"/api/sessions/{id}/try.jpg", params={"size": size}, json=step)
        assert answer.status_code == status, answer.text
        return answer.content

    first, second = (tried(step="mix", seed=seed, part="all", strength=1) for seed in (1, 2))
    assert pixels_of(first).shape == (32, 32, 3) and first != second
    assert max(pixels_of(tried(step="upscale", model="lanczos", scale=2)).shape) == 32  # the whole photo, small
    assert b"seed" in tried(status=422, step="mix", seed=-1) and tried(status=422, step="mix", size=9)
    assert studio.http.get(f"/api/sessions/{id}").json() == before
    studio.post(f"{id}/do", step="mix", seed=1, part="all", strength=1)
    square = studio.http.get(f"/api/sessions/{id}/preview.jpg", params={"size": 32}).content
    assert np.abs(pixels_of(square).astype(int) - pixels_of(first)).mean() < 2
    studio.post(f"{id}/undo")


def test_mixing_with_another_photo_is_a_job_and_one_step(studio, id):
    files = {"photo": ("other.png", png(seed=9), "image/png")}
    answer = studio.http.post(f"/api/sessions/{id}/mix-photo", files=files, data={"part": "shape", "strength": "0.8"})
    assert studio.wait(answer.json())["state"] == "done"
    state = studio.http.get(f"/api/sessions/{id}").json()
    assert [(s["step"], s["part"], s["strength"]) for s in state["steps"]] == [("mix", "shape", 0.8)]
    assert state["at"] == 1


def test_a_style_is_listed_and_painted(studio, id):
    G = studio.inside.registry.get("runs/tiny", task="generate")
    name, weight = next((n, p) for n, p in G.named_parameters() if n.endswith("conv1.weight"))
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)) * weight.std()
    save_style(Style(name="ink", tensors={name: noise}, parent=fingerprint(G), facts={"example": "ink.png"}))
    assert [s["name"] for s in studio.http.get("/api/styles", params={"id": id}).json()] == ["ink"]
    state = studio.post(f"{id}/do", step="stylise", style="ink", strength=0.9)
    assert state["steps"][0]["words"].startswith("stylise ink")
    assert changed_columns(studio, id).any()
    assert "ink" in studio.post(f"{id}/do", 422, step="stylise", style="watercolour")["error"]["message"]


def test_a_strength_is_tried_while_it_moves(studio, id):
    with studio.socket(id) as socket:
        socket.send(json.dumps({"type": "slide", "seq": 1, "step": {"step": "mix", "seed": 5, "strength": 0.4}}))
        assert heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")["seq"] == 1
        socket.send(json.dumps({"type": "slide", "seq": 2, "step": {"step": "mix"}}))
        assert heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "error")["seq"] == 2
    assert studio.http.get(f"/api/sessions/{id}").json()["at"] == 0


def test_a_result_is_enlarged_as_one_step_that_can_be_undone(studio, id):
    studio.post(f"{id}/set", direction="smile", amount=2)
    job = studio.wait(studio.post(f"{id}/upscale", model=None, scale=2))
    assert job["result"] == {"width": 180, "height": 120}
    state = studio.http.get(f"/api/sessions/{id}").json()
    assert state["result"] == {"width": 180, "height": 120} and (state["width"], state["height"]) == (90, 60)
    large = pixels_of(studio.saved(id, format="png").content)
    assert large.shape == (120, 180, 3)
    screen = studio.http.get(f"/api/sessions/{id}/photo.jpg", params={"size": 180})
    assert Image.open(io.BytesIO(screen.content)).size == (180, 120)
    assert studio.post(f"{id}/undo")["result"] == {"width": 90, "height": 60}
    small = pixels_of(studio.saved(id, format="png").content).astype(float)
    mean = large.reshape(60, 2, 90, 2, 3).mean(axis=(1, 3))
    assert np.abs(mean - small).mean() < 3


def test_an_upscaler_of_ones_own_and_a_translator(studio, id, monkeypatch):
    torch.manual_seed(0)
    networks = {
        "realesr-animevideov3": build("srvgg", scale=2, num_feat=4, num_conv=1).eval(),
        "vintage": build("cyclegan", ngf=4, n_blocks=1).eval(),
    }
    monkeypatch.setattr(studio.inside.registry, "get", lambda name, task: networks[name])
    job = studio.wait(studio.post(f"{id}/upscale", model="realesr-animevideov3", scale=2))
    assert job["state"] == "done", job
    job = studio.wait(studio.post(f"{id}/translate", model="vintage", strength=0.5))
    assert job["state"] == "done", job
    state = studio.http.get(f"/api/sessions/{id}").json()
    assert [step["step"] for step in state["steps"]] == ["upscale", "translate"]
    assert state["result"] == {"width": 180, "height": 120}
    assert pixels_of(studio.saved(id, format="png").content).shape == (120, 180, 3)
    assert studio.wait(studio.post(f"{id}/translate", model="vintage", strength=0))["state"] == "done"
    assert len(studio.http.get(f"/api/sessions/{id}").json()["steps"]) == 1


def test_what_cannot_be_finished_says_so_and_leaves_nothing(studio, id):
    studio.post(f"{id}/upscale", 422, model="nothing", scale=2)
    studio.post(f"{id}/upscale", 422, model="../../etc/passwd", scale=2)
    studio.post(f"{id}/upscale", 422, model=None, scale=1000)
    job = studio.wait(studio.post(f"{id}/upscale", model="realesr-animevideov3", scale=2))
    assert job["state"] == "failed" and job["error"]["kind"] == "FetchError"
    step = {"step": "upscale", "model": "realesr-animevideov3"}
    recipe = studio.http.get(f"/api/sessions/{id}/recipe").json() | {"steps": [step]}
    assert studio.http.put(f"/api/sessions/{id}/recipe", json=recipe).status_code == 503
    state = studio.http.get(f"/api/sessions/{id}").json()
    assert state["steps"] == [] and state["at"] == 0


def test_points_are_pulled_as_one_step(studio, id):
    pull = {"points": [[40, 30]], "targets": [[48, 30]], "steps": 4}
    with studio.socket(id) as socket:
        job = studio.post(f"{id}/drag", **pull)
        preview = heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")
        assert preview["job"] == job["id"] and len(preview["points"]) == 1
    done = studio.wait(job)
    assert done["state"] == "done", done
    assert done["result"]["steps"] <= 4
    state = studio.http.get(f"/api/sessions/{id}").json()
    assert [step["step"] for step in state["steps"]] == ["drag"] and state["at"] == 1
    assert changed_columns(studio, id).any()
    assert studio.post(f"{id}/undo")["steps"] == []


def test_a_drag_that_is_stopped_keeps_what_was_reached(studio, id, monkeypatch):
    """It waits after its first preview until it was stopped: on a quick machine it would have arrived by then."""
    pull, stopped = Session.drag, threading.Event()

    def pull_and_wait(session, *places, on_step, **how):
        def wait(*step):
            answer = on_step(*step)
            assert stopped.wait(30)
            return answer

        return pull(session, *places, on_step=wait, **how)

    monkeypatch.setattr(Session, "drag", pull_and_wait)
    with studio.socket(id) as socket:
        job = studio.post(f"{id}/drag", points=[[40, 30]], targets=[[48, 30]], steps=400)
        heard(socket, lambda m: not isinstance(m, bytes) and m["type"] == "preview")
        studio.post(f"{id}/set", 409, direction="smile", amount=1)  # meanwhile nothing else changes the photo
        studio.http.delete(f"/api/jobs/{job['id']}")
    stopped.set()
    done = studio.wait(job)
    assert done["state"] == "done" and done["result"]["steps"] < 400
    assert studio.http.get(f"/api/sessions/{id}").json()["at"] == 1


def test_points_that_are_none(studio, id):
    studio.post(f"{id}/drag", 422, points=[[40, 30]], targets=[])
    studio.post(f"{id}/drag", 422, points=[[40, 30]], targets=[[1, 2], [3, 4]])
    studio.post(f"{id}/drag", 422, points=[[40]], targets=[[1]])
    studio.post(f"{id}/drag", 422, points=[[1, 1]] * 50, targets=[[2, 2]] * 50)
    job = studio.wait(studio.post(f"{id}/drag", points=[[4000, 30]], targets=[[48, 30]]))
    assert job["state"] == "failed" and job["error"]["kind"] == "BadMask"


def test_a_style_is_taught_from_one_picture(studio, id):
    files = {"photo": ("drawing.png", png(seed=3), "image/png")}
    fields = {"name": "chalk", "model": "runs/tiny", "steps": "3"}
    answer = studio.http.post("/api/styles", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    job = studio.wait(answer.json())
    assert job["state"] == "done", job
    assert job["result"]["name"] == "chalk"
    assert "chalk" in [style["name"] for style in studio.http.get("/api/styles", params={"id": id}).json()]
    assert studio.post(f"{id}/do", step="stylise", style="chalk", strength=1)["steps"][0]["style"] == "chalk"
    assert studio.http.post("/api/styles", files=files, data=fields | {"name": "../x"}).status_code == 422


def test_teaching_that_is_stopped_keeps_nothing(studio):
    files = {"photo": ("drawing.png", png(seed=3), "image/png")}
    job = studio.http.post("/api/styles", files=files, data={"name": "oil", "model": "runs/tiny"}).json()
    studio.http.delete(f"/api/jobs/{job['id']}")
    assert studio.wait(job)["state"] == "cancelled"
    assert "oil" not in [style["name"] for style in studio.http.get("/api/styles").json()]
