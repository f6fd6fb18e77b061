""".pkl files of R3GAN: the same kind of snapshot as NVIDIA's, or plain objects of R3GAN's own classes.

Names → ours, where k counts the stages in the order in which the picture passes them and j their layers:

    MainLayers.k.Layers.j                     a block, or a transition (basis or resampling): a generator's stage
                                              begins with it, a discriminator's ends with it
    LinearLayer{1,2,3}, NonLinearity{1,2}     a block's convolutions, and the biases that follow the first two
    AggregationLayer, ExtractionLayer         to and from pictures
    EmbeddingLayer                            labels
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from ganvas.errors import UnknownWeights
from ganvas.models.protocol import Network
from ganvas.weights.contents import FileContents
from ganvas.weights.pickles.modules import (
    choose_network,
    compare,
    count_layers,
    network_names,
    options_of,
    taps,
    tensor_shape,
)
from ganvas.weights.pickles.records import Record
from ganvas.weights.readers.state_dict import add_facts, load_state_dict_checked


def fits(contents: FileContents) -> bool:
    """A network pickle, or a state dict with the names of one."""
    chosen = (choose_network(contents, network) for network in ("G_ema", "D"))
    return any(_kind(state) is not None for _, state, _ in filter(None, chosen))


def read(contents: FileContents, *, network: str = "G_ema") -> Network:
    """The network of a file that `fits`.

    Raises:
        UnknownWeights: the file has no such network, or one that is built differently.
        BrokenWeights: options and tensors contradict each other, or weights are not finite.
    """
    who = contents.path.name
    chosen = choose_network(contents, network)
    if chosen is None or _kind(chosen[1]) != ("D" if network == "D" else "G"):
        raise UnknownWeights(f"{who} has no network {network!r} of R3GAN; it has {network_names(contents)}.")
    label, state, record = chosen
    return add_facts((_r3gan_d if network == "D" else _r3gan)(state, record, who), format="R3GAN", network=label)


def _kind(state: Mapping[str, Tensor]) -> str | None:
    if any(re.fullmatch(r"(Model\.)?MainLayers\.0\.Layers\.0\.Basis", name) for name in state):
        return "G"
    if any(re.fullmatch(r"(Model\.)?ExtractionLayer\.Layer\.weight", name) for name in state):
        return "D"
    return None


def _r3gan(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    state = _bare(state)
    stages = count_layers(state, "MainLayers.{}.Layers.1.LinearLayer1.Layer.weight")
    widths, inner, groups, blocks = _r3gan_stages(state, range(stages), 1, who)
    w_dim = tensor_shape(state, "MainLayers.0.Layers.0.LinearLayer.weight", 2, who)[1]
    embedded, c_dim = (
        tensor_shape(state, "EmbeddingLayer.weight", 2, who) if "EmbeddingLayer.weight" in state else (0, 0)
    )
    fields = {
        "z_dim": w_dim - embedded,
        "c_dim": c_dim,
        "c_embed_dim": embedded or 64,
        "img_resolution": 4 << (stages - 1),
        "img_channels": tensor_shape(state, "AggregationLayer.Layer.weight", 4, who)[0],
        "widths": widths,
        "cardinalities": groups,
        "blocks": blocks,
        "expansion": _expansion(widths, inner, who),
        "resample_taps": taps(state.get("MainLayers.1.Layers.0.Resampler.Kernel")),
    }
    compare(options_of(record), fields, who)
    return load_state_dict_checked("r3gan", fields, _r3gan_names(state, stages, at_front=True), who=who)


def _r3gan_d(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    state = _bare(state)
    stages = count_layers(state, "MainLayers.{}.Layers.0.LinearLayer1.Layer.weight")
    widths, inner, groups, blocks = _r3gan_stages(state, range(stages)[::-1], 0, who)
    answers = tensor_shape(state, f"MainLayers.{stages - 1}.Layers.{blocks[0]}.LinearLayer.weight", 2, who)[0]
    c_dim = tensor_shape(state, "EmbeddingLayer.weight", 2, who)[1] if "EmbeddingLayer.weight" in state else 0
    fields = {
        "c_dim": c_dim,
        "c_embed_dim": answers if c_dim else 0,
        "img_resolution": 4 << (stages - 1),
        "img_channels": tensor_shape(state, "ExtractionLayer.Layer.weight", 4, who)[1],
        "widths": widths,
        "cardinalities": groups,
        "blocks": blocks,
        "expansion": _expansion(widths, inner, who),
        "resample_taps": taps(state.get(f"MainLayers.0.Layers.{blocks[-1]}.Resampler.Kernel")),
    }
    compare(options_of(record), fields, who)
    return load_state_dict_checked("r3gan", fields, _r3gan_names(state, stages, at_front=False), who=who, network="D")


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("Model."): tensor for name, tensor in state.items()}


def _r3gan_stages(
    state: Mapping[str, Tensor], stages: Iterable[int], first: int, who: str
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Width, width inside, groups and number of blocks of each stage, from 4 px up; `first` = its first block."""
    rows = []
    for stage in stages:
        layer = f"MainLayers.{stage}.Layers."
        inner, width = tensor_shape(state, f"{layer}{first}.LinearLayer1.Layer.weight", 4, who)[:2]
        grouped = tensor_shape(state, f"{layer}{first}.LinearLayer2.Layer.weight", 4, who)
        blocks = count_layers(state, layer + "{}.LinearLayer1.Layer.weight", start=first)
        rows.append((width, inner, max(grouped[0] // max(grouped[1], 1), 1), blocks))
    widths, insides, groupings, counts = zip(*rows, strict=True)
    return widths, insides, groupings, counts


def _expansion(widths: tuple[int, ...], inner: tuple[int, ...], who: str) -> int:
    if any(inside != widths_ * (inner[0] // widths[0]) for widths_, inside in zip(widths, inner, strict=True)):
        raise UnknownWeights(
            f"{who} has blocks of widths {widths} with inner widths {inner}; supported is a single expansion factor."
        )
    return inner[0] // widths[0]


def _r3gan_names(state: Mapping[str, Tensor], stages: int, *, at_front: bool) -> dict[str, Tensor]:
    """Their names → ours. In the generator a stage's transition comes before its blocks, in the discriminator after."""
    renamed = {}
    for name, tensor in state.items():
        new = name
        if match := re.fullmatch(r"MainLayers\.(\d+)\.Layers\.(\d+)\.(.+)", name):
            last = count_layers(state, f"MainLayers.{match[1]}.Layers." + "{}.LinearLayer1.Layer.weight")
            place = int(match[2]) - 1 if at_front else int(match[2])
            transition = place == (-1 if at_front else last)
            part = ("enter" if at_front else "leave") if transition else f"block{place}"
            new = f"stages.{match[1]}.{part}.{_R3GAN_PARTS.get(match[3], match[3])}"
        elif name in _R3GAN_ENDS:
            new = _R3GAN_ENDS[name]
        if not new.endswith("Resampler.Kernel"):  # its taps are in the config
            renamed[new] = tensor
    return renamed


_R3GAN_PARTS = {
    "Basis": "basis",
    "Basis.weight": "basis.weight",
    "LinearLayer.weight": "linear.weight",
    "LinearLayer.Layer.weight": "mix.weight",
    "LinearLayer1.Layer.weight": "expand.weight",
    "NonLinearity1.Bias": "expand.bias",
    "LinearLayer2.Layer.weight": "grouped.weight",
    "NonLinearity2.Bias": "grouped.bias",
    "LinearLayer3.Layer.weight": "project.weight",
}
_R3GAN_ENDS = {
    "AggregationLayer.Layer.weight": "to_img.weight",
    "ExtractionLayer.Layer.weight": "from_img.weight",
    "EmbeddingLayer.weight": "embed.weight",
}
