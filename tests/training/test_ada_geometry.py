"""The warp against waves whose value is known everywhere, and against flips and turns of torch."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganvas.training.ada_geometry import SYM6, reflect_index, straight, warp, warp_exact, warp_straight


def affine(*rows):
    return torch.tensor([*rows, (0.0, 0.0, 1.0)])[None]


def rotation(degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return affine((cos, -sin, 0.0), (sin, cos, 0.0))


def places(height, width):
    """(x, y) of the pixels, from the centre."""
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)])  # [3, H, W]


def wave(at, fx=0.35, fy=0.2):
    """A wave of some twelve pixels, at any places [3, H, W]: [1, 1, H, W]."""
    return (fx * at[0] + fy * at[1] + 0.4).sin()[None, None]


def smooth(height, width):
    return F.interpolate(torch.rand(2, 3, height // 4, width // 4), size=(height, width), mode="bicubic")


def test_the_filter_is_an_orthonormal_wavelets_with_six_vanishing_moments():
    h, k = torch.tensor(SYM6, dtype=torch.float64), torch.arange(12, dtype=torch.float64)
    for shift in range(6):
        assert (h[2 * shift :] * h[: 12 - 2 * shift]).sum().item() == pytest.approx(float(shift == 0), abs=1e-10)
    for moment in range(6):
        assert ((-1) ** k * k**moment * h).sum().item() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(
    "inverse",
    [
        rotation(33),
        affine((1.3, 0.0, 0.4), (0.0, 0.8, -1.7)),
        affine((0.7, 0.5, 2.25), (-0.2, 1.1, 3.6)),
        affine((-1.0, 0.0, 0.5), (0.0, 1.0, 0.0)),
    ],
)
def test_a_wave_is_read_where_the_matrix_says(inverse):
    at = places(40, 48)
    source = torch.einsum("ij,jhw->ihw", inverse[0], at)
    inside = (source[0].abs() < 20) & (source[1].abs() < 16)
    # The filter of the reduction looks a few pixels around.
    inside = F.max_pool2d((~inside).float()[None], 9, 1, 4)[0] == 0
    error = (warp(wave(at), inverse) - wave(source))[0, 0][inside].abs()
    assert len(error) > 300 and error.max() < 0.02


def test_without_a_warp_the_picture_comes_back():
    img = torch.rand(2, 3, 20, 24)
    back = warp(img, torch.eye(3).repeat(2, 1, 1))
    assert torch.allclose(back[:, :, 4:-4, 4:-4], img[:, :, 4:-4, 4:-4], atol=2e-6)  # even white noise
    img = smooth(20, 24)
    assert (warp(img, torch.eye(3).repeat(2, 1, 1)) - img).abs().max() < 0.02  # where it is mirrored, nearly


@pytest.mark.parametrize(("x", "y"), [(3, -2), (-9, 0), (0, 31)])
def test_whole_steps_are_exact_and_the_warp_agrees(x, y):
    img, inverse = smooth(32, 24), affine((1.0, 0.0, x), (0.0, 1.0, y)).repeat(2, 1, 1)
    padded = F.pad(img, (23, 23, 31, 31), mode="reflect")
    expected = padded[:, :, 31 + y : 31 + y + 32, 23 + x : 23 + x + 24]
    assert torch.equal(warp_exact(img, inverse), expected)
    assert (warp(img, inverse) - expected).abs().max() < 0.03


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact_and_the_warp_agrees(turns):
    img, inverse = smooth(24, 24), rotation(90 * turns).round().repeat(2, 1, 1)
    expected = torch.rot90(img, turns, (2, 3))
    assert torch.equal(warp_exact(img, inverse), expected)
    assert (warp(img, inverse) - expected).abs().max() < 0.03


def test_turn_mirror_and_step_together():
    """T = step ∘ turn ∘ mirror moves contents; the matrix leads back."""
    img = torch.rand(1, 1, 6, 6)
    mirror, turn, step = affine((-1.0, 0, 0), (0, 1, 0)), rotation(90).round(), affine((1.0, 0, 2), (0, 1, -1))
    one_by_one = warp_exact(warp_exact(warp_exact(img, mirror), turn), step)
    assert torch.equal(warp_exact(img, mirror @ turn @ step), one_by_one)


def test_places_beyond_a_border_are_counted_back():
    assert reflect_index(torch.arange(-5, 9), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert reflect_index(torch.tensor([-3, 0, 2]), 1).tolist() == [0, 0, 0]


def test_gradients_of_both_orders():
    img = torch.randn(2, 1, 5, 4, dtype=torch.float64, requires_grad=True)
    inverse = torch.cat([rotation(20), affine((1.4, 0.3, 1.0), (0.0, 0.6, -0.7))])
    assert torch.autograd.gradcheck(lambda x: warp(x, inverse), img)
    assert torch.autograd.gradgradcheck(lambda x: warp(x, inverse).pow(3), img)
    assert torch.autograd.gradgradcheck(
        lambda x: warp_exact(x, affine((-1.0, 0, 1), (0, 1, -1)).repeat(2, 1, 1)).pow(3), img
    )


@pytest.mark.parametrize(("height", "width"), [(20, 20), (12, 24), (5, 4)])
def test_along_lines_is_the_same_warp(height, width):
    img = torch.randn(4, 3, height, width, dtype=torch.float64)
    inverse = torch.cat(
        [
            affine((1.3, 0.0, 0.4), (0.0, 0.8, -1.7)),
            affine((-0.6, 0.0, 17.3), (0.0, 1.9, 40.2)),  # mirrored again and again
            affine((1.0, 0.0, 0.0), (0.0, 1.0, 0.5)),
            affine((0.0, -1.2, 1.6), (0.7, 0.0, -3.1)),  # a quarter turn, stretched
        ]
    )
    along = straight(inverse, height, width)
    assert along.tolist() == [True, True, True, height == width]
    assert not straight(rotation(33), height, width).any()
    expected = warp(img, inverse)[along]
    assert torch.allclose(warp_straight(img[along], inverse[along]), expected, atol=1e-6)
