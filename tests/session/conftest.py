"""A tiny generator, the same for every file that does not make one of its own."""

import pytest
import torch

import ganvas


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    tiny = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}
    return ganvas.build("stylegan2", num_mapping_layers=2, **tiny).eval().requires_grad_(False)
