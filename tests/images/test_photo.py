"""Photo: what with_img keeps, what it refuses."""

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig, BadImage, BadMask
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from tests.images.makers import exif_block, gamma_curve, grey_profile, numbers, picture, rgb_profile, saved


def test_with_img_keeps_everything_but_the_picture():
    data = saved(picture(numbers(6, 7, 4)), "PNG", exif=exif_block(), icc_profile=rgb_profile(), dpi=(300, 300))
    photo = read_image(data)
    new = photo.with_img(-photo.img)
    for name in ("alpha", "bits", "space", "exif", "icc_profile", "dpi", "format", "mode"):
        assert getattr(new, name) is getattr(photo, name) or getattr(new, name) == getattr(photo, name)
    assert photo.img is not new.img
    assert photo.size == (7, 6) == (photo.width, photo.height)


def test_a_larger_picture_needs_its_alpha():
    photo = read_image(saved(picture(numbers(6, 7, 4)), "PNG"))
    with pytest.raises(BadImage, match="alpha"):
        photo.with_img(torch.zeros(1, 3, 12, 14))
    large = photo.with_img(torch.zeros(1, 3, 12, 14), alpha=torch.ones(1, 1, 12, 14))
    assert large.size == (14, 12)
    assert read_image(saved(picture(numbers(6, 7, 3)), "PNG")).with_img(torch.zeros(1, 3, 3, 3)).size == (3, 3)


def test_a_larger_picture_in_a_profile_is_converted_as_a_whole():
    photo = read_image(saved(picture(numbers(6, 7, 3)), "PNG", icc_profile=rgb_profile()))
    grey = photo.with_img(torch.zeros(1, 3, 12, 14))
    again = read_image(encode_image(grey, "PNG"))
    assert again.icc_profile == photo.icc_profile
    torch.testing.assert_close(again.img, grey.img, atol=0.01, rtol=0)


def test_a_grey_photo_stays_grey_by_luma_unless_told_otherwise():
    photo = read_image(saved(picture(numbers(6, 7, 1)), "PNG"))
    coloured = photo.img.clone()
    coloured[0, :, 2, 3] = torch.tensor([1.0, 0.0, -1.0])
    kept = photo.with_img(coloured)
    assert kept.grey
    assert kept.img[0, :, 2, 3].tolist() == pytest.approx([0.299 - 0.114] * 3)
    untouched = torch.ones(6, 7, dtype=torch.bool)
    untouched[2, 3] = False
    assert torch.equal(kept.img[..., untouched], photo.img[..., untouched])
    assert read_image(encode_image(kept, "PNG")).grey
    free = photo.with_img(coloured, grey=False)
    assert not read_image(encode_image(free, "PNG")).grey
    assert torch.equal(free.img, coloured)
    assert free.with_img(coloured, grey=True).grey


def test_a_grey_profile_goes_when_colours_come():
    photo = read_image(saved(picture(numbers(6, 7, 1)), "PNG", icc_profile=grey_profile(gamma_curve(1.8))))
    assert photo.with_img(photo.img).icc_profile is not None
    free = photo.with_img(photo.img, grey=False)
    assert (free.icc_profile, free.native) == (None, None)
    assert (read_image(encode_image(free, "PNG")).img - photo.img).abs().max() <= 1.001 / 255


def test_a_picture_of_one_channel_is_taken():
    photo = Photo(img=torch.zeros(1, 3, 4, 5))
    assert photo.with_img(torch.ones(1, 1, 4, 5)).img.shape == (1, 3, 4, 5)


def test_img_on_no_grad_or_with_grad_is_written_alike():
    img = (torch.rand(1, 3, 4, 5) * 2 - 1).requires_grad_()
    np.testing.assert_array_equal(Photo(img=img).native_pixels(), Photo(img=img.detach()).native_pixels())


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"img": torch.zeros(3, 4, 4)}, BadImage, "shape"),
        ({"img": torch.zeros(2, 3, 4, 4)}, BadImage, "\\[1, 3, H, W\\]"),
        ({"img": torch.zeros(1, 3, 4, 4, dtype=torch.uint8)}, BadImage, "floats"),
        ({"img": torch.zeros(1, 3, 4, 4), "bits": 12}, BadConfig, "8 or 16"),
        ({"img": torch.zeros(1, 3, 4, 4), "space": "lab"}, BadConfig, "known: cmyk, grey, rgb"),
        ({"img": torch.zeros(1, 3, 4, 4), "alpha": torch.ones(1, 1, 4, 5)}, BadMask, "alpha"),
        ({"img": torch.zeros(1, 3, 4, 4), "alpha": torch.full((1, 1, 4, 4), 255.0)}, BadMask, r"\[0, 1\]"),
        ({"img": torch.zeros(1, 3, 4, 4), "native": np.zeros((4, 5, 3), np.uint8)}, BadImage, "native"),
    ],
)
def test_what_makes_no_photo_is_refused(fields, error, says):
    with pytest.raises(error, match=says):
        Photo(**fields)
