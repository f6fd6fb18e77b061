"""Two hundred damaged files: each gives a GanvasError or a picture; no crash, no other error, no gigabyte of memory."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPT = """
import collections, json, random, resource, sys
import torch
torch.set_num_threads(1)
from ganvas.errors import GanvasError
from ganvas.images.files import read_image
from tests.images.test_broken_files import damaged, whole_files

def memory_mib():
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 1024 if sys.platform != "darwin" else kib / 2**20

files = whole_files()
for name, data in files.items():
    assert read_image(data).size == (40, 30), name
before, seen, wrong = memory_mib(), collections.Counter(), []
chance = random.Random(2)
for index in range(int(sys.argv[1])):
    name = sorted(files)[index % len(files)]
    broken = damaged(files[name], chance)
    try:
        photo = read_image(broken)
        assert photo.img.isfinite().all() and photo.img.abs().max() <= 1
        seen["picture"] += 1
    except GanvasError as error:
        assert "the picture" in str(error)
        seen["error"] += 1
    except BaseException as error:
        wrong.append(f"{index} {name}: {error!r}")
print(json.dumps({"seen": seen, "wrong": wrong, "grown_mib": memory_mib() - before}))
"""


def whole_files():
    """A file of every kind that is read, 40 x 30 pixels, with what can hang on it."""
    import torch
    from PIL import Image

    from ganvas.images.decode import HAS_AVIF
    from ganvas.images.encode import encode_image
    from ganvas.images.photo import Photo
    from tests.images.makers import cmyk_profile, exif_block, picture, rgb_profile, saved, slow_png, slow_tiff, wave

    rich = Photo(
        img=torch.from_numpy(wave(30, 40, 3)).permute(2, 0, 1)[None] / 127.5 - 1,
        exif=exif_block()[6:],
        icc_profile=rgb_profile(),
        text={"Author": "x", "Titel": "日本"},
        dpi=(300, 300),
        recipe="{}",
    )
    grey, colour, clear = (picture(wave(30, 40, channels)) for channels in (1, 3, 4))
    inks = Image.frombytes("CMYK", (40, 30), wave(30, 40, 4).tobytes())
    made = {f"rich {format}": encode_image(rich, format) for format in ("JPEG", "PNG", "WEBP", "TIFF")}
    if HAS_AVIF:
        made["rich AVIF"] = encode_image(rich, "AVIF")
    for format in ("JPEG", "PNG", "TIFF", "BMP", "GIF"):
        made[f"grey {format}"] = saved(grey, format)
    for format in ("PNG", "WEBP", "TIFF", "GIF"):
        made[f"clear {format}"] = saved(clear, format)
    for format in ("PNG", "BMP", "GIF", "TIFF"):
        made[f"palette {format}"] = saved(colour.quantize(16), format)
    for format in ("JPEG", "TIFF"):
        made[f"inks {format}"] = saved(inks, format, icc_profile=cmyk_profile())
    for compression in ("tiff_lzw", "jpeg", "packbits"):
        made[f"TIFF {compression}"] = saved(colour, "TIFF", compression=compression)
    made["TIFF group4"] = saved(grey.convert("1"), "TIFF", compression="group4")
    made["JPEG progressive"] = saved(colour, "JPEG", progressive=True)
    made["WEBP lossless"] = saved(clear, "WEBP", lossless=True)
    for channels in (1, 2, 3, 4):
        wide = wave(30, 40, channels, bits=16)
        made[f"PNG16 {channels}"] = slow_png(wide, interlaced=channels % 2 == 0)
        made[f"TIFF16 {channels}"] = slow_tiff(wide, compression=8, predictor=2, order="<>"[channels % 2])
        made[f"TIFF16 LZW {channels}"] = slow_tiff(wide, compression=5, tile=(16, 16), planar=1 + channels % 2)
    return made


def damaged(data, chance):
    """Cut short, a part cut out, or some bytes (often of the header) or a whole number replaced."""
    kind = chance.random()
    if kind < 0.25:
        return data[: chance.randrange(len(data))] or b"\0"
    if kind < 0.35:
        a, b = sorted(chance.randrange(len(data)) for _ in range(2))
        return data[:a] + data[b:]
    broken = bytearray(data)
    if kind < 0.45:
        at = chance.randrange(min(len(data), 400) - 4)
        broken[at : at + 4] = chance.choice([0, 1, 20_000, 65_535, 2**31 - 1, 2**32 - 1]).to_bytes(4, "little")
    reach = chance.choice([32, 64, 200, len(data)])
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        broken[chance.randrange(min(reach, len(data)))] = chance.choice([0, 127, 128, 255, chance.randrange(256)])
    return bytes(broken)


def test_two_hundred_damaged_files():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, "240"],
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
        timeout=120,
    )
    assert done.returncode == 0, f"the process died: {done.returncode}\n{done.stderr[-2000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["wrong"] == []
    assert result["grown_mib"] < 1024
    assert result["seen"]["error"] > 50  # the damage is real …
    assert result["seen"]["picture"] > 20  # … and not everything is refused
