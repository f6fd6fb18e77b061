"""Pictures and profiles that the tests of this folder make on the spot, without ganvas where it is the one tested."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def numbers(height, width, channels, *, bits=8, seed=0):
    """Random pixels: every value of the depth can occur."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, (height, width, channels), dtype=dtype)


def wave(height, width, channels, *, bits=8):
    """A smooth picture."""
    y, x = np.mgrid[0:height, 0:width]
    layers = [np.sin(x / 5 + k) * np.cos(y / 6) * 0.4 + 0.5 for k in range(channels)]
    return (np.stack(layers, axis=-1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def picture(pixels):
    """Pillow's picture of 8-bit pixels, C = 1 … 4."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# ── a PNG written and read by the specification, slowly ──────────────────────────────────────────────────────────────


def slow_png(pixels, *, filters=(0, 1, 2, 3, 4), interlaced=False, key=None):
    """16-bit pixels [H, W, C] → a PNG; line n takes filter n modulo five."""
    height, width, channels = pixels.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes:
        part = pixels[y0::dy, x0::dx]
        if part.size:
            raw += _filtered(part, filters)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, int(interlaced))
    middle = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + middle + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _filtered(part, filters):
    step = part.shape[2] * 2
    lines = part.astype(">u2").reshape(len(part), -1).view(np.uint8).astype(int)
    out, above = b"", np.zeros(lines.shape[1], int)
    for n, line in enumerate(lines):
        kind = filters[n % len(filters)]
        guess = [_guess(kind, line, above, i, step) for i in range(len(line))]
        out += bytes([kind]) + bytes(((line - guess) % 256).tolist())
        above = line
    return out


def _guess(kind, line, above, i, step):
    left = line[i - step] if i >= step else 0
    corner = above[i - step] if i >= step else 0
    if kind == 4:
        estimate = left + above[i] - corner
        return min((left, above[i], corner), key=lambda near: abs(estimate - near))  # ties: left, above, corner
    return (0, left, above[i], (left + above[i]) // 2)[kind]


def slow_png_pixels(data):
    """The 16-bit pixels of a PNG that is not interlaced."""
    at, packed, head = 8, b"", ()
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(name + body)
        head = struct.unpack(">IIBBBBB", body) if name == b"IHDR" else head
        packed += body if name == b"IDAT" else b""
        at += 12 + size
    width, height, depth, kind, *_ = head
    assert depth == 16
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[kind]
    raw, length = zlib.decompress(packed), width * channels * 2
    above, rows = [0] * length, []
    for n in range(height):
        kind, *rest = raw[n * (length + 1) : (n + 1) * (length + 1)]
        line = []
        for i, value in enumerate(rest):
            line.append((value + _guess(kind, [*line, 0], above, i, channels * 2)) % 256)
        rows.append(bytes(line))
        above = line
    return np.frombuffer(b"".join(rows), ">u2").reshape(height, width, channels)


# ── a TIFF written by the specification ──────────────────────────────────────────────────────────────────────────────


def slow_tiff(
    pixels, *, order="<", compression=1, predictor=1, planar=1, tile=None, rows=3, photometric=None, extra=()
):
    """16-bit pixels [H, W, C] → a TIFF. compression: 1 = none, 8 = deflate, 5 = LZW (without any repetition)."""
    height, width, channels = pixels.shape
    photometric = (2 if channels >= 3 else 1) if photometric is None else photometric
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0)
    body, places, sizes = bytearray(head), [], []
    planes = [pixels[..., c : c + 1] for c in range(channels)] if planar == 2 else [pixels]
    for plane in planes:
        for block in _tiles(plane, tile) if tile else _strips(plane, rows):
            if predictor == 2:
                block = np.concatenate([block[:, :1], block[:, 1:] - block[:, :-1]], axis=1)
            packed = _PACKERS[compression](block.astype(order + "u2").tobytes())
            places.append(len(body))
            sizes.append(len(packed))
            body += packed + bytes(len(packed) % 2)
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [16] * channels), 259: (3, [compression]),
            262: (3, [photometric]), 277: (3, [channels]), 284: (3, [planar]), 317: (3, [predictor])}  # fmt: skip
    if tile:
        tags |= {322: (4, [tile[1]]), 323: (4, [tile[0]]), 324: (4, places), 325: (4, sizes)}
    else:
        tags |= {273: (4, places), 278: (4, [rows]), 279: (4, sizes)}
    if extra:
        tags[338] = (3, list(extra))
    return bytes(finished(body, tags, order))


def finished(body, tags, order):
    """Append a directory of whole numbers and let the header point to it."""
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f"{order}{len(values)}{'HI'[kind == 4]}", *values)
        if len(value) > 4:
            place = len(body)
            body += value + bytes(len(value) % 2)
            value = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    struct.pack_into(order + "I", body, 4, len(body))
    return body + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def _strips(plane, rows):
    return [plane[top : top + rows] for top in range(0, len(plane), rows)]


def _tiles(plane, size):
    tall, wide = size
    blocks = []
    for top in range(0, plane.shape[0], tall):
        for left in range(0, plane.shape[1], wide):
            block = np.zeros((tall, wide, plane.shape[2]), np.uint16)
            part = plane[top : top + tall, left : left + wide]
            block[: part.shape[0], : part.shape[1]] = part
            blocks.append(block)
    return blocks


def _lzw(data):
    """Each byte as its own code, the table cleared before its codes would need a tenth bit."""
    bits = ""
    for at, byte in enumerate(data):
        bits += ("100000000" if at % 200 == 0 else "") + f"{byte:09b}"
    bits += "100000001"
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


_PACKERS = {1: bytes, 8: zlib.compress, 5: _lzw}


# ── colour profiles ──────────────────────────────────────────────────────────────────────────────────────────────────

PRIMARIES = {  # adapted to D50: red, green, blue
    "display-p3": [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)],
    "adobe-rgb": [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
    "srgb": [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)],
}
_SRGB_CURVE = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in (
    2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))  # fmt: skip


def gamma_curve(gamma):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def sampled_curve(gamma, count=1024):
    samples = np.round(np.linspace(0, 1, count) ** gamma * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", count) + samples.tobytes()


def rgb_profile(primaries="display-p3", curve=_SRGB_CURVE):
    """A profile of three curves and a matrix."""
    tags = {name: b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in xyz))
            for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), PRIMARIES[primaries], strict=True)}  # fmt: skip
    return profile(b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(curve):
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk_profile(*, way_back=True):
    """A profile of tables: paper white less the inks, two nodes an ink, into Lab and (if it may) back."""
    nodes = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)  # C, M, Y, K; K fastest
    c, m, y, k = nodes.T
    lightness = (100 - 30 * c - 35 * m - 8 * y).clip(min=10) * (1 - 0.9 * k)
    a, b = (-35 * c + 70 * m) * (1 - k), (-40 * c + 5 * m + 85 * y) * (1 - k)
    tags = {b"A2B0": _lut8(4, 3, 2, np.stack([lightness * 2.55, a + 128, b + 128], axis=1))}
    if way_back:
        lab = np.stack(np.meshgrid(*[np.linspace(0, 255, 9)] * 3, indexing="ij"), -1).reshape(-1, 3)
        black = (1 - lab[:, 0] / 255) * 255
        inks = np.stack([128 - lab[:, 1], lab[:, 1] - 128, lab[:, 2] - 128, black], axis=1)
        tags[b"B2A0"] = _lut8(3, 4, 9, inks)
    return profile(b"prtr", b"CMYK", b"Lab ", tags)


def _lut8(inputs, outputs, nodes, table):
    ramp = bytes(range(256))
    unit = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    body = np.clip(np.round(table), 0, 255).astype(np.uint8).tobytes()
    return b"mft1" + bytes(4) + bytes((inputs, outputs, nodes, 0)) + unit + ramp * inputs + body + ramp * outputs


def profile(kind, space, connection, tags):
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        **tags,
    }
    table, body = struct.pack(">I", len(tags)), b""
    at = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, kind, space, connection) + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


# ── EXIF ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def exif_block(*, orientation=None, size=None):
    """A little EXIF block, written by Pillow: a maker, a place, a time, perhaps an orientation and a size."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8298] = "someone"
    if orientation:
        exif[0x0112] = orientation
    below = {0x9003: "2024:05:06 07:08:09"}
    if size:
        below[0xA002], below[0xA003] = size
    exif[0x8769], exif[0x8825] = below, {1: "N"}
    return exif.tobytes()
