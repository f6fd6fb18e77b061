""".pkl files of NVIDIA's StyleGAN2-ADA and StyleGAN3 repositories and of R3GAN, which grew out of them.

Such a file is a dict of whole networks: their tensors, the options they were made from, and their source code, which
is neither run nor looked at. Sizes come from the tensors' shapes, the rest from what each layer has noted about itself;
where the options say something else than the shapes, the file is refused. State dicts with the same names
(.pt, .safetensors) are read as well, with the published defaults for what shapes cannot tell.

Layouts: formats.md of this project's notes; names in the files themselves.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BrokenWeights, UnknownWeights
from ganvas.models.protocol import Network
from ganvas.weights.allowed import Record
from ganvas.weights.fill import adopt, fill, some
from ganvas.weights.found import Found
from ganvas.weights.networks import attribute, is_network, state_of_network

_NETWORKS = ("G_ema", "G", "D")
_NUM_MEAN = 10_000  # mapped z for a new w_avg, as the projectors of the papers take
_BATCH = 1000

# Options that only say how fast or how training goes; everything else must be known or is said.
_WITHOUT_EFFECT = {
    "num_fp16_res", "use_fp16", "fp16_channels_last", "channels_last", "fused_modconv_default", "w_avg_beta",
    "freeze_layers", "magnitude_ema_beta", "magnitude_ema_decay", "disc_on_gen",
}  # fmt: skip


def fits(found: Found) -> bool:
    """A network pickle, or a state dict with the names of one."""
    chosen = [_choose(found, network) for network in ("G_ema", "D")]
    return any(_kind(state) is not None for _, state, _ in filter(None, chosen))


def read(found: Found, *, network: str = "G_ema") -> Network:
    """The network of a file that `fits`.

    Raises:
        UnknownWeights: the file has no such network, or one that is built differently.
        BrokenWeights: options and tensors contradict each other, or weights are not finite.
    """
    who = found.path.name
    chosen = _choose(found, network)
    if chosen is None:
        raise UnknownWeights(f"{who} has no network {network!r}; it has {_offered(found)}.")
    label, state, record = chosen
    kind = _kind(state)
    if kind is None or (network == "D") != kind.endswith("D"):
        raise UnknownWeights(
            f"{who}: its {label} is no {network} that ganvas knows; it begins with {some(list(state), 3)}."
        )
    made = _READ[kind](state, record, who)
    return adopt(made, format=_FORMATS[kind], network=label)


def _choose(found: Found, network: str) -> tuple[str, dict[str, Tensor], Record | None] | None:
    """(its name in the file, name → tensor, the record it came from): the network asked for."""
    wanted = ("D",) if network == "D" else (network, *(name for name in _NETWORKS[:2] if name != network))
    tree = found.tree
    if is_network(tree):
        return tree.class_name, state_of_network(tree, who=found.path.name), tree
    if not isinstance(tree, dict):
        return None
    for name in wanted:
        if is_network(tree.get(name)):
            return name, state_of_network(tree[name], who=found.path.name), tree[name]
    if any(is_network(tree.get(name)) for name in _NETWORKS):
        return None
    state = found.state_dict(*wanted, "state_dict")
    decoder = {name.removeprefix("decoder."): value for name, value in state.items() if name.startswith("decoder.")}
    label = next((name for name in wanted if isinstance(tree.get(name), dict)), network)
    return (label, decoder or state, None) if state else None


def _offered(found: Found) -> str:
    return ", ".join(name for name in _NETWORKS if name in found.tree) or "none"


def _kind(state: Mapping[str, Tensor]) -> str | None:
    if "synthesis.b4.const" in state and "mapping.fc0.weight" in state:
        return "stylegan2 G"
    if "b4.fc.weight" in state and "b4.out.weight" in state:
        return "stylegan2 D"
    if any(re.fullmatch(r"(Model\.)?MainLayers\.0\.Layers\.0\.Basis", name) for name in state):
        return "r3gan G"
    if any(re.fullmatch(r"(Model\.)?ExtractionLayer\.Layer\.weight", name) for name in state):
        return "r3gan D"
    return None


# ---- StyleGAN2 ---------------------------------------------------------------------------------------------------


def _stylegan2(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    options = _options(record, "synthesis_kwargs", "mapping_kwargs")
    fields = stylegan2_fields(state, who, options)
    layer = "synthesis.b4.conv1"
    fields |= {
        "conv_clamp": attribute(
            record, layer, "conv_clamp", options.get("conv_clamp", 256 if record is None else None)
        ),
        "mapping_lr_mul": attribute(record, "mapping.fc0", "bias_gain", options.get("lr_multiplier", 0.01)),
        "architecture": attribute(record, "synthesis.b4", "architecture", _architecture(state)),
    }
    _compare(
        options, fields | {"num_layers": fields["num_mapping_layers"], "lr_multiplier": fields["mapping_lr_mul"]}, who
    )
    state, sick = _without_sick_w_avg(state)
    made = fill(
        "stylegan2", fields, state, who=who, may_miss=[r".*\.resample_filter"], may_have=[r".*\.resample_filter"]
    )
    return _with_new_w_avg(made, who) if sick else made


def stylegan2_fields(state: Mapping[str, Tensor], who: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the shapes of a StyleGAN2 generator's tensors say about its config; `options` where shapes leave a choice.

    Raises:
        UnknownWeights: no consistent set of sizes.
    """
    w_dim = shape_of(state, "synthesis.b4.conv1.affine.weight", 2, who)[1]
    c_dim = shape_of(state, "mapping.embed.weight", 2, who)[1] if "mapping.embed.weight" in state else 0
    channels = _widths(state, "synthesis.b{}.conv1.weight", 0, who)
    return {
        "w_dim": w_dim,
        "c_dim": c_dim,
        "z_dim": shape_of(state, "mapping.fc0.weight", 2, who)[1] - (w_dim if c_dim else 0),
        "img_resolution": max(channels),
        "img_channels": shape_of(state, f"synthesis.b{max(channels)}.torgb.weight", 4, who)[0],
        "num_mapping_layers": _count(state, "mapping.fc{}.weight"),
        "use_noise": "synthesis.b4.conv1.noise_strength" in state,
        "resample_filter": _taps(state.get("synthesis.b4.conv1.resample_filter")),
        **_channel_rule(channels, options or {}, who),
    }


def _stylegan2_d(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    channels = _widths(state, "b{}.conv0.weight", 0, who) | {4: shape_of(state, "b4.conv.weight", 4, who)[0]}
    c_dim = shape_of(state, "mapping.embed.weight", 2, who)[1] if "mapping.embed.weight" in state else 0
    options = _options(record, "block_kwargs", "mapping_kwargs", "epilogue_kwargs")
    top = max(channels)
    statistics = shape_of(state, "b4.conv.weight", 4, who)[1] - channels[4]
    fields = {
        "c_dim": c_dim,
        "img_resolution": top,
        "img_channels": shape_of(state, f"b{top}.fromrgb.weight", 4, who)[1],
        "cmap_dim": shape_of(state, "b4.out.weight", 2, who)[0] if c_dim else None,
        "num_mapping_layers": _count(state, "mapping.fc{}.weight") or 8,
        "mapping_lr_mul": attribute(record, "mapping.fc0", "bias_gain", 0.01),
        "architecture": attribute(record, "b8", "architecture", "resnet" if "b8.skip.weight" in state else "skip"),
        "mbstd_group_size": attribute(record, "b4.mbstd", "group_size", 4),
        "mbstd_num_channels": statistics,
        "conv_clamp": attribute(record, "b8.conv0", "conv_clamp", 256 if record is None else None),
        "resample_filter": _taps(state.get("b8.conv0.resample_filter")),
        **_channel_rule(channels, options, who),
    }
    _compare(options, fields, who)
    filters = [r".*\.resample_filter"]
    return fill("stylegan2", fields, state, who=who, network="D", may_miss=filters, may_have=filters)


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
            f"{who} has {dict(channels)} channels by resolution; ganvas knows min(base / resolution, max)."
        )
    return {"channel_base": base, "channel_max": most}


def _follow(channels: Mapping[int, int], base: int, most: int) -> bool:
    return all(min(base // res, most) == count for res, count in channels.items())


def _without_sick_w_avg(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The mean latent of some published files is NaN: float16 had overflowed once, and a running mean never forgets."""
    w_avg = state.get("mapping.w_avg")
    if w_avg is None or bool(torch.isfinite(w_avg).all()):
        return state, False
    return state | {"mapping.w_avg": torch.zeros(w_avg.shape)}, True


def _with_new_w_avg(made: Any, who: str) -> Network:
    made.w_avg.copy_(mean_w(made))
    note = (
        f"w_avg in {who} is not finite, so truncation would give nothing; it was estimated anew from {_NUM_MEAN:,} "
        "random latents"
    )
    warnings.warn(note, stacklevel=5)
    made.facts["notes"] = [*made.facts.get("notes", []), note]
    return made


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


# ---- R3GAN -------------------------------------------------------------------------------------------------------


def _r3gan(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    state = _bare(state)
    stages = _count(state, "MainLayers.{}.Layers.1.LinearLayer1.Layer.weight")
    widths, inner, groups, blocks = _r3gan_stages(state, range(stages), 1, who)
    w_dim = shape_of(state, "MainLayers.0.Layers.0.LinearLayer.weight", 2, who)[1]
    embedded, c_dim = shape_of(state, "EmbeddingLayer.weight", 2, who) if "EmbeddingLayer.weight" in state else (0, 0)
    fields = {
        "z_dim": w_dim - embedded,
        "c_dim": c_dim,
        "c_embed_dim": embedded or 64,
        "img_resolution": 4 << (stages - 1),
        "img_channels": shape_of(state, "AggregationLayer.Layer.weight", 4, who)[0],
        "widths": widths,
        "cardinalities": groups,
        "blocks": blocks,
        "expansion": _expansion(widths, inner, who),
        "resample_taps": _taps(state.get("MainLayers.1.Layers.0.Resampler.Kernel")),
    }
    _compare(_options(record), fields, who)
    return fill("r3gan", fields, _r3gan_names(state, stages, at_front=True), who=who)


def _r3gan_d(state: dict[str, Tensor], record: Record | None, who: str) -> Network:
    state = _bare(state)
    stages = _count(state, "MainLayers.{}.Layers.0.LinearLayer1.Layer.weight")
    widths, inner, groups, blocks = _r3gan_stages(state, range(stages)[::-1], 0, who)
    answers = shape_of(state, f"MainLayers.{stages - 1}.Layers.{blocks[0]}.LinearLayer.weight", 2, who)[0]
    c_dim = shape_of(state, "EmbeddingLayer.weight", 2, who)[1] if "EmbeddingLayer.weight" in state else 0
    fields = {
        "c_dim": c_dim,
        "c_embed_dim": answers if c_dim else 0,
        "img_resolution": 4 << (stages - 1),
        "img_channels": shape_of(state, "ExtractionLayer.Layer.weight", 4, who)[1],
        "widths": widths,
        "cardinalities": groups,
        "blocks": blocks,
        "expansion": _expansion(widths, inner, who),
        "resample_taps": _taps(state.get(f"MainLayers.0.Layers.{blocks[-1]}.Resampler.Kernel")),
    }
    _compare(_options(record), fields, who)
    return fill("r3gan", fields, _r3gan_names(state, stages, at_front=False), who=who, network="D")


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("Model."): tensor for name, tensor in state.items()}


def _r3gan_stages(
    state: Mapping[str, Tensor], stages: Iterable[int], first: int, who: str
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Width, width inside, groups and number of blocks of each stage, from 4 px up; `first` = its first block."""
    rows = []
    for stage in stages:
        layer = f"MainLayers.{stage}.Layers."
        inner, width = shape_of(state, f"{layer}{first}.LinearLayer1.Layer.weight", 4, who)[:2]
        grouped = shape_of(state, f"{layer}{first}.LinearLayer2.Layer.weight", 4, who)
        blocks = _count(state, layer + "{}.LinearLayer1.Layer.weight", start=first)
        rows.append((width, inner, max(grouped[0] // max(grouped[1], 1), 1), blocks))
    widths, insides, groupings, counts = zip(*rows, strict=True)
    return widths, insides, groupings, counts


def _expansion(widths: tuple[int, ...], inner: tuple[int, ...], who: str) -> int:
    if any(inside != widths_ * (inner[0] // widths[0]) for widths_, inside in zip(widths, inner, strict=True)):
        raise UnknownWeights(
            f"{who} has blocks of widths {widths} that are {inner} wide inside; ganvas knows one factor."
        )
    return inner[0] // widths[0]


def _r3gan_names(state: Mapping[str, Tensor], stages: int, *, at_front: bool) -> dict[str, Tensor]:
    """Their names → ours. In the generator a stage's transition comes before its blocks, in the discriminator after."""
    renamed = {}
    for name, tensor in state.items():
        new = name
        if match := re.fullmatch(r"MainLayers\.(\d+)\.Layers\.(\d+)\.(.+)", name):
            last = _count(state, f"MainLayers.{match[1]}.Layers." + "{}.LinearLayer1.Layer.weight")
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


# ---- What both need ----------------------------------------------------------------------------------------------


def shape_of(state: Mapping[str, Tensor], name: str, axes: int, who: str) -> tuple[int, ...]:
    """The shape of a tensor that must be there with so many axes.

    Raises:
        UnknownWeights: it is not.
    """
    if name not in state or state[name].ndim != axes or 0 in state[name].shape:
        came = f"has shape {list(state[name].shape)}" if name in state else "is missing"
        raise UnknownWeights(f"{who} looks like a network ganvas knows, but {name} {came}; {axes} axes were expected.")
    return tuple(state[name].shape)


def _widths(state: Mapping[str, Tensor], pattern: str, axis: int, who: str) -> dict[int, int]:
    """Resolution → channels, for the resolutions 4, 8, … that are there without a gap."""
    widths = {}
    for res in (4 << k for k in range(12)):
        if pattern.format(res) in state:
            widths[res] = shape_of(state, pattern.format(res), 4, who)[axis]
    wanted = [4 << k for k in range(12)]
    first = wanted.index(min(widths, default=4))
    if not widths or list(widths) != wanted[first : first + len(widths)] or first > 1:
        raise UnknownWeights(
            f"{who} has layers for the resolutions {list(widths) or 'none'}; one is missing in between."
        )
    return widths


def _count(state: Mapping[str, Tensor], pattern: str, start: int = 0) -> int:
    """How many of pattern.format(start), pattern.format(start + 1), … are there without a gap."""
    count = 0
    while pattern.format(start + count) in state:
        count += 1
    return count


def _taps(kernel: Tensor | None) -> tuple[float, ...]:
    """The taps of a separable filter: as the small whole numbers they were written as, where they are these."""
    if kernel is None or kernel.ndim not in (1, 2) or kernel.numel() == 0 or not 1 <= kernel.shape[0] <= 64:
        return (1, 3, 3, 1)
    row = (kernel if kernel.ndim == 1 else kernel.sum(dim=0)).double()
    smallest = row[row.abs() > 1e-8].abs().min() if bool((row.abs() > 1e-8).any()) else row.new_ones(())
    whole = (row / smallest).round()
    close = torch.allclose(row / smallest, whole, atol=1e-3)
    return tuple(float(n) for n in (whole if close else row))


def _options(record: Record | None, *groups: str) -> dict[str, Any]:
    """What the network was made from, the named groups of options spread out."""
    given = record.state.get("_init_kwargs") if record is not None else None
    options = dict(given) if isinstance(given, dict) else {}
    for group in groups:
        inner = options.pop(group, None)
        options |= inner if isinstance(inner, dict) else {}
    return {name: value for name, value in options.items() if isinstance(name, str)}


def _compare(options: Mapping[str, Any], fields: Mapping[str, Any], who: str) -> None:
    """The options of the file must not contradict its tensors.

    Raises:
        BrokenWeights: they do.
        UnknownWeights: an option that ganvas does not have.
    """
    for name, value in options.items():
        if name in _WITHOUT_EFFECT or name not in fields or value is None:
            continue
        ours = fields[name]
        if not _same(ours, value):
            raise BrokenWeights(
                f"{who} contradicts itself: its options say {name} = {value!r:.60}, its tensors {ours!r:.60}."
            )
    if options.get("activation", "lrelu") != "lrelu":
        raise UnknownWeights(f"{who} uses the activation {options['activation']!r:.40}; ganvas knows 'lrelu'.")


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple):
        return isinstance(theirs, (list, tuple)) and _proportional(ours, theirs)
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) <= 1e-6 * max(abs(ours), 1)
    return bool(ours == theirs)


def _proportional(ours: tuple[float, ...], theirs: Sequence[Any]) -> bool:
    """The same filter? Filters are scaled to the sum 1 when they are used."""
    if len(ours) != len(theirs) or not all(isinstance(n, (int, float)) for n in theirs) or not sum(theirs):
        return False
    return all(abs(a / sum(ours) - b / sum(theirs)) < 1e-4 for a, b in zip(ours, theirs, strict=True))


_READ = {"stylegan2 G": _stylegan2, "stylegan2 D": _stylegan2_d, "r3gan G": _r3gan, "r3gan D": _r3gan_d}
_FORMATS = {
    "stylegan2 G": "StyleGAN2 of NVIDIA's PyTorch repositories",
    "stylegan2 D": "StyleGAN2 discriminator of NVIDIA's PyTorch repositories",
    "r3gan G": "R3GAN",
    "r3gan D": "R3GAN discriminator",
}
