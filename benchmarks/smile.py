"""Does `smile=auto` make neutral people smile, and smiling people stop, in the finished photo, and are they the same?

    python benchmarks/smile.py FACES --csv faces256.csv --face-api DIR --count 24 --out results/

FACES is a folder of aligned faces, the table has its expression probabilities (`p_neutral`, `p_happy`). Each face is
inverted, the slider is set to auto, the change is pasted back, and the result is judged by networks that ganvas neither
ships nor trained on the way (tools/scorers.py): p(happy), and dlib's identity distance to the photo. The small scorer
inside ganvas that decides when to stop was taught by that same expression network.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from ganvas.features.efficientnet import load_efficientnet
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.optimise import EFFORT_STAGES, invert
from ganvas.inversion.result import Inversion
from ganvas.ops.allocator import keep_freed_memory
from ganvas.session.open import open_session
from ganvas.weights.load import load
from scorers import Expression, Identity

HAPPY = 1  # place of p(happy) in scorers.EXPRESSIONS


def chosen(table: Path, column: str, count: int, skip: int = 0) -> list[str]:
    """The surest faces with that expression, every source in turn, from the `skip`-th on."""
    with table.open(encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if float(r["det_score"]) > 0.95 and float(r["pad_frac"]) < 0.1]
    rows = sorted((r for r in rows if float(r[column]) > 0.95), key=lambda r: (-int(r["native_crop_px"]), r["file"]))
    by_source: dict[str, list[str]] = {}
    for row in rows:
        by_source.setdefault(row["source"], []).append(row["file"])
    turns = [file for files in zip(*by_source.values(), strict=False) for file in files]
    return turns[skip : skip + count]


def found_in(photo: Photo, G: Any, extractor: Any, effort: str, kept: Path) -> Inversion:
    """The photo's inversion; one that an earlier run kept is taken again."""
    if kept.exists():
        return Inversion.load(kept)
    target = torch.nn.functional.interpolate(photo.img, (G.img_resolution, G.img_resolution), mode="bilinear")
    found = invert(target, G, effort=effort, extractor=extractor)
    side = float(photo.width)
    found = replace(found, crop=(side / 2, side / 2, side, 0.0))
    found.save(kept)
    return found


def edited(photo: Photo, G: Any, found: Inversion, amount: str) -> tuple[Tensor, float]:
    """The photo after the edit, and the amount it took."""
    session = open_session(photo, model=G, inversion=found, align="faces")
    taken = session.set("smile", amount)
    return session.render().img, taken


def main() -> None:
    """Read the command line, measure, print, write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--face-api", type=Path, required=True)
    parser.add_argument("--effort", choices=EFFORT_STAGES, default="standard")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--skip", type=int, default=0, help="leave so many of the surest faces out")
    parser.add_argument("--only", choices=("auto", "-auto"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    G, extractor = load("faces"), load_efficientnet()
    expression, identity = Expression(options.face_api), Identity()
    for amount, column in (("auto", "p_neutral"), ("-auto", "p_happy")):
        if options.only not in (None, amount):
            continue
        rows, pairs = [], []
        for name in chosen(options.csv, column, options.count, options.skip):
            photo = read_image(options.faces / name)
            kept = options.out / f"{Path(name).stem}-{options.effort}.npz"
            img, taken = edited(photo, G, found_in(photo, G, extractor, options.effort, kept), amount)
            with torch.no_grad():
                before, after = (expression(x)[0, HAPPY].item() for x in (photo.img, img))
            row = {"before": before, "after": after, "amount": taken, "id": identity.distance(photo.img, img).item()}
            rows.append(row)
            pairs.append(torch.cat([photo.img, img], dim=2))
            print(json.dumps({"file": name, **{k: round(v, 3) for k, v in row.items()}}), flush=True)
        if not rows:
            parser.error(f"the table has no face with {column} above .95")
        reached = [row["after"] > 0.8 if amount == "auto" else row["after"] < 0.2 for row in rows]
        print(
            f"smile={amount}, {options.effort}: {sum(reached)} of {len(rows)} reached, identity distance mean "
            f"{statistics.mean(row['id'] for row in rows):.3f}, worst {max(row['id'] for row in rows):.3f}",
            flush=True,
        )
        write_image(Photo(img=torch.cat(pairs, dim=3)), options.out / f"smile{amount}.png")


if __name__ == "__main__":
    main()
