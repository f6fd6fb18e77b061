import pytest
import torch

from ganvas.errors import BadConfig
from ganvas.images.contact_sheet import grid, make_captioned_grid


def test_pictures_stand_in_rows_and_empty_places_are_white():
    img = torch.linspace(-1, 0.5, 5)[:, None, None, None].expand(5, 3, 4, 6)
    sheet = grid(img, columns=3, gap_px=2)
    assert sheet.shape == (1, 3, 4 * 2 + 2, 6 * 3 + 2 * 2)
    assert torch.equal(sheet[0, :, 6:10, 8:14], img[4])  # second row, second column
    assert (sheet[0, :, 6:10, 16:] == 1).all()  # the place that stays empty
    assert (sheet[0, :, 4:6] == 1).all()  # the gap


def test_a_grid_is_as_square_as_can_be():
    assert grid(torch.zeros(7, 3, 2, 2)).shape == (1, 3, 6, 6)
    with pytest.raises(BadConfig, match="at least one column"):
        grid(torch.zeros(1, 3, 2, 2), columns=0)


def test_captions_stand_under_their_pictures():
    img = torch.zeros(2, 3, 64, 64)
    plain = make_captioned_grid(img, ["", ""], columns=2)
    lettered = make_captioned_grid(img, ["before", "after, in words that are far too long for this width"], columns=2)
    assert lettered.shape == plain.shape
    assert torch.equal(lettered[:, :, :64], plain[:, :, :64])  # the pictures themselves are untouched
    for column in (slice(0, 64), slice(-64, None)):
        assert (lettered[:, :, 64:, column] < 0).any()  # there is ink
    with pytest.raises(BadConfig, match="2 images, got 1"):
        make_captioned_grid(img, ["one"])
