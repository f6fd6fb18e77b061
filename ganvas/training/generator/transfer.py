"""Starting a generator's training from weights that know something already.

Fewer pictures then go much further, above all with FreezeD (`freeze_d`): Mo et al. 2020, "Freeze the Discriminator".
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.protocol import Generator, Network
from ganvas.training.engine.transfer import InitReport, copy_matching_weights, load_discriminator_beside
from ganvas.training.generator.config import TrainConfig
from ganvas.weights.load import load

MIN_SHARED_WEIGHTS = 0.5  # of the generator's numbers: below, it is another network
_FROM_DATA = ("img_resolution", "img_channels", "c_dim")


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
        raise BadConfig(f"{source} contains no generator but a {kind}.")
    their_generator: Any = theirs
    if isinstance(G, Network) and their_generator.family != G.family:
        raise BadConfig(
            f"{source} is a {their_generator.family}, this run trains a {G.family}: choose a preset of that family."
        )
    share, lines = copy_matching_weights(G, their_generator, who="generator")
    if share < MIN_SHARED_WEIGHTS:
        raise BadConfig(
            f"only {100 * share:.0f} % of {source} match this generator, too little for fine-tuning:\n  "
            + "\n  ".join(lines)
        )
    discriminator = load_discriminator_beside(source)
    if discriminator is None:
        lines.append(
            "discriminator: not in the file; it is randomly initialized and needs a few thousand images to catch up"
        )
    else:
        lines += copy_matching_weights(D, discriminator, who="discriminator")[1]
    return InitReport(source=str(source), lines=tuple(lines))


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
    discriminator = load_discriminator_beside(source)
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
        channels=config.channels or (None if theirs.img_channels == 3 else theirs.img_channels),
    )
