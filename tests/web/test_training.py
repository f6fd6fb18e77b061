"""Training from the studio: folders within the root, runs in processes of their own."""

import io
import time

import pytest
from PIL import Image

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
    assert studio.http.get("/api/runs/nothing").status_code == 404
    assert studio.http.get("/api/runs/..%2F..%2Fetc/fakes.jpg").status_code == 404


@pytest.mark.slow
def test_a_run_starts_in_its_own_process_shows_itself_and_stops(studio, pictures):
    begun = studio.http.post("/api/train", json={"data": "pictures", "preset": "mlp-64", "minutes": 60, "name": "mine"})
    assert begun.json() == {"run": "mine"}
    assert studio.http.post("/api/train", json={"data": "pictures", "name": "mine"}).status_code == 409
    run = wait_for(studio, lambda run: run["state"] == "running" and run["kimg"] > 0)
    assert any("preset: mlp-64" in line for line in run["log"])
    assert str(studio.inside.config.data_root) not in str(run["log"])
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
    assert all(preset["about"] for preset in presets)
