"""A real studio on a loopback port, with a tiny generator and two sliders; one for each file of tests."""

import io
import json
import os
import threading
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from websockets.sync.client import connect

import ganvas
from ganvas.editing.directions import Direction, save_directions
from ganvas.web.config import StudioConfig
from ganvas.web.serve import server_config
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}


@pytest.fixture(scope="module", autouse=True)
def ganvas_home(tmp_path_factory):
    """One store for all tests of a file, since its studio lives as long."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("ganvas_home")
        patch.setenv("GANVAS_HOME", str(home))
        yield home


@pytest.fixture(scope="module", autouse=True)
def quick_studio(short_searches):
    """No test of the studio waits for a long search."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, ganvas_home):
    """A folder with a run that has made a generator, and two directions of it in the user's own folder."""
    folder = tmp_path_factory.mktemp("workplace")
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)
    (folder / "runs" / "tiny").mkdir(parents=True)
    ganvas.save(G, folder / "runs" / "tiny" / "model.safetensors")
    rng = torch.Generator().manual_seed(3)
    learnt = [
        Direction(name, 3 * torch.randn(1, 16, generator=rng), fingerprint=fingerprint(G)) for name in ("smile", "age")
    ]
    (store.home() / "directions").mkdir(parents=True)
    save_directions(learnt, store.home() / "directions" / "mine.safetensors", licence="CC0-1.0", origin="a test")
    return folder


@pytest.fixture(scope="module")
def config(workplace):
    return StudioConfig(port=0, runs=workplace / "runs", data_root=workplace, idle_sec=600, sessions=64)


@pytest.fixture(scope="module")
def open_studio():
    """open_studio(config) → a Studio client; closed at the end of the file."""
    servers = []

    def start(config):
        servers.append(Served(config))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def studio(open_studio, config):
    return open_studio(config)


@pytest.fixture(scope="module")
def chromium():
    from .browser import CHROMIUM, sync_api  # not every machine has them; tests that ask for this fixture do

    with sync_api.sync_playwright() as play:
        options = {"args": ["--no-sandbox"]} if os.geteuid() == 0 else {}
        browser = play.chromium.launch(executable_path=CHROMIUM, **options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, studio):
    """open_page(**context) → a page of the studio, without fades; what the browser complains about fails the test."""
    from .browser import LONG_MS

    contexts, complaints = [], []

    def start(**how):
        how = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "reduced_motion": "reduce"} | how
        contexts.append(chromium.new_context(**how))
        page = contexts[-1].new_page()
        page.set_default_timeout(LONG_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(f"{said.text} {said.location}"))
        page.on("filechooser", lambda _: None)  # expect_file_chooser alone asks for it too late, now and then
        page.goto(studio.url)
        page.wait_for_selector("html[data-ready]")
        return page

    start.complaints = complaints
    yield start
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def ready(page, studio):
    """A page with a picture of seed 1, ready to be edited."""
    from .browser import seed

    seed(page, studio, 1)
    return page


class Served:
    """A server in a thread, and a client that talks to it as curl would."""

    def __init__(self, config):
        self.server = uvicorn.Server(server_config(config))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 30
        while not self.server.started:
            assert time.monotonic() < deadline and self.thread.is_alive()
            time.sleep(0.02)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)

    @property
    def inside(self):
        """The Studio object itself."""
        app = self.server.config.app
        return app.state.studio

    def stop(self):
        self.http.close()
        self.server.should_exit = True
        self.thread.join(20)

    def open(self, photo=None, **fields):
        """A session of a photo."""
        answer = self.http.post("/api/sessions", files={"photo": ("me.png", photo or png(), "image/png")}, data=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def seed(self, seed=1):
        answer = self.http.post("/api/sessions", json={"seed": seed})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ready(self, photo=None):
        """The id of a session that is ready to be edited."""
        opened = self.open(photo, effort="fast")
        done = self.wait(opened["job"])
        assert done["state"] == "done", done
        return opened["id"]

    def post(self, path, status=200, **body):
        answer = self.http.post(f"/api/sessions/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def wait(self, job):
        """The job when it has ended."""
        deadline = time.monotonic() + 60
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
            job = self.http.get(f"/api/jobs/{job['id']}").json()
        return job

    def saved(self, id, **how):
        """The rendered file."""
        job = self.wait(self.post(f"{id}/render", **how))
        assert job["state"] == "done", job
        return self.http.get(f"/api/sessions/{id}/result")

    def socket(self, id, **more):
        return connect(f"ws://127.0.0.1:{self.port}/api/sessions/{id}/events", **({"origin": self.url} | more))


def png(width=90, height=60, seed=1):
    """The bytes of a photo: noise over a slope."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    pixels = (slope + rng.integers(0, 30, (height, width, 3))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def heard(socket, wanted, *, sec=20):
    """The next message that `wanted` takes; binary ones come as bytes."""
    deadline = time.monotonic() + sec
    while True:
        message = socket.recv(timeout=max(0.01, deadline - time.monotonic()))
        message = message if isinstance(message, bytes) else json.loads(message)
        if wanted(message):
            return message


def changed(config, **fields):
    return replace(config, **fields)
