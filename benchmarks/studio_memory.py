"""How much memory the studio takes: over 300 edits, over 30 projects, and for a photo of 48 megapixels from a phone.

    python benchmarks/studio_memory.py

A real server in a process of its own with a tiny generator, so that what is measured is the studio's and the photos',
not the model's; resident memory from /proc (Linux). The photo of 48 megapixels is a HEIC (extra [studio]): opened,
searched for, edited, seen, saved.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image
from studio import Studio

import ganvas
from ganvas.editing.directions import Direction, save_directions
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint

EDITS, PROJECTS = 300, 30
PHONE = (8064, 6048)


def make_workplace(folder: Path) -> Path:
    """A runs' folder with a tiny generator, and a slider for it."""
    torch.manual_seed(0)
    size = {"img_resolution": 64, "channel_base": 1024, "channel_max": 16, "z_dim": 16, "w_dim": 16}
    G = ganvas.build("stylegan2", num_mapping_layers=2, **size).eval().requires_grad_(False)
    (folder / "runs" / "tiny").mkdir(parents=True)
    ganvas.save(G, folder / "runs" / "tiny" / "model.safetensors")
    smile = Direction("smile", torch.randn(1, 16), fingerprint=fingerprint(G))
    (store.home() / "directions").mkdir(parents=True)
    save_directions([smile], store.home() / "directions" / "mine.safetensors", licence="CC0-1.0", origin="benchmark")
    return folder / "runs"


def make_photo(width: int, height: int, format: str, *, seed: int = 1) -> bytes:
    """A photo with shades and some noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    pixels = np.asarray(small) // 2 + rng.integers(0, 16, (height, width, 1), dtype=np.uint8)
    file = io.BytesIO()
    if format == "HEIF":
        import pillow_heif

        pillow_heif.from_pillow(Image.fromarray(pixels)).save(
            file, format=format, quality=50, enc_params={"preset": "ultrafast"}
        )
    else:
        Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def read_memory(studio: Studio, line: str = "VmRSS") -> float:
    """Resident memory of the server in MB; "VmHWM" = its peak since `forget_peak`."""
    text = Path(f"/proc/{studio.process.pid}/status").read_text()
    return int(text.split(f"{line}:")[1].split()[0]) / 1024


def forget_peak(studio: Studio) -> None:
    """Peaks count from now on."""
    Path(f"/proc/{studio.process.pid}/clear_refs").write_text("5")


def open_photo(studio: Studio, data: bytes, *, name: str = "photo.jpg", **fields: str) -> str:
    """The id of a photo that is ready to be edited."""
    answer = studio.http.post("/api/sessions", files={"photo": (name, data)}, data={"effort": "fast", **fields})
    answer.raise_for_status()
    studio.wait(answer.json()["job"])
    return str(answer.json()["id"])


def edit_photo(studio: Studio, id: str, amount: float) -> None:
    """A slider, and the photo as the page asks for it then."""
    place = f"/api/sessions/{id}"
    studio.http.post(f"{place}/set", json={"direction": "smile", "amount": amount}).raise_for_status()
    studio.http.get(f"{place}/photo.jpg", params={"size": 1600}).raise_for_status()


def measure_edits(studio: Studio) -> None:
    """One photo, many edits."""
    id = open_photo(studio, make_photo(640, 480, "JPEG"))
    for at in range(1, EDITS + 1):
        edit_photo(studio, id, amount=(at % 60) / 20 - 1.5 + at / 10_000)
        if at in (10, 100, 200, EDITS):
            print(f"after {at:3} edits of a photo of 640 x 480: {read_memory(studio):6.0f} MB")
    studio.http.delete(f"/api/sessions/{id}")


def measure_projects(studio: Studio) -> None:
    """One project after the other, each with a photo that is edited and closed."""
    for at in range(1, PROJECTS + 1):
        project = studio.http.post("/api/projects", json={"name": f"project {at}"}).json()["id"]
        id = open_photo(studio, make_photo(1024, 768, "JPEG", seed=at), project=project)
        edit_photo(studio, id, 1.5)
        studio.http.delete(f"/api/sessions/{id}")
        if at in (1, 10, 20, PROJECTS):
            time.sleep(0.5)  # memory is handed back a moment after a photo was closed
            print(f"after {at:3} projects with a photo of 1024 x 768: {read_memory(studio):6.0f} MB")


def measure_phone(studio: Studio) -> None:
    """A large photo all the way."""
    data = make_photo(*PHONE, "HEIF")
    before = read_memory(studio)
    forget_peak(studio)
    begun, cpu_sec = time.perf_counter(), studio.cpu_sec
    id = open_photo(studio, data, name="IMG_0001.HEIC")
    opened = read_memory(studio, "VmHWM")
    edit_photo(studio, id, 1.5)
    job = studio.http.post(f"/api/sessions/{id}/render", json={"format": "jpeg"}).json()
    studio.wait(job)
    saved = studio.http.get(f"/api/sessions/{id}/result").content
    assert Image.open(io.BytesIO(saved)).size == PHONE
    peak = read_memory(studio, "VmHWM")
    studio.http.delete(f"/api/sessions/{id}")
    time.sleep(1)
    print(f"HEIC of {PHONE[0]} x {PHONE[1]}, {len(data) / 1e6:.1f} MB: {before:.0f} MB before, peak {opened:.0f} MB")
    print(f"opened, {peak:.0f} MB edited and saved; {read_memory(studio):.0f} MB after it was closed;", end=" ")
    print(f"{studio.cpu_sec - cpu_sec:.0f} s of processor time, {time.perf_counter() - begun:.0f} s by the clock")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANVAS_HOME"] = f"{folder}/home"
        runs = make_workplace(Path(folder))
        try:
            with Studio("--runs", str(runs)) as studio:
                measure_edits(studio)
                measure_projects(studio)
                measure_phone(studio)
        except httpx.HTTPStatusError as error:
            raise SystemExit(f"the studio refused: {error.response.text}") from error


if __name__ == "__main__":
    main()
