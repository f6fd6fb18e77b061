"""A tiny MobileStyleGAN, written as OpenVINO files by a writer of our own and computed by a slow definition of it."""

import itertools
import math
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BrokenWeights, UnknownWeights, UnsafeWeights, WeightsError
from ganvas.weights.contents import FileContents
from ganvas.weights.load import load
from ganvas.weights.open_file import open_file
from ganvas.weights.readers import openvino

Z, W = 6, 8
CHANNELS = (8, 8, 4)  # at 4, 8, 16 px
SCALE = 0.37  # the scalar that the graph multiplies a style with


class Writer:
    """Layers and edges as the published files have them: constants first, then what uses them."""

    def __init__(self, parameter, shape):
        self.layers, self.edges, self.blob = [], [], b""
        self.input = self.add("Parameter", parameter, data={"shape": f"1, {shape}", "element_type": "f32"})

    def add(self, kind, name, *inputs, data=None):
        index = len(self.layers)
        fields = "".join(f" {key}={quoteattr(str(value))}" for key, value in (data or {}).items())
        self.layers.append(f'<layer id="{index}" name={quoteattr(name)} type="{kind}"><data{fields}/></layer>')
        for port, other in enumerate(inputs):
            self.edges.append(f'<edge from-layer="{other}" from-port="0" to-layer="{index}" to-port="{port}"/>')
        return index

    def const(self, name, value):
        value = np.asarray(value, dtype="<f4")
        data = {
            "element_type": "f32",
            "shape": ", ".join(map(str, value.shape)),
            "offset": len(self.blob),
            "size": value.nbytes,
        }
        self.blob += value.tobytes() + b"\0" * 4  # a gap, as other constants would leave
        return self.add("Const", name, data=data)

    def save(self, folder, name):
        xml = f'<?xml version="1.0" ?><net name="{name}" version="10"><layers>{"".join(self.layers)}</layers>'
        xml += f"<edges>{''.join(self.edges)}</edges></net>"
        (folder / f"{name}.xml").write_text(xml, encoding="utf-8")
        (folder / f"{name}.bin").write_bytes(self.blob)


def write_mapping(folder, weights):
    writer = Writer("var", Z)
    x = writer.input
    for i, (weight, bias) in enumerate(weights):
        product = writer.add("MatMul", f"MatMul_{i}", x, writer.const(f"17{i}", weight), data={"transpose_b": "true"})
        reshaped = writer.add("Reshape", f"Reshape_{i}", writer.const(f"18{i}", bias))
        added = writer.add("Add", f"Add_{i}", product, reshaped)
        relu = writer.add("PReLU", f"LeakyRelu_{i}", added, writer.const(f"slope{i}", [0.2]))
        x = writer.add("Multiply", f"Mul_{i}", relu, writer.const(f"gain{i}", [[math.sqrt(2)]]))
    writer.save(folder, "MappingNetwork")


def write_synthesis(folder, t):
    """`t`: their names → tensors; pointwise weights under `<name>.pw`, noise under `<name>.noise`."""
    writer = Writer("style", W)

    def style(name, scaled):
        product = writer.add(
            "MatMul", f"{name}.product", writer.input, writer.const(f"{name}.weight", t[f"{name}.weight"])
        )
        added = writer.add("Add", f"{name}.sum", product, writer.const(f"{name}.bias", t[f"{name}.bias"][None]))
        reshaped = writer.add("Reshape", f"{name}.reshape", added)
        if not scaled:
            return reshaped
        return writer.add("Multiply", f"{name}.scaled", reshaped, writer.const(f"{name}.s", [[[[SCALE]]]]))

    styles = {}
    for name in [n.removesuffix(".weight") for n in t if n.endswith("modulation.weight")][::-1]:
        styles[name] = style(name, scaled=not name.endswith("up.modulation"))  # in reverse, as published

    x = writer.const("m.input.input", t["m.input.input"])
    for name in [n.removesuffix(".pw") for n in t if n.endswith(".pw")]:
        up = name.replace("conv1", "up.modulation")
        if up in styles:  # stands for the split and the transposed convolutions of the wavelet
            x = writer.add("Multiply", f"{name}.upmul", styles[up], x)
            x = writer.add("GroupConvolutionBackpropData", f"{name}.idwt", x)
        x = writer.add("Multiply", f"{name}.mul", styles[f"{name}.conv.modulation"], x)
        if f"{name}.conv.weight_dw" in t:
            depthwise = writer.const(f"{name}.conv.weight_dw", t[f"{name}.conv.weight_dw"][:, None])
            x = writer.add("GroupConvolution", f"{name}.dw", x, depthwise)
        x = writer.add("Convolution", f"{name}.pwconv", x, writer.const(f"Mul_{name}_copy", t[f"{name}.pw"]))
        if f"{name}.noise" in t:
            x = writer.add("Add", f"{name}.addn", x, writer.const(f"n{name}", t[f"{name}.noise"]))
        x = writer.add("Add", f"{name}.addb", x, writer.const(f"{name}.bias", t[f"{name}.bias"][None, :, None, None]))
    writer.save(folder, "SynthesisNetwork")


def random_weights():
    random = torch.Generator().manual_seed(0)

    def r(*shape):
        return torch.randn(*shape, generator=random)

    mapping = [(r(W, Z) / 2, r(W)), (r(W, W) / 2, r(W))]
    t = {"m.input.input": r(1, CHANNELS[0], 4, 4)}

    def conv(name, inputs, outputs, px, depthwise=True):
        t[f"{name}.conv.modulation.weight"], t[f"{name}.conv.modulation.bias"] = r(inputs, W) / 3, 1 + r(inputs) / 3
        if depthwise:
            t[f"{name}.conv.weight_dw"] = r(inputs, 1, 3, 3)
        taps = 1 if depthwise or px is None else 3
        t[f"{name}.pw"], t[f"{name}.bias"] = r(outputs, inputs, taps, taps) / 3, r(outputs)
        if px:
            t[f"{name}.noise"] = r(1, 1, px, px)

    conv("m.conv1", CHANNELS[0], CHANNELS[0], 4, depthwise=False)
    for i, (inputs, outputs) in enumerate(itertools.pairwise(CHANNELS)):
        up = f"m.layers.{i}.up.modulation"
        t[f"{up}.weight"], t[f"{up}.bias"] = r(inputs, W) / 3, 1 + r(inputs) / 3
        conv(f"m.layers.{i}.conv1", inputs // 4, outputs, 8 << i)
        conv(f"m.layers.{i}.conv2", outputs, outputs, 8 << i)
    conv(f"m.layers.{len(CHANNELS) - 2}.to_img", CHANNELS[-1], 12, None, depthwise=False)
    return mapping, t


def slow_mapping(mapping, z):
    x = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for weight, bias in mapping:
        x = F.leaky_relu(x @ weight.T + bias, 0.2) * math.sqrt(2)
    return x


def slow_inverse_wavelet(x):
    """Channels: C/4 means, then three details a plane; see ops/wavelet.py for the signs."""
    n, channels, h, w = x.shape
    mean, detail = x[:, : channels // 4], x[:, channels // 4 :].reshape(n, channels // 4, 3, h, w)
    b, c, d = detail.unbind(2)
    img = torch.zeros(n, channels // 4, 2 * h, 2 * w)
    img[:, :, ::2, ::2], img[:, :, ::2, 1::2] = (mean + b + c + d) / 2, (mean + b - c - d) / 2
    img[:, :, 1::2, ::2], img[:, :, 1::2, 1::2] = (mean - b + c - d) / 2, (mean - b - c + d) / 2
    return img


def slow_synthesis(t, ws):
    """The published graph, one row of ws after the other."""
    rows = iter(ws.unbind(1))

    def style(name, scale=SCALE):
        return ((next(rows) @ t[f"{name}.weight"].T + t[f"{name}.bias"]) * scale)[:, :, None, None]

    def conv(x, name):
        x = x * style(f"{name}.conv.modulation")
        if f"{name}.conv.weight_dw" in t:
            x = F.conv2d(x, t[f"{name}.conv.weight_dw"], padding=1, groups=x.shape[1])
        weight = t[f"{name}.pw"]
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if f"{name}.noise" not in t:
            return x + t[f"{name}.bias"][:, None, None]
        return F.leaky_relu(x + t[f"{name}.noise"] + t[f"{name}.bias"][:, None, None], 0.2)

    x = conv(t["m.input.input"].expand(len(ws), -1, -1, -1), "m.conv1")
    for i in range(len(CHANNELS) - 1):
        x = slow_inverse_wavelet(x * style(f"m.layers.{i}.up.modulation", 1))
        x = conv(conv(x, f"m.layers.{i}.conv1"), f"m.layers.{i}.conv2")
    return slow_inverse_wavelet(conv(x, f"m.layers.{len(CHANNELS) - 2}.to_img"))


@pytest.fixture
def model(tmp_path):
    """(folder, weights): the four files."""
    mapping, t = random_weights()
    write_mapping(tmp_path, mapping)
    write_synthesis(tmp_path, t)
    return tmp_path, mapping, t


@torch.no_grad()
def test_the_generator_computes_what_the_graph_says(model):
    folder, mapping, t = model
    G = load(folder)
    assert (G.family, G.img_resolution, G.num_ws, G.z_dim, G.w_dim) == ("mobilestylegan", 32, 8, Z, W)
    z = torch.randn(3, Z)
    assert torch.allclose(G.mapping(z)[:, 0], slow_mapping(mapping, z), atol=1e-5)
    ws = torch.randn(3, G.num_ws, W)
    img = slow_synthesis(t, ws)
    assert torch.allclose(G.synthesis(ws), img, atol=1e-4 * float(img.abs().max()))
    assert torch.allclose(G.synthesis(ws[:1]), img[:1], atol=1e-4 * float(img.abs().max()))


@pytest.mark.parametrize(
    "name", ["MappingNetwork.xml", "MappingNetwork.bin", "SynthesisNetwork.xml", "SynthesisNetwork.bin"]
)
def test_any_of_the_four_files_opens_it(model, name):
    folder = model[0]
    assert openvino.fits(open_file(folder / name))
    assert torch.equal(load(folder / name).const, load(folder).const)


@torch.no_grad()
def test_the_mean_latent_is_estimated_and_the_same_each_time(model):
    folder, mapping, _ = model
    G = load(folder)
    ws = slow_mapping(mapping, torch.randn(50_000, Z, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(G.w_avg, ws.mean(dim=0), atol=float(ws.std() / 20))
    assert torch.equal(load(folder).w_avg, G.w_avg)


def test_there_is_no_discriminator(model):
    with pytest.raises(UnknownWeights, match="discriminator"):
        load(model[0], network="D")


def test_another_openvino_model_is_not_taken(tmp_path):
    writer = Writer("data", 3)
    writer.const("fc.weight", [1.0])
    writer.save(tmp_path, "Classifier")
    assert not openvino.fits(open_file(tmp_path / "Classifier.xml"))
    with pytest.raises(UnknownWeights):
        load(tmp_path / "Classifier.xml")
    assert not openvino.fits(FileContents(tmp_path / "Classifier.xml", "torch", {}))


@pytest.mark.parametrize("missing", ["MappingNetwork.xml", "MappingNetwork.bin", "SynthesisNetwork.bin"])
def test_a_missing_file_is_named(model, missing):
    folder = model[0]
    (folder / missing).unlink()
    with pytest.raises(BrokenWeights, match=missing):
        load(folder / "SynthesisNetwork.xml")


def test_a_short_bin_is_noticed_before_anything_is_read(model):
    folder = model[0]
    file = folder / "SynthesisNetwork.bin"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(BrokenWeights, match="truncated"):
        load(folder)


BOMB = '<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('<?xml version="1.0" ?>', '<?xml version="1.0" ?>' + BOMB, UnsafeWeights),
        ('<?xml version="1.0" ?>', '<?xml version="1.0" ?><!DOCTYPE net SYSTEM "file:///etc/passwd">', UnsafeWeights),
        ("</net>", "", BrokenWeights),
        ('shape="1, 8, 4, 4"', 'shape="1, 8, 4, 4000000000"', BrokenWeights),
        ('shape="1, 8, 4, 4"', 'shape="1, 8, 4, -4"', BrokenWeights),
        ('element_type="f32" shape="1, 8, 4, 4"', 'element_type="i64" shape="1, 8, 4, 4"', UnknownWeights),
        ('to-port="1"', 'to-port="one"', BrokenWeights),
        ('from-layer="0"', 'from-layer="99999"', BrokenWeights),
        ("m.layers.1.conv2.conv.modulation.weight", "m.layers.1.other", UnknownWeights),
        ('type="Convolution"', 'type="Deconvolution"', UnknownWeights),
    ],
)
def test_what_does_not_fit_is_refused_in_words(model, old, new, error):
    file = model[0] / "SynthesisNetwork.xml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(error):
        load(file)


def test_a_bomb_in_another_encoding_is_refused(model):
    file = model[0] / "SynthesisNetwork.xml"
    text = file.read_text(encoding="utf-8").replace("?>", ' encoding="utf-16"?>' + BOMB, 1)
    file.write_bytes(text.encode("utf-16"))
    with pytest.raises(WeightsError):
        load(file)


def test_a_huge_description_is_not_parsed(model, monkeypatch):
    monkeypatch.setattr(openvino, "MAX_XML_BYTES", 1000)
    with pytest.raises(UnsafeWeights, match="the limit is"):
        load(model[0])


def test_another_activation_is_another_network(model):
    folder, _mapping, _ = model
    file = folder / "MappingNetwork.xml"
    blob = bytearray((folder / "MappingNetwork.bin").read_bytes())
    index = blob.find(np.float32(0.2).tobytes())
    blob[index : index + 4] = np.float32(0.01).tobytes()
    (folder / "MappingNetwork.bin").write_bytes(bytes(blob))
    with pytest.raises(UnknownWeights, match="slope"):
        load(file)


@pytest.mark.network
@torch.no_grad()
def test_the_published_faces():
    """Compared once with OpenVINO 2026.4 on the same file: the largest difference of four pictures was 7e-4."""
    G = load("faces")
    assert sum(p.numel() for p in G.parameters()) > 9_000_000
    img = G(torch.from_numpy(np.random.RandomState(0).randn(1, 512)).float(), truncation_psi=0.7)
    assert img.shape == (1, 3, 1024, 1024)
    assert 0.9 < float(img.abs().max()) < 2
