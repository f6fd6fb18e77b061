"""What a file says besides its pixels: kept, brought up to date, and the recipe with it."""

import dataclasses
import struct

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from ganvas.images import tiff_tags
from ganvas.images.decode import HAS_AVIF
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from tests.images.makers import chunk, exif_block, numbers, opened, picture, rgb_profile, saved, wave

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description rdf:about="" xmlns:tiff="t" '
    b'tiff:Orientation="%s" dc:title="a title"/></rdf:RDF></x:xmpmeta>'
)
WITH_METADATA = ["JPEG", "PNG", "WEBP", "TIFF"] + (["AVIF"] if HAS_AVIF else [])
RECIPES = [
    '{"steps": []}',
    "",
    'a < b & "c" > d ]]> é 日本',
    '{"stroke": [' + ", ".join(str(i * 37 % 1009) for i in range(30_000)) + "]}",
]


def a_photo(**fields):
    return Photo(img=torch.rand(1, 3, 12, 16) * 2 - 1, **fields)


@pytest.mark.parametrize("format", WITH_METADATA)
@pytest.mark.parametrize("recipe", RECIPES, ids=["short", "empty", "odd signs", "long"])
def test_the_recipe_travels_with_the_picture(format, recipe):
    photo = a_photo(recipe=recipe, xmp=XMP % b"1")
    for _ in range(2):  # and is replaced, not piled up
        photo = read_image(encode_image(photo, format))
        assert photo.recipe == recipe
        assert photo.xmp.count(b"a title") == 1
        assert b"recipe" not in photo.xmp
    assert read_image(encode_image(dataclasses.replace(photo, recipe=None), format)).recipe is None


def test_a_png_holds_the_recipe_where_everybody_can_read_it():
    data = encode_image(a_photo(recipe="{}"), "PNG")
    assert opened(data).text["ganvas-recipe"] == "{}"


def test_an_edited_photo_has_lost_the_old_recipe():
    photo = a_photo(recipe="{}")
    assert photo.with_img(photo.img).recipe is None
    assert photo.with_img(photo.img, recipe="new").recipe == "new"


def test_a_recipe_too_long_for_a_segment_is_extended_xmp():
    digits = np.random.default_rng(0).integers(0, 10**9, 20_000)
    photo = a_photo(recipe=" ".join(str(each) for each in digits))
    for format in ("JPEG", "PNG"):
        assert read_image(encode_image(photo, format)).recipe == photo.recipe


@pytest.mark.parametrize("format", WITH_METADATA)
def test_exif_xmp_and_profile_are_kept(format):
    photo = a_photo(exif=exif_block()[6:], xmp=XMP % b"1", icc_profile=rgb_profile("srgb"))
    again = read_image(encode_image(photo, format))
    assert again.icc_profile == photo.icc_profile
    assert b"a title" in again.xmp
    assert again.text == {}
    assert encode_image(again, format).count(b"a title") == 1
    exif = Image.Exif()
    exif.load(again.exif)
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8825)[1] == "N"
    theirs = opened(encode_image(again, format))
    assert theirs.getexif()[0x8298] == "someone"
    assert theirs.info["icc_profile"] == photo.icc_profile


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_resolution_is_kept(format):
    data = saved(picture(wave(8, 9, 3)), format, dpi=(300, 150))
    photo = read_image(data)
    assert photo.dpi == pytest.approx((300, 150), rel=1e-3)
    assert opened(encode_image(photo, format)).info["dpi"] == pytest.approx((300, 150), rel=1e-3)


def test_the_texts_of_a_png_are_kept_in_every_script():
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Zoë")
    info.add_itxt("Title", "日本", "ja", "題")
    info.add_text("Long", "x" * 5000, zip=True)
    photo = read_image(saved(picture(numbers(4, 5, 3)), "PNG", pnginfo=info))
    expected = {"Author": "Zoë", "Title": "日本", "Long": "x" * 5000}
    assert photo.text == expected
    assert opened(encode_image(photo, "PNG")).text == expected


def test_a_jpegs_comment_and_iptc_are_kept():
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x78\0\x07caption"
    data = saved(picture(numbers(8, 8, 3)), "JPEG", comment="grüße".encode())
    data = data[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + data[2:]
    photo = read_image(data)
    assert photo.text == {"Comment": "grüße"}
    again = encode_image(photo, "JPEG")
    assert iptc in again
    assert opened(again).info["comment"] == "grüße".encode()
    assert opened(encode_image(photo, "PNG")).text == {"Comment": "grüße"}


def test_a_pngs_gamma_is_kept_in_a_png():
    data = saved(picture(numbers(4, 5, 3)), "PNG")
    data = data[:33] + chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sRGB", b"\0") + data[33:]
    again = opened(encode_image(read_image(data), "PNG"))
    assert again.info["gamma"] == 0.45455
    assert again.info["srgb"] == 0
    assert b"gAMA" not in encode_image(read_image(data), "JPEG")


def test_exif_as_hexadecimal_text_counts_too():
    block = exif_block(orientation=6)
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n    {len(block)}\n" + block.hex())
    photo = read_image(saved(picture(numbers(4, 5, 3)), "PNG", pnginfo=info))
    assert photo.size == (4, 5)
    assert photo.text == {}
    assert opened(encode_image(photo, "PNG")).getexif()[0x010F] == "Maker"


def test_orientation_in_xmp_counts_where_exif_is_silent_and_is_spent():
    photo = read_image(saved(picture(numbers(4, 5, 3)), "WEBP", lossless=True, xmp=XMP % b"8"))
    assert photo.size == (4, 5)
    assert b"Orientation" not in photo.xmp
    assert b"a title" in photo.xmp


def test_the_preview_is_dropped_once_the_picture_changes_and_not_before():
    preview = saved(picture(wave(6, 8, 3)), "JPEG")
    block = _with_preview(exif_block(), preview)
    photo = read_image(saved(picture(wave(30, 40, 3)), "JPEG", exif=block))
    assert preview in photo.exif
    assert preview in encode_image(photo, "JPEG")
    edited = photo.with_img(-photo.img)
    assert preview not in encode_image(edited, "JPEG")
    assert opened(encode_image(edited, "JPEG")).getexif()[0x010F] == "Maker"
    turned = read_image(saved(picture(wave(30, 40, 3)), "JPEG", exif=_with_preview(exif_block(orientation=3), preview)))
    assert preview not in turned.exif


def _with_preview(block, preview):
    """The EXIF block with a second directory that holds a small JPEG."""
    tiff = bytearray(block[6:])
    known = tiff_tags.read_first_ifd(bytes(tiff))
    at = len(tiff) + len(tiff) % 2
    place = at + 2 + 2 * 12 + 4
    entries = struct.pack(known.order + "HHII", 0x0201, 4, 1, place)
    entries += struct.pack(known.order + "HHII", 0x0202, 4, 1, len(preview))
    tiff = tiff.ljust(at, b"\0") + struct.pack(known.order + "H", 2) + entries + bytes(4) + preview
    struct.pack_into(known.order + "I", tiff, known.end, at)
    return b"Exif\0\0" + bytes(tiff)


def test_the_size_in_exif_follows_the_picture():
    photo = read_image(saved(picture(wave(20, 30, 3)), "JPEG", exif=exif_block(size=(30, 20))))
    larger = photo.with_img(torch.zeros(1, 3, 40, 70_000))
    block = encode_image(larger, "PNG")
    below = opened(block).getexif().get_ifd(0x8769)
    assert (below[0xA002], below[0xA003]) == (70_000, 40)


def test_a_maker_note_stays_where_it_was():
    """Its offsets count from the block's beginning: JPEG → TIFF → JPEG must not move it."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8769] = {0x927C: b"note" * 20}
    photo = read_image(saved(picture(wave(20, 30, 3)), "JPEG", exif=exif))
    place = photo.exif.index(b"note" * 20)
    assert encode_image(photo, "TIFF").index(b"note" * 20) == place


@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_exif_of_either_byte_order_survives_a_tiff(order):
    e = "<" if order == b"II" else ">"
    block = order + struct.pack(e + "HIH", 42, 8, 1) + struct.pack(e + "HHII", 0x010E, 2, 6, 26) + bytes(4) + b"words\0"
    photo = a_photo(exif=block, bits=16, dpi=(72.5, 300))
    again = read_image(encode_image(photo, "TIFF"))
    exif = Image.Exif()
    exif.load(again.exif)
    assert exif[0x010E] == "words"
    assert again.dpi == pytest.approx((72.5, 300))
    np.testing.assert_array_equal(again.native_pixels(), photo.native_pixels())


@pytest.mark.parametrize("block", [b"", b"II*\0", b"nonsense", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\0\x01"])
def test_broken_exif_is_no_reason_not_to_read(block):
    photo = read_image(saved(picture(numbers(8, 8, 3)), "PNG", exif=b"Exif\0\0" + block))
    assert photo.size == (8, 8)
    for format in WITH_METADATA:
        assert read_image(encode_image(photo, format)).size == (8, 8)


def test_many_entries_for_one_large_value_do_not_multiply_it():
    count, large = 400, 2**20
    body = bytearray(b"II" + struct.pack("<HI", 42, 8) + struct.pack("<H", count))
    place = 8 + 2 + 12 * count + 4
    for tag in range(count):
        body += struct.pack("<HHII", 40_000 + tag, 7, large, place)
    block = bytes(body + bytes(4) + bytes(large))
    packed = tiff_tags.pack_ifd(tiff_tags.read_first_ifd(block), without=())
    assert len(packed) < 20 * 2**20
