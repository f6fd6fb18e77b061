from dataclasses import replace

import pytest
import torch

from ganvas.editing.blend import Change, lay_over, paste_change
from ganvas.images.crop import Crop, Window
from ganvas.images.files import read_image, write_image
from ganvas.images.masks import superellipse
from ganvas.images.photo import Photo

SIZE = 128
LEVEL = 2 / 255


def change_of(source, *, gate, visible=None, keep=0.0, flow=(0.0, 0.0)):
    """A change of a crop: visible where the gate is open, with a share of finer detail from a place further on."""
    size = source.shape[3]
    field = torch.tensor(flow).view(1, 2, 1, 1).expand(1, 2, size, size).clone()
    keep = torch.full((1, 1, size, size), keep)
    return Change(source if visible is None else visible, gate, keep, field, source, torch.zeros_like(gate), {})


def test_pixels_behind_a_closed_gate_stay_bit_for_bit():
    photo = torch.rand(1, 3, SIZE, SIZE)
    gate = torch.zeros(1, 1, SIZE, SIZE)
    gate[..., :64] = 1
    result = lay_over(photo, change_of(photo, gate=gate, visible=-photo))
    assert torch.equal(result[..., 64:], photo[..., 64:])
    assert torch.allclose(result[..., :64], -photo[..., :64])


def test_detail_finer_than_the_crop_stays_in_the_photo():
    rng = torch.Generator().manual_seed(0)
    photo = Photo(img=torch.rand(1, 3, 400, 400, generator=rng) - 0.5)
    crop = Crop(x=200, y=200, side=256)  # 64 pixels of it: four of the photo in one
    source = crop.cut(photo.img, resolution=64)
    change = change_of(source, gate=torch.ones(1, 1, 64, 64), visible=source + 0.2, keep=1.0)
    result = paste_change(photo, crop, change)
    difference = (result.img - photo.img)[..., 80:320, 80:320]
    assert torch.allclose(difference, torch.full_like(difference, 0.2), atol=1e-4)


def test_detail_comes_from_where_the_flow_points_also_in_a_turned_crop():
    rng = torch.Generator().manual_seed(0)
    photo = Photo(img=torch.rand(1, 3, 300, 300, generator=rng) - 0.5)
    crop = Crop(x=150, y=150, side=128, angle_deg=90)  # its right is the photo's down
    source = torch.zeros(1, 3, 64, 64)
    change = change_of(source, gate=torch.ones(1, 1, 64, 64), keep=1.0, flow=(5.0, 0.0))
    result = paste_change(photo, crop, change)
    assert torch.allclose(result.img[..., 120:180, 120:180], photo.img[..., 130:190, 120:180], atol=1e-5)


def test_in_bands_a_change_is_the_same(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    photo = Photo(img=torch.rand(1, 3, 120, 150, generator=rng) - 0.5)
    crop = Crop(x=80, y=50, side=90, angle_deg=12)
    visible, gate, keep, flow, source = (torch.rand(1, n, 48, 48, generator=rng) for n in (3, 1, 1, 2, 3))
    change = change_of(source, gate=(gate - 0.3).clamp_min(0), visible=visible)
    change = replace(change, keep=keep, flow=12 * flow - 6)
    whole = paste_change(photo, crop, change).img
    monkeypatch.setattr("ganvas.editing.blend.PASTED_AT_ONCE", 500)
    banded = paste_change(photo, crop, change).img
    assert torch.allclose(banded, whole, atol=1e-4)
    assert torch.equal(banded == photo.img, whole == photo.img)


def test_a_change_that_touches_nothing_gives_the_photo_back():
    photo = Photo(img=torch.rand(1, 3, 40, 50))
    change = change_of(torch.rand(1, 3, 16, 16), gate=torch.zeros(1, 1, 16, 16))
    assert torch.equal(paste_change(photo, Crop(x=25, y=20, side=30), change).img, photo.img)


@pytest.mark.parametrize(("bits", "with_alpha"), [(8, False), (8, True), (16, False), (16, True)])
@pytest.mark.parametrize("size", [(90, 130), (300, 211)])
def test_pasted_into_a_photo_everything_else_stays(tmp_path, size, bits, with_alpha):
    height, width = size
    rng = torch.Generator().manual_seed(height + bits)
    top = 2**bits - 1
    img = torch.randint(0, top + 1, (1, 3, height, width), generator=rng).float() / top * 2 - 1
    alpha = torch.randint(0, top + 1, (1, 1, height, width), generator=rng).float() / top if with_alpha else None
    photo = Photo(img=img, alpha=alpha, bits=bits)
    crop = Crop(x=width / 2, y=height / 3, side=80, angle_deg=20)
    source = crop.cut(img, resolution=SIZE)
    spot = torch.zeros(1, 1, SIZE, SIZE)
    spot[..., 40:80, 50:90] = 1
    visible = source + 40 * LEVEL
    result = paste_change(photo, crop, change_of(source, gate=spot * superellipse(SIZE), visible=visible, keep=1.0))
    write_image(photo, tmp_path / "old.png")
    write_image(result, tmp_path / "new.png")
    old, new = read_image(tmp_path / "old.png"), read_image(tmp_path / "new.png")
    changed = (old.img != new.img).any(dim=1)
    inside = crop.coverage(Window(left=0, top=0, width=width, height=height))[:, 0] > 0
    assert changed.any()
    assert not (changed & ~inside).any()
    assert (result.img == photo.img).all(dim=1)[~inside].all()
    assert new.bits == bits
