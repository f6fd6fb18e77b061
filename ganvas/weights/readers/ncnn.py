"""ncnn pairs (.param + .bin) of Real-ESRGAN upscalers: RRDBNet and SRVGGNetCompact.

The .param is a text that lists layers in the order of their weights; the .bin is those weights without names. The text
is taken as a claim: its graph is compared, layer by layer, with the graph of the network it is supposed to be, every
size is compared with the length of the .bin before anything is read, and the .bin must end exactly where the last
layer's weights do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import BadConfig, BrokenWeights, UnknownWeights, WeightsError
from ganvas.models.rrdbnet import RESIDUAL_SCALE, UPSAMPLE_FACTORS, RRDBConfig, RRDBNet
from ganvas.models.srvgg import SRVGG, SRVGGConfig
from ganvas.weights.contents import FileContents
from ganvas.weights.readers.key_map import with_facts
from ganvas.weights.readers.state_dict import load_state_dict_checked

MAGIC = "7767517"
MAX_PARAM_BYTES = 4 << 20  # RealESRGAN_x4plus, with its 999 layers, takes 116 KB
FP16_TAG, INT8_TAG, FP32_TAGS = 0x01306B47, 0x000D4B38, (0, 0x0002C056)
NEAREST = 1
_RESIZES = {1: "nearest", 2: "bilinear", 3: "bicubic"}
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{0,12})?(e[+-]?\d{1,3})?")
Term = tuple[float, int]  # coefficient, formula


# --------------------------------------------------------------------------------------------------- the text


@dataclass(frozen=True)
class NcnnLayer:
    """One line of a .param."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: dict[int, float | list[float]]

    def number(self, key: int, default: float = 0) -> float:
        """A scalar option."""
        value = self.options.get(key, default)
        if isinstance(value, list):
            raise UnknownWeights(f"layer {self.name} has a list as option {key}, where one number is expected")
        return value

    def whole(self, key: int, default: int = 0) -> int:
        """A scalar option that counts something."""
        value = self.number(key, default)
        if value != int(value) or value < 0:
            raise UnknownWeights(f"layer {self.name} has option {key}={value}, where a whole number is expected")
        return int(value)

    def numbers(self, key: int) -> list[float]:
        """A list option; [] where it is absent."""
        value = self.options.get(key, [])
        return value if isinstance(value, list) else [value]

    def must_be(self, **wanted: tuple[int, float, float]) -> None:
        """Each (option, default, value): the option must have the value, or be absent where that is the default."""
        for what, (key, default, value) in wanted.items():
            if self.number(key, default) != value:
                raise UnknownWeights(
                    f"layer {self.name} has {what} {self.number(key, default):g}; only {value:g} is supported"
                )

    def may_have(self, *keys: int) -> None:
        """No other options may be there: each could change what the layer computes."""
        other = sorted(self.options.keys() - set(keys))
        if other:
            raise UnknownWeights(f"layer {self.name} ({self.kind}) has unsupported options {other}")


def parse(text: str) -> list[NcnnLayer]:
    """The layers of a .param, in order.

    Raises:
        BrokenWeights: not the text of an ncnn graph, or one that contradicts itself.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != [MAGIC]:
        raise BrokenWeights(f"it does not begin with {MAGIC}, so it is not an ncnn graph in text form")
    if len(lines) < 2 or len(lines[1]) != 2 or not all(re.fullmatch(r"\d{1,6}", word) for word in lines[1]):
        raise BrokenWeights("its second line should be the numbers of layers and blobs")
    layers = [_layer(words) for words in lines[2:]]
    blobs = [blob for layer in layers for blob in layer.outputs]
    announced = tuple(map(int, lines[1]))
    if (len(layers), len(blobs)) != announced:
        raise BrokenWeights(
            f"it declares {announced[0]} layers and {announced[1]} blobs, but lists {len(layers)} and {len(blobs)}"
        )
    if len(set(blobs)) != len(blobs):
        raise BrokenWeights("two layers write the same blob")
    return layers


def _layer(words: list[str]) -> NcnnLayer:
    line = " ".join(words)[:80]
    if len(words) < 4 or not re.fullmatch(r"\d{1,3} \d{1,3}", " ".join(words[2:4])):
        raise BrokenWeights(f"it has an invalid layer line: {line!r}")
    ins, outs = int(words[2]), int(words[3])
    if len(words) < 4 + ins + outs:
        raise BrokenWeights(f"it has an incomplete line: {line!r}")
    blobs, rest = words[4 : 4 + ins + outs], words[4 + ins + outs :]
    return NcnnLayer(words[0], words[1], tuple(blobs[:ins]), tuple(blobs[ins:]), dict(_option(word) for word in rest))


def _option(word: str) -> tuple[int, float | list[float]]:
    """`6=1728`, or a list: `-23310=1,0.2` is option 10 with one number."""
    key, _, value = word.partition("=")
    numbers = value.split(",")
    if not re.fullmatch(r"-?\d{1,5}", key) or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise BrokenWeights(f"it has an option that is not a number: {word[:80]!r}")
    if int(key) > -23300:
        if len(numbers) != 1:
            raise BrokenWeights(f"it has an option with too many numbers: {word[:80]!r}")
        return int(key), float(value)
    if int(numbers[0]) != len(numbers) - 1 if numbers[0].isdigit() else True:
        raise BrokenWeights(f"it has a list whose length does not match: {word[:80]!r}")
    return -23300 - int(key), [float(number) for number in numbers[1:]]


# --------------------------------------------------------------------------------------------------- the graph


class Formulas:
    """Writes down what a network computes, each distinct formula as a number of its own.

    Two graphs that share one `known` table compute the same exactly where their numbers are equal, however large they
    are and whatever their blobs are called.
    """

    def __init__(self, known: dict[tuple[object, ...], int]):
        self.known = known
        self.convs: list[int] = []  # what the convolutions are applied to, in order
        self.prelus: list[int] = []
        self.scaled: dict[int, Term] = {}

    def of(self, *formula: object) -> int:
        """The number of a formula."""
        return self.known.setdefault(formula, len(self.known))

    def input(self) -> int:
        return self.of("input")

    def conv(self, x: int) -> int:
        self.convs.append(x)
        return self.of("conv", len(self.convs), x)

    def prelu(self, x: int) -> int:
        self.prelus.append(x)
        return self.of("prelu", len(self.prelus), x)

    def lrelu(self, slope: float, x: int) -> int:
        return self.of("lrelu", round(slope, 6), x)

    def cat(self, xs: Sequence[int]) -> int:
        return xs[0] if len(xs) == 1 else self.of("cat", *xs)

    def add(self, *terms: Term) -> int:
        """Σ coefficient · formula; 0.2·x as a layer of its own and then + y is the same as both in one layer."""
        merged = [(round(c * self.scaled.get(x, (1, x))[0], 6), self.scaled.get(x, (1, x))[1]) for c, x in terms]
        number = self.of("sum", *sorted(merged))
        if len(merged) == 1:
            self.scaled[number] = merged[0]
        return number

    def grow(self, factor: float, x: int) -> int:
        return self.resize(NEAREST, factor, x)

    def resize(self, mode: int, factor: float, x: int) -> int:
        return self.of("resize", mode, round(factor, 6), x)

    def shuffle(self, factor: int, x: int) -> int:
        return self.of("shuffle", factor, x)

    def cells(self, side: int, x: int) -> int:
        return x if side == 1 else self.of("cells", side, x)


def _trace(layers: list[NcnnLayer], g: Formulas) -> int:
    """What the graph of a file computes: the formula of its only unused blob."""
    blobs: dict[str, int] = {}
    unused: set[str] = set()
    for layer in layers:
        missing = [blob for blob in layer.inputs if blob not in blobs]
        if missing:
            raise BrokenWeights(f"layer {layer.name} reads {missing[0]}, which no earlier layer writes")
        result = _formula(layer, [blobs[blob] for blob in layer.inputs], g)
        if len(layer.outputs) != 1 and layer.kind != "Split":
            raise UnknownWeights(f"layer {layer.name} ({layer.kind}) has {len(layer.outputs)} outputs")
        blobs |= dict.fromkeys(layer.outputs, result)
        unused = (unused - set(layer.inputs)) | set(layer.outputs)
    if len(unused) != 1:
        raise UnknownWeights(f"the graph has {len(unused)} outputs ({', '.join(sorted(unused)[:4])}); expected one")
    return blobs[unused.pop()]


def _formula(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    fitting = {"Input": len(xs) == 0, "Concat": len(xs) > 0, "Eltwise": len(xs) > 0, "BinaryOp": 1 <= len(xs) <= 2}
    if not fitting.get(layer.kind, len(xs) == 1):
        raise UnknownWeights(f"layer {layer.name} ({layer.kind}) has {len(xs)} inputs")
    return _KINDS[layer.kind](layer, xs, g)


def _input(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    return g.input()


def _split(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have()
    return xs[0]


def _convolution(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19)
    if layer.number(8):
        raise UnknownWeights(
            f"layer {layer.name} is int8 and needs its calibration; use the fp16 or fp32 version of this model"
        )
    kernel, dilation, stride, pad = (layer.number(key, default) for key, default in ((1, 0), (2, 1), (3, 1), (4, 0)))
    layer.must_be(
        kernel=(1, 0, 3), kernel_height=(11, kernel, 3), dilation=(2, 1, 1), dilation_height=(12, dilation, 1),
        stride=(3, 1, 1), stride_height=(13, stride, 1), padding=(4, 0, 1), padding_top=(14, pad, 1),
        padding_right=(15, pad, 1), padding_bottom=(16, layer.number(14, pad), 1), bias=(5, 0, 1), groups=(7, 1, 1),
        pad_value=(18, 0, 0), dynamic_weight=(19, 0, 0),
    )  # fmt: skip
    y = g.conv(xs[0])
    activation, slopes = layer.whole(9), layer.numbers(10)
    if activation == 0:
        return y
    if activation == 1:
        return g.lrelu(0, y)
    if activation == 2 and len(slopes) == 1:
        return g.lrelu(slopes[0], y)
    raise UnknownWeights(f"layer {layer.name} has activation {activation} {slopes}; supported are ReLU and leaky ReLU")


def _prelu(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0)
    return g.prelu(xs[0])


def _relu(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0)
    return g.lrelu(layer.number(0), xs[0])


def _concat(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0)
    layer.must_be(axis=(0, 0, 0))
    return g.cat(xs)


def _eltwise(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0, 1)
    layer.must_be(operation=(0, 0, 1))
    shares = layer.numbers(1) or [1.0] * len(xs)
    if len(shares) != len(xs):
        raise BrokenWeights(f"layer {layer.name} has {len(xs)} inputs and {len(shares)} coefficients")
    return g.add(*zip(shares, xs, strict=True))


def _binary(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0, 1, 2)
    operation, by_number = layer.whole(0), bool(layer.number(1))
    if operation == 2 and by_number and len(xs) == 1:
        return g.add((layer.number(2), xs[0]))
    layer.must_be(operation=(0, 0, 0), scalar=(1, 0, 0))
    if len(xs) != 2:
        raise BrokenWeights(f"layer {layer.name} adds {len(xs)} blobs")
    return g.add((1, xs[0]), (1, xs[1]))


def _interp(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0, 1, 2, 3, 4, 5, 6)
    layer.must_be(width_factor=(2, 1, layer.number(1, 1)), **{
        what: (key, 0, 0) for what, key in (("height", 3), ("width", 4), ("dynamic_size", 5), ("align_corner", 6))
    })  # fmt: skip
    return g.resize(layer.whole(0), layer.number(1, 1), xs[0])


def _pixel_shuffle(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0, 1)
    layer.must_be(channel_order=(1, 0, 0))
    return g.shuffle(layer.whole(0, 1), xs[0])


def _reorg(layer: NcnnLayer, xs: list[int], g: Formulas) -> int:
    layer.may_have(0, 1)
    layer.must_be(channel_order=(1, 0, 0))
    return g.cells(layer.whole(0, 1), xs[0])


_KINDS: dict[str, Callable[[NcnnLayer, list[int], Formulas], int]] = {
    "Input": _input, "Split": _split, "Convolution": _convolution, "PReLU": _prelu, "ReLU": _relu, "Concat": _concat,
    "Eltwise": _eltwise, "BinaryOp": _binary, "Interp": _interp, "PixelShuffle": _pixel_shuffle, "Reorg": _reorg,
}  # fmt: skip


# --------------------------------------------------------------------------------------------------- the networks


def rrdbnet_formula(config: RRDBConfig, g: Formulas) -> int:
    """What `RRDBNet(config)` computes, written down."""
    first = x = g.conv(g.cells(config.cell_px, g.input()))
    for _ in range(config.num_block):
        block = x
        for _ in range(3):
            features = [x]
            for _ in range(4):
                features.append(g.lrelu(0.2, g.conv(g.cat(features))))
            x = g.add((RESIDUAL_SCALE, g.conv(g.cat(features))), (1, x))
        x = g.add((RESIDUAL_SCALE, x), (1, block))
    x = g.add((1, first), (1, g.conv(x)))
    for factor in config.ladder:
        shuffled = config.upsampling == "pixelshuffle"
        x = g.lrelu(0.2, g.shuffle(factor, g.conv(x)) if shuffled else g.conv(g.grow(factor, x)))
    return g.conv(g.lrelu(0.2, g.conv(x)))


def rrdbnet_names(config: RRDBConfig) -> Iterator[str]:
    """The names of its convolutions, in the order of the formula."""
    yield "conv_first"
    for i in range(config.num_block):
        yield from (f"body.{i}.rdb{j}.conv{k}" for j in (1, 2, 3) for k in (1, 2, 3, 4, 5))
    yield "conv_body"
    yield from (f"up.{i}.conv" for i in range(len(config.ladder)))
    yield from ("conv_hr", "conv_last")


def srvgg_formula(config: SRVGGConfig, g: Formulas) -> int:
    """What `SRVGG(config)` computes, written down."""
    x = g.input()
    for _ in range(config.num_conv + 1):
        x = g.conv(x)
        x = g.prelu(x) if config.act == "prelu" else g.lrelu(0 if config.act == "relu" else 0.1, x)
    return g.add((1, g.shuffle(config.scale, g.conv(x))), (1, g.grow(config.scale, g.input())))


def _rrdb_config(layers: list[NcnnLayer]) -> RRDBConfig:
    convs = [layer for layer in layers if layer.kind == "Convolution"]
    steps = [layer for layer in layers if layer.kind in ("Interp", "PixelShuffle")]
    cell = next((layer.whole(0, 1) for layer in layers if layer.kind == "Reorg"), 1)
    shuffled = any(layer.kind == "PixelShuffle" for layer in steps)
    grown = math.prod(layer.number(0 if layer.kind == "PixelShuffle" else 1, 1) for layer in steps)
    blocks, rest = divmod(len(convs) - 4 - len(steps), 15)
    if rest or blocks < 0 or grown not in UPSAMPLE_FACTORS or grown % max(cell, 1):
        raise UnknownWeights(
            f"it has the layers of an RRDBNet, but {len(convs)} convolutions and a scale of {grown:g} match none"
        )
    return RRDBConfig(
        img_channels=convs[-1].whole(0),
        scale=int(grown) // cell,
        unshuffle=cell,
        num_feat=convs[0].whole(0),
        num_block=blocks,
        num_grow_ch=convs[1].whole(0),
        upsampling="pixelshuffle" if shuffled else "nearest",
    )


def _srvgg_config(layers: list[NcnnLayer]) -> SRVGGConfig:
    convs = [layer for layer in layers if layer.kind == "Convolution"]
    scales = [layer.whole(0, 1) for layer in layers if layer.kind == "PixelShuffle"]
    if len(convs) < 2 or len(scales) != 1 or not scales[0]:
        raise UnknownWeights(
            "it is neither an RRDBNet (no Concat layers) nor an SRVGG (two convolutions or more, then one PixelShuffle)"
        )
    slopes = {layer.number(0) for layer in layers if layer.kind == "ReLU"}
    slopes |= {(layer.numbers(10) or [0.0])[0] for layer in layers if layer.kind == "Convolution" and layer.whole(9)}
    act = "prelu" if any(layer.kind == "PReLU" for layer in layers) else "relu" if slopes == {0.0} else "leakyrelu"
    return SRVGGConfig(
        img_channels=convs[-1].whole(0) // scales[0] ** 2,
        scale=scales[0],
        num_feat=convs[0].whole(0),
        num_conv=len(convs) - 2,
        act=act,
    )


def _compare(layers: list[NcnnLayer], formula: Callable[[Formulas], int], what: str) -> list[str]:
    """Refuse a graph that computes anything else than `formula`; return what is to be said about it."""
    known: dict[tuple[object, ...], int] = {}
    theirs, ours = Formulas(known), Formulas(known)
    end, expected = _trace(layers, theirs), formula(ours)
    if end == expected:
        return []
    convs = [layer.name for layer in layers if layer.kind == "Convolution"]
    for name, came, wanted in zip(convs, theirs.convs, ours.convs, strict=False):
        if came != wanted:
            raise UnknownWeights(f"it looks like {what}, but layer {name} has a different input")
    last = layers[-1]
    if last.kind == "Interp" and end == ours.resize(last.whole(0), last.number(1, 1), expected):
        how = _RESIZES.get(last.whole(0), "unknown")
        return [f"the file ends in a {how} resize by {last.number(1, 1):g}, which is ignored: resize the output"]
    raise UnknownWeights(f"it looks like {what}, but its layers after the last convolution differ")


# --------------------------------------------------------------------------------------------------- the numbers


class _Bin:
    """Takes weights from a .bin, one after the other, and never beyond its end."""

    def __init__(self, path: Path):
        self.size, self.at = path.stat().st_size, 0
        self.data = np.memmap(path, np.uint8, "r") if self.size else np.empty(0, np.uint8)

    def take(self, count: int, dtype: str, layer: str) -> np.ndarray:
        end = self.at + count * np.dtype(dtype).itemsize
        if end > self.size:
            raise BrokenWeights(f"the .bin has {self.size:,} bytes, and layer {layer} needs {end:,}: it is truncated")
        raw, self.at = self.data[self.at : end], end
        return np.frombuffer(raw.tobytes(), dtype)

    def take_tagged(self, count: int, layer: str) -> np.ndarray:
        tag = int(self.take(1, "<u4", layer)[0])
        if tag == FP16_TAG:
            values = self.take(count, "<f2", layer)
            self.take(count % 2, "<f2", layer)  # padded to 4 bytes
            return values.astype(np.float32)
        if tag == INT8_TAG:
            raise UnknownWeights(f"layer {layer} is int8; use the fp16 or fp32 version of this model")
        if tag not in FP32_TAGS:
            raise BrokenWeights(f"layer {layer} begins with the unknown tag {tag:#010x}: not the .bin of this .param?")
        return self.take(count, "<f4", layer)


def _weights(
    path: Path, layers: list[NcnnLayer], conv_names: Iterator[str], prelu_names: Iterator[str]
) -> dict[str, Tensor]:
    """Our name → tensor, for the convolutions and PReLUs in their order."""
    source = _Bin(path)
    state: dict[str, np.ndarray] = {}
    for layer in layers:
        if layer.kind == "Convolution":
            name, out, size = next(conv_names), layer.whole(0), layer.whole(6)
            if not out or not size or size % (9 * out):
                raise BrokenWeights(f"layer {layer.name} has {size} weights, which make no {out} filters of 3×3")
            weight = source.take_tagged(size, layer.name).reshape(out, size // (9 * out), 3, 3)
            state |= {f"{name}.weight": weight, f"{name}.bias": source.take(out, "<f4", layer.name)}
        elif layer.kind == "PReLU":
            state[f"{next(prelu_names)}.weight"] = source.take(layer.whole(0), "<f4", layer.name)
    if source.at != source.size:
        raise BrokenWeights(
            f"{source.size - source.at:,} of {source.size:,} bytes of the .bin are left over: is it of another .param?"
        )
    return {name: torch.from_numpy(np.array(value)) for name, value in state.items()}


# --------------------------------------------------------------------------------------------------- the reader


def fits(contents: FileContents) -> bool:
    """Whether this is an ncnn pair; which network it is shows when it is read."""
    return contents.container == "ncnn"


def read(contents: FileContents, *, network: str = "G_ema") -> RRDBNet | SRVGG:
    """The upscaler of a .param + .bin pair; `found.path` may be either of the two.

    Raises:
        UnknownWeights: the graph is not that of an RRDBNet or SRVGG, or is in 8 bit.
        BrokenWeights: one of the pair is missing or damaged, or the two do not belong together.
    """
    param, weights = contents.path.with_suffix(".param"), contents.path.with_suffix(".bin")
    for path in (param, weights):
        if not path.is_file():
            raise BrokenWeights(f"an ncnn network is two files; {path.name} is missing next to {contents.path.name}")
    if network == "D":
        raise UnknownWeights(f"{param.name} contains an upscaler and no discriminator; load it without network='D'")
    try:
        family, config, state, notes = _read_pair(param, weights)
    except WeightsError as error:
        raise type(error)(f"{param.name}: {error}") from error
    except BadConfig as error:
        raise UnknownWeights(f"{param.name}: {error}") from error
    return with_facts(
        load_state_dict_checked(family, asdict(config), state, who=param.name), format="ncnn", notes=notes
    )


def _read_pair(param: Path, weights: Path) -> tuple[str, RRDBConfig | SRVGGConfig, dict[str, Tensor], list[str]]:
    """(family, config, our name → tensor, what is to be said about the file)."""
    layers = parse(_text(param))
    strange = next((layer for layer in layers if layer.kind not in _KINDS), None)
    if strange:
        raise UnknownWeights(f"layer {strange.name} is a {strange.kind}; supported are {', '.join(sorted(_KINDS))}")
    if any(layer.kind == "Concat" for layer in layers):
        rrdb = _rrdb_config(layers)
        notes = _compare(layers, lambda g: rrdbnet_formula(rrdb, g), what="an RRDBNet")
        return "rrdbnet", rrdb, _weights(weights, layers, rrdbnet_names(rrdb), iter(())), notes
    srvgg = _srvgg_config(layers)
    notes = _compare(layers, lambda g: srvgg_formula(srvgg, g), what="an SRVGG")
    convs = (f"body.{2 * i}" for i in range(srvgg.num_conv + 2))
    prelus = (f"body.{2 * i + 1}" for i in range(srvgg.num_conv + 1))
    return "srvgg", srvgg, _weights(weights, layers, convs, prelus), notes


def _text(param: Path) -> str:
    if param.stat().st_size > MAX_PARAM_BYTES:
        raise BrokenWeights(f"it has {param.stat().st_size:,} bytes, too many for the text of a graph")
    try:
        return param.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BrokenWeights(
            "it is not text; the binary form .param.bin is not supported, only the text form"
        ) from error
