""".pkl files of NVIDIA's StyleGAN2-ADA and StyleGAN3 repositories: StyleGAN2, StyleGAN3-T and StyleGAN3-R.

Such a file is a dict of whole networks: their tensors, the options they were made from, and their source code, which
is neither run nor looked at. Sizes come from the tensors' shapes, the rest from what each layer has noted about itself;
where the options say something else than the shapes, the file is refused. State dicts with the same names
(.pt, .safetensors) are read as well, with the published defaults for what shapes cannot tell. The two repositories'
StyleGAN2 files are the same.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import UnknownWeights
from ganvas.models.protocol import Network
from ganvas.weights.contents import FileContents
from ganvas.weights.pickles.modules import (
    attribute,
    choose_network,
    compare,
    count_layers,
    network_names,
    options_of,
    taps,
    tensor_shape,
)
from ganvas.weights.pickles.records import Record
from ganvas.weights.readers.state_dict import add_facts, format_names, load_state_dict_checked

_NUM_MEAN = 10_000  # mapped z for a new w_avg, as the projectors of the papers take
_BATCH = 1000


def fits(contents: FileContents) -> bool:
    """A network pickle, or a state dict with the names of one."""
    chosen = [choose_network(contents, network) for network in ("G_ema", "D")]
    return any(_kind(state) is not None for _, state, _ in filter(None, chosen))


def read(contents: FileContents, *, network: str = "G_ema") -> Network:
    """The network of a file that `fits`.

    Raises:
        UnknownWeights: the file has no such network, or one that is built differently.
        BrokenWeights: options and tensors contradict each other, or weights are not finite.
    """
    who = contents.path.name
    chosen = choose_network(contents, network)
    if chosen is None:
        raise UnknownWeights(f"{who} has no network {network!r}; it has {network_names(contents)}.")
    label, state, record = chosen
    kind = _kind(state)
    if kind is None or (network == "D") != kind.endswith("D"):
        raise UnknownWeights(
            f"{who}: its {label} is not a supported {network}; it begins with {format_names(list(state), 3)}."
        )
    net = _READ[kind](state, record, who)
    return add_facts(net, format=_FORMATS[kind], network=label)


def _kind(state: Mapping[str, Tensor]) -> str | None:
    if "synthesis.input.freqs" in state and "mapping.fc0.weight" in state:
        return "stylegan3 G"
    if "synthesis.b4.const" in state and "mapping.fc0.weight" in state:
        return "stylegan2 G"
    if "b4.fc.weight" in state and "b4.out.weight" in state:
        return "stylegan2 D"
    return None


# ---- StyleGAN2 ---------------------------------------------------------------------------------------------------


def _stylegan2(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    options = options_of(record, "synthesis_kwargs", "mapping_kwargs")
    fields = stylegan2_fields(state, who, options)
    layer = "synthesis.b4.conv1"
    fields |= {
        "conv_clamp": attribute(
            record, layer, "conv_clamp", options.get("conv_clamp", 256 if record is None else None)
        ),
        "mapping_lr_mul": attribute(record, "mapping.fc0", "bias_gain", options.get("mapping_lr_mul", 0.01)),
        "architecture": attribute(record, "synthesis.b4", "architecture", _architecture(state)),
    }
    compare(options, fields, who)
    state, nonfinite = _replace_nonfinite_w_avg(state)
    net = load_state_dict_checked(
        "stylegan2", fields, state, who=who, may_miss=[r".*\.resample_filter"], may_have=[r".*\.resample_filter"]
    )
    return _estimate_w_avg(net, who) if nonfinite else net


def stylegan2_fields(state: Mapping[str, Tensor], who: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the shapes of a StyleGAN2 generator's tensors say about its config; `options` where shapes leave a choice.

    Raises:
        UnknownWeights: no consistent set of sizes.
    """
    w_dim = tensor_shape(state, "synthesis.b4.conv1.affine.weight", 2, who)[1]
    c_dim = tensor_shape(state, "mapping.embed.weight", 2, who)[1] if "mapping.embed.weight" in state else 0
    channels = _widths(state, "synthesis.b{}.conv1.weight", 0, who)
    return {
        "w_dim": w_dim,
        "c_dim": c_dim,
        "z_dim": tensor_shape(state, "mapping.fc0.weight", 2, who)[1] - (w_dim if c_dim else 0),
        "img_resolution": max(channels),
        "img_channels": tensor_shape(state, f"synthesis.b{max(channels)}.torgb.weight", 4, who)[0],
        "num_mapping_layers": count_layers(state, "mapping.fc{}.weight"),
        "use_noise": "synthesis.b4.conv1.noise_strength" in state,
        "resample_filter": taps(state.get("synthesis.b4.conv1.resample_filter")),
        **_channel_rule(channels, options or {}, who),
    }


def _stylegan2_d(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    channels = _widths(state, "b{}.conv0.weight", 0, who) | {4: tensor_shape(state, "b4.conv.weight", 4, who)[0]}
    c_dim = tensor_shape(state, "mapping.embed.weight", 2, who)[1] if "mapping.embed.weight" in state else 0
    options = options_of(record, "block_kwargs", "mapping_kwargs", "epilogue_kwargs")
    top = max(channels)
    statistics = tensor_shape(state, "b4.conv.weight", 4, who)[1] - channels[4]
    fields = {
        "c_dim": c_dim,
        "img_resolution": top,
        "img_channels": tensor_shape(state, f"b{top}.fromrgb.weight", 4, who)[1],
        "cmap_dim": tensor_shape(state, "b4.out.weight", 2, who)[0] if c_dim else None,
        "num_mapping_layers": count_layers(state, "mapping.fc{}.weight") or 8,
        "mapping_lr_mul": attribute(record, "mapping.fc0", "bias_gain", 0.01),
        "architecture": attribute(record, "b8", "architecture", "resnet" if "b8.skip.weight" in state else "skip"),
        "mbstd_group_size": attribute(record, "b4.mbstd", "group_size", 4),
        "mbstd_num_channels": statistics,
        "conv_clamp": attribute(record, "b8.conv0", "conv_clamp", 256 if record is None else None),
        "resample_filter": taps(state.get("b8.conv0.resample_filter")),
        **_channel_rule(channels, options, who),
    }
    compare(options, fields, who)
    filters = [r".*\.resample_filter"]
    return load_state_dict_checked("stylegan2", fields, state, who=who, network="D", may_miss=filters, may_have=filters)


def _architecture(state: Mapping[str, Tensor]) -> str:
    if "synthesis.b8.skip.weight" in state:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in state else "orig"


def _channel_rule(channels: Mapping[int, int], options: Mapping[str, Any], who: str) -> dict[str, int]:
    """channel_base and channel_max such that channels(r) = min(base / r, max); the file's own where they do.

    Raises:
        UnknownWeights: the network follows no such rule, it was pruned for instance.
    """
    base, most = options.get("channel_base", 32768), options.get("channel_max", 512)
    if isinstance(base, int) and isinstance(most, int) and _follow(channels, base, most):
        return {"channel_base": base, "channel_max": most}
    most = max(channels.values())
    narrower = [res * count for res, count in channels.items() if count < most]
    base = narrower[0] if narrower else most * max(channels)
    if not _follow(channels, base, most):
        raise UnknownWeights(
            f"{who} has {dict(channels)} channels by resolution; supported is min(base / resolution, max)."
        )
    return {"channel_base": base, "channel_max": most}


def _follow(channels: Mapping[int, int], base: int, most: int) -> bool:
    return all(min(base // res, most) == count for res, count in channels.items())


def _replace_nonfinite_w_avg(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The mean latent of some published files is NaN: float16 had overflowed once, and a running mean never forgets."""
    w_avg = state.get("mapping.w_avg")
    if w_avg is None or bool(torch.isfinite(w_avg).all()):
        return state, False
    return state | {"mapping.w_avg": torch.zeros(w_avg.shape)}, True


def _estimate_w_avg(net: Any, who: str) -> Network:
    net.w_avg.copy_(mean_w(net))
    note = (
        f"w_avg in {who} is not finite, so truncation would fail; it was re-estimated from {_NUM_MEAN:,} random latents"
    )
    warnings.warn(note, stacklevel=5)
    net.facts["notes"] = [*net.facts.get("notes", []), note]
    return net


@torch.no_grad()
def mean_w(generator: Any, count: int = _NUM_MEAN) -> Tensor:
    """[w_dim], the mean of w over random latents and, where the generator is conditional, random labels.

    The same for every call: the latents come from a seed of their own.
    """
    random = torch.Generator().manual_seed(0)
    total = torch.zeros(generator.w_dim, dtype=torch.float64)
    for start in range(0, count, _BATCH):
        n = min(_BATCH, count - start)
        z = torch.randn(n, generator.z_dim, generator=random)
        c = None
        if generator.c_dim:
            c = torch.eye(generator.c_dim)[torch.randint(generator.c_dim, (n,), generator=random)]
        total += generator.mapping(z, c)[:, 0].double().sum(dim=0)
    return (total / count).float()


def _widths(state: Mapping[str, Tensor], pattern: str, axis: int, who: str) -> dict[int, int]:
    """Resolution → channels, for the resolutions 4, 8, … that are there without a gap."""
    widths = {}
    for res in (4 << k for k in range(12)):
        if pattern.format(res) in state:
            widths[res] = tensor_shape(state, pattern.format(res), 4, who)[axis]
    wanted = [4 << k for k in range(12)]
    first = wanted.index(min(widths, default=4))
    if not widths or list(widths) != wanted[first : first + len(widths)] or first > 1:
        raise UnknownWeights(
            f"{who} has layers for the resolutions {list(widths) or 'none'}; one is missing in between."
        )
    return widths


# ---- StyleGAN3 ---------------------------------------------------------------------------------------------------


def _stylegan3(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    options = options_of(record, "synthesis_kwargs", "mapping_kwargs")
    fields = stylegan3_fields(state, who, options)
    noted = {name: attribute(record, "synthesis", name, options.get(name)) for name in _SG3_OPTIONS}
    fields |= {name: value for name, value in noted.items() if value is not None}
    first = next(name for name in state if name.startswith("synthesis.L0_")).rpartition(".")[0]
    fields |= {
        "conv_clamp": attribute(record, first, "conv_clamp", options.get("conv_clamp", 256)),
        "mapping_lr_mul": attribute(record, "mapping.fc0", "bias_gain", options.get("mapping_lr_mul", 0.01)),
    }
    compare(options, {name: fields[name] for name in _SG3_BY_SHAPE}, who)
    state, nonfinite = _replace_nonfinite_w_avg(state)
    net = load_state_dict_checked("stylegan3", fields, state, who=who)
    return _estimate_w_avg(net, who) if nonfinite else net


# Fields that no shape tells alone; the names and filters of the layers are compared with what they lead to.
_SG3_OPTIONS = (
    "num_critical", "first_cutoff", "first_stopband", "last_stopband_rel", "margin_size", "filter_size",
    "lrelu_upsampling", "output_scale", "magnitude_ema_beta",
)  # fmt: skip
_SG3_BY_SHAPE = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "num_layers", "conv_kernel")


def stylegan3_fields(state: Mapping[str, Tensor], who: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What names and shapes of a StyleGAN3 generator say about its config; `options` where they leave a choice.

    Raises:
        UnknownWeights: the layers are not numbered without a gap.
    """
    layers = sorted({tuple(map(int, match.groups())) for name in state if (match := _SG3_LAYER.match(name))})
    if [i for i, _, _ in layers] != list(range(len(layers))) or len(layers) < 3:
        raise UnknownWeights(f"{who} has the StyleGAN3 layers {[i for i, _, _ in layers][:20]}; some are missing.")
    w_dim = tensor_shape(state, "synthesis.input.affine.weight", 2, who)[1]
    c_dim = tensor_shape(state, "mapping.embed.weight", 2, who)[1] if "mapping.embed.weight" in state else 0
    _, px, channels = layers[-1]
    kernel = tensor_shape(state, "synthesis.L{}_{}_{}.weight".format(*layers[0]), 4, who)[-1]
    radial = any(name.endswith(".down_filter") and tensor.ndim == 2 for name, tensor in state.items())
    most = max(width for _, _, width in layers[:-1])
    last = layers[-2][2]  # its cutoff is half the resolution, so its width is channel_base / resolution
    return {
        "variant": "r" if kernel == 1 else "t",
        "z_dim": tensor_shape(state, "mapping.fc0.weight", 2, who)[1] - (w_dim if c_dim else 0),
        "c_dim": c_dim,
        "w_dim": w_dim,
        "img_resolution": px,
        "img_channels": channels,
        "channel_base": options.get("channel_base", last * px if last < most else None),
        "channel_max": options.get("channel_max", most),
        "conv_kernel": kernel,
        "use_radial_filters": radial,
        "num_mapping_layers": count_layers(state, "mapping.fc{}.weight"),
        "num_layers": len(layers) - 1,
    }


_SG3_LAYER = re.compile(r"synthesis\.L(\d{1,3})_(\d{1,5})_(\d{1,5})\.weight")


_READ = {"stylegan2 G": _stylegan2, "stylegan2 D": _stylegan2_d, "stylegan3 G": _stylegan3}
_FORMATS = {
    "stylegan2 G": "StyleGAN2 of NVIDIA's PyTorch repositories",
    "stylegan2 D": "StyleGAN2 discriminator of NVIDIA's PyTorch repositories",
    "stylegan3 G": "StyleGAN3 of NVIDIA's PyTorch repository",
}
