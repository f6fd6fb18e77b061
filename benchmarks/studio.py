"""How quickly the studio answers: a moving slider, the whole photo on the screen, a photo saved.

    python benchmarks/studio.py                          # the sample photo, the model `faces`
    python benchmarks/studio.py me.jpg --effort standard --moves 60

A real server on a loopback port and a client that talks to it as the page does (WebSocket, HTTP), in one process each.
Times are from the client's side, JPEG included; a browser adds a few milliseconds to decode and show it. What else runs
on the machine is in every time, so the load is printed first, and beside the times what the studio itself computed
(processor time, on Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
from websockets.sync.client import connect

SAMPLE = Path(__file__).parents[1] / "ganvas" / "samples" / "astronaut.jpg"


class Studio:
    """A studio in a process of its own; with further words of the command line."""

    def __init__(self, *words: str):
        self.words = words

    def __enter__(self) -> Studio:
        words = [sys.executable, "-u", "-m", "ganvas", "studio", "--no-browser", "--port", "0", *self.words]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+?:(\d+)", self.process.stdout.readline())
        assert found, "the studio did not open"
        self.port = int(found[1])
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=600)
        while True:
            try:
                self.http.get("/api/info")
                return self
            except httpx.TransportError:
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(20)

    @property
    def cpu_sec(self) -> float:
        """Processor time of the studio so far; nan where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, job: dict) -> dict:
        """The job when it has ended."""
        while job["state"] in ("queued", "running"):
            time.sleep(0.02)
            job = self.http.get(f"/api/jobs/{job['id']}").json()
        assert job["state"] == "done", job
        return job


def slide(studio: Studio, id: str, direction: str, moves: int) -> list[float]:
    """Milliseconds from each move of a slider to its picture, one after the other."""
    times = []
    with connect(f"ws://127.0.0.1:{studio.port}/api/sessions/{id}/events") as socket:
        for seq in range(moves):
            start = time.perf_counter()
            amount = 3 * (seq + 1) / moves
            socket.send(json.dumps({"type": "slide", "direction": direction, "amount": amount, "seq": seq}))
            while not isinstance(socket.recv(timeout=60), bytes):
                pass
            times.append(1000 * (time.perf_counter() - start))
    return times


def timed(work) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--effort", default="fast", choices=["fast", "standard", "best"])
    parser.add_argument("--direction", default="smile")
    parser.add_argument("--moves", type=int, default=30)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "")
    with Studio() as studio:
        files = {"photo": (options.photo.name, options.photo.read_bytes())}
        opened = studio.http.post("/api/sessions", files=files).json()
        print(f"{options.photo.name}: {opened['width']} x {opened['height']}, {len(opened['faces'])} faces")
        id, place = opened["id"], f"/api/sessions/{opened['id']}"
        begun = timed(lambda: studio.wait(studio.http.post(f"{place}/invert", json={"effort": options.effort}).json()))
        print(f"brought into the model ({options.effort}): {begun:.1f} s")
        slide(studio, id, options.direction, 3)
        before = studio.cpu_sec
        times = slide(studio, id, options.direction, options.moves)
        cost = 1000 * (studio.cpu_sec - before) / options.moves
        worst = sorted(times)[int(0.95 * len(times))]
        told = f"median {statistics.median(times):.0f} ms, 95 % below {worst:.0f} ms"
        print(f"slider to preview, 256 px: {told}; {cost:.0f} ms of processor time each")
        move = {"direction": options.direction, "amount": 1.5}
        print(f"slider let go: {1000 * timed(lambda: studio.http.post(f'{place}/set', json=move)):.0f} ms")
        screen = [timed(lambda px=px: studio.http.get(f"{place}/photo.jpg", params={"size": px})) for px in (1600, 800)]
        print(f"the whole photo on the screen: {screen[0]:.2f} s at 1600 px, {screen[1]:.2f} s at 800 px")
        before = studio.cpu_sec
        saving = [
            timed(lambda f=form: studio.wait(studio.http.post(f"{place}/render", json=f).json()))
            for form in ({"format": "jpeg"}, {"format": "png", "editing": False}, {"format": "png"})
        ]
        cost = (studio.cpu_sec - before) / len(saving)
        print(f"processor time of a save: {cost:.2f} s")
        print(f"saved: JPEG {saving[0]:.2f} s, PNG {saving[1]:.2f} s, PNG with its editing {saving[2]:.2f} s")


if __name__ == "__main__":
    main()
