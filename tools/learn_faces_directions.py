"""Learn the directions that ship for the model `faces`, and check them on seeds that were not used.

    python tools/learn_faces_directions.py score  --face-api DIR --samples 12000 --out scores.npz
    python tools/learn_faces_directions.py learn  --scores scores.npz --out ganvas/editing/shipped/faces.safetensors
    python tools/learn_faces_directions.py check  --face-api DIR --directions FILE --seeds 500 --sheet sheet.png

`score` renders samples of the generator and has them judged by the development scorers of scorers.py; it goes on where
it was stopped. `learn` is quick. `check` prints the table of the documentation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.directions import Direction, load_directions, move, save_directions
from ganvas.editing.learn import learn_direction
from ganvas.features.faces import FaceFinder
from ganvas.models.protocol import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load
from scorers import EXPRESSIONS, AgeAndGender, Expression

RENDER_PX = 256
PSI = 0.9  # natural samples: wide enough to hold every attribute, without the broken pictures of psi 1
FIRST_SEED = 1_000_000  # the samples' seeds; the check uses low ones
BATCH = 8
KEEP_PX = 72


class Judge:
    """All scores of a batch of aligned faces, by name."""

    def __init__(self, face_api: Path, mtcnn: Path | None = None):
        self.expression = Expression(face_api)
        self.age_and_gender = AgeAndGender()
        self.finder = FaceFinder(mtcnn)

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, Tensor]:
        """[N] a score."""
        scores = {f"p_{name}": p for name, p in zip(EXPRESSIONS, self.expression(img).T, strict=True)}
        scores["age"], scores["female"] = self.age_and_gender(img)
        faces = [self._face(picture[None]) for picture in img]
        scores["found"] = torch.tensor([float(face is not None) for face in faces])
        scores["yaw"] = torch.tensor([_yaw(face) for face in faces])
        scores["pitch"] = torch.tensor([_pitch(face) for face in faces])
        scores["hair_light"] = _light(img[:, :, 8:40, 88:168])
        scores["skin_light"] = _light(img[:, :, 140:165, 85:171])
        return scores

    def _face(self, img: Tensor) -> Tensor | None:
        faces = self.finder.find(img, turn=False)
        return faces[0].points if faces else None


def _yaw(points: Tensor | None) -> float:
    """Where the nose stands between the eyes: 0 = midway, ±1 = below one of them."""
    if points is None:
        return float("nan")
    left, right, nose = points[0], points[1], points[2]
    along = right - left
    return (torch.dot(nose - left, along) / along.square().sum()).item() * 2 - 1


def _pitch(points: Tensor | None) -> float:
    """How far down the nose stands between eyes and mouth: a head that looks up has a high nose."""
    if points is None:
        return float("nan")
    eyes, mouth = points[:2].mean(dim=0), points[3:].mean(dim=0)
    down = mouth - eyes
    return (torch.dot(points[2] - eyes, down) / down.square().sum()).item()


def _light(part: Tensor) -> Tensor:
    weights = part.new_tensor([0.299, 0.587, 0.114])
    return (part * weights[None, :, None, None]).sum(dim=1).mean(dim=(1, 2))


def score(arguments: argparse.Namespace) -> None:
    """Render and judge samples, in pieces that survive an interruption."""
    G, judge = load(arguments.model), Judge(arguments.face_api, arguments.mtcnn)
    done: dict[str, list[np.ndarray]] = {}
    if arguments.out.exists():
        done = {name: [rows] for name, rows in np.load(arguments.out).items()}
    have = sum(map(len, done.get("w", [])))
    started, first = time.monotonic(), have
    while have < arguments.samples:
        z = latents_from_seeds(range(FIRST_SEED + have, FIRST_SEED + have + BATCH), G.z_dim)
        with torch.no_grad():
            ws = G.mapping(z, truncation_psi=PSI)
            img = torch.cat([G.synthesis(row[None], resolution=RENDER_PX, precision="fast") for row in ws])
        small = F.interpolate(img[:, :, 32:-32, 32:-32].float(), (KEEP_PX, KEEP_PX), mode="area")  # for learn_scorers
        pixels = (small.clamp(-1, 1) + 1).mul(127.5).round().byte().numpy()
        rows = {
            "w": ws[:, 0].numpy(),
            "small": pixels,
            **{name: s.numpy() for name, s in judge(img.float().clamp(-1, 1)).items()},
        }
        for name, values in rows.items():
            done.setdefault(name, []).append(values)
        have += BATCH
        late = bool(arguments.minutes) and time.monotonic() - started > 60 * arguments.minutes
        if have % 800 == 0 or have >= arguments.samples or late:
            part = arguments.out.with_suffix(".part.npz")
            np.savez(part, **{name: np.concatenate(values) for name, values in done.items()})
            part.replace(arguments.out)
            left_sec = (time.monotonic() - started) / (have - first) * (arguments.samples - have)
            print(f"{have} samples, about {left_sec / 60:.1f} minutes left", flush=True)
        if late:
            return


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
}
KEEP = {
    "smile": ["age", "gender", "yaw", "skin_light"],
    "age": ["smile", "gender", "yaw", "skin_light"],
    "gender": ["smile", "age", "yaw"],
    "yaw": [],
    "pitch": ["yaw", "smile"],
    "hair_light": ["age", "gender", "skin_light"],
    "skin_light": ["age", "gender", "smile"],
}
RANGES = {"smile": 7.0, "age": 5.0, "gender": 5.0}  # how far a slider goes either way; the others go to 3
# Rows of ws that move; the others move all. With rows 3-7 a smile is as wide, and what is outside the face changes half
# as much: on neutral samples amount 3 gives p(happy) .91 (all rows .93), 3.9 grey levels of change outside (8.5).
LAYERS = {"smile": (3, 4, 5, 6, 7)}


def learn(arguments: argparse.Namespace) -> None:
    """Ridge regression of every score on w, with the other attributes held still."""
    scores = dict(np.load(arguments.scores))
    good = scores["found"] > 0
    w = torch.from_numpy(scores["w"][good])
    targets = {n: torch.from_numpy(np.asarray(f(scores))[good]).float() for n, f in TARGETS.items()}
    plain = {name: learn_direction(w, y, name=name) for name, y in targets.items()}
    name_of = fingerprint(load(arguments.model))
    learnt = []
    for name, y in targets.items():
        keep = [plain[other].vector[0] for other in KEEP[name]]
        d = learn_direction(w, y, name=name, keep=keep)
        facts = {**d.facts, "keep": KEEP[name], "psi": PSI}
        high = RANGES.get(name, 3.0)
        learnt.append(Direction(name, d.vector, LAYERS.get(name), -high, high, name_of, facts))
        print(f"{name:12s} R2 {d.facts['r2']:.3f}   length {d.vector.norm():.2f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_directions(
        learnt,
        arguments.out,
        licence="Learnt from outputs of `faces`, whose parent model is for non-commercial use only.",
        origin=f"tools/learn_faces_directions.py, {len(w)} samples at psi {PSI}",
    )


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
            img = torch.cat(
                [G.synthesis(row[None], resolution=RENDER_PX, precision="fast") for row in ws[at : at + BATCH]]  # type: ignore[attr-defined]
            )
        rows.append(judge(img.float().clamp(-1, 1)))
    return {name: torch.cat([row[name] for row in rows]).numpy() for name in rows[0]}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("score", "learn", "check"):
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
    arguments = parser.parse_args()
    keep_freed_memory()
    {"score": score, "learn": learn, "check": check}[arguments.command](arguments)


if __name__ == "__main__":
    main()
