"""Is reading ever what training waits for? Ratios within one run.

    python benchmarks/datasets.py                          # pictures made on the spot: half a minute on two cores
    python benchmarks/datasets.py --data photos/ --resolution 64

1. Opening a folder: pictures a second the first time, and seconds the second time, when the cache is there.
2. A batch: from memory, from a cache file, and as a plain loader does it (open, decode and shrink each time with
   Pillow), beside what one picture costs in the step that is to wait for it: forward and backward of the discriminator
   of a small 64-pixel StyleGAN2, which is less than half of what a training step does.
3. Streaming: tar shards of JPEGs decoded in batches of a training's order, with nothing kept: processor time of a
   picture, and how the memory of the process grows from the first to the last of several rounds.
4. Large photos: a JPEG of 24 megapixels brought to 64 pixels, decoded whole, and as ganvas does it.

Ways that are compared take turns; each number is the best of its turns.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import ganvas
from ganvas.datasets import ImageDataset, Sampler, image_dataset as room, open_image_dataset
from ganvas.datasets.preprocess import ImagePreprocessor
from ganvas.images.tensors import to_pixels
from ganvas.models import build

BATCH = 16


def smooth(number: int, width: int, height: int) -> Image.Image:
    """A picture with as much detail as a photo: a smooth part and grain."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((width, height), 3)
    grain = rng.normal(0, 8, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def make_folder(folder: Path, count: int) -> Path:
    for number in range(count):
        smooth(number, 256, 256).save(folder / f"{number:05d}.jpg", quality=92)
    return folder


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_in_turns(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The quickest call of each way, in seconds."""
    for work in ways.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, work in ways.items():
            times[name].append(seconds(work))
    return {name: min(values) for name, values in times.items()}


def opening(folder: Path, resolution: int, cache: Path) -> dict[str, float]:
    count = len(open_image_dataset(folder, resolution=resolution, cache=False))  # warms the disk's memory
    first = seconds(lambda: open_image_dataset(folder, resolution=resolution, cache=cache))
    second = min(seconds(lambda: open_image_dataset(folder, resolution=resolution, cache=cache)) for _ in range(3))
    return {"pictures": count, "first_per_sec": count / first, "first_sec": first, "second_sec": second}


def batches(folder: Path, resolution: int, cache: Path, turns: int) -> dict[str, float]:
    """Seconds a picture."""
    in_memory = open_image_dataset(folder, resolution=resolution, cache=cache)
    room.DATASET_IN_MEMORY_BYTES, kept = 0, room.DATASET_IN_MEMORY_BYTES
    in_file = open_image_dataset(folder, resolution=resolution, cache=cache)
    room.DATASET_IN_MEMORY_BYTES = kept
    sampler, nimg = Sampler(len(in_memory), seed=0, mirror=True), iter(range(0, 10**9, BATCH))

    def plain() -> torch.Tensor:
        indices = sampler.take(next(nimg), BATCH)[0]
        files = [folder / in_memory.names[i] for i in indices]
        small = [Image.open(file).convert("RGB").resize((resolution,) * 2, Image.Resampling.LANCZOS) for file in files]
        return torch.from_numpy(np.stack([np.asarray(each) for each in small])).permute(0, 3, 1, 2).contiguous()

    def many(pictures: ImageDataset) -> Callable[[], object]:
        return lambda: [pictures.batch(sampler.take(next(nimg), BATCH)[0]) for _ in range(50)]

    D = build("stylegan2", network="D", img_resolution=64, channel_base=1024, channel_max=64)
    img = torch.randn(BATCH, 3, 64, 64)

    def step() -> None:
        D(img).sum().backward()

    ways = {"memory": many(in_memory), "file": many(in_file), "plain": plain, "discriminator": step}
    best = best_in_turns(ways, turns)
    return {name: value / BATCH / (50 if name in ("memory", "file") else 1) for name, value in best.items()}


def streaming(folder: Path, shards: Path, resolution: int, rounds: int) -> dict[str, float]:
    """Processor seconds a picture, and resident MB after the first round and after the last."""
    shards.mkdir()
    files = sorted(folder.iterdir())
    for number in range(4):
        with tarfile.open(shards / f"{number}.tar", "w") as tar:
            for file in files[number::4]:
                tar.add(file, file.name)
    pictures = open_image_dataset(shards, resolution=resolution, stream=True)
    pictures._store.kept_bytes = 0  # type: ignore[attr-defined]
    sampler, per_round, memory = Sampler(len(pictures), seed=0), len(pictures) // BATCH, []
    start = time.process_time()
    for number in range(rounds * per_round):
        pictures.batch(sampler.take(number * BATCH, BATCH)[0])
        if number % per_round == per_round - 1:
            memory.append(resident_bytes() / 1e6)
    each = (time.process_time() - start) / (rounds * per_round * BATCH)
    return {"cpu_sec": each, "first_mb": memory[0], "last_mb": memory[-1], "shown": rounds * per_round * BATCH}


def resident_bytes() -> int:
    """Of this process, now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def large_photos(turns: int) -> dict[str, float]:
    """Seconds a photo."""
    file = io.BytesIO()
    smooth(0, 6000, 4000).save(file, "JPEG", quality=90)
    data, fit = file.getvalue(), ImagePreprocessor(resolution=64)

    def whole() -> np.ndarray:
        return to_pixels(torch.from_numpy(fit.preprocess(ganvas.read_image(data).img))[None].float() / 127.5 - 1)

    return best_in_turns({"whole": whole, "ganvas": lambda: fit.read(data, name="photo")}, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a flat folder of pictures; default: 600 made on the spot")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "made").mkdir()
        folder = options.data or make_folder(Path(scratch) / "made", 600)
        opened = opening(folder, options.resolution, Path(scratch) / "cache")
        streamed = streaming(folder, Path(scratch) / "shards", options.resolution, options.turns)
        each = batches(folder, options.resolution, Path(scratch) / "cache", options.turns)
    large = large_photos(min(3, options.turns))
    print(f"{platform.machine()}, {torch.get_num_threads()} torch threads, {options.resolution} px\n")
    first, second = opened["first_sec"], opened["second_sec"]
    print(f"opening {opened['pictures']:,.0f} pictures: {first:.2f} s ({opened['first_per_sec']:,.0f} a second);")
    print(f"again, from the cache: {second:.3f} s, {first / second:.0f} x\n")
    print("a picture of a batch, microseconds")
    for name, value in each.items():
        print(
            f"  {name:14}{1e6 * value:10.1f}   {1 / value:12,.0f} a second   {value / each['discriminator']:8.2%} of D"
        )
    print(
        f"\nstreamed from tar shards: {1e6 * streamed['cpu_sec']:.0f} us of a core a picture; memory "
        f"{streamed['first_mb']:.0f} MB after the first round, {streamed['last_mb']:.0f} MB after "
        f"{streamed['shown']:,.0f} pictures"
    )
    print(
        f"\na photo of 24 megapixels: {large['whole']:.3f} s decoded whole, {large['ganvas']:.3f} s as ganvas does it"
    )
    if options.json:
        options.json.write_text(
            json.dumps({"opening": opened, "streaming": streamed, "batch_sec": each, "large_sec": large}, indent=1)
        )


if __name__ == "__main__":
    main()
