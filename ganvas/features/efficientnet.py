"""EfficientNet-Lite0 as a feature extractor: for the perceptual loss and the Fréchet distance.

Paper: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"; the Lite variants
(no squeeze-and-excitation, ReLU6, fixed stem and head) are described by Liu 2020 on the TensorFlow blog. Only inference
is here: batch norms are folded into their convolutions when the weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.checks import check_img
from ganvas.errors import FetchError, WeightsError
from ganvas.weights.open_file import open_file

BN_EPS = 1e-3


@dataclass(frozen=True)
class Stage:
    """One row of the paper's table 1, Lite version."""

    repeats: int
    kernel_px: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_CHANNELS, HEAD_CHANNELS, CLASSES = 32, 1280, 1000
TAPS = (0, 3, 5, 11)  # after the stem (stride 2), block 2 (4), block 4 (8), block 10 (16): from edges to parts


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding: the odd pixel goes to the right and the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(input, self.weight, self.bias, padding=kernel // 2, groups=self.groups)
        pads = []
        for size in (input.shape[3], input.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, stride, groups=self.groups)


class Block(nn.Module):
    """Inverted bottleneck: 1x1 up, depthwise, 1x1 down, identity where the shape allows."""

    def __init__(self, channels_in: int, stage: Stage, stride: int):
        super().__init__()
        inner = channels_in * stage.expand
        self.expand = SameConv(channels_in, inner, 1) if stage.expand > 1 else None
        self.depthwise = SameConv(inner, inner, stage.kernel_px, stride, groups=inner)
        self.project = SameConv(inner, stage.channels, 1)
        self.residual = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu6(self.expand(x)) if self.expand is not None else x
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.residual else h


class EfficientNetLite0(nn.Module):
    """The network, frozen, in eval mode; takes img in [-1, 1] of any size from 32 px."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, 3, 2)
        blocks, channels = [], STEM_CHANNELS
        for stage in STAGES:
            for repeat in range(stage.repeats):
                blocks.append(Block(channels, stage, stage.stride if repeat == 0 else 1))
                channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(channels, HEAD_CHANNELS, 1)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)
        self.to(memory_format=torch.channels_last).requires_grad_(False).eval()

    def features(self, img: Tensor, *, taps: tuple[int, ...] = TAPS) -> list[Tensor]:
        """Feature maps, fine to coarse.

        Args:
            img: [N, 3, H, W] in [-1, 1]; grey pictures must be repeated to three channels first.
            taps: 0 = after the stem, i = after the i-th block (1 … 16), in rising order.

        Returns:
            One [N, C, H', W'] a tap. Nothing deeper than the last tap is computed.
        """
        check_img(img, who="EfficientNetLite0.features")
        h = F.relu6(self.stem(img.contiguous(memory_format=torch.channels_last)))
        maps = [h] if 0 in taps else []
        for index, block in enumerate(self.blocks[: max(taps)], start=1):
            h = block(h)
            if index in taps:
                maps.append(h)
        return maps

    def embed(self, img: Tensor) -> Tensor:
        """One vector a picture: the pooled last layer, [N, 1280]. Compare pictures at one size; 224 px is its own."""
        last = self.features(img, taps=(len(self.blocks),))[0]
        return F.relu6(self.head(last)).mean(dim=(2, 3))

    def forward(self, img: Tensor) -> Tensor:
        """ImageNet logits, [N, 1000]."""
        return self.classifier(self.embed(img))


def feature_distance(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """Perceptual distance of two lists of feature maps, [N].

    Channels are scaled to unit length at every place, then squared differences are averaged over places and summed over
    taps, as in LPIPS without its learnt channel weights: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric", equation 1 with w = 1. The range is 0 … 4 per tap.
    """
    return torch.stack(
        [(_unit(a) - _unit(b)).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(ours, theirs, strict=True)]
    ).sum(dim=0)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()


def load_efficientnet(path: Path | str | None = None) -> EfficientNetLite0:
    """The network with its ImageNet weights.

    Args:
        path: a state dict in the layout of the published PyTorch port; None = the catalogue's `efficientnet-lite0`.

    Raises:
        WeightsError: the file holds something else.
        FetchError: not on this computer yet; the message has the command that fetches it.
    """
    if path is None:
        from ganvas.weights.catalogue.catalogue import resolve

        path = resolve("efficientnet-lite0")
    state = open_file(Path(path)).state_dict()
    net = EfficientNetLite0()
    try:
        net.load_state_dict(_fold_batch_norms(state))
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{path} does not hold EfficientNet-Lite0: expected names like '_blocks.0._depthwise_conv.weight', "
            f"got {list(state)[:3]} ({error})"
        ) from error
    return net


def load_efficientnet_if_available() -> EfficientNetLite0 | None:
    """The network if its weights are downloaded, else None; everything works without it, slightly less well."""
    try:
        return load_efficientnet()
    except FetchError:
        return None


def _fold_batch_norms(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their names → ours, each batch norm folded into the convolution before it."""
    ours = {"classifier.weight": state["_fc.weight"], "classifier.bias": state["_fc.bias"]}

    def fold(name: str, conv: str, norm: str) -> None:
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + BN_EPS).sqrt()
        ours[f"{name}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        ours[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    for i in range(sum(stage.repeats for stage in STAGES)):
        if i > 0:
            fold(f"blocks.{i}.expand", f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        fold(f"blocks.{i}.depthwise", f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        fold(f"blocks.{i}.project", f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    return ours
