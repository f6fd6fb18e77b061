"""What people know about samples, from a CSV file: one row a sample, by seed or by file, one column a score."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganvas.errors import BadConfig

WORD_VALUES = {"yes": 1.0, "true": 1.0, "like": 1.0, "no": 0.0, "false": 0.0, "dislike": 0.0}
KEY_COLUMNS = ("seed", "file")


@dataclass(frozen=True)
class ScoreTable:
    """Scores of samples: `scores` [N] a column, nan where a cell is empty; either `seeds` or `files` says whose."""

    scores: dict[str, Tensor]
    seeds: tuple[int, ...] = ()
    files: tuple[Path, ...] = ()


def read_score_table(path: Path | str) -> ScoreTable:
    """Read a CSV file of scores.

    The first line names the columns. One is `seed` (a number, as in 'ganvas generate') or `file` (a photo, or an
    inversion .npz; relative to the CSV file); every other column whose cells are numbers, yes/no, true/false or
    like/dislike is a score. An empty cell is unknown.

    Raises:
        BadConfig: no such file, no rows, neither column, or no score; the message has what was seen.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadConfig(f"{path} cannot be read as a table of scores: {error}") from error
    columns = [name for name in (rows[0] if rows else []) if name]
    key = next((name for name in KEY_COLUMNS if name in columns), None)
    if key is None:
        raise BadConfig(f"{path} needs a column 'seed' or 'file' and at least one row; it has {columns or 'no rows'}")
    cells = {name: [_number(row[name]) for row in rows] for name in columns if name not in KEY_COLUMNS}
    scores = {n: torch.tensor(values) for n, values in cells.items() if None not in values}
    if not scores:
        raise BadConfig(f"{path} has no column of numbers or yes/no besides {key!r}; it has {columns}")
    if key == "file":
        return ScoreTable(scores, files=tuple(path.parent / str(row["file"]) for row in rows))
    return ScoreTable(scores, seeds=tuple(_seed(row["seed"], path) for row in rows))


def _number(cell: str | None) -> float | None:
    """nan = unknown, None = not a score at all."""
    text = (cell or "").strip().lower()
    if not text:
        return math.nan
    try:
        return WORD_VALUES[text] if text in WORD_VALUES else float(text)
    except ValueError:
        return None


def _seed(cell: str | None, path: Path) -> int:
    text = (cell or "").strip()
    if not text.isdigit():
        raise BadConfig(f"{path}: seeds must be integers from 0, got {text!r}")
    return int(text)
