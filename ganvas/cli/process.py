"""What every command that runs a network does first: settings of the process that make this machine quick."""

from __future__ import annotations

from typing import Any


def configure_process() -> None:
    """Reuse freed memory, and choose the number of threads for the current load."""
    from ganvas.ops.allocator import keep_freed_memory
    from ganvas.ops.threads import calibrate_threads

    keep_freed_memory()
    calibrate_threads()


def has_cuda() -> bool:
    """Whether a CUDA device is available."""
    import torch

    return torch.cuda.is_available()


def to_best_device(net: Any) -> Any:
    """A network where it runs fastest."""
    return net.to("cuda") if has_cuda() else net
