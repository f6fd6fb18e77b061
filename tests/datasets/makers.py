"""Folders and archives of pictures that the tests make on the spot."""

import io
import json
import zipfile

import numpy as np
from PIL import Image


def colours(number, *, width=24, height=24, channels=3):
    """A smooth picture, different for each number: uint8 [height, width, channels]."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    layers = [
        Image.fromarray(np.ascontiguousarray(coarse[..., i])).resize((width, height), Image.Resampling.BICUBIC)
        for i in range(channels)
    ]
    return np.stack([np.asarray(layer) for layer in layers], axis=-1)


def encoded(pixels, format="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[..., 0]).save(file, format, **options)
    return file.getvalue()


def put(folder, files):
    """{name: bytes} → a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pack(path, files, *, compression=zipfile.ZIP_STORED):
    """{name: bytes} → a zip."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def some(count, *, size=24):
    """{name: PNG bytes} of `count` pictures."""
    return {f"{i:03d}.png": encoded(colours(i, width=size, height=size)) for i in range(count)}


def listing(labels, **more):
    return json.dumps({"labels": labels, **more}).encode()
