"""The models panel: what there is, licences before anything is fetched, progress, and stopping."""

import threading

import ganvas
from ganvas.editing.post_steps import Translate
from ganvas.web.model_registry import ModelRegistry
from ganvas.weights.catalogue import catalogue
from ganvas.weights.checkpoint import save


def test_the_catalogue_is_told_with_all_four_licences(studio):
    models = {one["name"]: one for one in studio.http.get("/api/models").json()}
    faces = models["faces"]
    assert faces["restricted"] and faces["fetchable"] and not faces["here"]
    assert set(faces["pedigree"]) == {"package", "weights", "data", "parent"}
    assert faces["size_bytes"] > 1_000_000
    assert models["runs/tiny"]["here"] and models["runs/tiny"]["resolution"] == 32


def test_translators_of_runs_are_offered_for_each_domain_and_way(tmp_path):
    net = ganvas.build("cyclegan", ngf=2, n_blocks=0)
    for run, way in (("looks", "to-night"), ("looks", "to-sepia"), ("old", "BtoA")):
        (tmp_path / run).mkdir(exist_ok=True)
        save(net, tmp_path / run / f"{way}.safetensors")
    registry = ModelRegistry(runs=tmp_path)
    names = [name for name, one in registry.models().items() if one.task == "translate" and one.entry is None]
    assert names == ["runs/looks-to-night", "runs/looks-to-sepia", "runs/old-BtoA"]
    assert registry.get(names[0], task="translate").config.ngf == 2
    assert Translate(model=names[1]).model == names[1]


def test_a_restricted_model_is_fetched_only_with_its_licence_accepted(studio, monkeypatch):
    fetched = []
    monkeypatch.setattr(catalogue, "get", lambda name, **how: fetched.append((name, how["accept"])))
    refused = studio.http.post("/api/models/faces/get", json={"accept_licence": False})
    assert refused.status_code == 422 and "non-commercial" in refused.text
    assert studio.http.post("/api/models/faces/get").status_code == 422
    job = studio.wait(studio.http.post("/api/models/faces/get", json={"accept_licence": True}).json())
    assert job["state"] == "done" and fetched == [("faces", True)]
    assert studio.http.post("/api/models/nothing/get", json={}).status_code == 422
    assert studio.http.post("/api/models/runs/tiny/get", json={}).status_code == 409


def test_fetching_shows_how_far_it_is_and_can_be_stopped(studio, monkeypatch):
    halfway, go = threading.Event(), threading.Event()

    def slowly(name, *, accept, on_progress):
        on_progress(50, 100)
        halfway.set()
        go.wait(20)
        on_progress(60, 100)

    monkeypatch.setattr(catalogue, "get", slowly)
    job = studio.http.post("/api/models/mtcnn/get", json={}).json()
    halfway.wait(20)
    assert studio.http.get(f"/api/jobs/{job['id']}").json()["progress"] == 0.5
    studio.http.delete(f"/api/jobs/{job['id']}")
    go.set()
    assert studio.wait(job)["state"] == "cancelled"


def test_without_a_generator_the_studio_says_what_to_fetch(open_studio, config, tmp_path):
    from .conftest import changed, png

    bare = open_studio(changed(config, runs=tmp_path / "none"))
    info = bare.http.get("/api/info").json()
    assert info["default_model"] is None and info["models"] == []
    opened = bare.open(png())
    assert opened["state"] == "faces"
    answer = bare.http.post(f"/api/sessions/{opened['id']}/invert", json={})
    assert answer.status_code == 503 and "fetch" in answer.text
    assert bare.http.post("/api/sessions", json={"seed": 1}).status_code == 503
    assert bare.http.get("/api/sample.jpg").headers["content-type"] == "image/jpeg"
