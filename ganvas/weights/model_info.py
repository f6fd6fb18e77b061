"""Description of a model and the commands that accept it, for `ganvas models info` and the web page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ganvas.models import FAMILIES
from ganvas.models.protocol import Network, SizeRules
from ganvas.weights.checkpoint import fingerprint


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A loaded network, described."""

    family: str
    kind: str  # "generator", "upscaler", "translator" or "discriminator"
    parameters: int
    fingerprint: str  # what recipes and directions know it by
    properties: dict[str, str]  # resolution, latents, scale, size rules …
    uses: tuple[str, ...]  # commands that take it
    facts: dict[str, Any] = field(default_factory=dict)  # what its file said: licence, source, notes


def describe(network: Network, *, name: str) -> ModelInfo:
    """What `network` is; `name` (a catalogue name or a path) is put into the commands."""
    kind = _kind(network)
    return ModelInfo(
        family=network.family,
        kind=kind,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        fingerprint=fingerprint(network),
        properties=_PROPERTIES[kind](network),
        uses=tuple(use.format(name=_quote(name)) for use in _uses(network, kind)),
        facts=dict(network.facts),
    )


def _kind(network: Network) -> str:
    """A discriminator is built from the discriminator's config; else the family says it."""
    row = FAMILIES[network.family]
    return "discriminator" if type(network.config) is row.discriminator_config else row.kind


def _generator(G: Any) -> dict[str, str]:
    return {
        "picture": f"{G.img_resolution} × {G.img_resolution} px, {G.img_channels} channels",
        "latent": f"z {G.z_dim} → ws {G.num_ws} × {G.w_dim}",
        "classes": str(G.c_dim) if G.c_dim else "none (unconditional)",
    }


def _upscaler(network: Any) -> dict[str, str]:
    return {
        "scale": f"×{network.scale}",
        "channels": str(network.img_channels),
        "picture sizes": _sizes(network.size_rules),
    }


def _translator(network: Any) -> dict[str, str]:
    return {
        "channels": f"{network.in_channels} → {network.out_channels}",
        "picture sizes": _sizes(network.size_rules),
        "normalisation": "sees the whole image" if network.whole_image_norm else "can be tiled",
    }


def _discriminator(D: Any) -> dict[str, str]:
    return {"judges": f"{D.img_resolution} × {D.img_resolution} px, {D.img_channels} channels"}


_PROPERTIES = {
    "generator": _generator,
    "upscaler": _upscaler,
    "translator": _translator,
    "discriminator": _discriminator,
}


def _uses(network: Any, kind: str) -> list[str]:
    if kind == "upscaler":
        return ["ganvas upscale -i IN -o OUT -n {name}", "ganvas models export {name} -o OUT.onnx"]
    if kind == "translator":
        return ["ganvas translate -i IN -o OUT -n {name}", "ganvas models export {name} -o OUT.onnx"]
    if kind == "discriminator":
        return ["ganvas train --data DIR --init-from {name}   (next to its generator)"]
    styles = ["ganvas mix --model {name}"] if network.num_ws > 1 else []
    return [
        "ganvas generate --model {name} --seeds 0-7",
        "ganvas interpolate --model {name} --seeds 0-3",
        *styles,
        "ganvas invert PHOTO --model {name} -o FACE.npz",
        "ganvas edit PHOTO --model {name} -o OUT",
        "ganvas directions find --model {name}",
        "ganvas train --data DIR --init-from {name}",
        "ganvas models export {name} -o OUT.onnx",
    ]


def _sizes(rules: SizeRules) -> str:
    parts = [f"from {rules.minimum_px} px"] if rules.minimum_px > 1 else ["any"]
    parts += [f"padded to a multiple of {rules.multiple_of}"] if rules.multiple_of > 1 else []
    parts += ["square"] if rules.square else []
    return ", ".join(parts)


def _quote(name: str) -> str:
    return f'"{name}"' if " " in name else name
