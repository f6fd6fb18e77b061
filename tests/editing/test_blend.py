import pytest
import torch

from ganvas.editing.blend import BlendConfig, blend_change, colour_drift, lay_over, paste_change, smoothstep
from ganvas.errors import BadImage
from ganvas.images.crop import Crop, Window
from ganvas.images.files import read_image, write_image
from ganvas.images.masks import superellipse
from ganvas.images.photo import Photo

SIZE = 128
LEVEL = 2 / 255


@pytest.fixture
def faces():
    """A photo, and a generator's picture of it: smoother, and three levels too dark."""
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=rng) - 0.5, (SIZE, SIZE), mode="bicubic")
    photo = smooth + 0.05 * torch.randn(1, 3, SIZE, SIZE, generator=rng)
    return photo, smooth - 3 * LEVEL


def spot(levels):
    change = torch.zeros(1, 3, SIZE, SIZE)
    change[:, :, 40:80, 50:90] = levels * LEVEL
    return change


def test_no_edit_leaves_every_pixel(faces):
    photo, before = faces
    change = blend_change(photo, before, before.clone(), torch.ones(1, 1, SIZE, SIZE))
    assert torch.equal(lay_over(photo, change), photo)


def test_pixels_outside_the_mask_stay_bit_for_bit(faces):
    photo, before = faces
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[:, :, :, :64] = 1
    result = lay_over(photo, blend_change(photo, before, before + 0.3, mask))
    assert torch.equal(result[..., 64:], photo[..., 64:])
    assert (result[..., :64] - photo[..., :64]).abs().mean() > 0.2


def test_a_mild_change_is_added_and_keeps_the_photos_grain(faces):
    photo, before = faces
    result = lay_over(photo, blend_change(photo, before, before + spot(10), torch.ones(1, 1, SIZE, SIZE)))
    inside = (result - photo)[..., 50:70, 60:80]
    assert torch.allclose(inside, torch.full_like(inside, 10 * LEVEL), atol=0.5 * LEVEL)  # just the difference
    assert torch.equal(result[..., 100:, :], photo[..., 100:, :])  # far away nothing


def test_a_strong_change_shows_the_edit_in_the_photos_colours(faces):
    photo, before = faces
    after = before + spot(80)
    result = lay_over(photo, blend_change(photo, before, after, torch.ones(1, 1, SIZE, SIZE)))
    inside = (slice(None), slice(None), slice(52, 68), slice(62, 78))
    shown = (result - (after + 3 * LEVEL))[inside]  # the generator is three levels too dark everywhere
    assert shown.abs().mean() < 2 * LEVEL
    assert (result - photo - spot(80))[inside].std() > shown.std()  # the old grain is gone there


def test_a_drift_at_hand_is_the_one_that_is_found(faces):
    photo, before = faces
    parts = photo, before, before + spot(80), torch.ones(1, 1, SIZE, SIZE)
    change = blend_change(*parts)
    assert torch.equal(change.add, blend_change(*parts, drift=colour_drift(photo, before)).add)
    assert not torch.equal(change.add, blend_change(*parts, drift=torch.zeros_like(photo)).add)


def test_the_thresholds_are_the_configs(faces):
    photo, before = faces
    deaf = BlendConfig(gate_levels=(200, 220))
    change = blend_change(photo, before, before + spot(80), torch.ones(1, 1, SIZE, SIZE), config=deaf)
    assert torch.equal(lay_over(photo, change), photo)


def test_smoothstep_ends_and_middle():
    at = smoothstep(torch.tensor([1.0, 2, 5, 8, 9]), 2, 8)
    assert torch.allclose(at, torch.tensor([0, 0, 0.5, 1, 1]))


def test_sizes_that_differ_are_named(faces):
    photo, before = faces
    with pytest.raises(BadImage, match="same size"):
        blend_change(photo, before[..., :64], before, torch.ones(1, 1, SIZE, SIZE))


@pytest.mark.parametrize(("bits", "with_alpha"), [(8, False), (8, True), (16, False), (16, True)])
@pytest.mark.parametrize("size", [(90, 130), (300, 211)])
def test_pasted_into_a_photo_everything_else_stays(faces, tmp_path, size, bits, with_alpha):
    height, width = size
    rng = torch.Generator().manual_seed(height + bits)
    top = 2**bits - 1
    img = torch.randint(0, top + 1, (1, 3, height, width), generator=rng).float() / top * 2 - 1
    alpha = torch.randint(0, top + 1, (1, 1, height, width), generator=rng).float() / top if with_alpha else None
    photo = Photo(img=img, alpha=alpha, bits=bits)
    crop = Crop(x=width / 2, y=height / 3, side=80, angle_deg=20)
    before = crop.cut(img, resolution=SIZE)
    change = blend_change(before, before, before + spot(40), superellipse(SIZE))
    result = paste_change(photo, crop, change)
    write_image(photo, tmp_path / "old.png")
    write_image(result, tmp_path / "new.png")
    old, new = read_image(tmp_path / "old.png"), read_image(tmp_path / "new.png")
    changed = (old.img != new.img).any(dim=1)
    inside = crop.coverage(Window(left=0, top=0, width=width, height=height))[:, 0] > 0
    assert changed.any()
    assert not (changed & ~inside).any()
    assert (result.img == photo.img).all(dim=1)[~inside].all()
    assert new.bits == bits
    assert (old.alpha is None and new.alpha is None) or torch.equal(old.alpha, new.alpha)
