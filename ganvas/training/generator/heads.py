"""What a discriminator reads off a picture besides real or fake: its label (AC-GAN), the codes behind it (InfoGAN)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.training.engine.process import isolated_rng
from ganvas.training.freeze_d import layers_in_order
from ganvas.training.generator.batches import ImageFeed
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.networks import tells_D
from ganvas.training.losses import class_cross_entropy, gaussian_surprise

_WIDTH = 128  # of the hidden layer, as in InfoGAN's tables (appendix C)
_SLOPE = 0.1


class AuxiliaryHeads(nn.Module):
    """Two layers on what the discriminator's last one sees: they name the class and the codes of a picture.

    With labels (AC-GAN) discriminator and generator both want the class to be named right, of real and of generated
    pictures. With codes (InfoGAN) both want the categories and the last numbers of z to be read off generated pictures:
    −log q(code | picture) bounds the mutual information from below, up to the codes' constant entropy. Numbers are
    normal, as all of z, and are read with a deviation of 1.

    Args:
        D: any discriminator; stays as it is.
        config: resolved.
        classes: labels or categories; 0 = none.
        img, c: [1, C, R, R] a picture that D takes, and its label where D is told one.

    Sources: Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", eq. 2 and 3; Chen et al.
    2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets", eq. 5
    and 6 (there numbers are uniform).
    """

    def __init__(self, D: nn.Module, config: TrainConfig, *, classes: int, img: Tensor, c: Tensor | None):
        super().__init__()
        self.config, self.classes, self.codes = config, classes if _names_classes(config) else 0, config.codes
        name = layers_in_order(D, img=img)[-1][0]
        self._last = [D.get_submodule(name)]  # in a list: it is no part of this network
        with self.watch() as features, torch.no_grad():
            training = D.training
            D.eval()
            D(img) if c is None else D(img, c)
            D.train(training)
        self.hidden = nn.Linear(features[0].shape[1], _WIDTH)
        self.answers = nn.Linear(_WIDTH, self.classes + self.codes)

    @contextmanager
    def watch(self) -> Iterator[list[Tensor]]:
        """Inside, what the discriminator's last layer sees is noted, [N, F] for each call."""
        features: list[Tensor] = []
        handle = self._last[0].register_forward_pre_hook(
            lambda _, inputs: features.append(inputs[0].float().flatten(1))
        )
        try:
            yield features
        finally:
            handle.remove()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[N, F] → logits of the classes [N, classes] and means of the codes [N, codes]."""
        answers = self.answers(F.leaky_relu(self.hidden(features), _SLOPE))
        return answers[:, : self.classes], answers[:, self.classes :]

    def loss_of_fakes(self, features: Tensor, z: Tensor, c: Tensor | None) -> Tensor:
        """How little can be read off fakes painted from z [N, z_dim] and c [N, classes]: [N], weighted."""
        logits, means = self(features)
        loss = torch.zeros(len(features), device=features.device)
        if self.classes and c is not None:
            weight = self.config.class_weight if self.config.labels != "none" else self.config.information
            loss = loss + weight * class_cross_entropy(logits, c)
        if self.codes:
            loss = loss + self.config.information * gaussian_surprise(z[:, -self.codes :], means)
        return loss

    def loss_of_reals(self, features: Tensor, c: Tensor | None) -> Tensor:
        """How surprising the labels c [N, classes] of real pictures are: [N], weighted; 0 where they have none."""
        if self.config.class_weight == 0 or c is None:
            return torch.zeros(len(features), device=features.device)
        return self.config.class_weight * class_cross_entropy(self(features)[0], c)


def _names_classes(config: TrainConfig) -> bool:
    return config.class_weight > 0 or config.categories > 0


def build_heads(D: nn.Module, config: TrainConfig, feed: ImageFeed) -> AuxiliaryHeads | None:
    """The heads that a run needs, the same in every process; None where its discriminator reads off nothing."""
    if not _names_classes(config) and config.codes == 0:
        return None
    img, c = feed.load(np.arange(1))
    with isolated_rng(config.seed, feed.world):
        heads = AuxiliaryHeads(D, config, classes=feed.c_dim, img=img, c=c if tells_D(config) else None)
    return heads.to(feed.world.device)


def check_codes(config: TrainConfig, z_dim: int) -> None:
    """The codes are numbers of z, and some must be left.

    Raises:
        BadConfig: they are not.
    """
    if config.codes >= z_dim:
        raise BadConfig(f"codes={config.codes} are the last numbers of z and must be fewer than its {z_dim}")
