"""The figures of many pictures: means and spread, the worst of them with their pictures, what could not be done."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganvas import __version__
from ganvas.errors import BadInput, GanvasError

WORST = 10  # pictures that are named and shown
SHOWN_PX = 256  # of each picture on a sheet
BETTER = {  # the figures that are summed up; others stand in the rows only
    "identity_distance": "lower",
    "latent_identity": "lower",
    "psnr_db": "higher",
    "psnr_gain_db": "higher",
    "luma_psnr_db": "higher",
    "latent_psnr_db": "higher",
    "ssim": "higher",
    "feature_distance": "lower",
    "latent_feature_distance": "lower",
    "expression_right": "higher",
    "critic": "higher",
    "critic_lost": "lower",
    "outside_changed": "lower",
    "outside_levels": "lower",
    "seconds": "lower",
    "sec_per_megapixel": "lower",
}

_T = TypeVar("_T")
OnFolderStep = Callable[[int, int], object]  # (pictures done, pictures in all); may raise Stopped


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderFigures:
    """What was measured of every picture of a folder."""

    what: str  # "inversion", "edits", "upscaler"
    protocol: Mapping[str, Any]  # all that must be equal for two measurements to be comparable
    rows: tuple[Mapping[str, Any], ...]  # {"file": name, figure: number}
    failed: Mapping[str, str]  # file → why it could not be measured
    worst_by: str  # the figure that decides which are the worst
    shows: str  # what the strips of pictures hold, from left to right
    pictures: Mapping[str, Tensor]  # of the worst: name → img [1, 3, SHOWN_PX, n · SHOWN_PX]

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """{figure: {mean, p10, median, p90, worst}}"""
        return {name: summarize_values(values, BETTER[name]) for name, values in self._columns().items()}

    def _columns(self) -> dict[str, list[float]]:
        columns = {name: [float(row[name]) for row in self.rows if name in row] for name in BETTER}
        return {name: values for name, values in columns.items() if values}

    @property
    def worst(self) -> list[Mapping[str, Any]]:
        """The ten worst rows, the worst first."""
        return sorted(self.rows, key=lambda row: badness(row, self.worst_by), reverse=True)[:WORST]

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.what}: {len(self.rows)} pictures measured, {len(self.failed)} not"]
        for name, each in self.summary.items():
            spread = f"10, 50, 90 %: {each['p10']:.4g} {each['median']:.4g} {each['p90']:.4g}"
            lines.append(f"{name} {each['mean']:.4g} ({BETTER[name]} is better; {spread}; worst {each['worst']:.4g})")
        lines.append("measured with " + ", ".join(f"{name} {value}" for name, value in self.protocol.items()))
        lines.append(f"the worst by {self.worst_by}:")
        lines += [f"  {row['file']}: {row[self.worst_by]:.4g}" for row in self.worst if self.worst_by in row]
        return lines + [f"not measured: {file}: {why}" for file, why in self.failed.items()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "what": self.what,
            "ganvas": __version__,
            "protocol": dict(self.protocol),
            "summary": self.summary,
            "worst": [row["file"] for row in self.worst],
            "rows": [dict(row) for row in self.rows],
            "failed": dict(self.failed),
        }


def summarize_values(values: list[float], better: str) -> dict[str, float]:
    """Mean, the tenth, the middle, the ninth tenth, and the worst."""
    tenths = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
    worst = min(values) if better == "higher" else max(values)
    return {"mean": statistics.fmean(values), "p10": tenths[0], "median": tenths[4], "p90": tenths[8], "worst": worst}


def badness(row: Mapping[str, Any], figure: str) -> float:
    """Larger = worse; a row without the figure is the least of all."""
    value = float(row.get(figure, float("-inf") if BETTER[figure] == "lower" else float("inf")))
    return value if BETTER[figure] == "lower" else -value


def measure_folder(
    what: str,
    items: Mapping[str, _T],
    measure: Callable[[_T], tuple[dict[str, Any], Tensor]],
    *,
    worst_by: str,
    protocol: Mapping[str, Any],
    shows: str,
    failed: Mapping[str, str] | None = None,
    on_step: OnFolderStep | None = None,
) -> FolderFigures:
    """Measure one picture after the other; what cannot be is named, the pictures of the worst are kept.

    Args:
        items: file → whatever `measure` takes.
        measure: one item → its figures, and a strip of pictures.
        worst_by, protocol, shows: see `FolderFigures`.
        failed: what is known to have failed before.

    Raises:
        BadInput: not one picture could be measured.
    """
    rows: list[dict[str, Any]] = []
    failures, pictures = dict(failed or {}), {}
    for done, (file, item) in enumerate(items.items(), 1):
        try:
            figures, pictures[file] = measure(item)
            rows.append({"file": file, **figures})
            if len(pictures) > WORST:
                best = min((row for row in rows if row["file"] in pictures), key=lambda row: badness(row, worst_by))
                del pictures[best["file"]]
        except (GanvasError, OSError) as error:
            failures[file] = str(error)
        if on_step is not None:
            on_step(done, len(items))
    if not rows:
        raise BadInput(f"no picture could be measured. {_first(failures)}")
    facts = {**protocol, "pictures": len(rows)}
    return FolderFigures(
        what=what,
        protocol=facts,
        rows=tuple(rows),
        failed=failures,
        worst_by=worst_by,
        shows=shows,
        pictures=pictures,
    )


def _first(failures: Mapping[str, str]) -> str:
    return next((f"{file}: {why}" for file, why in failures.items()), "The folder holds no images.")


def join_strip(images: Iterable[Tensor]) -> Tensor:
    """Pictures [1, C, S, S] of any size side by side at SHOWN_PX: [1, 3, SHOWN_PX, n · SHOWN_PX]."""
    size = (SHOWN_PX, SHOWN_PX)
    fitted = [
        torch.nn.functional.interpolate(img.expand(-1, 3, -1, -1), size, mode="bilinear", antialias=True)
        for img in images
    ]
    return torch.cat(fitted, dim=3).clamp(-1, 1)
