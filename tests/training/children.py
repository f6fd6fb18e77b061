"""Processes beside the tests' own, which have imported when they begin what tests want of them.

There is one fork server a process, and its list counts when it starts: so it has trainings (with the compiler that
torch's optimisers import) and the studio.
"""

import multiprocessing
import sys

import pytest

needs_children = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork server")

if sys.platform != "win32":
    CHILDREN = multiprocessing.get_context("forkserver")
    CHILDREN.set_forkserver_preload(
        ["torch._dynamo", "ganvas.training.generator.train", "tests.training.tiny", "ganvas.web.app"]
    )
