"""A PNG in strips is the PNG in one piece, byte for byte of its pixels and metadata; a failure leaves the old file."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.errors import BadImage
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.images.png_writer import PngStripWriter
from tests.images.makers import rgb_profile


def in_strips(photo, path, rows=7):
    with PngStripWriter(path, photo) as file:
        for top in range(0, photo.height, rows):
            veil = None if photo.alpha is None else photo.alpha[:, :, top : top + rows]
            file.write_rows(photo.img[:, :, top : top + rows], veil)
    return read_image(path)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("veiled", [False, True])
def test_strips_hold_what_the_whole_holds(bits, grey, veiled, tmp_path):
    torch.manual_seed(0)
    img = (torch.rand(1, 1, 30, 19) if grey else torch.rand(1, 3, 30, 19)).expand(1, 3, 30, 19) * 2 - 1
    alpha = torch.rand(1, 1, 30, 19) if veiled else None
    photo = Photo(img=img, alpha=alpha, bits=bits, space="grey" if grey else "rgb", dpi=(72.0, 72.0), text={"a": "b"})
    whole = read_image(write_image(photo, tmp_path / "whole.png"))
    parts = in_strips(photo, tmp_path / "parts.png")
    assert torch.equal(whole.img, parts.img)
    assert (whole.alpha is None and parts.alpha is None) or torch.equal(whole.alpha, parts.alpha)
    assert (parts.bits, parts.space, parts.text, parts.mode) == (whole.bits, whole.space, {"a": "b"}, whole.mode)
    with Image.open(tmp_path / "parts.png") as independent:
        independent.load()
        assert independent.size == (19, 30)


def test_colours_under_a_profile_are_written_in_it(tmp_path):
    photo = Photo(img=torch.rand(1, 3, 9, 9) * 2 - 1, icc_profile=rgb_profile())  # Display P3
    parts, whole = in_strips(photo, tmp_path / "a.png"), read_image(write_image(photo, tmp_path / "b.png"))
    assert parts.icc_profile == photo.icc_profile
    assert np.array_equal(parts.native, whole.native)


def test_cmyk_becomes_srgb(tmp_path):
    photo = Photo(img=torch.rand(1, 3, 9, 9) * 2 - 1, space="cmyk")
    again = in_strips(photo, tmp_path / "a.png")
    assert again.space == "rgb"
    assert np.abs(again.srgb_pixels().astype(int) - Photo(img=photo.img).srgb_pixels()).max() == 0


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    photo = Photo(img=torch.zeros(1, 3, 9, 9))

    def fail():
        with PngStripWriter(tmp_path / "a.png", photo) as file:
            file.write_rows(photo.img[:, :, :4])
            raise RuntimeError("the network broke")

    with pytest.raises(RuntimeError, match="the network broke"):
        fail()
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(BadImage, match="cannot be written"), PngStripWriter(tmp_path / "no" / "a.png", photo):
        pass
