"""Tensors of a file → a network: built only when every name and shape fits, and never larger than what the file holds.

Readers decide the family and its config; the comparison, its message and the filling are the same for all of them.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode

from ganvas.errors import BrokenWeights, GanvasError, UnknownWeights, WeightsError
from ganvas.models import build
from ganvas.models.protocol import Network

_MAX_NUMBER = 1 << 20  # of a config: larger ones are damage
_MAX_COUNT = 4096  # of fields named num_…: layers, blocks, channels
_MAX_LENGTH = 64  # of a list in a config: widths by stage, taps of a filter
_SPARE_NUMBERS = 16 << 20  # of tensors that a file may leave out
_MAX_OUTLINE = 1 << 30  # numbers; the largest published GANs have a fifth of that


def load_state_dict_checked(
    family: str,
    fields: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    who: str,
    network: str = "G",
    may_miss: Sequence[str] = (),
    may_have: Sequence[str] = (),
) -> Network:
    """A network in eval mode with the weights of a file, copied to memory of its own as float32.

    Args:
        family: a name of FAMILIES.
        fields: of its config; checked by the config itself.
        tensors: name → tensor, names as the family spells them.
        who: the file's name, for messages.
        network: "G" or "D".
        may_miss: patterns (regular expressions, whole name) of tensors the file may leave out; they keep what the
            network starts with.
        may_have: patterns of tensors the file may have beyond the network's; they are passed over.

    Returns:
        The network; parameters require gradients, so that it can be tuned as it is.

    Raises:
        UnknownWeights: names or shapes differ; the message says which.
        BrokenWeights: the config makes no sense, or weights are not finite.
    """
    net = _build_empty(family, fields, network, who, tensors)
    plan = net.state_dict()
    used = {name: tensor for name, tensor in tensors.items() if name in plan or not _matches(name, may_have)}
    missing = [name for name in plan if name not in used and not _matches(name, may_miss)]
    differing = [name for name in plan if name in used and plan[name].shape != used[name].shape]
    unexpected = [name for name in used if name not in plan]
    if missing or differing or unexpected:
        raise UnknownWeights(_differences(f"{who} looks like {family}", plan, used, missing, differing, unexpected))
    for name, tensor in used.items():
        check_finite(name, tensor, who=who)
    if plan.keys() - used.keys():
        used = _initial_state(family, fields, network) | used
    with torch.no_grad():
        for name, place in plan.items():
            place.copy_(used[name])
    return net.eval()


def check_finite(name: str, tensor: Tensor, *, who: str) -> None:
    """Raises BrokenWeights where a weight is NaN or infinite."""
    if not tensor.is_floating_point() or math.isfinite(tensor.sum(dtype=torch.float32)):
        return  # one that is not finite makes the sum so; a sum that overflows needs the longer look
    bad = int((~torch.isfinite(tensor.float())).sum())
    if bad:
        raise BrokenWeights(
            f"{who}: {name} has {bad:,} values that are not finite (of {tensor.numel():,}). The training "
            "diverged, or the file is damaged."
        )


def _build_empty(
    family: str, fields: Mapping[str, Any], network: str, who: str, tensors: Mapping[str, Tensor]
) -> Network:
    """The network without its weights, for a config that came with a file, and no larger than the file allows."""
    if any(isinstance(n, (int, float)) and not abs(n) <= _MAX_NUMBER for n in _numbers(fields.values())):
        raise BrokenWeights(f"{who}: its config has a number above {_MAX_NUMBER:,}, which is invalid.")
    counts = {name: value for name, value in fields.items() if name.startswith("num_") and isinstance(value, int)}
    if any(value > _MAX_COUNT for value in counts.values()):
        raise BrokenWeights(f"{who}: its config has {counts}, which is invalid.")
    if any(isinstance(value, (str, list, tuple, dict)) and len(value) > _MAX_LENGTH for value in fields.values()):
        raise BrokenWeights(f"{who}: its config has a list of more than {_MAX_LENGTH} entries, which is invalid.")
    numbers = 4 * sum(tensor.numel() for tensor in tensors.values()) + _SPARE_NUMBERS
    try:
        with _SkipInit(numbers), _limit_modules(16 * len(tensors) + 1024):
            return build(family, network=network, **fields)
    except WeightsError as error:
        raise BrokenWeights(f"{who}: {error}") from error
    except GanvasError as error:
        raise BrokenWeights(f"{who} looks like {family}, but its config does not fit: {error}") from error
    except Exception as error:
        # The config is somebody else's: a text for a number, a list for a text.
        raise BrokenWeights(f"{who} looks like {family}, but its config is invalid: {error}") from error


def _initial_state(family: str, fields: Mapping[str, Any], network: str) -> dict[str, Tensor]:
    """What the network starts with, for tensors that a file leaves out (old noise maps): the same each time."""
    with torch.random.fork_rng(devices=[]):  # loading must not disturb the caller's seed
        torch.default_generator.manual_seed(0)
        return build(family, network=network, **fields).state_dict()


def empty_state_dict(family: str, *, network: str = "G", max_parts: int = 100_000, **fields: Any) -> dict[str, Tensor]:
    """Names and shapes of a network's weights; their numbers are whatever the memory held.

    Raises:
        BadConfig: see `models.build`.
        BrokenWeights: the network has more than `max_parts` modules, parameters and buffers, or is beyond any size.
    """
    with _SkipInit(_MAX_OUTLINE), _limit_modules(max_parts):
        return build(family, network=network, **fields).state_dict()


class _SkipInit(TorchFunctionMode):
    """While a network is built: draw no random weights, since they will be replaced, and stop when it grows too large.

    Args:
        numbers: how many all its new tensors may have together.
    """

    def __init__(self, numbers: int):
        super().__init__()
        self.left = numbers

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in _RANDOM_IN_PLACE:
            return args[0]
        if _numel_together(function, args) > self.left:  # filters are computed: outer products, grids
            raise BrokenWeights(_TOO_LARGE)
        if function in _FACTORIES:
            self.left -= _numel(args, kwargs)
            if self.left < 0:
                raise BrokenWeights(_TOO_LARGE)
            if function in _RANDOM and kwargs.get("generator") is None:  # with one it is wanted: the same each time
                function = torch.empty
        return function(*args, **kwargs)


_TOO_LARGE = "its config describes a network far larger than the file"
_RANDOM = {torch.rand, torch.randn}
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.arange, torch.kaiser_window, *_RANDOM}
_RANDOM_IN_PLACE = {Tensor.normal_, Tensor.uniform_}


def _numel(args: Any, kwargs: Any) -> int:
    """Numbers in the tensor that a factory is asked for: factory(2, 3), factory([2, 3]) or factory(size=[2, 3])."""
    size = kwargs.get("size", args[0] if args else ())
    if isinstance(size, int):
        size = [n for n in args if isinstance(n, int)]
    return math.prod(size)


def _numel_together(function: Any, args: Any) -> int:
    """Numbers in what an operation on these tensors gives, where that is more than each of them has."""
    shapes = [arg.shape for arg in args if isinstance(arg, Tensor)]
    if len(shapes) < 2:
        return 0
    if function is torch.outer:
        return math.prod(shape.numel() for shape in shapes)
    return math.prod(_sides(shapes))


def _sides(shapes: Sequence[torch.Size]) -> list[int]:
    """The longest of each axis, counted from the last."""
    axes = max(map(len, shapes))
    return [max(shape[-axis] if axis <= len(shape) else 1 for shape in shapes) for axis in range(1, axes + 1)]


def _numbers(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _numbers(value)
        else:
            yield value


@contextmanager
def _limit_modules(parts: int) -> Iterator[None]:
    """Stop a network that grows beyond `parts` modules, parameters and buffers: its file has no weights for them."""
    thread, count = threading.get_ident(), 0

    def one_more(*_: Any) -> None:
        nonlocal count
        if threading.get_ident() == thread:  # the hooks are torch-wide; networks of other threads are not ours
            count += 1
            if count > parts:
                raise BrokenWeights(
                    f"its config describes more than {parts:,} modules, far more than it has weights for"
                )

    hooks = [
        register(one_more)
        for register in (
            torch_module.register_module_module_registration_hook,
            torch_module.register_module_parameter_registration_hook,
            torch_module.register_module_buffer_registration_hook,
        )
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _differences(
    opening: str,
    plan: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    missing: Sequence[str],
    differing: Sequence[str],
    unexpected: Sequence[str],
) -> str:
    parts = [f"{opening}, but its weights do not fit"]
    if missing:
        parts.append(f"missing: {format_names(missing)}")
    if unexpected:
        parts.append(f"not expected: {format_names(unexpected)}")
    if differing:
        shapes = [f"{name} {list(tensors[name].shape)} instead of {list(plan[name].shape)}" for name in differing[:3]]
        parts.append(
            f"with a different shape: {', '.join(shapes)}" + ("" if len(differing) <= 3 else f", … ({len(differing)})")
        )
    return "; ".join(parts) + "."


def format_names(names: Sequence[str], count: int = 4) -> str:
    """The first few names, and how many there are: "a, b, … (17)"."""
    text = ", ".join(name[:80] for name in names[:count])
    return text if len(names) <= count else f"{text}, … ({len(names):,})"


def add_facts(net: nn.Module, **facts: Any) -> Any:
    """Note on a network what its file said about itself; None is left out."""
    net.facts.update({key: value for key, value in facts.items() if value is not None})
    return net
