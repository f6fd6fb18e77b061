"""Seeds mean what they mean elsewhere."""

import numpy as np
import pytest

from ganvas.errors import BadConfig
from ganvas.models.seeds import latents_from_seeds


@pytest.mark.parametrize("z_dim", [1, 7, 16])
def test_each_seed_is_its_own_draw(z_dim):
    """An odd number leaves half a pair of normal numbers behind: it must not reach the next seed."""
    seeds = [5, 0, 2**32 - 1, 5]
    expected = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    assert (latents_from_seeds(seeds, z_dim).numpy() == np.concatenate(expected).astype(np.float32)).all()


@pytest.mark.parametrize(
    ("seeds", "says"), [([3, -1], "0 to 4294967295, got -1"), ([2**32], "got 4294967296"), ([], "none")]
)
def test_what_is_no_seed_is_refused(seeds, says):
    with pytest.raises(BadConfig, match=says):
        latents_from_seeds(seeds, 4)
