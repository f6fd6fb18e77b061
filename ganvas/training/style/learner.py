"""A low-rank change of a generator that learns a style."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganvas.editing.style import DOWN, UP
from ganvas.errors import BadConfig
from ganvas.inversion.pivotal import parameter_scale, tunable_parameters

MAX_NUMBERS = 4_500_000  # a style file holds no more, in float16: 9 MB


MIN_FACTORISED_NUMEL = 65_536  # tensors with fewer numbers are never taken apart


class LowRankDelta(nn.Module):
    """A weight as its first value plus the product of two thin factors: up [O, r] · down [r, …]."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        size = parameter_scale(weight)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        self.down = nn.Parameter(torch.randn(rank, *weight.shape[1:], device=weight.device) / math.sqrt(rank))
        self.scale = size

    def forward(self, weight: Tensor) -> Tensor:
        """weight [O, …] → the same shape."""
        return weight + torch.tensordot(self.up, self.down, dims=1)


class StyleLearner:
    """A copy of a generator in which the layers that paint learn; what they have learnt is a small set of tensors."""

    def __init__(self, generator: Any, *, from_px: int, max_numbers: int = MAX_NUMBERS):
        self.parent = generator
        self.generator = copy.deepcopy(generator).requires_grad_(False).eval()
        chosen = {
            n: p for n, p in tunable_parameters(self.generator).items() if (generator.place_px(n) or 0) >= from_px
        }
        if not chosen:
            raise BadConfig(f"this generator has no layers at {from_px} px or more: use a lower from_px")
        self.rank = _rank_for(chosen, max_numbers)
        self.whole: dict[str, nn.Parameter] = {}
        self.low_rank: dict[str, LowRankDelta] = {}
        for name, parameter in chosen.items():
            if self.rank is None or parameter.numel() < MIN_FACTORISED_NUMEL:
                parameter.requires_grad_()
                self.whole[name] = parameter
            else:
                self.low_rank[name] = self._factorise(name, parameter)

    def _factorise(self, name: str, parameter: Tensor) -> LowRankDelta:
        assert self.rank is not None
        owner, _, leaf = name.rpartition(".")
        low_rank = LowRankDelta(parameter, self.rank)
        parametrize.register_parametrization(self.generator.get_submodule(owner), leaf, low_rank)
        return low_rank

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """For the optimiser: each tensor with a step of its own size."""
        before = dict(self.parent.named_parameters())
        sizes = [(p, parameter_scale(before[n])) for n, p in self.whole.items()]
        for low_rank in self.low_rank.values():
            # down has a spread of 1/√r, so a step of up by s changes the product by about s.
            sizes += [(low_rank.up, low_rank.scale), (low_rank.down, 1 / math.sqrt(low_rank.up.shape[1]))]
        return [{"params": [p], "lr": 0.0, "full": lr * size} for p, size in sizes]

    def is_finite(self, loss: Tensor) -> bool:
        """Is everything finite that the next step would use?"""
        learning = [*self.whole.values(), *(p for low_rank in self.low_rank.values() for p in low_rank.parameters())]
        return bool(loss.isfinite()) and all(p.grad is None or bool(p.grad.isfinite().all()) for p in learning)

    def tensors(self) -> dict[str, Tensor]:
        """What was learnt, as a `Style` has it, float16 on the CPU."""
        before = dict(self.parent.named_parameters())
        deltas = {n: (p - before[n]).detach() for n, p in self.whole.items()}
        for name, low_rank in self.low_rank.items():
            deltas |= {name + UP: low_rank.up.detach(), name + DOWN: low_rank.down.detach()}
        stored = {n: t.to("cpu", torch.float16) for n, t in deltas.items()}
        return {n: t for n, t in stored.items() if t.any() or n.endswith((UP, DOWN))}


def _rank_for(chosen: dict[str, nn.Parameter], max_numbers: int) -> int | None:
    """The rank at which all that learns fits; None = it fits as it is.

    Raises:
        BadConfig: the small tensors alone are too many.
    """
    sizes = [p.numel() for p in chosen.values()]
    if sum(sizes) <= max_numbers:
        return None
    left = max_numbers - sum(size for size in sizes if size < MIN_FACTORISED_NUMEL)
    each = sum(p.shape[0] + p.numel() // p.shape[0] for p in chosen.values() if p.numel() >= MIN_FACTORISED_NUMEL)
    if left < each:
        raise BadConfig(
            f"this generator is too large for a style file of {2 * max_numbers / 1e6:.0f} MB: use a higher from_px"
        )
    return min(64, left // each)
