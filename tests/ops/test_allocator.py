"""The allocator setting: it takes where there is glibc, and large blocks then stay in the process."""

import platform
import subprocess
import sys

import pytest

from ganvas.ops import allocator

PROGRAM = """
import ctypes, resource, sys, threading
from ganvas.ops.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
size = 80 << 20

def work():
    for _ in range(20):
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        libc.free(block)

thread = threading.Thread(target=work)
thread.start() if sys.argv[2] == "thread" else work()
if sys.argv[2] == "thread":
    thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def page_faults(mode: str, where: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, mode, where], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_freed_blocks_are_used_again(where):
    """Twenty blocks of 80 MiB: fresh pages each time, or the same ones again. Page faults do not depend on load."""
    assert page_faults("keep", where) < page_faults("leave", where) / 3


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False
