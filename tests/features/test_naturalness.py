"""The critic of faces: that what ships fits the network it looks through; how well it tells is in docs/editing.md."""

import pytest
import torch

from ganvas.errors import BrokenWeights
from ganvas.features import naturalness
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.naturalness import CRITIC_PX, FACE_ZONES, load_face_critic, measure_textures, score_naturalness


def test_the_critic_that_ships_has_a_weight_for_every_texture():
    torch.manual_seed(0)
    maps = EfficientNetLite0().features(torch.rand(2, 3, CRITIC_PX, CRITIC_PX) * 2 - 1)
    textures = measure_textures(maps)
    assert textures.shape == (2, 2 * len(FACE_ZONES) * sum(h.shape[1] for h in maps))
    assert load_face_critic().weight.shape == textures.shape[1:]
    scores = score_naturalness(maps)
    assert scores.shape == (2,) and scores.isfinite().all()
    assert torch.allclose(score_naturalness([h[:1] for h in maps]), scores[:1], atol=1e-3)


def test_textures_are_means_and_spreads_of_zones():
    h = torch.zeros(1, 1, 100, 100)
    h[:, :, 62:80, 32:68] = torch.tensor([1.0, 3.0]).repeat(18)  # the mouth is striped
    mean, spread = measure_textures([h]).view(len(FACE_ZONES), 2).unbind(dim=1)
    mouth = FACE_ZONES.index((0.32, 0.62, 0.68, 0.80))
    assert mean[mouth] == 2 and spread[mouth] == pytest.approx(1, abs=1e-2)
    assert mean[-1] == spread[-1] == 0  # nothing on the forehead


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(naturalness, "CRITIC_WEIGHTS", tmp_path / "none.safetensors")
    load_face_critic.cache_clear()
    with pytest.raises(BrokenWeights, match="install ganvas again"):
        load_face_critic()
    load_face_critic.cache_clear()
