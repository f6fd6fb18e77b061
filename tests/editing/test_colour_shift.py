import pytest
import torch

from ganvas.editing.colour_shift import carry_colours, measure_shift
from ganvas.editing.residual import LEVEL, to_ycc
from ganvas.images.masks import border_distance
from ganvas.ops.blur import gaussian_blur

SIZE, WALL = 128, 0.75


def hair_of(colour, contrast):
    """Strands that are more colourful where they are light."""
    strands = gaussian_blur(torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)), 1.5)
    light = 1 + contrast * strands / strands.std()
    return (1 + torch.tensor(colour).view(1, 3, 1, 1)) * light - 1


@pytest.fixture
def scene():
    """A photo of dark hair before a wall, the same with fair hair, and where the hair is: soft at its edge."""
    hair = torch.zeros(1, 1, SIZE, SIZE)
    hair[..., 20:] = 1
    hair = gaussian_blur(hair, 3)
    sharp = (hair > 0.5).float()
    dark, fair = (
        WALL + sharp * (hair_of(*look) - WALL) for look in (((-0.7, -0.75, -0.8), 0.3), ((0.1, 0, -0.2), 0.12))
    )
    return dark, fair, hair, sharp


def test_colours_go_on_beyond_the_picture_as_they_are_in_it(scene):
    dark, fair, hair, sharp = scene
    shift = measure_shift(to_ycc(dark), to_ycc(fair), sharp, sharp)
    outside = (border_distance(SIZE) < 0.2).float()
    result = carry_colours(dark, dark, outside, {"hair": hair}, {"hair": shift})
    place = (outside * sharp * (hair > 0.98)).expand_as(result) > 0
    off = (result - fair)[place].abs().mean()
    assert off < 2 * LEVEL < 0.05 * (dark - fair)[place].abs().mean()
    assert result[place].std().item() == pytest.approx(fair[place].std().item(), rel=0.1)  # strands stay
    kept = ((outside == 0) | (hair == 0)).expand_as(result)
    assert torch.equal(result[kept], dark[kept])
    wall = ((1 - sharp) * outside * (hair > 0.1)).expand_as(result) > 0
    assert (result - dark)[wall].abs().max() < LEVEL  # no halo in the mask's soft rim


def test_what_kept_its_colour_or_is_hardly_there_moves_nothing(scene):
    dark, fair, _, sharp = scene
    dark, fair = to_ycc(dark), to_ycc(fair)
    assert measure_shift(dark, dark + 2 * LEVEL, sharp, sharp) is None
    assert measure_shift(dark, fair, sharp * 0.01, sharp * 0.01) is None
