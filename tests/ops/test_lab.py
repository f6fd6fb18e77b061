"""CIELAB at the values everybody knows, and back."""

import pytest
import torch

from ganvas.ops.lab import from_lab, to_lab


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_cielab_of_known_colours(rgb, lab):
    img = torch.tensor(rgb).view(1, 3, 1, 1) / 127.5 - 1
    assert to_lab(img).flatten().tolist() == pytest.approx(lab, abs=0.02)


def test_there_and_back_is_the_same_picture():
    img = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(from_lab(to_lab(img)), img, atol=1e-4)


def test_a_colour_that_srgb_does_not_have_is_the_nearest_edge():
    assert from_lab(torch.tensor([120.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten().tolist() == pytest.approx([1] * 3)
