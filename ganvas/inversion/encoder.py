"""A first guess of the latent that shows a picture: ridge regression from what a picture looks like to the P_N space.

A generator can be asked for as many pictures with known latents as one likes, so an encoder of it needs no photos and
no training loop: features of a few thousand of its samples, and one linear system. It foretells only the axes that
move much in the picture (some 50 of the 400 of `faces`); the others stay at their mean, where guesses would only add
noise. Foretelling the picture that the guess makes as well, and correcting by the difference, a few times, is the
feedback of Alaluf et al. 2021, "ReStyle". The space is that of latent_space.py (Zhu et al. 2020).

An encoder is a small .safetensors (float16) that names its generator by the fingerprint. Those in `SHIPPED_ENCODERS`
come with ganvas, those in `user_encoders()` are learnt here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ganvas.errors import BadConfig, BrokenWeights
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.face_networks import crop_face, load_face_score_net
from ganvas.inversion.early_exit import synthesize_cheaply
from ganvas.inversion.latent_space import LatentSpace, latent_space
from ganvas.inversion.loss import MIN_FEATURES_PX, to_rgb
from ganvas.models.protocol import paints_faces
from ganvas.models.seeds import one_hot
from ganvas.ops.home import home
from ganvas.ops.resample import downscale
from ganvas.weights.checkpoint import fingerprint, write_atomically
from ganvas.weights.open_file import open_file

OnEncoderStep = Callable[[int, int, Tensor], bool | None]

SHIPPED_ENCODERS = Path(__file__).parent / "data"
_FORMAT = "ganvas-encoder-1"
_TENSORS = ("weight", "centre", "start", "certainty", "basis")

ENCODER_PX = 128  # the picture that is looked at, at most
ENCODER_PARTS = (
    "features",
    "colours",
    "face",
)  # what is looked at: EfficientNet-Lite0, plain pixels, the face scorer's body
_TAPS, _POOL_PX, _COLOURS_PX = (5, 11), 8, 16
_COLOURS_WEIGHT, _FACE_WEIGHT = 0.3, 3.0

SAMPLES, MIN_SAMPLES, AT_ONCE = 4000, 20, 8
LEAST_PSI = 0.55  # samples lie between so far from the mean, as a share, and their full distance
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)  # tried on held-out samples; 1 = the mean of the Gram matrix's diagonal
MIN_CERTAINTY = 0.1  # axes that are foretold worse (R² of held-out samples) stay at their mean

MAX_GUESS, MAX_CORRECTED = 1.5, 2.0  # standard deviations; a photo may look like nothing the generator ever paints
FEEDBACK_STEPS, FEEDBACK = 3, 0.5  # more of them drift into patterns


@dataclass(frozen=True, kw_only=True)
class LatentEncoder:
    """Looks at pictures img [N, C, S, S] of one generator's kind; K coordinates of their latents come out."""

    weight: Tensor  # [K, F]
    centre: Tensor  # [F] mean of the features
    start: Tensor  # [K] mean of the coordinates
    certainty: Tensor  # [K] R² of each coordinate on held-out samples, 0 … 1
    basis: Tensor  # [D, K] what a coordinate of 1 adds to the latent before its last leaky ReLU (or to z)
    parts: tuple[str, ...]  # of ENCODER_PARTS
    px: int
    fingerprint: str
    label: int | None = None  # of a conditional generator
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_extractor(self) -> bool:
        """Does it look through EfficientNet-Lite0?"""
        return "features" in self.parts

    def predict(self, img: Tensor, *, extractor: EfficientNetLite0 | None = None) -> Tensor:
        """img [N, C, S, S] in [-1, 1] → coordinates [N, K], in standard deviations; with gradients."""
        features = look_at(img, parts=self.parts, px=self.px, extractor=extractor)
        return (features - self.centre) @ self.weight.T + self.start

    def embed(self, img: Tensor, *, extractor: EfficientNetLite0 | None = None) -> Tensor:
        """As `predict`, each coordinate scaled by how sure it is: distances of these say whether people are alike."""
        return self.predict(img, extractor=extractor) * self.certainty.sqrt()

    def axes_in(self, space: LatentSpace) -> Tensor:
        """[K, D'] what a coordinate of 1 is in a space's v.

        The basis is kept in w, not as numbers of axes: which way an eigenvector points is up to the computer.
        """
        return self.basis.T @ torch.linalg.pinv(space.axes).T

    @torch.no_grad()
    def find_start(
        self, img: Tensor, generator: Any, space: LatentSpace, *, extractor: EfficientNetLite0 | None = None
    ) -> Tensor:
        """The guess for a picture, corrected by what the generator makes of it: v [1, 1, D'].

        Args:
            img: [1, C, S, S] in [-1, 1], framed as the generator's training pictures were.
            generator: the one whose fingerprint this is.
            space: its latent space.
            extractor: see `needs_extractor`.
        """
        axes = self.axes_in(space)
        goal = self.predict(img, extractor=extractor)
        guess = goal.clamp(-MAX_GUESS, MAX_GUESS)
        for _ in range(FEEDBACK_STEPS):
            painted = synthesize_cheaply(generator, space.to_ws((guess @ axes)[:, None]), self.px, precision="fast")
            missing = goal - self.predict(painted.float().clamp(-1, 1), extractor=extractor)
            guess = (guess + FEEDBACK * missing).clamp(-MAX_CORRECTED, MAX_CORRECTED)
        return (guess @ axes)[:, None]

    def save(self, path: Path | str) -> Path:
        """Write it as .safetensors, in float16, atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: getattr(self, name).half().contiguous().cpu() for name in _TENSORS}
        card = {name: getattr(self, name) for name in ("parts", "px", "label", "facts")}
        header = {"format": _FORMAT, "fingerprint": self.fingerprint, "card": json.dumps(card)}
        write_atomically(path, lambda part: save_file(tensors, part, header))
        return path

    @classmethod
    def load(cls, path: Path | str) -> LatentEncoder:
        """Read what `save` wrote.

        Raises:
            WeightsError: not such a file, or a damaged one.
        """
        contents = open_file(Path(path))
        if contents.container != "safetensors" or contents.header.get("format") != _FORMAT:
            raise BrokenWeights(
                f"{path} does not hold a ganvas encoder (expected a .safetensors with format {_FORMAT})"
            )
        state = contents.state_dict()
        try:
            tensors = {name: state[name].float() for name in _TENSORS}
            card = json.loads(contents.header["card"])
            parts, px, label = tuple(card["parts"]), int(card["px"]), card["label"]
            if not all(t.isfinite().all() for t in tensors.values()) or not set(parts) <= set(ENCODER_PARTS):
                raise ValueError("numbers that are not finite, or parts that are not known")
            name = contents.header["fingerprint"]
            return cls(**tensors, parts=parts, px=px, label=label, fingerprint=name, facts=card["facts"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BrokenWeights(f"{path}: this encoder is damaged ({error})") from error

    def to(self, device: torch.device | str) -> LatentEncoder:
        """The same on another device."""
        tensors = {name: getattr(self, name).to(device) for name in _TENSORS}
        return LatentEncoder(**{**self.__dict__, **tensors})


def look_at(img: Tensor, *, parts: tuple[str, ...], px: int, extractor: EfficientNetLite0 | None = None) -> Tensor:
    """What the encoder sees of pictures, [N, F], with gradients.

    Args:
        img: [N, C, S, S] in [-1, 1]; larger ones are averaged down to `px`.
        parts: of ENCODER_PARTS, in that order: where things lie in the picture (Lite0, channels scaled to unit length),
            colours, and what the face scorer's network sees in the middle of an aligned face.
        px: the size that is looked at.
        extractor: for the part "features".
    """
    img = downscale(to_rgb(img), px)
    features = []
    if "features" in parts:
        if extractor is None:
            raise BadConfig("this encoder looks through EfficientNet-Lite0: 'ganvas models get efficientnet-lite0'")
        maps = extractor.features(img, taps=_TAPS)
        features += [F.adaptive_avg_pool2d(F.normalize(x, dim=1), _POOL_PX).flatten(1) for x in maps]
    if "colours" in parts:
        features.append(_COLOURS_WEIGHT * F.adaptive_avg_pool2d(img, _COLOURS_PX).flatten(1))
    if "face" in parts:
        net = load_face_score_net().to(img.device)
        h = F.adaptive_avg_pool2d(net.body(crop_face(img)), 2).flatten(1)
        features.append(_FACE_WEIGHT * F.normalize(h, dim=1))
    return torch.cat(features, dim=1)


@torch.no_grad()
def fit_encoder(
    generator: Any,
    *,
    samples: int = SAMPLES,
    extractor: EfficientNetLite0 | None = None,
    label: int | None = None,
    seed: int = 0,
    max_sec: float | None = None,
    on_step: OnEncoderStep | None = None,
) -> LatentEncoder:
    """Learn the encoder of any generator from pictures of its own: two to three minutes for `faces` on two cores.

    Args:
        generator: any that keeps the protocol, in eval mode; it is not changed.
        samples: how many pictures; more foretell a little better (4,000: 43 axes of `faces`, 8,000: 55).
        extractor: EfficientNet-Lite0; without it, only colours (and the face scorer) are looked at.
        label: the class of a conditional generator.
        seed: of the samples.
        max_sec: stop painting after this long, and learn from what there is.
        on_step: called with (samples so far, samples in all, the newest picture [1, C, px, px]); returning True ends
            the painting: the encoder is then learnt from what there is.

    Returns:
        The encoder; its `facts` say from how many samples it was learnt, and how well held-out ones are foretold.

    Raises:
        BadConfig: fewer than 20 samples; a label where there are no classes, or none where there are.
        Stopped: raised by on_step.
    """
    if samples < MIN_SAMPLES:
        raise BadConfig(f"an encoder is learnt from at least {MIN_SAMPLES} samples, got {samples}")
    c = one_hot(generator, label, device=generator.device)
    space = latent_space(generator, c)
    px = min(ENCODER_PX, generator.img_resolution)
    parts = _parts_for(generator, px, extractor)
    features, v = _sample(generator, space, c, samples, parts, px, extractor, seed, max_sec, on_step)
    weight, centre, start, certainty, ridge = fit_ridge(features, v)
    usable = certainty > MIN_CERTAINTY
    if not usable.any():
        usable = certainty == certainty.max()
    facts = {
        "samples": len(features),
        "ridge": ridge,
        "axes": int(usable.sum()),
        "r2": round(float(certainty[usable].mean()), 3),
    }
    return LatentEncoder(
        weight=weight[usable],
        centre=centre,
        start=start[usable],
        certainty=certainty[usable].clamp(0, 1),
        basis=space.axes[:, usable],
        parts=parts,
        px=px,
        fingerprint=fingerprint(generator),
        label=label,
        facts=facts,
    )


def _parts_for(generator: Any, px: int, extractor: EfficientNetLite0 | None) -> tuple[str, ...]:
    """What can be looked at for this generator, in the order of ENCODER_PARTS."""
    possible = {
        "features": extractor is not None and px >= MIN_FEATURES_PX,
        "colours": True,
        "face": paints_faces(generator.family, generator.facts),
    }
    return tuple(part for part in ENCODER_PARTS if possible[part])


def _sample(
    generator: Any,
    space: LatentSpace,
    c: Tensor | None,
    samples: int,
    parts: tuple[str, ...],
    px: int,
    extractor: EfficientNetLite0 | None,
    seed: int,
    max_sec: float | None,
    on_step: OnEncoderStep | None,
) -> tuple[Tensor, Tensor]:
    """Features [N, F] (float16) of samples whose light and colours were shaken, and their v [N, D']."""
    random, started = torch.Generator().manual_seed(seed), time.monotonic()
    features, latents = [], []
    for first in range(0, samples, AT_ONCE):
        count = min(AT_ONCE, samples - first)
        z = torch.randn(count, generator.z_dim, generator=random).to(generator.device)
        psi = LEAST_PSI + (1 - LEAST_PSI) * torch.rand(count, 1, 1, generator=random).to(z)
        v = psi * space.from_ws(generator.mapping(z, None if c is None else c.expand(count, -1)))[:, :1]
        img = (
            downscale(synthesize_cheaply(generator, space.to_ws(v), 2 * px, precision="fast"), px).float().clamp(-1, 1)
        )
        features.append(look_at(_shake_light(img, random), parts=parts, px=px, extractor=extractor).half())
        latents.append(v[:, 0])
        stopped = on_step is not None and on_step(first + count, samples, img[:1])
        late = max_sec is not None and time.monotonic() - started > max_sec
        if (stopped or late) and first + count >= MIN_SAMPLES:
            break
    return torch.cat(features), torch.cat(latents)


def _shake_light(img: Tensor, random: torch.Generator) -> Tensor:
    """Contrast, brightness, tint and saturation as cameras differ in them, so that the encoder does not mind."""

    def factor(channels: int, spread: float) -> Tensor:
        return spread * (2 * torch.rand(len(img), channels, 1, 1, generator=random) - 1).to(img)

    img = img * (1 + factor(1, 0.25)) + factor(1, 0.2)
    img = img * (1 + factor(img.shape[1], 0.08)) + factor(img.shape[1], 0.06)
    grey = img.mean(dim=1, keepdim=True)
    return (grey + (img - grey) * (1 + factor(1, 0.3))).clamp(-1, 1)


def fit_ridge(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """Ridge regression with the penalty that foretells held-out samples best.

    Args:
        x: [N, F] features, of any float type. y: [N, K]. The last samples, up to 300, are held out.

    Returns:
        weight [K, F], mean of x [F], mean of y [K], R² of each column of y on held-out samples [K], and the penalty in
        means of the Gram matrix's diagonal.
    """
    held = min(300, len(x) // 5)
    centre, start = x[:-held].float().mean(dim=0), y[:-held].mean(dim=0)
    ours, theirs = x[:-held].float() - centre, x[-held:].float() - centre
    goal, rest = y[:-held] - start, y[-held:] - start
    dual = len(ours) <= ours.shape[1]  # the smaller of the two systems; both have the same solution
    gram = ours @ ours.T if dual else ours.T @ ours
    unit = ours.square().sum() / len(ours)
    best = None
    for ridge in RIDGES:
        damped = gram + ridge * unit * torch.eye(len(gram), device=gram.device)
        weight = ours.T @ torch.linalg.solve(damped, goal) if dual else torch.linalg.solve(damped, ours.T @ goal)
        error = (theirs @ weight - rest).square()
        if best is None or error.sum() < best[0]:
            best = error.sum(), 1 - error.sum(dim=0) / rest.square().sum(dim=0).clamp(min=1e-12), weight.T, ridge
    assert best is not None
    return best[2].contiguous(), centre, start, best[1], best[3]


def user_encoders() -> Path:
    """The folder of the encoders that were learnt on this computer."""
    return home() / "encoders"


def list_encoders() -> list[tuple[Path, LatentEncoder]]:
    """Every encoder on this computer with its file: those that ship first, each folder by file name."""
    files = [file for folder in (SHIPPED_ENCODERS, user_encoders()) for file in sorted(folder.glob("*.safetensors"))]
    return [(file, LatentEncoder.load(file)) for file in files]


def find_encoder(generator: Any, *, label: int | None = None) -> LatentEncoder | None:
    """The encoder of a generator (and class), where there is one on this computer; one's own comes before ours."""
    name = fingerprint(generator)
    fitting = [e for _, e in list_encoders() if e.fingerprint == name and e.label == label]
    return fitting[-1].to(generator.device) if fitting else None


def keep_encoder(encoder: LatentEncoder) -> Path:
    """Save an encoder where inversions of its generator find it; an earlier one of that generator is replaced."""
    suffix = "" if encoder.label is None else f"-{encoder.label}"
    return encoder.save(user_encoders() / f"{encoder.fingerprint[:16]}{suffix}.safetensors")
