"""`ganvas studio` as it is typed: says where it is, serves, and leaves nothing behind."""

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
from ganvas.web.serve import address_of, serve


def test_the_address_can_be_typed():
    assert address_of(StudioConfig()) == "http://127.0.0.1:7860/"
    assert address_of(StudioConfig(host="::1")) == "http://[::1]:7860/"
    assert address_of(StudioConfig(host="0.0.0.0", token="a b" * 8)).startswith("http://localhost:7860/?token=a%20b")


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadConfig, match=f"port {port}.*--port 0"):
            serve(StudioConfig(port=port))


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
