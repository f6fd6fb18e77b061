"""Learn the dials of `faces` (edition 2): score samples, fit, measure units, write the directions that ship.

    python tools/learn_dials.py score --face-api DIR --mesh FILE --iris FILE --samples 6400 --out scores.npz
    python tools/learn_dials.py learn --face-api DIR --mesh FILE --iris FILE --scores scores.npz --out faces.safetensors

`score` goes on where it was stopped. `learn` regresses pose out of the scores, fits all of them, and takes for each
dial the shortest natural move that leaves the other fitted scores alone (ganvas.editing.discovery.natural), then
measures what a fitted unit does on latents that nothing was learnt from. The ends were chosen by looking at
photos after paste-back. `--like FILE` prints how near the result is to directions that are there, and writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dial_scores import LOOK_PX, DialScores
from ganvas.editing.directions import Direction, load_directions, save_directions
from ganvas.editing.discovery.natural import LatentSpread, find_natural_move, measure_spread, regress_out
from ganvas.editing.discovery.regression import RegressionFit, fit_scores
from ganvas.models.seeds import latents_from_seeds
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load

FIRST_SEED, BATCH, SAVED_EVERY = 1_000_000, 8, 200
PSI = (0.55, 1.0)  # the samples' truncation, mixed: wide enough to hold every attribute, most of them whole pictures
RIDGE, TAILS = 0.1, (0.005, 0.995)
MEASURED_AT, MEASURED_ON = 2.0, 12  # fitted units, latents
EDITION = 2
SHAPE, POSE, HAIR, COLOUR = tuple(range(12)), tuple(range(8)), tuple(range(14)), tuple(range(8, 23))
HEAD, FACE = ("face", "hair"), ("face",)
# Held for every dial, but for those that it may move. Pose is regressed out of the scores in POSED first.
HELD = (
    "yaw pitch age gender happy mouth_open mouth_width lips brow_height brow_tilt eyes_open lower_lids gaze_x gaze_y "
    "nose_width nose_length chin jaw cheeks skin_light skin_red skin_yellow hair_light hair_yellow hair_long hair_low "
    "fringe glasses chin_dark background_light light_x light_y"
).split()
POSED = (
    "mouth_open mouth_width lips brow_height brow_tilt brow_gap eyes_open lower_lids gaze_x gaze_y nose_width chin jaw "
    "cheeks frown light_x teeth"
).split()


@dataclass(frozen=True)
class Dial:
    """What a dial is learnt from: its score, the scores that may move along, the rows of ws that move; how (`power` and
    `slack`, see `find_natural_move`), and its ends, group and parts. `upward`: its unit is what a step up moves."""

    score: str
    free: str
    rows: tuple[int, ...] | None
    ends: tuple[float, float]  # in fitted units
    group: str = "expression"
    parts: tuple[str, ...] = FACE
    power: float = 0.5
    slack: float = 0.03
    upward: bool = False


_MOOD = "brow_height brow_tilt lips mouth_width eyes_open lower_lids happy mouth_open chin"
_SOFT: dict[str, Any] = {"power": 1.0, "slack": 0.1}
DIALS = {
    "mouth_open": Dial("mouth_open", "chin cheeks happy jaw", SHAPE, (-1.5, 3), upward=True),
    "eyes_open": Dial("eyes_open", "lower_lids", SHAPE, (-2.4, 2.4)),
    "anger": Dial("angry", _MOOD, SHAPE, (-1.6, 2.5), upward=True, **_SOFT),
    "sadness": Dial("sad", _MOOD, SHAPE, (-2, 2.5), **_SOFT),
    "surprise": Dial(
        "surprised", "brow_height mouth_open eyes_open chin cheeks mouth_width lips brow_tilt", SHAPE, (-2, 3)
    ),
    "teeth": Dial("teeth", "mouth_open", SHAPE, (-1.5, 2), upward=True),
    "brow_height": Dial("brow_height", "brow_tilt", SHAPE, (-2, 2)),
    "brow_tilt": Dial("brow_tilt", "", SHAPE, (-2, 2)),
    "frown": Dial("frown", "brow_height brow_tilt", SHAPE, (-2, 2)),
    "gaze_x": Dial("gaze_x", "", SHAPE, (-4, 4), **_SOFT),
    "age": Dial("age", "hair_light hair_yellow hair_low chin_dark", None, (-3, 3.1), "age", HEAD),
    "gender": Dial("gender", "chin_dark hair_long brow_height jaw lips hair_low", HAIR, (-2, 1.2), "age", HEAD),
    "yaw": Dial("yaw", "gaze_x light_x", POSE, (-1.5, 1.5), "pose", HEAD),
    "pitch": Dial("pitch", "nose_length chin gaze_y cheeks", POSE, (-2, 2), "pose", HEAD),
    "jaw": Dial("jaw", "cheeks", SHAPE, (-2, 1.5), "age"),
    "cheeks": Dial("cheeks", "jaw chin", SHAPE, (-2, 2), "age", HEAD),
    "hair_light": Dial("hair_light", "hair_yellow", COLOUR, (-2.6, 2.6), "hair", ("hair",)),
    "hair_long": Dial("hair_long", "", tuple(range(10)), (-2, 1.6), "hair", HEAD, upward=True, **_SOFT),
    "fringe": Dial("fringe", "hair_low", SHAPE, (-1.5, 2), "hair", HEAD, upward=True),
    "beard": Dial("beard", "chin_dark hair_low", HAIR, (-2.5, 2.5), "hair", **_SOFT),
    "skin_light": Dial("skin_light", "", COLOUR, (-1.8, 1.8), "skin"),
    "make_up": Dial("make_up", "", tuple(range(23)), (-0.5, 1.8), "skin"),
    "light_x": Dial("light_x", "", None, (-2, 2), "skin", HEAD),
}
_ALSO_HELD = {"beard": ("lids_dark", "cheek_texture")}


def score(arguments: argparse.Namespace) -> None:
    """Paint samples by the early exit and score them, in pieces that survive an interruption."""
    G, look, columns = load(arguments.model), _looker(arguments), {}
    if arguments.out.exists():
        columns = {name: [values] for name, values in np.load(arguments.out).items()}
    done = len(columns["w"][0]) if columns else 0
    for start in range(done, arguments.samples, BATCH):
        seeds = range(FIRST_SEED + start, FIRST_SEED + start + BATCH)
        with torch.no_grad():
            psi = torch.linspace(*PSI, BATCH)[:, None, None]
            mean = G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=0.0)
            ws = mean + psi * (G.mapping(latents_from_seeds(seeds, G.z_dim)) - mean)
            rows = {"w": ws[:, 0].numpy(), **look(_paint(G, ws))}
        for name, values in rows.items():
            columns.setdefault(name, []).append(np.asarray(values, np.float32))
        if (start + BATCH) % SAVED_EVERY == 0 or start + BATCH >= arguments.samples:
            part = arguments.out.with_suffix(".part.npz")
            np.savez(part, **{name: np.concatenate(pieces) for name, pieces in columns.items()})
            part.replace(arguments.out)
            print(start + BATCH, "samples", flush=True)


def derive(s: Mapping[str, np.ndarray], natural: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores made of several, in standard deviations of `natural` samples."""

    def z(name: str, low: float = -9, high: float = 9) -> np.ndarray:
        return np.clip((s[name] - np.nanmean(natural[name])) / np.nanstd(natural[name]), low, high)

    return {
        **s,
        "frown": -z("brow_gap") - z("brow_tilt"),
        "make_up": z("lips_colour") + 0.5 * z("lips_dark") + 0.7 * z("lids_dark"),
        "beard": z("chin_dark", -3, 3) + z("lip_dark", -3, 3) + z("chin_texture", -2, 4)
        - 0.8 * z("cheek_texture", -2, 4) - z("lids_dark", -2, 3),
    }  # fmt: skip


class Fits:
    """Every score as a linear function of w, in its own standard deviations."""

    def __init__(self, table: Mapping[str, np.ndarray]):
        self.w = torch.from_numpy(table["w"]).double()
        self.spread: LatentSpread = measure_spread(self.w)
        self.scores = derive({name: values for name, values in table.items() if name != "w"}, table)
        men = (self.scores["gender"] < -1) & (self.scores["age"] > 20)
        usual = np.nanmean(self.scores["beard"][men])
        self.scores["beard"] = np.where(men, self.scores["beard"], usual)  # all others say nothing of beards
        pose = torch.tensor(np.stack([self.scores["yaw"], self.scores["pitch"]], axis=1)).double()
        self._pose = torch.cat([pose, pose[:, :1] * pose[:, 1:]], dim=1)
        self._known: dict[str, RegressionFit] = {}

    def fit(self, name: str) -> RegressionFit:
        """Kept, since most scores are held by every dial."""
        if name not in self._known:
            y = torch.from_numpy(self.scores[name]).double()
            good = y.isfinite() & self._pose.isfinite().all(dim=1)
            low, high = np.quantile(y[good].numpy(), TAILS)
            y = y.clamp(low, high)[good]
            y = regress_out(y, self._pose[good]) if name in POSED else y
            self._known[name] = fit_scores(self.w[good], (y - y.mean()) / y.std(), ridge=RIDGE)
        return self._known[name]

    def learn(self, name: str, dial: Dial) -> Direction:
        """A dial whose amount 1 raises its fitted score by a standard deviation."""
        held = [other for other in HELD if other != dial.score and other not in dial.free.split()]
        held += _ALSO_HELD.get(name, ())
        own, others = self.fit(dial.score), [self.fit(other).slope for other in held]
        step = find_natural_move(own.slope, others, self.spread, power=dial.power, slack=dial.slack)
        facts = {"r2": round(own.quality, 3), "samples": own.samples, "method": "ridge", "metric": "natural"}
        facts |= {"edition": EDITION, "psi": f"{PSI[0]} to {PSI[1]}", "keep": held}
        return Direction(name, step.float()[None], dial.rows, *dial.ends, "", facts, "w", dial.group, dial.parts)


def learn(arguments: argparse.Namespace) -> None:
    """All dials, measured; smile, glasses and what else is in the file at --out stay."""
    table = dict(np.load(arguments.scores))
    fits, G = Fits(table), load(arguments.model)
    learnt = {name: fits.learn(name, dial) for name, dial in DIALS.items()}
    if arguments.like:
        for name, other in load_directions(arguments.like).items():
            if name in learnt:
                cosine = torch.cosine_similarity(learnt[name].vector, other.vector).item()
                print(f"{name:12s} R2 {learnt[name].facts['r2']:.2f}   cosine {cosine:.3f}", flush=True)
        return
    look = _looker(arguments)
    label = fingerprint(G)
    measured = {
        name: replace(_measured(G, look, d, table, fits.spread), fingerprint=label) for name, d in learnt.items()
    }
    kept = load_directions(arguments.out) if arguments.out.exists() else {}
    licence = "Learnt from outputs of `faces`, whose parent model is for non-commercial use only."
    save_directions(list((kept | measured).values()), arguments.out, licence=licence, origin="tools/learn_dials.py")


@torch.no_grad()
def _measured(
    G: Any, look: DialScores, direction: Direction, table: Mapping[str, np.ndarray], spread: LatentSpread
) -> Direction:
    """In measured units: amount 1 moves the score by a deviation of natural samples. The card says what else moves."""
    dial, natural = DIALS[direction.name], derive({k: v for k, v in table.items() if k != "w"}, table)
    ws = G.mapping(latents_from_seeds(range(MEASURED_ON), G.z_dim), truncation_psi=0.7)
    rows = list(dial.rows or range(G.num_ws))
    seen = []
    for amount in (-MEASURED_AT, 0.0, MEASURED_AT):
        moved = ws.clone()
        moved[:, rows] += amount * direction.vector
        seen.append(derive(look(_paint(G, moved)), table))

    def shift(name: str, a: int, b: int) -> float:
        return float(np.nanmean(seen[b][name] - seen[a][name]) / (b - a) / MEASURED_AT / np.nanstd(natural[name]))

    gain = shift(dial.score, 1, 2) if dial.upward else shift(dial.score, 0, 2)
    leaks = {other: round(shift(other, 0, 2) / gain, 2) for other in (*HELD, "teeth", "angry", "sad", "surprised")}
    facts = direction.facts | {"measured_gain": round(gain, 3), "unit": "measured"}
    facts["length"] = round(spread.length(direction.vector) / abs(gain), 1)
    facts["leakage"] = {other: by for other, by in leaks.items() if abs(by) >= 0.1 and other != dial.score}
    low, high = (round(end * gain, 2) for end in dial.ends)
    print(f"{direction.name:12s} gain {gain:+.2f}   {low:+g} to {high:+g}   length {facts['length']}", flush=True)
    return replace(direction, vector=direction.vector / gain, low=low, high=high, facts=facts)


def _paint(G: Any, ws: Tensor) -> Tensor:
    return G.synthesis(ws, precision="fast", resolution=LOOK_PX).float().clamp(-1, 1)


def _looker(arguments: argparse.Namespace) -> DialScores:
    return DialScores(face_api=arguments.face_api, mesh=arguments.mesh, iris=arguments.iris)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    jobs = {"score": score, "learn": learn}
    for name in jobs:
        command = commands.add_parser(name)
        command.add_argument("--model", default="faces")
        command.add_argument("--face-api", type=Path)
        command.add_argument("--mesh", type=Path)
        command.add_argument("--iris", type=Path)
        command.add_argument("--samples", type=int, default=6400)
        command.add_argument("--scores", type=Path)
        command.add_argument("--like", type=Path)
        command.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    jobs[arguments.command](arguments)


if __name__ == "__main__":
    main()
