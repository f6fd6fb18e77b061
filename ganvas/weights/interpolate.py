"""Interpolate the weights of two networks of the same architecture, e.g. from sharp to smooth."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TypeVar

import torch

from ganvas.errors import BadConfig
from ganvas.models.protocol import Network

N = TypeVar("N", bound=Network)


@torch.no_grad()
def interpolate_networks(a: N, b: N, share: float) -> N:
    """Mix the weights of two networks: share · a + (1 − share) · b, for each number by itself.

    ESRGAN mixes a network trained for small errors with one trained for looks; Real-ESRGAN's denoise strength mixes
    realesr-general-x4v3 (a) with its -wdn- twin (b).

    Args:
        a, b: networks of one family and config.
        share: of a; 0 = b, 1 = a.

    Returns:
        A new network on a's device, in a's mode.

    Raises:
        BadConfig: the networks differ in shape, or the share is outside 0 … 1.

    Source: Wang et al. 2019, "Deep Network Interpolation for Continuous Imagery Effect Transition".
    """
    if not 0 <= share <= 1:
        raise BadConfig(f"interpolate_networks expects a share of the first network from 0 to 1, got {share}")
    if type(a) is not type(b) or a.config != b.config:
        raise BadConfig(f"interpolate_networks expects two networks of the same architecture, got {_difference(a, b)}.")
    mixed = copy.deepcopy(a)
    values, others = mixed.state_dict(), b.state_dict()
    for name, value in values.items():
        if value.is_floating_point():  # counters of batch norm stay those of a
            value.copy_(value * share + others[name].to(value) * (1 - share))
    mixed.facts = {"interpolated": [{"share": share, **a.facts}, {"share": 1 - share, **b.facts}]}
    return mixed


def _difference(a: Network, b: Network) -> str:
    if type(a) is not type(b):
        return f"{a.family} {type(a).__name__} and {b.family} {type(b).__name__}"
    ours, theirs = asdict(a.config), asdict(b.config)
    differing = [f"{name} {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name]]
    return f"two of {a.family} with {', '.join(differing)}"
