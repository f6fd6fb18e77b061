"""Full-size portraits of people who were photographed neutral and smiling: does `smile=auto` lead to their own smile?

    python benchmarks/smile_portraits.py PHOTOS --csv portraits.csv --inversions FOLDER --face-api DIR --out results/

The table has the columns file, person, pose (neutral, smiling), gender, ethnicity_self_reported. FOLDER has the
inversions that `benchmarks/inversion.py --portraits … --save FOLDER` wrote. Each neutral photo gets `smile=auto` and
each smiling one `-auto`; everything is judged in the finished photo, cut as FFHQ's faces are, by networks that ganvas
does not ship (tools/scorers.py): dlib's identity distance to the photo and to the person's photo of the other pose,
p(happy), and the distance of EfficientNet's features to the other photo, before and after. With --mesh (see
tools/scorers.py) also the shape of the mouth alone: how far its 20 landmarks are from those of the other photo, in
hundredths of the distance of the eyes' outer corners, the faces brought onto each other by eyes and nose.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from ganvas.features.efficientnet import feature_distance, load_efficientnet
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import align_crop
from ganvas.inversion.result import Inversion
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.resample import downscale
from ganvas.session.open import open_session
from ganvas.weights.load import load
from scorers import Expression, Identity, Landmarks

HAPPY = 1  # place of p(happy) in scorers.EXPRESSIONS
CUT_PX, JUDGE_PX = 1024, 256
GOALS = {"neutral": "auto", "smiling": "-auto"}
OUTER_CORNERS = [36, 45]  # places among 68 landmarks
STILL = [36, 39, 42, 45, 27, 28, 29, 30]  # corners of the eyes, the nose's bridge: no smile moves them
MOUTH = slice(48, 68)


class Judge:
    """Figures of a finished photo, by networks that had no part in it."""

    def __init__(self, face_api: Path, mesh: Path | None = None):
        self.expression, self.identity, self.extractor = Expression(face_api), Identity(), load_efficientnet()
        self.landmarks = None if mesh is None else Landmarks(mesh)

    @torch.no_grad()
    def compare(self, photo: Tensor, result: Tensor, other: Tensor) -> dict[str, float]:
        """Of cuts [1, 3, S, S]: the photo, its edit, and the person's photo of the other pose."""
        before, after, goal = (downscale(x, JUDGE_PX) for x in (photo, result, other))
        happy = [self.expression(x)[0, HAPPY].item() for x in (before, after, goal)]
        pairs = {"photo": (before, after), "other": (goal, after), "photo_other": (before, goal)}
        return {
            **dict(zip(("happy_before", "happy_after", "happy_other"), happy, strict=True)),
            **{f"id_{name}": self.identity.distance(a, b).item() for name, (a, b) in pairs.items()},
            **{f"fd_{name}": self._features(a, b) for name, (a, b) in pairs.items()},
            **({} if self.landmarks is None else self._mouths(photo, result, other)),
        }

    def _mouths(self, photo: Tensor, result: Tensor, other: Tensor) -> dict[str, float]:
        before, after, goal = self.landmarks(torch.cat([photo, result, other]))
        scale = 100 / (before[OUTER_CORNERS[0]] - before[OUTER_CORNERS[1]]).norm()
        goal = lay_onto(goal, before)[MOUTH]
        names = {"mouth_photo_other": before, "mouth_other": lay_onto(after, before)}
        return {name: ((at[MOUTH] - goal).norm(dim=1).mean() * scale).item() for name, at in names.items()}

    def _features(self, a: Tensor, b: Tensor) -> float:
        return feature_distance(self.extractor.features(a), self.extractor.features(b)).item()


def lay_onto(points: Tensor, onto: Tensor) -> Tensor:
    """Landmarks [68, 2] moved, turned and scaled so that the still ones lie on another face's, by least squares."""
    middles = [each[STILL].mean(dim=0) for each in (points, onto)]
    a, b = (torch.view_as_complex(each[STILL] - middle) for each, middle in zip((points, onto), middles, strict=True))
    turn = (a.conj() * b).sum() / a.abs().square().sum()
    return torch.view_as_real(torch.view_as_complex(points - middles[0]) * turn) + middles[1]


def edit_person(photo: Photo, G: Any, inversion: Inversion, amount: str) -> tuple[Tensor, Tensor, Any]:
    """(cut of the photo, the same cut of the finished photo, what the search for the amount says)."""
    session = open_session(photo, model=G, inversion=inversion, align="faces")
    session.set("smile", amount)
    crop, _ = align_crop(photo, aligned=True, inversion=inversion)
    cuts = [crop.cut(img, resolution=CUT_PX).clamp(-1, 1) for img in (photo.img, session.render().img)]
    return cuts[0], cuts[1], session.last_auto


def summarize(rows: list[dict[str, Any]], goal: str) -> list[str]:
    """Lines for people: all, then each group of gender and ethnicity."""

    def mean(some: Iterable[dict[str, Any]], key: str) -> float:
        return statistics.mean(row[key] for row in some)

    def line(name: str, some: list[dict[str, Any]]) -> str:
        kinds = [kind for kind in ("id", "fd", "mouth") if f"{kind}_other" in some[0]]
        nearer = [sum(row[f"{kind}_other"] < row[f"{kind}_photo_other"] for row in some) for kind in kinds]
        shape = (
            f", mouth {mean(some, 'mouth_photo_other'):.2f} → {mean(some, 'mouth_other'):.2f} (nearer {nearer[2]})"
            if "mouth" in kinds
            else ""
        )
        return (
            f"{name:24} n {len(some):2}  identity to the photo {mean(some, 'id_photo'):.3f} "
            f"(worst {max(row['id_photo'] for row in some):.3f})  reached {sum(row['reached'] for row in some)}  "
            f"p(happy) {mean(some, 'happy_before'):.2f} → {mean(some, 'happy_after'):.2f}, other photo "
            f"{mean(some, 'happy_other'):.2f}  to the other photo: dlib {mean(some, 'id_photo_other'):.3f} → "
            f"{mean(some, 'id_other'):.3f} (nearer {nearer[0]}), features {mean(some, 'fd_photo_other'):.3f} → "
            f"{mean(some, 'fd_other'):.3f} (nearer {nearer[1]}){shape}"
        )

    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["gender"]].append(row)
        groups[row["ethnicity"]].append(row)
    return [line(f"smile={goal}", rows), *(line(name, some) for name, some in sorted(groups.items()))]


def main() -> None:
    """Read the command line, measure, print, write a strip of each person: photo, edit, the other photo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--inversions", type=Path, required=True)
    parser.add_argument("--face-api", type=Path, required=True)
    parser.add_argument("--mesh", type=Path, help="face_landmark.tflite: the shape of the mouth too")
    parser.add_argument("--people", nargs="+", help="only these")
    parser.add_argument("--only", choices=GOALS.values())
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    with options.csv.open(encoding="utf-8") as lines:
        table = {(row["person"], row["pose"]): row for row in csv.DictReader(lines)}
    G, judge = load("faces"), Judge(options.face_api, options.mesh)
    for pose, goal in GOALS.items():
        if options.only not in (None, goal):
            continue
        rows = []
        for (person, this), row in table.items():
            other = table.get((person, "smiling" if pose == "neutral" else "neutral"))
            kept = next(iter(sorted(options.inversions.glob(f"{Path(row['file']).stem}*.npz"))), None)
            if this != pose or other is None or kept is None or (options.people and person not in options.people):
                continue
            photo, goal_photo = (read_image(options.photos / each["file"]) for each in (row, other))
            before, after, found = edit_person(photo, G, Inversion.load(kept), goal)
            crop, _ = align_crop(goal_photo, aligned=True)
            real = crop.cut(goal_photo.img, resolution=CUT_PX).clamp(-1, 1)
            figures = {name: round(value, 3) for name, value in judge.compare(before, after, real).items()}
            facts = {"gender": row["gender"], "ethnicity": row["ethnicity_self_reported"], "amount": found.amount}
            rows.append({"file": row["file"], **facts, "reached": found.reached, **figures})
            print(json.dumps(rows[-1]), flush=True)
            strip = torch.cat([before, after, real], dim=3)
            write_image(Photo(img=strip), options.out / f"{Path(row['file']).stem}.jpg", quality=92)
        if rows:
            print("\n".join(summarize(rows, goal)), flush=True)


if __name__ == "__main__":
    main()
