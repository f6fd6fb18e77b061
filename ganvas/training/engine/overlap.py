"""Gradients averaged over processes while the backward pass still computes others.

As DistributedDataParallel does it (Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel
Training"): gradients come from the last layer to the first, and a bucket that is full is sent at once. Ours is opened
around one backward pass, since a step here has several (portions, penalties, networks that must not learn).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganvas.training.engine.distributed import World, speak_together

BUCKET_BYTES = 8 << 20  # of gradients in a message


class OverlappedAverage:
    """Inside, a backward pass leaves every parameter the mean of its gradient over all processes.

    What earlier passes have left in the gradients is averaged with it. All processes send the same buckets in the same
    order, whatever comes first in each.

    Args:
        parameters: those that learn, in the order of the forward pass.
        world: of processes; alone, nothing is done.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], world: World):
        self._world = world
        self._buckets = _fill_buckets(parameters) if world.size > 1 else []
        self._place = {parameter: i for i, bucket in enumerate(self._buckets) for parameter in bucket}
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[list[Tensor], Tensor, Any]] = []

    def __enter__(self) -> OverlappedAverage:
        self._hooks = [parameter.register_post_accumulate_grad_hook(self._note) for parameter in self._place]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        if kind is not None:
            return
        while len(self._sent) < len(self._buckets):  # with parameters that this pass did not reach
            self._send()
        for gradients, flat, message in self._sent:
            with speak_together():
                message.wait()
            flat /= self._world.size
            for gradient, part in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def _note(self, parameter: Tensor) -> None:
        self._missing[self._place[parameter]] -= 1  # type: ignore[index]
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    @torch.no_grad()
    def _send(self) -> None:
        bucket = self._buckets[len(self._sent)]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat = torch.cat([gradient.flatten().float() for gradient in gradients])
        with speak_together():
            self._sent.append((gradients, flat, dist.all_reduce(flat, async_op=True)))


def _fill_buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """From the last parameter to the first."""
    buckets: list[list[nn.Parameter]] = [[]]
    for parameter in reversed(parameters):
        if sum(each.numel() for each in buckets[-1]) * 4 >= BUCKET_BYTES:
            buckets.append([])
        buckets[-1].append(parameter)
    return buckets
