"""Metadata beyond the 64 kB of a JPEG segment: split as the specifications say, or left out with a word."""

import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.errors import ImageWarning
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.jpeg_segments import EXTENDED_HEAD, MAX_SEGMENT_BYTES, join_comments, join_xmp, pack_icc, pack_xmp
from ganvas.images.photo import Photo
from tests.images.makers import opened

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def photo(**fields):
    return Photo(img=torch.zeros(1, 3, 8, 8), **fields)


def packet(words, *, extra=""):
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about="" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"{extra}><dc:title>{words}</dc:title></rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def exif_with(tag, size, *, top=False):
    """An EXIF block with a value of so many bytes, made by Pillow."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    place = exif if top else exif.get_ifd(0x8769)
    place[tag] = bytes(np.random.default_rng(0).integers(1, 255, size, dtype=np.uint8))
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("size", [10, MAX_SEGMENT_BYTES - 400, MAX_SEGMENT_BYTES, 200_000, 1_000_000])
def test_a_packet_of_any_length_comes_back(size):
    letters = "".join(map(chr, np.random.default_rng(0).integers(97, 123, size)))
    data = encode_image(photo(xmp=packet(letters)), "JPEG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = read_image(data)
    assert f"<dc:title>{letters}</dc:title>".encode() in again.xmp
    assert b"HasExtendedXMP" not in again.xmp
    assert encode_image(again, "PNG").count(letters[:1000].encode()) == 1


def test_each_part_of_extended_xmp_says_its_place_and_the_whole():
    parts = [part[4:] for part in pack_xmp(packet("x" * 150_000))]
    guid = parts[0].split(b'HasExtendedXMP="')[1][:32]
    assert len(parts) == 4 and all(len(part) <= MAX_SEGMENT_BYTES for part in parts)
    at = 0
    for part in parts[1:]:
        assert part.startswith(EXTENDED_HEAD + guid)
        whole, place = struct.unpack_from(">II", part, len(EXTENDED_HEAD) + 32)
        assert place == at and whole > 150_000
        at += len(part) - len(EXTENDED_HEAD) - 40
    assert at == whole


def test_an_extended_part_is_joined_with_the_packet_that_announces_it():
    """As Photoshop writes it: short properties in the packet, long ones beside it; the segments in any order."""
    main, *parts = (part[4:] for part in pack_xmp(packet("x" * 150_000)))
    guid = main.split(b'HasExtendedXMP="')[1][:32].decode()
    note = f' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}"'
    own = b"http://ns.adobe.com/xap/1.0/\0" + packet("short", extra=note)
    whole = join_xmp([parts[2], own, parts[0], parts[1]])
    assert b"<dc:title>short</dc:title>" in whole and b"x" * 150_000 in whole
    assert b"HasExtended" not in whole and whole.count(b"</rdf:RDF>") == 1


@pytest.mark.parametrize("harm", ["one is missing", "another packet's", "bytes changed"])
def test_a_damaged_extended_part_is_left_out_and_not_announced(harm):
    main, *parts = (part[4:] for part in pack_xmp(packet("x" * 150_000)))
    if harm == "one is missing":
        parts.pop()
    elif harm == "another packet's":
        parts = [part[4:] for part in pack_xmp(packet("y" * 150_000))][1:]
    else:
        parts[0] = parts[0][:-1] + b"!"
    whole = join_xmp([main, *parts])
    assert b"HasExtended" not in whole and len(whole) < 1000


@pytest.mark.parametrize(("tag", "words"), [(0x927C, "maker notes"), (0x9286, "user comment")])
def test_long_parts_of_exif_are_dropped_with_a_word_and_the_rest_stays(tag, words):
    with pytest.warns(ImageWarning, match=f"{words} did not fit a JPEG"):
        data = encode_image(photo(exif=exif_with(tag, 70_000)), "JPEG")
    exif = opened(data).getexif()
    assert exif[0x010F] == "Maker" and tag not in exif.get_ifd(0x8769)


def test_exif_that_cannot_be_made_to_fit_is_left_out_with_a_word():
    with pytest.warns(ImageWarning, match="does not fit a JPEG and is left out"):
        data = encode_image(photo(exif=exif_with(0x010E, 70_000, top=True)), "JPEG")
    assert not opened(data).getexif()
    assert read_image(data).size == (8, 8)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_keep_all_of_it(format):
    block = exif_with(0x927C, 70_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = read_image(encode_image(photo(exif=block), format))
    assert 70_000 < len(again.exif)


def test_a_long_comment_goes_on_in_the_next_segment():
    words = "ä" * 100_000
    assert read_image(encode_image(photo(text={"Comment": words}), "JPEG")).text["Comment"] == words
    assert join_comments([b"one", b"two"]) == b"two" and join_comments([]) == b""


def test_a_profile_of_many_segments_is_whole():
    profile = bytes(np.random.default_rng(0).integers(0, 255, 200_000, dtype=np.uint8))
    parts = pack_icc(profile)
    assert [part[16:18] for part in parts] == [bytes((n, 4)) for n in (1, 2, 3, 4)]
    assert b"".join(part[18:] for part in parts) == profile
