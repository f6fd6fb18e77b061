"""How unlike two pictures are: the loss that an inversion makes small.

Pixels at three scales, features of EfficientNet-Lite0 (where its weights are on this computer; else differences of
neighbouring pixels stand in), and, if the caller brings a network for it, the identity of the face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.fields import check_settings, setting
from ganvas.ops.psnr_ssim import psnr_rgb, ssim_rgb
from ganvas.ops.resample import downscale

Embedder = Callable[[Tensor], Tensor]
REPORT_PX = 256  # figures are of pictures of this size
MIN_FEATURES_PX = 32  # below, features say little


@dataclass(frozen=True, kw_only=True)
class ReconstructionLossConfig:
    """The weights of the parts."""

    pixels: float = setting(1.0, help="mean absolute difference, the middle of the picture counting more")
    coarse: float = setting(2.0, help="mean squared difference at 64 px, and again at 32 px")
    features: float = setting(0.5, help="perceptual distance")
    edges: float = setting(0.5, help="differences of neighbours, only where there are no features")
    identity: float = setting(0.5, help="distance of faces' identities")
    centre: float = setting(0.8, help="how much more the middle counts: weight 1 − centre + centre · bell")

    def __post_init__(self) -> None:
        check_settings(self, who="loss", whole_floats=True)


class ReconstructionLoss:
    """The loss toward one target picture; call it with pictures of any size."""

    def __init__(
        self,
        target: Tensor,
        *,
        extractor: EfficientNetLite0 | None = None,
        embedder: Embedder | None = None,
        config: ReconstructionLossConfig | None = None,
    ):
        """`target` is [1, C, S, S] in [-1, 1]."""
        self.config = config or ReconstructionLossConfig()
        self.target, self.extractor, self.embedder = target, extractor, embedder
        self._targets_by_size: dict[int, Tensor] = {}
        self._target_features: dict[int, list[Tensor]] = {}
        self._target_embedding = None if embedder is None else embedder(to_rgb(target)).detach()

    def __call__(self, img: Tensor, *, identity: bool = True) -> Tensor:
        """img [1, C, R, R] → the loss, one number."""
        size = img.shape[3]
        target = self.at(size)
        loss = self.config.pixels * (self._bell(size) * (img - target).abs()).mean()
        for coarse in (64, 32):
            if coarse <= size:
                loss = loss + self.config.coarse * F.mse_loss(downscale(img, coarse), downscale(target, coarse))
        if self.extractor is not None and size >= MIN_FEATURES_PX:
            loss = loss + self.config.features * self.feature_distance(img)
        else:
            loss = loss + self.config.edges * sum(
                (a - b).abs().mean() for a, b in zip(_edges(img), _edges(target), strict=True)
            )
        if identity and self.embedder is not None and self._target_embedding is not None:
            near = (self.embedder(to_rgb(img)) - self._target_embedding).square().sum(dim=1).mean()
            loss = loss + self.config.identity * near
        return loss

    def feature_distance(self, img: Tensor) -> Tensor:
        """The perceptual distance to the target at img's size; needs an extractor."""
        assert self.extractor is not None
        size = img.shape[3]
        if size not in self._target_features:
            with torch.no_grad():
                self._target_features[size] = self.extractor.features(to_rgb(self.at(size)))
        return feature_distance(self.extractor.features(to_rgb(img)), self._target_features[size]).mean()

    def at(self, size: int) -> Tensor:
        """The target at another size: smaller by area, larger by cubic interpolation."""
        if size not in self._targets_by_size:
            img = downscale(self.target, size)
            if img.shape[3] < size:
                img = F.interpolate(img, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
            self._targets_by_size[size] = img
        return self._targets_by_size[size]

    def _bell(self, size: int) -> Tensor:
        at = (torch.arange(size, dtype=torch.float32, device=self.target.device) + 0.5) / size * 2 - 1
        bell = (-(at[None].square() + at[:, None].square()) / 0.5).exp()
        weight = 1 - self.config.centre + self.config.centre * bell
        return weight / weight.mean()


@torch.no_grad()
def reconstruction_metrics(
    img: Tensor, target: Tensor, *, extractor: EfficientNetLite0 | None = None, embedder: Embedder | None = None
) -> dict[str, float]:
    """How faithful a full picture is, both averaged down to 256 px (or the smaller of the two).

    Returns:
        psnr_db, ssim; feature_distance and identity_distance where there are networks for them.
    """
    px = min(REPORT_PX, img.shape[3], target.shape[3])
    img, target = downscale(img, px), downscale(target, px)
    metrics = {"psnr_db": float(psnr_rgb(img, target)), "ssim": float(ssim_rgb(img, target))}
    ours, theirs = to_rgb(img), to_rgb(target)
    if extractor is not None and px >= MIN_FEATURES_PX:
        metrics["feature_distance"] = float(feature_distance(extractor.features(ours), extractor.features(theirs)))
    if embedder is not None:
        metrics["identity_distance"] = float((embedder(ours) - embedder(theirs)).norm(dim=1))
    return metrics


def to_rgb(img: Tensor) -> Tensor:
    """Grey pictures with three equal channels."""
    return img.expand(-1, 3, -1, -1)


def _edges(img: Tensor) -> tuple[Tensor, Tensor]:
    return img[:, :, 1:] - img[:, :, :-1], img[:, :, :, 1:] - img[:, :, :, :-1]
