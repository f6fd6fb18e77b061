"""Does `age=40y` show a person of forty in the finished photo, and is it still the same person?

    python benchmarks/ages.py PHOTOS --csv portraits.csv --inversions FOLDER --goals 40y 60y -10y --out results/

The table has the columns file, person, pose, age. FOLDER has the inversions that `benchmarks/inversion.py --portraits …
--save FOLDER` wrote. Only neutral photos are taken whose age the network that ships tells within three years: of the
others a goal in its years means nothing. Judged in the finished photo, by that network and by the one that taught it
(tools/scorers.py), with dlib's identity distance to the photo.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from ganvas.features.face_networks import score_faces
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import align_crop
from ganvas.inversion.result import Inversion
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.resample import downscale
from ganvas.session.open import open_session
from ganvas.weights.load import load
from scorers import AgeAndGender, Identity

CUT_PX, JUDGE_PX = 1024, 256
TOLD_YEARS = 3.0  # a person whose age the network tells


class Judge:
    """Networks that had no part in the search."""

    def __init__(self) -> None:
        self.ages, self.identity = AgeAndGender(), Identity()

    def compare(self, before: Tensor, after: Tensor) -> dict[str, float]:
        """Years before and after, and how far the person is from the photo; of cuts [1, 3, S, S]."""
        small = [downscale(x, JUDGE_PX) for x in (before, after)]
        first, last = (round(self.ages(x)[0].item(), 1) for x in small)
        identity = round(self.identity.distance(*small).item(), 3)
        return {"judge_before": first, "judge_after": last, "identity": identity}


def measure(
    row: dict[str, str], photo: Photo, G: Any, kept: Inversion, goal: str, judge: Judge
) -> tuple[dict[str, Any], Tensor]:
    """Figures of one person and goal; the finished cut [1, 3, S, S]."""
    session = open_session(photo, model=G, inversion=kept, align="faces")
    started = time.process_time()
    session.set("age", goal)
    search_sec, found = time.process_time() - started, session.last_auto
    crop, _ = align_crop(photo, aligned=True, inversion=kept)
    before, after = (crop.cut(img, resolution=CUT_PX).clamp(-1, 1) for img in (photo.img, session.render().img))
    with torch.no_grad():
        years = score_faces(after, "age").item()
    figures = {"amount": found.amount, "goal": found.goal, "reached": found.reached, "found": round(found.after, 1)}
    figures |= {"finished": round(years, 1), **judge.compare(before, after)}
    return {"file": row["file"], "true": row["age"], **figures, "search_cpu_sec": round(search_sec, 1)}, after


def told(row: dict[str, str], photo: Photo, kept: Inversion) -> bool:
    """Does the network that ships tell the person's age?"""
    crop, _ = align_crop(photo, aligned=True, inversion=kept)
    with torch.no_grad():
        return (
            abs(score_faces(crop.cut(photo.img, resolution=JUDGE_PX), "age").item() - float(row["age"])) <= TOLD_YEARS
        )


def summarize(rows: list[dict[str, Any]], goal: str) -> str:
    """A line for people."""

    def error(some: list[dict[str, Any]], key: str) -> str:
        return f"{statistics.mean(abs(row[key] - row['goal']) for row in some):.1f}" if some else "-"

    reached = [row for row in rows if row["reached"]]
    identity, seconds = ([row[key] for row in rows] for key in ("identity", "search_cpu_sec"))
    return (
        f"age={goal}: {len(rows)} people, reached {len(reached)}; years from the goal: by the network that ships "
        f"{error(rows, 'finished')} (where reached {error(reached, 'finished')}), by its teacher "
        f"{error(rows, 'judge_after')} ({error(reached, 'judge_after')}); identity {statistics.mean(identity):.3f} "
        f"(worst {max(identity):.3f}); CPU seconds of the search {statistics.mean(seconds):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--inversions", type=Path, required=True)
    parser.add_argument("--goals", nargs="+", default=["40y", "60y", "-10y"])
    parser.add_argument("--people", nargs="+", help="only these")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    G, judge = load("faces"), Judge()
    rows: dict[str, list[dict[str, Any]]] = {goal: [] for goal in options.goals}
    with options.csv.open(encoding="utf-8") as lines:
        table = [row for row in csv.DictReader(lines) if row["pose"] == "neutral" and row["age"]]
    for row in table:
        file = next(iter(sorted(options.inversions.glob(f"{Path(row['file']).stem}*.npz"))), None)
        if file is None or (options.people and row["person"] not in options.people):
            continue
        photo, kept = read_image(options.photos / row["file"]), Inversion.load(file)
        if not told(row, photo, kept):
            continue
        crop, _ = align_crop(photo, aligned=True, inversion=kept)
        strip = [crop.cut(photo.img, resolution=CUT_PX).clamp(-1, 1)]
        for goal in options.goals:
            figures, after = measure(row, photo, G, kept, goal, judge)
            rows[goal].append(figures)
            strip.append(after)
            print(json.dumps(figures), flush=True)
        write_image(Photo(img=torch.cat(strip, dim=3)), options.out / f"{Path(row['file']).stem}.jpg", quality=92)
    for goal, some in rows.items():
        if some:
            print(summarize(some, goal))


if __name__ == "__main__":
    main()
