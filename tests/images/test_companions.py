"""What else a file holds is named, and not promised in what is written."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from ganvas.errors import ImageWarning
from ganvas.images.companions import remove_promises
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from tests.images.makers import numbers, picture, saved

CONTAINER = "http://ns.google.com/photos/1.0/container/"
CAMERA = "http://ns.google.com/photos/1.0/camera/"
GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"
HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = "</rdf:RDF></x:xmpmeta>"


def several(format, count, **options):
    frames = [picture(numbers(6, 7, 3, seed=seed)) for seed in range(count)]
    return saved(frames[0], format, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize(
    ("format", "count", "words"),
    [
        ("GIF", 4, "1 of 4 frames"),
        ("WEBP", 3, "1 of 3 frames"),
        ("PNG", 5, "1 of 5 frames"),
        ("TIFF", 4, "1 of 4 pages"),
        ("MPO", 2, "1 of 2 images"),
    ],
)
def test_frames_pages_and_images_are_counted(format, count, words):
    data = several(format, count)
    with pytest.warns(ImageWarning, match=words):
        photo = read_image(data)
    assert photo.companions == (words,)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "JPEG"])
def test_one_picture_has_no_companions(format, recwarn):
    assert read_image(saved(picture(numbers(6, 7, 3)), format)).companions == ()
    assert not recwarn.list


def test_pages_of_16_bits_are_counted(tmp_path):
    pages = [Image.fromarray(numbers(6, 7, 1, bits=16)[..., 0]) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(ImageWarning, match="1 of 3 pages"):
        assert read_image(tmp_path / "a.tif").bits == 16


def test_a_list_of_pages_that_leads_back_ends():
    data = bytearray(several("TIFF", 2))
    first = struct.unpack_from("<I", data, 4)[0]
    second = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    second = struct.unpack_from("<I", data, second)[0]
    struct.pack_into("<I", data, second + 2 + 12 * struct.unpack_from("<H", data, second)[0], first)
    with pytest.warns(ImageWarning):
        assert read_image(bytes(data)).size == (7, 6)


def jpeg_with(xmp):
    return saved(picture(numbers(8, 8, 3)), "JPEG", xmp=(HEAD + xmp + TAIL).encode())


PROMISES = {
    "attributes": f'<rdf:Description xmlns:hdrgm="{GAIN_MAP}" hdrgm:Version="1.0" xmlns:dc="d" dc:title="kept"/>',
    "elements": f'<rdf:Description xmlns:hdrgm="{GAIN_MAP}" xmlns:dc="d"><hdrgm:Version>1.0</hdrgm:Version>'
    "<hdrgm:GainMapMax><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:GainMapMax><dc:t>kept</dc:t></rdf:Description>",
    "a list of items": f'<rdf:Description xmlns:Container="{CONTAINER}" xmlns:Item="{CONTAINER}item/" xmlns:dc="d">'
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" '
    'Item:Length="743"/></rdf:li></rdf:Seq></Container:Directory><dc:title>kept</dc:title></rdf:Description>',
}


@pytest.mark.parametrize("kind", PROMISES)
def test_a_gain_map_is_named_and_no_longer_promised(kind):
    with pytest.warns(ImageWarning, match="without its HDR gain map"):
        photo = read_image(jpeg_with(PROMISES[kind]))
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = encode_image(photo, format)
        assert b"kept" in data
        assert not any(word in data for word in (b"hdrgm", b"GainMap", b"Container", b"Item:"))


@pytest.mark.parametrize(
    "properties",
    [
        'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MotionPhotoPresentationTimestampUs="5"',
        "GCamera:MicroVideo='1' GCamera:MicroVideoOffset='743'",
        'other="1"><GCamera:MotionPhoto>1</GCamera:MotionPhoto><rdf:x',
    ],
)
def test_a_motion_photo_is_named_and_other_notes_of_the_camera_stay(properties):
    with pytest.warns(ImageWarning, match="without the video of the motion photo"):
        photo = read_image(
            jpeg_with(f'<rdf:Description xmlns:GCamera="{CAMERA}" GCamera:DisableAutoCreation="True" {properties}/>')
        )
    assert b"DisableAutoCreation" in photo.xmp
    assert not any(word in photo.xmp for word in (b"MotionPhoto", b"MicroVideo"))


def test_prefixes_are_the_writers_choice():
    xmp = f'<rdf:Description xmlns:q="{GAIN_MAP}" q:Version="1.0" xmlns:hdrgm="mine" hdrgm:note="kept"/>'.encode()
    assert remove_promises(xmp) == b'<rdf:Description xmlns:hdrgm="mine" hdrgm:note="kept"/>'


def test_a_packet_without_promises_is_left_as_it_is():
    xmp = b'<rdf:Description xmlns:dc="d" dc:title="Container: MotionPhoto=\'1\'"/>'
    assert remove_promises(xmp) == xmp


def test_a_hostile_packet_takes_no_time():
    xmp = f'<a xmlns:q="{GAIN_MAP}"'.encode() + b' q:a="1' * 20_000 + b"<q:b>" * 20_000
    assert isinstance(remove_promises(xmp), bytes)


def test_first_frames_are_what_they_were():
    data = io.BytesIO(several("PNG", 3))
    with pytest.warns(ImageWarning):
        np.testing.assert_array_equal(read_image(data).native_pixels(), numbers(6, 7, 3, seed=0))
