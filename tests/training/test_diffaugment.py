"""DiffAugment against its definition, one change after the other."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BadImage
from ganvas.training.augment import DiffAugment


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_colour_is_brightness_then_saturation_then_contrast():
    img = torch.randn(5, 3, 6, 6, dtype=torch.float64)
    b, s, k = torch.rand(3, 5, generator=rng(2)).double().view(3, 5, 1, 1, 1)
    x = img + (b - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (2 * s) + grey
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * (k + 0.5) + mean
    assert torch.allclose(DiffAugment(("colour",))(img, rng=rng(2)), x, atol=1e-7)


def test_translation_moves_whole_pixels_and_zero_comes_in():
    img = torch.rand(300, 2, 16, 24) + 1
    moved = DiffAugment(("translation",))(img, rng=rng())
    padded, seen = F.pad(img, (3, 3, 2, 2)), set()
    for i in range(300):
        at = [(y, x) for y in range(5) for x in range(7) if torch.equal(moved[i], padded[i, :, y : y + 16, x : x + 24])]
        assert len(at) == 1
        seen.add(at[0])
    assert len(seen) == 35  # every shift up to ⅛ of each side occurs


def test_cutout_is_a_square_of_half_the_side_cut_off_at_the_border():
    img = torch.ones(2000, 1, 16, 16)
    hole = DiffAugment(("cutout",))(img, rng=rng()) == 0
    rows, columns = hole.any(dim=3)[:, 0], hole.any(dim=2)[:, 0]  # [N, 16]
    assert torch.equal(hole[:, 0], rows[:, :, None] & columns[:, None, :])
    assert rows.sum(dim=1).max() == 8 and rows.sum(dim=1).min() >= 4
    assert ((rows.int().diff(dim=1) == 1).sum(dim=1) <= 1).all()  # one piece
    # A centre anywhere: the pixels of the middle are hidden in half of the draws, a corner in a quarter of a quarter.
    assert hole[:, 0, 8, 8].float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert hole[:, 0, 0, 0].float().mean().item() == pytest.approx(0.07, abs=0.02)


def test_everything_together_is_one_after_the_other():
    img, together, apart = torch.randn(4, 3, 8, 8), rng(5), rng(5)
    expected = img
    for name in ("colour", "translation", "cutout"):
        expected = DiffAugment((name,))(expected, rng=apart)
    assert torch.equal(DiffAugment()(img, rng=together), expected)
    assert torch.equal(DiffAugment(())(img, rng=rng()), img)


def test_a_pair_goes_through_the_same_draw():
    img, g = torch.randn(4, 3, 16, 16), rng(1)
    real, fake = DiffAugment().pair(img, img.clone(), rng=g)
    assert torch.equal(real, fake) and not torch.equal(real, img)
    assert not torch.equal(DiffAugment()(img, rng=g), fake)  # and the next draw is another
    with pytest.raises(BadImage, match="the same shape"):
        DiffAugment().pair(img, img[:2], rng=g)


def test_gradients_of_both_orders():
    img = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: DiffAugment()(x, rng=rng(3)), img)
    assert torch.autograd.gradgradcheck(lambda x: DiffAugment()(x, rng=rng(3)).pow(3), img)


def test_each_picture_is_changed_alone_and_keeps_its_type():
    img = torch.randn(4, 3, 16, 16)
    changed = DiffAugment()(img, rng=rng())
    img[1] = 7
    again = DiffAugment()(img, rng=rng())
    assert torch.equal(changed[[0, 2, 3]], again[[0, 2, 3]])
    assert DiffAugment()(img.bfloat16(), rng=rng()).dtype == torch.bfloat16


def test_unknown_changes_are_refused():
    with pytest.raises(BadConfig, match="'blur'"):
        DiffAugment(("blur",))
    assert DiffAugment(["colour"]).policy == ("colour",)  # JSON turns tuples into lists
    with pytest.raises(BadImage, match="DiffAugment"):
        DiffAugment()(torch.zeros(3, 4, 4), rng=rng())
