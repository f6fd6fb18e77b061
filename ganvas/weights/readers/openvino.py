"""OpenVINO IR (.xml + .bin) of MobileStyleGAN: two networks, MappingNetwork and SynthesisNetwork, in one folder.

The .xml is a list of layers and edges, the .bin the bytes of its constants. Nothing is executed as a graph: constants
are found by their names, the unnamed ones (pointwise weights, noise maps, scales) by what they are connected to.
"""

from __future__ import annotations

import hashlib
import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ganvas.errors import BrokenWeights, UnknownWeights, UnsafeWeights
from ganvas.models.mobilestylegan import PLANES, MobileStyleGANConfig, MobileStyleGANGenerator
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.equalized import LRELU_SLOPE
from ganvas.weights.contents import FileContents

MAX_XML_BYTES = 16 << 20  # the published one has 0.4 MB
MAX_LAYERS = 20_000
DTYPES: dict[str, np.dtype] = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
W_AVG_SAMPLES = 10_000
HEADS_FILE = Path(__file__).parents[1] / "data" / "faces-heads.safetensors"  # made by tools/learn_faces_heads.py
SYNTHESIS, MAPPING = "SynthesisNetwork", "MappingNetwork"
MARKS = ("m.input.input", "m.layers.0.conv1.conv.weight_dw")  # constants that a MobileStyleGAN has


def fits(contents: FileContents) -> bool:
    """Whether the file is one of the two networks of a MobileStyleGAN."""
    if contents.container != "openvino":
        return False
    synthesis = _sibling(contents.path, SYNTHESIS)
    if not synthesis.is_file():
        return contents.path.stem == MAPPING
    text = _text(synthesis)
    return all(f'"{mark}"' in text for mark in MARKS)


def read(contents: FileContents, *, network: str = "G_ema") -> MobileStyleGANGenerator:
    """The generator of the folder.

    Args:
        contents: of a file that `fits`: either .xml; the other three files stand beside it.
        network: "G_ema" or "G", the same here.

    Raises:
        UnknownWeights: another graph than MobileStyleGAN's, or a discriminator is asked for.
        BrokenWeights: one of the four files is missing, cut short, or contradicts itself.
        UnsafeWeights: the .xml declares entities or is far too large.
    """
    if network == "D":
        raise UnknownWeights(
            f"{contents.path.name} contains a generator and no discriminator; load it without network='D'."
        )
    synthesis, mapping = Graph.open(_sibling(contents.path, SYNTHESIS)), Graph.open(_sibling(contents.path, MAPPING))
    state = {**_mapping_state(mapping), **_synthesis_state(synthesis)}
    learned, card = _learned_heads(state)
    heads = sorted({int(name.split(".")[1]) for name in learned if name.startswith("heads.")})
    net = MobileStyleGANGenerator(replace(_config_of(state), heads=tuple(heads), head_rank=card.get("rank", 16)))
    net.load_state_dict({"map.w_avg": net.map.w_avg, **state, **learned})
    net.facts |= {key: card[key] for key in ("licence",) if key in card}
    if not learned:
        _estimate_w_avg(net)
    return net.eval()


def weights_fingerprint(state: dict[str, Tensor]) -> str:
    """SHA-256 of what the files themselves hold: all weights but the learnt exits and the mean of w."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if name != "map.w_avg" and not name.startswith("heads."):
            digest.update(f"{name} {list(state[name].shape)}".encode())
            digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _learned_heads(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Early exits and the mean of w that ship with ganvas for one published file, and their card; else nothing."""
    if not HEADS_FILE.is_file():  # while they are being learnt
        return {}, {}
    with safe_open(HEADS_FILE, framework="pt") as file:
        card = json.loads(file.metadata()["card"])
        if card["weights"] != weights_fingerprint(state):
            return {}, {}
        names = {name: "map.w_avg" if name == "w_avg" else f"heads.{name}" for name in file.keys()}
        return {ours: file.get_tensor(name).float() for name, ours in names.items()}, card


@torch.no_grad()
def _estimate_w_avg(net: MobileStyleGANGenerator) -> None:
    """The file has no mean w: it is taken over the same z on every machine."""
    net.map.w_avg.copy_(net.map(latents_from_seeds([0], net.z_dim * W_AVG_SAMPLES).view(-1, net.z_dim)).mean(dim=0))


# ---------------------------------------------------------------------------------------------------------------------
# The graph


@dataclass
class OpenVINOLayer:
    """A node of the graph; `inputs` in the order of its ports."""

    name: str
    type: str
    data: dict[str, str]
    inputs: list[OpenVINOLayer] = field(default_factory=list)
    users: list[OpenVINOLayer] = field(default_factory=list)


class Graph:
    """The layers of one .xml in the order of the file, with the constants of its .bin."""

    def __init__(self, path: Path, layers: list[OpenVINOLayer], blob: np.ndarray):
        self.path, self.layers, self.blob = path, layers, blob
        self.by_name = {layer.name: layer for layer in layers}

    @classmethod
    def open(cls, path: Path) -> Graph:
        """Read an .xml and map its .bin."""
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file() or file.stat().st_size == 0:
                raise BrokenWeights(
                    f"a MobileStyleGAN is four files in one folder: {MAPPING} and {SYNTHESIS}, .xml and .bin each; "
                    f"{file.name} is missing or empty in {file.parent}."
                )
        blob = np.memmap(path.with_suffix(".bin"), dtype=np.uint8, mode="r")
        return cls(path, _layers(_root(path), path), blob)

    def of_type(self, kind: str) -> Iterator[OpenVINOLayer]:
        """Layers of a type, in the order of the file, which is the order of computation."""
        return (layer for layer in self.layers if layer.type == kind)

    def constant_by_name(self, name: str, *shape: int) -> Tensor:
        """The constant of this name, reshaped; −1 = any size."""
        if name not in self.by_name:
            raise UnknownWeights(f"{self.path.name} has no constant {name!r}, which a MobileStyleGAN has.")
        return self.constant_in_shape(self.by_name[name], *shape)

    def constant_in_shape(self, layer: OpenVINOLayer, *shape: int) -> Tensor:
        """A constant in this shape."""
        value = self.constant(layer)
        try:
            return value.reshape(shape)
        except RuntimeError as error:
            raise UnknownWeights(
                f"{self.path.name}: constant {layer.name!r} should have shape {list(shape)}, has {list(value.shape)}."
            ) from error

    def constant(self, layer: OpenVINOLayer) -> Tensor:
        """A constant, or one behind a reshape, as float32; checked against the .bin before anything is allocated."""
        while layer.type in ("Reshape", "Convert", "Unsqueeze") and layer.inputs:
            layer = layer.inputs[0]
        dtype = DTYPES.get(layer.data.get("element_type", ""))
        if layer.type != "Const" or dtype is None:
            raise UnknownWeights(f"{self.path.name}: layer {layer.name!r} ({layer.type}) is not a float constant.")
        shape = [_whole(part, self.path) for part in layer.data.get("shape", "").split(",") if part.strip()]
        offset, size = (_whole(layer.data.get(key, ""), self.path) for key in ("offset", "size"))
        if size != math.prod(shape) * dtype.itemsize or offset + size > len(self.blob):
            raise BrokenWeights(
                f"{self.path.stem}.bin has {len(self.blob):,} bytes, and constant {layer.name!r} of shape "
                f"{shape} should be {size:,} bytes from {offset:,} on: the file is truncated or belongs "
                "to another .xml."
            )
        values = self.blob[offset : offset + size].view(dtype).astype(np.float32)
        return torch.from_numpy(values).reshape(shape)


def _whole(text: str, path: Path) -> int:
    """A whole number from the file, 0 or more, short enough to be honest."""
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise BrokenWeights(f"{path.name}: expected a whole number, got {text[:40]!r}.")
    return int(text)


def _text(path: Path) -> str:
    """The .xml as text, refused before it is parsed when it could unfold into more than it is."""
    if path.stat().st_size > MAX_XML_BYTES:
        raise UnsafeWeights(f"{path.name} has {path.stat().st_size:,} bytes; the limit is {MAX_XML_BYTES:,}.")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BrokenWeights(f"{path.name} is not text in UTF-8, as an OpenVINO .xml is.") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnsafeWeights(
            f"{path.name} declares a document type or entities, which are not allowed in an OpenVINO .xml."
        )
    return text


def _root(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(_text(path))
    except (ElementTree.ParseError, ValueError) as error:
        raise BrokenWeights(f"{path.name} is not XML ({error}); download it again.") from error


def _layers(root: ElementTree.Element, path: Path) -> list[OpenVINOLayer]:
    """Layers with their connections; a layer that uses a later one is refused, so the order can be relied on."""
    elements = list(root.iterfind("layers/layer"))
    if not 0 < len(elements) <= MAX_LAYERS:
        raise BrokenWeights(f"{path.name} describes {len(elements):,} layers; expected 1 to {MAX_LAYERS:,}.")
    layers = {element.get("id", ""): _layer(element) for element in elements}
    place = {name: index for index, name in enumerate(layers)}
    for edge in sorted(root.iterfind("edges/edge"), key=lambda edge: _whole(edge.get("to-port", ""), path)):
        start, end = edge.get("from-layer", ""), edge.get("to-layer", "")
        if start not in layers or end not in layers or place[start] >= place[end]:
            raise BrokenWeights(f"{path.name} connects layer {start!r} to {end!r}, which is not after it.")
        layers[end].inputs.append(layers[start])
        layers[start].users.append(layers[end])
    return list(layers.values())


def _layer(element: ElementTree.Element) -> OpenVINOLayer:
    data = element.find("data")
    return OpenVINOLayer(element.get("name", ""), element.get("type", ""), {} if data is None else dict(data.attrib))


def _sibling(path: Path, stem: str) -> Path:
    folder = path if path.is_dir() else path.parent
    return folder / f"{stem}.xml"


# ---------------------------------------------------------------------------------------------------------------------
# The two networks


def _mapping_state(graph: Graph) -> dict[str, Tensor]:
    """Weights of the fully connected layers, in order."""
    state: dict[str, Tensor] = {}
    for index, product in enumerate(graph.of_type("MatMul")):
        weight = graph.constant(_operand(graph, product))
        if product.data.get("transpose_b", "false") != "true":
            weight = weight.T.contiguous()
        state[f"map.layers.{index}.weight"] = weight
        added = _only_user(graph, product, "Add")
        state[f"map.layers.{index}.bias"] = graph.constant_in_shape(_operand(graph, added), -1)
        _check_activation(graph, added)
    return state


def _check_activation(graph: Graph, added: OpenVINOLayer) -> None:
    """After the bias: leaky ReLU of slope 0.2 and a gain of √2. Another slope would be another network."""
    relu = _only_user(graph, added, "PReLU")
    gain = _only_user(graph, relu, "Multiply")
    slope_and_gain = (
        float(graph.constant_in_shape(relu.inputs[1], 1)),
        float(graph.constant_in_shape(_operand(graph, gain), 1)),
    )
    if not np.allclose(slope_and_gain, (LRELU_SLOPE, math.sqrt(2)), rtol=1e-3):
        raise UnknownWeights(
            f"{graph.path.name}: expected leaky ReLU 0.2 with gain √2, found slope and gain {slope_and_gain}."
        )


def _synthesis_state(graph: Graph) -> dict[str, Tensor]:
    """Weights by their own names, channels before an inverse wavelet brought into our order."""
    depth = 1 + max(int(name.split(".")[2]) for name in graph.by_name if _is_level(name))
    convolutions = dict(_convolutions(graph))
    const = graph.constant_by_name("m.input.input", 1, -1, 4, 4)[0]
    state = {"const": const, **_conv_state(graph, "m.conv1", "conv", convolutions, planes=True)}
    for level in range(depth):
        theirs, ours = f"m.layers.{level}", f"levels.{level}"
        weight, bias = _affine(graph, f"{theirs}.up.modulation")
        order = _plane_order(len(bias))
        state[f"{ours}.up.affine.weight"], state[f"{ours}.up.affine.bias"] = weight[order], bias[order]
        state |= _conv_state(graph, f"{theirs}.conv1", f"{ours}.conv1", convolutions, planes=False)
        state |= _conv_state(graph, f"{theirs}.conv2", f"{ours}.conv2", convolutions, planes=level < depth - 1)
    name = f"m.layers.{depth - 1}.to_img"
    weight, bias = graph.constant(_operand(graph, convolutions[name])), graph.constant_by_name(f"{name}.bias", -1)
    order = _plane_order(len(bias))
    state |= {"to_img.weight": weight[order], "to_img.bias": bias[order]}
    state["to_img.affine.weight"], state["to_img.affine.bias"] = _affine(graph, f"{name}.conv.modulation")
    return state


def _conv_state(
    graph: Graph, theirs: str, ours: str, convolutions: dict[str, OpenVINOLayer], *, planes: bool
) -> dict[str, Tensor]:
    """One modulated convolution; `planes`: its result goes into an inverse wavelet."""
    if theirs not in convolutions:
        raise UnknownWeights(f"{graph.path.name} has no convolution {theirs!r}, which a MobileStyleGAN has.")
    convolution = convolutions[theirs]
    weight, bias = graph.constant(_operand(graph, convolution)), graph.constant_by_name(f"{theirs}.bias", -1)
    if planes:
        order = _plane_order(len(bias))
        weight, bias = weight[order], bias[order]
    noise = graph.constant(_operand(graph, _only_user(graph, convolution, "Add")))
    state = {f"{ours}.weight": weight, f"{ours}.bias": bias, f"{ours}.noise": noise.reshape(noise.shape[-2:])}
    state[f"{ours}.affine.weight"], state[f"{ours}.affine.bias"] = _affine(graph, f"{theirs}.conv.modulation")
    if ours != "conv":
        state[f"{ours}.depthwise"] = graph.constant_by_name(f"{theirs}.conv.weight_dw", -1, 1, 3, 3)
    return state


def _convolutions(graph: Graph) -> Iterable[tuple[str, OpenVINOLayer]]:
    """Each dense convolution under the name of the bias that is added to it: the weights themselves have none."""
    for convolution in graph.of_type("Convolution"):
        layer = convolution
        for _ in range(2):  # noise and bias; the last one has a bias only
            layer = _only_user(graph, layer, "Add")
            name = _operand(graph, layer).name
            if name.startswith("m.") and name.endswith(".bias"):
                yield name.removesuffix(".bias"), convolution
                break


def _affine(graph: Graph, name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a style, with the scalar that the graph multiplies it with."""
    bias = graph.constant_by_name(f"{name}.bias", -1)
    weight = graph.constant_by_name(f"{name}.weight", len(bias), -1)
    product = graph.by_name[f"{name}.weight"].users[0]
    reshaped = _only_user(graph, _only_user(graph, product, "Add"), "Reshape")
    scaled = _only_user(graph, reshaped, "Multiply")
    scales = [other for other in scaled.inputs if other.type == "Const"]
    scale = float(graph.constant_in_shape(scales[0], 1)) if scales else 1.0
    return weight * scale, bias * scale


def _plane_order(channels: int) -> Tensor:
    """Where our channels stand in theirs: [mean planes | three details a plane] → one plane after the other."""
    means = channels // PLANES
    details = torch.arange(means, channels).view(means, PLANES - 1).T.reshape(-1)
    return torch.cat([torch.arange(means), details])


def _operand(graph: Graph, layer: OpenVINOLayer) -> OpenVINOLayer:
    """The input of a layer that is a constant, perhaps behind a reshape."""
    for other in layer.inputs:
        behind = other.inputs[0] if other.type in ("Reshape", "Convert", "Unsqueeze") and other.inputs else other
        if behind.type == "Const":
            return behind
    raise UnknownWeights(f"{graph.path.name}: layer {layer.name!r} ({layer.type}) has no constant operand.")


def _only_user(graph: Graph, layer: OpenVINOLayer, kind: str) -> OpenVINOLayer:
    users = [user for user in layer.users if user.type == kind]
    if len(users) != 1:
        raise UnknownWeights(
            f"{graph.path.name}: expected one {kind} after layer {layer.name!r}, found {[u.type for u in layer.users]}."
        )
    return users[0]


def _is_level(name: str) -> bool:
    parts = name.split(".")
    return parts[:2] == ["m", "layers"] and len(parts) > 3 and parts[2].isdecimal() and len(parts[2]) < 3


def _config_of(state: dict[str, Tensor]) -> MobileStyleGANConfig:
    """Sizes from shapes."""
    depth = sum(name.startswith("map.layers.") and name.endswith(".weight") for name in state)
    levels = sum(name.endswith(".conv2.weight") for name in state)
    return MobileStyleGANConfig(
        z_dim=state["map.layers.0.weight"].shape[1],
        w_dim=state["map.layers.0.weight"].shape[0],
        num_mapping_layers=depth,
        channels=(len(state["conv.bias"]), *(len(state[f"levels.{i}.conv2.bias"]) for i in range(levels))),
        img_channels=len(state["to_img.bias"]) // PLANES,
    )
