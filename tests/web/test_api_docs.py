"""The API describes itself, without anything from elsewhere, and so that another program can follow it."""

import io
import threading
import time

import httpx
import pytest
from PIL import Image

from ganvas.editing.recipe import STEPS
from ganvas.web.jobs import Job

from .conftest import changed, pixels_of, png

WITHOUT_BODY = {"undo", "redo", "use_variant", "copy_to_all", "find_faces_again", "open_photo_again", "stop_training"}


@pytest.fixture(scope="module")
def spec(studio):
    return studio.http.get("/openapi.json").json()


class Client:
    """Every operation of a described API as a method, such as `client.read_session(id=…)`."""

    def __init__(self, http):
        self.http, self.spec = http, http.get("/openapi.json").json()
        paths = self.spec["paths"].items()
        self.calls = {call["operationId"]: (how, path, call) for path, each in paths for how, call in each.items()}

    def __getattr__(self, name):
        def call(json=None, files=None, **values):
            how, path, about = self.calls[name]
            query = {one["name"] for one in about.get("parameters", []) if one["in"] == "query"}
            params = {key: value for key, value in values.items() if key in query}
            form = {key: value for key, value in values.items() if files and f"{{{key}}}" not in path}
            address = path.format(**values)
            answer = self.http.request(how, address, json=json, files=files, data=form or None, params=params)
            answer.raise_for_status()
            return answer.json() if "json" in answer.headers["content-type"] else answer.content

        return call


def test_the_api_is_described(spec):
    for path in ("/api/sessions", "/api/sessions/{id}/set", "/api/sessions/{id}/render", "/api/train", "/api/batch"):
        assert path in spec["paths"]
    names = []
    for path, methods in spec["paths"].items():
        for method, call in methods.items():
            names.append(call["operationId"])
            assert call.get("description"), path
            content = call["responses"]["200"]["content"]
            assert all(one["schema"] for one in content.values()), (method, path)
            assert call["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorAnswer")
            if method in ("post", "put", "patch") and names[-1] not in WITHOUT_BODY:
                bodies = call["requestBody"]["content"]
                assert all(body["schema"].keys() & {"$ref", "properties"} for body in bodies.values()), (method, path)
    assert len(set(names)) == len(names)


def test_every_reference_of_the_description_leads_somewhere(spec):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
            yield from (ref for value in node.values() for ref in references(value))
        elif isinstance(node, list):
            yield from (ref for value in node for ref in references(value))

    known = {f"#/components/schemas/{name}" for name in spec["components"]["schemas"]}
    assert set(references(spec)) <= known
    assert len(spec["components"]["schemas"]["Step"]["oneOf"]) == len(STEPS)


def test_the_token_is_described_where_there_is_one(open_studio, config, spec):
    assert "security" not in spec and spec["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    served = open_studio(changed(config, token="y" * 16))
    described = served.http.get("/openapi.json", headers={"authorization": f"Bearer {'y' * 16}"}).json()
    assert {"bearer": []} in described["security"]


def test_a_client_made_of_the_description_opens_edits_and_downloads(studio):
    client = Client(studio.http)
    opened = client.open_session(files={"photo": ("me.png", png(), "image/png")}, effort="fast")
    job = client.read_job(id=opened["job"]["id"], wait=60)
    assert job["state"] == "done"
    state = client.set_slider(id=opened["id"], json={"direction": "smile", "amount": 1.5})
    assert state["steps"][0]["step"] == "move"
    state = client.do_step(id=opened["id"], json={"step": "mix", "seed": 5, "part": "colour", "strength": 0.7})
    assert state["steps"][1]["strength"] == 0.7
    job = client.render(id=opened["id"], json={"format": "png"})
    assert client.read_job(id=job["id"], wait=60)["result"]["width"] == 90
    edited = client.download_result(id=opened["id"])
    assert Image.open(io.BytesIO(edited)).size == (90, 60) and (pixels_of(edited) != pixels_of(png())).any()
    assert client.replay(id=opened["id"], json=client.read_recipe(id=opened["id"]))["at"] == 3
    with pytest.raises(httpx.HTTPStatusError):
        client.do_step(id=opened["id"], json={"step": "mix", "seeed": 5})
    assert client.start_from_seed(json={"seed": 3})["is_seed"]
    assert client.close_session(id=opened["id"]) == {"closed": opened["id"]}


def test_a_job_can_be_waited_for(studio):
    gate, jobs = threading.Event(), studio.inside.jobs
    job = jobs.start(Job("long", lambda job: gate.wait(20) and {"here": True}))
    begun = time.monotonic()
    assert studio.http.get(f"/api/jobs/{job.id}", params={"wait": 0.3}).json()["state"] == "running"
    assert time.monotonic() - begun >= 0.3
    threading.Timer(0.2, gate.set).start()
    assert studio.http.get(f"/api/jobs/{job.id}", params={"wait": 30}).json()["result"] == {"here": True}
    assert studio.http.get(f"/api/jobs/{job.id}", params={"wait": 30}).json()["state"] == "done"  # at once
    assert time.monotonic() - begun < 20
    for wait in (-1, 61, "nan"):
        assert studio.http.get(f"/api/jobs/{job.id}", params={"wait": wait}).status_code == 422


def test_the_manual_loads_nothing_from_elsewhere(studio):
    page = studio.http.get("/docs")
    assert page.status_code == 200
    assert "/api/sessions/{id}/set" in page.text and "direction" in page.text
    assert "http://" not in page.text and "https://" not in page.text
    assert "<script" not in page.text
    assert studio.http.get("/static/manual.css").status_code == 200
