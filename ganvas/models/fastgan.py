"""FastGAN: few pictures, little time. Skip-layer excitation and a discriminator that is also asked to paint.

    G   z ─► 4 ─► 8 ─► 16 ─► 32 ─► 64 ─► 128 ─► 256 ─► 512 ─► 1024 px
             │    │     │     │     ×     ×      ×      ×             × scales the channels of a map by what the map
             └────┼─────┼─────┼─────┘     │      │      │             16 times smaller looks like: 64 by 4, 128 by 8,
                  └─────┼─────┼───────────┘      │      │             256 by 16, 512 by 32
                        └─────┼──────────────────┘      │
                              └─────────────────────────┘

    D   img ─► 256 ─► 128 ─► 64 ─► 32 ─► 16 ─► 8 px ─► 25 logits      small img ─► … ─► 8 px ─► 25 logits
               the same excitation from 256 to 32, from 128 to 16, from 64 to 8
               three decoders rebuild a real picture, a quarter of it and its small version from these features

Liu et al. 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis", section 3,
figures 3 and 4. Written from the paper and from the published numbers of parameters. Added: 64 and 128 px by leaving
out the upper stages, labels (embedded beside z; judged by projection, Miyato & Koyama 2018). Left out: the perceptual
distance between pictures and what the decoders rebuild, which is the training loop's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.checks import check_img
from ganvas.errors import BadConfig, BadImage
from ganvas.models.z_latent import (
    PlainDiscriminator,
    PlainGenerator,
    check_at_least,
    check_power_of_two,
    cpu_channels_last,
)
from ganvas.ops.spectral import SpectralConv2d, SpectralConvTranspose2d, SpectralLinear, run_power_iterations

_SLOPE = 0.2  # of the discriminator's leaky ReLU
SKIP_FACTOR = 16  # how much smaller the map is that excites another, in the generator
EXCITED_PX = (64, 128, 256, 512)  # by the maps at 4, 8, 16 and 32 px
FUSED_PX = 64  # from this output size on, enlarging and convolving are one step
NOISE_SEED = 0  # of the constant noise maps


@dataclass(frozen=True, kw_only=True)
class FastGANConfig:
    """A FastGAN generator; the defaults are the paper's for 256 px, 29.13 M parameters. ngf = 32 is the "lite" one."""

    z_dim: int = 256
    c_dim: int = 0  # 0 = unconditional
    c_embed_dim: int = 64  # numbers that a label becomes, behind z
    img_resolution: int = 256  # 64, 128, 256, 512 or 1024
    img_channels: int = 3
    ngf: int = 64  # channels at 128 px; other stages in proportion

    def __post_init__(self) -> None:
        check_at_least(self, 1, "z_dim", "c_embed_dim", "img_channels", "ngf")
        check_at_least(self, 0, "c_dim")
        check_power_of_two(self, "img_resolution", smallest=64, largest=1024)
        _check_width(self, "ngf", self.img_resolution // 128)


@dataclass(frozen=True, kw_only=True)
class FastGANDiscriminatorConfig:
    """A FastGAN discriminator with its decoders; the defaults are the paper's for 256 px, 11.53 M parameters."""

    c_dim: int = 0
    img_resolution: int = 256
    img_channels: int = 3
    ndf: int = 64  # channels at 64 px; other stages in proportion

    def __post_init__(self) -> None:
        check_at_least(self, 1, "img_channels", "ndf")
        check_at_least(self, 0, "c_dim")
        check_power_of_two(self, "img_resolution", smallest=64, largest=1024)
        _check_width(self, "ndf", min(self.img_resolution // 64, 8))


def _check_width(config: object, name: str, divisor: int) -> None:
    if getattr(config, name) % max(divisor, 1):
        raise BadConfig(
            f"{type(config).__name__}.{name} must be a multiple of {divisor} at this resolution, so that the stage at "
            f"full size has whole channels; got {getattr(config, name)}"
        )


def small_px(img_resolution: int) -> int:
    """The side of the small picture beside the full one: 128 px, or half of the full size where that is less."""
    return min(128, img_resolution // 2)


def pool_to(img: Tensor, px: int) -> Tensor:
    """The mean over cells: img [N, C, R, R] → [N, C, px, px], R a multiple of px."""
    return F.avg_pool2d(img, img.shape[-1] // px)


class SkipExcitation(nn.Module):
    """Scale each channel of one map by what another map looks like (section 3.1, eq. 1 and 2).

    Args:
        source_channels: of the map that is looked at.
        channels: of the map that is scaled.
    """

    def __init__(self, source_channels: int, channels: int) -> None:
        super().__init__()
        self.look = SpectralConv2d(source_channels, channels, 4, bias=False)
        self.weigh = SpectralConv2d(channels, channels, 1, bias=False)

    def forward(self, source: Tensor, x: Tensor) -> Tensor:
        """source [N, S, h, w], x [N, C, H, W] → [N, C, H, W]."""
        y = F.silu(self.look(F.adaptive_avg_pool2d(source, 4)))  # [N, C, 1, 1]
        return x * self.weigh(y).sigmoid()


# ------------------------------------------------------------------------------------------- generator


def generator_width(px: int, ngf: int) -> int:
    """Channels of the generator's stage at px: 16·ngf at 4, halved with each doubling, but equal at 32 and 64."""
    return ngf * (64 if px <= 32 else 128) // px


class Noise(nn.Module):
    """Add one map of noise to all channels, with a learned strength that starts at 0 (Karras et al. 2019, sec. 3.2)."""

    const: Tensor

    def __init__(self, px: int, seed: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))
        random = torch.Generator().manual_seed(seed)
        self.register_buffer("const", torch.randn(1, 1, px, px, generator=random))

    def forward(self, x: Tensor, mode: str) -> Tensor:
        """x [N, C, H, W] → the same; mode "const" adds the same map each time, "random" a fresh one a picture."""
        if mode == "none":
            return x
        noise = self.const if mode == "const" else torch.randn_like(x[:, :1])
        return x + (self.strength * noise).to(x.dtype)


class UpConv(SpectralConv2d):
    """Nearest neighbour to twice the size, then a 3×3 convolution.

    From FUSED_PX up both run as one transposed convolution: enlarging repeats each sample four times, so a 4×4 kernel
    that sums the 3×3 one over each 2×2 cell does the same with 4 products a pixel instead of 9. Below, making that
    kernel costs more than it saves.
    """

    def __init__(self, in_channels: int, out_channels: int, px: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)
        self.fused = px >= FUSED_PX

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, 2H, 2W]."""
        if not self.fused:
            return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
        kernel = self.weight if self.frozen else sum_over_cells(self.compute_weight())
        return F.conv_transpose2d(x, kernel, stride=2, padding=1)

    @torch.no_grad()
    def freeze(self) -> None:
        """As `SpectralConv2d.freeze`; keeps the 4×4 kernel where that is the one used."""
        super().freeze()
        if self.fused:
            self.weight = nn.Parameter(sum_over_cells(self.weight), requires_grad=False)


def sum_over_cells(weight: Tensor) -> Tensor:
    """weight [O, I, 3, 3] of a convolution after nearest ×2 → [I, O, 4, 4] of the transposed one that equals both.

    Output p of the first sums w[k]·x[(p + k − 1) // 2]; so x[i] reaches p = 2i − 1 + t with w[2 − t] + w[3 − t].
    """
    w = weight.transpose(0, 1).flip((2, 3))
    w = F.pad(w, (0, 1)) + F.pad(w, (1, 0))
    return F.pad(w, (0, 0, 0, 1)) + F.pad(w, (0, 0, 1, 0))


def gated_linear_unit(x: Tensor) -> Tensor:
    """The gated linear unit: x [N, 2C, H, W] → the first half of the channels, times σ of the second: [N, C, H, W].

    With gradients it is written out: torch's own gives them in another memory layout, which makes its backward pass
    seven times slower and that of the batch normalisation before it twenty-five times (64 px, on a CPU).
    """
    if not torch.is_grad_enabled():
        return F.glu(x, dim=1)
    value, gate = x.chunk(2, dim=1)
    return value * gate.sigmoid()


class Up(nn.Module):
    """Twice the size: nearest neighbour, 3×3 convolution, batch norm, gated linear unit."""

    def __init__(self, in_channels: int, out_channels: int, px: int) -> None:
        super().__init__()
        self.conv = UpConv(in_channels, 2 * out_channels, px)
        self.norm = nn.BatchNorm2d(2 * out_channels)

    def forward(self, x: Tensor, noise_mode: str = "none") -> Tensor:
        """[N, I, H, W] → [N, O, 2H, 2W]."""
        return gated_linear_unit(self.norm(self.conv(x)))


class NoisyUp(nn.Module):
    """Twice the size with two convolutions, and noise after each."""

    def __init__(self, in_channels: int, out_channels: int, px: int) -> None:
        super().__init__()
        self.conv0 = UpConv(in_channels, 2 * out_channels, px)
        self.noise0 = Noise(px, NOISE_SEED + 2 * px)
        self.norm0 = nn.BatchNorm2d(2 * out_channels)
        self.conv1 = SpectralConv2d(out_channels, 2 * out_channels, 3, padding=1, bias=False)
        self.noise1 = Noise(px, NOISE_SEED + 2 * px + 1)
        self.norm1 = nn.BatchNorm2d(2 * out_channels)

    def forward(self, x: Tensor, noise_mode: str) -> Tensor:
        """[N, I, H, W] → [N, O, 2H, 2W]."""
        x = gated_linear_unit(self.norm0(self.noise0(self.conv0(x), noise_mode)))
        return gated_linear_unit(self.norm1(self.noise1(self.conv1(x), noise_mode)))


class FastGANGenerator(PlainGenerator):
    """z → 4×4 → stages that double the size, the larger ones excited by the smaller. See `protocol.Generator`."""

    family: ClassVar[str] = "fastgan"

    def __init__(self, config: FastGANConfig) -> None:
        super().__init__(config)
        width = {px: generator_width(px, config.ngf) for px in _ladder(4, config.img_resolution)}
        self.small_px = small_px(config.img_resolution)
        self.exits = (self.small_px,)
        self.start = SpectralConvTranspose2d(self.w_dim, 2 * width[4], 4, bias=False)
        self.start_norm = nn.BatchNorm2d(2 * width[4])
        self.stages = nn.ModuleDict()
        self.excitations = nn.ModuleDict()
        for px in _ladder(8, config.img_resolution):
            noisy = px.bit_length() % 2 == 0  # 8, 32, 128, 512: every other stage
            self.stages[str(px)] = (NoisyUp if noisy else Up)(width[px // 2], width[px], px)
            if px in EXCITED_PX:
                self.excitations[str(px)] = SkipExcitation(width[px // SKIP_FACTOR], width[px])
        self.to_small = SpectralConv2d(width[self.small_px], config.img_channels, 1, bias=False)
        self.to_img = SpectralConv2d(width[config.img_resolution], config.img_channels, 3, padding=1, bias=False)
        self.apply(init_fastgan_weights)
        run_power_iterations(self)

    def place_px(self, name: str) -> int | None:
        """See `GeneratorModule.place_px`."""
        part, _, rest = name.partition(".")
        if part in ("stages", "excitations"):
            return int(rest.partition(".")[0])
        ends = {"start": 4, "start_norm": 4, "to_small": self.small_px, "to_img": self.img_resolution}
        return ends.get(part)

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """All stages."""
        return tuple(_ladder(4, self.img_resolution))

    def maps(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → [N, C, px, px]."""
        return self.all_maps(ws, noise_mode=noise_mode, px=px)[px]

    def all_maps(self, ws: Tensor, *, noise_mode: str, px: int) -> dict[int, Tensor]:
        """The maps of all stages from 4 px to px: {4: [N, C, 4, 4], 8: [N, C, 8, 8], …}."""
        x = self.start_norm(self.start(ws[:, 0, :, None, None]))  # [N, 2C, 4, 4]
        x = cpu_channels_last(gated_linear_unit(x))
        maps = {4: x}
        for size in _ladder(8, px):
            x = self.stages[str(size)](x, noise_mode)
            if str(size) in self.excitations:
                x = self.excitations[str(size)](maps[size // SKIP_FACTOR], x)
            maps[size] = x
        return maps

    def synthesize(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → img [N, img_channels, px, px] in (-1, 1)."""
        x = self.maps(ws, noise_mode=noise_mode, px=px)
        head = self.to_img if px == self.img_resolution else self.to_small
        return head(x).tanh()

    def synthesize_both_sizes(self, ws: Tensor, *, noise_mode: str = "random") -> tuple[Tensor, Tensor]:
        """The full picture and the small one of one pass: what the discriminator is shown in training.

        Args:
            ws: [N, 1, w_dim].
            noise_mode: as in `synthesis`.

        Returns:
            img [N, img_channels, R, R] and small [N, img_channels, small_px, small_px], in (-1, 1).

        Raises:
            BadLatent: ws of another shape. BadConfig: an unknown noise_mode.
        """
        self.check_synthesis(ws, noise_mode, "exact")
        maps = self.all_maps(ws, noise_mode=noise_mode, px=self.img_resolution)
        return self.to_img(maps[self.img_resolution]).tanh(), self.to_small(maps[self.small_px]).tanh()


def _ladder(first: int, last: int) -> list[int]:
    """first, 2·first, … up to last."""
    return [1 << k for k in range(first.bit_length() - 1, last.bit_length())]


# ------------------------------------------------------------------------------------------- discriminator


class Reconstruction(NamedTuple):
    """A picture as the decoders see it, or as they should: each [N, img_channels, px, px], px at most 128."""

    full: Tensor  # the whole picture
    small: Tensor  # its small version
    crop: Tensor  # one quarter of it


def discriminator_width(px: int, ndf: int) -> int:
    """Channels of the discriminator's map at px: ndf at 64, doubled with each halving."""
    return ndf * 64 // px


class Down(nn.Module):
    """Half the size, two ways: convolutions, and an average for the gradient to flow through; their mean."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = SpectralConv2d(in_channels, out_channels, 4, 2, 1, bias=False)
        self.norm0 = nn.BatchNorm2d(out_channels)
        self.conv1 = SpectralConv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.side = SpectralConv2d(in_channels, out_channels, 1, bias=False)
        self.side_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, H/2, W/2]."""
        y = F.leaky_relu(self.norm0(self.conv0(x)), _SLOPE)
        y = F.leaky_relu(self.norm1(self.conv1(y)), _SLOPE)
        side = F.leaky_relu(self.side_norm(self.side(F.avg_pool2d(x, 2))), _SLOPE)
        return (y + side) / 2


class PlainDown(nn.Module):
    """Half the size: convolution 4×4, batch norm (but on pixels), leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.conv = SpectralConv2d(in_channels, out_channels, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, H/2, W/2]."""
        return F.leaky_relu(self.norm(self.conv(x)), _SLOPE)


class Decoder(nn.Module):
    """Features at 8 px → a picture: the self-supervision (section 3.2). Its width does not follow ndf."""

    def __init__(self, in_channels: int, img_channels: int, px: int) -> None:
        super().__init__()
        sizes = _ladder(16, px)
        widths = [in_channels] + [generator_width(size, 32) for size in sizes]
        self.stages = nn.Sequential(*(Up(a, b, s) for (a, b), s in zip(pairwise(widths), sizes, strict=True)))
        self.to_img = SpectralConv2d(widths[-1], img_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, 8, 8] → [N, img_channels, px, px] in (-1, 1)."""
        return self.to_img(self.stages(x)).tanh()


class FastGANDiscriminator(PlainDiscriminator):
    """img and its small version → 25 + 25 patch logits, pictures rebuilt on the way. See `protocol.Discriminator`."""

    family: ClassVar[str] = "fastgan"

    def __init__(self, config: FastGANDiscriminatorConfig) -> None:
        super().__init__(config)
        channels, px = config.img_channels, config.img_resolution
        self.small_px = small_px(px)
        width = {size: discriminator_width(size, config.ndf) for size in _ladder(8, min(px, 512))}

        # The full picture: to 256 px at most, then halved to 8.
        self.enter = _entrance(channels, px, width)
        top = min(px, 256)
        self.downs = nn.ModuleDict({str(s): Down(width[2 * s], width[s]) for s in _ladder(8, top // 2)})
        self.excitations = nn.ModuleDict(
            {str(s): SkipExcitation(width[8 * s], width[s]) for s in (8, 16, 32) if 8 * s <= top}
        )
        self.patch_mix = SpectralConv2d(width[8], 2 * width[8], 1, bias=False)
        self.patch_norm = nn.BatchNorm2d(2 * width[8])
        self.patch = SpectralConv2d(2 * width[8], 1, 4, bias=False)

        # The small picture.
        half = [width[2 * size] for size in _ladder(8, self.small_px // 2)][::-1]  # ends with width[16] at 8 px
        self.small = nn.Sequential(
            PlainDown(channels, half[0], norm=False), *(PlainDown(a, b) for a, b in pairwise(half))
        )
        self.small_patch = SpectralConv2d(half[-1], 1, 4, bias=False)

        self.decoders = nn.ModuleDict(
            {
                "full": Decoder(width[8], channels, min(128, px)),
                "small": Decoder(half[-1], channels, min(128, px // 2)),
                "crop": Decoder(width[16], channels, min(128, px // 2)),
            }
        )
        self.embed = SpectralLinear(self.c_dim, width[8] + half[-1], bias=False) if self.c_dim else None
        self.apply(init_fastgan_weights)
        run_power_iterations(self)

    def forward(self, img: Tensor, c: Tensor | None = None, *, small: Tensor | None = None) -> Tensor:
        """Judge pictures, patch by patch.

        Args:
            img: [N, img_channels, R, R] in [-1, 1].
            c: [N, c_dim] labels of a conditional discriminator.
            small: [N, img_channels, small_px, small_px], the generator's own small picture (of
                `synthesize_both_sizes`); None = img made smaller, which is right for real ones.

        Returns:
            logits [N, 50]: 5 × 5 patches of the full picture, then 5 × 5 of the small one; positive = real.

        Raises:
            BadImage: another size or number of channels. BadLatent: labels that do not fit.
        """
        full, _, tiny = self._features(img, c, small)
        return self._logits(full, tiny, c)

    def forward_with_reconstruction(
        self, img: Tensor, c: Tensor | None = None, *, small: Tensor | None = None, quadrant: int = 0
    ) -> tuple[Tensor, Reconstruction]:
        """The logits of `forward`, and what the decoders make of the same features; for real pictures.

        Args:
            img, c, small: as in `forward`.
            quadrant: which quarter the third decoder reconstructs: 0 and 1 the upper left and right, 2 and 3 the lower;
                random in each step.

        Returns:
            logits [N, 50] and the rebuilt pictures; `targets` gives what they should be.

        Raises:
            BadImage, BadLatent: as `forward`. BadConfig: another quadrant.
        """
        full, middle, tiny = self._features(img, c, small)
        decoders = self.decoders
        crop = _quarter(middle, quadrant)
        reconstruction = Reconstruction(decoders["full"](full), decoders["small"](tiny), decoders["crop"](crop))
        return self._logits(full, tiny, c), reconstruction

    def targets(self, img: Tensor, *, small: Tensor | None = None, quadrant: int = 0) -> Reconstruction:
        """What the decoders should give back of img [N, img_channels, R, R]; see `forward_with_reconstruction`."""
        self.check_img(img)
        small = pool_to(img, self.small_px) if small is None else small
        crop = _quarter(img, quadrant)
        return Reconstruction(pool_to(img, min(128, img.shape[-1])), small, pool_to(crop, min(128, crop.shape[-1])))

    def _features(self, img: Tensor, c: Tensor | None, small: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The full picture's maps at 8 and 16 px, and the small picture's at 8 px."""
        self.check_input(img, c)
        small = pool_to(img, self.small_px) if small is None else small
        check_img(small, who="fastgan's discriminator", channels=self.img_channels)
        if small.shape[2:] != (self.small_px, self.small_px) or len(small) != len(img):
            raise BadImage(
                f"fastgan's discriminator expects small images [{len(img)}, {self.img_channels}, "
                f"{self.small_px}, {self.small_px}], got {list(small.shape)}. FastGANGenerator.both gives "
                "them."
            )
        top = min(self.img_resolution, 256)
        maps = {top: self.enter(cpu_channels_last(img))}
        for size in reversed(_ladder(8, top // 2)):
            x = self.downs[str(size)](maps[2 * size])
            if str(size) in self.excitations:
                x = self.excitations[str(size)](maps[8 * size], x)
            maps[size] = x
        return maps[8], maps[16], self.small(cpu_channels_last(small))

    def _logits(self, full: Tensor, tiny: Tensor, c: Tensor | None) -> Tensor:
        """[N, C, 8, 8] of both pictures → [N, 50]."""
        y = F.leaky_relu(self.patch_norm(self.patch_mix(full)), _SLOPE)
        logits = torch.stack([self.patch(y).flatten(1), self.small_patch(tiny).flatten(1)], dim=1)  # [N, 2, 25]
        if self.embed is not None and c is not None:
            pooled = torch.cat([full.mean(dim=(2, 3)), tiny.mean(dim=(2, 3))], dim=1)  # [N, C + C']
            parts = (pooled * self.embed(c.to(pooled.dtype))).split([full.shape[1], tiny.shape[1]], dim=1)
            logits = logits + torch.stack([part.sum(dim=1) for part in parts], dim=1)[:, :, None]
        return logits.flatten(1)


def _entrance(channels: int, px: int, width: dict[int, int]) -> nn.Sequential:
    """Pixels → features at min(px, 256): one convolution at that size, or one or two that halve to it."""
    if px <= 256:
        return nn.Sequential(SpectralConv2d(channels, width[px], 3, padding=1, bias=False), nn.LeakyReLU(_SLOPE))
    if px == 512:
        return nn.Sequential(PlainDown(channels, width[256], norm=False))
    return nn.Sequential(PlainDown(channels, width[512], norm=False), PlainDown(width[512], width[256]))


def _quarter(x: Tensor, quadrant: int) -> Tensor:
    """One of the four quarters of x [N, C, H, W]: [N, C, H/2, W/2]."""
    if quadrant not in (0, 1, 2, 3):
        raise BadConfig(f"quadrant must be 0, 1 (upper left, right), 2 or 3 (lower left, right); got {quadrant!r}")
    return x.chunk(2, dim=2)[quadrant // 2].chunk(2, dim=3)[quadrant % 2]


def init_fastgan_weights(module: nn.Module) -> None:
    """Convolutions N(0, 0.02), gains of batch normalisation N(1, 0.02), as in DCGAN. For `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
