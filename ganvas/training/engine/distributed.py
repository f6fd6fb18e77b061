"""Several processes that train one pair of networks, as torchrun starts them; on one process everything here is free.

Each process shows the networks its share of every batch; gradients are averaged before the optimiser steps
(overlap.py), so all of them hold the same weights at all times. Randomness is drawn for micro-batches, not for
processes (generator/trainer.py), hence N processes give what one gives with the same global batch, up to the order of
float sums.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganvas.errors import BadConfig, GanvasError

_T = TypeVar("_T")
_PATIENCE = timedelta(minutes=30)  # how long one process waits for the others, who may be writing a snapshot
_PREPARATION_PATIENCE = timedelta(days=7)  # the same while one reads a data set for the first time


class LostProcess(GanvasError):
    """Another process of the training has ended; this one cannot go on alone."""


@contextlib.contextmanager
def speak_together() -> Iterator[None]:
    """Around each message to the other processes: a library's raw text becomes one sentence.

    Raises:
        LostProcess: the line to another process is dead.
    """
    try:
        yield
    except RuntimeError as error:  # gloo's and nccl's errors have no common class of their own
        raise LostProcess(
            f"another of the {dist.get_world_size() if dist.is_initialized() else 'several'} processes has ended "
            f"(killed, out of memory, or its machine is gone): {str(error).strip().splitlines()[0][:160]}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class World:
    """Which of how many processes this one is, and where it computes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Does this process write files and speak?"""
        return self.rank == 0


def init_distributed(device: str | torch.device = "auto") -> World:
    """Meet the other processes that torchrun has started; alone where it has not.

    Args:
        device: "auto" = CUDA where there is one, else MPS, else the CPU; with several processes each its own card.

    Raises:
        BadConfig: a device that is not there.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    place = _place(str(device), local_rank)
    if size > 1 and not dist.is_initialized():
        backend = "nccl" if place.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        if backend == "gloo":
            atexit.register(_part)  # after an error, too; nccl would wait for those that are still at work
    if place.type == "cuda":
        torch.cuda.set_device(place)
    return World(rank=rank, size=size, local_rank=local_rank, device=place)


def _place(device: str, local_rank: int) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadConfig(f"device must be auto, cpu, cuda, cuda:1 or mps, and be there; {device!r}: {error}") from error
    return place


def shutdown_distributed(world: World) -> None:
    """Part from the others at the end, when all have come there."""
    if world.size > 1:
        with contextlib.suppress(RuntimeError):  # the others may have come and closed the line before gloo heard of it
            dist.barrier()
        _part()


def _part() -> None:
    """End the group while Python is still whole.

    Its threads hold tensors; one that lets go of them when the interpreter is half gone aborts the process (SIGABRT).
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def in_turns(work: Callable[[], _T], world: World) -> _T:
    """What the first process leaves on the disk, the others find: it works alone, and they wait.

    Then one process of each further machine, which may have a disk of its own, and last all the rest.

    Args:
        work: done once in every process; its first call may take long and write, the later ones find what was written.

    Returns:
        What this process's own call returned.

    Raises:
        LostProcess: another process failed at it, so that there is nothing to find.
    """
    if world.size == 1:
        return work()
    waiting_room = dist.new_group(backend="gloo", timeout=_PREPARATION_PATIENCE)
    mine = 0 if world.is_main else 1 if world.local_rank == 0 else 2
    result: list[_T] = []
    for turn in range(3):
        failed = torch.ones(1)
        try:
            if turn == mine:
                result.append(work())
            failed.zero_()
        finally:  # the others must hear of an error before it ends this process
            with speak_together():
                dist.all_reduce(failed, group=waiting_room)
        if failed.item():
            raise LostProcess("another process could not prepare the data; its own message says why")
    return result[0]


@torch.no_grad()
def average(tensors: Sequence[Tensor], world: World) -> None:
    """Replace each tensor by its mean over all processes, in place and in one message."""
    if world.size == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
    with speak_together():
        dist.all_reduce(flat)
    flat /= world.size
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def average_buffers(network: nn.Module, world: World) -> None:
    """The mean of every float buffer (running means, singular vectors), so that processes do not drift apart."""
    if world.size > 1:
        average([buffer for buffer in network.buffers() if buffer.is_floating_point()], world)


def average_numbers(numbers: Mapping[str, float], world: World) -> dict[str, float]:
    """The mean over all processes of each number; the names must be the same everywhere."""
    values = torch.tensor([numbers[name] for name in sorted(numbers)], dtype=torch.float64)
    if world.size > 1:
        values = values.to(world.device, torch.float32 if world.device.type == "mps" else torch.float64)
        with speak_together():
            dist.all_reduce(values)
        values = values.cpu() / world.size
    return dict(zip(sorted(numbers), values.tolist(), strict=True))


def sum_over_processes(tensor: Tensor, world: World) -> Tensor:
    """The sum of a tensor over all processes; the one that is given is left as it was."""
    if world.size == 1:
        return tensor
    whole = tensor.to(world.device, copy=True)
    with speak_together():
        dist.all_reduce(whole)
    return whole


def any_process(yes: bool, world: World) -> bool:
    """Does any process say yes? All get the same answer at the same step, so that none waits for one that has left."""
    if world.size == 1:
        return yes
    flag = torch.tensor([float(yes)], device=world.device)
    with speak_together():
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item() > 0)


def broadcast_weights(networks: Iterable[nn.Module], world: World) -> None:
    """Give every process the weights of the first."""
    if world.size == 1:
        return
    with speak_together():
        for network in networks:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, src=0)
