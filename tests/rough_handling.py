"""Commands that are killed while they write, or whose disk is full: nothing half, nothing lost, and they go on.

    python -m tests.rough_handling --kills 50 --full 20      every command; --full needs root, for small disks

Each command runs on tiny networks in a process of its own. `kill -9` strikes at a chosen moment of writing: as a file
is opened, in the middle of a write, before it is forced to the disk, before it gets its name. Disks are of memory
(tmpfs), each a little larger than the one before.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import ganvas
from ganvas.training.engine.state import read_state
from ganvas.training.generator.train import train
from ganvas.weights.checkpoint import save
from tests.training import tiny

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16, "num_mapping_layers": 2}
RUN = {"total_kimg": 0.048, "save_minutes": 1e-6, "snapshot_kimg": 0.024, "tick_kimg": 0.012}
LONGEST_SEC = 600  # of one command
ENDS_WELL, SAYS_WHY, HALF_KILLED = 0, 1, -signal.SIGKILL


# ---------------------------------------------------------------------------------------------------------------------
# The moments of writing


class Moments:
    """Counts the moments at which this process writes, and strikes at one of them."""

    def __init__(self, folder: Path, strike_at: int | None):
        self.folder, self.strike_at, self.count = str(folder), strike_at, 0

    def pass_one(self, path: Any = None) -> None:
        """One more moment; of a file elsewhere it does not count."""
        if path is not None and not str(path).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.strike_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """From here on."""
        real_open, real_fsync, real_replace = builtins.open, os.fsync, os.replace

        def watched_open(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            opened = real_open(file, mode, *args, **options)
            if not set(mode) & set("wxa+") or not str(file).startswith(self.folder):
                return opened
            self.pass_one()
            real_write = opened.write

            def write(data: Any) -> int:
                half = len(data) // 2
                real_write(data[:half])
                opened.flush()
                self.pass_one()
                return half + int(real_write(data[half:]) or 0)

            with contextlib.suppress(AttributeError):  # of a raw file
                opened.write = write
            return opened

        def fsync(handle: int) -> None:
            self.pass_one()
            real_fsync(handle)

        def rename(source: Any, target: Any, **options: Any) -> None:
            self.pass_one(target)
            real_replace(source, target, **options)
            self.pass_one(target)

        builtins.open = io.open = watched_open  # type: ignore[assignment]
        os.fsync, os.replace = fsync, rename  # type: ignore[assignment]


def in_child(work: Callable[[], int], folder: Path, *, strike_at: int | None = None) -> tuple[int, int, str]:
    """Work in a forked process: its exit status (negative: the signal), the moments it passed, what it said."""
    with tempfile.TemporaryDirectory() as own:
        child = os.fork()
        if child == 0:
            _work_and_exit(work, Moments(folder, strike_at), Path(own))
        status = os.waitpid(child, 0)[1]
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        passed = Path(own, "passed")
        return code, int(passed.read_text()) if passed.exists() else 0, Path(own, "said").read_text(errors="replace")


def _work_and_exit(work: Callable[[], int], moments: Moments, own: Path) -> None:
    status = 99
    said = os.open(own / "said", os.O_CREAT | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.alarm(LONGEST_SEC)
    try:
        torch.set_num_threads(1)  # a forked process has none of its parent's threads
        moments.watch()
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with os.fdopen(os.open(own / "passed", os.O_CREAT | os.O_WRONLY), "w") as file:
            file.write(str(moments.count))
        os._exit(status)


# ---------------------------------------------------------------------------------------------------------------------
# The commands


class Bench:
    """A tiny model, photos and a recipe, and commands over them that write into `out`."""

    def __init__(self, folder: Path):
        from ganvas.editing.drag import Drag
        from ganvas.editing.mix import encode_latent
        from ganvas.editing.recipe import Recipe
        from ganvas.inversion.optimise import EFFORT_STAGES
        from ganvas.weights.checkpoint import fingerprint

        self.folder, self.out = folder, folder / "out"
        torch.manual_seed(0)
        self.model = save(ganvas.build("stylegan2", **TINY), folder / "tiny.safetensors")
        self.photos = folder / "photos"
        self.photos.mkdir()
        for name in ("a.png", "b.jpg", "c.tif"):
            pixels = np.random.RandomState(len(name)).randint(0, 256, (48, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.photos / name)
        offset = encode_latent(3 * torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(1)))
        step = Drag(points=((0.4, 0.5),), targets=((0.5, 0.5),), rows=6, offset=offset)
        recipe = Recipe(
            steps=(step,), model=str(self.model), fingerprint=fingerprint(ganvas.load(self.model)), effort="fast"
        )
        self.recipe = recipe.save(folder / "pull.json")
        for effort, stages in EFFORT_STAGES.items():
            EFFORT_STAGES[effort] = tuple(replace(stage, steps=2) for stage in stages)

    def command(self, name: str, out: Path) -> Callable[[], int]:
        """One of COMMANDS as a function that gives its exit status."""
        photo = str(self.photos / "a.png")
        words = {
            "edit": ["edit", photo, "-o", f"{out}/a.png", "--save-recipe", f"{out}/a.json", "--recipe",
                     str(self.recipe), "--effort", "fast", "--model", str(self.model)],
            "batch": ["batch", str(self.photos), str(out), "--recipe", str(self.recipe)],
            "upscale": ["upscale", "-i", str(self.photos), "-o", str(out), "-s", "2", "--suffix", ""],
        }  # fmt: skip
        return (lambda: _train(out)) if name == "train" else (lambda: _run_command(words[name]))


COMMANDS = ("edit", "batch", "upscale", "train")


def _run_command(words: list[str]) -> int:
    import ganvas.cli.batch
    import ganvas.cli.edit
    from ganvas.cli.main import main

    ganvas.cli.edit.ensure_models = lambda *names, **options: None  # type: ignore[attr-defined]
    ganvas.cli.batch.ensure_models = lambda *names, **options: None  # type: ignore[attr-defined]
    sys.argv = ["ganvas", *words]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _train(out: Path) -> int:
    from ganvas.errors import GanvasError

    try:
        train(tiny.pictures(), config=tiny.config(**RUN), folder=out / "run", device="cpu")
    except GanvasError as error:
        print(f"error: {error}")
        return SAYS_WHY
    return ENDS_WELL


# ---------------------------------------------------------------------------------------------------------------------
# What must hold


def results(out: Path) -> dict[str, str]:
    """Name → hash of every file that has its name; hidden ones are on their way to it."""
    files = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_whole(out: Path) -> None:
    """Every picture, recipe, state and weights file that has its name is whole."""
    for path in out.rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix in (".png", ".jpg", ".tif", ".gif"):
            with Image.open(path) as image:
                image.load()
        elif path.name in ("state.safetensors", "good.safetensors"):
            read_state(path)
        elif path.suffix == ".safetensors":
            ganvas.load(path, network="D" if path.name.startswith("D") else "G_ema")
        elif path.suffix == ".json":
            __import__("json").loads(path.read_text())


def same_states(one: Path, other: Path) -> bool:
    """Whether two runs ended in the same bits, but for the clock."""
    states = [read_state(path / "run" / "state.safetensors") for path in (one, other)]
    for state in states:
        state["counters"].pop("sec")
    return _equal(*states)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def kill_while_writing(bench: Bench, name: str, kills: int) -> str:
    """`kill -9` at `kills` moments spread over all of them; the last run is let alone and must give what one gives.

    A training goes on from where each kill left it; the others begin again, over what is there.
    """
    whole, out = bench.folder / f"{name}-whole", bench.folder / f"{name}-killed"
    for folder in (whole, out):
        folder.mkdir()
    code, moments, said = in_child(bench.command(name, whole), whole)
    assert code == ENDS_WELL, said
    old = results(whole)
    if name != "train":  # something that a half write would spoil
        shutil.copytree(whole, out, dirs_exist_ok=True)
    killed = 0
    for number in range(kills):
        strike_at = 1 + number * moments // kills if name != "train" else 3 + number * 7 % max(moments // kills, 24)
        code, _, said = in_child(bench.command(name, out), out, strike_at=strike_at)
        assert code in (HALF_KILLED, ENDS_WELL), f"{name}, moment {strike_at}: {code}\n{said}"
        killed += code == HALF_KILLED
        check_whole(out)
        assert name == "train" or results(out) == old, f"{name}, moment {strike_at}"
    code, _, said = in_child(bench.command(name, out), out)
    assert code == ENDS_WELL, said
    assert same_states(whole, out) if name == "train" else results(out) == old
    left = sum(path.name.startswith(".") for path in out.rglob("*"))
    return f"{name}: {killed} kills at {moments} moments, 0 half files, the end is the same; {left} hidden parts left"


@contextlib.contextmanager
def small_disk(at: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


def fill_the_disk(bench: Bench, name: str, points: int) -> str:
    """Disks of `points` sizes below what the command needs: a clear error or an honest end, and nothing half."""
    whole = bench.folder / f"{name}-room"
    whole.mkdir()
    code, _, said = in_child(bench.command(name, whole), whole)
    assert code == ENDS_WELL, said
    need = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    refused = 0
    for number in range(points):
        disk = bench.folder / f"{name}-disk"
        with small_disk(disk, max(4096, need * (number + 1) // (points + 1))):
            code, _, said = in_child(bench.command(name, disk), disk)
            assert "Traceback" not in said and code in (ENDS_WELL, SAYS_WHY), f"{name}, size {number}: {code}\n{said}"
            assert code == ENDS_WELL or "No space left" in said or "disk is full" in said, said
            refused += code == SAYS_WHY
            check_whole(disk)
            assert not [path for path in disk.rglob(".*") if path.is_file()], "parts are left behind"
    return f"{name}: {points} disks, {refused} refused in words, {points - refused} ended well, 0 half files"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--full", type=int, default=20)
    parser.add_argument("--only", choices=COMMANDS, nargs="*", default=list(COMMANDS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANVAS_HOME"] = f"{folder}/home"
        bench = Bench(Path(folder))
        for name in arguments.only:
            if arguments.kills:
                print(kill_while_writing(bench, name, arguments.kills), flush=True)
            if arguments.full:
                print(fill_the_disk(bench, name, arguments.full), flush=True)


if __name__ == "__main__":
    main()
