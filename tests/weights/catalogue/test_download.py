"""Downloads against a server on this computer that breaks off, changes its mind, or lies."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ganvas.errors import FetchError, Stopped
from ganvas.weights.catalogue import download as room
from ganvas.weights.catalogue.download import check_url, download

CONTENT = hashlib.sha256(b"seed").digest() * 40_000  # 1.28 MB, no two places alike for long


class Server:
    """One file at /file; its behaviour is set by the test."""

    def __init__(self):
        self.content = CONTENT
        self.etag = '"one"'
        self.modified = None
        self.cut_after = []  # bytes after which to cut each of the next answers
        self.answers = []  # status codes to answer the next requests with
        self.ranges = []  # what each request asked for
        self.headers = {}  # more or other headers
        self.ignore_if_range = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if self.answers:
            request.send_response(self.answers.pop(0))
            for key, value in self.headers.items():
                request.send_header(key, value)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        same = self.ignore_if_range or request.headers.get("If-Range") in (self.etag, self.modified)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and same else 0
        if wanted and same and start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = self.content[start:]
        request.send_response(206 if wanted and same else 200)
        headers = {"Content-Length": str(len(body)), "ETag": self.etag, "Last-Modified": self.modified}
        if wanted and same:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        for key, value in (headers | self.headers).items():
            if value is not None:
                request.send_header(key, value)
        request.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else None
        with contextlib.suppress(ConnectionError):  # the client may have heard enough
            request.wfile.write(body[:cut])
        if cut is not None or "Content-Length" not in headers | self.headers:
            request.close_connection = True
            request.connection.close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(room, "PAUSE_SEC", 0.001)


def test_a_file_arrives_whole_and_progress_rises(server, tmp_path):
    seen = []
    download(server.url, tmp_path / "x.part", on_progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_connection_is_gone_on_with_by_itself(server, tmp_path):
    server.cut_after = [500_000, 300_000]
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=500000-", "bytes=800000-"]


def test_a_stopped_download_is_gone_on_with_by_the_next_call(server, tmp_path):
    def stop(done, total):
        if done > 600_000:
            raise Stopped("by the test")

    with pytest.raises(Stopped):
        download(server.url, tmp_path / "x.part", on_progress=stop)
    kept = (tmp_path / "x.part").stat().st_size
    assert 600_000 < kept < len(CONTENT)
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_what_is_complete_needs_no_server(server, tmp_path):
    download(server.url, tmp_path / "x.part")
    server.http.shutdown()
    server.http.server_close()
    download(server.url, tmp_path / "x.part", tries=1)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("validator", ["etag", "date"])
def test_another_file_under_the_same_address_is_fetched_from_the_beginning(server, tmp_path, validator):
    server.cut_after = [500_000]
    if validator == "date":
        server.etag, server.modified = None, "Mon, 01 Jan 2024 00:00:00 GMT"
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "x.part", tries=0)
    server.content = CONTENT[::-1]
    if validator == "date":
        server.modified = "Tue, 02 Jan 2024 00:00:00 GMT"
    else:
        server.etag = '"two"'
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT[::-1]


def test_a_server_that_ignores_the_condition_is_caught_by_the_size(server, tmp_path):
    server.cut_after, server.ignore_if_range = [500_000], True
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "x.part", tries=0)
    server.content, server.etag = CONTENT[::-1] + b"more", '"two"'
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT[::-1] + b"more"


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_sure_sign_nothing_is_appended(server, tmp_path, etag):
    server.cut_after, server.etag = [500_000], etag
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    server.cut_after = [500_000]
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "x.part", tries=0)
    server.content, server.ignore_if_range = CONTENT[:1000], True  # the same ETag, and yet shorter
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT[:1000]


def test_a_part_of_another_address_is_not_gone_on_with(server, tmp_path):
    server.cut_after = [500_000]
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "x.part", tries=0)
    download(server.url + "?other", tmp_path / "x.part")
    assert server.ranges == [None, None]
    assert (tmp_path / "x.part").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.answers = [503, 429]
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT


def test_a_refusal_is_final(server, tmp_path):
    server.answers = [404, 404]
    with pytest.raises(FetchError, match="answered 404"):
        download(server.url, tmp_path / "x.part")
    assert len(server.ranges) == 1


def test_giving_up_says_what_is_kept(server, tmp_path):
    server.cut_after = [500_000] + [0] * 9
    with pytest.raises(FetchError, match=r"0\.5 MB are kept.*online"):
        download(server.url, tmp_path / "x.part", tries=3)


def test_a_web_page_is_not_a_weights_file(server, tmp_path):
    server.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(FetchError, match="web page"):
        download(server.url, tmp_path / "x.part")
    assert not (tmp_path / "x.part").exists()


def test_another_size_than_known_is_refused_before_it_comes(server, tmp_path):
    with pytest.raises(FetchError, match=r"should have 1,000 bytes.*reports 1,280,000"):
        download(server.url, tmp_path / "x.part", size_bytes=1000)
    assert not (tmp_path / "x.part").exists()


def test_an_endless_answer_is_cut_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MAX_DOWNLOAD_BYTES", 300_000)
    server.headers = {"Content-Length": None, "Connection": "close"}
    with pytest.raises(FetchError, match="more bytes than expected"):
        download(server.url, tmp_path / "x.part")
    server.headers = {}
    with pytest.raises(FetchError, match="the limit is"):
        download(server.url, tmp_path / "x.part")


def test_a_packed_answer_is_refused(server, tmp_path):
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(FetchError, match="gzip"):
        download(server.url, tmp_path / "x.part")


@pytest.mark.parametrize("target", ["http://example.invalid/file", "file:///etc/hostname", "ftp://example.invalid/x"])
def test_a_redirection_to_somewhere_unsafe_is_not_followed(server, tmp_path, target):
    server.answers, server.headers = [302], {"Location": target}
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "x.part", tries=1)
    assert not (tmp_path / "x.part").exists()


def test_a_redirection_on_this_computer_is_followed(server, tmp_path):
    server.answers, server.headers = [302], {"Location": server.url}
    download(server.url, tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url", ["http://example.invalid/x", "file:///etc/passwd", "ftp://h/x", "https:///x", "x.pth", ""]
)
def test_only_https_is_fetched(url):
    with pytest.raises(FetchError, match="https"):
        check_url(url)
    check_url("https://example.invalid/x.pth")


def test_nobody_there_is_said_plainly(tmp_path):
    with pytest.raises(FetchError, match=r"cannot download http://127\.0\.0\.1:9/x.*online"):
        download("http://127.0.0.1:9/x", tmp_path / "x.part", tries=2)
