"""Colours that a file signals without a profile: as an ICC profile, which every format but BMP and GIF can carry.

PNG has cICP, gAMA with cHRM and sRGB; AVIF and HEIC an nclx box; TIFF its own tags; JPEG EXIF's "R03" for Adobe RGB.
A profile is made of what they say, so that there is one way from a file's numbers to sRGB and back (`colour.py`), and
what is written looks the same whatever the format.

HDR (PQ, HLG) has no place in sRGB: its profile maps diffuse white (203 cd/m², ITU-R BT.2408) to white, and what is
brighter, up to 1,000 cd/m², into the last quarter below it.

Specifications: ITU-T H.273 (code points); W3C 2024, "Portable Network Graphics (Third Edition)", 11.3.2; ITU-R
BT.2100-2 (PQ, HLG); Adobe 1992, "TIFF Revision 6.0", section 20; JEITA DCF 2.0 (R03); ICC.1:2001-04 (version 2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganvas.images import tiff_tags
from ganvas.images.tiff_tags import IFD

TransferCurve = Callable[[np.ndarray], np.ndarray]  # code in [0, 1] → light in [0, 1]
Chromaticity = tuple[float, float]  # x, y of a colour

WHITE_NITS, PEAK_NITS = 203.0, 1000.0
_KNEE = 0.75  # of the light of diffuse white: up to here HDR is shown as it is
_SAMPLES = 4096
_D50 = np.array([0.9642, 1.0, 0.8249])
_D65, _DCI, _C = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
_WHITE_POINT, _CHROMATICITIES, _TRANSFER_FUNCTION, _COLOUR_SPACE = 318, 319, 301, 0xA001
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class ColourSignal:
    """What numbers mean: the colours of red, green, blue and white, and the way from code to light."""

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity
    curve: TransferCurve

    def to_profile(self, space: str) -> bytes:
        """An ICC profile (version 2): of "rgb", three equal curves and a matrix; of "grey", one curve."""
        columns = [struct.pack(">3i", *np.round(column * 65536).astype(int)) for column in self._to_d50().T]
        light = np.clip(self.curve(np.linspace(0, 1, _SAMPLES)), 0, 1)
        samples = np.round(light * 65535).astype(">u2").tobytes()
        curve = b"curv" + bytes(4) + struct.pack(">I", _SAMPLES) + samples
        name = b"signalled colours\0"
        tags = {
            b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
            b"cprt": b"text" + bytes(4) + b"CC0\0",
            b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", *np.round(_D50 * 65536).astype(int)),
        }
        if space == "grey":
            return _pack_profile(tags, (b"kTRC",), curve, b"GRAY")
        tags |= {tag: b"XYZ " + bytes(4) + xyz for tag, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
        return _pack_profile(tags, (b"rTRC", b"gTRC", b"bTRC"), curve, b"RGB ")

    def _to_d50(self) -> np.ndarray:
        """[3, 3]: linear RGB → XYZ under D50."""
        primaries = np.stack([_xyz(point) for point in (self.red, self.green, self.blue)], axis=1)
        white = _xyz(self.white)
        columns = primaries * np.linalg.solve(primaries, white)
        gain = (_BRADFORD @ _D50) / (_BRADFORD @ white)
        return np.linalg.inv(_BRADFORD) @ (gain[:, None] * (_BRADFORD @ columns))


def _xyz(point: Chromaticity) -> np.ndarray:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _pack_profile(tags: Mapping[bytes, bytes], curve_tags: Sequence[bytes], curve: bytes, space: bytes) -> bytes:
    """Header, table and tags; the curves share their bytes."""
    count = len(tags) + len(curve_tags)
    table, body, start = b"", b"", 128 + 4 + 12 * count
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    for tag in curve_tags:
        table += struct.pack(">4sII", tag, start + len(body), len(curve))
    body += curve + bytes(-len(curve) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", *np.round(_D50 * 65536).astype(int)) + bytes(48)
    return header + struct.pack(">I", count) + table + body


# ── code points of ITU-T H.273 ───────────────────────────────────────────────────────────────────────────────────────

_PRIMARIES: dict[int, tuple[Chromaticity, Chromaticity, Chromaticity, Chromaticity]] = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),  # BT.709, sRGB
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),  # NTSC 1953
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),  # BT.601, 625 lines
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),  # BT.601, 525 lines
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), _D65),  # BT.2020
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _DCI),  # DCI P3
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),  # Display P3
}
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)


def _srgb(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _pq(x: np.ndarray) -> np.ndarray:
    """Perceptual quantiser → light of the picture on an SDR screen."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = x ** (1 / m2)
    return _to_sdr(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _hlg(x: np.ndarray) -> np.ndarray:
    """Hybrid log-gamma, shown by a screen of 1,000 cd/m² (system gamma 1.2, a channel at a time)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(x <= 0.5, x**2 / 3, (np.exp((x - c) / a) + b) / 12)
    return _to_sdr(1000 * scene**1.2)


def _to_sdr(nits: np.ndarray) -> np.ndarray:
    """Light from 0 to 1: as it is up to the knee, then ever less, with the same slope at the knee, to the peak."""
    light, peak = nits / WHITE_NITS, PEAK_NITS / WHITE_NITS
    span, room = peak - _KNEE, 1 - _KNEE
    share = np.clip((light - _KNEE) / span, 0, None)
    steepness = span / room
    shoulder = _KNEE + room * (steepness * share) / (1 + (steepness - 1) * share)
    return np.where(light <= _KNEE, light, shoulder)


_CURVES: dict[int, TransferCurve] = {
    4: lambda x: x**2.2,
    5: lambda x: x**2.8,
    8: lambda x: x,
    13: _srgb,
    16: _pq,
    18: _hlg,
}
# Cameras' curves of television pictures: shown, as browsers do, by sRGB's.
_CURVES |= dict.fromkeys((1, 6, 14, 15), _srgb)
_UNSPECIFIED = 2


def from_code_points(primaries: int, transfer: int) -> ColourSignal | None:
    """Of cICP and nclx; None where they say nothing, or nothing that is known."""
    if primaries == transfer == _UNSPECIFIED:
        return None
    points = _PRIMARIES.get(1 if primaries == _UNSPECIFIED else primaries)
    curve = _CURVES.get(13 if transfer == _UNSPECIFIED else transfer)
    return None if points is None or curve is None else ColourSignal(*points, curve)


# ── formats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def from_png_chunks(chunks: Mapping[bytes, bytes]) -> ColourSignal | None:
    """cICP, else sRGB, else gAMA and cHRM, as their precedence is; a profile ranks behind cICP alone."""
    if len(code := chunks.get(b"cICP", b"")) == 4 and (signal := from_code_points(code[0], code[1])):
        return signal
    if b"sRGB" in chunks or b"iCCP" in chunks:
        return None
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000 if len(chunks.get(b"gAMA", b"")) == 4 else 0.0
    points = struct.unpack(">8I", chunks[b"cHRM"]) if len(chunks.get(b"cHRM", b"")) == 32 else ()
    return _from_numbers(gamma, [value / 100_000 for value in points])


def _from_numbers(gamma: float, points: list[float], curve: TransferCurve | None = None) -> ColourSignal | None:
    """`gamma` of the file, 1 / 2.2 as a rule; `points` x and y of white, red, green, blue. Nonsense says nothing."""
    if points and (min(points) <= 0 or max(points) >= 1):
        return None
    if not points and not 0 < gamma < 10:
        return None
    pairs = list(zip(points[::2], points[1::2], strict=True))
    red, green, blue, white = (*pairs[1:], pairs[0]) if pairs else _PRIMARIES[1]
    # 45455 is how sRGB has always been written; libpng and browsers take it for sRGB's own curve.
    usual = not 0 < gamma < 10 or abs(gamma * 2.2 - 1) < 0.01
    curve = curve or (_srgb if usual else lambda x: x ** (1 / gamma))
    signal = ColourSignal(red, green, blue, white, curve)
    try:
        area = abs(np.linalg.det(signal._to_d50()))
    except np.linalg.LinAlgError:
        return None
    return signal if area > 1e-3 else None


def from_heif(data: bytes) -> ColourSignal | None:
    """The first nclx box of an AVIF or HEIC."""
    at = data.find(b"colrnclx", 0, 1 << 20)
    if at < 0 or len(data) < at + 12:
        return None
    return from_code_points(*struct.unpack_from(">HH", data, at + 8))


def from_tiff_tags(tags: IFD) -> ColourSignal | None:
    """WhitePoint and PrimaryChromaticities of a TIFF, with its TransferFunction or sRGB's curve."""
    white, primaries = (_rationals(tags, tag) for tag in (_WHITE_POINT, _CHROMATICITIES))
    table = np.array(tags.int_values(_TRANSFER_FUNCTION, most=2**16)[:256]) / 65535
    rising = len(table) == 256 and (np.diff(table) >= 0).all() and table[-1] > 0.5
    curve: TransferCurve = (lambda x: np.interp(x, np.linspace(0, 1, 256), table)) if rising else _srgb
    if len(white) == 2 and len(primaries) == 6:
        return _from_numbers(0.0, [*white, *primaries], curve)
    return (
        _from_numbers(0.0, [*_D65, *(value for point in _PRIMARIES[1][:3] for value in point)], curve)
        if rising
        else None
    )


def _rationals(tags: IFD, tag: int) -> list[float]:
    value = tags.value(tag)
    numbers = struct.unpack_from(f"{tags.order}{len(value) // 4}I", value)
    return [above / below if below else 0.0 for above, below in zip(numbers[::2], numbers[1::2], strict=False)]


def from_exif(exif: bytes) -> ColourSignal | None:
    """Cameras set to Adobe RGB write an uncalibrated colour space and the name R03."""
    try:
        first = tiff_tags.read_first_ifd(exif)
        below = tiff_tags.read_ifd(exif, first.int_value(tiff_tags.EXIF_IFD), first.order)
        names = tiff_tags.read_ifd(exif, below.int_value(tiff_tags.INTEROP_IFD), first.order)
    except (tiff_tags.BrokenIFD, struct.error):
        return None
    adobe = below.int_value(_COLOUR_SPACE, 0) in (2, 0xFFFF) and names.value(1)[:3] == b"R03"
    return ColourSignal(*_ADOBE_RGB, lambda x: x ** (563 / 256)) if adobe else None


def read_colour_signal(
    data: bytes, format: str, fields: Mapping[str, Any], chunks: Mapping[bytes, bytes]
) -> ColourSignal | None:
    """What a file of any format but TIFF says of its colours besides its profile; None where the profile decides.

    Args:
        data: the file.
        format: as `decode_image` names it.
        fields: of its metadata: the profile and EXIF.
        chunks: of a PNG, see `first_png_chunks`.
    """
    profile, exif = fields.get("icc_profile"), fields.get("exif")
    if format == "PNG":  # cICP ranks before a profile
        return from_png_chunks(chunks if not profile else {name: chunks[name] for name in chunks if name == b"cICP"})
    if profile:
        return None
    if format in ("AVIF", "HEIF"):
        return from_heif(data)
    return from_exif(exif) if exif and format in ("JPEG", "WEBP") else None
