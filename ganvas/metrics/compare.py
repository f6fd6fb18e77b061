"""A figure beside one of an earlier measurement: only where both were measured alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig, BadInput
from ganvas.metrics.result import MetricResult, Protocol


def read_figures(path: Path) -> dict[str, dict[str, Any]]:
    """{name: figure} of a file that `ganvas evaluate -o` wrote.

    Raises:
        BadInput: no such file.
    """
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
        return {str(each["name"]): {**each, "value": float(each["value"])} for each in figures}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read as the figures of 'ganvas evaluate -o' ({error})") from error


def subtract_figures(ours: MetricResult, theirs: Mapping[str, Any]) -> float:
    """How much higher a figure is than an earlier one.

    Args:
        ours: just measured.
        theirs: one of `read_figures`.

    Raises:
        BadConfig: measured by another protocol; says what differs.
    """
    known = theirs.get("protocol") or {}
    differing = [
        f"{each.name} {getattr(ours.protocol, each.name)!r} and {known.get(each.name)!r}"
        for each in fields(Protocol)
        if getattr(ours.protocol, each.name) != known.get(each.name)
    ]
    if differing or ours.name != theirs.get("name"):
        raise BadConfig(f"{ours.name} is not compared, it was measured otherwise: {'; '.join(differing) or 'its name'}")
    return ours.value - float(theirs["value"])


def compare_lines(results: Sequence[MetricResult], earlier: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line a figure: how much better or worse it is, or why that cannot be said."""
    lines = []
    for result in results:
        if result.name not in earlier:
            lines.append(f"{result.name}: not measured earlier")
            continue
        try:
            change = subtract_figures(result, earlier[result.name])
        except BadConfig as error:
            lines.append(str(error))
            continue
        word = "equal" if change == 0 else "better" if (change < 0) == (result.better == "lower") else "worse"
        lines.append(f"{result.name}: {earlier[result.name]['value']:.4g} → {result.value:.4g} ({change:+.3g}, {word})")
    return lines
