"""Upscalers and translators as other people publish them: writers of their layouts, and slow references.

Everything here is written from the description of the formats, without the package's networks: names are spelt out, and
the references use nothing but torch's functional operations (or a Sequential numbered as the published ones are).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = dict[str, Tensor]


def add_conv(state: State, name: str, out: int, into: int, *, kernel: int = 3, bias: bool = True) -> None:
    """A random convolution of a size that keeps a signal alive through many layers."""
    state[f"{name}.weight"] = torch.randn(out, into, kernel, kernel) / (into * kernel**2) ** 0.5
    if bias:
        state[f"{name}.bias"] = torch.randn(out) * 0.1


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * 0.2)


# --------------------------------------------------------------------------------------------------- ESRGAN


def esrgan_names(layout: str, blocks: int, steps: int, *, shuffled: bool = False) -> dict[str, str]:
    """What the parts are called: first, trunk (a pattern of block, dense block, convolution), body, up1 …, hr, last."""
    if layout == "new":
        ups = {f"up{i}": f"conv_up{i}" for i in range(1, steps + 1)}
        return {
            "first": "conv_first", "trunk": "body.{}.rdb{}.conv{}", "body": "conv_body", **ups,
            "hr": "conv_hr", "last": "conv_last",
        }  # fmt: skip
    if layout == "mid":
        ups = {f"up{i}": f"upconv{i}" for i in range(1, steps + 1)}
        return {
            "first": "conv_first", "trunk": "RRDB_trunk.{}.RDB{}.conv{}", "body": "trunk_conv", **ups,
            "hr": "HRconv", "last": "conv_last",
        }  # fmt: skip
    numbers = {  # written out from the table of published files
        (1, False): ([3], 5, 7),
        (2, False): ([3, 6], 8, 10),
        (3, False): ([3, 6, 9], 11, 13),
        (0, False): ([], 2, 4),
        (2, True): ([2, 5], 8, 10),
    }[steps, shuffled]
    ups = {f"up{i}": f"model.{number}" for i, number in enumerate(numbers[0], 1)}
    return {
        "first": "model.0", "trunk": "model.1.sub.{}.RDB{}.conv{}.0", "body": f"model.1.sub.{blocks}", **ups,
        "hr": f"model.{numbers[1]}", "last": f"model.{numbers[2]}",
    }  # fmt: skip


def esrgan(
    layout: str, *, blocks: int = 2, width: int = 8, grow: int = 4, channels: int = 3, cell: int = 1, steps: int = 2,
    plus: bool = False, shuffled: bool = False,
) -> State:  # fmt: skip
    """Random weights in one of the three layouts; `steps` enlargements by 2 after the trunk."""
    state: State = {}
    names = esrgan_names(layout, blocks, steps, shuffled=shuffled)
    add_conv(state, names["first"], width, channels * cell**2)
    for b in range(blocks):
        for r in (1, 2, 3):
            for k in (1, 2, 3, 4, 5):
                add_conv(state, names["trunk"].format(b, r, k), width if k == 5 else grow, width + grow * (k - 1))
            if plus:
                name = names["trunk"].format(b, r, 9).replace("conv9.0", "conv1x1").replace("conv9", "conv1x1")
                add_conv(state, name, grow, width, kernel=1, bias=False)
    add_conv(state, names["body"], width, width)
    for i in range(1, steps + 1):
        add_conv(state, names[f"up{i}"], width * 4 if shuffled else width, width)
    add_conv(state, names["hr"], width, width)
    add_conv(state, names["last"], channels, width)
    return state


def esrgan_reference(
    state: State, x: Tensor, layout: str, *, blocks: int = 2, cell: int = 1, steps: int = 2, factor: int = 2,
    plus: bool = False, shuffled: bool = False,
) -> Tensor:  # fmt: skip
    """x [N, C, H, W] in [0, 1] → the enlarged picture, the long way."""
    names = esrgan_names(layout, blocks, steps, shuffled=shuffled)

    def conv(name: str, y: Tensor) -> Tensor:
        return F.conv2d(y, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=1)

    if cell > 1:
        rows = [x[:, c : c + 1, i::cell, j::cell] for c in range(x.shape[1]) for i in range(cell) for j in range(cell)]
        x = torch.cat(rows, 1)
    first = y = conv(names["first"], x)
    for b in range(blocks):
        outer = y
        for r in (1, 2, 3):
            name = [names["trunk"].format(b, r, k) for k in range(1, 6)]
            x1 = lrelu(conv(name[0], y))
            x2 = lrelu(conv(name[1], torch.cat([y, x1], 1)))
            if plus:
                shortcut = name[0].replace("conv1.0", "conv1x1").replace("conv1", "conv1x1", 1 - layout.count("old"))
                x2 = x2 + F.conv2d(y, state[f"{shortcut}.weight"])
            x3 = lrelu(conv(name[2], torch.cat([y, x1, x2], 1)))
            x4 = lrelu(conv(name[3], torch.cat([y, x1, x2, x3], 1)))
            x4 = x4 + x2 if plus else x4
            y = y + 0.2 * conv(name[4], torch.cat([y, x1, x2, x3, x4], 1))
        y = outer + 0.2 * y
    y = first + conv(names["body"], y)
    for i in range(1, steps + 1):
        if shuffled:
            y = lrelu(F.pixel_shuffle(conv(names[f"up{i}"], y), 2))
        else:
            y = lrelu(conv(names[f"up{i}"], y.repeat_interleave(factor, 2).repeat_interleave(factor, 3)))
    return conv(names["last"], lrelu(conv(names["hr"], y)))


# --------------------------------------------------------------------------------------------------- SRVGG


def srvgg(*, width: int = 8, inner: int = 3, scale: int = 2, channels: int = 3, prelu: bool = True) -> State:
    """Random weights of an SRVGGNetCompact: convolutions at even numbers, PReLU slopes at odd ones."""
    state: State = {}
    for i in range(inner + 1):
        add_conv(state, f"body.{2 * i}", width, channels if i == 0 else width)
        if prelu:
            state[f"body.{2 * i + 1}.weight"] = torch.rand(width) * 0.5
    add_conv(state, f"body.{2 * inner + 2}", channels * scale**2, width)
    return state


def srvgg_reference(state: State, x: Tensor, *, inner: int, scale: int, slope: float | None = None) -> Tensor:
    """x in [0, 1] → the enlarged picture. slope: of the negative side; None = the file's PReLU slopes."""
    y = x
    for i in range(inner + 2):
        y = F.conv2d(y, state[f"body.{2 * i}.weight"], state[f"body.{2 * i}.bias"], padding=1)
        if i <= inner:
            slopes = state[f"body.{2 * i + 1}.weight"][None, :, None, None] if slope is None else slope
            y = torch.where(y > 0, y, y * slopes)
    n, _, h, w = y.shape
    blocks = y.reshape(n, -1, scale, scale, h, w).permute(0, 1, 4, 2, 5, 3)  # depth to space, torch's order
    return blocks.reshape(n, -1, h * scale, w * scale) + x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


# --------------------------------------------------------------------------------------------------- CycleGAN


def norm(kind: str, width: int) -> nn.Module:
    return {
        "batch": nn.BatchNorm2d(width),
        "instance": nn.InstanceNorm2d(width),
        "instance-affine": nn.InstanceNorm2d(width, affine=True),
        "none": nn.Identity(),
    }[kind]


class Residual(nn.Module):
    """A published ResNet block: its layers in a Sequential of this name."""

    def __init__(self, width: int, kind: str, *, dropout: bool, padding: str, container: str = "conv_block"):
        super().__init__()
        bias = kind.startswith("instance")
        layers: list[nn.Module] = []
        for half in range(2):
            if padding != "zero":
                layers.append(nn.ReflectionPad2d(1) if padding == "reflect" else nn.ReplicationPad2d(1))
            layers += [nn.Conv2d(width, width, 3, padding=int(padding == "zero"), bias=bias), norm(kind, width)]
            layers += [nn.ReLU()] if half == 0 else []
            layers += [nn.Dropout(0.5)] if half == 0 and dropout else []
        self.container = container
        self.add_module(container, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return x + getattr(self, self.container)(x)


class Published(nn.Module):
    """A Sequential under the name `model` (or `net`), which gives the published names."""

    def __init__(self, layers: list[nn.Module], name: str = "model"):
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.name)(x)


def resnet(
    *, kind: str = "instance", blocks: int = 2, ngf: int = 4, into: int = 3, out: int = 3, dropout: bool = False,
    padding: str = "reflect", resize: bool = False, container: str = "conv_block", downs: int = 2,
) -> Published:  # fmt: skip
    """A CycleGAN generator as published."""
    bias = kind.startswith("instance")
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(into, ngf, 7, bias=bias), norm(kind, ngf), nn.ReLU()]
    for i in range(downs):
        a = ngf * 2**i
        layers += [nn.Conv2d(a, 2 * a, 3, stride=2, padding=1, bias=bias), norm(kind, 2 * a), nn.ReLU()]
    layers += [
        Residual(ngf * 2**downs, kind, dropout=dropout, padding=padding, container=container) for _ in range(blocks)
    ]
    for i in reversed(range(downs)):
        a = ngf * 2**i
        if resize:
            layers += [
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.ReflectionPad2d(1),
                nn.Conv2d(2 * a, a, 3, bias=bias),
            ]
        else:
            layers += [nn.ConvTranspose2d(2 * a, a, 3, stride=2, padding=1, output_padding=1, bias=bias)]
        layers += [norm(kind, a), nn.ReLU()]
    return Published([*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, out, 7), nn.Tanh()])


class Skip(nn.Module):
    """A published U-Net level: everything inside it is one Sequential called `model`; it hands its input across."""

    def __init__(self, layers: list[nn.Module], *, outermost: bool):
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def unet(*, kind: str = "batch", downs: int = 5, ngf: int = 4, into: int = 3, out: int = 3) -> nn.Module:
    """A pix2pix generator as published, built from the inside."""
    bias = kind == "instance"
    widths = [ngf * min(2**i, 8) for i in range(downs)]
    level: nn.Module | None = None
    for depth in reversed(range(1, downs)):
        outer, inner = widths[depth - 1], widths[depth]
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        up = [nn.ConvTranspose2d(inner * (1 if level is None else 2), outer, 4, 2, 1, bias=bias), norm(kind, outer)]
        middle = [] if level is None else [norm(kind, inner), level]
        level = Skip([*down, *middle, nn.ReLU(), *up], outermost=False)
    assert level is not None
    ends = nn.Conv2d(into, ngf, 4, 2, 1, bias=bias), nn.ConvTranspose2d(2 * ngf, out, 4, 2, 1)
    whole = Skip([ends[0], level, nn.ReLU(), ends[1], nn.Tanh()], outermost=True)
    holder = nn.Module()
    holder.model = whole
    holder.forward = whole.forward  # type: ignore[method-assign]
    return holder


def patchgan(*, kind: str = "instance", layers: int = 3, ndf: int = 4, into: int = 3) -> Published:
    """A PatchGAN as published."""
    bias = kind == "instance"
    parts: list[nn.Module] = [nn.Conv2d(into, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    for n in range(1, layers + 1):
        a, b = ndf * min(2 ** (n - 1), 8), ndf * min(2**n, 8)
        parts += [nn.Conv2d(a, b, 4, 2 if n < layers else 1, 1, bias=bias), norm(kind, b), nn.LeakyReLU(0.2)]
    return Published([*parts, nn.Conv2d(ndf * min(2**layers, 8), 1, 4, 1, 1)])


def pixelgan(*, kind: str = "batch", ndf: int = 4, into: int = 6) -> Published:
    """A PixelGAN as published."""
    bias = kind == "instance"
    layers = [nn.Conv2d(into, ndf, 1), nn.LeakyReLU(0.2), nn.Conv2d(ndf, 2 * ndf, 1, bias=bias), norm(kind, 2 * ndf)]
    return Published([*layers, nn.LeakyReLU(0.2), nn.Conv2d(2 * ndf, 1, 1, bias=bias)], name="net")


def live(net: nn.Module) -> nn.Module:
    """Random gains and running statistics, so that nothing is hidden behind a 0 or 1; eval mode."""
    for module in net.modules():
        for name, value in module._buffers.items():
            if value is not None and value.is_floating_point():
                value.copy_(torch.rand_like(value) + (0.5 if name == "running_var" else -0.5))
        if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)) and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return net.eval()
