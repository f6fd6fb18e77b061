"""Equivariance of a generator that is exactly equivariant and of one that is not; moves against their formulas."""

import math

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig
from ganvas.metrics.equivariance import shift_image, turn_image
from ganvas.metrics.evaluate import evaluate
from tests.metrics.makers import NoiseGenerator, NoisePictures

PX = 48


class Waves(nn.Module):
    """Each picture is the sum of four waves of at most .35 cycles a pixel, moved exactly as it is told to."""

    family, z_dim, w_dim, c_dim, num_ws, img_resolution, img_channels = "waves", 8, 8, 0, 1, PX, 3

    def __init__(self, stuck=0.0):
        super().__init__()
        self.stuck = nn.Parameter(torch.tensor(stuck))  # of a grain that does not move along
        self.grain = torch.randn(3, PX, PX, generator=torch.Generator().manual_seed(5))
        self.back = torch.eye(3)

    def mapping(self, z, c=None, **_):
        return z[:, None]

    def set_transform(self, *, rotate_deg=0, translate=(0, 0)):
        a, (x, y) = math.radians(rotate_deg), translate
        turned = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1.0]])
        self.back = turned @ torch.tensor([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])

    def synthesis(self, ws, **_):
        side = (torch.arange(PX) + 0.5) / PX - 0.5
        y, x = torch.meshgrid(side, side, indexing="ij")
        places = torch.stack([x, y, torch.ones_like(x)], dim=2) @ self.back.T
        freqs = 0.24 * PX * torch.tanh(ws[:, 0].reshape(-1, 4, 2))
        waves = torch.sin(2 * math.pi * torch.einsum("nkd,yxd->nkyx", freqs, places[..., :2]))
        return waves[:, :3] * 0.4 + waves[:, 3:] * 0.2 + self.stuck * self.grain


def measure(G, **options):
    results = evaluate(G, NoisePictures(20), metrics=("eqt", "eqt_frac", "eqr"), num=16, extractor=None, **options)
    return {each.name: each for each in results}


def test_a_generator_of_moving_waves_is_equivariant_and_one_with_a_grain_is_not():
    exact, stuck = measure(Waves()), measure(Waves(stuck=0.1))
    assert exact["EQ-T"].value > 100 and exact["EQ-T_frac"].value > 45 and exact["EQ-R"].value > 45
    # Grain of deviation .1 beside an independent grain: the mean square is .02, or less where it is filtered.
    assert stuck["EQ-T"].value == pytest.approx(10 * math.log10(4 / 0.02), abs=0.3)
    assert 23 < stuck["EQ-T_frac"].value < 25 and 23 < stuck["EQ-R"].value < 28
    assert stuck["EQ-T"].better == "higher" and stuck["EQ-T"].protocol.fake == 16 and stuck["EQ-T"].spread < 1
    assert measure(Waves(stuck=0.1))["EQ-R"].value == stuck["EQ-R"].value


def test_other_generators_are_refused_before_anything_is_made():
    with pytest.raises(BadConfig, match="StyleGAN3"):
        evaluate(NoiseGenerator(), NoisePictures(20), metrics=("eqt",), num=20, extractor=None)


def test_a_whole_shift_moves_pixels_and_a_quarter_turn_is_exact():
    img = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    img = nn.functional.avg_pool2d(img, 5, 1, 2)  # little at the finest frequencies
    moved, inside = shift_image(img, 3, -2)
    assert torch.allclose(moved[:, :, inside], img.roll((-2, 3), (2, 3))[:, :, inside], atol=1e-6)
    assert inside.sum() == 37 * 38
    turned, inside = turn_image(img, 90)
    assert inside.any() and not inside[0].any()
    assert (turned - turn_image(img, 0)[0].rot90(1, (2, 3)))[:, :, inside].abs().max() < 1e-5
    assert (turned - img.rot90(1, (2, 3)))[:, :, inside].abs().max() < 0.02
