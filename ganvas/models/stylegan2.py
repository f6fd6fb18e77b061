"""StyleGAN2: a mapping network bends noise into styles, a synthesis network paints with them.

    z ──mapping──► w ──affine──► styles ──┐
                        const 4×4 ──► modulated convolutions, doubling the size ──► ToRGB, summed over sizes ──► img

Generator and discriminator with everything that the published weights of StyleGAN2 and StyleGAN2-ADA use: labels,
mapping depth, noise, the skip, residual and plain architectures, minibatch standard deviation, projected labels.
Parameters have the names and shapes of those weights, so importing them is a plain load. Left out: progressive growing,
and everything that belongs to training (mixing, path length, augmentation: see `training/`).

Sources: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (SG2 below);
Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (SG2-ADA);
Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks" (SG1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ganvas.checks import check_img, check_labels, check_ws, check_z
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.fields import check_known
from ganvas.models.protocol import NOISE_MODES, PRECISIONS, GeneratorModule, Network, StyleLayer, truncate
from ganvas.ops.equalized import (
    GAINS,
    EqualizedConv2d,
    EqualizedLinear,
    activate_,
    normalize_2nd_moment,
)
from ganvas.ops.modulation import add_bias_and_noise_, modulated_conv2d
from ganvas.ops.precision import PreparedWeight, fast_dtype
from ganvas.ops.resample import downsample2d, fast_layout, fir_filter, upsample2d

Architecture = Literal["skip", "resnet", "orig"]
ARCHITECTURES = ("skip", "resnet", "orig")
VALUES_IN_CACHE = 2**19  # a picture of fewer features than this is no better off alone


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config:
    """What a generator is built from. The defaults are the paper's, for 256 pixels."""

    z_dim: int = 512
    c_dim: int = 0  # 0 = unconditional
    w_dim: int = 512
    img_resolution: int = 256  # a power of two, 4 or more
    img_channels: int = 3
    channel_base: int = 32768  # channels at a resolution = channel_base / resolution, at most channel_max
    channel_max: int = 512
    num_mapping_layers: int = 8
    mapping_lr_mul: float = 0.01  # learning-rate multiplier of the mapping network
    architecture: Architecture = "skip"  # how the picture is gathered: sum of ToRGBs, residual blocks, or one ToRGB
    use_noise: bool = True
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None  # limit of every layer's output; published SG2-ADA weights were trained with 256

    def __post_init__(self) -> None:
        _check_config(self)


@dataclass(frozen=True, kw_only=True)
class StyleGAN2DiscriminatorConfig:
    """What a discriminator is built from. The defaults are the paper's, for 256 pixels."""

    c_dim: int = 0
    img_resolution: int = 256
    img_channels: int = 3
    channel_base: int = 32768
    channel_max: int = 512
    architecture: Architecture = "resnet"
    cmap_dim: int | None = None  # width of the projected label; None = channels at 4×4
    num_mapping_layers: int = 8  # of the label's mapping network; used where c_dim > 0
    mapping_lr_mul: float = 0.01
    mbstd_group_size: int | None = 4  # samples that are compared with one another; None = the whole batch
    mbstd_num_channels: int = 1  # 0 = no minibatch standard deviation
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        _check_config(self)


def _check_config(config: StyleGAN2Config | StyleGAN2DiscriminatorConfig) -> None:
    object.__setattr__(config, "resample_filter", tuple(config.resample_filter))  # JSON turns tuples into lists
    res = config.img_resolution
    if res < 4 or res & (res - 1):
        raise BadConfig(f"img_resolution must be a power of two, 4 or more, got {res}")
    check_known(config.architecture, ARCHITECTURES, what="architecture")
    if config.channel_base < res or config.channel_max < 1 or config.img_channels < 1:
        raise BadConfig(
            f"channel_base must be at least img_resolution ({res}), and channel_max and img_channels at least 1, "
            f"got {config.channel_base}, {config.channel_max} and {config.img_channels}"
        )
    if config.c_dim < 0 or config.num_mapping_layers < 1:
        raise BadConfig(
            "c_dim must be 0 (no labels) or more and num_mapping_layers 1 or more, "
            f"got {config.c_dim} and {config.num_mapping_layers}"
        )


def resolutions(img_resolution: int) -> list[int]:
    """4, 8, … up to `img_resolution`."""
    return [2**i for i in range(2, int(math.log2(img_resolution)) + 1)]


def channels_at(resolution: int, config: StyleGAN2Config | StyleGAN2DiscriminatorConfig) -> int:
    """Feature maps of the layers that work at this resolution."""
    return min(config.channel_base // resolution, config.channel_max)


# ---------------------------------------------------------------------------------------------------------------------
# Mapping


class MappingNetwork(nn.Module):
    """z and label → w: a few fully connected layers that need not keep z's round shape (SG1, section 2 and 4).

    Args:
        z_dim: 0 = there is no z, only a label (the discriminator's use).
        c_dim: 0 = there is no label.
        w_dim: width of the result and of every layer.
        num_ws: how often w is repeated, one row a layer of the synthesis; None = not at all.
        num_layers: depth.
        lr_mul: learning-rate multiplier of the layers.
    """

    w_avg: Tensor

    def __init__(
        self, *, z_dim: int, c_dim: int, w_dim: int, num_ws: int | None, num_layers: int = 8, lr_mul: float = 0.01
    ):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, c_dim, w_dim, num_ws, num_layers
        if c_dim > 0:
            self.embed = EqualizedLinear(c_dim, w_dim)
        widths = [z_dim + (w_dim if c_dim > 0 else 0)] + [w_dim] * num_layers
        for i in range(num_layers):
            layer = EqualizedLinear(widths[i], widths[i + 1], activation="lrelu", lr_mul=lr_mul)
            self.add_module(f"fc{i}", layer)
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """z [N, z_dim], c [N, c_dim] → ws [N, num_ws, w_dim], or w [N, w_dim] where num_ws is None.

        Raises:
            BadLatent: z or c of a wrong shape, or a label missing.
        """
        x = self._entry(z, c)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        if self.num_ws is None:
            return x
        ws = x[:, None].repeat(1, self.num_ws, 1)  # [N, num_ws, w_dim]
        return truncate(ws, self.w_avg, psi=truncation_psi, cutoff=truncation_cutoff)

    def _entry(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """z and the label's embedding, each at mean square 1, side by side: [N, z_dim + w_dim]."""
        parts = []
        if self.z_dim > 0:
            check_z(z, who="mapping", z_dim=self.z_dim)
            assert z is not None
            check_labels(c, who="mapping", c_dim=self.c_dim, batch=z.shape[0])
            parts.append(normalize_2nd_moment(z))
        if self.c_dim > 0:
            assert c is not None
            parts.append(normalize_2nd_moment(self.embed(c.to(self.embed.weight.dtype))))
        return torch.cat(parts, dim=1)


class StyleGenerator(GeneratorModule):
    """What StyleGAN2 and StyleGAN3 share: two networks named `mapping` and `synthesis`, called like methods."""

    def _adopt(self, mapping: MappingNetwork, synthesis: nn.Module) -> None:
        self._modules.update(mapping=mapping, synthesis=synthesis)

    @property
    def mapping(self) -> MappingNetwork:
        """z → ws; see `MappingNetwork.forward`. A module, so that weights are named `mapping.fc0.weight`."""
        return self._modules["mapping"]  # type: ignore[return-value]

    @property
    def synthesis(self) -> nn.Module:
        """ws → img; a module, so that weights are named `synthesis.b4.const`."""
        return self._modules["synthesis"]  # type: ignore[return-value]

    @property
    def w_avg(self) -> Tensor:
        """[w_dim], the running mean of w, toward which truncation pulls."""
        return self.mapping.w_avg

    def place_px(self, name: str) -> int | None:
        """See `GeneratorModule.place_px`."""
        net, _, rest = name.partition(".")
        return self.synthesis.place_px(rest.partition(".")[0]) if net == "synthesis" else None

    @torch.no_grad()
    def update_w_avg(self, ws: Tensor, *, beta: float = 0.998) -> None:
        """Let `w_avg` follow the mean of a training batch: w_avg ← β·w_avg + (1 − β)·mean w.

        Args:
            ws: [N, num_ws, w_dim] untruncated latents as `mapping` returned them; the first row of each counts.
            beta: how much stays; 0.998 here and in StyleGAN3, 0.995 in SG2-ADA.
        """
        self.w_avg.lerp_(ws[:, 0].detach().mean(dim=0).to(self.w_avg), 1 - beta)


# ---------------------------------------------------------------------------------------------------------------------
# Synthesis


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU (SG2, figure 2c and d); optionally enlarging ×2 first."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        up: int = 1,
        use_noise: bool = True,
        taps: Sequence[float] = (1, 3, 3, 1),
        clamp: float | None = None,
    ):
        super().__init__()
        self.resolution, self.up, self.use_noise, self.clamp = resolution, up, use_noise, clamp
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.prepared = PreparedWeight()
        self.register_buffer("resample_filter", fir_filter(taps))
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor, w: Tensor, *, noise_mode: str = "const", gain: float = 1) -> Tensor:
        """x [N, I, H, W], w [N, w_dim] → [N, O, H·up, W·up]."""
        # The gain √2 of the leaky ReLU is applied to everything before it, which is the same and saves a pass.
        total, noisy = GAINS["lrelu"] * gain, self.use_noise and noise_mode != "none"
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),  # [N, I]
            up=self.up,
            f=self.resample_filter,
            gain=total,
            bias=None if noisy else self.bias * total,
            prepared=self.prepared,
        )
        if noisy:
            noise = self.noise(x.shape[0], noise_mode)
            x = add_bias_and_noise_(x, self.bias * total, noise, self.noise_strength * total)
        return activate_(x, "lrelu", clamp=None if self.clamp is None else self.clamp * gain)

    def noise(self, batch: int, mode: str) -> Tensor:
        """What is added to every channel, before its strength: the layer's own [H, W], or a fresh [batch, 1, H, W]."""
        if mode == "const":
            return self.noise_const
        return torch.randn(batch, 1, self.resolution, self.resolution, device=self.noise_const.device)


class ToRGB(nn.Module):
    """Features → colours: a modulated 1×1 convolution without demodulation (SG2, section 4.1)."""

    def __init__(self, in_channels: int, out_channels: int, *, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, I, H, W], w [N, w_dim] → [N, img_channels, H, W]."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, demodulate=False, bias=self.bias)
        return activate_(x, "linear", clamp=self.clamp)


class SynthesisBlock(nn.Module):
    """All layers of one resolution. The first block starts from a learned constant instead of features."""

    resample_filter: Tensor

    def __init__(self, in_channels: int, resolution: int, config: StyleGAN2Config):
        super().__init__()
        self.architecture, self.resolution = config.architecture, resolution
        self.is_first, self.is_last = resolution == 4, resolution == config.img_resolution
        out_channels, taps, clamp = channels_at(resolution, config), config.resample_filter, config.conv_clamp
        self.register_buffer("resample_filter", fir_filter(taps))
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = self._layer(in_channels, config, up=2)
        self.conv1 = self._layer(out_channels, config, up=1)
        if self.is_last or self.architecture == "skip":
            self.torgb = ToRGB(out_channels, config.img_channels, w_dim=config.w_dim, clamp=clamp)
        if not self.is_first and self.architecture == "resnet":
            self.skip = EqualizedConv2d(in_channels, out_channels, 1, bias=False, up=2, taps=taps)

    def _layer(self, in_channels: int, config: StyleGAN2Config, *, up: int) -> SynthesisLayer:
        return SynthesisLayer(
            in_channels,
            channels_at(self.resolution, config),
            w_dim=config.w_dim,
            resolution=self.resolution,
            up=up,
            use_noise=config.use_noise,
            taps=config.resample_filter,
            clamp=config.conv_clamp,
        )

    @property
    def num_conv(self) -> int:
        """How many rows of ws the convolutions take; ToRGB takes the next one, which the next block takes again."""
        return 1 if self.is_first else 2

    @property
    def first_w(self) -> int:
        """The row of ws that the first convolution takes."""
        return 0 if self.is_first else 2 * int(math.log2(self.resolution)) - 5

    @property
    def has_torgb(self) -> bool:
        """Does this resolution add to the picture?"""
        return self.is_last or self.architecture == "skip"

    def forward(self, x: Tensor, img: Tensor | None, ws: Tensor, *, noise_mode: str) -> tuple[Tensor, Tensor | None]:
        """x [N, I, H/2, W/2], img [N, 3, H/2, W/2], ws [N, ≥ num_conv + 1, w_dim] → x and img of this resolution."""
        x = self.features(x, ws, noise_mode=noise_mode)
        return x, self._picture(x, img, ws)

    def features(self, x: Tensor, ws: Tensor, *, noise_mode: str) -> Tensor:
        """The first half of `forward`: x of this resolution."""
        if self.is_first:
            return self.conv1(x, ws[:, 0], noise_mode=noise_mode)
        if self.architecture == "resnet":
            half = math.sqrt(0.5)
            y = self.skip(x, gain=half)
            x = self.conv0(x, ws[:, 0], noise_mode=noise_mode)
            return y + self.conv1(x, ws[:, 1], noise_mode=noise_mode, gain=half)
        x = self.conv0(x, ws[:, 0], noise_mode=noise_mode)
        return self.conv1(x, ws[:, 1], noise_mode=noise_mode)

    def _picture(self, x: Tensor, img: Tensor | None, ws: Tensor) -> Tensor | None:
        """The picture so far, enlarged, plus what this block adds to it."""
        if not self.has_torgb:
            return img
        y = self.torgb(x, ws[:, self.num_conv]).to(ws.dtype)
        return y if img is None else upsample2d(img, self.resample_filter).add_(y)


def _run_blocks(
    blocks: list[SynthesisBlock], x: Tensor, img: Tensor | None, ws: Tensor, noise_mode: str
) -> tuple[Tensor, Tensor | None]:
    """Run some blocks in a row; x and img are those of the block before the first of them."""
    for block in blocks:
        x, img = block(x, img, ws[:, block.first_w :], noise_mode=noise_mode)
    return x, img


def _run_blocks_per_sample(
    blocks: list[SynthesisBlock], x: Tensor, img: Tensor | None, ws: Tensor, noise_mode: str
) -> Tensor:
    """The same picture as from `_run_blocks`, sample by sample."""
    done = []
    for i in range(ws.shape[0]):
        one = slice(i, i + 1)
        picture = _run_blocks(blocks, x[one], None if img is None else img[one], ws[one], noise_mode)[1]
        assert picture is not None
        done.append(picture)
    return torch.cat(done)


def _is_small(block: SynthesisBlock) -> bool:
    """Is scaling a sample's features cheaper than scaling the weights, or do several samples fit into the cache?"""
    weight = block.conv1.weight  # [O, I, 3, 3]
    return 4 * weight[0].numel() > block.resolution**2 or weight.shape[0] * block.resolution**2 < VALUES_IN_CACHE


class SynthesisNetwork(nn.Module):
    """ws → img, from 4×4 up."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        self.block_resolutions = resolutions(config.img_resolution)
        in_channels = 0
        for res in self.block_resolutions:
            self.add_module(f"b{res}", SynthesisBlock(in_channels, res, config))
            in_channels = channels_at(res, config)
        self.num_ws = sum(block.num_conv for block in self.blocks()) + 1  # = 2·log2(resolution) − 2

    def place_px(self, part: str) -> int | None:
        """`b16` → 16."""
        return int(part[1:]) if part[1:].isdigit() else None

    def blocks(self) -> list[SynthesisBlock]:
        """From 4×4 up."""
        return [self.get_submodule(f"b{res}") for res in self.block_resolutions]  # type: ignore[misc]

    def forward(
        self, ws: Tensor, *, noise_mode: str = "const", resolution: int | None = None, precision: str = "exact"
    ) -> Tensor:
        """Paint the picture of these latents.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: "const" (the generator's own noise: repeatable), "random" (fresh each time), "none".
            resolution: stop early at this smaller picture (architecture "skip" only); None = img_resolution.
            precision: "exact" = float32; "fast" = what this machine was measured to be fastest at.

        Returns:
            [N, img_channels, resolution, resolution], about [-1, 1] (not clipped).

        Raises:
            BadLatent: ws of a wrong shape.
            BadConfig: an unknown mode, or a resolution at which this generator has no picture.
        """
        check_ws(ws, who="synthesis", num_ws=self.num_ws, w_dim=self.config.w_dim)
        check_known(noise_mode, NOISE_MODES, what="noise_mode")
        check_known(precision, PRECISIONS, what="precision")
        last = self._last_resolution(resolution)
        blocks = [block for block in self.blocks() if block.resolution <= last]
        x = self._start(ws, precision)
        together = self._num_blocks_together(blocks, ws)
        x, img = _run_blocks(blocks[:together], x, None, ws, noise_mode)
        if together < len(blocks):
            img = _run_blocks_per_sample(blocks[together:], x, img, ws, noise_mode)
        assert img is not None
        return img

    def _start(self, ws: Tensor, precision: str) -> Tensor:
        const = self.blocks()[0].const
        x = const[None].repeat(ws.shape[0], 1, 1, 1)
        return fast_layout(x.to(fast_dtype(ws.device.type) if precision == "fast" else ws.dtype))

    def features(self, ws: Tensor, px: int, *, noise_mode: str, precision: str) -> Tensor:
        """The maps of one resolution, [N, C, px, px], before any ToRGB; see `GeneratorModule.features`."""
        x = self._start(ws, precision)
        for block in self.blocks():
            if block.resolution <= px:
                x = block.features(x, ws[:, block.first_w :], noise_mode=noise_mode)
        return x

    def _num_blocks_together(self, blocks: list[SynthesisBlock], ws: Tensor) -> int:
        """How many blocks take the whole batch at once; the others paint one sample after another.

        On a CPU and without gradients, a large picture is cheaper alone: it stays in the cache, and scaling the
        weights by its style is less work than scaling its features.
        """
        graph = torch.is_grad_enabled() and (ws.requires_grad or self.b4.const.requires_grad)
        if torch.compiler.is_compiling() or ws.device.type != "cpu" or ws.shape[0] == 1 or graph:
            return len(blocks)
        small = [block for block in blocks if _is_small(block)]
        return max(len(small), 1)

    def _last_resolution(self, resolution: int | None) -> int:
        if resolution is None or resolution == self.config.img_resolution:
            return self.config.img_resolution
        if self.config.architecture != "skip":
            raise BadConfig(
                "only architecture 'skip' has early exits; this generator has architecture "
                f"{self.config.architecture!r} and supports {self.config.img_resolution} px only, got "
                f"{resolution}"
            )
        if resolution not in self.block_resolutions:
            raise BadConfig(f"resolution must be one of {self.block_resolutions} or None, got {resolution}")
        return resolution


class StyleGAN2Generator(StyleGenerator):
    """z → ws → img.

    Args:
        config: the architecture.
    """

    family: ClassVar[str] = "stylegan2"

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        synthesis = SynthesisNetwork(config)
        self.num_ws = synthesis.num_ws
        mapping = MappingNetwork(
            z_dim=config.z_dim,
            c_dim=config.c_dim,
            w_dim=config.w_dim,
            num_ws=self.num_ws,
            num_layers=config.num_mapping_layers,
            lr_mul=config.mapping_lr_mul,
        )
        self._adopt(mapping, synthesis)

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """All resolutions."""
        return tuple(resolutions(self.img_resolution))

    def features(self, ws: Tensor, px: int, *, noise_mode: str = "const", precision: str = "exact") -> Tensor:
        """See `GeneratorModule.features`."""
        self.check_features(ws, px, noise_mode, precision)
        return self.synthesis.features(ws, px, noise_mode=noise_mode, precision=precision)

    def style_layers(self) -> list[StyleLayer]:
        """Convolutions and ToRGBs; a ToRGB reads the row that the next block's first convolution reads too."""
        return [
            StyleLayer(
                f"synthesis.b{block.resolution}.{part}.affine", block.first_w + i, block.get_submodule(part).affine
            )
            for block in self.synthesis.blocks()
            for i, part in enumerate(("conv0", "conv1", "torgb")[block.is_first :])
            if part != "torgb" or block.has_torgb
        ]


# ---------------------------------------------------------------------------------------------------------------------
# Discriminator


def minibatch_std(x: Tensor, *, group_size: int | None = 4, num_channels: int = 1) -> Tensor:
    """Append what lets the discriminator notice a lack of variety: the mean standard deviation over a few samples.

    Args:
        x: [N, C, H, W]; C a multiple of num_channels.
        group_size: samples compared with one another; the largest divisor of N up to this is taken. None = N.
        num_channels: how many statistics, each over its share of the channels.

    Returns:
        [N, C + num_channels, H, W].

    Source: Karras et al. 2018, "Progressive Growing of GANs", section 3. Sample n is in a group with n ± N/G, as in
    the published weights' training.
    """
    n, c, h, w = x.shape
    wanted = n if group_size is None else min(group_size, n)
    group = next(g for g in range(wanted, 0, -1) if n % g == 0)
    y = x.reshape(group, n // group, num_channels, c // num_channels, h, w).float()
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt()  # [N/G, F, C/F, H, W]
    y = y.mean(dim=(2, 3, 4)).to(x.dtype)  # [N/G, F]
    y = y.repeat(group, 1)[:, :, None, None].expand(n, num_channels, h, w)
    return torch.cat([x, y], dim=1)


class DiscriminatorBlock(nn.Module):
    """The layers of one resolution: two convolutions, the second of which halves the size."""

    resample_filter: Tensor

    def __init__(self, resolution: int, config: StyleGAN2DiscriminatorConfig):
        super().__init__()
        self.architecture, self.resolution = config.architecture, resolution
        here, below = channels_at(resolution, config), channels_at(resolution // 2, config)
        taps, clamp = config.resample_filter, config.conv_clamp
        self.register_buffer("resample_filter", fir_filter(taps))
        if resolution == config.img_resolution or config.architecture == "skip":
            self.fromrgb = EqualizedConv2d(config.img_channels, here, 1, activation="lrelu", taps=taps, clamp=clamp)
        self.conv0 = EqualizedConv2d(here, here, 3, activation="lrelu", taps=taps, clamp=clamp)
        self.conv1 = EqualizedConv2d(here, below, 3, activation="lrelu", down=2, taps=taps, clamp=clamp)
        if config.architecture == "resnet":
            self.skip = EqualizedConv2d(here, below, 1, bias=False, down=2, taps=taps)

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """x [N, I, H, W] (None at the top), img [N, 3, H, W] → x [N, O, H/2, W/2], img for the next block or None."""
        if img is not None:
            y = self.fromrgb(img)
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        if self.architecture == "resnet":
            half = math.sqrt(0.5)
            y = self.skip(x, gain=half)
            return y + self.conv1(self.conv0(x), gain=half), None
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """4×4 features → logits, or the vector that is projected onto the label's."""

    def __init__(self, config: StyleGAN2DiscriminatorConfig, *, cmap_dim: int):
        super().__init__()
        c = channels_at(4, config)
        self.group_size, self.num_channels = config.mbstd_group_size, config.mbstd_num_channels
        if config.architecture == "skip" or config.img_resolution == 4:
            self.fromrgb = EqualizedConv2d(config.img_channels, c, 1, activation="lrelu")
        self.conv = EqualizedConv2d(c + self.num_channels, c, 3, activation="lrelu", clamp=config.conv_clamp)
        self.fc = EqualizedLinear(c * 4**2, c, activation="lrelu")
        self.out = EqualizedLinear(c, cmap_dim or 1)

    def forward(self, x: Tensor | None, img: Tensor | None, cmap: Tensor | None, *, batches: int = 1) -> Tensor:
        """x [N, C, 4, 4], img [N, 3, 4, 4] or None, cmap [N, cmap_dim] or None → [N]."""
        if img is not None:
            y = self.fromrgb(img)
            x = y if x is None else x + y
        assert x is not None
        if self.num_channels > 0:
            size, count = self.group_size, self.num_channels
            x = torch.cat([minibatch_std(y, group_size=size, num_channels=count) for y in x.chunk(batches)])
        x = self.out(self.fc(self.conv(x).flatten(1)))  # [N, 1] or [N, cmap_dim]
        if cmap is None:
            return x.squeeze(1)
        return (x * cmap).sum(dim=1) / math.sqrt(cmap.shape[1])


class StyleGAN2Discriminator(Network):
    """img (and label) → logits [N].

    The label enters by projection: the last layer gives a vector instead of a number, and the logit is its inner
    product with the mapped label (Miyato and Koyama 2018, "cGANs with Projection Discriminator"; SG2-ADA, appendix).
    """

    family: ClassVar[str] = "stylegan2"

    def __init__(self, config: StyleGAN2DiscriminatorConfig):
        super().__init__()
        self.config = config
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        self.block_resolutions = resolutions(config.img_resolution)[:0:-1]  # from the top down to 8
        for res in self.block_resolutions:
            self.add_module(f"b{res}", DiscriminatorBlock(res, config))
        cmap_dim = 0 if config.c_dim == 0 else config.cmap_dim or channels_at(4, config)
        if cmap_dim > 0:
            self.mapping = MappingNetwork(
                z_dim=0,
                c_dim=config.c_dim,
                w_dim=cmap_dim,
                num_ws=None,
                num_layers=config.num_mapping_layers,
                lr_mul=config.mapping_lr_mul,
            )
        self.b4 = DiscriminatorEpilogue(config, cmap_dim=cmap_dim)

    def forward(self, img: Tensor, c: Tensor | None = None, *, batches: int = 1) -> Tensor:
        """Judge pictures.

        Args:
            img: [N, img_channels, img_resolution, img_resolution] in [-1, 1].
            c: [N, c_dim] labels of a conditional discriminator.
            batches: so many batches of equal length, one behind the other, are in img: the minibatch standard
                deviation compares pictures with those of their own batch only, so each is judged as if it were alone.

        Returns:
            [N] logits: positive = real.

        Raises:
            BadImage, BadLatent: a wrong shape.
            BadInput: a number of pictures that cannot be so many equal batches.
        """
        self._check(img, c)
        if batches < 1 or len(img) % batches:
            raise BadInput(f"discriminator cannot split {len(img)} images into {batches} equal batches.")
        x = None
        rest: Tensor | None = img
        for res in self.block_resolutions:
            x, rest = self.get_submodule(f"b{res}")(x, rest)
        return self.b4(x, rest, self.mapping(None, c) if self.c_dim > 0 else None, batches=batches)

    def _check(self, img: Tensor, c: Tensor | None) -> None:
        check_img(img, who="discriminator", channels=self.img_channels)
        if img.shape[-2:] != (self.img_resolution, self.img_resolution):
            raise BadImage(
                f"discriminator expects images of {self.img_resolution} x {self.img_resolution} px, got "
                f"{img.shape[-2]} x {img.shape[-1]}."
            )
        check_labels(c, who="discriminator", c_dim=self.c_dim, batch=len(img))
