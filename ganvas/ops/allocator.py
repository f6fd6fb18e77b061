"""Keep the memory of freed pictures instead of giving it back to the system and asking for it again.

glibc returns every large block at once; the next one comes as fresh pages that the system must zero, which at 1024
pixels costs as much time as the arithmetic. Resident memory then stays at its high-water mark, so this is a choice of
the commands and of whoever calls `keep_freed_memory`, never of `import ganvas`.
"""

from __future__ import annotations

import ctypes
import platform
import sys

# Parameters of mallopt(3), from glibc's <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_ONE_BLOCK_BYTES = (1 << 30, 1 << 25)  # only larger blocks go back at once; older glibc takes at most the second
_KEPT_BYTES = 2**31 - 1  # mallopt takes an int


def keep_freed_memory() -> bool:
    """Tell the C library to reuse large blocks. For the whole process, best before the first tensor.

    Returns:
        Whether it took effect: True on Linux with glibc, False (and nothing done) anywhere else.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    large = any(mallopt(_M_MMAP_THRESHOLD, size) == 1 for size in _ONE_BLOCK_BYTES)
    trim_disabled = mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) == 1
    # Threads have arenas of their own, of 64 MiB at most: a larger picture would still come from fresh pages there.
    shared = mallopt(_M_ARENA_MAX, 1) == 1
    return large and trim_disabled and shared
