"""Pivotal tuning: fine-tune a generator slightly around a latent, and store the change as a small delta.

Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images". Ours is gentler: every tensor moves in
steps of a few thousandths of its own spread, and what steers (mapping, styles, noise) is left alone; so edits of the
tuned generator stay as whole as those of the untuned one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, BadLatent

# Parts of parameter names that steer, normalise or preview; everything else paints.
EXCLUDED_PREFIXES = ("map", "mapping", "embed", "affine", "noise", "norm", "bn", "const", "heads")


def tunable_parameters(generator: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that paint: convolutions and their biases; not those that steer, normalise or preview."""
    return {name: p for name, p in generator.named_parameters() if not any(map(_is_excluded, name.split(".")))}


def _is_excluded(part: str) -> bool:
    return part.startswith(EXCLUDED_PREFIXES)


def with_delta(generator: Any, delta: Mapping[str, Tensor], *, share: float = 1.0) -> Any:
    """A generator with a share of the delta added; the given one is never changed.

    Args:
        generator: the one that was tuned.
        delta: parameter name → difference.
        share: 0 = the generator as it was, 1 = tuned entirely.

    Returns:
        A frozen copy in eval mode. It has its own memory only for what the delta touches and shares the rest, so it
        costs little; do not train it.

    Raises:
        BadLatent: the delta is of another generator.
        BadConfig: a share outside 0 … 1.
    """
    if not 0 <= share <= 1:
        raise BadConfig(f"share must be from 0 (untuned) to 1 (fully tuned), got {share}")
    parameters = dict(generator.named_parameters())
    for name, change in delta.items():
        if name not in parameters or parameters[name].shape != change.shape:
            raise BadLatent(f"this tuning belongs to another generator: {name} {list(change.shape)} does not match")
    tuned_copy = _sharing_copy(generator, own=delta.keys())
    with torch.no_grad():
        for name, parameter in tuned_copy.named_parameters():
            if name in delta:
                parameter.add_(delta[name].to(parameter), alpha=share)
    return tuned_copy


def _sharing_copy(generator: Any, *, own: Any) -> Any:
    """A frozen copy in eval mode whose tensors are the generator's own, but for the parameters named in `own`."""
    shared: dict[int, Any] = {id(b): b for b in generator.buffers()}
    for name, parameter in generator.named_parameters():
        if name not in own:
            shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    return copy.deepcopy(generator, shared).requires_grad_(False).eval()


@contextmanager
def use_delta(generator: Any, delta: Mapping[str, Tensor], *, share: float = 1.0) -> Iterator[Any]:
    """`with tuned(generator, delta) as G:` the tuned generator for the length of a block; see `with_delta`."""
    yield with_delta(generator, delta, share=share) if delta and share else generator


def parameter_scale(parameter: Tensor) -> float:
    """The size of a tensor's entries, by which its step is scaled; a single or constant one counts by its magnitude."""
    flat = parameter.detach().float()
    deviation = float(flat.std()) if flat.numel() > 1 else 0.0
    return deviation or float(flat.abs().mean()) or 1e-3


def compute_delta(tuned_generator: nn.Module, generator: nn.Module) -> dict[str, Tensor]:
    """What the tuning changed, as float16; parameters that did not move are left out."""
    before = dict(generator.named_parameters())
    delta = {}
    for name, parameter in tunable_parameters(tuned_generator).items():
        moved = (parameter - before[name]).detach().half().cpu()
        if moved.any():
            delta[name] = moved
    return delta
