"""What every test has in common: few threads (they run side by side), a cache folder, and a clock for who needs one."""

import gc
import importlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


def pytest_configure(config):
    """Each process of `pytest -n` compiles its share of the tests first, and finds those of the others compiled."""
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    gc.disable()  # until all tests are collected: what is made for them stays, and each look through it takes seconds
    root, start = Path(__file__).parents[1], config.invocation_params.dir
    modules = sorted(path for argument in config.args for path in (start / argument).rglob("test_*.py"))
    for path in modules[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        try:
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        except (Exception, pytest.skip.Exception):
            pass  # told when it is collected


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def ganvas_home(tmp_path_factory, monkeypatch, request):
    """No test reads or writes the user's own cache, unless it is a network test that was asked for."""
    if request.node.get_closest_marker("network") and os.environ.get("GANVAS_TEST_NETWORK"):
        return
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path_factory.mktemp("ganvas_home")))


@pytest.fixture(scope="module")
def short_searches():
    """Inversions take three steps a stage, whatever their effort: what they find is tested elsewhere."""
    from ganvas.inversion.optimise import EFFORT_STAGES

    with pytest.MonkeyPatch.context() as patch:
        for effort, stages in EFFORT_STAGES.items():
            patch.setitem(EFFORT_STAGES, effort, tuple(replace(stage, steps=3) for stage in stages))
        yield


class Clock:
    """In the place of the module `time`: it stands still, but for `advance`, `sleep` and `tick_sec` with every look."""

    def __init__(self):
        self.now_sec, self.tick_sec = 1_000.0, 0.0

    def monotonic(self):
        self.advance(self.tick_sec)
        return self.now_sec

    time = perf_counter = monotonic

    def advance(self, sec):
        self.now_sec += sec

    sleep = advance

    def __getattr__(self, name):
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch):
    """A clock that every module of ganvas loaded so far looks at, and nobody else: servers and threads go on."""
    clock = Clock()
    for name, module in list(sys.modules.items()):
        if name.startswith("ganvas.") and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", clock)
    return clock


def pytest_collection_modifyitems(items):
    no_network = pytest.mark.skip(reason="fetches real weights: set GANVAS_TEST_NETWORK=1 to run it")
    no_gpu = pytest.mark.skip(reason="needs a CUDA device, and there is none here")
    for item in items:
        if item.get_closest_marker("network") and not os.environ.get("GANVAS_TEST_NETWORK"):
            item.add_marker(no_network)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
