"""Many people at one studio: what they are answered, how soon, and in how much memory.

    python benchmarks/load.py                                  # 20 clients for 120 seconds, a tiny generator
    python benchmarks/load.py --model faces --clients 4

Each client opens a session, moves a slider (POST set, GET preview.jpg), and now and then renders and fetches the
result. Below the limit of sessions all answers should be 200; above it 429 with Retry-After, never 5xx. Then silent
connections, headers that come letter by letter and a JPEG of 3,000 scans: others should be served within a second where
nothing else runs on the machine; the load is printed.
"""

from __future__ import annotations

import argparse
import collections
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import torch
from PIL import Image

import ganvas
from ganvas.editing.directions import Direction, save_directions
from ganvas.weights.checkpoint import fingerprint

TINY = {
    "img_resolution": 64,
    "channel_base": 1024,
    "channel_max": 32,
    "z_dim": 32,
    "w_dim": 32,
    "num_mapping_layers": 2,
}
SLIDES_A_RENDER = 8
IDLE, DRIPPING = 420, 50


class Studio:
    """A studio in a process of its own."""

    def __init__(self, model: str, sessions: int, folder: Path):
        words = [sys.executable, "-u", "-m", "ganvas", "studio", "--no-browser", "--port", "0", "--model", model]
        words += ["--sessions", str(sessions), "--projects", str(folder / "projects"), "--runs", str(folder / "runs")]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+?:(\d+)", self.process.stdout.readline())
        assert found, "the studio did not open"
        self.port = int(found[1])

    def client(self) -> httpx.Client:
        """A connection of its own, as each person has."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120)

    @property
    def memory_mb(self) -> float:
        """Resident; nan where the system does not tell."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return float("nan")
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


class Answers:
    """Statuses and times by kind of request."""

    def __init__(self) -> None:
        self.statuses: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        self.times: dict[str, list[float]] = collections.defaultdict(list)
        self.without_retry_after = 0

    def ask(self, client: httpx.Client, kind: str, method: str, path: str, **options: object) -> httpx.Response:
        """One request, noted."""
        start = time.perf_counter()
        answer = client.request(method, path, **options)  # type: ignore[arg-type]
        self.times[kind].append(time.perf_counter() - start)
        self.statuses[kind][answer.status_code] += 1
        self.without_retry_after += answer.status_code == 429 and "retry-after" not in answer.headers
        return answer

    def describe(self) -> None:
        """A line for each kind."""
        for kind, times in self.times.items():
            ordered, statuses = sorted(times), dict(self.statuses[kind])
            p50, p95, p99 = (
                1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.95, 0.99)
            )
            print(f"  {kind:8} {len(times):6} answers {statuses}: p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms")

    @property
    def share_ok(self) -> float:
        """Of all answers, those with 200."""
        total = sum(sum(each.values()) for each in self.statuses.values())
        return sum(each[200] for each in self.statuses.values()) / max(total, 1)


def work(studio: Studio, seed: int, direction: str, until: float, answers: Answers) -> None:
    """One person at work."""
    with studio.client() as client:
        opened = answers.ask(client, "open", "POST", "/api/sessions", json={"seed": seed})
        if opened.status_code != 200:
            return
        place, moves = f"/api/sessions/{opened.json()['id']}", 0
        while time.monotonic() < until:
            amount = (moves % 13 - 6) / 3
            answers.ask(client, "set", "POST", f"{place}/set", json={"direction": direction, "amount": amount})
            answers.ask(client, "preview", "GET", f"{place}/preview.jpg")
            moves += 1
            if moves % SLIDES_A_RENDER == 0:
                render(client, place, answers)
        answers.ask(client, "close", "DELETE", place)


def render(client: httpx.Client, place: str, answers: Answers) -> None:
    """The whole picture, from the request to its bytes."""
    job = answers.ask(client, "render", "POST", f"{place}/render", json={"format": "jpeg"})
    while job.status_code == 200 and job.json()["state"] in ("queued", "running"):
        time.sleep(0.1)
        job = answers.ask(client, "job", "GET", f"/api/jobs/{job.json()['id']}")
    if job.status_code == 200:
        answers.ask(client, "result", "GET", f"{place}/result")


def run_clients(studio: Studio, count: int, seconds: float, direction: str) -> Answers:
    """So many people at once; memory is printed on the way."""
    answers, until = Answers(), time.monotonic() + seconds
    people = [threading.Thread(target=work, args=(studio, k, direction, until, answers)) for k in range(count)]
    for person in people:
        person.start()
    memory = []
    while any(person.is_alive() for person in people):
        time.sleep(min(seconds / 8, 15))
        memory.append(round(studio.memory_mb))
    print(f"{count} clients, {seconds:g} s: {100 * answers.share_ok:.2f} % of answers are 200; memory {memory} MB")
    answers.describe()
    return answers


def slowest_info(studio: Studio, seconds: float) -> float:
    """The slowest of the answers to somebody else meanwhile."""
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.perf_counter()
        with studio.client() as client:
            assert client.get("/api/info").status_code == 200
        slowest = max(slowest, time.perf_counter() - start)
    return slowest


def drip(studio: Studio, until: float) -> None:
    """A header, letter by letter."""
    try:
        with socket.create_connection(("127.0.0.1", studio.port)) as connection:
            connection.sendall(b"GET /api/info HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            while time.monotonic() < until:
                connection.sendall(b"a")
                time.sleep(0.3)
    except OSError:  # cut off, as it should be
        return


def be_rough(studio: Studio) -> None:
    """Silent, slow and hostile clients, and how soon others are served."""
    print(f"others are served within: {slowest_info(studio, 5):.2f} s when all is quiet", flush=True)
    silent = [socket.create_connection(("127.0.0.1", studio.port)) for _ in range(IDLE)]
    print(f"  {slowest_info(studio, 8):.2f} s beside {IDLE} silent connections", flush=True)
    for connection in silent:
        connection.close()
    until = time.monotonic() + 10
    slow = [threading.Thread(target=drip, args=(studio, until), daemon=True) for _ in range(DRIPPING)]
    for each in slow:
        each.start()
    print(f"  {slowest_info(studio, 8):.2f} s beside {DRIPPING} headers that come letter by letter", flush=True)
    file = io.BytesIO()
    Image.effect_noise((2000, 2000), 40).convert("RGB").save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rfind(b"\xff\xda") : -2]
    bomb = whole[:-2] + last[:2000] * 3000 + b"\xff\xd9"
    statuses: list[int] = []

    def send() -> None:
        with studio.client() as client:
            statuses.extend(
                client.post("/api/sessions", files={"photo": ("a.jpg", bomb)}).status_code for _ in range(5)
            )

    sender = threading.Thread(target=send)
    sender.start()
    print(f"  {slowest_info(studio, 5):.2f} s beside JPEGs of 3,000 scans", flush=True)
    sender.join()
    print(f"  which are answered {statuses}")


def tiny_model(folder: Path) -> str:
    """A generator of 64 px and a direction of it, in the folder."""
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", **TINY).eval().requires_grad_(False)
    path = ganvas.save(G, folder / "tiny.safetensors")
    directions = folder / "home" / "directions"
    directions.mkdir(parents=True)
    learnt = [Direction("smile", 2 * torch.randn(1, TINY["w_dim"]), fingerprint=fingerprint(G))]
    save_directions(learnt, directions / "mine.safetensors", licence="CC0-1.0", origin="a benchmark")
    os.environ["GANVAS_HOME"] = str(folder / "home")
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a catalogue name or a file (default: a tiny one of this script)")
    parser.add_argument("--direction", default="smile")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studio = Studio(options.model or tiny_model(folder), options.clients, folder)
        try:
            run_clients(studio, options.clients, options.seconds, options.direction)
            above = run_clients(studio, 2 * options.clients, options.seconds / 4, options.direction)
            print(f"  429 without Retry-After: {above.without_retry_after}")
            be_rough(studio)
        finally:
            studio.process.terminate()
            studio.process.wait(30)


if __name__ == "__main__":
    main()
