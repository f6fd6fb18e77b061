"""Where a picture comes from, as IPTC says it: a property of the XMP packet that viewers and news desks read.

Specification: IPTC 2023, "IPTC Photo Metadata Standard", property Digital Source Type, and the NewsCodes vocabulary
http://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from __future__ import annotations

import re

from ganvas.fields import check_known

GENERATED = "trainedAlgorithmicMedia"  # all of it was made by a trained model
EDITED = "compositeWithTrainedAlgorithmicMedia"  # a photo, with parts that a trained model made
DIGITAL_SOURCES = (GENERATED, EDITED)
_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
EMPTY_XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
# As an attribute, as an element with text, and as one with a resource.
_PROPERTY = re.compile(
    rb'\s*[\w.-]+:DigitalSourceType\s*=\s*(?:"([^"]*)"|\'([^\']*)\')'
    rb"|<([\w.-]+:DigitalSourceType)\s*>\s*([^<]*?)\s*</\3\s*>"
    rb"|<[\w.-]+:DigitalSourceType\s+rdf:resource\s*=\s*(?:\"([^\"]*)\"|'([^']*)')\s*"
    rb"(?:/>|>\s*</[\w.-]+:DigitalSourceType\s*>)"
)


def read_digital_source(xmp: bytes | None) -> str | None:
    """What a packet says of the source, without the vocabulary's address: "trainedAlgorithmicMedia", …"""
    match = _PROPERTY.search(xmp or b"")
    if not match:
        return None
    value = next(group for at, group in enumerate(match.groups(), start=1) if group is not None and at != 3)
    return value.decode("utf-8", "replace").removeprefix(_VOCABULARY)


def add_digital_source(xmp: bytes | None, source: str | None) -> bytes | None:
    """The packet with the property; everything else in it stays. None adds nothing.

    What was made by a model alone stays so, also when it is edited afterwards.

    Args:
        xmp: a packet; None, or one that has no place for properties, becomes a new one.
        source: one of DIGITAL_SOURCES.

    Raises:
        BadConfig: another source.
    """
    if source is None:
        return xmp
    check_known(source, DIGITAL_SOURCES, what="digital source")
    if xmp is None or b"</rdf:RDF>" not in xmp:
        xmp = EMPTY_XMP
    if read_digital_source(xmp) in (source, GENERATED):
        return xmp
    about = re.search(rb"rdf:about\s*=\s*(\"[^\"]*\"|'[^']*')", xmp)  # all of a packet are about one thing
    ours = (
        b"<rdf:Description rdf:about="
        + (about[1] if about else b'""')
        + f' xmlns:Iptc4xmpExt="{_NAMESPACE}">'
        f"<Iptc4xmpExt:DigitalSourceType>{_VOCABULARY}{source}</Iptc4xmpExt:DigitalSourceType>".encode()
        + b"</rdf:Description>"
    )
    return _PROPERTY.sub(b"", xmp).replace(b"</rdf:RDF>", ours + b"</rdf:RDF>", 1)
