"""Networks that a pickle describes, as names and tensors: what `nn.Module.state_dict()` would have given, without one.

torch's modules keep parameters, buffers and parts in `_parameters`, `_buffers` and `_modules`; pickles of whole
networks hold these dicts, and `unpickle.Record` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BrokenWeights, UnknownWeights
from ganvas.weights.contents import FileContents
from ganvas.weights.pickles.records import Record

_MAX_DEPTH = 30  # modules inside modules; published networks have up to 8
_MAX_TENSORS = 20_000
_NETWORKS = ("G_ema", "G", "D")

_MAPPING_OPTIONS = {"num_layers": "num_mapping_layers", "lr_multiplier": "mapping_lr_mul"}  # theirs → ours

# Options that only say how fast or how training goes.
_WITHOUT_EFFECT = {
    "num_fp16_res", "use_fp16", "fp16_channels_last", "channels_last", "fused_modconv_default", "w_avg_beta",
    "freeze_layers", "magnitude_ema_beta",
}  # fmt: skip


def is_network(thing: Any) -> bool:
    """Is this a record of a network?"""
    return isinstance(thing, Record) and isinstance(thing.state, dict) and isinstance(thing.state.get("_modules"), dict)


def network_state_dict(network: Record, *, who: str) -> dict[str, Tensor]:
    """name → tensor of all parameters and buffers: "synthesis.b4.const": [512, 4, 4], …

    Raises:
        BrokenWeights: parts nested beyond reason.
    """
    state: dict[str, Tensor] = {}
    _collect(network, "", state, 0, who)
    return state


def _collect(network: Record, prefix: str, state: dict[str, Tensor], depth: int, who: str) -> None:
    if depth > _MAX_DEPTH or len(state) > _MAX_TENSORS:
        raise BrokenWeights(f"{who} is damaged: its networks are nested {depth} deep with {len(state):,} tensors.")
    for kind in ("_parameters", "_buffers"):
        for name, value in _entries(network, kind):
            if isinstance(value, Tensor):
                state[f"{prefix}{name}"] = value
    for name, part in _entries(network, "_modules"):
        if is_network(part):
            _collect(part, f"{prefix}{name}.", state, depth + 1, who)


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


def choose_network(contents: FileContents, network: str) -> tuple[str, dict[str, Tensor], Record | None] | None:
    """The network asked for: its name in the file, name → tensor, and the record it came from where there is one.

    A file with one generator gives it for "G_ema" and for "G". The decoder inside an encoder's file counts as one.
    """
    wanted = ("D",) if network == "D" else (network, *(name for name in _NETWORKS[:2] if name != network))
    tree = contents.tree
    if is_network(tree):
        return tree.class_name, network_state_dict(tree, who=contents.path.name), tree
    if not isinstance(tree, dict):
        return None
    for name in wanted:
        if is_network(tree.get(name)):
            return name, network_state_dict(tree[name], who=contents.path.name), tree[name]
    if any(is_network(tree.get(name)) for name in _NETWORKS):
        return None
    state = contents.state_dict(*wanted, "state_dict")
    decoder = {name.removeprefix("decoder."): value for name, value in state.items() if name.startswith("decoder.")}
    label = next((name for name in wanted if isinstance(tree.get(name), dict)), network)
    return (label, decoder or state, None) if state else None


def network_names(contents: FileContents) -> str:
    """The names of the networks in a file, for messages."""
    return ", ".join(name for name in _NETWORKS if name in contents.tree) or "none"


def tensor_shape(state: Mapping[str, Tensor], name: str, axes: int, who: str) -> tuple[int, ...]:
    """The shape of a tensor that must be there with so many axes.

    Raises:
        UnknownWeights: it is not.
    """
    if name not in state or state[name].ndim != axes or 0 in state[name].shape:
        came = f"has shape {list(state[name].shape)}" if name in state else "is missing"
        raise UnknownWeights(f"{who} looks like a network ganvas knows, but {name} {came}; {axes} axes were expected.")
    return tuple(state[name].shape)


def count_layers(state: Mapping[str, Tensor], pattern: str, start: int = 0) -> int:
    """How many of pattern.format(start), pattern.format(start + 1), … are there without a gap."""
    n = 0
    while pattern.format(start + n) in state:
        n += 1
    return n


def taps(kernel: Tensor | None) -> tuple[float, ...]:
    """The taps of a separable filter: as the small whole numbers they were written as, where they are these."""
    if kernel is None or kernel.ndim not in (1, 2) or kernel.numel() == 0 or not 1 <= kernel.shape[0] <= 64:
        return (1, 3, 3, 1)
    row = (kernel if kernel.ndim == 1 else kernel.sum(dim=0)).double()
    smallest = row[row.abs() > 1e-8].abs().min() if bool((row.abs() > 1e-8).any()) else row.new_ones(())
    whole = (row / smallest).round()
    close = torch.allclose(row / smallest, whole, atol=1e-3)
    return tuple(float(n) for n in (whole if close else row))


def options_of(record: Record | None, *groups: str) -> dict[str, Any]:
    """What the network was made from, the named groups of options spread out."""
    init_kwargs = record.state.get("_init_kwargs") if record is not None else None
    options = dict(init_kwargs) if isinstance(init_kwargs, dict) else {}
    for group in groups:
        inner = options.pop(group, None)
        renamed = _MAPPING_OPTIONS if group == "mapping_kwargs" else {}
        options |= {renamed.get(name, name): value for name, value in inner.items()} if isinstance(inner, dict) else {}
    return {name: value for name, value in options.items() if isinstance(name, str)}


def compare(options: Mapping[str, Any], fields: Mapping[str, Any], who: str) -> None:
    """The options of the file must not contradict its tensors.

    Raises:
        BrokenWeights: they do.
        UnknownWeights: an option that ganvas does not have.
    """
    for name, value in options.items():
        if name in _WITHOUT_EFFECT or name not in fields or value is None:
            continue
        ours = fields[name]
        if not _same(ours, value):
            raise BrokenWeights(
                f"{who} contradicts itself: its options say {name} = {value!r:.60}, its tensors {ours!r:.60}."
            )
    if options.get("activation", "lrelu") != "lrelu":
        raise UnknownWeights(f"{who} uses the activation {options['activation']!r:.40}; ganvas knows 'lrelu'.")


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple):
        return isinstance(theirs, (list, tuple)) and _proportional(ours, theirs)
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) <= 1e-6 * max(abs(ours), 1)
    return bool(ours == theirs)


def _proportional(ours: tuple[float, ...], theirs: Sequence[Any]) -> bool:
    """The same filter? Filters are scaled to the sum 1 when they are used."""
    if len(ours) != len(theirs) or not all(isinstance(n, (int, float)) for n in theirs) or not sum(theirs):
        return False
    return all(abs(a / sum(ours) - b / sum(theirs)) < 1e-4 for a, b in zip(ours, theirs, strict=True))
