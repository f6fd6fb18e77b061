"""The reconstruction loss of an inversion.

Pixels at three scales, features of EfficientNet-Lite0 (where its weights are on this computer; else differences of
neighbouring pixels stand in), and the embeddings of any other networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.features.face_networks import EXPRESSIONS, crop_face, load_face_score_net, score_faces
from ganvas.features.identity import identity_distance
from ganvas.fields import check_settings, setting
from ganvas.ops.psnr_ssim import psnr_rgb, ssim_rgb
from ganvas.ops.resample import downscale

Embedder = Callable[[Tensor], Tensor]
RelativeBox = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the side
REPORT_PX = 256  # figures are of pictures of this size
MIN_FEATURES_PX = 32  # below, features say little
FACE_BOX: RelativeBox = (3 / 16, 4 / 16, 13 / 16, 14 / 16)  # brows to chin, ear to ear, as FFHQ frames faces
FACE_BELL = (0.95, 0.3)  # the share of the bell in the weight of a pixel, and its variance (1 = half a side, squared)
FACE_FEATURES, FACE_COARSE = 4.0, 3.0  # how much more features, and colours, of a face count than a whole picture's
PLAIN_VARIANCE = 0.5  # of the bell where nothing is known about the picture
FACE_PARTS: dict[str, RelativeBox] = {  # squares; eyes and mouth are always there in FFHQ's framing
    "left_eye": (18 / 64, 24 / 64, 30 / 64, 36 / 64),
    "right_eye": (34 / 64, 24 / 64, 46 / 64, 36 / 64),
    "mouth": (24 / 64, 38 / 64, 40 / 64, 54 / 64),
}

# What the face scorer's outputs count beside each other: log probabilities of expressions, age in 20 years, gender
# logit, and the direction of the last layer.
_EXPRESSION, _AGE, _GENDER, _BODY = 0.1, 1.0, 0.15, 0.7
_LEAST_LOG_P = -8.0


@dataclass(frozen=True, kw_only=True)
class ReconstructionLossConfig:
    """The weights of the parts."""

    pixels: float = setting(1.0, help="mean absolute difference, the middle of the picture counting more")
    coarse: float = setting(2.0, help="mean squared difference at 64 px, and again at 32 px")
    features: float = setting(0.5, help="perceptual distance")
    edges: float = setting(0.5, help="differences of neighbours, only where there are no features")
    identity: float = setting(0.5, help="squared distance of the caller's embedder")
    face: float = setting(0.5, help="squared distance of `embed_face`, where a generator paints faces")
    guess: float = setting(0.05, help="squared distance of what the generator's encoder sees")
    centre: float = setting(0.8, help="how much more the middle counts: weight 1 − centre + centre · bell")

    def __post_init__(self) -> None:
        check_settings(self, who="loss", whole_floats=True)


@dataclass(frozen=True)
class EmbedderTerm:
    """A network that shall see the same in both pictures."""

    embed: Embedder
    weight: float  # of the squared distance
    largest_px: int | None = None  # left out for pictures larger than this


class ReconstructionLoss:
    """The loss toward one target picture; call it with pictures of any size."""

    def __init__(
        self,
        target: Tensor,
        *,
        extractor: EfficientNetLite0 | None = None,
        embedders: Sequence[EmbedderTerm] = (),
        config: ReconstructionLossConfig | None = None,
        features_box: RelativeBox | None = None,
        bell: tuple[float, float] | None = None,
    ):
        """
        Args:
            target: [1, C, S, S] in [-1, 1].
            extractor: for the perceptual term; None = differences of neighbouring pixels stand in.
            embedders: networks img [N, 3, H, W] → [N, E].
            config: weights of the other terms.
            features_box: the part of the picture whose features are compared; None = all of it.
            bell: how much more the middle counts at every scale (share, variance); None = config.centre at the finest.
        """
        self.config = config or ReconstructionLossConfig()
        self.target, self.extractor, self.features_box, self.bell = target, extractor, features_box, bell
        self._targets_by_size: dict[int, Tensor] = {}
        self._target_features: dict[int, list[Tensor]] = {}
        with torch.no_grad():
            rgb = to_rgb(downscale(target, REPORT_PX))
            self._embedded = [(term, term.embed(rgb)) for term in embedders if term.weight]

    def __call__(self, img: Tensor) -> Tensor:
        """img [1, C, R, R] → the loss, one number."""
        size = img.shape[3]
        target = self.at(size)
        loss = self.config.pixels * (self._bell(size) * (img - target).abs()).mean()
        for coarse in (64, 32):
            if coarse <= size:
                squares = (downscale(img, coarse) - downscale(target, coarse)).square()
                weight = 1 if self.bell is None else self._bell(coarse)
                loss = loss + self.config.coarse * (weight * squares).mean()
        if self.extractor is not None and size >= MIN_FEATURES_PX:
            loss = loss + self.config.features * self.feature_distance(img)
        else:
            loss = loss + self.config.edges * sum(
                (a - b).abs().mean() for a, b in zip(_edges(img), _edges(target), strict=True)
            )
        for term, goal in self._embedded:
            if term.largest_px is None or size <= term.largest_px:
                loss = loss + term.weight * (term.embed(to_rgb(img)) - goal).square().sum(dim=1).mean()
        return loss

    def feature_distance(self, img: Tensor) -> Tensor:
        """The perceptual distance to the target at img's size, within the box; needs an extractor."""
        size = img.shape[3]
        if size not in self._target_features:
            with torch.no_grad():
                self._target_features[size] = self._features(self.at(size))
        return feature_distance(self._features(img), self._target_features[size]).mean()

    def _features(self, img: Tensor) -> list[Tensor]:
        assert self.extractor is not None
        part = img if self.features_box is None else cut_box(img, self.features_box)
        return self.extractor.features(to_rgb(part))

    def at(self, size: int) -> Tensor:
        """The target at another size: smaller by area, larger by cubic interpolation."""
        if size not in self._targets_by_size:
            img = downscale(self.target, size)
            if img.shape[3] < size:
                img = F.interpolate(img, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
            self._targets_by_size[size] = img
        return self._targets_by_size[size]

    def _bell(self, size: int) -> Tensor:
        share, variance = self.bell or (self.config.centre, PLAIN_VARIANCE)
        at = (torch.arange(size, dtype=torch.float32, device=self.target.device) + 0.5) / size * 2 - 1
        bell = (-(at[None].square() + at[:, None].square()) / variance).exp()
        weight = 1 - share + share * bell
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


def embed_face(img: Tensor) -> Tensor:
    """Aligned faces [N, 3, S, S] → what the shipped face scorer says about them, weighted, [N, E]."""
    net = load_face_score_net().to(img.device)
    h = F.adaptive_avg_pool2d(net.body(crop_face(img)), 2).flatten(1)
    out = net.heads(h)
    expression = out[:, : len(EXPRESSIONS)].log_softmax(dim=1).clamp(min=_LEAST_LOG_P)
    age, gender = out[:, -2:-1], out[:, -1:]
    return torch.cat([_EXPRESSION * expression, _AGE * age, _GENDER * gender, _BODY * F.normalize(h, dim=1)], dim=1)


@torch.no_grad()
def smile_metrics(img: Tensor, target: Tensor) -> dict[str, float]:
    """How probably the target (photo_smile) and the picture found for it (latent_smile) smile, 0 … 1; aligned faces."""
    photo, latent = (float(score_faces(to_rgb(downscale(x, REPORT_PX)), "smile")) for x in (target, img))
    return {"photo_smile": photo, "latent_smile": latent}


@torch.no_grad()
def compare_identity(img: Tensor, target: Tensor) -> float:
    """How far the person in one aligned picture is from the one in another; `describe_identity` puts it into words."""
    return float(identity_distance(*(to_rgb(downscale(x, REPORT_PX)) for x in (img, target))))


def cut_box(img: Tensor, box: RelativeBox) -> Tensor:
    """A part of pictures [N, C, S, S]; boxes of one size give parts of one size."""
    left, top = (round(share * img.shape[3]) for share in box[:2])
    width, height = (round((end - start) * img.shape[3]) for start, end in zip(box[:2], box[2:], strict=True))
    return img[:, :, top : top + height, left : left + width]


def to_rgb(img: Tensor) -> Tensor:
    """Grey pictures with three equal channels."""
    return img.expand(-1, 3, -1, -1)


def _edges(img: Tensor) -> tuple[Tensor, Tensor]:
    return img[:, :, 1:] - img[:, :, :-1], img[:, :, :, 1:] - img[:, :, :, :-1]
