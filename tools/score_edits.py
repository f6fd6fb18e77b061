"""Edited faces with the development scorers' opinions: what the small face scorer must judge when a slider is at work.

    python tools/score_edits.py --face-api DIR --samples 4000 --out edits.npz
    python tools/score_edits.py --face-api DIR --faces DIR --csv faces256.csv --count 60 --out photos.npz

The first form moves the generator's own samples along the shipped directions, the second real photos: inverted, edited,
pasted back. Photos that benchmarks/smile.py measures are left out. The files are read by `learn_scorers.py --scores`.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from learn_scorers import CUT_PX
from smile import chosen, found_in

from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import move_along_direction
from ganvas.editing.move import Move
from ganvas.features.efficientnet import load_efficientnet
from ganvas.images.files import read_image
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.session.open import open_session
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load
from scorers import EXPRESSIONS, AgeAndGender, Expression

FIRST_SEED = 2_000_000  # other samples than learn_faces_directions.py scored
PLACES = 40  # of the sliders, for each photo
ALSO = ("age", "gender", "yaw", "pitch")


def samples(G: Any, count: int) -> Iterator[Tensor]:
    """The generator's samples, each moved along the smile and one other direction."""
    directions, dice = directions_of(fingerprint(G)), random.Random(0)
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        with torch.no_grad():
            ws = G.mapping(latents_from_seeds([seed], G.z_dim), truncation_psi=dice.choice((0.6, 0.8)))
            ws = move_along_direction(ws, directions["smile"], dice.uniform(-7, 7))
            ws = move_along_direction(ws, directions[dice.choice(ALSO)], dice.uniform(-2, 2))
            img = G.synthesis(ws, precision="fast")  # whole, as sessions look at it: an early exit is paler
        yield F.avg_pool2d(img.float(), 4).clamp(-1, 1)


def photos(G: Any, folder: Path, table: Path, count: int, keep: Path) -> Iterator[Tensor]:
    """Real photos at every other place of the smile slider, as `Session.preview` shows them."""
    with table.open(encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if float(r["det_score"]) > 0.95 and float(r["pad_frac"]) < 0.1]
    measured = {name for column in ("p_neutral", "p_happy") for name in chosen(table, column, 60)}
    files = sorted(row["file"] for row in rows if row["file"] not in measured)
    dice = random.Random(0)
    dice.shuffle(files)
    extractor = load_efficientnet()
    for name in files[:count]:
        photo = read_image(folder / name)
        found = found_in(photo, G, extractor, "fast", keep / f"{Path(name).stem}-fast.npz")
        session = open_session(photo, model=G, inversion=found, align="faces")
        for amount in sorted(dice.uniform(-7, 7) for _ in range(PLACES)):
            other = Move(direction=dice.choice(ALSO), amount=dice.choice((0, 0, dice.uniform(-1.5, 1.5))))
            session.replay(replace(session.recipe, steps=(Move(direction="smile", amount=amount), other)))
            yield session.preview()


def main() -> None:
    """Read the command line, render, judge, write after every 200 pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face-api", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    keep_freed_memory()
    G, judge, ages = load("faces"), Expression(a.face_api), AgeAndGender()
    pictures = samples(G, a.samples) if a.samples else photos(G, a.faces, a.csv, a.count, a.out.parent)
    rows: list[tuple[np.ndarray, ...]] = []
    started = time.monotonic()
    for img in pictures:
        with torch.no_grad():
            age, female = ages(img)
            small = F.interpolate(img[:, :, 32:-32, 32:-32], (CUT_PX, CUT_PX), mode="area")
            pixels = ((small + 1) * 127.5).round().byte()
            rows.append((pixels.numpy(), judge(img).numpy(), age.numpy(), female.numpy()))
        if len(rows) % 200 == 0:
            _write(a.out, rows)
            print(f"{len(rows)} pictures, {time.monotonic() - started:.0f} s", flush=True)
    _write(a.out, rows)


def _write(out: Path, rows: list[tuple[np.ndarray, ...]]) -> None:
    small, p, age, female = (np.concatenate(column) for column in zip(*rows, strict=True))
    part = out.with_suffix(".part.npz")
    np.savez(part, small=small, age=age, female=female, **{f"p_{n}": p[:, i] for i, n in enumerate(EXPRESSIONS)})
    part.replace(out)


if __name__ == "__main__":
    main()
