"""Upscaling: how fast, how near to ncnn, how seamless, how much memory. Ratios within one process, alternating.

    python benchmarks/upscaling.py                      # everything, some minutes on one core
    python benchmarks/upscaling.py speed seams          # some of it
    python benchmarks/upscaling.py quality --photos DIR # PSNR and SSIM of compact-x4 beside bicubic on your photos
    python benchmarks/upscaling.py ncnn                 # needs: pip install ncnn

Weights come from the catalogue (`ganvas models get realesrgan-x4plus` once). Times are the best of several, by
turns, since other programs only make them longer; one thread unless --threads says otherwise.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import ganvas
from ganvas.datasets.sr_pairs import bicubic_downscale, bicubic_upscale, to_multiple
from ganvas.images.batch_paths import Task
from ganvas.images.files import write_image
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels
from ganvas.metrics.pixels import compute_sr_metrics
from ganvas.models.srvgg import SRVGG, SRVGGConfig
from ganvas.ops.allocator import keep_freed_memory
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.training.upscaler.snapshots import upscale_pixels
from ganvas.training.upscaler.train import as_photo_dataset
from ganvas.upscaling.folders import upscale_file
from ganvas.upscaling.tiles import overlap_for
from ganvas.upscaling.upscale import LIGHT_MODEL, STRONG_MODEL, UpscaleConfig, upscale, upscaler
from ganvas.weights.catalogue import catalogue

SAMPLE = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
PRECISIONS = ("exact", "fast")
QUICK = "realesr-animevideov3"


def sample(size: int, *, top: int = 0, left: int = 130) -> Tensor:
    """A square of the sample photo, [1, 3, size, size]."""
    return ganvas.read_image(SAMPLE).img[:, :, top : top + size, left : left + size].contiguous()


def best_sec(ways: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Each way's shortest time; the ways take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def speed() -> None:
    """128 → 512 px by three models, the networks alone and the whole of `upscale`."""
    photo = Photo(img=sample(128))
    nets = {name: ganvas.load(name) for name in (LIGHT_MODEL, QUICK, STRONG_MODEL)}
    for name, net in nets.items():
        ways: dict[str, Callable[[], object]] = {}
        for precision in PRECISIONS:
            ways[f"network {precision}"] = partial(_run, net, photo.img, precision)
            ways[f"upscale {precision}"] = partial(upscale, photo, model=net, precision=precision)
        for way, seconds in best_sec(ways, rounds=2 if name == STRONG_MODEL else 5).items():
            print(f"{name:22} {way:16} 128 → 512 px: {seconds:7.3f} s")


def quality(photos: Path) -> None:
    """compact-x4 beside Pillow's bicubic: each photo of a folder is made four times smaller, and large again."""
    net, config = ganvas.load(LIGHT_MODEL), UpscalerConfig(low_px=8)
    opened = as_photo_dataset(photos, config)
    rows = []
    headings = "".join(f"{name:>9}{'bicubic':>9}" for name in ("PSNR", "SSIM", "luma"))
    print(f"{'a border of 4 px left out':30}{headings}")
    for index, name in enumerate(opened.names):
        truth = to_multiple(opened.whole(index), 4)
        low = bicubic_downscale(truth, 4)
        ours, plain = (
            compute_sr_metrics([made], [truth], 4) for made in (upscale_pixels(net, low), bicubic_upscale(low, 4))
        )
        rows.append([found[key] for key in ("psnr", "ssim", "psnr_y") for found in (ours, plain)])
        _say_row(name, rows[-1])
    _say_row("mean", np.mean(rows, axis=0).tolist())
    mean = np.mean(rows, axis=0)
    print(f"gain: {mean[0] - mean[1]:+.2f} dB, SSIM {mean[2] - mean[3]:+.4f}, luma {mean[4] - mean[5]:+.2f} dB")


def _say_row(name: str, row: list[float]) -> None:
    a, b, c, d, e, f = row
    print(f"{name[:29]:30}{a:9.2f}{b:9.2f}{c:9.4f}{d:9.4f}{e:9.2f}{f:9.2f}")


def _run(net: torch.nn.Module, img: Tensor, precision: str) -> Tensor:
    with torch.no_grad():
        return net(img, precision=precision)


def compact() -> None:
    """Which small networks of our own would be quick enough: 128 → 512 px."""
    img = sample(128)
    for width, depth in ((32, 8), (32, 16), (48, 16), (64, 8), (64, 12), (64, 16), (64, 18)):
        net = SRVGG(SRVGGConfig(num_feat=width, num_conv=depth)).eval()
        times = best_sec({precision: partial(_run, net, img, precision) for precision in PRECISIONS})
        count = sum(parameter.numel() for parameter in net.parameters())
        told = ", ".join(f"{precision} {seconds:.3f} s" for precision, seconds in times.items())
        print(f"{width} wide, {depth:2} deep: {count:8,} parameters, {told}")


def ncnn() -> None:
    """The same weights, the same picture, the same threads: how near, and how fast beside ncnn."""
    import ncnn as theirs

    for name in (QUICK, STRONG_MODEL):
        stem = catalogue.resolve(name).with_suffix("")
        network = theirs.Net()
        network.opt.num_threads = torch.get_num_threads()
        network.opt.use_vulkan_compute = False
        network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
        network.opt.use_bf16_storage = False
        network.load_param(f"{stem}.param")
        network.load_model(f"{stem}.bin")
        net, img = ganvas.load(name), sample(64)

        pixels = ((img[0] + 1) / 2).numpy()
        run = partial(_by_ncnn, network, theirs.Mat(pixels))
        reference = torch.from_numpy(run().copy())[None]
        ways: dict[str, Callable[[], object]] = {"ncnn": run}
        for precision in PRECISIONS:
            off = ((_run(net, img, precision) + 1) / 2 - reference).abs() * 255
            within = float((off <= 1).float().mean())
            print(
                f"{name:22} {precision:6} differs from ncnn by {float(off.max()):.4f} levels at most, "
                f"{float(off.mean()):.4f} in the mean; {within:.2%} within one level"
            )
            ways[precision] = partial(_run, net, img, precision)
        times = best_sec(ways, rounds=6)
        told = ", ".join(f"{way} {seconds:.3f} s" for way, seconds in times.items())
        ratios = ", ".join(f"{p} {times['ncnn'] / times[p]:.2f} x" for p in PRECISIONS)
        print(f"{name:22} 64 → 256 px: {told}; beside ncnn: {ratios}")


def _by_ncnn(network: Any, picture: Any) -> np.ndarray:
    extractor = network.create_extractor()
    extractor.input("data", picture.clone())
    return np.array(extractor.extract("output")[1])


def seams() -> None:
    """The strong models, whole and in tiles, with the measured overlap and with the 10 px that others take."""
    for name in ("realesrgan-x4plus-anime", STRONG_MODEL):
        net = ganvas.load(name)
        print(f"{name}: its layers look {net.receptive_field_px} px far")
        for kind, img in _kinds().items():
            photo = Photo(img=img)
            overlap = overlap_for(net, img)
            run = partial(upscale, photo, model=net, lock_colours=False)
            whole = run(tile=1000).img
            ours, tens = (float((run(tile=150, tile_pad=pad).img - whole).abs().max()) * 127.5 for pad in (overlap, 10))
            print(f"  {kind:8} overlap {overlap:2} px: {ours:.3f} levels at most; with 10 px: {tens:.1f}")


def _kinds() -> dict[str, Tensor]:
    """Wide, low pictures of very different kinds: [1, 3, 64, 300]."""
    photo = ganvas.read_image(SAMPLE).img
    page = Image.new("RGB", (300, 64), "white")
    for top in range(0, 64, 12):
        ImageDraw.Draw(page).text(
            (3 + top, top), "The quick brown fox jumps over the lazy dog 0123456789", fill="black"
        )
    return {
        "helmet": photo[:, :, 380:444, 200:500].contiguous(),
        "flag": photo[:, :, 100:164, 0:300].contiguous(),
        "noise": torch.rand(1, 3, 64, 300, generator=torch.Generator().manual_seed(0)) * 2 - 1,
        "text": from_pixels(np.asarray(page)),
        "flat": torch.full((1, 3, 64, 300), 0.3),
        "ramp": torch.linspace(-1, 1, 300).expand(1, 3, 64, 300).contiguous(),
    }


def memory() -> None:
    """The most memory of a process that makes pictures of 6, 26 and 100 million pixels as PNG."""
    for side in (640, 1280, 2500):
        print(
            subprocess.run([sys.executable, __file__, "--big", str(side)], capture_output=True, text=True).stdout,
            end="",
        )


def big(side: int) -> None:
    """One picture of side × side pixels ×4, to a file."""
    with tempfile.TemporaryDirectory() as folder:
        source = write_image(Photo(img=torch.rand(1, 3, side, side) * 0.1), Path(folder) / "a.png")
        net, start = upscaler(LIGHT_MODEL), time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # after the picture was made and written
        config = UpscaleConfig(tile=256, precision="fast")
        upscale_file(Task(source, Path(folder) / "b.png"), net, config)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, megapixels = time.perf_counter() - start, 16 * side**2 / 1e6
        told = f"{after / 1024:.0f} MB at most ({before / 1024:.0f} before)"
        print(f"{megapixels:5.1f} million pixels: {seconds:.0f} s, {told}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("speed", "quality", "compact", "ncnn", "seams", "memory")
    parser.add_argument("parts", nargs="*", choices=[*names, []], help="which; none = all but ncnn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--big", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=Path, default=SAMPLE.parent, help="of quality; default: the sample photo")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    if options.big:
        big(options.big)
        return
    parts = {"speed": speed, "compact": compact, "ncnn": ncnn, "seams": seams, "memory": memory}
    parts["quality"] = partial(quality, options.photos)
    for part in options.parts or [name for name in names if name != "ncnn"]:
        parts[part]()


if __name__ == "__main__":
    main()
