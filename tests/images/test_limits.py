"""Files that would keep a decoder busy for minutes are refused by a glance at them; what writers make is read."""

import io
import time

import pytest
from PIL import Image

from ganvas.errors import BadImage
from ganvas.images.files import read_image
from ganvas.images.limits import MAX_SCANS
from ganvas.images.png16 import png_chunk
from tests.images.makers import picture, wave

COLOUR = picture(wave(64, 96, 3))


def saved_as(format, **options):
    file = io.BytesIO()
    COLOUR.save(file, format, **options)
    return file.getvalue()


def jpeg_of_scans(count):
    """A progressive JPEG that goes over its last scan again and again."""
    whole = saved_as("JPEG", progressive=True)
    last = whole[whole.rfind(b"\xff\xda") : -2]
    return whole[:-2] + last * (count - whole.count(b"\xff\xda")) + b"\xff\xd9"


def png_of_chunks(count, at):
    whole, empty = saved_as("PNG"), png_chunk(b"teSt", b"")
    return whole[:at] + empty * count + whole[at:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (jpeg_of_scans(MAX_SCANS + 1), "scans"),
        (jpeg_of_scans(3000), "scans"),
        (saved_as("JPEG")[:2] + b"\xff\xfe\x00\x02" * 300_000 + saved_as("JPEG")[2:], "segments"),
        (png_of_chunks(300_000, 33), "chunks"),
        (png_of_chunks(300_000, -12), "chunks"),
    ],
    ids=["101 scans", "3,000 scans", "segments", "chunks before", "chunks behind"],
)
def test_what_no_writer_makes_is_refused_at_once(data, said):
    started = time.process_time()
    with pytest.raises(BadImage, match=said):
        read_image(data)
    assert time.process_time() - started < 1


def test_scans_count_by_the_pixels_that_they_go_over():
    data = bytearray(jpeg_of_scans(60))
    read_image(bytes(data))
    frame = data.index(b"\xff\xc2")
    data[frame + 5 : frame + 9] = (10_000).to_bytes(2, "big") * 2
    with pytest.raises(BadImage, match="JPEG with 26 scans or more"):
        read_image(bytes(data))


def test_what_writers_make_is_read():
    plain = saved_as("JPEG")
    thumbnails = plain[:2] + b"\xff\xe7\xff\xff" + (b"\xff\xda" * 32767)[:65533] + plain[2:]  # marks inside a segment
    for data in (saved_as("JPEG", progressive=True), jpeg_of_scans(MAX_SCANS), thumbnails, png_of_chunks(1000, 33)):
        assert read_image(data).size == (96, 64)
    assert Image.open(io.BytesIO(thumbnails)).size == (96, 64)
