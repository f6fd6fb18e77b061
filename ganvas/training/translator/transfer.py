"""Starting a translator's run from weights: another run's, or a published network's."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.training.engine.transfer import InitReport, copy_matching_weights
from ganvas.training.translator.config import TranslatorConfig
from ganvas.translation import translator


def translator_like(config: TranslatorConfig, source: str | Path) -> TranslatorConfig:
    """The config with the network of a file: its family, width and depth.

    Raises:
        BadConfig: it is no translator that can be trained, or one of other channels. WeightsError: it cannot be read.
    """
    way, theirs = next(iter(_find_networks(source, config).items()))
    check_known(theirs.family, ("cyclegan", "pix2pix"), what="family to train")
    if (theirs.in_channels, theirs.out_channels) != config.channels(way):
        raise BadConfig(
            f"{source} goes from {theirs.in_channels} to {theirs.out_channels} channels, this run's {way} from "
            f"{config.channels(way)[0]} to {config.channels(way)[1]}: set channels_a and channels_b, or another file"
        )
    fields: dict[str, Any] = asdict(theirs.config)
    fields = {name: value for name, value in fields.items() if name not in ("in_channels", "out_channels")}
    return replace(config, family=theirs.family, generator=fields)


def init_translators_from_weights(G: nn.ModuleDict, config: TranslatorConfig, source: str | Path) -> InitReport:
    """Copy the weights of each direction that is there into fresh networks; discriminators begin anew.

    Args:
        G: translators by direction, as `translator_like` has them.
        config: of the run.
        source: a catalogue name, a file (the other direction is looked for beside it), or the folder of a run.
    """
    networks = _find_networks(source, config)
    lines = []
    for way in config.ways:
        if way in networks:
            lines += copy_matching_weights(G[way], networks[way], who=way)[1]
        else:
            lines.append(f"{way}: not in {source}, randomly initialized")
    return InitReport(source=str(source), lines=tuple(lines))


def _find_networks(source: str | Path, config: TranslatorConfig) -> dict[str, Any]:
    """Translators by direction; a file that does not say its direction is of the first one that is learnt."""
    networks: dict[str, Any] = {}
    for way in config.ways:
        try:
            networks[way] = translator(source, direction=way)
        except BadConfig:
            continue
    return networks or {config.direction: translator(source)}
