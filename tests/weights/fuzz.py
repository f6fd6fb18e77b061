"""Thousands of damaged weights files, read one after the other. Run by test_fuzz.py in a process of its own:

    python -m tests.weights.fuzz FOLDER FIRST COUNT      prints a line of JSON with what happened

A case is its number: the same number gives the same file. `one(folder, number)` repeats one.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import struct
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ganvas
from ganvas.errors import WeightsError
from ganvas.weights.readers.directions import read_directions, read_latents
from tests.weights import foreign_img2img as foreign
from tests.weights.foreign import Part, write_nvidia, write_whole_modules
from tests.weights.readers.test_ncnn import write_rrdb
from tests.weights.readers.test_nvidia import SG3, as_part, options_of, r3gan_part
from tests.weights.readers.test_openvino import random_weights, write_mapping, write_synthesis
from tests.weights.readers.test_rosinality import port_discriminator, port_generator

NASTY = [
    0,
    1,
    -1,
    127,
    128,
    255,
    2**15,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**62,
    2**63 - 1,
    -(2**31),
    -(2**63),
]
WORDS = [
    b"os",
    b"system",
    b"builtins",
    b"eval",
    b"torch._utils",
    b"G_ema",
    b"params",
    b"w",
    b"-1",
    b"1e400",
    b"null",
    b"{",
    b"[",
]


def seeds(folder: Path) -> list[Path]:
    """One small honest file of every layout."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    G = ganvas.build(
        "stylegan2", img_resolution=8, channel_base=64, channel_max=4, z_dim=4, w_dim=4, num_mapping_layers=1
    )
    D = ganvas.build("stylegan2", network="D", img_resolution=8, channel_base=64, channel_max=4)
    ganvas.save(G, folder / "ours")
    ganvas.save(ganvas.build("srvgg", num_feat=4, num_conv=1), folder / "ours-srvgg")
    write_nvidia(folder / "sg2.pkl", {"G_ema": as_part(G, **options_of(G)), "D": Part("D").fill(D.state_dict())})
    write_nvidia(folder / "sg2-protocol2.pkl", {"G_ema": as_part(G)}, protocol=2)
    G3 = ganvas.build("stylegan3", **{**SG3, "num_critical": 2})
    write_nvidia(folder / "sg3.pkl", {"G_ema": Part("Generator").fill(G3.state_dict())})
    R = ganvas.build("r3gan", img_resolution=8, widths=(16, 8), cardinalities=(2, 1), blocks=(1, 1), z_dim=4)
    write_whole_modules(folder / "r3.pkl", {"G_ema": r3gan_part(R, True)}, "R3GAN.Networks")
    torch.save({"g_ema": port_generator(mapping_layers=1)}, folder / "port.pt")
    torch.save({"g_ema": port_generator(), "d": port_discriminator()}, folder / "port-old.pt",
               _use_new_zipfile_serialization=False)  # fmt: skip
    inside = {f"decoder.{name}": tensor for name, tensor in port_generator(mapping_layers=1).items()}
    torch.save({"state_dict": inside, "latent_avg": torch.randn(6, 12)}, folder / "psp.pt")
    torch.save({"params_ema": foreign.esrgan("new", blocks=1, width=4, grow=2, steps=1)}, folder / "rrdb.pth")
    torch.save(foreign.esrgan("old", blocks=1, width=4, grow=2), folder / "esrgan-old.pth")
    torch.save({"params": foreign.srvgg(width=4, inner=1)}, folder / "srvgg.pth")
    torch.save(foreign.resnet(blocks=1, ngf=2).state_dict(), folder / "latest_net_G.pth")
    torch.save(foreign.unet(downs=5, ngf=2).state_dict(), folder / "unet.pth", _use_new_zipfile_serialization=False)
    np.save(folder / "smile_boundary.npy", np.ones((1, 16)))
    np.save(folder / "object.npy", np.array({"boundary": np.ones((1, 2, 4)), "meta_data": {"manipulate_layers": [1]}}))
    np.savez_compressed(folder / "pca.npz", lat_comp=np.ones((2, 1, 4)), lat_stdev=np.ones(2), lat_mean=np.ones((1, 4)))
    hair = {"lat_comp": np.ones((1, 4)), "lat_stdev": np.float32(2), "edit_start": 1, "edit_end": 3, "name": "x"}
    (folder / "hair.pkl").write_bytes(pickle.dumps(hair, 2))
    for pair in ("openvino", "ncnn"):
        (folder / pair).mkdir(exist_ok=True)
    mapping, synthesis = random_weights()
    write_mapping(folder / "openvino", mapping)
    write_synthesis(folder / "openvino", synthesis)
    write_rrdb(folder / "ncnn", width=4, grow=2, steps=1)
    alone = sorted(path for path in folder.iterdir() if path.is_file())
    return alone + sorted(path for pair in ("openvino", "ncnn") for path in (folder / pair).glob("*[!n]"))


def flip_bits(data: bytearray, pick: random.Random) -> bytearray:
    for _ in range(pick.choice([1, 1, 2, 8, 64])):
        data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
    return data


def flip_early_bits(data: bytearray, pick: random.Random) -> bytearray:
    """Structure stands mostly in front, numbers behind."""
    for _ in range(pick.choice([1, 2, 4])):
        data[pick.randrange(min(len(data), 600))] ^= 1 << pick.randrange(8)
    return data


def overwrite(data: bytearray, pick: random.Random) -> bytearray:
    at, length = pick.randrange(len(data)), pick.choice([1, 4, 16, 256])
    data[at : at + length] = pick.randbytes(length)
    return data


def cut(data: bytearray, pick: random.Random) -> bytearray:
    return data[: pick.randrange(len(data))]


def drop(data: bytearray, pick: random.Random) -> bytearray:
    at = pick.randrange(len(data))
    del data[at : at + pick.choice([1, 2, 8, 100])]
    return data


def repeat(data: bytearray, pick: random.Random) -> bytearray:
    at, length = pick.randrange(len(data)), pick.choice([1, 8, 64, 1000])
    return data[:at] + data[at : at + length] * pick.choice([2, 3, 50]) + data[at + length :]


def insert(data: bytearray, pick: random.Random) -> bytearray:
    at = pick.randrange(len(data))
    return data[:at] + pick.randbytes(pick.choice([1, 4, 64])) + data[at:]


def nasty_number(data: bytearray, pick: random.Random) -> bytearray:
    at, layout = pick.randrange(len(data)), pick.choice(["<i", "<q", "<H", ">i"])
    raw = struct.pack("<q", pick.choice(NASTY))[: struct.calcsize(layout)]
    data[at : at + len(raw)] = raw if layout[0] == "<" else raw[::-1]
    return data


def nasty_digits(data: bytearray, pick: random.Random) -> bytearray:
    """Another number where one stands as text: sizes in names, JSON, XML."""
    found = list(re.finditer(rb"\d{1,12}", bytes(data)))
    if not found:
        return data
    match = pick.choice(found)
    return data[: match.start()] + str(pick.choice(NASTY)).encode() + data[match.end() :]


def swap_word(data: bytearray, pick: random.Random) -> bytearray:
    found = list(re.finditer(rb"[A-Za-z_][A-Za-z_.]{1,40}", bytes(data)))
    if len(found) < 2:
        return data
    match, other = pick.sample(found, 2)
    word = pick.choice([other[0], pick.choice(WORDS)])
    if pick.random() < 0.7:  # of the same length, so that what counts its letters still agrees
        word = word[: len(match[0])].ljust(len(match[0]), b"x")
    return data[: match.start()] + word + data[match.end() :]


MUTATIONS: list[Callable[[bytearray, random.Random], bytearray]] = [
    flip_bits, flip_early_bits, overwrite, cut, drop, repeat, insert, nasty_number, nasty_digits, swap_word,
]  # fmt: skip


def mutate(data: bytes, pick: random.Random) -> bytes:
    for _ in range(pick.choice([1, 1, 1, 2, 4])):
        data = bytes(pick.choice(MUTATIONS)(bytearray(data or b"\0"), pick))
    return data


def mutate_inside_zip(data: bytes, pick: random.Random) -> bytes:
    """Damage one member and pack again: the checksums then agree, and what reads the member must notice."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    likely = [k for k, (info, _) in enumerate(members) if info.filename.endswith((".pkl", ".npy"))]
    chosen = pick.choice(likely) if likely and pick.random() < 0.8 else pick.randrange(len(members))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for k, (info, content) in enumerate(members):
            archive.writestr(info.filename, mutate(content, pick) if k == chosen else content)
    return packed.getvalue()


def damage(path: Path, number: int, pick: random.Random, folder: Path) -> Path:
    """A damaged copy of an honest file, its companions beside it."""
    target = folder / f"case{path.suffix}"
    data = path.read_bytes()
    if path.suffix in (".xml", ".param"):
        target = folder / path.name
        for companion in path.parent.iterdir():
            whole = companion.read_bytes()
            bent = companion.suffix == ".bin" and pick.random() < 0.2
            (folder / companion.name).write_bytes(mutate(whole, pick) if bent else whole)
    inside = zipfile.is_zipfile(path) and pick.random() < 0.6
    target.write_bytes(mutate_inside_zip(data, pick) if inside else mutate(data, pick))
    return target


def one(folder: Path, number: int, files: list[Path]) -> tuple[str, float]:
    """(what happened to case `number`, CPU seconds): "read", a WeightsError's name, or another error's traceback."""
    pick = random.Random(number)
    path = damage(files[number % len(files)], number, pick, folder)
    network = pick.choice(["G_ema", "G_ema", "D"])
    started = time.process_time()
    try:
        ganvas.load(path, network=network)
        outcome = "read"
    except WeightsError as error:
        outcome = type(error).__name__
    except BaseException:
        outcome = traceback.format_exc()
    if path.suffix in (".npy", ".npz", ".pkl", ".pt"):
        for read in (read_directions, read_latents):
            try:
                read(path)
            except WeightsError:
                pass
            except BaseException:
                outcome = traceback.format_exc()
    return outcome, time.process_time() - started


def peak_mb() -> float:
    """The most memory that this process has had."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def examine(folder: Path, first: int, count: int) -> dict[str, Any]:
    """What happened to `count` cases: outcomes, the wrong ones, the slowest, and memory beyond what there was."""
    before = peak_mb()
    warnings.simplefilter("ignore")
    files = seeds(folder / "seeds")
    for path in files:  # honest files are read, or refused in words where they hold no network
        try:
            ganvas.load(path)
        except WeightsError:
            assert path.suffix in (".npy", ".npz") or path.name == "hair.pkl", path
    outcomes: dict[str, int] = {}
    wrong, slowest = [], (0.0, -1)
    for number in range(first, first + count):
        outcome, seconds = one(folder, number, files)
        kind = outcome if "\n" not in outcome else "something else"
        outcomes[kind] = outcomes.get(kind, 0) + 1
        if kind == "something else":
            wrong.append((number, files[number % len(files)].name, outcome[-2000:]))
        slowest = max(slowest, (seconds, number))
    return {"outcomes": outcomes, "wrong": wrong[:5], "slowest": slowest, "taken_mb": peak_mb() - before}


if __name__ == "__main__":
    print(json.dumps(examine(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
