""".pt files of rosinality's StyleGAN2 port, and the generator inside the files of pSp, e4e, ReStyle and HyperStyle.

The port computes what StyleGAN2 computes, under other names and with other shapes; what a file holds:

    style.{1…n}                 mapping layers (index 0 is the normalisation)
    input.input, conv1, to_rgb1        the 4×4 block
    convs.{2j}, convs.{2j+1}, to_rgbs.{j}      the block of 8·2ʲ pixels
    noises.noise_{i}            the constant noise of the i-th convolution

No tensor needs turning: both transpose the same kernel to enlarge. The mean latent is either in the file
(`latent_avg`) or estimated. The learning-rate multiplier of the mapping is not in the file; it has always been 0.01.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BrokenWeights, UnknownWeights
from ganvas.models.protocol import Network
from ganvas.weights.contents import FileContents
from ganvas.weights.pickles.modules import tensor_shape
from ganvas.weights.readers.nvidia import mean_w, stylegan2_fields
from ganvas.weights.readers.state_dict import add_facts, load_state_dict_checked

_KEYS = {"G_ema": ("g_ema", "g", "state_dict"), "G": ("g", "g_ema", "state_dict"), "D": ("d",)}


def fits(contents: FileContents) -> bool:
    """A generator or discriminator with the port's names, alone or as the decoder of an encoder's file."""
    return any(_kind(_state(contents, network)) for network in ("G_ema", "D"))


def read(contents: FileContents, *, network: str = "G_ema") -> Network:
    """The network of a file that `fits`.

    Raises:
        UnknownWeights: the file has no such network, or one that is built differently.
        BrokenWeights: weights are not finite.
    """
    who, state = contents.path.name, _state(contents, network)
    kind = _kind(state)
    if kind is None or (kind == "D") != (network == "D"):
        other = "a generator" if network == "D" else "a discriminator"
        raise UnknownWeights(f"{who} contains {other} of the StyleGAN2 port and no network {network!r}.")
    net = _generator(state, contents, who) if kind == "G" else _discriminator(state, who)
    return add_facts(net, format="StyleGAN2 port of rosinality", network=_label(contents, network))


def _state(contents: FileContents, network: str) -> dict[str, Tensor]:
    state = contents.state_dict(*_KEYS[network])
    decoder = {name.removeprefix("decoder."): tensor for name, tensor in state.items() if name.startswith("decoder.")}
    return decoder or state


def _kind(state: Mapping[str, Tensor]) -> str | None:
    if {"style.1.weight", "input.input", "conv1.conv.weight"} <= state.keys():
        return "G"
    if {"convs.0.0.weight", "final_conv.0.weight", "final_linear.0.weight"} <= state.keys():
        return "D"
    return None


def _label(contents: FileContents, network: str) -> str | None:
    tree = contents.tree if isinstance(contents.tree, dict) else {}
    return next((key for key in _KEYS[network] if isinstance(tree.get(key), dict)), None)


# ---- Generator ---------------------------------------------------------------------------------------------------


def _generator(state: dict[str, Tensor], contents: FileContents, who: str) -> Network:
    named = {_generator_name(name): _plain(name, tensor) for name, tensor in state.items()}
    w_avg = _latent_avg(contents, who)
    if w_avg is not None:
        named["mapping.w_avg"] = w_avg
    missing_is_fine = [r".*\.resample_filter", r".*\.noise_const", r"mapping\.w_avg"]
    net: Any = load_state_dict_checked(
        "stylegan2", stylegan2_fields(named, who), named, who=who, may_miss=missing_is_fine
    )
    if w_avg is None:
        net.w_avg.copy_(mean_w(net))
        add_facts(net, notes=["the file has no mean latent; w_avg was estimated from 10,000 random latents"])
    return net


def _generator_name(name: str) -> str:
    """Theirs → ours; unknown names are left as they are, and `load_state_dict_checked` complains about them."""
    if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"noises\.noise_(\d+)", name):
        return f"{_layer(int(match[1]))}.noise_const"
    if match := re.fullmatch(r"conv1\.(.+)", name):
        return f"{_layer(0)}.{_LAYER_PARTS.get(match[1], match[1])}"
    if match := re.fullmatch(r"convs\.(\d+)\.(.+)", name):
        return f"{_layer(int(match[1]) + 1)}.{_LAYER_PARTS.get(match[2], match[2])}"
    if match := re.fullmatch(r"to_rgb1\.(.+)", name):
        return f"synthesis.b4.torgb.{_LAYER_PARTS.get(match[1], match[1])}"
    if match := re.fullmatch(r"to_rgbs\.(\d+)\.(.+)", name):
        block = f"synthesis.b{_resolution(int(match[1]) + 1)}"
        part = _LAYER_PARTS.get(match[2], match[2])
        return f"{block}.resample_filter" if part == "upsample.kernel" else f"{block}.torgb.{part}"
    return name


_LAYER_PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "conv.blur.kernel": "resample_filter",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
}


def _layer(index: int) -> str:
    """The index-th convolution from the start: one at 4 px, then two a resolution."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{_resolution((index + 1) // 2)}.conv{(index + 1) % 2}"


def _resolution(block: int) -> int:
    return 4 << min(block, 20)


def _plain(name: str, tensor: Tensor) -> Tensor:
    """Without the axes of length 1 that the port keeps for broadcasting, and filters without their gain of 4."""
    if name.endswith("noise.weight"):
        return tensor.reshape(()) if tensor.numel() == 1 else tensor
    if name.endswith(".kernel"):
        return tensor / 4
    if name == "input.input" or name.endswith("conv.weight"):
        return tensor[0] if tensor.ndim > 3 and tensor.shape[0] == 1 else tensor
    if name.startswith("noises."):
        return tensor[0, 0] if tensor.ndim == 4 and tensor.shape[:2] == (1, 1) else tensor
    if name.startswith("to_rgb") and name.endswith(".bias") and tensor.ndim == 4:
        return tensor.flatten()
    return tensor


def _latent_avg(contents: FileContents, who: str) -> Tensor | None:
    """[w_dim]; files of encoders keep it once a layer, which is the same latent again and again."""
    latents = contents.tree.get("latent_avg") if isinstance(contents.tree, dict) else None
    if latents is None:
        return None
    if not isinstance(latents, Tensor) or latents.ndim not in (1, 2, 3) or not latents.is_floating_point():
        raise BrokenWeights(f"{who}: its latent_avg is not a latent but {type(latents).__name__}.")
    rows = latents.float().reshape(-1, latents.shape[-1])  # [num_ws or 1, w_dim]
    return rows.mean(dim=0) if bool(torch.isfinite(rows).all()) else None


# ---- Discriminator -----------------------------------------------------------------------------------------------


def _discriminator(state: dict[str, Tensor], who: str) -> Network:
    blocks = sum(re.fullmatch(r"convs\.[1-9]\d*\.skip\.1\.weight", name) is not None for name in state)
    top = _resolution(blocks)
    named = {_discriminator_name(name, top): tensor for name, tensor in state.items()}
    channels = {top >> k: tensor_shape(named, f"b{top >> k}.conv0.weight", 4, who)[0] for k in range(blocks)}
    channels[4], in_channels = tensor_shape(named, "b4.conv.weight", 4, who)[:2]
    most = max(channels.values())
    narrower = [res * count for res, count in channels.items() if count < most]
    fields = {
        "img_resolution": top,
        "img_channels": tensor_shape(named, f"b{top}.fromrgb.weight", 4, who)[1],
        "channel_base": narrower[0] if narrower else most * top,
        "channel_max": most,
        "mbstd_num_channels": in_channels - channels[4],
    }
    return load_state_dict_checked("stylegan2", fields, named, who=who, network="D", may_miss=[r".*\.resample_filter"])


def _discriminator_name(name: str, top: int) -> str:
    if match := re.fullmatch(r"convs\.0\.(0\.weight|1\.bias)", name):
        return f"b{top}.fromrgb.{match[1][2:]}"
    if match := re.fullmatch(r"convs\.([1-9]\d?)\.(.+)", name):
        return f"b{top >> (int(match[1]) - 1)}.{_BLOCK_PARTS.get(match[2], match[2])}"
    return _END_PARTS.get(name, name)


_BLOCK_PARTS = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.0.kernel": "conv1.resample_filter",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.0.kernel": "skip.resample_filter",
    "skip.1.weight": "skip.weight",
}
_END_PARTS = {
    "final_conv.0.weight": "b4.conv.weight",
    "final_conv.1.bias": "b4.conv.bias",
    "final_linear.0.weight": "b4.fc.weight",
    "final_linear.0.bias": "b4.fc.bias",
    "final_linear.1.weight": "b4.out.weight",
    "final_linear.1.bias": "b4.out.bias",
}
