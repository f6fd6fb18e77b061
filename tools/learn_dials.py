"""Learn the dials of `faces`: score samples, fit, try the fitted moves on people, write the directions that ship.

    python tools/learn_dials.py score --face-api DIR --mesh FILE --iris FILE --samples 6400 --out scores.npz
    python tools/learn_dials.py respond … --scores scores.npz --people INVERSIONS --out responses.npz
    python tools/learn_dials.py learn … --scores scores.npz --people INVERSIONS --responses responses.npz --out FILE

`score` and `respond` go on where they were stopped. `learn` regresses pose out of the scores, fits all of them, and
takes for each score the shortest natural move that leaves the other fitted scores alone. `respond` tries these on
inverted people (.npz of `ganvas invert`) and scores what is seen; most dials are the sum of moves that, by what was
seen, raises their own score and leaves the others alone (ganvas.editing.discovery.natural has both). Then `learn`
measures what a unit does, on the same people. `--only a,b` learns some of them. The ends were chosen by looking at
photos after paste-back. `--like FILE` prints how near the result is to directions that are there, and writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learn_faces_directions import ZONE
from torch import Tensor

from dial_scores import LOOK_PX, DialScores
from ganvas.editing.acting import region_of_discs
from ganvas.editing.directions import Direction, load_directions, save_directions
from ganvas.editing.discovery.natural import (
    LatentSpread,
    combine_moves,
    find_natural_move,
    measure_spread,
    regress_out,
)
from ganvas.editing.discovery.regression import RegressionFit, fit_scores
from ganvas.inversion.result import Inversion
from ganvas.models.seeds import latents_from_seeds
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load

FIRST_SEED, BATCH, SAVED_EVERY = 1_000_000, 8, 200
PSI = (0.55, 1.0)  # the samples' truncation, mixed: wide enough to hold every attribute, most of them whole pictures
RIDGE, TAILS = 0.1, (0.005, 0.995)
TRIED_AT = 1.0  # fitted units
WORN = (0.6, 0.94)  # quantiles of the score of glasses: surely none below, surely some above
EDITION = 4
SHAPE, POSE, HAIR, COLOUR = tuple(range(12)), tuple(range(8)), tuple(range(14)), tuple(range(8, 23))
HEAD, FACE = ("face", "hair"), ("face",)
# Discs (x, y, radius) in sides of the aligned crop; eyes lie at the same place in all of them.
LEFT_EYE = ((0.345, 0.472, 0.05), (0.42, 0.472, 0.05))
RIGHT_EYE = tuple((round(1 - x, 3), y, radius) for x, y, radius in LEFT_EYE)
AROUND_EYES = tuple((x, y + 0.01, round(radius + 0.015, 3)) for x, y, radius in LEFT_EYE + RIGHT_EYE)
NOSE, MOUTH = ((0.5, 0.55, 0.05), (0.5, 0.61, 0.085)), ((0.45, 0.735, 0.07), (0.55, 0.735, 0.07))
SHUT = -2.8  # of `eyes_open`: most eyes are closed
# Held for every dial, but for those that it may move. Pose is regressed out of the scores in POSED first.
HELD = (
    "yaw pitch age gender happy mouth_open mouth_width lips brow_height brow_tilt eyes_open lower_lids gaze_x gaze_y "
    "nose_width nose_length chin jaw cheeks skin_light skin_red skin_yellow hair_light hair_yellow hair_long hair_low "
    "fringe glasses chin_dark background_light light_x light_y"
).split()
POSED = (
    "mouth_open mouth_width lips brow_height brow_tilt brow_gap eyes_open lower_lids gaze_x gaze_y nose_width chin jaw "
    "cheeks frown light_x teeth nose_length"
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
    combined: float | None = None  # the slack of `combine_moves`; None = the fitted move alone
    unit: float | None = None  # fitted units that amount 1 is, where an attribute is there or not; None = measured
    discs: tuple[tuple[float, float, float], ...] = ()  # where it is painted, see `Direction`
    holds: str = ""  # the scores that it leaves alone, where discs take care of the others; "" = HELD
    made_of: tuple[tuple[str, float], ...] = ()  # dials that it is the sum of: nothing is fitted
    plus: tuple[tuple[str, float], ...] = ()  # what of other dials is added to an amount of 1, after looking at people

    @property
    def held(self) -> list[str]:
        """The scores that it leaves alone."""
        if self.holds:
            return self.holds.split()
        return [other for other in HELD if other != self.score and other not in self.free.split()]


# The scores along which moves are tried on people: those that are held, and what else a dial may need.
TRIED = [*HELD, *("teeth brow_gap frown angry sad surprised disgusted fearful beard make_up lip_dark").split()]
TRIED += "lids_dark cheek_texture lips_colour".split()
_MOOD = "brow_height brow_tilt lips mouth_width eyes_open lower_lids happy mouth_open chin"
_SOFT: dict[str, Any] = {"power": 1.0, "slack": 0.1}
DIALS = {
    "mouth_open": Dial("mouth_open", "chin cheeks happy jaw", SHAPE, (-1.5, 3), upward=True),
    "eyes_open": Dial("eyes_open", "lower_lids", SHAPE, (-5.3, 2.4), discs=LEFT_EYE + RIGHT_EYE),
    "wink_left": Dial("eye_left", "", SHAPE, (-0.4, 1), unit=1, discs=LEFT_EYE, made_of=(("eyes_open", SHUT),)),
    "wink_right": Dial("eye_right", "", SHAPE, (-0.4, 1), unit=1, discs=RIGHT_EYE, made_of=(("eyes_open", SHUT),)),
    "squint": Dial(
        "squint", "", SHAPE, (-0.5, 1.3), unit=1, discs=AROUND_EYES, made_of=(("smile", 1.0), ("eyes_open", -0.45))
    ),
    "anger": Dial("angry", _MOOD, SHAPE, (-1, 1.2), combined=0.003),
    "sadness": Dial("sad", _MOOD, SHAPE, (-1, 1), combined=0.003),
    "surprise": Dial(
        "surprised", "brow_height mouth_open eyes_open chin cheeks mouth_width lips brow_tilt", SHAPE, (-2, 3)
    ),
    "teeth": Dial("teeth", "mouth_open", SHAPE, (-1.5, 2), upward=True),
    "mouth_width": Dial("mouth_width", "", SHAPE, (-0.6, 1), combined=0.003),
    "pout": Dial(
        "lips",
        "",
        SHAPE,
        (-1.5, 3.5),
        unit=3,
        discs=MOUTH,
        holds="yaw pitch age gender mouth_open happy mouth_width skin_light",
    ),
    "nose_width": Dial(
        "nose_width", "", SHAPE, (-4, 4), "age", unit=4, discs=NOSE, holds="yaw pitch age gender skin_light nose_length"
    ),
    "nose_length": Dial(
        "nose_length",
        "",
        SHAPE,
        (-2.5, 4),
        "age",
        unit=4,
        discs=NOSE,
        holds="yaw age gender skin_light nose_width pitch",
    ),
    "brow_height": Dial("brow_height", "brow_tilt", SHAPE, (-2, 2)),
    "brow_tilt": Dial("brow_tilt", "", SHAPE, (-0.7, 0.7), combined=0.003),
    "frown": Dial("frown", "brow_height brow_tilt", SHAPE, (-2, 2)),
    "gaze_x": Dial("gaze_x", "", SHAPE, (-4, 4), **_SOFT),
    # Less glasses: two of nine people got half a pair. With .25 less none of ten did.
    "age": Dial(
        "age", "hair_light hair_yellow hair_low chin_dark", None, (-3, 3.1), "age", HEAD, plus=(("glasses", -0.25),)
    ),
    "gender": Dial("gender", "chin_dark hair_long brow_height jaw lips hair_low", HAIR, (-2, 1.2), "age", HEAD),
    "yaw": Dial("yaw", "gaze_x light_x", POSE, (-1.5, 1.5), "pose", HEAD),
    "pitch": Dial("pitch", "nose_length chin gaze_y cheeks", POSE, (-2, 2), "pose", HEAD),
    "jaw": Dial("jaw", "cheeks", SHAPE, (-2, 1.5), "age"),
    "cheeks": Dial("cheeks", "jaw chin", SHAPE, (-0.7, 0.7), "age", HEAD, combined=0.003),
    "hair_light": Dial("hair_light", "hair_yellow", COLOUR, (-2.6, 2.6), "hair", ("hair",)),
    "hair_long": Dial("hair_long", "", tuple(range(10)), (-2, 1.6), "hair", HEAD, upward=True, **_SOFT),
    "fringe": Dial("fringe", "hair_low", SHAPE, (-1.5, 2), "hair", HEAD, upward=True),
    "beard": Dial("beard", "chin_dark hair_low", HAIR, (-2.5, 2.5), "hair", **_SOFT),
    "skin_light": Dial("skin_light", "", COLOUR, (-1.8, 1.8), "skin"),
    "make_up": Dial("make_up", "", tuple(range(23)), (-0.5, 1.8), "skin"),
    "light_x": Dial("light_x", "", None, (-2, 2), "skin", HEAD),
    "glasses": Dial(
        "worn",
        "glasses eyes_open brow_height lower_lids gaze_y",
        tuple(range(10)),
        (-2.5, 12.7),
        "accessories",
        power=1.0,
        unit=11.5,
    ),
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
        "squint": -z("lower_lids") - 0.5 * z("eyes_open"),
        "make_up": z("lips_colour") + 0.5 * z("lips_dark") + 0.7 * z("lids_dark"),
        "beard": z("chin_dark", -3, 3) + z("lip_dark", -3, 3) + z("chin_texture", -2, 4)
        - 0.8 * z("cheek_texture", -2, 4) - z("lids_dark", -2, 3),
    }  # fmt: skip


def _scores_of(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in table.items() if name != "w"}


class Fits:
    """Every score as a linear function of w, in its own standard deviations."""

    def __init__(self, table: Mapping[str, np.ndarray]):
        self.w = torch.from_numpy(table["w"]).double()
        self.spread: LatentSpread = measure_spread(self.w)
        self.scores = derive(_scores_of(table), table)
        men = (self.scores["gender"] < -1) & (self.scores["age"] > 20)
        usual = np.nanmean(self.scores["beard"][men])
        self.scores["beard"] = np.where(men, self.scores["beard"], usual)  # all others say nothing of beards
        # Glasses are worn or not: between, the score says how light the surroundings of eyes are.
        none, some = np.nanquantile(self.scores["glasses"], WORN)
        worn = np.where(self.scores["glasses"] > some, 1.0, np.nan)
        self.scores["worn"] = np.where(self.scores["glasses"] < none, 0.0, worn)
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

    def move(self, name: str, held: Sequence[str], **how: float) -> Tensor:
        """The natural move that raises a fitted score by a standard deviation."""
        return find_natural_move(self.fit(name).slope, [self.fit(o).slope for o in held], self.spread, **how)

    def learn(self, name: str, dial: Dial, tried: Responses) -> Direction:
        """A dial whose amount 1 raises its score by about a standard deviation."""
        held = [*dial.held, *_ALSO_HELD.get(name, ())]
        own = self.fit(dial.score)
        facts = {"r2": round(own.quality, 3), "samples": own.samples, "method": "ridge", "metric": "natural"}
        if dial.combined is None:
            step = self.move(dial.score, held, power=dial.power, slack=dial.slack)
        else:
            step = tried.combine(dial, self.spread)
            facts |= {"method": "combined", "people": len(tried.people)}
        facts |= {"edition": EDITION, "psi": f"{PSI[0]} to {PSI[1]}", "keep": held}
        vector, zone = step.float()[None], ZONE.get(name, "")
        return Direction(name, vector, dial.rows, *dial.ends, "", facts, "w", dial.group, dial.parts, zone, dial.discs)


def sum_dials(name: str, dial: Dial, known: Mapping[str, Direction]) -> Direction:
    """A dial that is the sum of others, in discs of its own."""
    vector = torch.stack([share * known[part].vector for part, share in dial.made_of]).sum(dim=0)
    facts, zone = {"method": "sum", "of": dict(dial.made_of), "edition": EDITION}, ZONE.get(name, "")
    return Direction(name, vector, dial.rows, *dial.ends, "", facts, "w", dial.group, dial.parts, zone, dial.discs)


@dataclass(frozen=True)
class Responses:
    """What moves did to people: `moves` [K, w_dim], `effects` [people, K, scores] in standard deviations."""

    names: list[str]  # of the scores along which the moves go
    scores: list[str]
    people: list[str]
    moves: Tensor
    effects: np.ndarray

    @classmethod
    def load(cls, file: Path) -> Responses:
        """As `respond` writes them."""
        kept = np.load(file)
        lists = (kept[name].tolist() for name in ("names", "scores", "people"))
        return cls(*lists, torch.from_numpy(kept["moves"]), kept["effects"])

    def combine(self, dial: Dial, spread: LatentSpread) -> Tensor:
        """The sum of moves for a dial."""
        mean = torch.from_numpy(np.nanmean(self.effects, axis=0))
        own, others = mean[:, self.scores.index(dial.score)], mean[:, [self.scores.index(s) for s in dial.held]]
        assert dial.combined is not None
        return combine_moves(self.moves, own, others, spread, slack=dial.combined)


@torch.no_grad()
def respond(arguments: argparse.Namespace) -> None:
    """Try the natural move of every score on people, both ways, in the early exit."""
    table = dict(np.load(arguments.scores))
    fits, G, look = Fits(table), load(arguments.model), _looker(arguments)
    moves = torch.stack([fits.move(name, [o for o in HELD if o != name], slack=0.03) for name in TRIED]).float()
    spreads = {name: float(np.nanstd(values)) for name, values in derive(_scores_of(table), table).items()}
    people, effects = [], []
    if arguments.out.exists():
        kept = Responses.load(arguments.out)
        people, effects = list(kept.people), list(kept.effects)
    for file in sorted(arguments.people.glob("*.npz")):
        if file.stem in people:
            continue
        ws, rows = Inversion.load(file).ws, []
        for move in moves:
            seen = derive(look(_paint(G, ws + torch.stack([-move, move])[:, None] * TRIED_AT)), table)
            rows.append([float(seen[s][1] - seen[s][0]) / (2 * TRIED_AT) / spreads[s] for s in spreads])
        people.append(file.stem)
        effects.append(np.array(rows))
        np.savez(
            arguments.out,
            names=TRIED,
            scores=list(spreads),
            people=people,
            moves=moves.numpy(),
            effects=np.stack(effects),
        )
        print(file.stem, flush=True)


def learn(arguments: argparse.Namespace) -> None:
    """The dials, measured; what else is in the file at --out stays."""
    table = dict(np.load(arguments.scores))
    fits, G, tried = Fits(table), load(arguments.model), Responses.load(arguments.responses)
    wanted = arguments.only.split(",") if arguments.only else list(DIALS)
    learnt = {name: fits.learn(name, DIALS[name], tried) for name in wanted if not DIALS[name].made_of}
    if arguments.like:
        for name, other in load_directions(arguments.like).items():
            if name in learnt:
                cosine = torch.cosine_similarity(learnt[name].vector, other.vector).item()
                print(f"{name:12s} R2 {learnt[name].facts['r2']:.2f}   cosine {cosine:.3f}", flush=True)
        return
    look, label = _looker(arguments), fingerprint(G)
    ws = torch.cat([Inversion.load(file).ws for file in sorted(arguments.people.glob("*.npz"))])
    every = load_directions(arguments.out) if arguments.out.exists() else {}
    for name in wanted:
        direction = learnt[name] if name in learnt else sum_dials(name, DIALS[name], every)
        every[name] = replace(_measured(G, look, direction, table, fits.spread, ws), fingerprint=label)
    for name in wanted:
        added = [share * every[other].vector for other, share in DIALS[name].plus]
        every[name] = replace(every[name], vector=torch.stack([every[name].vector, *added]).sum(dim=0))
    licence = "Learnt from outputs of `faces`, whose parent model is for non-commercial use only."
    save_directions(list(every.values()), arguments.out, licence=licence, origin="tools/learn_dials.py")


@torch.no_grad()
def _measured(
    G: Any, look: DialScores, direction: Direction, table: Mapping[str, np.ndarray], spread: LatentSpread, ws: Tensor
) -> Direction:
    """In measured units: amount 1 moves the score of people by a deviation of natural samples. The card says what else
    moves."""
    dial, natural = DIALS[direction.name], derive(_scores_of(table), table)
    rows = list(dial.rows or range(G.num_ws))
    whole_units = dial.combined is not None or dial.made_of
    at = 1.0 if whole_units else dial.unit or 2.0  # a fitted unit does about half of a measured one
    unedited, seen, where = _paint(G, ws), [], _disc_mask(direction)
    for amount in (-at, 0.0, at):
        moved = ws.clone()
        moved[:, rows] += amount * direction.vector
        seen.append(derive(look(unedited.lerp(_paint(G, moved), where)), table))

    def shift(name: str, a: int, b: int) -> float:
        return float(np.nanmean(seen[b][name] - seen[a][name]) / (b - a) / at / np.nanstd(natural[name]))

    if dial.unit is None:
        gain = shift(dial.score, 1, 2) if dial.upward else shift(dial.score, 0, 2)
    else:
        gain = 1 / dial.unit
    leaks = {other: round(shift(other, 0, 2) / gain, 2) for other in (*HELD, "teeth", "angry", "sad", "surprised")}
    facts = direction.facts | {"measured_gain": round(gain, 3), "unit": "measured"}
    facts["length"] = round(spread.length(direction.vector) / abs(gain), 1)
    facts["leakage"] = {other: by for other, by in leaks.items() if abs(by) >= 0.1 and other != dial.score}
    low, high = (round(end * gain, 2) for end in dial.ends)
    print(f"{direction.name:12s} gain {gain:+.2f}   {low:+g} to {high:+g}   length {facts['length']}", flush=True)
    return replace(direction, vector=direction.vector / gain, low=low, high=high, facts=facts)


def _disc_mask(direction: Direction) -> Tensor:
    region = region_of_discs(direction)
    return torch.ones(1) if region is None else region.mask(LOOK_PX)


def _paint(G: Any, ws: Tensor) -> Tensor:
    return G.synthesis(ws, precision="fast", resolution=LOOK_PX).float().clamp(-1, 1)


def _looker(arguments: argparse.Namespace) -> DialScores:
    return DialScores(face_api=arguments.face_api, mesh=arguments.mesh, iris=arguments.iris)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    jobs = {"score": score, "respond": respond, "learn": learn}
    for name in jobs:
        command = commands.add_parser(name)
        command.add_argument("--model", default="faces")
        command.add_argument("--face-api", type=Path)
        command.add_argument("--mesh", type=Path)
        command.add_argument("--iris", type=Path)
        command.add_argument("--samples", type=int, default=6400)
        command.add_argument("--scores", type=Path)
        command.add_argument("--people", type=Path, help="a folder of inversions")
        command.add_argument("--responses", type=Path)
        command.add_argument("--only", default="", help="dials, default: all")
        command.add_argument("--like", type=Path)
        command.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    jobs[arguments.command](arguments)


if __name__ == "__main__":
    main()
