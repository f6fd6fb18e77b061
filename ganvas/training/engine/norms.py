"""Buffers that a network moves by itself, such as the running means of batch normalisation, in portions and processes.

A batch may be cut into portions, on one process or on several. What a network learns must not depend on where the
portions lie: each meets the buffers as they were before the batch, and the mean of what all made of them is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.training.engine.distributed import World

_T = TypeVar("_T")


class BufferKeeper:
    """Lets the portions of a batch move the buffers of networks side by side, and not one after the other.

    Args:
        networks: whose buffers.
    """

    def __init__(self, networks: Iterable[nn.Module]):
        self.buffers = [b for network in networks for b in network.buffers() if b.dtype != torch.bool]

    def each(self, portions: Sequence[_T]) -> Iterator[_T]:
        """The portions; after the last, each buffer that moved holds the mean of where they left it."""
        if len(portions) == 1:
            yield portions[0]
            return
        before = [buffer.clone() for buffer in self.buffers]
        moves = [torch.zeros_like(buffer) for buffer in self.buffers]
        for portion in portions:
            yield portion
            with torch.no_grad():
                for buffer, start, move in zip(self.buffers, before, moves, strict=True):
                    move += buffer - start
                    buffer.copy_(start)
        with torch.no_grad():
            for buffer, move in zip(self.buffers, moves, strict=True):
                buffer += (move / len(portions)).to(buffer.dtype)  # counters, too: all portions count the same step


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        whole = x.contiguous().clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SumOverProcesses.apply(gradient)


class CrossReplicaBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of what all processes see at once.

    Source: Zhang et al. 2018, "Context Encoding for Semantic Segmentation", section 3.1 (synchronised batch
    normalisation); called so in Brock et al. 2019, "Large Scale GAN Training" (BigGAN).
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same; every process must call it as often, with as many pictures."""
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        numbers = x.float()
        processes = dist.get_world_size()
        mean = _SumOverProcesses.apply(numbers.mean(dim=(0, 2, 3))) / processes  # [C]
        centred = numbers - mean[:, None, None]
        variance = _SumOverProcesses.apply(centred.square().mean(dim=(0, 2, 3))) / processes
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            count = processes * numbers.numel() / len(mean)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        out = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            out = out * self.weight[:, None, None] + self.bias[:, None, None]
        return out.to(x.dtype)


def synchronise_batch_norm(network: nn.Module, world: World) -> None:
    """Let the batch normalisation of a network see what all processes see; alone it does so already.

    Args:
        network: changed in place; its weights and buffers keep their names.

    Raises:
        BadConfig: a kind of batch normalisation that cannot: of rows, of volumes, or with a cumulative mean.
    """
    if world.size == 1:
        return
    for name, module in network.named_modules():
        if type(module) is nn.BatchNorm2d and module.momentum is not None:
            module.__class__ = CrossReplicaBatchNorm2d
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise BadConfig(f"sync_norm is for BatchNorm2d with a momentum, and {name} is a {type(module).__name__}")
