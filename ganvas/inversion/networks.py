"""The networks that judge while a picture is searched for: those of the generator, and those the caller brought."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.inversion.detail import DetailLoss
from ganvas.inversion.encoder import LatentEncoder, find_encoder
from ganvas.inversion.loss import (
    FACE_BELL,
    FACE_BOX,
    FACE_COARSE,
    FACE_FEATURES,
    FACE_PARTS,
    Embedder,
    EmbedderTerm,
    ReconstructionLoss,
    ReconstructionLossConfig,
    compare_identity,
    embed_face,
    reconstruction_metrics,
    smile_metrics,
)
from ganvas.models.protocol import paints_faces


class InversionNetworks:
    """The networks used during one inversion: those given by the caller, and those for the generator."""

    def __init__(
        self, generator: Any, c: Tensor | None, extractor: EfficientNetLite0 | None, embedder: Embedder | None
    ):
        self.extractor, self.embedder = extractor, embedder
        self.paints_faces = paints_faces(generator.family, generator.facts)
        encoder = find_encoder(generator, label=None if c is None else int(c.argmax()))
        blind = encoder is not None and encoder.needs_extractor and extractor is None
        self.encoder: LatentEncoder | None = None if blind else encoder

    def latent_loss(self, target: Tensor, config: ReconstructionLossConfig) -> ReconstructionLoss:
        """What a latent is judged by: who is seen, more than the background."""
        encoder, extractor = self.encoder, self.extractor
        embedders: list[EmbedderTerm] = []
        if self.paints_faces:
            times = {"features": FACE_FEATURES * config.features, "coarse": FACE_COARSE * config.coarse}
            config = replace(config, **times)
            embedders.append(EmbedderTerm(embed_face, config.face))
        if encoder is not None:  # beside the face scorer, a large picture is not worth its time
            largest_px = encoder.px if self.paints_faces else None
            embed = partial(encoder.embed, extractor=extractor)
            embedders.append(EmbedderTerm(embed, config.guess, largest_px))
        if self.embedder is not None:
            embedders.append(EmbedderTerm(self.embedder, config.identity))
        return ReconstructionLoss(
            target,
            extractor=extractor,
            embedders=embedders,
            config=config,
            features_box=FACE_BOX if self.paints_faces else None,
            bell=FACE_BELL if self.paints_faces else None,
        )

    def tuning_loss(self, target: Tensor, config: ReconstructionLossConfig) -> ReconstructionLoss:
        """What the tuned generator is judged by: the picture."""
        return ReconstructionLoss(target, extractor=self.extractor, config=config)

    def detail_loss(self, whole: ReconstructionLoss, px: int, *, seed: int) -> DetailLoss:
        """The same, and what people look at first, in pictures of `px`."""
        boxes = list(FACE_PARTS.values()) if self.paints_faces else []
        return DetailLoss(whole, px, boxes=boxes, extractor=self.extractor, config=whole.config, seed=seed)

    def metrics(self, img: Tensor, target: Tensor) -> dict[str, float]:
        """See `reconstruction_metrics`."""
        metrics = reconstruction_metrics(img, target, extractor=self.extractor, embedder=self.embedder)
        if self.paints_faces and self.embedder is None:
            metrics["identity_distance"] = compare_identity(img, target)
        return metrics

    def latent_metrics(self, img: Tensor, target: Tensor) -> dict[str, float]:
        """What the latent alone shows, before the generator is tuned: who an edit will be made of."""
        metrics = reconstruction_metrics(img, target, extractor=self.extractor, embedder=self.embedder)
        metrics = {f"latent_{name}": value for name, value in metrics.items()}
        if self.paints_faces:
            metrics |= smile_metrics(img, target) | {"latent_identity": compare_identity(img, target)}
        return metrics
