""".pth files of CycleGAN and pix2pix: generators (ResNet, U-Net) and discriminators (PatchGAN, PixelGAN).

The files are bare name → tensor mappings; the flags that training and testing ask for (netG, norm, dropout, ngf,
channels, depth) are all deduced. The layers are numbered as they stand in a Sequential, so where a number jumps there
was a layer without weights: padding, ReLU, dropout.

What a file cannot say, and what is assumed (it is in `facts["notes"]`): whether the blocks of a ResNet reflect or
replicate at their borders (reflect, the default of the original); the dropout of a U-Net (none, it only matters for
training); the mode of a resize (bilinear).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ganvas.errors import UnknownWeights
from ganvas.models.cyclegan import ResNetGenerator
from ganvas.models.pix2pix import PatchGAN, UNet, has_bias
from ganvas.weights.contents import FileContents
from ganvas.weights.readers.key_map import conv_shape, count_keys, load_state_dict_renamed, with_facts
from ganvas.weights.readers.state_dict import format_names

_State = Mapping[str, Tensor]
BLOCK = re.compile(r"model\.(\d{1,4})\.(conv_block|block)\.(\d{1,2})\.weight")
RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def fits(contents: FileContents) -> bool:
    """Whether the file holds one of these networks."""
    return _kind(contents.state_dict("state_dict", "model_state_dict")) is not None


def read(contents: FileContents, *, network: str = "G_ema") -> ResNetGenerator | UNet | PatchGAN:
    """The network of the file.

    Args:
        contents: of a file that `fits`.
        network: "G_ema" or "G" for a generator, "D" for a discriminator; a file holds one of the two, and the default
            "G_ema" gives either.

    Raises:
        UnknownWeights: something is missing, left over, or of a shape that fits no such network.
    """
    state = contents.state_dict("state_dict", "model_state_dict")
    kind = _kind(state)
    if kind is None:
        raise UnknownWeights(
            f"{contents.path.name} contains no CycleGAN or pix2pix network, but {format_names(list(state))}."
        )
    is_discriminator = kind in ("patch", "pixel")
    if (network == "D" and not is_discriminator) or (network == "G" and is_discriminator):
        raise UnknownWeights(
            f"{contents.path.name} contains only a "
            f"{'discriminator' if is_discriminator else 'generator'}; load it "
            f"{'with' if is_discriminator else 'without'} network='D'."
        )
    if kind == "resnet":
        return _read_resnet(state, contents.path.name)
    if kind == "unet":
        return _read_unet(state, contents.path.name)
    return _read_patch(state, contents.path.name) if kind == "patch" else _read_pixel(state, contents.path.name)


def _kind(state: _State) -> str | None:
    sizes = {
        name: tuple(state[name].shape[2:])
        for name in ("model.1.weight", "model.model.0.weight", "model.0.weight", "net.0.weight")
        if name in state and state[name].ndim == 4
    }
    if sizes.get("model.model.0.weight") == (4, 4):
        return "unet"
    if sizes.get("model.1.weight") == (7, 7):
        return "resnet"
    if sizes.get("model.0.weight") == (4, 4) and "model.2.weight" in state:
        return "patch"
    if sizes.get("net.0.weight") == (1, 1) and "net.2.weight" in state:
        return "pixel"
    return None


def _norm(state: _State, conv: str, norm: str) -> tuple[str, bool]:
    """The kind of normalisation under the name `norm`, and whether the convolution before it has a bias."""
    bias, tracked = f"{conv}.bias" in state, any(name.endswith(RUNNING[:2]) for name in state)
    if f"{norm}.weight" in state:
        return ("batch" if tracked else "instance-affine"), bias
    return ("instance" if bias or tracked else "none"), bias


def _resolve_conv_bias(norm: str, bias: bool) -> bool | None:
    """conv_bias for a config: None where it is what the norm implies."""
    return None if bias == has_bias(norm, None) else bias


def _leftovers(state: _State, norm: str) -> tuple[set[str], list[str]]:
    """Statistics that instance norm kept before torch 0.4; it normalises by the picture at hand, then as now."""
    if not norm.startswith("instance"):
        return set(), []
    old = {name for name in state if name.rpartition(".")[2] in RUNNING}
    return old, ["unused running statistics of instance norm were ignored"] if old else []


# --------------------------------------------------------------------------------------------------- ResNet


def _read_resnet(state: _State, who: str) -> ResNetGenerator:
    what = "a CycleGAN ResNet generator"
    ngf, in_channels = conv_shape(state, "model.1.weight", who=who, what=what)[:2]
    norm, bias = _norm(state, "model.1", "model.2")
    num_downs = _downs(state, ngf)
    first_block = 4 + 3 * num_downs
    n_blocks = _blocks(state, first_block)
    inner, notes = _inside(state, first_block) if n_blocks else (("block", (1, 5), False, "reflect"), [])
    after = first_block + n_blocks
    upsample, ups = _ups(state, after, num_downs)
    last = after + len(ups) * (3 if upsample == "transposed" else 5) + 1
    out_channels = conv_shape(state, f"model.{last}.weight", who=who, what=what)[0]
    numbers = {"down": [4 + 3 * i for i in range(num_downs)], "up": ups}
    container, convs, dropout, padding = inner
    if upsample != "transposed":
        notes.append("the upsampling mode before its convolutions is not in the file; bilinear is assumed")

    fields = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "n_blocks": n_blocks,
        "ngf": ngf,
        "num_downs": num_downs,
        "norm": norm,
        "conv_bias": _resolve_conv_bias(norm, bias),
        "dropout": dropout,
        "padding": padding,
        "upsample": upsample,
    }

    def names(ours: str) -> str:
        stage, *rest = ours.split(".")
        if stage == "blocks":
            index, layer, leaf = rest
            number = convs[int(layer[-1]) - 1] + (1 if layer.startswith("norm") else 0)
            return f"model.{first_block + int(index)}.{container}.{number}.{leaf}"
        if stage == "last":
            return f"model.{last}.{rest[0]}"
        *where, layer, leaf = rest
        number = 1 if stage == "first" else numbers[stage][int(where[0])]
        return f"model.{number + (1 if layer == 'norm' else 0)}.{leaf}"

    dropped, more = _leftovers(state, norm)
    net = load_state_dict_renamed("cyclegan", fields, state, names, who=who, what=what, dropped=dropped)
    return with_facts(net, format=what[2:], notes=notes + more)


def _downs(state: _State, ngf: int) -> int:
    """Halvings: each is a 3×3 convolution that doubles the channels, three numbers after the one before."""
    n = 0
    while (w := state.get(f"model.{4 + 3 * n}.weight")) is not None and tuple(w.shape) == (
        ngf * 2 ** (n + 1),
        ngf * 2**n,
        3,
        3,
    ):
        n += 1
    return n


def _blocks(state: _State, first: int) -> int:
    numbers = {int(match[1]) for name in state if (match := BLOCK.fullmatch(name))}
    n = 0
    while first + n in numbers:
        n += 1
    return n


def _inside(state: _State, first: int) -> tuple[tuple[str, tuple[int, int], bool, str], list[str]]:
    """(container name, numbers of the two convolutions, dropout, padding) of the blocks.

    With padding layers the convolutions are 1 and 5, without 0 and 3; dropout moves the second by one.
    """
    matches = [m for name in state if (m := BLOCK.fullmatch(name)) and int(m[1]) == first and state[name].ndim == 4]
    convs = tuple(sorted(int(m[3]) for m in matches))
    known = {(1, 5): (False, "reflect"), (1, 6): (True, "reflect"), (0, 3): (False, "zero"), (0, 4): (True, "zero")}
    if convs not in known:
        raise UnknownWeights(
            f"a CycleGAN block has convolutions at 1 and 5 (or 1 and 6, 0 and 3, 0 and 4), but model.{first} has them "
            f"at {list(convs)}."
        )
    dropout, padding = known[convs]
    notes = ["whether the blocks reflect or replicate at borders is not in the file; reflect is assumed"]
    return (matches[0][2], (convs[0], convs[1]), dropout, padding), notes if padding == "reflect" else []


def _ups(state: _State, after: int, num_downs: int) -> tuple[str, list[int]]:
    """How it enlarges, and the numbers of its enlarging convolutions.

    A transposed convolution is [in, out, 3, 3] right after the blocks; with a resize and a padding before it, an
    ordinary one [out, in, 3, 3] comes two numbers later.
    """
    if num_downs and f"model.{after}.weight" not in state and f"model.{after + 2}.weight" in state:
        return "bilinear", [after + 2 + 5 * i for i in range(num_downs)]
    return "transposed", [after + 3 * i for i in range(num_downs)]


# --------------------------------------------------------------------------------------------------- U-Net


def _read_unet(state: _State, who: str) -> UNet:
    what = "a pix2pix U-Net generator"
    ngf, in_channels = conv_shape(state, "model.model.0.weight", who=who, what=what)[:2]
    num_downs = 1
    while f"{_level(num_downs)}.1.weight" in state:
        num_downs += 1
    out_channels = conv_shape(state, "model.model.3.weight", who=who, what=what)[1]
    innermost = _level(num_downs - 1)
    norm, bias = _norm(state, f"{innermost}.3", f"{innermost}.4")

    fields = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "num_downs": num_downs,
        "ngf": ngf,
        "norm": norm,
        "conv_bias": _resolve_conv_bias(norm, bias),
        "dropout": False,
    }

    def names(ours: str) -> str:
        _, depth, layer, leaf = ours.split(".")
        down = 1 if int(depth) else 0
        up = 5 if 0 < int(depth) < num_downs - 1 else 3  # the outermost has no norm, the innermost nothing inside
        number = {"down": down, "down_norm": down + 1, "up": up, "up_norm": up + 1}[layer]
        return f"{_level(int(depth))}.{number}.{leaf}"

    dropped, notes = _leftovers(state, norm)
    net = load_state_dict_renamed("pix2pix", fields, state, names, who=who, what=what, dropped=dropped)
    notes.insert(0, "whether it was trained with dropout is not in the file; it is off")
    return with_facts(net, format=what[2:], notes=notes)


def _level(depth: int) -> str:
    """Where the layers of a level are: each lies inside the one around it."""
    return "model.model" + (".1.model" if depth else "") + ".3.model" * (depth - 1)


# --------------------------------------------------------------------------------------------------- discriminators


def _read_patch(state: _State, who: str) -> PatchGAN:
    """Convolutions at 0, 2, 5, 8, …: the first has no norm, the others a norm and a leaky ReLU behind them."""
    inner = count_keys(state, "model.{}.weight", start=2, step=3) - 1
    if inner < 1:
        raise UnknownWeights(f"{who} looks like a PatchGAN discriminator, but it has no model.5.weight.")
    numbers = [0, *(3 * k - 1 for k in range(1, inner + 2))]
    return _build_discriminator(state, who, "a PatchGAN discriminator", "model", n_layers=inner, numbers=numbers)


def _read_pixel(state: _State, who: str) -> PatchGAN:
    """1×1 convolutions at 0, 2 and 5."""
    return _build_discriminator(state, who, "a PixelGAN discriminator", "net", n_layers=0, numbers=[0, 2, 5])


def _build_discriminator(
    state: _State, who: str, what: str, prefix: str, *, n_layers: int, numbers: list[int]
) -> PatchGAN:
    ndf, in_channels = conv_shape(state, f"{prefix}.0.weight", who=who, what=what)[:2]
    norm, bias = _norm(state, f"{prefix}.2", f"{prefix}.3")
    fields = {
        "in_channels": in_channels,
        "ndf": ndf,
        "n_layers": n_layers,
        "norm": norm,
        "conv_bias": _resolve_conv_bias(norm, bias),
        "img_resolution": max(256, 3 << n_layers),
    }

    def names(ours: str) -> str:
        layer, index, leaf = ours.split(".")
        return f"{prefix}.{numbers[int(index)] + (1 if layer == 'norms' else 0)}.{leaf}"

    dropped, notes = _leftovers(state, norm)
    family = "cyclegan" if in_channels <= 4 else "pix2pix"  # one picture, or a pair
    net = load_state_dict_renamed(family, fields, state, names, who=who, what=what, network="D", dropped=dropped)
    return with_facts(net, format=what[2:], notes=notes)
