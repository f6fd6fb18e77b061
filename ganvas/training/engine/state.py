"""The state of a run as one file: tensors as safetensors, everything else as JSON in its header. No pickle.

Any tree of dicts, lists, tuples, tensors and plain values goes in and comes back equal, bit for bit, which is what an
exact resume needs. The file is written under another name, forced to the disk and renamed: it is whole or not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ganvas.errors import BrokenWeights
from ganvas.weights.checkpoint import write_atomically

_KEY = "ganvas-state"
_FORMAT = 1


def write_state(tree: Mapping[str, Any], path: Path) -> None:
    """Write a tree of tensors and plain values, atomically; a file that stands there stays until the new one is whole.

    Raises:
        BrokenWeights: a tensor has values that are not finite; nothing is written.
        UnwritableFile: the disk is full or fails, the folder is not there; nothing is left behind.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _pack(tree, tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BrokenWeights(
                f"the state is not saved: {skeleton_path(skeleton, name)} has values that are not finite"
            )
    header = {"format": "pt", _KEY: json.dumps({"format": _FORMAT, "tree": skeleton})}
    write_atomically(path, lambda temporary: save_file(tensors or {"none": torch.zeros(1)}, temporary, header))


def read_state(path: Path) -> dict[str, Any]:
    """The tree that `write_state` wrote.

    Raises:
        BrokenWeights: not such a file, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return _unpack(header["tree"], tensors)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BrokenWeights(f"{path} is not the state of a run, or is damaged ({error}).") from error


def copy_to_cpu(tree: Any) -> Any:
    """The same tree with tensors of its own, on the CPU: a state kept in memory."""
    if isinstance(tree, Tensor):
        return tree.detach().cpu().clone()
    if isinstance(tree, Mapping):
        return {key: copy_to_cpu(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(copy_to_cpu(value) for value in tree)
    return tree


def skeleton_path(skeleton: Any, name: str) -> str:
    """Where in the tree the tensor of this name stands, for messages: `G.mapping.fc0.weight`."""
    for path, tensor_name in _places(skeleton, ()):
        if tensor_name == name:
            return ".".join(path)
    return name


def _places(skeleton: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if not isinstance(skeleton, dict):
        return []
    if "tensor" in skeleton:
        return [(path, skeleton["tensor"])]
    if "dict" in skeleton:
        return [place for key, value in skeleton["dict"] for place in _places(value, (*path, str(key)))]
    values: list[Any] = skeleton.get("list") or skeleton.get("tuple") or []
    return [place for i, value in enumerate(values) for place in _places(value, (*path, str(i)))]


def _pack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree as JSON, each tensor replaced by its name; containers are marked, so that keys keep their types."""
    if isinstance(tree, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = tree.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(tree, Mapping):
        return {"dict": [[key, _pack(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {type(tree).__name__: [_pack(value, tensors) for value in tree]}
    return tree


def _unpack(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(skeleton, dict):
        return skeleton
    if "tensor" in skeleton:
        return tensors[skeleton["tensor"]]
    if "dict" in skeleton:
        return {key: _unpack(value, tensors) for key, value in skeleton["dict"]}
    if "tuple" in skeleton:
        return tuple(_unpack(value, tensors) for value in skeleton["tuple"])
    return [_unpack(value, tensors) for value in skeleton["list"]]
