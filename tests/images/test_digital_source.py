"""Where a picture comes from, read back with Pillow and an XML parser of their own."""

import io
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from PIL import Image

from ganvas.errors import BadConfig
from ganvas.images.decode import HAS_AVIF
from ganvas.images.digital_source import EDITED, GENERATED, add_digital_source, read_digital_source
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo

PROPERTY = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
WITH_XMP = ["JPEG", "PNG", "WEBP", "TIFF"] + (["AVIF"] if HAS_AVIF else [])
CAMERA = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="uuid:7" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"%s>'
    b"<dc:creator><rdf:Seq><rdf:li>Ann</rdf:li></rdf:Seq></dc:creator>%s</rdf:Description></rdf:RDF></x:xmpmeta>"
    b'<?xpacket end="w"?>'
)
CAPTURE = b"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
CAMERA_PACKETS = {
    "says nothing": CAMERA % (b"", b""),
    "attribute": CAMERA % (b' e:DigitalSourceType="' + CAPTURE + b'"', b""),
    "element": CAMERA % (b"", b"<e:DigitalSourceType>" + CAPTURE + b"</e:DigitalSourceType>"),
    "resource": CAMERA % (b"", b'<e:DigitalSourceType rdf:resource="' + CAPTURE + b'"/>'),
}


def photo_of(**fields):
    return Photo(img=torch.rand(1, 3, 12, 16) * 2 - 1, **fields)


def packet_of(data):
    """The XMP of a file as Pillow finds it."""
    picture = Image.open(io.BytesIO(data))
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    if not packet and picture.format == "TIFF":
        packet = picture.tag_v2.get(700, b"")
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def sources_in(packet):
    """Every value of the property in a packet, by the XML alone."""
    root = ElementTree.fromstring(packet[packet.index(b"<x:xmpmeta") : packet.rindex(b"</x:xmpmeta>") + 12])
    values = [node.text or "" for node in root.iter(PROPERTY)]
    return values + [value for node in root.iter() for name, value in node.attrib.items() if name == PROPERTY]


@pytest.mark.parametrize("format", WITH_XMP)
@pytest.mark.parametrize("source", [EDITED, GENERATED])
def test_it_stands_in_every_format_that_has_xmp(format, source):
    data = encode_image(photo_of(digital_source=source, recipe='{"steps": []}'), format)
    assert sources_in(packet_of(data)) == [VOCABULARY + source]
    again = read_image(data)
    assert again.recipe == '{"steps": []}' and read_digital_source(again.xmp) == source
    assert again.digital_source is None  # nothing has been done to it since it was read


@pytest.mark.parametrize("packet", CAMERA_PACKETS.values(), ids=CAMERA_PACKETS.keys())
@pytest.mark.parametrize("format", WITH_XMP)
def test_what_a_camera_wrote_stays_and_its_source_is_replaced(format, packet):
    written = packet_of(encode_image(photo_of(digital_source=EDITED, xmp=packet), format))
    assert sources_in(written) == [VOCABULARY + EDITED]
    assert b"<rdf:li>Ann</rdf:li>" in written
    assert written.count(b'rdf:about="uuid:7"') == 2  # all properties are of one thing


def test_what_a_model_made_alone_stays_so_when_it_is_edited():
    made = read_image(encode_image(photo_of(digital_source=GENERATED), "PNG"))
    edited = Photo(img=made.img, xmp=made.xmp, digital_source=EDITED)
    assert sources_in(packet_of(encode_image(edited, "JPEG"))) == [VOCABULARY + GENERATED]


def test_nothing_is_said_of_untouched_photos_or_where_nobody_wants_it():
    assert packet_of(encode_image(photo_of(), "PNG")) == b""
    assert packet_of(encode_image(photo_of(digital_source=EDITED), "PNG", disclose=False)) == b""
    camera = CAMERA_PACKETS["attribute"]
    kept = packet_of(encode_image(photo_of(digital_source=EDITED, xmp=camera), "WEBP", disclose=False))
    assert sources_in(kept) == [CAPTURE.decode()]


def test_write_image_takes_it_for_plain_tensors(tmp_path):
    path = write_image(torch.zeros(1, 3, 4, 4), tmp_path / "a.jpg", digital_source=GENERATED)
    assert sources_in(packet_of(path.read_bytes())) == [VOCABULARY + GENERATED]
    with pytest.raises(BadConfig, match="unknown digital source 'mine'"):
        write_image(torch.zeros(1, 3, 4, 4), tmp_path / "b.jpg", digital_source="mine")


def test_a_packet_without_room_becomes_a_new_one():
    assert sources_in(add_digital_source(b"<nothing/>", EDITED)) == [VOCABULARY + EDITED]
    assert add_digital_source(b"<nothing/>", None) == b"<nothing/>"
