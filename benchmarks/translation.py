"""Translating a picture whole and in strips of a ninth of it: time, memory at most, and how far the two are apart.

    python benchmarks/translation.py                       # CycleGAN's network with random weights, 768 px
    python benchmarks/translation.py --model vintage --px 1500

Each way runs in a process of its own, because memory at most is that of a process. Times are those of the processor, so
that what else the machine does matters little.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import ganvas
from ganvas.models import build
from ganvas.models.img2img import pad_to_rules

WAYS = {"whole": "exact", "strips": "exact", "strips, fast": "fast"}  # and their precision


def picture(px: int) -> torch.Tensor:
    """Soft colours below, noise above: statistics that no part has alone. [1, 3, px, px]."""
    rng = torch.Generator().manual_seed(0)
    soft = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=rng), size=px, mode="bicubic").clamp(0, 1)
    soft[:, :, : px // 2] += 0.3 * torch.randn(1, 3, px // 2, px, generator=rng)
    return soft.clamp(0, 1) * 2 - 1


def one(model: str, px: int, way: str, out: Path) -> None:
    """One way, in this process; what it took goes to stdout."""
    from ganvas.translation import TranslateConfig, run_translator, translator

    torch.manual_seed(0)
    net = build("cyclegan").eval() if model == "cyclegan" else translator(model)
    img = picture(px)
    small = pad_to_rules(img[:, :, :64, :64], net.size_rules)
    with torch.no_grad():
        net(small, precision=WAYS[way])  # the first call of a process makes kernels
    config = TranslateConfig(tile=px if way == "whole" else max(px // 3, 8), precision=WAYS[way])
    start = time.process_time()
    made = run_translator(net, img, config)
    took = time.process_time() - start
    torch.save(made, out)
    print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="cyclegan", help="cyclegan = random weights; or what ganvas translate -n takes"
    )
    parser.add_argument("--px", type=int, default=768)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        return one(options.model, options.px, options.way, options.out)
    print(f"ganvas {ganvas.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, {options.px} px")
    with tempfile.TemporaryDirectory() as folder:
        whole = None
        for way in WAYS:
            out = Path(folder, f"{way}.pt")
            command = [sys.executable, __file__, "--model", options.model, "--px", str(options.px), "--way", way]
            done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=True)
            took, most = json.loads(done.stdout.splitlines()[-1])
            made = torch.load(out, weights_only=True)
            whole = made if whole is None else whole
            off = float((made - whole).abs().max()) * 127.5
            print(f"{way:14} {took:7.1f} s of processor time   {most:5.2f} GiB   largest difference {off:.4f} levels")


if __name__ == "__main__":
    main()
