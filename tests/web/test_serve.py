"""`ganvas studio` as it is typed: says where it is, serves, and leaves nothing behind."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ganvas.errors import BadConfig
from ganvas.web.config import StudioConfig
from ganvas.web.serve import _listen, serve, studio_url


def test_the_address_can_be_typed():
    assert studio_url(StudioConfig()) == "http://127.0.0.1:7860/"
    assert studio_url(StudioConfig(host="::1")) == "http://[::1]:7860/"
    assert studio_url(StudioConfig(host="0.0.0.0", token="a b" * 8)).startswith("http://localhost:7860/?token=a%20b")


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadConfig, match=f"port {port}.*--port 0"):
            serve(StudioConfig(port=port))


def test_a_preview_is_sent_at_once():
    """asyncio turns Nagle's algorithm off for sockets of a named protocol only; with it each preview waited 40 ms."""

    async def delayed():
        told = asyncio.Queue()
        answer = lambda _, writer: told.put(writer.get_extra_info("socket"))  # noqa: E731
        with _listen(StudioConfig(port=0)) as listening:
            async with await asyncio.start_server(answer, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                sender = await told.get()
                off = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                writer.close()
        return not off

    assert not asyncio.run(delayed())


@pytest.mark.skipif(os.name == "nt", reason="Ctrl+C is sent as a signal")
def test_it_opens_serves_and_closes(tmp_path):
    words = [sys.executable, "-u", "-m", "ganvas", "studio", "--port", "0", "--no-browser", "--runs", str(tmp_path)]
    environment = os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    studio = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        address = re.search(r"http://\S+", studio.stdout.readline())[0]
        transport = httpx.HTTPTransport(retries=50)
        with httpx.Client(base_url=address, transport=transport, timeout=60) as http:
            assert http.get("/api/info").json()["default_model"] is None
        assert [path.name[:14] for path in Path(tmp_path).iterdir()] == ["ganvas-studio-"]
        studio.send_signal(signal.SIGINT)
        _, err = studio.communicate(timeout=60)
    finally:
        studio.kill()
    assert "Traceback" not in err and studio.returncode in (0, 130)
    assert list(tmp_path.iterdir()) == []
