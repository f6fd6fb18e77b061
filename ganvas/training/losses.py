"""What the two networks minimise: one number per picture, from logits or from pairs of pictures.

An adversarial loss is a frozen dataclass with two methods. They take what a discriminator says, [N] or, from a patch
discriminator, [N, P] (a picture's loss is the mean over its patches), compute in float32 at least, and return [N]: the
mean over it is the loss of the papers, and a sum over it divided by the whole batch is right under gradient
accumulation. With sp(x) = softplus(x) = log(1 + eˣ), r = D(real) and f = D(fake):

                              discriminator minimises                    generator minimises
    NonSaturating             sp(−r) + sp(f)                             sp(−f)
    Minimax                   sp(−r) + sp(f)                             −sp(f)
    LeastSquares              ½(r − 1)² + ½f²                            ½(f − 1)²
    Hinge                     relu(1 − r) + relu(1 + f)                  −f
    Wasserstein               f − r                                      −f
    RelativisticPairing       sp(−(r − f))                               sp(−(f − r))
    RelativisticAverage       sp(−(r − mean f)) + sp(f − mean r)         sp(−(f − mean r)) + sp(r − mean f)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig, BadInput


class AdversarialLoss(Protocol):
    """What a training loop expects of a loss; any object of a user's own with this shape will do."""

    pairs: ClassVar[bool]  # True: the generator's loss needs logits of fresh real pictures too

    @property
    def neutral(self) -> float | None:
        """The logit at which D cannot tell; None: only differences of logits mean something. ADA watches this side."""
        ...

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Logits [N] or [N, P] of both sides → [N]."""
        ...

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Logits [N] or [N, P] → [N]."""
        ...


@dataclass(frozen=True, kw_only=True)
class NonSaturating:
    """The logistic loss whose gradient does not fade when the discriminator is ahead.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", section 3. `real_target` below 1 is one-sided label
    smoothing (Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.4); fakes keep the target 0.
    """

    pairs: ClassVar[bool] = False
    neutral: ClassVar[float | None] = 0.0
    real_target: float = 1.0  # what D should say of a real picture, as a probability

    def __post_init__(self) -> None:
        _check_target(self)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Cross-entropy of real pictures against `real_target`, of fakes against 0: [N]."""
        real, fake = _both(real_logits, fake_logits)
        return _per_picture(_towards(real, self.real_target)) + _per_picture(F.softplus(fake))

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """[N]; small where D takes the fake for real."""
        return _per_picture(F.softplus(-_at_least_float32(fake_logits)))


@dataclass(frozen=True, kw_only=True)
class Minimax:
    """The original game: the generator minimises what the discriminator maximises; its gradient fades when it loses.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", eq. 1. Smoothing as in `NonSaturating`; it adds only
    a constant to the generator's loss, which is left out.
    """

    pairs: ClassVar[bool] = False
    neutral: ClassVar[float | None] = 0.0
    real_target: float = 1.0

    def __post_init__(self) -> None:
        _check_target(self)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """As `NonSaturating.discriminator`: [N]."""
        return NonSaturating(real_target=self.real_target).discriminator(real_logits, fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """log(1 − sigmoid(f)): [N], never positive."""
        return -_per_picture(F.softplus(_at_least_float32(fake_logits)))


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Squares instead of logarithms: fakes far on the right side of the border are pulled back to it.

    Source: Mao et al. 2017, "Least Squares Generative Adversarial Networks", eq. 9.
    """

    pairs: ClassVar[bool] = False
    real_target: float = 1.0

    @property
    def neutral(self) -> float:
        """Halfway between the two targets."""
        return self.real_target / 2

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """[N]."""
        real, fake = _both(real_logits, fake_logits)
        return (_per_picture((real - self.real_target).square()) + _per_picture(fake.square())) / 2

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """[N]."""
        return _per_picture((_at_least_float32(fake_logits) - 1).square()) / 2


@dataclass(frozen=True, kw_only=True)
class Hinge:
    """Logits beyond the margin cost nothing, so the discriminator stops pushing what it has already settled.

    Source: Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral Normalization for GANs", eq. 16 and 17.
    """

    pairs: ClassVar[bool] = False
    neutral: ClassVar[float | None] = 0.0
    margin_low: float = 1.0  # below 1: each logit's margin is drawn from U(margin_low, 1); FastGAN has 0.8

    def __post_init__(self) -> None:
        if not 0 < self.margin_low <= 1:
            raise BadConfig(f"Hinge.margin_low must be above 0 and at most 1, got {self.margin_low}")

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """[N]. `rng` draws the margins where margin_low < 1; None = torch's own."""
        real, fake = _both(real_logits, fake_logits)
        real, fake = self._margin(real, rng) - real, self._margin(fake, rng) + fake
        return _per_picture(F.relu(real)) + _per_picture(F.relu(fake))

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """[N]."""
        return -_per_picture(_at_least_float32(fake_logits))

    def _margin(self, logits: Tensor, rng: torch.Generator | None) -> Tensor | float:
        if self.margin_low == 1:
            return 1.0
        device = logits.device if rng is None else rng.device
        drawn = torch.rand(logits.shape, generator=rng, device=device).to(logits)
        return 1 - (1 - self.margin_low) * drawn


@dataclass(frozen=True, kw_only=True)
class Wasserstein:
    """The critic's gap itself. Means something only with a Lipschitz critic: add `penalties.gradient_penalty`.

    Source: Arjovsky et al. 2017, "Wasserstein GAN"; Gulrajani et al. 2017, "Improved Training of Wasserstein GANs".
    """

    pairs: ClassVar[bool] = False
    neutral: ClassVar[float | None] = None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """[N]; its negative mean estimates the distance."""
        real, fake = _both(real_logits, fake_logits)
        return _per_picture(fake) - _per_picture(real)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """[N]."""
        return -_per_picture(_at_least_float32(fake_logits))


@dataclass(frozen=True, kw_only=True)
class RelativisticPairing:
    """Each fake must look more real than the real picture beside it: no modes are dropped for free.

    Source: Jolicoeur-Martineau 2019, "The relativistic discriminator"; with R1 and R2 the loss of Huang et al. 2024,
    "The GAN is dead; long live the GAN!" (R3GAN), eq. 2.
    """

    pairs: ClassVar[bool] = True
    neutral: ClassVar[float | None] = None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """The i-th real against the i-th fake: [N]."""
        real, fake = _pairs(real_logits, fake_logits)
        return _per_picture(F.softplus(fake - real))

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The same with the parts exchanged: [N].

        Raises:
            BadInput: no real logits; this loss compares with fresh real pictures.
        """
        real, fake = _pairs(_require_real_logits(real_logits, "RelativisticPairing"), fake_logits)
        return _per_picture(F.softplus(real - fake))


@dataclass(frozen=True, kw_only=True)
class RelativisticAverage:
    """Real pictures must look more real than the average fake, and fakes less real than the average real one.

    The averages are those of the current batch. Source: Jolicoeur-Martineau 2019, "The relativistic discriminator: a
    key element missing from standard GAN", section 4.1 (RaGAN), as the sum of two terms; used by ESRGAN.
    """

    pairs: ClassVar[bool] = True
    neutral: ClassVar[float | None] = None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """[N]."""
        real, fake = _pairs(real_logits, fake_logits)
        above, below = real - fake.mean(dim=0), fake - real.mean(dim=0)
        return _per_picture(F.softplus(-above) + F.softplus(below))

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The same with the parts exchanged: [N].

        Raises:
            BadInput: no real logits.
        """
        return self.discriminator(fake_logits, _require_real_logits(real_logits, "RelativisticAverage"))


def build_adversarial_loss(name: str, *, real_target: float = 1.0) -> AdversarialLoss:
    """The loss that a config names.

    Args:
        name: "ns", "minimax", "lsgan", "hinge", "wgan", "rpgan" or "ragan".
        real_target: below 1 = one-sided label smoothing; under hinge, margins are drawn from there to 1.

    Raises:
        BadConfig: another name.
    """
    match name:
        case "ns":
            return NonSaturating(real_target=real_target)
        case "minimax":
            return Minimax(real_target=real_target)
        case "lsgan":
            return LeastSquares(real_target=real_target)
        case "hinge":
            return Hinge(margin_low=real_target)
        case "wgan":
            return Wasserstein()
        case "rpgan":
            return RelativisticPairing()
        case "ragan":
            return RelativisticAverage()
    raise BadConfig(f"unknown loss {name!r}")


# ---------------------------------------------------------------------------------------------------------------------
# Picture against picture, and what a network says of a picture besides real or fake


def l1(img: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of each picture: [N, …] twice → [N].

    Raises:
        BadInput: two shapes.
    """
    if img.shape != target.shape:
        raise BadInput(f"l1 expects images of the same shape, got {list(img.shape)} and {list(target.shape)}.")
    return _per_picture((_at_least_float32(img) - _at_least_float32(target)).abs())


def cycle(a: Tensor, a_back: Tensor, b: Tensor, b_back: Tensor) -> Tensor:
    """How far pictures are from where they started after going to the other domain and back: [N].

    Args:
        a, a_back: [N, …], and the same through A → B → A.
        b, b_back: [N, …], and the same through B → A → B.

    The mean of the two L1 terms; Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
    Adversarial Networks", eq. 2, has their sum, so its weight 10 is 20 here.
    """
    return (l1(a_back, a) + l1(b_back, b)) / 2


def identity(a: Tensor, a_same: Tensor, b: Tensor, b_same: Tensor) -> Tensor:
    """How much a translator changes pictures that are in its target domain already: [N].

    Args:
        a, a_same: [N, …] of domain A, and the same through B → A.
        b, b_same: [N, …] of domain B, and the same through A → B.

    The mean of the two L1 terms (same paper, section 5.2), half of the paper's sum.
    """
    return cycle(a, a_same, b, b_same)


def class_cross_entropy(class_logits: Tensor, c: Tensor) -> Tensor:
    """How surprised an auxiliary classifier is by the labels: [N, c_dim] logits, [N, c_dim] one-hot → [N].

    Source: Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs" (AC-GAN), eq. 3: added to
    the discriminator's loss for real and fake pictures, and to the generator's for fakes.
    """
    if class_logits.shape != c.shape:
        raise BadInput(
            f"class logits and labels must have the same shape, got {list(class_logits.shape)}, {list(c.shape)}."
        )
    return -(c.to(_at_least_float32(class_logits)) * F.log_softmax(_at_least_float32(class_logits), dim=1)).sum(dim=1)


def gaussian_surprise(values: Tensor, mean: Tensor, std: Tensor | float = 1.0) -> Tensor:
    """−log of the normal density of each row of codes: values and mean [N, K], std broadcastable → [N].

    With `class_cross_entropy` for categorical codes this is the bound on mutual information that InfoGAN minimises.
    Source: Chen et al. 2016, "InfoGAN", eq. 5.
    """
    std = torch.as_tensor(std, dtype=_at_least_float32(mean).dtype, device=mean.device)
    scaled = (_at_least_float32(values) - _at_least_float32(mean)) / std
    return (scaled.square() / 2 + std.log() + math.log(2 * math.pi) / 2).flatten(1).sum(dim=1)


# ---------------------------------------------------------------------------------------------------------------------


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _per_picture(x: Tensor) -> Tensor:
    """[N] as it is; the mean over everything else: [N, …] → [N]."""
    return x if x.ndim == 1 else x.flatten(1).mean(dim=1)


def _both(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    if real.ndim == 0 or real.shape[:1] != fake.shape[:1]:
        raise BadInput(
            f"a loss expects as many real as fake logits, [N] or [N, P], got {list(real.shape)} and {list(fake.shape)}."
        )
    return _at_least_float32(real), _at_least_float32(fake)


def _pairs(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    if real.shape != fake.shape:
        raise BadInput(
            f"a relativistic loss expects real and fake logits of the same shape, got {list(real.shape)} "
            f"and {list(fake.shape)}."
        )
    return _both(real, fake)


def _towards(logits: Tensor, target: float) -> Tensor:
    """Cross-entropy of sigmoid(logits) against a probability."""
    if target == 1:
        return F.softplus(-logits)
    return target * F.softplus(-logits) + (1 - target) * F.softplus(logits)


def _require_real_logits(real_logits: Tensor | None, who: str) -> Tensor:
    if real_logits is None:
        raise BadInput(
            f"{who}.generator compares fakes with real pictures: give it real_logits, D of a fresh real batch."
        )
    return real_logits


def _check_target(loss: NonSaturating | Minimax) -> None:
    if not 0.5 < loss.real_target <= 1:
        raise BadConfig(
            f"{type(loss).__name__}.real_target must be above 0.5 and at most 1 (0.9 = smoothed), "
            f"got {loss.real_target}"
        )
