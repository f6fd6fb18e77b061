"""Generators, discriminators, translators, upscalers: one family, one file.

FAMILIES is the one place where a name in a checkpoint becomes code: written out by hand, searchable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.cyclegan import CycleGANDiscriminator, CycleGANDiscriminatorConfig, ResNetConfig, ResNetGenerator
from ganvas.models.dcgan import DCGANConfig, DCGANDiscriminator, DCGANDiscriminatorConfig, DCGANGenerator
from ganvas.models.fastgan import FastGANConfig, FastGANDiscriminator, FastGANDiscriminatorConfig, FastGANGenerator
from ganvas.models.mlp import MLPConfig, MLPDiscriminator, MLPDiscriminatorConfig, MLPGenerator
from ganvas.models.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
from ganvas.models.pix2pix import PatchGAN, PatchGANConfig, UNet, UNetConfig
from ganvas.models.protocol import Network
from ganvas.models.r3gan import R3GANConfig, R3GANDiscriminator, R3GANDiscriminatorConfig, R3GANGenerator
from ganvas.models.rrdbnet import RRDBConfig, RRDBNet, UNetDiscriminator, UNetDiscriminatorConfig
from ganvas.models.srvgg import SRVGG, SRVGGConfig
from ganvas.models.stylegan2 import (
    StyleGAN2Config,
    StyleGAN2Discriminator,
    StyleGAN2DiscriminatorConfig,
    StyleGAN2Generator,
)
from ganvas.models.stylegan3 import StyleGAN3Config, StyleGAN3Discriminator, StyleGAN3Generator


@dataclass(frozen=True)
class ModelFamily:
    """A row of FAMILIES: what a family's name stands for."""

    kind: str  # "generator", "translator" or "upscaler"
    network: Callable[[Any], Network]
    config: type
    discriminator: Callable[[Any], Network] | None = None
    discriminator_config: type | None = None


FAMILIES: dict[str, ModelFamily] = {
    "mlp": ModelFamily("generator", MLPGenerator, MLPConfig, MLPDiscriminator, MLPDiscriminatorConfig),
    "dcgan": ModelFamily("generator", DCGANGenerator, DCGANConfig, DCGANDiscriminator, DCGANDiscriminatorConfig),
    "fastgan": ModelFamily(
        "generator", FastGANGenerator, FastGANConfig, FastGANDiscriminator, FastGANDiscriminatorConfig
    ),
    "stylegan2": ModelFamily(
        "generator", StyleGAN2Generator, StyleGAN2Config, StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig
    ),
    "stylegan3": ModelFamily(
        "generator", StyleGAN3Generator, StyleGAN3Config, StyleGAN3Discriminator, StyleGAN2DiscriminatorConfig
    ),
    "r3gan": ModelFamily("generator", R3GANGenerator, R3GANConfig, R3GANDiscriminator, R3GANDiscriminatorConfig),
    "mobilestylegan": ModelFamily("generator", MobileStyleGANGenerator, MobileStyleGANConfig),
    "pix2pix": ModelFamily("translator", UNet, UNetConfig, PatchGAN, PatchGANConfig),
    "cyclegan": ModelFamily(
        "translator", ResNetGenerator, ResNetConfig, CycleGANDiscriminator, CycleGANDiscriminatorConfig
    ),
    "rrdbnet": ModelFamily("upscaler", RRDBNet, RRDBConfig, UNetDiscriminator, UNetDiscriminatorConfig),
    "srvgg": ModelFamily("upscaler", SRVGG, SRVGGConfig),
}


def build(family: str, *, network: str = "G", **fields: Any) -> Any:
    """A network with fresh random weights, in train mode, on the CPU.

    Args:
        family: a name of FAMILIES: "stylegan2", "dcgan", "rrdbnet", …
        network: "G" (the generator, translator or upscaler) or "D" (its discriminator).
        fields: the fields of the family's config; what is left out keeps its default.

    Returns:
        The network; its `config` holds what it was built from.

    Raises:
        BadConfig: an unknown family, network or field, or values that do not go together.
    """
    check_known(family, FAMILIES, what="family")
    check_known(network, ("G", "D"), what="network")
    row = FAMILIES[family]
    cls, config = (row.network, row.config) if network == "G" else (row.discriminator, row.discriminator_config)
    if cls is None or config is None:
        raise BadConfig(f"family {family!r} has no discriminator of its own")
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, value in fields.items():
        check_known(name, list(defaults), what=f"field of {config.__name__}")
        if isinstance(defaults[name], tuple) and not isinstance(value, (tuple, list)):
            raise BadConfig(f"{config.__name__}.{name} is a list of numbers, got {value!r}")
    return cls(config(**fields))
