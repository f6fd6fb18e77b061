"""How large a tile may be: the memory that is free, what a network needs for each pixel, and what running out looks
like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

MEMORY_FRACTION = 0.5  # of the free memory
MAX_TILE_BYTES = 4 * 2**30  # more gains little: what tiles compute twice is a third by then
FALLBACK_FREE_BYTES = 2**30  # where the system does not say what is free
PROBE_PX = 16
LAYER_COPIES = (
    4  # of the largest layer, at the same time: what goes in, what comes out, and room for a kernel and the result
)


def free_bytes(device: torch.device) -> int:
    """Memory that a job on this device may take: what is free now, in a container no more than its limit leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [size for size in (_available(), _left_in_container(), _physical()) if size is not None]
    return min(known, default=FALLBACK_FREE_BYTES)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _left_in_container() -> int | None:
    """Control groups, version 2; the word "max" means no limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return None
    return max(most - used, 0)


def _physical() -> int | None:
    """Half of what is built in, where the system says no more than that."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None


def bytes_needed(net: Any, img: Tensor) -> tuple[float, float]:
    """What a network holds while it runs: (for each pixel of its input, besides).

    Uses the network's own `working_bytes` if it has one; otherwise its layers are measured on a small image.

    Args:
        net: an upscaler.
        img: [1, C, h, w], what it is tried on.
    """
    known = getattr(net, "working_bytes", None)
    return known if known is not None else (max(bytes_per_pixel(net, img), 1.0), 0.0)


def bytes_per_pixel(net: Any, img: Tensor) -> float:
    """What a network holds for each pixel of its input while it runs, measured on its layers. See `bytes_needed`."""
    largest = 0

    def record_size(module: object, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        tensors = [each for each in (*inputs, output) if isinstance(each, Tensor)]
        largest = max(largest, *(each.numel() * each.element_size() for each in tensors))

    layers = net.modules() if isinstance(net, nn.Module) else ()
    hooks = [module.register_forward_hook(record_size) for module in layers]
    try:
        with torch.no_grad():
            record_size(net, (img,), net(img))
    finally:
        for hook in hooks:
            hook.remove()
    return LAYER_COPIES * largest / (img.shape[2] * img.shape[3])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: each allocator has its own words."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory", "could not create a memory object")
    return isinstance(error, RuntimeError) and any(each in str(error).lower() for each in words)
