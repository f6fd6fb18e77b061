"""Lips that an edit reshapes."""

import torch

from ganvas.editing.lip_colour import match_lips
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.residual import LEVEL

SKIN = torch.tensor([0.1, 10 * LEVEL, -5 * LEVEL]).view(1, 3, 1, 1)  # YCC


def _picture(top, lips, *, body=1.0):
    """A face [1, 3, 64, 64] in YCC whose lips begin at a row and have so much more red than skin, and its maps."""
    place = torch.zeros(1, 1, 64, 64)
    place[:, :, top : top + 12, 16:48] = 1
    img = SKIN + place * torch.tensor([0.0, lips * LEVEL, 0.0]).view(1, 3, 1, 1)
    return img, PartMaps(**dict.fromkeys(("person", "acting"), body + 0 * place), **_parts(place))


def _parts(lips):
    none = torch.zeros_like(lips)
    return {"body": 1 - lips, "mouth": lips, "lips": lips, "eyes": none, "hair": none, "worn": none}


def _match(photo, before, after):
    pictures, maps = zip(photo, before, after, strict=True)
    low, share = torch.full_like(pictures[0], 3 * LEVEL), torch.full_like(pictures[0], 0.5)
    low, share = match_lips(low, share, pictures, maps, torch.ones(1, 1, 64, 64))
    return pictures[2] + share * low, maps[2].lips > 0


def test_lips_have_the_photos_colour_where_the_edit_moved_them_and_skin_is_as_it_was():
    shown, lips = _match(_picture(30, 6), _picture(30, 18), _picture(24, 21))
    red = (shown[:, 1:2] - SKIN[:, 1:2]) / LEVEL
    assert torch.allclose(red[lips], torch.tensor(6.0), atol=1e-3)  # the edit's own 3 levels go with the shape
    assert torch.allclose(red[~lips], torch.tensor(1.5), atol=1e-3)


def test_a_pixel_that_is_taken_for_lips_but_has_the_colour_of_skin_stays_skin():
    img, maps = _picture(24, 20)
    img[:, :, 30:32, 20:22] = SKIN
    shown, _ = _match(_picture(30, 6), _picture(30, 18), (img, maps))
    assert ((shown[:, 1, 30:32, 20:22] - SKIN[:, 1]) / LEVEL - 1.5).abs().max() < 0.5


def test_a_colour_that_the_edit_gives_the_lips_is_kept():
    shown, lips = _match(_picture(30, 6), _picture(30, 18), _picture(24, 33))  # 15 levels: lipstick
    assert torch.allclose((shown[:, 1:2] - SKIN[:, 1:2])[lips] / LEVEL, torch.tensor(21.0), atol=0.1)


def test_a_photo_without_lips_in_view_changes_nothing():
    shown, lips = _match(_picture(64, 0), _picture(30, 18), _picture(24, 21))
    assert torch.allclose((shown[:, 1:2] - SKIN[:, 1:2])[lips] / LEVEL, torch.tensor(22.5), atol=1e-3)
