import pytest
import torch

from ganvas.editing.interpolation import latent_walk
from ganvas.errors import BadConfig


@pytest.mark.parametrize("on_sphere", [False, True])
def test_a_walk_passes_its_keys_and_closes(on_sphere):
    keys = torch.randn(3, 2, 16)
    path = latent_walk(keys, frames=30, on_sphere=on_sphere)
    assert torch.allclose(path[[0, 10, 20]], keys, atol=1e-5)
    steps = (path.roll(-1, 0) - path).norm(dim=(1, 2))
    assert steps.max() < 4 * steps.median()  # nowhere a jump, also not from the last frame to the first


def test_a_walk_on_the_sphere_keeps_its_length():
    keys = torch.nn.functional.normalize(torch.randn(4, 1, 64), dim=-1) * 8
    lengths = latent_walk(keys, frames=40, on_sphere=True).norm(dim=-1)
    assert torch.allclose(lengths, torch.full_like(lengths, 8), atol=1e-3)


def test_a_straight_line_of_keys_gives_a_straight_walk():
    keys = torch.zeros(4, 1, 1)
    assert torch.equal(latent_walk(keys, frames=8), torch.zeros(8, 1, 1))


def test_too_few_keys_or_frames_are_named():
    with pytest.raises(BadConfig, match="1 keyframes"):
        latent_walk(torch.randn(1, 2, 8), frames=10)
    with pytest.raises(BadConfig, match="2 frames"):
        latent_walk(torch.randn(3, 2, 8), frames=2)
