"""Starting from weights that know something already: what fits is taken over, what does not is named.

Fewer pictures then go much further, above all with FreezeD (`freeze_d`): Mo et al. 2020, "Freeze the Discriminator".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, WeightsError
from ganvas.fields import check_known
from ganvas.models.protocol import Generator, Network, Upscaler
from ganvas.training.generator.config import TrainConfig
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.weights.load import load

MIN_SHARED_WEIGHTS = 0.5  # of the generator's numbers: below, it is another network
_FROM_DATA = ("img_resolution", "img_channels", "c_dim")


@dataclass(frozen=True, kw_only=True)
class InitReport:
    """What a run began with."""

    source: str = ""  # "" = from scratch
    lines: tuple[str, ...] = ()  # what was taken over and what was not, part by part

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"source": self.source, "lines": list(self.lines)}


def init_from_weights(G: nn.Module, D: nn.Module, source: str | Path) -> InitReport:
    """Copy into two networks what fits of the weights in a file, or of the catalogue.

    Args:
        G, D: fresh.
        source: a file or a catalogue name. The discriminator is taken from it where it holds one, or from the
            `D.safetensors` beside it, as our runs have it.

    Returns:
        What happened, in words.

    Raises:
        BadConfig: another family, or less than half of the generator fits.
        WeightsError: the file cannot be read.
    """
    theirs: Any = load(source)
    if not isinstance(theirs, Generator):
        kind = getattr(theirs, "family", "network")
        raise BadConfig(f"{source} holds no generator but a {kind}: nothing to start from.")
    their_generator: Any = theirs
    if isinstance(G, Network) and their_generator.family != G.family:
        raise BadConfig(
            f"{source} is a {their_generator.family}, this run trains a {G.family}: choose a preset of that family."
        )
    share, lines = copy_matching_weights(G, their_generator, who="generator")
    if share < MIN_SHARED_WEIGHTS:
        raise BadConfig(
            f"only {100 * share:.0f} % of {source} fit this generator, so there is nothing to gain from it:\n  "
            + "\n  ".join(lines)
        )
    discriminator = _discriminator_of(source)
    if discriminator is None:
        lines.append("discriminator: the file holds none; it starts anew and needs a few thousand pictures to catch up")
    else:
        lines += copy_matching_weights(D, discriminator, who="discriminator")[1]
    return InitReport(source=str(source), lines=tuple(lines))


def _discriminator_of(source: str | Path) -> nn.Module | None:
    beside = Path(source).expanduser().parent / "D.safetensors"
    for place in (source, beside):
        try:
            return load(place, network="D")
        except (WeightsError, BadConfig):
            continue
    return None


@torch.no_grad()
def copy_matching_weights(ours: nn.Module, theirs: nn.Module, *, who: str) -> tuple[float, list[str]]:
    """Copy every tensor whose name and shape are the same.

    Returns:
        The share of our numbers that were taken over, and lines that name the parts that were not.
    """
    mine, its = ours.state_dict(), theirs.state_dict()
    fits = {name for name in mine if name in its and mine[name].shape == its[name].shape}
    for name in fits:
        mine[name].copy_(its[name])
    total = sum(tensor.numel() for tensor in mine.values())
    share = sum(mine[name].numel() for name in fits) / max(total, 1)
    lines = [f"{who}: {100 * share:.0f} % taken over ({len(fits)} of {len(mine)} parts)"]
    lines += [f"{who}: {line}" for line in _explain_mismatches(mine, its, fits)]
    return share, lines


def _explain_mismatches(mine: Mapping[str, Tensor], its: Mapping[str, Tensor], fits: set[str]) -> list[str]:
    """What was not taken over, part by part."""
    shapes = [name for name in mine if name in its and name not in fits]
    fresh, unused = [name for name in mine if name not in its], [name for name in its if name not in mine]
    lines = [
        f"{name} is {list(its[name].shape)} there, {list(mine[name].shape)} here: starts anew" for name in shapes[:8]
    ]
    lines += [f"… and {len(shapes) - 8} more of another shape"] if len(shapes) > 8 else []
    lines += [f"not in the file, start anew: {_some(fresh)}"] if fresh else []
    lines += [f"in the file only, left aside: {_some(unused)}"] if unused else []
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def shaped_like(config: TrainConfig, source: str | Path) -> TrainConfig:
    """The config with the networks of a file: its family, widths and resolution, but for what was set by hand.

    Raises:
        BadConfig: the file holds no generator of a family that can be trained.
        WeightsError: it cannot be read.
    """
    theirs = load(source)
    check_known(
        getattr(theirs, "family", "none"),
        ("mlp", "dcgan", "fastgan", "stylegan2", "stylegan3", "r3gan"),
        what="family to train",
    )
    if theirs.family != config.family:
        raise BadConfig(
            f"{source} is a {theirs.family} generator, the preset trains a {config.family}: choose a preset of that "
            "family, or --preset auto."
        )
    fields = {name: value for name, value in asdict(theirs.config).items() if name not in _FROM_DATA}
    discriminator = _discriminator_of(source)
    if discriminator is not None and isinstance(discriminator, Network):
        discriminator_fields = {
            name: value for name, value in asdict(discriminator.config).items() if name not in _FROM_DATA
        }
    else:
        discriminator_fields = {
            name: fields[name] for name in ("channel_base", "channel_max") if fields.get(name) is not None
        }
    return replace(
        config,
        generator={**fields, **config.generator},
        discriminator={**discriminator_fields, **config.discriminator},
        resolution=config.resolution or theirs.img_resolution,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Upscalers


def upscaler_like(config: UpscalerConfig, source: str | Path) -> UpscalerConfig:
    """The config with the network of a file: its family, width and depth.

    Raises:
        BadConfig: the file holds no upscaler that can be trained, or one of another scale.
        WeightsError: it cannot be read.
    """
    theirs: Any = load(source)
    kind: Any = getattr(theirs, "family", "network")
    if not isinstance(theirs, Upscaler):
        raise BadConfig(f"{source} holds no upscaler but a {kind}")
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
    discriminator = None if D is None else _discriminator_of(source)
    if D is not None and discriminator is not None:
        lines += copy_matching_weights(D, discriminator, who="discriminator")[1]
    return InitReport(source=str(source), lines=tuple(lines))
