"""Find a picture in a generator: staged search for its latent, then a light tuning of the generator.

The stages go from coarse to fine: one w for all layers at a small early exit, then at a larger one, then one w a layer
(W+, held together), then the generator's own weights by small steps (pivotal.py). The search runs at the generator's
fast precision, the tuning in float32. Step counts are fixed per effort, so the same picture gives the same result.

After Karras et al. 2020 (StyleGAN2's projector), Abdal et al. 2019 ("Image2StyleGAN": W+), Zhu et al. 2020 (P_N space)
and Roich et al. 2021 (pivotal tuning); the stages, their step sizes and the local early exit are ours.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganvas.checks import check_img, check_known, check_labels
from ganvas.errors import BadConfig, BadImage
from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.inversion.likeness import Embedder, Likeness, coloured, shrunk
from ganvas.inversion.pivotal import difference, spread, tunable, tuned
from ganvas.inversion.result import Inversion
from ganvas.inversion.space import LatentSpace, latent_space
from ganvas.models.local_head import fit_local_head
from ganvas.models.mobilestylegan import MobileStyleGANGenerator
from ganvas.ops.compare import psnr_db, ssim
from ganvas.weights.checkpoint import fingerprint

OnStep = Callable[[int, int, Tensor], bool | None]
Exit = Callable[[Any, Tensor, str], Tensor]  # (generator, ws, precision) → img

BETAS = (0.9, 0.99)
WARM_STEPS, FALL = 5, 0.35  # the step size rises over so many steps, and falls over this share of a stage
PULL_MEAN, PULL_TOGETHER = 1e-3, 0.3  # toward the mean latent; of the layers toward each other
REPORT_PX = 256


@dataclass(frozen=True)
class Stage:
    """One part of the search. `px` is the picture compared, at most the generator's own."""

    kind: str  # "w", "w+", "tune" (all that paints), "fine" (the last levels, at full size, compared at px)
    px: int
    steps: int
    lr: float  # in standard deviations of the latent; for tuning, of each tensor's own entries
    refit: int = 25  # steps between two fits of a local early exit


EFFORTS: dict[str, tuple[Stage, ...]] = {
    "fast": (Stage("w", 128, 26, 0.12), Stage("w", 256, 20, 0.08), Stage("tune", 256, 30, 0.008, 20)),
    "standard": (
        Stage("w", 128, 40, 0.12),
        Stage("w", 256, 26, 0.08),
        Stage("w+", 256, 39, 0.06),
        Stage("tune", 256, 107, 0.005, 20),
    ),
    "best": (
        Stage("w", 128, 40, 0.12),
        Stage("w", 256, 36, 0.08),
        Stage("w+", 256, 50, 0.06),
        Stage("tune", 256, 187, 0.005, 20),
        Stage("fine", 512, 23, 0.002),
    ),
}


def invert(
    img: Tensor,
    generator: Any,
    *,
    effort: str = "standard",
    c: Tensor | None = None,
    seed: int = 0,
    eyes: EfficientNetLite0 | None = None,
    embedder: Embedder | None = None,
    max_sec: float | None = None,
    on_step: OnStep | None = None,
    resume: Inversion | None = None,
    stages: tuple[Stage, ...] | None = None,
) -> Inversion:
    """Find the latent, and the light tuning of the generator, that show a picture.

    Args:
        img: [1, C, S, S] in [-1, 1], square, framed as the generator's training pictures were.
        generator: any that keeps the protocol; it is not changed.
        effort: "fast", "standard" or "best": which stages, and how many steps each.
        c: [1, c_dim], the label for a conditional generator.
        seed: of whatever is random in the generator.
        eyes: EfficientNet-Lite0, for a perceptual term; None = differences of neighbouring pixels stand in.
        embedder: img [N, 3, H, W] → [N, E]; adds an identity term while the latent is searched.
        max_sec: stop searching after this long; the result is then what was found so far.
        on_step: called with (step, steps in all, picture so far); returning True stops. Take up again with `resume`.
        resume: an unfinished Inversion of the same picture, generator and effort.
        stages: stages of one's own instead of the effort's.

    Returns:
        An Inversion with its figures, measured on the full picture in float32.

    Raises:
        BadImage: not one square picture of the generator's channels.
        BadConfig: an unknown effort, or `resume` of something else.
        BadLatent: labels that do not fit.
    """
    check_known(effort, EFFORTS, what="effort")
    check_img(img, who="invert", channels=generator.img_channels)
    check_labels(c, who="invert", c_dim=generator.c_dim, batch=1)
    if len(img) != 1 or img.shape[2] != img.shape[3]:
        raise BadImage(f"invert expects one square picture [1, C, S, S], got {list(img.shape)}; cut a Crop first")
    search = _Search(img, generator, _fitting(stages or EFFORTS[effort], generator), c, seed, eyes, embedder)
    begun = Inversion(
        ws=search.space.to_ws(torch.zeros(1, 1, search.space.dim)),
        effort=effort,
        seed=seed,
        fingerprint=fingerprint(generator),
        source=_hash(img),
        finished=False,
    )
    return search.run(_checked(resume, begun) or begun, max_sec, on_step)


def _fitting(stages: tuple[Stage, ...], generator: Any) -> tuple[Stage, ...]:
    """The stages as this generator can have them: no larger than its pictures, no W+ where there is one row only."""
    last = generator.img_resolution
    kept = [replace(stage, px=min(stage.px, last)) for stage in stages]
    return tuple(
        s for s in kept if not (s.kind == "w+" and generator.num_ws == 1) and not (s.kind == "fine" and last <= 256)
    )


def _hash(img: Tensor) -> str:
    return hashlib.sha256(img.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _checked(resume: Inversion | None, begun: Inversion) -> Inversion | None:
    if resume is None:
        return None
    for name in ("source", "fingerprint", "effort", "seed"):
        if getattr(resume, name) != getattr(begun, name):
            raise BadConfig(f"this unfinished inversion is of another {name}; start afresh, without resume")
    return resume


class _Search:
    """The state of one inversion while it runs."""

    def __init__(
        self,
        img: Tensor,
        generator: Any,
        stages: tuple[Stage, ...],
        c: Tensor | None,
        seed: int,
        eyes: EfficientNetLite0 | None,
        embedder: Embedder | None,
    ):
        self.target = shrunk(img, generator.img_resolution)
        self.likeness = Likeness(self.target, eyes=eyes, embedder=embedder)
        self.original, self.stages, self.seed = generator, stages, seed
        self.space: LatentSpace = latent_space(generator, c)
        self.total = sum(stage.steps for stage in stages)
        self.ws = torch.empty(0)
        self.model: Any = generator

    def run(self, found: Inversion, max_sec: float | None, on_step: OnStep | None) -> Inversion:
        """Go through the stages from where `found` stands."""
        started = time.monotonic()
        before_sec = found.figures.get("seconds", 0.0)
        self.model = _copied(tuned(self.original, found.delta))
        self.ws, at, moments, stopped = found.ws, (found.stage, found.step), found.moments, False

        def go_on(before: int, step: int, img: Tensor) -> bool:
            late = max_sec is not None and time.monotonic() - started > max_sec
            return not (late or (on_step is not None and on_step(before + step, self.total, img.detach())))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for index in range(found.stage, len(self.stages)):
                first = at[1] if index == at[0] else 0
                done_before = sum(stage.steps for stage in self.stages[:index])
                work = self._latent if self.stages[index].kind in ("w", "w+") else self._tuning
                step, moments = work(
                    self.stages[index], first, moments, lambda s, y, done=done_before: go_on(done + s, y)
                )
                stopped = step < self.stages[index].steps
                at = (index, step) if stopped else (index + 1, 0)
                if stopped:
                    break
                moments = {}
        delta = difference(self.model, self.original)
        result = replace(found, ws=self.ws, delta=delta, finished=not stopped, stage=at[0], step=at[1], moments=moments)
        figures = {**self._figures(result), "seconds": before_sec + time.monotonic() - started}
        return replace(result, figures=figures)

    def _latent(
        self, stage: Stage, first: int, moments: dict[str, Tensor], go_on: Callable[[int, Tensor], bool]
    ) -> tuple[int, dict[str, Tensor]]:
        rows = 1 if stage.kind == "w" else self.space.num_ws
        v = self.space.from_ws(self.ws)[:, :rows].clone().requires_grad_()
        exit = _EarlyExit(stage)

        def loss() -> tuple[Tensor, Tensor]:
            ws = self.space.to_ws(v)
            img = exit(self.model, ws, "fast")
            apart = (v - v.mean(dim=1, keepdim=True)).square().mean()
            return self.likeness(img) + PULL_MEAN * v.square().mean() + PULL_TOGETHER * apart, img

        step, kept = _descend(stage, [(v, 1.0)], loss, first, moments, go_on)
        self.ws = self.space.to_ws(v.detach()).clone()
        return step, kept

    def _tuning(
        self, stage: Stage, first: int, moments: dict[str, Tensor], go_on: Callable[[int, Tensor], bool]
    ) -> tuple[int, dict[str, Tensor]]:
        named = tunable(self.model)
        names = list(named) if stage.kind == "tune" else _last_levels(named)
        for name in names:
            named[name].requires_grad_()
        exit = _EarlyExit(stage)

        def loss() -> tuple[Tensor, Tensor]:
            img = exit(self.model, self.ws, "exact")
            return self.likeness(img, identity=False), img

        origins = dict(self.original.named_parameters())
        step, kept = _descend(
            stage, [(named[name], spread(origins[name])) for name in names], loss, first, moments, go_on
        )
        self.model.requires_grad_(False)
        return step, kept

    @torch.no_grad()
    def _figures(self, found: Inversion) -> dict[str, float]:
        """On the full picture of the original generator with the delta as it is saved, in float32, at 256 px."""
        size = min(REPORT_PX, self.original.img_resolution)
        whole = tuned(self.original, found.delta).synthesis(found.ws).clamp(-1, 1)
        img, target = shrunk(whole, size), shrunk(self.target, size)
        figures = {"psnr_db": psnr_db(img, target).item(), "ssim": ssim(img, target).item()}
        eyes, embedder = self.likeness.eyes, self.likeness.embedder
        if eyes is not None and size >= 32:
            figures["feature_distance"] = feature_distance(
                eyes.features(coloured(img)), eyes.features(coloured(target))
            ).item()
        if embedder is not None:
            figures["identity_distance"] = (embedder(coloured(img)) - embedder(coloured(target))).norm(dim=1).item()
        return figures


def _copied(generator: Any) -> Any:
    return copy.deepcopy(generator).requires_grad_(False).eval()


def _last_levels(named: dict[str, Any]) -> list[str]:
    """The parameters of the two largest levels and the final picture: half of all by their order in the network."""
    names = list(named)
    return names[len(names) * 2 // 3 :]


class _EarlyExit:
    """The generator's picture at a stage's size by the cheapest way it has."""

    def __init__(self, stage: Stage):
        self.stage, self.calls = stage, 0
        self.local: Exit | None = None

    def __call__(self, generator: Any, ws: Tensor, precision: str) -> Tensor:
        px = self.stage.px
        if px >= generator.img_resolution:
            return generator.synthesis(ws, precision=precision).float()
        if self.stage.kind == "fine":
            return shrunk(generator.synthesis(ws, precision=precision).float(), px)
        if isinstance(generator, MobileStyleGANGenerator):
            if self.calls % self.stage.refit == 0:
                self.local = fit_local_head(generator, ws.detach(), px)
            self.calls += 1
            assert self.local is not None
            return self.local(generator, ws, precision)
        try:
            return generator.synthesis(ws, resolution=px, precision=precision).float()
        except BadConfig:  # this family has one size only
            return shrunk(generator.synthesis(ws, precision=precision).float(), px)


def _descend(
    stage: Stage,
    parameters: list[tuple[Tensor, float]],
    loss: Callable[[], tuple[Tensor, Tensor]],
    first: int,
    moments: dict[str, Tensor],
    go_on: Callable[[int, Tensor], bool],
) -> tuple[int, dict[str, Tensor]]:
    """Adam over one stage; returns the steps done and, where it was stopped, Adam's moments."""
    groups = [{"params": [p], "lr": stage.lr * scale, "full": stage.lr * scale} for p, scale in parameters]
    optimiser = torch.optim.Adam(groups, betas=BETAS)
    _recall(optimiser, parameters, moments, first)
    for step in range(first, stage.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["full"] * _rate(step, stage.steps)
        optimiser.zero_grad(set_to_none=True)
        value, img = loss()
        value.backward()
        optimiser.step()
        if not go_on(step + 1, img):
            return step + 1, _remembered(optimiser, parameters)
    return stage.steps, {}


def _rate(step: int, steps: int) -> float:
    """Warm up, stay, fall along a cosine."""
    left = (steps - step) / (FALL * steps)
    return min(1.0, (step + 1) / WARM_STEPS) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left)))


def _remembered(optimiser: torch.optim.Adam, parameters: list[tuple[Tensor, float]]) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    for index, (parameter, _) in enumerate(parameters):
        state = optimiser.state[parameter]
        kept |= {f"{index} {name}": state[name].clone() for name in ("exp_avg", "exp_avg_sq")}
    return kept


def _recall(
    optimiser: torch.optim.Adam, parameters: list[tuple[Tensor, float]], moments: dict[str, Tensor], steps: int
) -> None:
    for index, (parameter, _) in enumerate(parameters):
        if f"{index} exp_avg" in moments:
            optimiser.state[parameter] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": moments[f"{index} exp_avg"].clone(),
                "exp_avg_sq": moments[f"{index} exp_avg_sq"].clone(),
            }
