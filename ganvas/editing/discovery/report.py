"""Report on directions: the effect of each on its own attribute, its leakage, and sheets.

Written as a folder: report.md for people, report.json for programs, leakage.png, and a sheet a direction.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.editing.directions import Direction
from ganvas.editing.discovery.calibration import (
    OnMeasureStep,
    Response,
    ScoreFunction,
    direction_sheet,
    measure_response,
    score_latents,
)
from ganvas.editing.discovery.leakage import Leakage, draw_leakage, leakage_from_responses
from ganvas.images.files import write_image
from ganvas.weights.checkpoint import write_atomically

SHEET_ROWS = 5


@dataclass(frozen=True)
class DirectionReport:
    """What was measured: a response a direction (empty without a judge), and the leakage (None without one)."""

    directions: tuple[Direction, ...]
    responses: tuple[Response, ...]
    leakage: Leakage | None
    samples: int

    def to_markdown(self) -> str:
        """The page for people."""
        count = len(self.directions)
        lines = [f"# {count} direction{'' if count == 1 else 's'}, measured on {self.samples} samples", ""]
        lines += _table(["direction", "space", "layers", "range", "learnt", "fit"], map(_card, self.directions))
        if self.responses:
            lines += ["", "Mean scores along each direction (its own score where one has its name, else all):", ""]
            lines += _table(["direction", "score", "amount: mean", "faces found"], self._response_rows())
        if self.leakage is not None:
            lines += ["", "Standard deviations by which each score moves for amount 1:", ""]
            lines += ["```text", self.leakage.to_text(), "```", "", "![leakage](leakage.png)"]
        for direction in self.directions:
            lines += ["", f"## {direction.name}", "", f"![{direction.name}]({_sheet_name(direction)})"]
        return "\n".join(lines) + "\n"

    def _response_rows(self) -> list[list[str]]:
        rows = []
        for r in self.responses:
            for score in [r.direction] if r.direction in r.means else list(r.means):
                means = ", ".join(f"{a:+g}: {m:.3g}" for a, m in zip(r.amounts, r.means[score], strict=True))
                face_shares = " ".join(f"{share:.0%}" for share in r.found)
                rows.append([r.direction, f"{score} (as it is: {r.still[score]:.3g})", means, face_shares])
        return rows

    def to_json(self) -> str:
        """The same for programs."""
        plain: dict[str, Any] = {
            "samples": self.samples,
            "directions": {d.name: d.card for d in self.directions},
            "responses": [asdict(r) for r in self.responses],
        }
        if self.leakage is not None:
            table = self.leakage
            plain["leakage"] = {"rows": table.rows, "columns": table.columns, "shift": table.shift.tolist()}
        return json.dumps(_without_nan(plain), indent=1)


def write_direction_report(
    generator: Any,
    directions: Sequence[Direction],
    ws: Tensor,
    folder: Path | str,
    *,
    scorer: ScoreFunction | None = None,
    resolution: int | None = None,
    on_step: OnMeasureStep | None = None,
) -> DirectionReport:
    """Measure directions on latents they were not learnt from, and write the report.

    Args:
        generator: the one they were learnt on.
        directions: to be measured.
        ws: [N, num_ws, w_dim]; the sheets show the first five.
        folder: made if it is not there.
        scorer: who scores the pictures; None = sheets and cards only.
        resolution: of an early exit, where the family has one.
        on_step: called with (directions done, directions in all).

    Returns:
        What was written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    still: Mapping[str, Tensor] | None = None
    if scorer is not None:
        still = score_latents(generator, scorer, ws, resolution=resolution)
    responses = []
    for done, direction in enumerate(directions, start=1):
        picture = direction_sheet(generator, ws[:SHEET_ROWS], direction)
        write_image(picture, folder / _sheet_name(direction))
        if scorer is not None:
            responses.append(measure_response(generator, scorer, ws, direction, still=still, resolution=resolution))
        if on_step is not None:
            on_step(done, len(directions))
    leakage = leakage_from_responses(responses) if responses else None
    if leakage is not None:
        write_image(draw_leakage(leakage), folder / "leakage.png")
    result = DirectionReport(tuple(directions), tuple(responses), leakage, len(ws))
    for name, text in (("report.md", result.to_markdown()), ("report.json", result.to_json())):
        write_atomically(folder / name, lambda part, text=text: Path(part).write_text(text, encoding="utf-8"))
    return result


def _without_nan(value: Any) -> Any:
    """JSON has no nan: null instead."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sheet_name(direction: Direction) -> str:
    return re.sub(r"[^\w-]", "_", direction.name) + ".jpg"


def _card(d: Direction) -> list[str]:
    fit = next((f"{name.upper()} {d.facts[name]:.2f}" for name in ("r2", "auc") if name in d.facts), "")
    samples = f", {d.facts['samples']} samples" if "samples" in d.facts else ""
    layers = "all" if d.layers is None else ",".join(map(str, d.layers))
    return [d.name, d.space, layers, f"{d.low:+g} to {d.high:+g}", f"{d.facts.get('method', '')}{samples}", fit]


def _table(head: Sequence[str], rows: Any) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
