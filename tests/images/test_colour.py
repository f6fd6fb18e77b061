"""Colour profiles: against LittleCMS, against the formulas, and what an edit may not touch."""

import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageCms

from ganvas.images.colour import LUTProfile, MatrixProfile, PlainCMYK, colour_space_of
from ganvas.images.crop import Crop, paste
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels, to_pixels
from tests.images.makers import (
    cmyk_profile,
    gamma_curve,
    grey_profile,
    numbers,
    opened,
    picture,
    profile,
    rgb_profile,
    sampled_curve,
    saved,
)

settings.register_profile("images", deadline=None, max_examples=40)
settings.load_profile("images")


def by_littlecms(icc, pixels, mode):
    own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB", renderingIntent=1)
    image = Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    return np.asarray(transform.apply(image)).astype(int)


PARAMETRIC = [
    (0, (2.2,)),
    (1, (2.2, 0.9, 0.1)),
    (2, (2.0, 0.8, 0.1, 0.05)),
    (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)),
    (4, (2.0, 0.9, 0.05, 0.3, 0.1, 0.05, 0.0275)),
]


def parametric(kind, values):
    return b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *(round(v * 65536) for v in values))


@pytest.mark.parametrize("primaries", ["display-p3", "adobe-rgb"])
@pytest.mark.parametrize(
    "curve",
    [gamma_curve(2.2), sampled_curve(1.8), b"curv" + bytes(8), *(parametric(*each) for each in PARAMETRIC)],
    ids=["gamma", "samples", "linear", *(f"formula{kind}" for kind, _ in PARAMETRIC)],
)
def test_curves_and_matrix_agree_with_littlecms(primaries, curve):
    icc, pixels = rgb_profile(primaries, curve), numbers(60, 60, 3)
    colours = colour_space_of(icc, "rgb")
    assert isinstance(colours, MatrixProfile)
    ours = to_pixels(colours.to_srgb(pixels)).astype(int)
    off = np.abs(ours - by_littlecms(icc, pixels, "RGB"))
    assert off.max() <= 2  # LittleCMS computes with fixed point at 8 bits
    assert off.mean() < 0.1


def test_display_p3_red_is_beyond_srgb_and_adobe_green_too():
    p3 = colour_space_of(rgb_profile("display-p3"), "rgb").to_srgb(np.array([[[255, 0, 0]]], np.uint8))
    torch.testing.assert_close(p3.flatten(), torch.tensor([1.0, -1, -1]))
    adobe = colour_space_of(rgb_profile("adobe-rgb", gamma_curve(2.2)), "rgb").to_srgb(
        np.array([[[0, 255, 0]]], np.uint8)
    )
    torch.testing.assert_close(adobe.flatten(), torch.tensor([-1.0, 1, -1]))
    middle = colour_space_of(rgb_profile("display-p3"), "rgb").to_srgb(np.array([[[128, 128, 128]]], np.uint8))
    torch.testing.assert_close(middle, from_pixels(np.full((1, 1, 3), 128, np.uint8)), atol=2e-3, rtol=0)


def test_grey_with_a_gamma_is_the_formula():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    colours = colour_space_of(grey_profile(gamma_curve(1.0)), "grey")
    light = values[..., 0] / 255
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(colours.to_srgb(values)[0].numpy(), np.stack([shown * 2 - 1] * 3), atol=1e-5)


@given(
    st.tuples(*[st.integers(2000, 63000)] * 3), st.sampled_from(["display-p3", "adobe-rgb"]), st.sampled_from([8, 16])
)
def test_colours_within_srgb_come_back(colour, primaries, bits):
    colours = colour_space_of(rgb_profile(primaries), "rgb")
    srgb = from_pixels(np.array([[colour]], np.uint16))
    own = colours.from_srgb(srgb, bits=bits)
    assert own.dtype == (np.uint8 if bits == 8 else np.uint16)
    # Compared as light: beside a bright channel, a rounded dark one is off by much in sRGB and by little in light.
    off = _light(colours.to_srgb(own)) - _light(srgb)
    assert off.abs().max() < 4 / 2**bits + 1e-5


def _light(img):
    value = img.double() / 2 + 0.5
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(
    "icc",
    [
        None,
        b"",
        b"nonsense" * 40,
        rgb_profile("srgb"),
        rgb_profile()[:200],
        rgb_profile(curve=b"curv" + bytes(4) + struct.pack(">I", 2**31)),
        grey_profile(gamma_curve(2.2)),  # of another kind of picture
        profile(b"mntr", b"RGB ", b"XYZ ", {}),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
)
def test_no_profile_a_broken_one_and_srgb_itself_leave_the_numbers_alone(icc):
    assert colour_space_of(icc, "rgb") is None


@pytest.mark.parametrize("curve", [b"curv" + bytes(4) + struct.pack(">I3H", 3, 65535, 30000, 0), parametric(0, (0.0,))])
def test_curves_without_a_way_back_are_left_to_littlecms(curve):
    colours = colour_space_of(rgb_profile(curve=curve), "rgb")
    assert isinstance(colours, LUTProfile)
    assert colours.to_srgb(numbers(4, 5, 3)).shape == (1, 3, 4, 5)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_photo_in_display_p3_is_converted_and_written_back_untouched(bits):
    """Also where its colours lie beyond sRGB."""
    icc, pixels = rgb_profile("display-p3"), numbers(20, 30, 3, bits=bits)
    photo = read_image(encode_image(Photo(img=from_pixels(pixels), bits=bits, icc_profile=None), "PNG"))
    data = encode_image(photo, "TIFF")
    photo = read_image(_with_icc(data, icc))
    assert not torch.equal(photo.img, from_pixels(pixels))
    for format in ("PNG", "TIFF"):
        again = read_image(encode_image(photo, format))
        assert again.icc_profile == icc
        np.testing.assert_array_equal(again.native_pixels(), pixels)


def _with_icc(data, icc):
    from ganvas.images.tiff16 import _with_directory
    from ganvas.images.tiff_tags import UNDEFINED, read_first_ifd

    known = read_first_ifd(data)
    rest = {tag: (entry.type, known.value(tag)) for tag, entry in known.entries.items()}
    return _with_directory(bytearray(data), known, {**rest, 34675: (UNDEFINED, icc)})


@given(
    primaries=st.sampled_from(["display-p3", "adobe-rgb"]),
    bits=st.sampled_from([8, 16]),
    format=st.sampled_from(["PNG", "TIFF"]),
    angle=st.floats(-180, 180),
)
def test_an_edit_in_a_profiled_photo_touches_only_its_pixels(primaries, bits, format, angle):
    icc, pixels = rgb_profile(primaries), numbers(24, 30, 3, bits=bits)
    photo = read_image(_with_icc(encode_image(Photo(img=from_pixels(pixels), bits=bits), "TIFF"), icc))
    crop = Crop(x=15, y=12, side=14, angle_deg=angle)
    pasted = paste(photo, crop, torch.zeros(1, 3, 32, 32))
    written = read_image(encode_image(pasted, format))
    keep = (pasted.img == photo.img).all(dim=1)[0].numpy()
    assert 0 < (~keep).sum() < 24 * 30 - 200
    np.testing.assert_array_equal(written.native_pixels()[keep], pixels[keep])
    # and the edited ones are the colours that were asked for, as far as the depth goes
    inner = (slice(None), slice(None), slice(10, 14), slice(13, 17))
    torch.testing.assert_close(written.img[inner], torch.zeros(1, 3, 4, 4), atol=0.02, rtol=0)


def test_a_change_below_the_depth_leaves_colours_beyond_srgb_alone():
    icc = rgb_profile("display-p3")
    pixels = np.tile(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8), (4, 4, 1))
    photo = read_image(_with_icc(encode_image(Photo(img=from_pixels(pixels)), "TIFF"), icc))
    nudged = photo.with_img(photo.img + 1e-4)
    np.testing.assert_array_equal(nudged.native_pixels(), pixels)


def test_formats_without_a_profile_get_srgb():
    icc, pixels = rgb_profile("display-p3"), numbers(20, 30, 3)
    photo = read_image(saved(picture(pixels), "PNG", icc_profile=icc))
    flat = read_image(encode_image(photo, "BMP"))
    assert flat.icc_profile is None
    assert (flat.img - photo.img).abs().max() <= 1.001 / 255


# ── inks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("icc", [None, cmyk_profile()], ids=["plain", "profile"])
def test_cmyk_stays_cmyk_and_only_edited_pixels_change(icc):
    inks = numbers(20, 30, 4)
    image = Image.frombytes("CMYK", (30, 20), inks.tobytes())
    photo = read_image(saved(image, "TIFF", **({"icc_profile": icc} if icc else {})))
    assert photo.space == "cmyk"
    assert photo.icc_profile == icc
    again = opened(encode_image(photo, "TIFF"))
    assert again.mode == "CMYK"
    assert again.info.get("icc_profile") == icc
    np.testing.assert_array_equal(np.asarray(again), inks)
    edited = photo.img.clone()
    edited[..., 5:9, 5:9] = 0.5
    back = read_image(encode_image(photo.with_img(edited), "TIFF"))
    keep = np.ones((20, 30), bool)
    keep[5:9, 5:9] = False
    np.testing.assert_array_equal(back.native_pixels()[keep], inks[keep])
    shown = back.img[..., 5:9, 5:9]
    assert (shown - shown[..., :1, :1]).abs().max() == 0
    if icc is None:
        torch.testing.assert_close(shown, torch.full_like(shown, 0.5), atol=0.01, rtol=0)


def test_a_cmyk_profile_is_seen_as_littlecms_sees_it():
    icc, inks = cmyk_profile(), numbers(20, 30, 4)
    colours = colour_space_of(icc, "cmyk")
    assert isinstance(colours, LUTProfile)
    off = np.abs(to_pixels(colours.to_srgb(inks)).astype(int) - by_littlecms(icc, inks, "CMYK"))
    assert off.mean() < 20  # the same table; ours maps black to black besides
    paper = colours.to_srgb(np.zeros((1, 1, 4), np.uint8))
    assert paper.min() > 0.95


def test_plain_cmyk_is_the_formula_and_pillows():
    inks = numbers(20, 30, 4)
    ours = to_pixels(PlainCMYK().to_srgb(inks)).astype(int)
    theirs = np.asarray(Image.frombytes("CMYK", (30, 20), inks.tobytes()).convert("RGB"))
    assert np.abs(ours - theirs).max() <= 1


def test_cmyk_jpeg_is_read_and_written_as_pillow_sees_it():
    inks = np.full((16, 16, 4), (200, 30, 90, 10), np.uint8)
    image = Image.frombytes("CMYK", (16, 16), inks.tobytes())
    photo = read_image(saved(image, "JPEG", quality=98))
    assert np.abs(photo.native_pixels().astype(int) - inks).max() <= 3
    again = opened(encode_image(photo, "JPEG", quality=98))
    assert again.mode == "CMYK"
    assert np.abs(np.asarray(again).astype(int) - inks).max() <= 4


def test_cmyk_becomes_srgb_where_there_are_no_inks():
    image = Image.frombytes("CMYK", (30, 20), numbers(20, 30, 4).tobytes())
    photo = read_image(saved(image, "TIFF", icc_profile=cmyk_profile()))
    again = read_image(encode_image(photo, "PNG"))
    assert (again.space, again.icc_profile) == ("rgb", None)
    assert (again.img - photo.img).abs().max() <= 1.001 / 255


def test_a_profile_without_a_way_back_becomes_srgb_once_edited_and_not_before():
    icc, inks = cmyk_profile(way_back=False), numbers(20, 30, 4)
    photo = read_image(saved(Image.frombytes("CMYK", (30, 20), inks.tobytes()), "TIFF", icc_profile=icc))
    np.testing.assert_array_equal(read_image(encode_image(photo, "TIFF")).native_pixels(), inks)
    edited = read_image(encode_image(photo.with_img(-photo.img), "TIFF"))
    assert (edited.space, edited.icc_profile) == ("rgb", None)
    assert (edited.img + photo.img).abs().max() <= 1.001 / 255


def test_only_few_rows_are_converted_at_a_time(monkeypatch):
    icc, pixels = rgb_profile("adobe-rgb"), numbers(33, 20, 3)
    whole = colour_space_of(icc, "rgb").to_srgb(pixels)
    monkeypatch.setattr("ganvas.images.tensors.BAND_PIXELS", 50)
    torch.testing.assert_close(colour_space_of(icc, "rgb").to_srgb(pixels), whole, atol=1e-6, rtol=0)
