"""DCGAN: strided convolutions and batch normalisation.

Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
section 3 (the guidelines) and figure 1, in the common 64 px shape: ngf = ndf = 64, nz = 100. Other resolutions have a
stage more or less; the width doubles with every halving of the picture, up to `channel_max`. Labels: embedded beside z
(Mirza & Osindero 2014) and judged by projection (Miyato & Koyama 2018, "cGANs with Projection Discriminator", eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.self_attention import SelfAttention
from ganvas.models.z_latent import (
    PlainDiscriminator,
    PlainGenerator,
    check_at_least,
    check_power_of_two,
    cpu_channels_last,
)
from ganvas.ops.convolution import Conv2d
from ganvas.ops.spectral import SpectralConv2d, SpectralLinear, run_power_iterations

_SLOPE = 0.2  # of the discriminator's leaky ReLU
NORMS = ("batch", "spectral", "none")


@dataclass(frozen=True, kw_only=True)
class DCGANConfig:
    """A DCGAN generator; the defaults are the common 64 px one, 3.58 M parameters."""

    img_resolution: int = 64  # a power of two, 8 … 512
    img_channels: int = 3
    z_dim: int = 100
    c_dim: int = 0  # 0 = unconditional
    c_embed_dim: int = 64  # numbers that a label becomes, behind z
    ngf: int = 64  # channels of the widest-picture stage, at half the resolution
    channel_max: int = 1024  # no stage is wider
    attention_px: int = 0  # self-attention over the map of this size; 0 = none. SAGAN: 32 of 128 px

    def __post_init__(self) -> None:
        check_power_of_two(self, "img_resolution", smallest=8, largest=512)
        check_at_least(self, 1, "img_channels", "z_dim", "c_embed_dim", "ngf", "channel_max")
        check_at_least(self, 0, "c_dim")
        _check_attention(self.attention_px, self.img_resolution)


@dataclass(frozen=True, kw_only=True)
class DCGANDiscriminatorConfig:
    """A DCGAN discriminator; the defaults are the common 64 px one, 2.77 M parameters."""

    img_resolution: int = 64  # a power of two, 8 … 512
    img_channels: int = 3
    c_dim: int = 0
    ndf: int = 64  # channels of the first stage, at half the resolution
    channel_max: int = 1024
    attention_px: int = 0  # self-attention over the map of this size; 0 = none
    norm: str = "batch"  # the paper's; "spectral" for the hinge loss, "none" or "spectral" for wgan-gp and R1 alone

    def __post_init__(self) -> None:
        check_power_of_two(self, "img_resolution", smallest=8, largest=512)
        check_at_least(self, 1, "img_channels", "ndf", "channel_max")
        check_at_least(self, 0, "c_dim")
        _check_attention(self.attention_px, self.img_resolution)
        check_known(self.norm, NORMS, what="norm of DCGANDiscriminatorConfig")


def _check_attention(attention_px: int, img_resolution: int) -> None:
    sizes = [4 << k for k in range(img_resolution.bit_length() - 3)]
    if attention_px and attention_px not in sizes:
        raise BadConfig(
            f"attention_px must be 0 (none) or the size of a feature map, {', '.join(map(str, sizes))}; "
            f"got {attention_px}"
        )


def stage_widths(img_resolution: int, base: int, channel_max: int) -> list[int]:
    """Channels at img_resolution/2, img_resolution/4, …, 4: doubling from `base` up to `channel_max`."""
    stages = img_resolution.bit_length() - 3  # 64 px: 32, 16, 8, 4
    return [min(base << k, channel_max) for k in range(stages)]


class DCGANGenerator(PlainGenerator):
    """z → 4 x 4 → doubled until full size. See `protocol.Generator`."""

    family = "dcgan"

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__(config)
        widths = stage_widths(config.img_resolution, config.ngf, config.channel_max)[::-1]
        self.start = _Up(self.w_dim, widths[0], stride=1, padding=0)
        self.stages = nn.ModuleList(_Up(a, b) for a, b in pairwise(widths))
        at = config.attention_px
        self.attention = SelfAttention(widths[at.bit_length() - 3]) if at else None
        self.to_img = nn.ConvTranspose2d(widths[-1], config.img_channels, 4, 2, 1, bias=False)
        self.apply(init_dcgan_weights)

    def place_px(self, name: str) -> int | None:
        """See `GeneratorModule.place_px`."""
        part, _, rest = name.partition(".")
        if part == "stages":
            return 8 << int(rest.partition(".")[0])
        return {"start": 4, "attention": self.config.attention_px, "to_img": self.img_resolution}.get(part)

    def synthesize(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → img [N, img_channels, R, R] in (-1, 1).

        In train mode the batch normalisation makes the pictures of a batch depend on each other, as the paper has it;
        in eval mode they do not.
        """
        return self.to_img(self.maps(ws, noise_mode=noise_mode, px=px // 2)).tanh()

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """All stages: the last one is at half the picture's size."""
        return tuple(4 << k for k in range(len(self.stages) + 1))

    def maps(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → [N, C, px, px]."""
        x = self._attend(cpu_channels_last(self.start(ws[:, 0, :, None, None])))  # [N, widths[0], 4, 4]
        for stage in self.stages[: px.bit_length() - 3]:
            x = self._attend(stage(x))  # [N, C/2, 2H, 2W]
        return x

    def _attend(self, x: Tensor) -> Tensor:
        return x if self.attention is None or x.shape[2] != self.config.attention_px else self.attention(x)


class DCGANDiscriminator(PlainDiscriminator):
    """img → halved until 4 x 4 → one logit. See `protocol.Discriminator`."""

    family = "dcgan"

    def __init__(self, config: DCGANDiscriminatorConfig) -> None:
        super().__init__(config)
        widths = stage_widths(config.img_resolution, config.ndf, config.channel_max)
        spectral = config.norm == "spectral"
        conv: type[nn.Conv2d] = SpectralConv2d if spectral else Conv2d
        linear: type[nn.Linear] = SpectralLinear if spectral else nn.Linear
        # Batch normalisation has a bias of its own; without it the convolution needs one. None on the pixels (sec. 3).
        bias = config.norm != "batch"
        self.from_img = conv(config.img_channels, widths[0], 4, 2, 1, bias=bias)
        self.stages = nn.ModuleList(conv(a, b, 4, 2, 1, bias=bias) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) if config.norm == "batch" else nn.Identity() for b in widths[1:])
        at = config.attention_px
        place = (config.img_resolution // at).bit_length() - 2 if at else 0
        self.attention = SelfAttention(widths[place], conv=conv) if at else None
        self.to_logit = conv(widths[-1], 1, 4, 1, 0, bias=bias)
        self.embed = linear(config.c_dim, widths[-1], bias=False) if config.c_dim else None
        self.apply(init_dcgan_weights)
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, 0.0, 0.02)  # as everything else, lest the label outshout the picture
        run_power_iterations(self)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """img [N, img_channels, R, R], c [N, c_dim] → logits [N].

        Raises:
            BadImage: another size or number of channels. BadLatent: labels that do not fit.
        """
        self.check_input(img, c)
        x = self._attend(nn.functional.leaky_relu(self.from_img(cpu_channels_last(img)), _SLOPE))
        for conv, norm in zip(self.stages, self.norms, strict=True):
            x = self._attend(nn.functional.leaky_relu(norm(conv(x)), _SLOPE))  # [N, 2C, H/2, W/2]
        logits = self.to_logit(x).flatten()  # [N]
        if self.embed is not None and c is not None:
            features = x.sum(dim=(2, 3))  # [N, C]
            logits = logits + (self.embed(c.to(x.dtype)) * features).sum(dim=1)  # eq. 4
        return logits

    def _attend(self, x: Tensor) -> Tensor:
        return x if self.attention is None or x.shape[2] != self.config.attention_px else self.attention(x)


class _Up(nn.Module):
    """Transposed convolution 4 x 4, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 2, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu()


def init_dcgan_weights(module: nn.Module) -> None:
    """Convolutions N(0, 0.02) (section 4), gains of batch normalisation N(1, 0.02), biases 0. For `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
