"""Fill one of our networks from tensors that carry other names.

A reader works out the config, says what our names are called in the file, and calls `load_state_dict_renamed`;
messages then speak in the file's own names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

from ganvas.errors import GanvasError, UnknownWeights
from ganvas.models.protocol import Network
from ganvas.weights.readers.state_dict import empty_state_dict, format_names, load_state_dict_checked

COUNTER = r".*\.num_batches_tracked"  # of batch norm; files from before torch 0.4.1 have none


def load_state_dict_renamed(
    family: str,
    fields: Mapping[str, Any],
    state: Mapping[str, Tensor],
    names: Callable[[str], str],
    *,
    who: str,
    what: str,
    network: str = "G",
    dropped: Collection[str] = (),
) -> Any:
    """A network in eval mode with the weights of a file.

    Args:
        family, fields, network: what to build; see `models.build`.
        state: their name → tensor.
        names: our name → their name.
        who: the file's name, for messages.
        what: what the file seems to be: "an RRDBNet in the old ESRGAN layout".
        dropped: their names that are left out on purpose.

    Raises:
        UnknownWeights: a tensor is missing, left over or of another shape.
        BrokenWeights: a weight is not finite.
    """
    try:
        plan = empty_state_dict(family, network=network, max_parts=16 * len(state) + 1024, **fields)
    except GanvasError as error:
        raise UnknownWeights(f"{who} looks like {what}, but {error}") from error
    theirs = {ours: names(ours) for ours in plan}
    missing = [theirs[ours] for ours in plan if theirs[ours] not in state and not ours.endswith("num_batches_tracked")]
    if missing:
        raise UnknownWeights(f"{who} looks like {what}, but it has no {format_names(missing)}.")
    odd = [
        theirs[o]
        for o in plan
        if theirs[o] in state and plan[o].is_floating_point() > state[theirs[o]].is_floating_point()
    ]
    if odd:
        raise UnknownWeights(f"{who} looks like {what}, but {format_names(odd)} are not real-valued.")
    ours_of = {name: ours for ours, name in theirs.items()}
    tensors = {ours_of.get(name, f"{name} "): tensor for name, tensor in state.items() if name not in dropped}
    return load_state_dict_checked(family, fields, tensors, who=f"{who} ({what})", network=network, may_miss=(COUNTER,))


def with_facts(net: Network, **facts: Any) -> Any:
    """Note on a network what its reader found out."""
    net.facts.update(facts)
    return net


def conv_shape(state: Mapping[str, Tensor], name: str, *, who: str, what: str) -> tuple[int, ...]:
    """The shape of a convolution's weight that must be there: four axes.

    Raises:
        UnknownWeights: it is not there, or is another kind of tensor.
    """
    tensor = state.get(name)
    if tensor is None:
        raise UnknownWeights(f"{who} looks like {what}, but it has no {name}.")
    if tensor.ndim != 4 or 0 in tensor.shape:
        raise UnknownWeights(f"{who} looks like {what}, but {name} {list(tensor.shape)} is not a convolution weight.")
    return tuple(tensor.shape)


def count_keys(state: Mapping[str, Tensor], pattern: str, *, start: int = 0, step: int = 1) -> int:
    """How many names `pattern.format(start)`, `pattern.format(start + step)`, … are there without a gap."""
    n = 0
    while pattern.format(start + n * step) in state:
        n += 1
    return n
