"""The fully connected GAN: a baseline for teaching and fast tests.

Goodfellow et al. 2014, "Generative Adversarial Nets", in the shape in which it is commonly taught for 64 px pictures:
100-256-512-1024-pixels with tanh against pixels-1024-512-256-1 with dropout. Labels as in Mirza & Osindero 2014,
"Conditional Generative Adversarial Nets": joined to the input of both networks, here as an embedding. Left out: the
maxout units of the first paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.z_latent import PlainDiscriminator, PlainGenerator, check_at_least

_SLOPE = 0.2  # of every leaky ReLU
MLP_ACTIVATIONS = ("leaky_relu", "relu")


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """A fully connected generator; the defaults are the classic 64 px one in colour, 13.3 M parameters."""

    img_resolution: int = 64
    img_channels: int = 3
    z_dim: int = 100
    c_dim: int = 0  # 0 = unconditional
    c_embed_dim: int = 64  # numbers that a label becomes, behind z
    widths: tuple[int, ...] = (256, 512, 1024)  # hidden layers, from z to picture
    activation: str = "leaky_relu"  # of the hidden layers; "relu" as in the first paper

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        check_known(self.activation, MLP_ACTIVATIONS, what="activation of MLPConfig")
        check_at_least(self, 1, "img_resolution", "img_channels", "z_dim", "c_embed_dim", "widths")
        check_at_least(self, 0, "c_dim")


@dataclass(frozen=True, kw_only=True)
class MLPDiscriminatorConfig:
    """A fully connected discriminator; the defaults are the classic 64 px one in colour, 13.2 M parameters."""

    img_resolution: int = 64
    img_channels: int = 3
    c_dim: int = 0
    c_embed_dim: int = 64
    widths: tuple[int, ...] = (1024, 512, 256)  # hidden layers, from picture to logit
    dropout: float = 0.3  # of each hidden layer, in training; 0 = off

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        check_at_least(self, 1, "img_resolution", "img_channels", "c_embed_dim", "widths")
        check_at_least(self, 0, "c_dim")
        if not 0 <= self.dropout < 1:
            raise BadConfig(f"MLPDiscriminatorConfig.dropout must be from 0 to below 1, got {self.dropout!r}")


class MLPGenerator(PlainGenerator):
    """z → hidden layers → all pixels at once. See `protocol.Generator`."""

    family = "mlp"

    def __init__(self, config: MLPConfig) -> None:
        super().__init__(config)
        numbers = config.img_channels * config.img_resolution**2
        self.layers = _ladder(self.w_dim, *config.widths, numbers)

    def synthesize(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → img [N, img_channels, R, R] in (-1, 1)."""
        x = ws[:, 0]  # [N, w_dim]
        slope = _SLOPE if self.config.activation == "leaky_relu" else 0.0
        for layer in self.layers[:-1]:
            x = nn.functional.leaky_relu(layer(x), slope)
        x = self.layers[-1](x).tanh()
        return x.unflatten(1, (self.img_channels, self.img_resolution, self.img_resolution))


class MLPDiscriminator(PlainDiscriminator):
    """img → hidden layers with dropout → one logit. See `protocol.Discriminator`."""

    family = "mlp"

    def __init__(self, config: MLPDiscriminatorConfig) -> None:
        super().__init__(config)
        numbers = config.img_channels * config.img_resolution**2
        self.embed = nn.Linear(config.c_dim, config.c_embed_dim, bias=False) if config.c_dim else None
        self.layers = _ladder(numbers + (config.c_embed_dim if config.c_dim else 0), *config.widths, 1)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """img [N, img_channels, R, R], c [N, c_dim] → logits [N].

        Raises:
            BadImage: another size or number of channels. BadLatent: labels that do not fit.
        """
        self.check_input(img, c)
        x = img.flatten(1)  # [N, C·R·R]
        if self.embed is not None and c is not None:
            x = torch.cat([x, self.embed(c.to(x.dtype))], dim=1)
        for layer in self.layers[:-1]:
            x = nn.functional.leaky_relu(layer(x), _SLOPE)
            x = nn.functional.dropout(x, self.config.dropout, self.training)
        return self.layers[-1](x)[:, 0]


def _ladder(*widths: int) -> nn.ModuleList:
    """Linear layers from each width to the next."""
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
