"""Training from the studio: folders within the root, runs in processes of their own."""

import dataclasses
import io
import json
import time

import pytest
from PIL import Image

from ganvas.editing.recipe import STEPS
from ganvas.training.generator.config import TrainConfig
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.web.training_runs import TrainingRuns

from .conftest import png


@pytest.fixture(scope="module")
def pictures(workplace):
    folder = workplace / "pictures"
    (folder / "below").mkdir(parents=True)
    for seed in range(12):
        Image.open(io.BytesIO(png(40, 40, seed))).save(folder / f"{seed}.png")
    (workplace / ".hidden").mkdir()
    (workplace / "away").symlink_to(workplace.parent)
    return folder


def test_folders_are_shown_and_counted_within_the_root(studio, pictures):
    top = studio.http.get("/api/folders").json()
    assert top["under"] == "" and top["parent"] is None
    assert {"name": "pictures", "path": "pictures", "pictures": 12} in top["folders"]
    assert not {"away", ".hidden"} & {one["name"] for one in top["folders"]}
    inner = studio.http.get("/api/folders", params={"under": "pictures"}).json()
    assert (inner["pictures"], inner["parent"]) == (12, "")
    for outside in ("..", "pictures/../..", "/etc", "away", "\0", "nothing"):
        answer = studio.http.get("/api/folders", params={"under": outside})
        assert answer.status_code in (403, 422), outside
        assert "/tmp" not in answer.text


def test_what_cannot_be_trained_is_refused(studio, pictures):
    def refused(**body):
        return studio.http.post("/api/train", json=body).status_code

    assert refused(data="..") == 403
    assert refused(data="pictures", preset="nothing") == 422
    assert refused(data="pictures", name="../evil") == 422
    assert refused(data="pictures", minutes=-1) == 422
    assert refused(data="pictures", command="rm") == 422
    assert refused(data="pictures", settings={"batchsize": 8}) == 422
    assert refused(data="pictures", settings={"batch_size": 0}) == 422
    assert refused(data="pictures", settings={"labels": "/etc/passwd:user"}) == 422
    assert studio.http.get("/api/runs/nothing").status_code == 404
    assert studio.http.get("/api/runs/..%2F..%2Fetc/fakes.jpg").status_code == 404


@pytest.mark.slow
def test_a_run_starts_in_its_own_process_shows_itself_and_stops(studio, pictures):
    asked = {"data": "pictures", "preset": "mlp-64", "minutes": 60, "name": "mine"}
    settings = {
        "batch_size": 8,
        "tick_kimg": 0.08,
        "metrics": "none",
        "mirror": True,
        "schedule_kimg": None,
        "ema_sigmas": [0.1],
        "generator": {"widths": [32, 64]},
    }
    begun = studio.http.post("/api/train", json={**asked, "settings": settings})
    assert begun.json() == {"run": "mine"}
    assert studio.http.post("/api/train", json={"data": "pictures", "name": "mine"}).status_code == 409
    run = wait_for(studio, lambda run: run["state"] == "running" and run["kimg"] > 0)
    assert any("preset: mlp-64" in line for line in run["log"])
    assert str(studio.inside.config.data_root) not in str(run["log"])
    record = json.loads((studio.inside.config.runs / "mine" / "run.json").read_text())
    assert record["config"].items() >= settings.items()
    assert studio.http.get("/api/runs/mine/curves.png").status_code in (200, 404)
    assert studio.http.post("/api/runs/mine/stop").status_code == 200
    run = wait_for(studio, lambda run: run["state"] == "stopped")
    assert "mine" in [one["name"] for one in studio.http.get("/api/runs").json()]
    wait_for(studio, lambda run: studio.http.post("/api/runs/mine/stop").status_code == 409)  # its process has ended


def wait_for(studio, wanted, *, sec=150):
    deadline = time.monotonic() + sec
    while True:
        run = studio.http.get("/api/runs/mine").json()
        if wanted(run):
            return run
        assert time.monotonic() < deadline and run["state"] != "failed", run
        time.sleep(0.05)


def test_presets_have_words(studio):
    presets = studio.http.get("/api/presets").json()
    assert {"name", "about", "result", "resolution"} <= presets[0].keys()
    assert presets[0]["settings"]["family"] == "mlp"
    assert all(preset["about"] for preset in presets)


def test_forms_have_every_field_of_every_step_and_of_training(studio):
    forms = studio.http.get("/api/forms").json()
    assert forms["steps"].keys() == STEPS.keys()
    for name, form in forms["steps"].items():
        assert sorted(field["name"] for field in form["fields"]) == sorted(
            f.name for f in dataclasses.fields(STEPS[name])
        )
        assert form["help"]
    assert [field["name"] for field in forms["steps"]["blush"]["fields"]] == [
        "colour",
        "amount",
    ]  # what it inherits last
    names = [f.name for f in dataclasses.fields(TrainConfig)]
    assert sorted(field["name"] for field in forms["training"]) == sorted(names)


def test_a_run_of_another_kind_is_listed_too(tmp_path):
    (tmp_path / "runs" / "larger").mkdir(parents=True)
    record = {"kind": "upscaler", "preset": "compact-x4", "status": "finished", "config": UpscalerConfig().to_json()}
    (tmp_path / "runs" / "larger" / "run.json").write_text(json.dumps(record))
    (listed,) = TrainingRuns(data_root=tmp_path, runs=tmp_path / "runs").all()
    assert (listed["name"], listed["state"], listed["preset"]) == ("larger", "done", "compact-x4")
