"""Colours that files signal without a profile are read right, and written so that others read them right."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from ganvas.images.colour_signals import PEAK_NITS, WHITE_NITS, from_code_points, from_png_chunks
from ganvas.images.decode import HAS_AVIF
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from tests.images.makers import chunk, opened, picture, saved, wave

P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# Loss is another matter: HDR's steep curves make a level of it several.
BEST = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}
FORMATS = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", *(["AVIF"] if HAS_AVIF else [])]


def loss(kind, format):
    """Levels by which a mean may move: AVIF has no lossless 8-bit RGB, and HDR's curves make more of its loss."""
    hdr = kind in ("PNG PQ", "PNG HLG")
    return (4 if hdr else 1.6) if format == "AVIF" else 1.0


def png(*chunks, channels=3):
    data = saved(picture(wave(24, 24, channels)), "PNG")
    return data[:33] + b"".join(chunk(name, body) for name, body in chunks) + data[33:]


def gamma(value):
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def primaries(points):
    return b"cHRM", struct.pack(">8I", *points)


def code(colours, transfer):
    return b"cICP", bytes((colours, transfer, 0, 1))


def tiff():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[318] = tuple(TiffImagePlugin.IFDRational(v, 100_000) for v in P3[:2])
    tags[319] = tuple(TiffImagePlugin.IFDRational(v, 100_000) for v in P3[2:])
    return saved(picture(wave(24, 24, 3)), "TIFF", tiffinfo=tags)


def adobe_jpeg():
    exif = Image.Exif()
    below = exif.get_ifd(0x8769)
    below[0xA001] = 0xFFFF
    below[0xA005] = {1: "R03", 2: b"0100"}
    return saved(picture(wave(24, 24, 3)), "JPEG", exif=exif, quality=95)


def avif():
    data = saved(picture(wave(24, 24, 3)), "AVIF", quality=95)
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">H", 12) + data[at + 2 :]


SOURCES = {
    "PNG gamma 1": lambda: png(gamma(1)),
    "PNG gamma 1.8": lambda: png(gamma(1 / 1.8)),
    "PNG P3 by cHRM": lambda: png(gamma(1 / 2.2), primaries(P3)),
    "PNG P3 by cICP": lambda: png(code(12, 13)),
    "PNG BT.2020 by cICP": lambda: png(code(9, 1)),
    "PNG PQ": lambda: png(code(9, 16)),
    "PNG HLG": lambda: png(code(9, 18)),
    "PNG grey gamma 1": lambda: png(gamma(1), channels=1),
    "TIFF P3 by tags": tiff,
    "JPEG Adobe RGB by EXIF": adobe_jpeg,
    **({"AVIF P3 by nclx": avif} if HAS_AVIF else {}),
}


def shown(data):
    """What a colour-managed viewer shows, [3] mean level: LittleCMS and the profile of the file."""
    image = opened(data).convert("RGB") if opened(data).mode not in ("L", "RGB") else opened(data)
    profile = opened(data).info.get("icc_profile")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(image.convert("RGB"), float).mean((0, 1))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_written_looks_as_the_file_was_meant(kind, format):
    photo = read_image(SOURCES[kind]())
    meant = (photo.img.mean((0, 2, 3)).numpy() + 1) * 127.5
    plain = np.asarray(opened(SOURCES[kind]()).convert("RGB"), float).mean((0, 1))
    assert np.abs(meant - plain).max() > 2  # the signal means something
    for each in (photo, photo.with_img(photo.img)):
        np.testing.assert_allclose(
            shown(encode_image(each, format, **BEST.get(format, {}))), meant, atol=loss(kind, format)
        )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["PNG P3 by cICP", "PNG PQ", "TIFF P3 by tags"])
def test_a_second_reading_sees_the_same(kind, format):
    photo = read_image(SOURCES[kind]())
    again = read_image(encode_image(photo, format, **BEST.get(format, {})))
    assert (again.img.mean((0, 2, 3)) - photo.img.mean((0, 2, 3))).abs().max() < loss(kind, format) / 127.5


def test_known_colours():
    """Display P3's red lies outside sRGB, and its middle grey is sRGB's."""
    data = saved(picture(np.full((4, 4, 3), 119, np.uint8)), "PNG")
    photo = read_image(data[:33] + chunk(*code(12, 13)) + data[33:])
    assert (photo.img - (119 / 127.5 - 1)).abs().max() < 0.5 / 127.5
    red = saved(picture(np.full((4, 4, 3), (200, 50, 40), np.uint8)), "PNG")
    red = read_image(red[:33] + chunk(*code(12, 13)) + red[33:])
    levels = (red.img[0, :, 0, 0] + 1) * 127.5
    assert levels[0] > 215 and levels[1] < 40 and levels[2] < 33


def test_hdr_keeps_what_sdr_shows_and_rolls_off_above():
    pq = from_code_points(9, 16).curve

    def code_of(nits):
        y = (nits / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)

    nits = np.array([0.0, 20.0, 100.0, 0.75 * WHITE_NITS])
    np.testing.assert_allclose(pq(code_of(nits)), nits / WHITE_NITS, atol=1e-6)
    bright = pq(code_of(np.linspace(150, PEAK_NITS, 200)))
    assert (np.diff(bright) > 0).all() and bright[-1] == pytest.approx(1)
    assert from_code_points(9, 18).curve(np.array([1.0]))[0] == pytest.approx(1)


@pytest.mark.parametrize(
    "chunks",
    [
        {},
        {b"sRGB": b"\0", b"gAMA": struct.pack(">I", 100_000)},
        {b"gAMA": struct.pack(">I", 0)},
        {b"gAMA": b"\0"},
        {b"cHRM": bytes(32)},
        {b"cHRM": struct.pack(">8I", *[30_000] * 8)},
        {b"cHRM": struct.pack(">8I", *[200_000] * 8)},
        {b"cICP": b"\xff\xff\0\1"},
        {b"cICP": b"\2\2\0\1"},
        {b"cICP": b""},
    ],
)
def test_signals_that_say_nothing_leave_srgb(chunks):
    assert from_png_chunks(chunks) is None


@pytest.mark.parametrize(
    "data", [png(gamma(0.45455)), png(gamma(0.45455), primaries(SRGB)), png(code(1, 13)), png(code(1, 1))]
)
def test_signals_of_srgb_need_no_profile(data):
    photo = read_image(data)
    assert photo.icc_profile is None and photo.native is None


def test_a_signal_that_ranks_before_the_profile_replaces_it():
    own = read_image(png(gamma(1))).icc_profile
    data = saved(picture(wave(24, 24, 3)), "PNG", icc_profile=own)
    both = read_image(data[:33] + chunk(*code(12, 13)) + data[33:])
    assert both.icc_profile == read_image(png(code(12, 13))).icc_profile != own
    assert read_image(data[:33] + chunk(*gamma(1 / 1.8)) + data[33:]).icc_profile == own


def test_unedited_pixels_and_their_signal_are_written_as_they_were():
    data = png(code(9, 16))
    again = encode_image(read_image(data), "PNG")
    assert chunk(*code(9, 16)) in again
    np.testing.assert_array_equal(np.asarray(opened(again)), wave(24, 24, 3))


def test_a_converted_picture_loses_the_signal():
    photo = read_image(png(code(9, 16)))
    grey = encode_image(photo.with_img(photo.img, grey=True), "PNG")
    assert b"cICP" not in grey and b"iCCP" not in grey
