"""Which part of an aligned face picture is hair, skin, lips, …? For keeping an edit, or a colour, where it belongs.

A small network of our own. It learnt from pictures that the model `faces` paints, whose parts come from the
generator's own features (tools/learn_parts.py), so nobody's photo and nobody's labels are in it. The network says
roughly where a part is; a guided filter on the picture itself brings its edges to the pixels.

Papers: Zhang et al. 2021, "DatasetGAN"; Tritrong et al. 2021, "Repurposing GANs for One-Shot Semantic Part
Segmentation"; Ronneberger et al. 2015, "U-Net"; He et al. 2010, "Guided Image Filtering".
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganvas.checks import check_img
from ganvas.errors import BrokenWeights
from ganvas.fields import check_known
from ganvas.ops.guided_filter import filter_guided
from ganvas.ops.precision import fast_dtype

PARTS = ("background", "skin", "brows", "whites", "iris", "lips", "mouth", "hair", "clothes")
"""Skin is face, ears and neck, a bald head and a beard too; whites are the eyes' but for the iris; mouth is what open
lips show; clothes are all that is worn, hats too. Glasses belong to what is behind them."""
PART_GROUPS = {
    "eyes": ("whites", "iris"),
    "face": ("skin", "brows", "whites", "iris", "lips", "mouth"),
    "person": PARTS[1:],
}
PARTS_PX = 256  # the network's input
PARTS_WEIGHTS = Path(__file__).parent / "data" / "face-parts.safetensors"
WIDTHS = (16, 32, 64, 96, 128)  # channels at 128, 64, 32, 16 and 8 px
EDGE_RADIUS, EDGE_EPS = 0.012, 1e-4  # of the guided filter: sides of the picture, and variance of its colours in [0, 1]


class _Block(nn.Sequential):
    """Two 3 x 3 convolutions, the first at half the size if asked."""

    def __init__(self, channels: int, width: int, stride: int = 1):
        layers: list[nn.Module] = []
        for inner, step in ((channels, stride), (width, 1)):
            layers += [nn.Conv2d(inner, width, 3, step, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
        super().__init__(*layers)


class _Join(nn.Sequential):
    """A level of the way up, from what comes from below and from the side."""

    def __init__(self, channels: int, width: int):
        narrow = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU()
        wide = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU()
        super().__init__(*narrow, *wide)


class PartsNetwork(nn.Module):
    """A small U-Net: pictures at 256 px in, the parts at 128 px out; 0.7 M parameters."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        first = nn.Conv2d(12, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.SiLU()
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), *first)
        self.down = nn.ModuleList(_Block(a, b, 2) for a, b in pairwise(widths))
        self.whole = nn.Linear(widths[-1], widths[-1])  # what the picture is all in all
        self.up = nn.ModuleList(_Join(below + beside, beside) for below, beside in pairwise(widths[::-1]))
        self.head = nn.Conv2d(widths[0], len(PARTS), 1)

    def forward(self, img: Tensor) -> Tensor:
        """[N, 3, 256, 256] in [-1, 1] → logits [N, parts, 128, 128]. Other multiples of 32 px work alike."""
        x = self.stem(img)
        beside = []
        for block in self.down:
            beside.append(x)
            x = block(x)
        x = x + F.silu(self.whole(x.mean(dim=(2, 3))))[:, :, None, None]
        for join, side in zip(self.up, reversed(beside), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = join(torch.cat([x, side], dim=1))
        return self.head(x)


@cache
def load_parts_network() -> PartsNetwork:
    """The network with the weights that ship with ganvas, frozen.

    Raises:
        BrokenWeights: the installation is damaged.
    """
    net = PartsNetwork()
    try:
        net.load_state_dict({name: w.float() for name, w in load_file(PARTS_WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BrokenWeights(f"{PARTS_WEIGHTS.name} is damaged or missing; install ganvas again ({error})") from error
    return fuse_norms(net.requires_grad_(False).eval())


def fuse_norms(net: PartsNetwork) -> PartsNetwork:
    """The same network with each normalisation in the weights of the convolution before it: a third sooner."""
    for layers in [module for module in net.modules() if isinstance(module, nn.Sequential)]:
        for at, (conv, norm) in enumerate(pairwise(list(layers))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[at], layers[at + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net.to(memory_format=torch.channels_last)


@cache
def _fast_parts_network(device_type: str) -> PartsNetwork:
    """The same in the precision that is quickest there."""
    return copy.deepcopy(load_parts_network()).to(device_type, fast_dtype(device_type))


@torch.no_grad()
def parse_parts(img: Tensor, *, refine: bool = True, mirror: bool = True, precision: str = "exact") -> Tensor:
    """How much of each place belongs to which part.

    Args:
        img: [N, 3, S, S] aligned as in FFHQ, in [-1, 1].
        refine: bring the edges to those of the picture.
        mirror: the mean of the picture and its mirror image: a little surer, and twice the work.
        precision: "exact", or "fast" for previews: of three pictures, .02 % of the places become another part.

    Returns:
        [N, len(PARTS), S, S], between 0 and 1, summing to 1 over the parts. `PARTS` has their order.

    Raises:
        BadImage: another shape.
    """
    check_img(img, who="parse_parts")
    quick, side = precision == "fast", img.shape[-1]
    net = _fast_parts_network(img.device.type) if quick else load_parts_network().to(img.device)
    small = _resize(img.float(), PARTS_PX).to(net.head.weight.dtype)
    rough = net(small).float().softmax(dim=1)
    if mirror:
        rough = (rough + net(small.flip(3)).float().softmax(dim=1).flip(3)) / 2
    p = F.interpolate(rough, (side, side), mode="bilinear", align_corners=False)
    return refine_parts(p, img) if refine else p


def select_parts(p: Tensor, names: Iterable[str]) -> Tensor:
    """The places of some parts or groups together.

    Args:
        p: [N, len(PARTS), H, W], as `parse_parts` gives them.
        names: of PARTS and PART_GROUPS.

    Returns:
        [N, 1, H, W], 0 to 1.

    Raises:
        BadConfig: an unknown name; the message has those that are known.
    """
    single = expand_parts(names)
    return p[:, [PARTS.index(name) for name in single]].sum(dim=1, keepdim=True).clamp(0, 1)


def expand_parts(names: Iterable[str]) -> tuple[str, ...]:
    """Parts and groups as parts, each once, in the order of PARTS.

    Raises:
        BadConfig: an unknown name.
    """
    chosen: set[str] = set()
    for name in names:
        check_known(name, (*PARTS, *PART_GROUPS), what="part")
        chosen |= set(PART_GROUPS.get(name, (name,)))
    return tuple(name for name in PARTS if name in chosen)


def refine_parts(p: Tensor, img: Tensor) -> Tensor:
    """Parts p [N, P, S, S] with their edges where those of img [N, 3, S, S] are; summing to 1."""
    p = filter_guided(p, (img.float() + 1) / 2, radius_px=EDGE_RADIUS * img.shape[-1], eps=EDGE_EPS).clamp(0, 1)
    return p / p.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _resize(img: Tensor, px: int) -> Tensor:
    return F.interpolate(img, (px, px), mode="bilinear", align_corners=False, antialias=True)
