"""`ganvas batch` under kills, and what more processes give. Tiny models and photos; no weights are fetched.

    python benchmarks/batch.py kills --photos 60 --times 10
    python benchmarks/batch.py ray --photos 100 --times 5
    python benchmarks/batch.py workers --photos 24
    python benchmarks/batch.py together FOLDER         # four portraits or more; with the model `faces`

`kills` starts the batch with two workers, kills it or one of its workers with SIGKILL at a random moment, again and
again, lets it end, and looks whether every photo was done, once, with the bytes of a batch that nobody disturbed.
`ray` does the batch once on two actors of a Ray of its own, and kills so many of their processes on the way.
`workers` compares the time of one and of two processes, by the clock and in processor seconds. `together` compares
steps of the search for a latent that hold one, two and four photos.
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
from ganvas.features.efficientnet import load_efficientnet
from ganvas.inversion.alignment import crop_for_generator
from ganvas.inversion.early_exit import EarlyExit
from ganvas.inversion.latent_space import latent_space
from ganvas.inversion.loss import ReconstructionLossConfig
from ganvas.inversion.networks import InversionNetworks
from ganvas.ops.resample import downscale
from ganvas.session.batch_editor import BatchEditor
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


class ShortEditor(BatchEditor):
    """An editor with short searches and without features, in whichever process it is made."""

    def __init__(self, settings):
        shorten(int(os.environ["BATCH_STEPS"]))
        super().__init__(settings)


def start_editor(*settings):
    """A worker's start."""
    batch_engines.BatchEditor = ShortEditor
    return WHOLE_START(*settings)


WHOLE_START = batch_engines.start_editor


def shorten(steps: int) -> None:
    """Searches of so many steps a stage: this measures the batch, not the search."""
    # Imported here: Ray sends this function to its processes with a copy of what it finds in this module.
    from ganvas.inversion.optimise import EFFORT_STAGES
    from ganvas.session import batch_editor

    for effort, stages in EFFORT_STAGES.items():
        EFFORT_STAGES[effort] = tuple(dataclasses.replace(stage, steps=steps) for stage in stages)
    batch_editor.load_efficientnet_if_available = lambda: None


def run_batch(folder: Path, out: str, workers: int, engine: str) -> None:
    """The command itself, in this process."""
    batch_engines.start_editor, batch_engines.BatchEditor = start_editor, ShortEditor
    batch_command.ensure_models = lambda names: None
    recipe, photos = str(folder / "pull.json"), str(folder / "photos")
    sys.argv = ["ganvas", "batch", photos, str(folder / out), "--recipe", recipe, "--workers", str(workers)]
    sys.argv += ["--engine", engine]
    ganvas_main()


def start_batch(folder: Path, out: str, workers: int, *, steps: int, engine: str = "local") -> subprocess.Popen:
    """The same in another process."""
    words = [sys.executable, __file__, "run", str(folder), "--out", out, "--workers", str(workers), "--engine", engine]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "BATCH_STEPS": str(steps)}
    return subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def workers_of(pid: int) -> list[int]:
    """The processes that edit, below this one (Linux): Python's own, or Ray's actors."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            found += [child] if b"spawn_main" in command or b"ray::ShortEditor" in command else workers_of(child)
    return found


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
        workers = workers_of(process.pid) if process.poll() is None else []
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
    print(f"killed {killed['batch']} times, and {killed['worker']} times a worker before; the last run: {text}")
    compare(folder, photos)


def ray(folder: Path, photos: int, times: int, seed: int) -> None:
    """See the module."""
    start_batch(folder, "calm", 1, steps=2).communicate()
    rng, process = random.Random(seed), start_batch(folder, "out", 2, steps=2, engine="ray")
    killed = []
    while len(killed) < times and process.poll() is None:
        if len(lines(folder / "out")) >= (1 + len(killed)) * photos // (1 + times):
            killed.append(rng.choice(workers_of(process.pid)))
            os.kill(killed[-1], signal.SIGKILL)
        time.sleep(0.05)
    text = process.communicate()[0].splitlines()[-1]
    print(f"killed {len(set(killed))} actors; the command: {text}")
    compare(folder, photos)


def compare(folder: Path, photos: int) -> None:
    """What came of the photos, beside the batch that nobody disturbed."""
    names, done, calm = lines(folder / "out"), results(folder / "out"), results(folder / "calm")
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


def together(folder: Path, steps: int = 6) -> None:
    """See the module. The comparison with the full picture, every 30 steps, is left out; it is each photo's own."""
    torch.set_num_threads(1)
    G, extractor = ganvas.load("faces"), load_efficientnet()
    photos = [crop_for_generator(path, G)[0] for path in sorted(folder.glob("*.jpg"))[:4]]
    target = torch.cat([downscale(img, G.img_resolution) for img in photos])
    networks, space = InversionNetworks(G, None, extractor, None), latent_space(G, None)
    for px in (128, 256):
        for count in (1, 2, 4):
            loss = networks.latent_loss(target[:count], ReconstructionLossConfig())
            v = torch.randn(count, space.num_ws, space.dim, generator=torch.Generator().manual_seed(0)).mul(0.01)
            exit = EarlyExit(px, every=1_000_000, precision="fast")
            exit(G, space.to_ws(v[:1]))
            v.requires_grad_()
            loss(exit(G, space.to_ws(v))).backward()  # what is computed once
            start = time.process_time()
            for _ in range(steps):
                loss(exit(G, space.to_ws(v))).backward()
            sec = (time.process_time() - start) / steps / count
            print(f"{px} px, {count} at once: {1000 * sec:.0f} ms a photo and step")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "ray", "workers", "together", "run"])
    parser.add_argument("folder", nargs="?", type=Path, help="of `together`; and of `run`, which the others use")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="out")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--engine", default="local")
    args = parser.parse_args()
    if args.what == "run":
        return run_batch(args.folder, args.out, args.workers, args.engine)
    if args.what == "together":
        return together(args.folder)
    with tempfile.TemporaryDirectory() as place:
        make_bench(Path(place), args.photos)
        if args.what in ("kills", "ray"):
            {"kills": kills, "ray": ray}[args.what](Path(place), args.photos, args.times, args.seed)
        else:
            workers(Path(place), args.photos)


if __name__ == "__main__":
    main()
