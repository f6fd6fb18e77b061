"""What every test of training has in common: no long film at the end of each of its many runs."""

import functools

import pytest

from ganvas.training.engine.plots import write_walk
from ganvas.training.generator import snapshots


@pytest.fixture(autouse=True, scope="module")
def short_walks():
    """The walk through latents has 4 pictures where it has 48: a fifth of the time of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "write_walk", functools.partial(write_walk, frames=4, stops=2))
        yield
