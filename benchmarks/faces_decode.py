"""How quickly the `faces` generator paints, beside OpenVINO on the same file, in one run.

    python benchmarks/faces_decode.py                    (ganvas alone)
    pip install openvino, then again                     (beside OpenVINO)

Both get the same latents, both are warmed up, and their calls take turns, so that a busy moment of the machine falls on
both. Times are medians in milliseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.psnr_ssim import psnr_rgb
from ganvas.weights.catalogue.catalogue import resolve
from ganvas.weights.load import load

SEEDS = range(4)
TRUNCATION = 0.7


def openvino_calls(folder: Path) -> dict[str, Callable[[Tensor], Any]]:
    """w [1, 512] → picture, at OpenVINO's own choice of precision, and at float32; empty where it is not installed."""
    if importlib.util.find_spec("openvino") is None:
        return {}
    import openvino

    core, file = openvino.Core(), str(folder / "SynthesisNetwork.xml")
    exact = core.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    own = core.compile_model(file, "CPU")
    return {
        "OpenVINO, float32": lambda w: exact([w.numpy()])[0],
        "OpenVINO, its own choice": lambda w: own([w.numpy()])[0],
    }


def medians(calls: dict[str, Callable[[], Any]], *, repeats: int) -> dict[str, float]:
    """Milliseconds a call; the calls take turns."""
    for call in calls.values():
        call(), call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(taken) for name, taken in times.items()}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the four files; else the catalogue's faces")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    keep_freed_memory()
    folder = options.model or Path(resolve("faces"))
    G = load(folder)
    ws = G.mapping(latents_from_seeds(SEEDS, G.z_dim), truncation_psi=TRUNCATION)
    one, w = ws[:1], ws[:1, 0]
    theirs = openvino_calls(folder)
    calls: dict[str, Callable[[], Any]] = {
        "ganvas 1024 px, float32": lambda: G.synthesis(one),
        "ganvas 1024 px, fast": lambda: G.synthesis(one, precision="fast"),
        **{f"{name}, 1024 px": lambda call=call: call(w) for name, call in theirs.items()},
        **{
            f"ganvas {px} px, fast": lambda px=px: G.synthesis(one, resolution=px, precision="fast")
            for px in (512, 256)
        },
        "ganvas 256 px, float32": lambda: G.synthesis(one, resolution=256),
    }
    taken = medians(calls, repeats=options.repeats)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {options.repeats}")
    for name, ms in taken.items():
        print(f"  {name:40} {ms:7.1f} ms")
    exact, fast = G.synthesis(ws), G.synthesis(ws, precision="fast")
    print(f"fast against float32: {psnr_rgb(exact, fast).mean():.1f} dB (mean of {len(ws)} pictures)")
    if theirs:
        best = min(ms for name, ms in taken.items() if name.startswith("OpenVINO"))
        for kind in ("float32", "fast"):
            print(f"{kind}: {best / taken[f'ganvas 1024 px, {kind}']:.2f} times as fast as the faster OpenVINO")
        off = max(
            (torch.from_numpy(theirs["OpenVINO, float32"](x[None])) - y).abs().max()
            for x, y in zip(ws[:, 0], exact[:, None], strict=True)
        )
        print(f"largest difference of a pixel from OpenVINO: {off:.1e}")


if __name__ == "__main__":
    main()
