"""Networks that a pickle describes, as names and tensors: what `nn.Module.state_dict()` would have given, without one.

torch's modules keep parameters, buffers and parts in `_parameters`, `_buffers` and `_modules`; pickles of whole
networks hold these dicts, and `unpickle.Record` keeps them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganvas.errors import BrokenWeights
from ganvas.weights.allowed import Record

_MAX_DEPTH = 30  # modules inside modules; published networks have up to 8
_MAX_TENSORS = 20_000


def is_network(thing: Any) -> bool:
    """Is this a record of a network?"""
    return isinstance(thing, Record) and isinstance(thing.state, dict) and isinstance(thing.state.get("_modules"), dict)


def state_of_network(network: Record, *, who: str) -> dict[str, Tensor]:
    """name → tensor of all parameters and buffers: "synthesis.b4.const": [512, 4, 4], …

    Raises:
        BrokenWeights: parts nested beyond reason.
    """
    found: dict[str, Tensor] = {}
    _collect(network, "", found, 0, who)
    return found


def _collect(network: Record, prefix: str, found: dict[str, Tensor], depth: int, who: str) -> None:
    if depth > _MAX_DEPTH or len(found) > _MAX_TENSORS:
        raise BrokenWeights(f"{who} is damaged: its networks are nested {depth} deep with {len(found):,} tensors.")
    for kind in ("_parameters", "_buffers"):
        for name, value in _entries(network, kind):
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
    for name, part in _entries(network, "_modules"):
        if is_network(part):
            _collect(part, f"{prefix}{name}.", found, depth + 1, who)


def _entries(network: Record, kind: str) -> list[tuple[str, Any]]:
    entries = network.state.get(kind)
    return (
        [(name, value) for name, value in entries.items() if isinstance(name, str)] if isinstance(entries, dict) else []
    )


def attribute(network: Record | None, part: str, name: str, default: Any = None) -> Any:
    """What a part ("synthesis.b4.conv1") has noted under `name`; `default` where there is no such part or note."""
    for step in part.split(".") if part else []:
        network = dict(_entries(network, "_modules")).get(step) if network is not None else None
        if not is_network(network):
            return default
    return default if network is None else network.state.get(name, default)
