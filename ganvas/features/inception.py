"""The Inception network of FID, from a file that the user gives: its weights may not be handed on by ganvas.

Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", in TensorFlow's edition of 2015-12-05,
which Salimans et al. 2016 (Inception score) and Heusel et al. 2017 (FID) used. It differs from torchvision's network in
its poolings (borders are not counted; the last block takes the maximum) and has 1,008 classes. The names of the weights
are those of the common port, pt_inception-2015-12-05-6726825d.pth (pytorch-fid, clean-fid and torch-fidelity read it).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UnknownWeights
from ganvas.weights.open_file import open_file

INCEPTION_PX = 299
INCEPTION_FEATURES, INCEPTION_CLASSES = 2048, 1008
PUBLISHED_SHA256 = "6726825d"  # how the SHA-256 of the common port's file begins
_BN_EPS = 1e-3
_COUNTER = "num_batches_tracked"


class _Conv(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int, kernel: int | tuple[int, int], *, stride: int = 1, pad: object = 0):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, pad, bias=False)  # type: ignore[arg-type]
        self.bn = nn.BatchNorm2d(after, eps=_BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


def _average(x: Tensor) -> Tensor:
    """3 x 3 means that do not count what lies beyond the border."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _A(nn.Module):
    """Figure 5 of the paper: a 5 x 5 as it is, and one made of two 3 x 3."""

    def __init__(self, before: int, pooled: int):
        super().__init__()
        self.branch1x1 = _Conv(before, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = _Conv(before, 48, 1), _Conv(48, 64, 5, pad=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(before, 64, 1), _Conv(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, pad=1)
        self.branch_pool = _Conv(before, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat(
            [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(_average(x))], 1
        )


class _B(nn.Module):
    """To half the size (figure 10)."""

    def __init__(self, before: int):
        super().__init__()
        self.branch3x3 = _Conv(before, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(before, 64, 1), _Conv(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class _C(nn.Module):
    """Figure 6: 7 x 7 as 1 x 7 and 7 x 1."""

    def __init__(self, width: int):
        super().__init__()
        across, down = {"kernel": (1, 7), "pad": (0, 3)}, {"kernel": (7, 1), "pad": (3, 0)}
        self.branch1x1, self.branch_pool = _Conv(768, 192, 1), _Conv(768, 192, 1)
        self.branch7x7_1 = _Conv(768, width, 1)
        self.branch7x7_2, self.branch7x7_3 = _Conv(width, width, **across), _Conv(width, 192, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_1 = _Conv(768, width, 1)
        self.branch7x7dbl_2, self.branch7x7dbl_3 = _Conv(width, width, **down), _Conv(width, width, **across)  # type: ignore[arg-type]
        self.branch7x7dbl_4, self.branch7x7dbl_5 = _Conv(width, width, **down), _Conv(width, 192, **across)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average(x))], 1)


class _D(nn.Module):
    """To half the size once more."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = _Conv(768, 192, 1), _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = _Conv(768, 192, 1), _Conv(192, 192, (1, 7), pad=(0, 3))
        self.branch7x7x3_3, self.branch7x7x3_4 = _Conv(192, 192, (7, 1), pad=(3, 0)), _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class _E(nn.Module):
    """Figure 7: branches that fork into a row and a column."""

    def __init__(self, before: int, *, largest: bool):
        super().__init__()
        self.largest = largest  # the last block takes maxima instead of means
        row, column = {"kernel": (1, 3), "pad": (0, 1)}, {"kernel": (3, 1), "pad": (1, 0)}
        self.branch1x1, self.branch_pool = _Conv(before, 320, 1), _Conv(before, 192, 1)
        self.branch3x3_1 = _Conv(before, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = _Conv(384, 384, **row), _Conv(384, 384, **column)  # type: ignore[arg-type]
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(before, 448, 1), _Conv(448, 384, 3, pad=1)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = _Conv(384, 384, **row), _Conv(384, 384, **column)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        forks = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        forks += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else _average(x)
        return torch.cat([self.branch1x1(x), *forks, self.branch_pool(pooled)], 1)


class InceptionNetwork(nn.Module):
    """The network, frozen, in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = _Conv(3, 32, 3, stride=2), _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, pad=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = _Conv(64, 80, 1), _Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _C(128), _C(160), _C(160), _C(192)
        self.Mixed_7a = _D()
        self.Mixed_7b, self.Mixed_7c = _E(1280, largest=False), _E(2048, largest=True)
        self.fc = nn.Linear(INCEPTION_FEATURES, INCEPTION_CLASSES)
        self.requires_grad_(False).eval()

    def embed(self, img: Tensor) -> Tensor:
        """[N, 3, 299, 299], (0 … 255 − 128) / 128 → the last pooling, [N, 2048]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(img)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean(dim=(2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """[N, 2048] → probabilities [N, 1008], without the biases, as the Inception score has always been taken."""
        return (features @ self.fc.weight.T.to(features.device)).softmax(dim=1)


def preprocess_for_inception(pixels: Tensor, input_px: int = INCEPTION_PX) -> Tensor:
    """uint8 [N, C, H, W] → [N, 3, input_px, input_px] as TensorFlow 1 made it: bilinear, corner to corner.

    Its output pixel i lies at i · H / input_px of the input, with no half pixels and no filter before shrinking; other
    resizes give other distances (Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN
    Evaluation").
    """
    img = pixels.float().expand(-1, 3, -1, -1)
    for axis in (2, 3):
        size = img.shape[axis]
        place = torch.arange(input_px, device=img.device, dtype=torch.float32) * (size / input_px)
        low = place.floor().long().clamp_max(size - 1)
        high = (low + 1).clamp_max(size - 1)
        share = (place - low).view(-1, *[1] * (3 - axis))
        img = img.index_select(axis, low).lerp(img.index_select(axis, high), share)
    return (img - 128) / 128


def load_inception(path: Path | str) -> InceptionNetwork:
    """The network with the weights of a file.

    Args:
        path: pt_inception-2015-12-05-6726825d.pth, or the same weights as .safetensors.

    Raises:
        WeightsError: the file holds something else; says what is missing.
    """
    tensors = open_file(path).state_dict()
    with torch.device("meta"):
        network = InceptionNetwork()
    wanted = network.state_dict()
    for name, like in wanted.items():
        here = tensors.get(name)
        if not name.endswith(_COUNTER) and (here is None or here.shape != like.shape):
            shape = "is not there" if here is None else f"has {list(here.shape)}"
            raise UnknownWeights(
                f"{path} does not hold the Inception network of FID (pt_inception-2015-12-05-6726825d.pth): "
                f"{name} should have shape {list(like.shape)}, {shape}"
            )
    own = {name: torch.tensor(0) if name.endswith(_COUNTER) else tensors[name].float().clone() for name in wanted}
    network.load_state_dict(own, assign=True)
    return network.requires_grad_(False).eval()


def is_published_inception(path: Path | str) -> bool:
    """Is a file the common port itself, byte for byte?"""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest().startswith(PUBLISHED_SHA256)
