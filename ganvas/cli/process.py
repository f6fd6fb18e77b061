"""What every command that runs a network does first: settings of the process that make this machine quick."""

from __future__ import annotations

import os
from typing import Any

# Turns of an empty loop, some 10 us, in which a thread of torch that has done its share waits before it sleeps. The
# library's own 300,000 burn a core that a busy machine (the browser beside the studio) has other use for. Measured on
# two cores: 5 to 9 % slower where nothing else runs; a preview in a third to a fifth of the time at load 9 to 18.
SPIN_COUNT = 10_000


def limit_spinning() -> None:
    """Let idle threads sleep soon. Only before torch is loaded, and where the environment does not say otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


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
