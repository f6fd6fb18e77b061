"""Searching, keeping and learning sliders over the API."""

import io

import pytest
from PIL import Image

from ganvas.editing.direction_files import list_directions


def run(studio, path, **body):
    answer = studio.http.post(f"/api/directions/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return studio.wait(answer.json())


def test_samples_come_one_by_one_or_as_a_sheet(studio):
    one = studio.http.get("/api/models/runs/tiny/samples.jpg", params={"seeds": "7", "size": 32})
    assert Image.open(io.BytesIO(one.content)).size == (32, 32)
    many = studio.http.get("/api/models/runs/tiny/samples.jpg", params={"seeds": "0-3", "size": 32})
    assert Image.open(io.BytesIO(many.content)).width >= 64
    for bad in ("x", "5-1000000", "-1", "1-2-3", "99999999999"):
        assert studio.http.get("/api/models/runs/tiny/samples.jpg", params={"seeds": bad}).status_code == 422, bad
    assert studio.http.get("/api/models/nothing/samples.jpg").status_code == 422


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_what_was_found_is_looked_at_and_kept_under_a_name(studio, method):
    watching = studio.seed()["id"]
    job = run(studio, "find", model="runs/tiny", method=method, count=3, layers="0-3")
    assert [row["index"] for row in job["result"]["rows"]] == [1, 2, 3]
    sheet = studio.http.get(job["result"]["sheet"])
    assert Image.open(io.BytesIO(sheet.content)).format == "JPEG"
    name = f"turn-{method}"
    saved = studio.http.post("/api/directions/keep", json={"job": job["id"], "names": {"2": name}}).json()
    assert saved == {"saved": [name]}
    state = studio.http.get(f"/api/sessions/{watching}").json()
    assert name in [d["name"] for d in state["directions"]]
    assert studio.post(f"{watching}/set", direction=name, amount=1)["steps"]
    for names, status in (({"9": "a"}, 422), ({"1": "../a"}, 422), ({}, 422)):
        answer = studio.http.post("/api/directions/keep", json={"job": job["id"], "names": names})
        assert answer.status_code == status


def test_marks_become_a_slider_with_what_else_it_moves(studio):
    marks = {"like": list(range(8)), "dislike": list(range(8, 16))}
    job = run(studio, "learn", model="runs/tiny", name="hat", keep=["age"], **marks)
    assert job["state"] == "done", job
    result = job["result"]
    assert result["name"] == "hat" and result["used"] == 16 and 0 <= result["auc"] <= 1
    assert {"smile", "age"} <= {one["name"] for one in result["leakage"]}
    held = next(one["change"] for one in result["leakage"] if one["name"] == "age")
    assert abs(held) < 0.01  # what was to be kept is
    assert studio.http.get(result["sheet"]).status_code == 200
    assert "hat" in [d["name"] for d in studio.seed()["directions"]]


def test_a_face_score_becomes_a_slider(studio, monkeypatch):
    monkeypatch.setattr("ganvas.editing.discovery.samples.EFFECT_SEEDS", 3)
    choice = studio.http.get("/api/directions/scorers").json()
    assert "skin_light" in choice["scorers"] and choice["spaces"] == ["w", "w+", "s"]
    known = {"scorer": "skin_light", "samples": 60, "space": "w+", "keep": ["hair_light"]}
    job = run(studio, "learn", model="runs/tiny", name="paler", **known)
    assert job["state"] == "done", job
    result = job["result"]
    assert result["used"] == 60 and result["auc"] is None and result["r2"] <= 1
    low, high = result["range"]
    assert low < 0 < high
    assert studio.http.get(result["sheet"]).status_code == 200
    learnt = next(direction for _, direction in list_directions() if direction.name == "paler")
    assert (learnt.space, learnt.facts["keep"]) == ("w+", ["hair_light"])
    assert learnt.facts["range"] == "measured on 3 seeds by skin_light"


def test_marks_teach_style_channels_too(studio):
    marks = {"like": list(range(8)), "dislike": list(range(8, 16))}
    job = run(studio, "learn", model="runs/tiny", name="ring", space="s", **marks)
    assert job["state"] == "done" and 0 <= job["result"]["auc"] <= 1
    job = run(studio, "learn", model="runs/tiny", name="ring", space="w+", **marks)
    assert job["state"] == "failed" and "rows of ws are the same" in job["error"]["message"]
    job = run(studio, "learn", model="runs/tiny", name="ring", space="s", keep=["age"], **marks)
    assert job["state"] == "failed" and "cannot keep 'age'" in job["error"]["message"]


def test_marks_that_teach_nothing_are_refused(studio):
    def refused(**body):
        return studio.http.post("/api/directions/learn", json={"model": "runs/tiny", "name": "hat"} | body).status_code

    assert refused(like=[1], dislike=[]) == 422
    assert refused(like=[1, 2], dislike=[2, 3]) == 422
    assert refused(like=[1], dislike=[2], name="a/b") == 422
    assert refused(like=[1], dislike=[2], space="v") == 422
    assert refused(scorer="smiel") == 422
    assert refused(like=[1], dislike=[2], scorer="smile") == 422
    assert run(studio, "learn", model="runs/tiny", name="few", like=[1], dislike=[2])["state"] == "failed"
