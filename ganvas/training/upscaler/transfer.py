"""Starting an upscaler's training from weights."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.protocol import Upscaler
from ganvas.training.engine.transfer import InitReport, copy_matching_weights, load_discriminator_beside
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.weights.load import load


def upscaler_like(config: UpscalerConfig, source: str | Path) -> UpscalerConfig:
    """The config with the network of a file: its family, width and depth.

    Raises:
        BadConfig: the file holds no upscaler that can be trained, or one of another scale.
        WeightsError: it cannot be read.
    """
    theirs: Any = load(source)
    kind: Any = getattr(theirs, "family", "network")
    if not isinstance(theirs, Upscaler):
        raise BadConfig(f"{source} contains no upscaler but a {kind}")
    check_known(kind, ("srvgg", "rrdbnet"), what="family to train")
    if theirs.scale != config.scale or theirs.img_channels != 3:
        raise BadConfig(
            f"{source} makes {theirs.img_channels} channels {theirs.scale} times larger, this run trains 3 channels "
            f"and ×{config.scale}: --set scale={theirs.scale}, or another file"
        )
    known: dict[str, Any] = asdict(theirs.config)  # type: ignore[attr-defined]
    fields = {name: value for name, value in known.items() if name not in ("img_channels", "scale")}
    return replace(config, family=kind, generator=fields)


def init_upscaler_from_weights(G: nn.Module, D: nn.Module | None, source: str | Path) -> InitReport:
    """Copy the weights of an upscaler's file, and of the discriminator beside it, into fresh networks.

    Args:
        G: as `upscaler_like` has it.
        D: may be None.
        source: a file or a catalogue name.
    """
    lines = copy_matching_weights(G, load(source), who="upscaler")[1]
    discriminator = None if D is None else load_discriminator_beside(source)
    if D is not None and discriminator is not None:
        lines += copy_matching_weights(D, discriminator, who="discriminator")[1]
    return InitReport(source=str(source), lines=tuple(lines))
