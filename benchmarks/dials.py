"""Every dial of `faces` on real people, after paste-back: what it moves, what else, who it still is; with sheets.

    python benchmarks/dials.py PHOTOS INVERSIONS --face-api DIR --mesh FILE --iris FILE --out DIR [--people a,b]

PHOTOS has NAME.jpg, INVERSIONS NAME.npz of `ganvas invert`. Each dial is set to both of its ends and looked at in the
pasted-back crop at 512 px by scorers that ganvas does not ship (tools/dial_scores.py, dlib's descriptor). A person and
a dial cost about 2.5 processor seconds; what was measured is kept in OUT and not measured again. Prints the table of
docs/editing.md: own score in standard deviations of natural samples, the score that moves most beside it a unit, dlib's
distance to the photo (mean and worst), and on how many people the critic finds the picture broken
(ganvas.features.naturalness).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.images.contact_sheet import make_captioned_grid
from ganvas.images.files import read_image, write_image
from ganvas.inversion.result import Inversion
from ganvas.session.open import open_session
from ganvas.weights.load import load

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from dial_scores import DialScores
from learn_dials import DIALS, HELD, derive
from scorers import Identity

LOOK_PX, SHEET_PX = 512, 256
NATURAL = Path(__file__).parents[1] / "tools" / "dial_spread.json"  # score → mean and deviation of natural samples
SCORE_OF = {name: dial.score for name, dial in DIALS.items()} | {"smile": "happy", "glasses": "glasses"}


def measure(session: Any, name: str, look: Any, identity: Identity, before: dict[str, float]) -> dict[str, Any]:
    """Both ends of a dial on one person, and the pictures."""
    photo, rows, pictures = session.renderer._target(LOOK_PX), {}, []
    for end in ("low", "high"):
        amount = getattr(session.directions[name], end)
        session.set(name, amount)
        img = session.preview(resolution=LOOK_PX)
        broken = session.renderer.is_broken(session.recipe)
        session.undo()
        after = look(img)
        moved = {score: after[score] - before[score] for score in before}
        distance = identity.distance(photo, img).item()
        rows[end] = {"amount": amount, "moved": moved, "identity": distance, "broken": broken}
        pictures.append(img)
    small = [
        torch.nn.functional.interpolate(one, (SHEET_PX, SHEET_PX), mode="area")
        for one in (pictures[0], photo, pictures[1])
    ]
    return {"rows": rows, "strip": torch.cat(small, dim=3)}


def in_deviations(look: DialScores, natural: dict[str, Any]) -> Any:
    """The scores of one picture in standard deviations of natural samples; unknown ones are left out."""
    means = {name: np.array([mean - sd, mean + sd]) for name, (mean, sd) in natural.items()}

    def score(img: Tensor) -> dict[str, float]:
        found = derive(look(img), means)
        return {name: float(found[name][0]) / sd for name, (_, sd) in natural.items() if name in found}

    return score


def row_of(name: str, people: list[dict[str, Any]]) -> str:
    """One line of the table."""
    score, cells = SCORE_OF[name], [name]
    for end in ("low", "high"):
        rows = [person[end] for person in people]
        amount = rows[0]["amount"]
        own = np.nanmean([row["moved"].get(score, np.nan) for row in rows])
        other = {s: np.nanmean([row["moved"][s] for row in rows]) / amount for s in HELD if s in rows[0]["moved"]}
        other.pop(score, None)
        worst = max(other, key=lambda s: abs(other[s]))
        far = [row["identity"] for row in rows]
        cells += [f"{amount:+g}: {own:+.2f}", f"`{worst}` {other[worst]:+.2f}", f"{np.mean(far):.2f} ({max(far):.2f})"]
        cells.append(str(sum(row["broken"] for row in rows)))
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("inversions", type=Path)
    for option in ("face-api", "mesh", "iris", "out"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--people", default="", help="names, default: all inversions")
    parser.add_argument("--only", default="", help="dials, default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    G, identity = load("faces"), Identity()
    scores = DialScores(face_api=arguments.face_api, mesh=arguments.mesh, iris=arguments.iris)
    look = in_deviations(scores, json.loads(NATURAL.read_text()))
    people = [one for one in arguments.people.split(",") if one] or [
        file.stem for file in sorted(arguments.inversions.glob("*.npz"))
    ]
    strips: dict[str, list[Tensor]] = {}
    kept: dict[str, list[dict[str, Any]]] = {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for who in people:
        inversion = Inversion.load(arguments.inversions / f"{who}.npz")
        session = open_session(arguments.photos / f"{who}.jpg", model=G, inversion=inversion)
        before = look(session.renderer._target(LOOK_PX))
        for name in [one for one in arguments.only.split(",") if one] or list(session.directions):
            file = arguments.out / f"{name}-{who}.json"
            if not file.exists():
                found = measure(session, name, look, identity, before)
                write_image(found["strip"], file.with_suffix(".png"))
                file.write_text(json.dumps(found["rows"]))
            kept.setdefault(name, []).append(json.loads(file.read_text()))
            strips.setdefault(name, []).append(read_image(file.with_suffix(".png")).img)
            print(who, name, flush=True)
    for name, strip in strips.items():
        captions = [f"{name}: low end, photo, high end"] * len(strip)
        write_image(
            make_captioned_grid(torch.cat(strip), captions, columns=2), arguments.out / f"{name}.jpg", quality=85
        )
    print("| dial | low end: own | others | identity | broken | high end: own | others | identity | broken |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, rows in kept.items():
        print(row_of(name, rows))


if __name__ == "__main__":
    main()
