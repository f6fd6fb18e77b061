"""Projects over REST: what the page does with them; and a server that is killed while photos are edited."""

import io
import os
import signal
import threading
import time
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image

from ganvas.features.faces import Face
from ganvas.web import opening, temp_folder
from ganvas.web.jobs import Job
from ganvas.web.serve import server_config
from ganvas.web.temp_folder import TempFolder, sweep_temp_folders
from tests.training.children import CHILDREN, needs_children

from .conftest import Served, pixels_of, png


@pytest.fixture(scope="module")
def project(studio):
    """project(name) → the id of a new project."""

    def create(name="Wedding"):
        return studio.http.post("/api/projects", json={"name": name}).json()["id"]

    return create


def described(studio, id):
    return studio.http.get(f"/api/projects/{id}").json()


def reopened(studio, opened):
    """The same photo again, by its project, when its editing is back."""
    answer = studio.http.post(f"/api/projects/{opened['project']}/photos/{opened['photo']}/open")
    assert answer.status_code == 200, answer.text
    state = answer.json()
    if "job" in state:
        assert studio.wait(state["job"])["state"] == "done"
    return studio.http.get(f"/api/sessions/{state['id']}").json()


SAME = ("history", "at", "steps", "face", "model", "crop", "width", "name", "state", "can_redo")


def test_a_photo_is_there_again_after_it_was_closed(studio, project):
    id = project()
    opened = studio.open(project=id, effort="fast")
    assert opened["project"] == id
    studio.wait(opened["job"])
    at = opened["id"]
    studio.post(f"{at}/set", direction="smile", amount=1.5)
    studio.wait(studio.post(f"{at}/upscale", scale=2))
    studio.post(f"{at}/set", direction="age", amount=-1)
    studio.post(f"{at}/undo")
    before = studio.http.get(f"/api/sessions/{at}").json()
    result = pixels_of(studio.saved(at, format="png").content)
    studio.http.get(f"/api/sessions/{at}/photo.jpg")
    (listed,) = described(studio, id)["photos"]
    assert (listed["name"], listed["edits"], listed["thumbnail"]) == ("me.png", 2, True)
    small = studio.http.get(f"/api/projects/{id}/photos/{opened['photo']}/small.jpg")
    assert Image.open(io.BytesIO(small.content)).size == (180, 120)

    assert reopened(studio, opened)["id"] == at  # while it is open it is the same session, in two tabs as well
    studio.http.delete(f"/api/sessions/{at}")
    again = reopened(studio, opened)
    assert again["id"] != at and {key: again[key] for key in SAME} == {key: before[key] for key in SAME}
    assert np.abs(pixels_of(studio.saved(again["id"], format="png").content) - result.astype(float)).max() <= 2


def test_a_second_search_keeps_what_was_done(studio, project):
    opened = studio.open(project=project(), effort="fast")
    studio.wait(opened["job"])
    at = opened["id"]
    for amount in (1.0, 2.0):
        studio.post(f"{at}/set", direction="smile", amount=amount)
    studio.wait(studio.post(f"{at}/invert", effort="fast"))
    state = studio.http.get(f"/api/sessions/{at}").json()
    assert state["at"] == 2 and state["steps"][0]["amount"] == 2.0
    studio.http.delete(f"/api/sessions/{at}")
    assert reopened(studio, opened)["history"] == state["history"]


def test_a_photo_from_a_seed_is_kept_too(studio, project):
    id = project()
    opened = studio.http.post("/api/sessions", json={"seed": 5, "project": id}).json()
    state = studio.post(f"{opened['id']}/set", direction="smile", amount=1.5)
    studio.http.delete(f"/api/sessions/{opened['id']}")
    again = reopened(studio, opened)
    assert again["state"] == "ready" and again["steps"] == state["steps"]


def test_a_photo_that_nothing_was_found_in_is_finished_and_kept(studio, project):
    opened = studio.open(project=project())
    at = opened["id"]
    assert studio.wait(studio.post(f"{at}/upscale", scale=2))["state"] == "done"
    state = studio.http.get(f"/api/sessions/{at}").json()
    assert state["state"] == "faces" and state["steps"][0]["step"] == "upscale" and state["can_undo"]
    assert pixels_of(studio.saved(at, format="png").content).shape == (120, 180, 3)
    assert studio.http.get(f"/api/sessions/{at}/photo.jpg").status_code == 200
    studio.http.delete(f"/api/sessions/{at}")
    again = reopened(studio, opened)
    assert again["history"] == state["history"]
    assert studio.post(f"{again['id']}/undo")["result"] == {"width": 90, "height": 60}
    refused = studio.post(f"{again['id']}/do", 409, step="mix", seed=1)
    assert "not been inverted" in refused["error"]["message"]


def test_rename_duplicate_export_import_delete(studio, project):
    id = project("one")
    opened = studio.open(project=id, effort="fast")
    studio.wait(opened["job"])
    studio.post(f"{opened['id']}/set", direction="smile", amount=1)
    assert studio.http.patch(f"/api/projects/{id}", json={"name": "two"}).json()["name"] == "two"
    copy = studio.http.post(f"/api/projects/{id}/duplicate", json={}).json()
    assert copy["name"] == "two copy" and copy["photos"][0]["edits"] == 1
    file = studio.http.get(f"/api/projects/{id}/export.ganvas")
    assert "two.ganvas" in file.headers["content-disposition"]
    there = studio.http.post("/api/projects/import", files={"file": ("two.ganvas", file.content)}).json()
    assert there["name"] == "two" and there["id"] not in (id, copy["id"])
    state = reopened(studio, {"project": there["id"], "photo": there["photos"][0]["id"]})
    assert state["steps"][0]["amount"] == 1
    listed = [one["id"] for one in studio.http.get("/api/projects").json()]
    assert {id, copy["id"], there["id"]} <= set(listed)
    assert studio.http.delete(f"/api/projects/{id}").status_code == 200
    assert studio.http.get(f"/api/projects/{id}").status_code == 404
    assert studio.http.get(f"/api/sessions/{opened['id']}").status_code == 404  # it was closed
    left = studio.http.delete(f"/api/projects/{copy['id']}/photos/{copy['photos'][0]['id']}").json()
    assert left["photos"] == []
    assert studio.http.post("/api/projects/import", files={"file": ("x.ganvas", b"PK\x03\x04")}).status_code == 422
    assert studio.http.post("/api/projects", json={"name": ""}).status_code == 422


def test_a_file_of_several_photos_says_that_it_is_a_project(studio, project):
    id = project()
    for _ in range(2):
        studio.open(project=id)
    data = studio.http.get(f"/api/projects/{id}/export.ganvas").content
    answer = studio.http.post("/api/sessions", files={"photo": ("p.ganvas", data)})
    assert answer.status_code == 422 and "import" in answer.json()["error"]["message"]


def test_photos_of_projects_make_room_for_others(open_studio, config):
    from .conftest import changed

    studio = open_studio(changed(config, sessions=2))
    id = studio.http.post("/api/projects", json={"name": "many"}).json()["id"]
    opened = [studio.open(png(seed=i), project=id) for i in range(5)]
    assert len(studio.inside.open_photos) == 2
    assert reopened(studio, opened[0])["width"] == 90


def test_the_queue_lists_what_waits_and_runs(studio, project):
    release = threading.Event()

    def work(job):
        while not release.wait(0.02):
            job.step(1, 4)

    blocking = studio.inside.jobs.start(Job("style", work, title="ink"))
    opened = studio.open(project=project(), effort="fast")
    listed = studio.http.get("/api/jobs").json()
    assert [(job["kind"], job["title"]) for job in listed] == [("style", "ink"), ("invert", "me.png")]
    assert listed[1]["state"] == "queued" and listed[0]["progress"] == 0.25
    assert studio.http.delete(f"/api/jobs/{opened['job']['id']}").json()["state"] == "cancelled"
    release.set()
    assert blocking.ended.wait(10)
    assert studio.http.get("/api/jobs").json() == []
    recent = studio.http.get("/api/jobs", params={"recent": True}).json()
    assert [job["state"] for job in recent][-2:] == ["done", "cancelled"]


@pytest.fixture
def two_faces(studio, monkeypatch):
    """The studio sees two faces in every photo; they are cut as squares of their own."""

    def face(x, number):
        points = torch.tensor([[x - 5.0, 25], [x + 5.0, 25], [x, 30], [x - 4.0, 36], [x + 4.0, 36]])
        return Face(box=(x - 10.0, 20, x + 10.0, 40), points=points, score=0.99, number=number)

    def faces(studio, photo, model):
        from ganvas.session.photo_edits import order_faces

        return order_faces([face(65.0, 1), face(22.0, 2)]), True

    monkeypatch.setattr(opening, "_faces", faces)
    monkeypatch.setattr(opening, "is_aligned", lambda G, align: True)
    return SimpleNamespace(left=0, right=1)


def test_two_faces_keep_their_own_steps_and_share_the_finish(studio, project, two_faces):
    opened = studio.open(project=project())
    at = opened["id"]
    assert [face["box"][0] for face in opened["faces"]] == [12.0, 55.0]  # numbered from left to right
    for face, amount in ((two_faces.right, 2.0), (two_faces.left, -2.0)):
        assert studio.wait(studio.post(f"{at}/invert", face=face, effort="fast"))["state"] == "done"
        studio.post(f"{at}/set", direction="smile", amount=amount)
    state = studio.http.get(f"/api/sessions/{at}").json()
    assert state["face"] == 0 and [(face["found"], face["steps"]) for face in state["faces"]] == [(True, 1), (True, 1)]
    state = studio.post(f"{at}/face", face=1)
    assert state["face"] == 1 and state["steps"][0]["amount"] == 2.0
    both = pixels_of(studio.saved(at, format="png").content)
    studio.http.delete(f"/api/sessions/{at}")
    again = reopened(studio, opened)
    assert again["face"] == 1 and [face["steps"] for face in again["faces"]] == [1, 1]
    assert np.abs(pixels_of(studio.saved(again["id"], format="png").content) - both.astype(float)).max() <= 2
    assert studio.post(f"{again['id']}/face", face=0)["steps"][0]["amount"] == -2.0
    assert studio.post(f"{again['id']}/face", 422, face=7)


# ---------------------------------------------------------------------------------------------------------------------
# Killed


def serve_for_ever(home, config, ready):
    """A server of its own, until it is killed."""
    os.environ["GANVAS_HOME"] = home
    torch.set_num_threads(1)
    server = uvicorn.Server(server_config(config))

    def tell():
        while not server.started:
            time.sleep(0.01)
        ready.send(server.servers[0].sockets[0].getsockname()[1])

    threading.Thread(target=tell, daemon=True).start()
    server.run()


class Killable(Served):
    """A client of such a server."""

    def __init__(self, config):
        ours, theirs = CHILDREN.Pipe(duplex=False)
        words = (os.environ["GANVAS_HOME"], config, theirs)
        self.child = CHILDREN.Process(target=serve_for_ever, args=words, daemon=True)
        self.child.start()
        assert ours.poll(60)
        self.port = ours.recv()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def kill(self):
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.join(10)
        self.http.close()


@needs_children
def test_a_killed_server_loses_nothing_that_it_had_answered(config):
    opened, told = None, []
    for kill_after in (0, 2, 5):
        server = Killable(config)
        if opened is None:
            id = server.http.post("/api/projects", json={"name": "hard"}).json()["id"]
            opened = state = server.http.post("/api/sessions", json={"seed": 5, "project": id}).json()
        else:
            state = reopened(server, opened)
            assert [step["amount"] for step in state["steps"]] == told[-1:]
            assert state["at"] == len(told)
        for amount in range(kill_after + 1):
            told.append(1 + amount / 10 + len(told) / 100)
            server.post(f"{state['id']}/set", direction="smile", amount=told[-1])
        server.kill()
    server = Killable(config)
    assert reopened(server, opened)["at"] == len(told)
    server.kill()


def test_folders_of_killed_servers_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(temp_folder.tempfile, "tempdir", str(tmp_path))
    alive, dead = TempFolder(), TempFolder()
    dead._owner.close()  # what the operating system does for the killed
    (dead.path / "x.original").write_bytes(b"x")
    (tmp_path / "ganvas-studio-theirs").mkdir()  # without a lock: not ours
    assert sweep_temp_folders() == 0  # too young: it may be about to be locked
    monkeypatch.setattr(temp_folder, "YOUNG_SEC", -1)
    assert sweep_temp_folders() == 1
    assert alive.path.is_dir() and not dead.path.exists() and (tmp_path / "ganvas-studio-theirs").is_dir()
    alive.close()
    assert not alive.path.exists()
