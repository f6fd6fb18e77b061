"""`ganvas batch` under kills, and what more processes give. Tiny models and photos; no weights are fetched.

    python benchmarks/batch.py kills --photos 60 --times 10
    python benchmarks/batch.py workers --photos 24

`kills` starts the batch with two workers, kills it or one of its workers with SIGKILL at a random moment, again and
again, lets it end, and looks whether every photo was done, once, with the bytes of a batch that nobody disturbed.
`workers` compares the time of one and of two processes, by the clock and in processor seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import ganvas
from ganvas.cli import batch as batch_command, batch_engines
from ganvas.cli.main import main as ganvas_main
from ganvas.editing.drag import Drag
from ganvas.editing.mix import encode_latent
from ganvas.editing.recipe import Recipe
from ganvas.inversion.optimise import EFFORT_STAGES
from ganvas.session import batch_editor
from ganvas.weights.checkpoint import fingerprint, save

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16, "num_mapping_layers": 2}


def make_bench(folder: Path, photos: int) -> None:
    """A model, a recipe and photos in a folder."""
    torch.manual_seed(0)
    model = save(ganvas.build("stylegan2", **TINY), folder / "tiny.safetensors")
    offset = encode_latent(3 * torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(1)))
    step = Drag(points=((0.4, 0.5),), targets=((0.5, 0.5),), rows=6, offset=offset)
    known = fingerprint(ganvas.load(model))
    Recipe(steps=(step,), model=str(model), fingerprint=known, effort="fast").save(folder / "pull.json")
    (folder / "photos").mkdir()
    for i in range(photos):
        pixels = np.random.RandomState(i).randint(0, 256, (48, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i:03}.png")


def start_editor(*settings):
    """A worker's start, with short searches and without features."""
    shorten(int(os.environ["BATCH_STEPS"]))
    return WHOLE_START(*settings)


WHOLE_START = batch_engines.start_editor


def shorten(steps: int) -> None:
    """Searches of so many steps a stage: this measures the batch, not the search."""
    for effort, stages in EFFORT_STAGES.items():
        EFFORT_STAGES[effort] = tuple(dataclasses.replace(stage, steps=steps) for stage in stages)
    batch_editor.load_efficientnet_if_available = lambda: None


def run_batch(folder: Path, out: str, workers: int) -> None:
    """The command itself, in this process."""
    shorten(int(os.environ["BATCH_STEPS"]))
    batch_engines.start_editor = start_editor
    batch_command.ensure_models = lambda names: None
    recipe, photos = str(folder / "pull.json"), str(folder / "photos")
    sys.argv = ["ganvas", "batch", photos, str(folder / out), "--recipe", recipe, "--workers", str(workers)]
    ganvas_main()


def start_batch(folder: Path, out: str, workers: int, *, steps: int) -> subprocess.Popen:
    """The same in another process."""
    words = [sys.executable, __file__, "run", str(folder), "--out", out, "--workers", str(workers)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "BATCH_STEPS": str(steps)}
    return subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def children_of(pid: int) -> list[int]:
    """The worker processes (Linux)."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in text.split()}
    return [child for child, command in commands.items() if b"spawn_main" in command]


def results(folder: Path) -> dict[str, bytes]:
    """Name → bytes of every result that has its name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def lines(folder: Path) -> list[str]:
    """Names in the manifest, in order; of photos that were done."""
    path = folder / "batch.jsonl"
    return [json.loads(line)["source"] for line in path.read_text().splitlines()] if path.exists() else []


def kills(folder: Path, photos: int, times: int, seed: int) -> None:
    """See the module."""
    start_batch(folder, "calm", 1, steps=2).communicate()
    rng, killed = random.Random(seed), {"batch": 0, "worker": 0}
    while sum(killed.values()) < times:
        # Kills during the imports would show nothing: so many photos more are waited for.
        goal = len(lines(folder / "out")) + rng.randint(1, max(1, 2 * photos // (3 * times)))
        process = start_batch(folder, "out", 2, steps=2)
        while len(lines(folder / "out")) < goal and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1.0))
        workers = children_of(process.pid) if process.poll() is None else []
        if not workers:
            break
        if rng.random() < 0.5:
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed["worker"] += 1
            time.sleep(rng.uniform(0, 2.0))
        process.kill()
        killed["batch"] += 1
        process.communicate()
    text = start_batch(folder, "out", 2, steps=2).communicate()[0].splitlines()[-1]
    names, done, calm = lines(folder / "out"), results(folder / "out"), results(folder / "calm")
    print(f"killed {killed['batch']} times, and {killed['worker']} times a worker before; the last run: {text}")
    print(
        f"{photos} photos: lost {photos - len(done)}, twice {len(names) - len(set(names))}, same bytes {done == calm}"
    )


def workers(folder: Path, photos: int) -> None:
    """See the module. Starting and importing is subtracted: it is paid once, however many photos there are."""
    for path in sorted((folder / "photos").iterdir())[1:]:
        path.rename(folder / path.name)
    start = {n: _seconds(folder, f"start-{n}", n) for n in (1, 2)}
    for path in folder.glob("*.png"):
        path.rename(folder / "photos" / path.name)
    all_sec = {n: _seconds(folder, f"all-{n}", n) for n in (1, 2)}
    wall, cpu = ([all_sec[n][i] - start[n][i] for n in (1, 2)] for i in (0, 1))
    for n in (1, 2):
        rate = (photos - 1) / wall[n - 1] * 3600
        print(f"{n} processes: {wall[n - 1]:.1f} s ({rate:.0f} photos an hour), {cpu[n - 1]:.1f} processor seconds")
    print(f"efficiency by the clock {wall[0] / wall[1] / 2:.2f}, in processor seconds {cpu[0] / cpu[1]:.2f}")


def _seconds(folder: Path, out: str, count: int) -> tuple[float, float]:
    """By the clock, and of processor time with all children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    start_batch(folder, out, count, steps=40).communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "workers", "run"])
    parser.add_argument("folder", nargs="?", type=Path, help="of `run`, which the others use")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="out")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    if args.what == "run":
        return run_batch(args.folder, args.out, args.workers)
    with tempfile.TemporaryDirectory() as place:
        make_bench(Path(place), args.photos)
        if args.what == "kills":
            kills(Path(place), args.photos, args.times, args.seed)
        else:
            workers(Path(place), args.photos)


if __name__ == "__main__":
    main()
