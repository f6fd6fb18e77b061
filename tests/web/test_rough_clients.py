"""Clients that are slow, silent, many, or send what no disk can hold: others are served meanwhile."""

import errno
import json
import socket
import time

import pytest

from ganvas.errors import BadConfig, UnwritableFile
from ganvas.web import http_protocol
from ganvas.web.config import StudioConfig
from ganvas.web.errors import error_as_data, status_of
from ganvas.web.studio import Studio

from ..images.test_limits import jpeg_of_scans
from .conftest import png


@pytest.fixture(scope="module")
def config(workplace):
    return StudioConfig(port=0, runs=workplace / "runs", data_root=workplace, sessions=4)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(http_protocol, "HEADER_SEC", 0.5)
    monkeypatch.setattr(http_protocol, "BODY_CHECK_SEC", 0.5)


def connect(studio):
    return socket.create_connection(("127.0.0.1", studio.port), timeout=20)


def closed_within(connection, sec):
    """Whether the studio ends it in this time."""
    connection.settimeout(sec)
    try:
        return connection.recv(4096) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def drip(connection, data, sec):
    """Send a letter at a time; how long the studio listened."""
    started = time.monotonic()
    try:
        while time.monotonic() - started < sec:
            connection.sendall(data)
            time.sleep(0.05)
    except OSError:
        pass
    return time.monotonic() - started


def test_silent_connections_lock_nobody_out(studio):
    silent = [connect(studio) for _ in range(420)]
    try:
        for _ in range(3):
            started = time.monotonic()
            assert studio.http.get("/api/info", headers={"connection": "close"}).status_code == 200
            assert time.monotonic() - started < 5  # 1 s where nothing else runs
        assert closed_within(silent[0], 5)  # the oldest has gone
    finally:
        for connection in silent:
            connection.close()


def test_a_connection_without_a_request_is_closed(studio, impatient):
    assert closed_within(connect(studio), 10)


def test_a_header_that_comes_letter_by_letter_is_cut_off(studio, impatient):
    with connect(studio) as connection:
        connection.sendall(b"GET /api/info HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert drip(connection, b"a", 15) < 10
    assert studio.http.get("/api/info").status_code == 200


def test_so_is_the_second_one_of_a_connection(studio, impatient):
    with connect(studio) as connection:
        connection.sendall(b"GET /api/info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.settimeout(20)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /api/info HT")
        assert drip(connection, b"T", 15) < 10


def test_a_body_that_does_not_come_is_cut_off(studio, impatient):
    head = b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with connect(studio) as connection:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n")
        assert drip(connection, b" ", 15) < 10


def test_a_body_at_an_ordinary_rate_arrives(studio, impatient):
    """Over more time than a check takes."""
    photo = png()
    body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + photo + b"\r\n--x--\r\n"
    head = f"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    with connect(studio) as connection:
        connection.sendall(
            head.encode() + b"Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n"
        )
        step = len(body) // 8 + 1
        for at in range(0, len(body), step):
            connection.sendall(body[at : at + step])
            time.sleep(0.2)
        connection.settimeout(30)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_too_many_requests_at_once_are_told_to_come_again(studio, monkeypatch):
    monkeypatch.setattr(http_protocol, "MAX_REQUESTS_PER_ADDRESS", 0)
    answer = studio.http.get("/api/info")
    assert answer.status_code == 429 and answer.headers["retry-after"]
    monkeypatch.undo()
    assert studio.http.get("/api/info").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/train", {"data": "\ud800"}),
        ("/api/train", {"data": "pictures", "name": "a\udfff"}),
        ("/api/sessions", {"seed": 1, "model": "\ud800"}),
        ("/api/directions/learn", {"model": "\ud800"}),
    ],
)
def test_half_a_pair_of_surrogates_is_bad_input(studio, path, body):
    answer = studio.http.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"]


def test_where_nothing_can_be_kept_photos_can_be_edited_until_the_studio_closes(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file where a folder should be")
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    unkept = Studio(StudioConfig(runs=tmp_path, data_root=tmp_path))
    try:
        project = unkept.projects.create("holiday")
        assert [one.id for one in unkept.projects.list()] == [project.id]
    finally:
        unkept.close()
    assert not unkept.folder.exists()
    chosen = Studio(StudioConfig(runs=tmp_path, projects=tmp_path / "home"))
    with pytest.raises(BadConfig, match="cannot be kept"):  # a folder that was asked for is another matter
        chosen.projects.list()
    chosen.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_says_so(number):
    unwritable = UnwritableFile("cannot write /somewhere/private")
    unwritable.errno = number
    for error in (OSError(number, "No space left on device", "/somewhere/private"), unwritable):
        assert status_of(error) == 507
        assert error_as_data(error)["kind"] == "NoRoom" and "private" not in error_as_data(error)["message"]


def test_a_photo_on_a_full_disk_is_refused_and_the_next_one_taken(studio, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("starlette.formparsers.SpooledTemporaryFile", full)
        answer = studio.http.post("/api/sessions", files={"photo": ("a.png", png(), "image/png")})
    assert answer.status_code == 507 and "No space left" in answer.json()["error"]["message"]
    assert studio.open()["id"]


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once(studio):
    started = time.monotonic()
    answer = studio.http.post("/api/sessions", files={"photo": ("a.jpg", jpeg_of_scans(3000), "image/jpeg")})
    assert answer.status_code == 422 and "scans" in answer.json()["error"]["message"]
    assert time.monotonic() - started < 5  # 1 s where nothing else runs


def test_the_description_of_the_api_needs_the_token(open_studio, config):
    from .conftest import changed

    guarded = open_studio(changed(config, token="correct horse battery staple"))
    for path in ("/docs", "/openapi.json"):
        assert guarded.http.get(path).status_code == 401
        assert guarded.http.get(path, params={"token": "correct horse battery staple"}).status_code == 200
