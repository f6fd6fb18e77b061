"""Processes beside the tests' own, which have torch and the trainings imported when they begin."""

import multiprocessing
import sys

import pytest

needs_children = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork server")

if sys.platform != "win32":
    CHILDREN = multiprocessing.get_context("forkserver")
    CHILDREN.set_forkserver_preload(["ganvas.training.generator.train", "tests.training.tiny"])
