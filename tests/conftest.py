"""What every test has in common: few threads (the tests run side by side) and a cache folder of their own."""

import os

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def ganvas_home(tmp_path_factory, monkeypatch, request):
    """No test reads or writes the user's own cache, unless it is a network test that was asked for."""
    if request.node.get_closest_marker("network") and os.environ.get("GANVAS_TEST_NETWORK"):
        return
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path_factory.mktemp("ganvas_home")))


def pytest_collection_modifyitems(items):
    no_network = pytest.mark.skip(reason="fetches real weights: set GANVAS_TEST_NETWORK=1 to run it")
    no_gpu = pytest.mark.skip(reason="needs a CUDA device, and there is none here")
    for item in items:
        if item.get_closest_marker("network") and not os.environ.get("GANVAS_TEST_NETWORK"):
            item.add_marker(no_network)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
