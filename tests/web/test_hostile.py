"""What others may try: each gets a clear refusal, and the studio goes on as if nothing had been."""

import asyncio
import gc
import io
import json
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ganvas.images.png16 import PNG_SIGNATURE, png_chunk
from ganvas.web.config import StudioConfig
from ganvas.web.errors import public_message
from ganvas.web.studio import release_memory

from .conftest import changed, heard, png

LIMIT = 300_000  # bytes of an upload


@pytest.fixture(scope="module")
def config(workplace):
    return StudioConfig(
        port=0,
        runs=workplace / "runs",
        data_root=workplace,
        upload_bytes=LIMIT,
        upload_pixels=2_000_000,
        sessions=6,
        uploads=2,
        waiting_uploads=8,
        idle_sec=600,
        vanish_sec=300,
    )


@pytest.fixture(autouse=True)
def alive(studio):
    """After every test: the studio answers, and everything that was opened is closed."""
    yield
    assert studio.http.get("/api/info").status_code == 200
    for desk in list(studio.inside.open_photos.values()):
        studio.inside.close_photo(desk)


def refused(answer, status):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"] and "Traceback" not in answer.text and "/tmp" not in answer.text
    return error


# -- other sites


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "a" * 300, "[::1"])
def test_another_name_for_this_computer_is_refused(studio, host):
    refused(studio.http.get("/api/info", headers={"host": host}), 403)
    assert studio.http.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"])
def test_our_own_names_are_not(studio, host):
    assert studio.http.get("/api/info", headers={"host": f"{host}:{studio.port}"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://["])
def test_a_page_of_another_origin_is_refused(studio, origin):
    id = studio.seed()["id"]
    for method, path in (
        ("POST", "/api/sessions"),
        ("POST", f"/api/sessions/{id}/undo"),
        ("DELETE", f"/api/sessions/{id}"),
        ("PUT", f"/api/sessions/{id}/recipe"),
        ("GET", "/api/info"),
    ):
        refused(studio.http.request(method, path, headers={"origin": origin}, json={"seed": 1}), 403)
    with pytest.raises(InvalidStatus), studio.socket(id, origin=origin):
        pass


def test_pictures_cannot_be_shown_on_other_sites(studio):
    id = studio.seed()["id"]
    picture = f"/api/sessions/{id}/photo.jpg"
    refused(studio.http.get(picture, headers={"sec-fetch-site": "cross-site"}), 403)
    headers = studio.http.get(picture).headers
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "no-store" in headers["cache-control"]


def test_our_own_page_and_plain_clients_are_welcome(studio):
    assert studio.http.post("/api/sessions", json={"seed": 1}, headers={"origin": studio.url}).status_code == 200
    id = studio.seed()["id"]
    with studio.socket(id), studio.socket(id, origin=None):
        pass


def test_with_a_token_nothing_is_told_without_it(open_studio, config):
    token = "correct horse battery staple"
    guarded = open_studio(changed(config, token=token))
    assert guarded.http.get("/").status_code in (200, 404)  # the page asks for it
    error = refused(guarded.http.get("/api/info"), 401)
    assert "token" in error["message"]
    refused(guarded.http.get("/api/info", headers={"authorization": "Bearer wrong"}), 401)
    refused(guarded.http.get("/api/info", params={"token": "größe"}), 401)
    assert guarded.http.get("/api/info", params={"token": token}).status_code == 200
    guarded.http.headers["authorization"] = f"Bearer {token}"
    id = guarded.seed()["id"]
    with pytest.raises(InvalidStatus), guarded.socket(id):
        pass
    with guarded.socket(f"{id}", additional_headers={"authorization": f"Bearer {token}"}) as connection:
        assert heard(connection, lambda m: True)["type"] == "state"


def test_other_addresses_need_a_token():
    with pytest.raises(ValueError, match="token"):
        StudioConfig(host="0.0.0.0")
    with pytest.raises(ValueError, match="16 characters"):
        StudioConfig(token="short")
    assert StudioConfig(host="0.0.0.0", token="x" * 16).local is False


# -- too much


def form_of(data, name="photo"):
    head = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n' % name.encode()
    return head + data + b"\r\n--b--\r\n"


FORM = {"content-type": "multipart/form-data; boundary=b"}


def test_what_announces_too_much_is_refused_before_it_comes(studio):
    with socket.create_connection(("127.0.0.1", studio.port), timeout=10) as raw:
        raw.sendall(
            b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert b"413" in raw.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("path", ["/api/sessions", "/api/sessions/x/set", "/api/train", "/api/sessions/x/region"])
def test_what_comes_without_end_is_cut_off(studio, path):
    sent = 0

    def endless():
        nonlocal sent
        for _ in range(4000):
            sent += 65536
            yield b"x" * 65536

    try:
        answer = studio.http.post(path, content=endless(), headers=FORM)
        assert answer.status_code in (400, 404, 413, 415, 422), answer.text
    except httpx.TransportError:
        pass  # it hung up on us
    assert sent < 100 * 2**20


def test_a_body_that_is_longer_than_it_said(studio):
    with socket.create_connection(("127.0.0.1", studio.port), timeout=10) as raw:
        body = form_of(png())
        head = "POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: 40\r\n\r\n"
        raw.sendall((head % FORM["content-type"]).encode() + body)
        assert raw.recv(4096).split(b" ")[1] in (b"400", b"413", b"422")


def test_a_file_over_the_limit(studio):
    error = refused(studio.http.post("/api/sessions", files={"photo": b"x" * (LIMIT + 1)}), 413)
    assert "300,000" in error["message"] + str(error["hint"])
    refused(studio.http.post("/api/sessions", files={"photo": b""}), 400)


def test_an_upload_that_never_ends_is_given_up(studio, monkeypatch):
    with monkeypatch.context() as patch, socket.create_connection(("127.0.0.1", studio.port), timeout=60) as raw:
        patch.setattr(studio.inside, "config", replace(studio.inside.config, upload_sec=0.1))
        raw.sendall(
            b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 5000\r\n\r\n--b\r\n"
        )
        assert b"408" in raw.recv(4096).split(b"\r\n")[0]
    assert studio.open()["id"]


def bomb(width, height):
    """A small PNG that unfolds to width x height black pixels."""
    rows = zlib.compress(b"\0" * min((width * 3 + 1) * height, 50_000_000), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def text_bomb():
    """A picture with a text that unfolds to 200 MB."""
    packed = zlib.compress(b"a" * 200_000_000, 9)
    at = len(PNG_SIGNATURE) + 25
    whole = png()
    return whole[:at] + png_chunk(b"zTXt", b"Comment\0\0" + packed) + whole[at:]


@pytest.mark.parametrize(
    "data",
    [
        bomb(50_000, 50_000),
        bomb(3000, 3000),
        b"GIF89a" + b"\xff" * 50,
        b"\xff\xd8\xff\xe0" + b"\0" * 40,
        b"<svg/>",
        b"PK\3\4",
    ],
    ids=["huge", "large", "gif", "jpeg", "svg", "zip"],
)
def test_bombs_and_broken_files(studio, data):
    error = refused(studio.http.post("/api/sessions", files={"photo": data}), 422)
    assert error["kind"] == "BadImage"


def test_a_text_that_unfolds_is_not_unfolded(studio):
    answer = studio.http.post("/api/sessions", files={"photo": text_bomb()})
    assert answer.status_code in (200, 422)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"no form", FORM, 400),
        (b"", FORM, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{", {"content-type": "application/json"}, 422),
        (b"[" * 50_000, {"content-type": "application/json"}, 422),
        (b'{"seed": -1}', {"content-type": "application/json"}, 422),
        (b'{"seed": 1, "model": "../../etc/passwd"}', {"content-type": "application/json"}, 422),
        (b'{"seed": 1, "model": "/etc/passwd"}', {"content-type": "application/json"}, 422),
        (b'{"seed": 1, "extra": 1}', {"content-type": "application/json"}, 422),
        (form_of(png(), "other"), FORM, 400),
        (form_of(png()), {"content-type": "multipart/form-data"}, 400),
        (b"".join(form_of(b"1", f"f{i}")[:-8] for i in range(200)) + b"--b--\r\n", FORM, 400),
    ],
)
def test_bodies_that_are_none(studio, content, headers, status):
    refused(studio.http.post("/api/sessions", content=content, headers=headers), status)


# -- paths


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/api/runs/..%2f..%2fx/curves.png",
        "/api/models/..%2f..%2fetc%2fpasswd/samples.jpg",
        "/api/sessions/..%2f..%2fetc/preview.jpg",
        "/api/directions/..%2fx/sheet.jpg",
        "/api/batch/..%2f..%2fx/result.zip",
        "/api/nothing",
        "/.env",
    ],
)
def test_paths_lead_nowhere(studio, path):
    with socket.create_connection(("127.0.0.1", studio.port), timeout=10) as raw:  # httpx would tidy the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := raw.recv(65536):
            answer += part
    assert answer.split(b" ")[1] in (b"404", b"422", b"403")
    assert b"StudioConfig" not in answer and b"root:" not in answer


def test_a_clients_name_for_a_file_is_never_a_path(studio):
    files = {"photo": ("../../../etc/cron.d/evil\r\nX: y.png", png(), "image/png")}
    opened = studio.http.post("/api/sessions", files=files).json()
    assert "/" not in opened["name"] and "\n" not in opened["name"]
    names = {path.name for path in studio.inside.folder.iterdir()} - {"owner.lock"}
    assert names == {f"{opened['id']}.original"}


# -- recipes and steps


def test_broken_recipes(studio):
    id = studio.seed()["id"]
    good = studio.http.get(f"/api/sessions/{id}/recipe").json()

    def put(**fields):
        return refused(studio.http.put(f"/api/sessions/{id}/recipe", json=good | fields), 422)

    put(steps=[{"step": "__import__"}])
    put(steps="x")
    put(steps=[{"step": "move", "direction": "smile", "amount": 1e300}])
    put(steps=[{"step": "move", "direction": "smile"}] * 2000)
    put(steps=[{"step": "upscale", "model": "/etc/passwd"}])
    put(steps=[{"step": "stylise", "style": "../x"}])
    put(format="other")
    put(fingerprint="0" * 64)
    put(model=7)
    assert studio.http.put(f"/api/sessions/{id}/recipe", content=b"[" * 100_000).status_code == 422
    studio.post(f"{id}/do", 422, step="move", direction="smile", amount="NaN")
    answer = studio.http.post(
        f"/api/sessions/{id}/set",
        content=b'{"direction": "smile", "amount": NaN}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    assert studio.http.get(f"/api/sessions/{id}").json()["steps"] == []


def test_what_we_did_not_foresee_is_told_without_details(studio, monkeypatch):
    def broken(*args, **more):
        raise RuntimeError("secret /home/somebody/model.py")

    monkeypatch.setattr("ganvas.web.routes.sessions.open_upload", broken)
    answer = studio.http.post("/api/sessions", files={"photo": png()})
    assert answer.status_code == 500
    assert answer.json()["error"]["kind"] == "Internal"
    assert "secret" not in answer.text and "Traceback" not in answer.text


def test_paths_are_taken_out_of_messages():
    said = public_message(
        Exception("cannot read /home/me/.cache/ganvas/x.pt: see https://a.example/b/c, or C:\\Users\\me\\y.png")
    )
    assert said == "cannot read x.pt: see https://a.example/b/c, or y.png"
    assert public_message(Exception("1/2 of 3 and/or so")) == "1/2 of 3 and/or so"


# -- many at once


def test_two_users_see_nothing_of_each_other(studio):
    mine, yours = studio.ready(), studio.ready(png(seed=8))
    assert len(mine) > 30 and mine != yours
    before = studio.http.get(f"/api/sessions/{yours}/preview.jpg").content
    with studio.socket(yours) as listening:
        heard(listening, lambda m: m["type"] == "state")
        studio.post(f"{mine}/set", direction="smile", amount=3)
        job = studio.wait(studio.post(f"{mine}/render"))
        assert job["state"] == "done"
        with pytest.raises(TimeoutError):
            listening.recv(timeout=0.3)
    assert studio.http.get(f"/api/sessions/{yours}/preview.jpg").content == before
    assert studio.http.get(f"/api/sessions/{yours}/result").status_code == 404
    assert studio.http.get("/api/sessions").status_code == 405  # nobody is told who is here
    with studio.socket(yours) as other:
        other.send(json.dumps({"type": "cancel", "job": job["id"]}))
        assert studio.http.get(f"/api/jobs/{job['id']}").json()["state"] == "done"


def test_two_hundred_uploads_at_once(studio):
    def upload(_):
        try:
            return client.post("/api/sessions", files={"photo": photo}).status_code
        except httpx.TransportError:
            return 0

    photo = png()
    with httpx.Client(base_url=studio.url, timeout=60) as client, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(upload, range(200)))
    assert set(answers) <= {200, 429, 503}
    assert answers.count(200) == 6  # as many as have room
    assert len(studio.inside.open_photos) == 6
    assert studio.inside.uploads.waiting == 0


def test_the_oldest_forgotten_photo_makes_room(studio):
    opened = [studio.open()["id"] for _ in range(6)]
    assert studio.http.post("/api/sessions", files={"photo": png()}).status_code == 429
    studio.inside.open_photos[opened[2]].last_request_sec -= 1000
    assert studio.open()["id"]
    assert studio.http.get(f"/api/sessions/{opened[2]}").status_code == 404
    assert studio.http.get(f"/api/sessions/{opened[3]}").status_code == 200


def test_too_many_jobs_are_refused(studio):
    gate = threading.Event()
    studio.inside.jobs.submit(lambda: gate.wait(20))
    try:
        answers = [studio.http.post("/api/directions/find", json={"model": "runs/tiny"}).status_code for _ in range(20)]
    finally:
        gate.set()
    assert answers == [200] * 16 + [429] * 4
    jobs = list(studio.inside.jobs._jobs.values())
    for job in jobs:
        studio.inside.jobs.cancel(job)
    assert all(job.ended.wait(60) for job in jobs)


# -- those who vanish


def test_a_client_that_vanishes_in_the_middle_of_a_job(studio):
    opened = studio.open()
    with studio.socket(opened["id"]) as listening:
        job = studio.post(f"{opened['id']}/invert", effort="best")
        heard(listening, lambda m: not isinstance(m, bytes) and m["type"] == "preview")
        listening.socket.shutdown(socket.SHUT_RDWR)  # no goodbye
    inside, photo = studio.inside.jobs.find(job["id"]), studio.inside.open_photos[opened["id"]]
    deadline = time.monotonic() + 60
    while photo.listeners:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    studio.inside.sweep()
    assert not inside.cancel_requested.is_set()  # it may be back in a moment
    while not inside.cancel_requested.is_set():
        go_away(photo)
        studio.inside.sweep()
        assert time.monotonic() < deadline
    assert inside.ended.wait(60) and inside.state == "cancelled"
    assert studio.http.get(f"/api/sessions/{opened['id']}").json()["state"] == "faces"  # it may come back


def test_a_client_without_a_connection_that_still_asks_has_not_vanished(studio, monkeypatch):
    sweep = studio.inside.sweep
    monkeypatch.setattr(studio.inside, "sweep", lambda: None)  # the server's own would come between time and question
    opened = studio.open()
    with studio.socket(opened["id"]):
        pass
    job = studio.post(f"{opened['id']}/invert", effort="best")
    for _ in range(3):
        go_away(studio.inside.open_photos[opened["id"]])
        assert studio.http.get(f"/api/jobs/{job['id']}").json()["state"] != "cancelled"
        sweep()
    assert not studio.inside.jobs.find(job["id"]).cancel_requested.is_set()


def go_away(photo):
    """Its client has been silent for longer than `vanish_sec`, though not yet for `idle_sec`."""
    photo.disconnected_sec = photo.last_request_sec = time.monotonic() - 450


def test_a_client_that_vanishes_in_the_middle_of_an_upload(studio):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", studio.port)) as raw:
            raw.sendall(
                b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 200000\r\n\r\n" + form_of(png())[:5000]
            )
    assert studio.open()["id"]
    assert studio.inside.uploads.waiting == 0


def test_a_socket_that_says_nonsense(studio):
    id = studio.seed()["id"]
    with studio.socket(id) as talking:
        for nonsense in ("{", "[]", "7", '{"type": 7}', '{"type": "slide", "amount": {}}', "[" * 10_000, "x" * 20_000):
            talking.send(nonsense)
            assert heard(talking, lambda m: not isinstance(m, bytes) and m["type"] == "error")["message"]
        talking.send("x" * 200_000)
        with pytest.raises(ConnectionClosed):
            heard(talking, lambda m: False)
    with studio.socket("nothing") as talking, pytest.raises(ConnectionClosed) as closed:
        talking.recv(timeout=10)
    assert closed.value.rcvd.code == 4404


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_comes_back_when_clients_vanish(studio):
    photo = large_photo()

    def visit():
        ids = [studio.open(photo)["id"] for _ in range(5)]
        for id in ids:
            studio.http.get(f"/api/sessions/{id}/photo.jpg", params={"size": 1000})
        full = resident()
        for id in ids:
            desk = studio.inside.open_photos[id]
            desk.last_request_sec -= 10_000  # nobody came back
        studio.inside.sweep()
        assert not studio.inside.open_photos
        return full

    visit()  # what is read and kept on first use is not what vanishes
    settle(studio)
    before = resident()
    full = visit()
    settle(studio)
    assert full > before + 30e6  # five photos of 1.9 million pixels were there
    assert resident() < 1.1 * before


def large_photo():
    """1.9 million pixels in a small file."""
    file = io.BytesIO()
    slope = np.linspace(0, 255, 1600 * 1200).reshape(1200, 1600)
    Image.fromarray(slope.astype(np.uint8)).convert("RGB").save(file, "JPEG", quality=60)
    assert file.tell() < LIMIT
    return file.getvalue()


def settle(studio):
    studio.inside.jobs.submit(release_memory).result(30)
    gc.collect()


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_watcher_that_does_not_read_costs_little():
    from ganvas.web.watchers import MAX_QUEUED_EVENTS, EventQueue

    async def flood():
        watcher = EventQueue()
        for seq in range(1000):
            watcher.send(({"type": "preview", "seq": seq}, b"x"))
        await asyncio.sleep(0.05)
        return watcher._events.qsize()

    assert asyncio.run(flood()) <= MAX_QUEUED_EVENTS
