"""Fill one of our networks from tensors that carry other names, completely or not at all.

A reader works out the config, says which of our names is which of theirs, and calls `fill`. Nothing is left over
without a word: the error lists what is missing, what is unknown and what has another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ganvas.errors import GanvasError, UnknownWeights
from ganvas.models.protocol import Network

SHOWN = 4  # names of one kind that a message lists before it counts the rest

N = TypeVar("N", bound=Network)


def fill(
    make: Callable[[], N],
    state: Mapping[str, Tensor],
    names: Callable[[str], str],
    *,
    path: Path,
    what: str,
    dropped: Collection[str] = (),
) -> N:
    """Build a network and give it the weights of a file.

    Args:
        make: builds the network; its random weights are never made.
        state: their name → tensor.
        names: our name → their name.
        path: of the file, for messages.
        what: what the file seems to be: "a Real-ESRGAN RRDBNet (×4, 23 blocks)".
        dropped: their names that are left out on purpose.

    Returns:
        The network in eval mode with float32 weights of its own on the CPU.

    Raises:
        UnknownWeights: a tensor is missing, left over or of another shape.
    """
    try:
        with torch.device("meta"):
            net = make()
    except GanvasError as error:
        raise UnknownWeights(f"{path.name} looks like {what}, but {error}") from error
    wanted = dict(net.state_dict())
    theirs = {ours: names(ours) for ours in wanted}
    counters = {ours for ours in wanted if ours.endswith("num_batches_tracked") and theirs[ours] not in state}
    missing = [theirs[ours] for ours in wanted if ours not in counters and theirs[ours] not in state]
    unknown = sorted(state.keys() - set(theirs.values()) - set(dropped))
    reshaped = [
        f"{theirs[ours]} {_form(state[theirs[ours]])} instead of {_form(tensor)}"
        for ours, tensor in wanted.items()
        if theirs[ours] in state and _form(state[theirs[ours]]) != _form(tensor)
    ]
    if missing or unknown or reshaped:
        parts = [_listed("missing", missing), _listed("not part of it", unknown), _listed("of another shape", reshaped)]
        raise UnknownWeights(f"{path.name} looks like {what}, but does not fit: {'; '.join(filter(None, parts))}.")
    values = {ours: torch.zeros((), dtype=torch.int64) for ours in counters}
    for ours, tensor in wanted.items():
        if ours not in counters:  # a copy: tensors of a file may share memory with each other
            values[ours] = state[theirs[ours]].detach().to(tensor.dtype, copy=True).contiguous()
    net.load_state_dict(values, assign=True)
    return net.eval()


def shape_of(state: Mapping[str, Tensor], name: str, *, path: Path, what: str, dims: int = 4) -> tuple[int, ...]:
    """The shape of a tensor that must be there, with `dims` axes.

    Raises:
        UnknownWeights: it is not there, or is another kind of tensor.
    """
    tensor = state.get(name)
    if tensor is None:
        raise UnknownWeights(f"{path.name} looks like {what}, but {name} is missing.")
    if tensor.ndim != dims or 0 in tensor.shape:
        raise UnknownWeights(
            f"{path.name} looks like {what}, but {name} should have {dims} axes, got {list(tensor.shape)}."
        )
    return tuple(tensor.shape)


def count(state: Mapping[str, Tensor], pattern: str, *, start: int = 0, step: int = 1) -> int:
    """How many names `pattern.format(start)`, `pattern.format(start + step)`, … are there without a gap."""
    n = 0
    while pattern.format(start + n * step) in state:
        n += 1
    return n


def _form(tensor: Tensor) -> str:
    """What must agree: the shape, plain storage, and whether it holds real numbers or counts."""
    kind = "" if tensor.layout == torch.strided and not tensor.is_quantized else " of unusual storage"
    number = "" if tensor.is_floating_point() else " of complex numbers" if tensor.is_complex() else " of whole numbers"
    return f"{list(tensor.shape)}{kind}{number}"


def _listed(what: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{what}: {', '.join(items[:SHOWN])}{more}"
