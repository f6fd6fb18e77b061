"""Starting from weights: every tensor that fits is copied, and what was not is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, WeightsError
from ganvas.weights.load import load


@dataclass(frozen=True, kw_only=True)
class InitReport:
    """What a run began with."""

    source: str = ""  # "" = from scratch
    lines: tuple[str, ...] = ()  # what was taken over and what was not, part by part

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"source": self.source, "lines": list(self.lines)}


def load_discriminator_beside(source: str | Path) -> nn.Module | None:
    """The discriminator in a file of weights, or in the D.safetensors beside it, as our runs have it; None: neither."""
    beside = Path(source).expanduser().parent / "D.safetensors"
    for place in (source, beside):
        try:
            return load(place, network="D")
        except (WeightsError, BadConfig):
            continue
    return None


@torch.no_grad()
def copy_matching_weights(ours: nn.Module, theirs: nn.Module, *, who: str) -> tuple[float, list[str]]:
    """Copy every tensor whose name and shape are the same.

    Returns:
        The share of our numbers that were taken over, and lines that name the parts that were not.
    """
    mine, its = ours.state_dict(), theirs.state_dict()
    fits = {name for name in mine if name in its and mine[name].shape == its[name].shape}
    for name in fits:
        mine[name].copy_(its[name])
    total = sum(tensor.numel() for tensor in mine.values())
    share = sum(mine[name].numel() for name in fits) / max(total, 1)
    lines = [f"{who}: {100 * share:.0f} % loaded ({len(fits)} of {len(mine)} tensors)"]
    lines += [f"{who}: {line}" for line in _explain_mismatches(mine, its, fits)]
    return share, lines


def _explain_mismatches(mine: Mapping[str, Tensor], its: Mapping[str, Tensor], fits: set[str]) -> list[str]:
    """What was not taken over, part by part."""
    shapes = [name for name in mine if name in its and name not in fits]
    fresh, unused = [name for name in mine if name not in its], [name for name in its if name not in mine]
    lines = [
        f"{name} is {list(its[name].shape)} there, {list(mine[name].shape)} here: randomly initialized"
        for name in shapes[:8]
    ]
    lines += [f"… and {len(shapes) - 8} more of another shape"] if len(shapes) > 8 else []
    lines += [f"not in the file, randomly initialized: {_some(fresh)}"] if fresh else []
    lines += [f"only in the file, not used: {_some(unused)}"] if unused else []
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
