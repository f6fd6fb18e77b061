"""A measurement as one page that can be mailed (see `ganvas.images.html_page`): figures with protocol, and sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas import __version__
from ganvas.evaluation.folder_figures import BETTER, FolderFigures
from ganvas.images.html_page import embed_jpeg, open_templates
from ganvas.metrics.result import MetricResult
from ganvas.weights.checkpoint import write_atomically

WIDEST_PX = 1100  # of a picture on the page, whose text is as wide

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # heading, names of columns, rows


def write_metrics_page(
    path: Path, results: Sequence[MetricResult], *, model: str, pictures: Mapping[str, Tensor]
) -> Path:
    """The metrics of a generator with their protocols.

    Args:
        path: of the .html file.
        results: of `ganvas.metrics.evaluate.evaluate`.
        model: how it is called.
        pictures: heading → img [1, C, H, W].
    """
    figures = [
        (each.name, f"{each.value:.4g}", _number(each.spread), each.better, _number(each.floor)) for each in results
    ]
    protocols = [(each.name, each.protocol.line(), each.protocol.details, "; ".join(each.cautions)) for each in results]
    tables: list[Table] = [
        ("Metrics", ("metric", "value", "±", "better", "floor (perfect generator)"), figures),
        ("Protocols", ("metric", "measured on", "details", "notes"), protocols),
    ]
    notes = ["Only values measured with the same protocol can be compared."]
    return _write(path, f"Metrics of {model}", notes, tables, pictures)


def write_folder_page(path: Path, figures: FolderFigures) -> Path:
    """The figures of a folder, with the worst pictures."""
    summary = [
        (name, *(f"{each[part]:.4g}" for part in ("mean", "p10", "median", "p90", "worst")), BETTER[name])
        for name, each in figures.summary.items()
    ]
    names = [name for name in figures.summary if any(name in row for row in figures.worst)]
    worst = [(str(row["file"]), *(_number(row.get(name)) for name in names)) for row in figures.worst]
    tables: list[Table] = [
        ("Figures", ("figure", "mean", "10 %", "50 %", "90 %", "worst", "better"), summary),
        ("Protocol", ("what", "value"), [(name, str(value)) for name, value in figures.protocol.items()]),
        (f"The worst by {figures.worst_by}", ("file", *names), worst),
    ]
    if figures.failed:
        tables.append(("Not measured", ("file", "why"), list(figures.failed.items())))
    notes = [f"{len(figures.rows)} pictures measured, {len(figures.failed)} not."]
    notes.append(f"Pictures below are of the worst, from left to right: {figures.shows}.")
    strips = {str(row["file"]): figures.pictures[row["file"]] for row in figures.worst}
    return _write(path, f"Figures of {figures.what}", notes, tables, strips)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def _write(
    path: Path, name: str, notes: Sequence[str], tables: Sequence[Table], pictures: Mapping[str, Tensor]
) -> Path:
    page = (
        open_templates(Path(__file__).parent)
        .get_template("report.html.jinja")
        .render(
            name=name,
            notes=notes,
            tables=tables,
            pictures=[(heading, embed_jpeg(img, widest_px=WIDEST_PX)) for heading, img in pictures.items()],
            version=__version__,
        )
    )
    write_atomically(path, lambda part: Path(part).write_text(page, encoding="utf-8"))
    return path
