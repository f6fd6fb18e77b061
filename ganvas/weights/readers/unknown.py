"""When no reader fits: what was seen in the file, what it is nearest to, and what is missing for that."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor

from ganvas.errors import UnknownWeights
from ganvas.models import FAMILIES
from ganvas.weights.contents import FileContents
from ganvas.weights.open_file import largest_state_dict
from ganvas.weights.pickles.modules import choose_network
from ganvas.weights.pickles.records import Record
from ganvas.weights.readers.state_dict import empty_state_dict, format_names
from ganvas.weights.wrapped import unwrap_weights

MAX_INNER = 12  # mappings inside wrappings that are compared

# What a file of that kind is called, and patterns of names it has; all must be there.
_LAYOUTS: dict[str, tuple[str, ...]] = {
    "GFPGAN (face restoration; ganvas has no such family)": (r"conv_body_first\..*", r"stylegan_decoder\..*"),
    "CodeFormer (face restoration; ganvas has no such family)": (r"quantize\.embedding.*", r"ft_layers\..*"),
    "AnimeGANv2 (ganvas has no such family)": (r"block_a\..*", r"block_e\..*", r"out_layer\..*"),
    "StarGAN v2 (ganvas has no such family)": (r"from_rgb\..*", r"encode\.\d+\..*", r"decode\.\d+\..*", r"to_rgb\..*"),
    "SwinIR (ganvas has no such family)": (r"layers\.\d+\.residual_group\..*",),
    "Stable Diffusion (not a GAN)": (r"model\.diffusion_model\..*",),
    "a diffusion model (not a GAN)": (r"down_blocks\..*", r"up_blocks\..*", r"time_embedding\..*"),
    "a LoRA for diffusion models (not a GAN)": (r".*lora_(up|down|A|B)\..*",),
    "a VGG network (a classifier, not a GAN)": (r"features\.0\.weight", r"classifier\.0\.weight"),
    "a ResNet (a classifier, not a GAN)": (r"layer1\.0\.conv1\.weight", r"fc\.weight"),
    "an encoder of pSp, e4e or ReStyle without its generator": (r"(encoder\.)?body\.\d+\.res_layer\..*",),
    "an ESRGAN or Real-ESRGAN upscaler": (r"conv_first\.weight", r"(body|RRDB_trunk)\.0\..*"),
    "an old ESRGAN upscaler": (r"model\.1\.sub\.0\..*",),
    "a compact Real-ESRGAN upscaler (SRVGGNetCompact)": (r"body\.0\.weight", r"body\.1\.weight", r"body\.2\.weight"),
    "a CycleGAN or pix2pix generator": (r"model\.1\.weight", r"model\.10\.conv_block\..*"),
    "a pix2pix U-Net": (r"model\.model\.0\.weight",),
    "StyleGAN2 of rosinality's port": (r"style\.1\.weight", r"convs\.0\.conv\.weight"),
    "a discriminator of rosinality's StyleGAN2 port": (r"convs\.0\.0\.weight", r"final_conv\.0\.weight"),
    "FastGAN of the Projected GAN repository (ganvas has the original one)": (r"synthesis\.init\.init\..*",),
    "StyleGAN-XL (ganvas has no such family)": (r"synthesis\.L0_.*", r"mapping\.embed_proj\..*"),
    "StyleGAN2": (r"mapping\.fc0\.weight", r"synthesis\.b4\.const"),
    "StyleGAN3": (r"mapping\.fc0\.weight", r"synthesis\.L0_.*"),
}


def unknown_weights_error(contents: FileContents) -> UnknownWeights:
    """The error for a file that can be read and fits nothing: with its names, shapes and nearest family."""
    name = contents.path.name
    if contents.container == "numpy" or isinstance(contents.tree, Tensor):
        return UnknownWeights(
            f"{name} contains {_contents(contents.tree)}: perhaps an edit direction or latents, but no "
            "network. Read directions with ganvas.weights.readers.directions.read_directions."
        )
    chosen = choose_network(contents, "G_ema") or choose_network(contents, "D")  # the inside of a network pickle
    state = chosen[1] if chosen is not None and chosen[1] else largest_state_dict(contents)
    if not state:
        return UnknownWeights(f"{name} contains no supported weights: {_contents(contents.tree)}.")
    inner = [candidate.tree for candidate in itertools.islice(unwrap_weights(contents, "G_ema"), MAX_INNER)]
    nearest = max((state, *inner), key=_likeness)
    return UnknownWeights(f"no family matches {name}. It contains {_contents(state)}. {_nearest(nearest)}")


def _likeness(state: Mapping[str, Tensor]) -> tuple[bool, float]:
    """How much like anything known: a whole layout, then the share of names in common with a family."""
    layout = any(_has_all(state, wanted) for wanted in _LAYOUTS.values())
    return layout, max(_overlap(state, family)[1] for family in FAMILIES)


def _contents(tree: Any) -> str:
    """A line about what is there: "312 tensors: a.weight [64, 3], …"."""
    if isinstance(tree, Record):
        return f"an object of class {tree.class_name[:80]}"
    if isinstance(tree, Mapping) and tree:
        names = [f"{key!s:.60} {_kind(value)}" for key, value in list(tree.items())[:5]]
        what = "tensors" if all(isinstance(value, Tensor) for value in tree.values()) else "entries"
        return f"{len(tree):,} {what}: {', '.join(names)}" + (", …" if len(tree) > 5 else "")
    return _kind(tree)


def _kind(value: Any) -> str:
    if hasattr(value, "shape"):
        return str(list(value.shape))
    if isinstance(value, Record):
        return f"({value.class_name[:60]})"
    if isinstance(value, Mapping):
        return f"(dict of {len(value):,}: {format_names([str(key) for key in value], 3)})" if value else "(empty dict)"
    return f"({type(value).__name__})"


def _nearest(state: Mapping[str, Tensor]) -> str:
    layout = next((name for name, wanted in _LAYOUTS.items() if _has_all(state, wanted)), None)
    if layout is not None:
        return f"By its tensor names it is {layout}."
    family, share, missing, extra = max((_overlap(state, family) for family in FAMILIES), key=lambda row: row[1])
    if share == 0:
        return f"It has no names in common with any family ({', '.join(sorted(FAMILIES))})."
    return (
        f"Nearest is {family}: {share:.0%} of the names match; {family} also has "
        f"{format_names(missing, 3) or 'nothing more'}, and does not have "
        f"{format_names(extra, 3) or 'nothing of this'}."
    )


def _has_all(state: Mapping[str, Tensor], wanted: tuple[str, ...]) -> bool:
    return all(any(re.fullmatch(pattern, name) for name in state) for pattern in wanted)


def _overlap(state: Mapping[str, Tensor], family: str) -> tuple[str, float, list[str], list[str]]:
    """(family, share of names in common, names only it has, names only the file has); numbers in names do not count."""
    theirs, ours = {_template(name) for name in state}, _templates(family)
    common = theirs & ours
    return family, len(common) / len(theirs | ours), sorted(ours - theirs), sorted(theirs - ours)


def _template(name: str) -> str:
    return re.sub(r"\d+", "N", name[:200])


@lru_cache
def _templates(family: str) -> frozenset[str]:
    return frozenset(_template(name) for name in empty_state_dict(family))
