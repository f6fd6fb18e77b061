"""Find a picture in a generator: staged search for its latent, then a light tuning of the generator.

The stages go from coarse to fine: one w for all layers at a small early exit, then at a larger one, then one w a layer
(W+, held together), then the generator's own weights by small steps (pivotal.py). Step counts are fixed per effort, so
the same picture gives the same result.

After Karras et al. 2020 (StyleGAN2's projector), Abdal et al. 2019 ("Image2StyleGAN": W+), Zhu et al. 2020 (P_N space)
and Roich et al. 2021 (pivotal tuning); the stages, their step sizes and the anchored early exits are ours.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganvas.checks import check_img, check_labels
from ganvas.errors import BadConfig, BadImage, Stopped
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.fields import check_known, check_settings, setting
from ganvas.inversion.early_exit import EarlyExit
from ganvas.inversion.latent_space import LatentSpace, latent_space
from ganvas.inversion.loss import Embedder, ReconstructionLoss, ReconstructionLossConfig, reconstruction_metrics
from ganvas.inversion.pivotal import compute_delta, parameter_scale, tunable_parameters, with_delta
from ganvas.inversion.result import Inversion
from ganvas.ops.resample import downscale
from ganvas.weights.checkpoint import fingerprint

OnInversionStep = Callable[[int, int, Tensor], bool | None]
Loss = Callable[[], tuple[Tensor, Tensor]]  # → the loss, and the picture it is of
Parameters = list[tuple[Tensor, float]]  # each with the size of a step of 1

_BETAS = (0.9, 0.99)
WARM_STEPS, FALL = 5, 0.35  # the step size rises over so many steps, and falls over this share of a stage
PULL_MEAN, PULL_TOGETHER = 1e-3, 0.3  # toward the mean latent; of the layers toward each other
KINDS = ("w", "w+", "tune")
CANDIDATES, COARSE_PX = 32, 32  # random pictures to start from, where latents are plain noise


@dataclass(frozen=True, kw_only=True)
class InversionStage:
    """One part of the search."""

    kind: str = setting(
        choices=KINDS, help='"w": one latent for all rows; "w+": one a row; "tune": the weights that paint'
    )
    px: int = setting(ge=1, unit="px", help="the size compared, at most the generator's own")
    steps: int = setting(ge=1, help="how many")
    lr: float = setting(gt=0, help="in standard deviations of the latent; for tuning, of each tensor's own entries")
    every: int = setting(25, ge=1, unit="steps", help="between two anchors of the early exit")
    precision: str = setting("fast", help="of the arithmetic: see `synthesis`")
    fine: float = setting(
        0.5, help="share of fine detail that an anchor adds: 1 is right for up to 200 steps, 0.5 for any number"
    )
    cost: float = setting(1.0, gt=0, help="of a step, beside those of other stages: how a time limit is shared out")

    def __post_init__(self) -> None:
        check_settings(self, who="stage", whole_floats=True)


# Measured on portraits with `faces`: one w a layer (W+) before the tuning gained nothing over more tuning, and a latent
# that stays one w keeps edits clean. Costs are milliseconds a step on two cores, beside each other.
EFFORT_STAGES: dict[str, tuple[InversionStage, ...]] = {
    "fast": (
        InversionStage(kind="w", px=128, steps=26, lr=0.12, fine=1, cost=30),
        InversionStage(kind="w", px=256, steps=20, lr=0.08, fine=1, cost=60),
        InversionStage(kind="tune", px=256, steps=70, lr=0.008, every=20, fine=1, cost=85),
    ),
    "standard": (
        InversionStage(kind="w", px=128, steps=40, lr=0.12, fine=1, cost=30),
        InversionStage(kind="w", px=256, steps=26, lr=0.08, fine=1, cost=60),
        InversionStage(kind="tune", px=256, steps=200, lr=0.007, every=20, fine=1, cost=85),
    ),
    "best": (
        InversionStage(kind="w", px=128, steps=40, lr=0.12, fine=1, cost=30),
        InversionStage(kind="w", px=256, steps=36, lr=0.08, fine=1, cost=60),
        InversionStage(kind="tune", px=256, steps=300, lr=0.006, every=20, cost=85),
    ),
}


def invert(
    img: Tensor,
    generator: Any,
    *,
    effort: str = "standard",
    c: Tensor | None = None,
    seed: int = 0,
    extractor: EfficientNetLite0 | None = None,
    embedder: Embedder | None = None,
    max_sec: float | None = None,
    on_step: OnInversionStep | None = None,
    resume: Inversion | None = None,
    stages: Sequence[InversionStage] | None = None,
    loss_config: ReconstructionLossConfig | None = None,
) -> Inversion:
    """Find the latent, and the light tuning of the generator, that show a picture.

    Args:
        img: [1, C, S, S] in [-1, 1], square, framed as the generator's training pictures were.
        generator: any that keeps the protocol; it is not changed.
        effort: "fast", "standard" or "best": which stages, and how many steps each.
        c: [1, c_dim], the label for a conditional generator.
        seed: of whatever is random: the candidates to start from, and a generator's own noise.
        extractor: EfficientNet-Lite0, for a perceptual term; None = differences of neighbouring pixels stand in.
        embedder: img [N, 3, H, W] → [N, E]; adds an identity term while the latent is searched.
        max_sec: a limit; where the steps would take longer, each stage gets its share of the time and fewer steps.
        on_step: called with (step, steps in all, picture so far [1, C, px, px]). Returning True stops: the result then
            is unfinished, and `resume` takes it up again. Raising `Stopped` stops as well: the error leaves `invert`
            with what was found so far as its `state`.
        resume: an unfinished Inversion of the same picture, generator and effort.
        stages: stages of one's own instead of the effort's.
        loss_config: weights of the terms; for drawings, say, ReconstructionLossConfig(features=0).

    Returns:
        An Inversion with its figures, measured on the full picture in float32.

    Raises:
        BadImage: not one square picture of the generator's channels.
        BadConfig: an unknown effort, or `resume` of something else.
        BadLatent: labels that do not fit.
        Stopped: raised by on_step.
    """
    check_known(effort, EFFORT_STAGES, what="effort")
    check_img(img, who="invert", channels=generator.img_channels)
    check_labels(c, who="invert", c_dim=generator.c_dim, batch=1)
    if len(img) != 1 or img.shape[2] != img.shape[3]:
        raise BadImage(f"invert expects one square picture [1, C, S, S], got {list(img.shape)}; cut a Crop first")
    loss_fn = ReconstructionLoss(
        downscale(img.to(generator.device), generator.img_resolution),
        extractor=extractor,
        embedder=embedder,
        config=loss_config,
    )
    search = _Search(loss_fn, generator, stages or EFFORT_STAGES[effort], c=c, seed=seed)
    initial = Inversion(
        ws=search.start(),
        effort=effort,
        seed=seed,
        fingerprint=fingerprint(generator),
        source=hashlib.sha256(img.detach().cpu().contiguous().numpy().tobytes()).hexdigest(),
        finished=False,
    )
    return search.run(initial if resume is None else _check_resume(resume, initial), max_sec, on_step)


def _check_resume(resume: Inversion, initial: Inversion) -> Inversion:
    for name in ("source", "fingerprint", "effort", "seed"):
        if getattr(resume, name) != getattr(initial, name):
            raise BadConfig(f"this unfinished inversion is of another {name}; start afresh, without resume")
    return resume


def _fit_stages(stages: Sequence[InversionStage], generator: Any) -> tuple[InversionStage, ...]:
    """The stages as this generator can have them: no larger than its pictures, no W+ where there is one row only."""
    resized = [replace(stage, px=min(stage.px, generator.img_resolution)) for stage in stages]
    return tuple(stage for stage in resized if not (stage.kind == "w+" and generator.num_ws == 1))


class _Search:
    """The state of one inversion while it runs: where it stands, the latent, and the generator as tuned so far."""

    def __init__(
        self,
        loss_fn: ReconstructionLoss,
        generator: Any,
        stages: Sequence[InversionStage],
        *,
        c: Tensor | None,
        seed: int,
    ):
        self.loss_fn, self.target = loss_fn, loss_fn.target
        self.original, self.stages, self.seed = generator, _fit_stages(stages, generator), seed
        self.space: LatentSpace = latent_space(generator, c)
        self.total = sum(stage.steps for stage in self.stages)
        self.v: Tensor | None = None  # while a latent is searched

    @torch.no_grad()
    def start(self) -> Tensor:
        """Where to begin: the mean latent. Where latents are plain noise, the nearest of a few random pictures.

        The mean face is a face, and from it every face is reached. The mean of z is one picture among many, and a
        search from it ends in the next valley.
        """
        mean = torch.zeros(1, 1, self.space.dim, device=self.target.device)
        if self.space.curved:
            return self.space.to_ws(mean).clone()
        random = torch.Generator().manual_seed(self.seed)
        v = torch.randn(CANDIDATES, 1, self.space.dim, generator=random).to(mean)
        ws = self.space.to_ws(torch.cat([mean, v]))
        coarse = downscale(self.target, COARSE_PX)
        distances = [
            float((downscale(self.original.synthesis(one[None]), coarse.shape[3]) - coarse).square().mean())
            for one in ws
        ]
        return ws[[distances.index(min(distances))]].clone()

    def run(self, inversion: Inversion, max_sec: float | None, on_step: OnInversionStep | None) -> Inversion:
        """Go through the stages from where `inversion` stands."""
        started, before_sec = time.monotonic(), inversion.figures.get("seconds", 0.0)
        self.stage, self.step, self.moments = inversion.stage, inversion.step, inversion.moments
        self.model = copy.deepcopy(with_delta(self.original, inversion.delta))
        self.ws = inversion.ws
        stop: Stopped | None = None
        running = True
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                while running and self.stage < len(self.stages):
                    running = self._run_stage(self.stages[self.stage], self._allotted_sec(max_sec), on_step)
            except Stopped as stopped:
                stop, running = stopped, False
        result = self._result(inversion, finished=running)
        result.figures["seconds"] = before_sec + time.monotonic() - started
        if stop is not None:
            stop.state = result
            raise stop
        return result

    def _allotted_sec(self, max_sec: float | None) -> float:
        """The stage's share of a time limit, by what its steps cost."""
        costs = [stage.steps * stage.cost for stage in self.stages]
        return math.inf if max_sec is None else max_sec * costs[self.stage] / sum(costs)

    def _run_stage(self, stage: InversionStage, allotted_sec: float, on_step: OnInversionStep | None) -> bool:
        """One stage; False where it was stopped before its end."""
        loss, parameters = self._tuning(stage) if stage.kind == "tune" else self._latent(stage)
        completed = self._run_adam(stage, loss, parameters, allotted_sec, on_step)
        self.v = None
        self.model.requires_grad_(False)
        if completed:
            self.stage, self.step, self.moments = self.stage + 1, 0, {}
        return completed

    def _latent(self, stage: InversionStage) -> tuple[Loss, Parameters]:
        """Search in the latent space, whitened: one row for all layers, or one each, held together."""
        rows = 1 if stage.kind == "w" else self.space.num_ws
        v = self.space.from_ws(self.ws)[:, :rows].clone().requires_grad_()
        exit = EarlyExit(stage.px, every=stage.every, precision=stage.precision, fine=stage.fine)

        def loss() -> tuple[Tensor, Tensor]:
            img = exit(self.model, self.space.to_ws(v))
            apart = (v - v.mean(dim=1, keepdim=True)).square().mean()
            return self.loss_fn(img) + PULL_MEAN * v.square().mean() + PULL_TOGETHER * apart, img

        self.v = v
        return loss, [(v, 1.0)]

    def _tuning(self, stage: InversionStage) -> tuple[Loss, Parameters]:
        """Search in the weights that paint, each tensor in steps of its own spread."""
        origins = dict(self.original.named_parameters())
        parameters = [
            (p.requires_grad_(), parameter_scale(origins[name])) for name, p in tunable_parameters(self.model).items()
        ]
        exit = EarlyExit(stage.px, every=stage.every, precision=stage.precision, fine=stage.fine)

        def loss() -> tuple[Tensor, Tensor]:
            img = exit(self.model, self.ws)
            return self.loss_fn(img, identity=False), img

        return loss, parameters

    def _run_adam(
        self,
        stage: InversionStage,
        loss: Loss,
        parameters: Parameters,
        allotted_sec: float,
        on_step: OnInversionStep | None,
    ) -> bool:
        """Adam over one stage; False where on_step stopped it."""
        started, first = time.monotonic(), self.step
        done_before = sum(s.steps for s in self.stages[: self.stage])
        groups = [{"params": [p], "lr": 0.0, "full": stage.lr * scale} for p, scale in parameters]
        optimiser = torch.optim.Adam(groups, betas=_BETAS)
        _restore_moments(optimiser, self.moments, first)
        for step in range(first, stage.steps):
            late = (time.monotonic() - started) / allotted_sec
            progress = max(step / stage.steps, late)
            if progress >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = group["full"] * _rate(step, progress)
            optimiser.zero_grad(set_to_none=True)
            value, img = loss()
            value.backward()
            optimiser.step()
            self.step = step + 1
            if self.v is not None:
                self.ws = self.space.to_ws(self.v.detach()).clone()
            if on_step is not None:
                stopped = self._report(on_step, done_before + self.step, img, optimiser)
                if stopped:
                    return False
        return True

    def _report(self, on_step: OnInversionStep, step: int, img: Tensor, optimiser: torch.optim.Adam) -> bool:
        """Report a step; where that stops the search, keep what Adam knows."""
        try:
            stopped = bool(on_step(step, self.total, img.detach()))
        except Stopped:
            self.moments = _adam_moments(optimiser)
            raise
        if stopped:
            self.moments = _adam_moments(optimiser)
        return stopped

    def _result(self, inversion: Inversion, *, finished: bool) -> Inversion:
        delta = compute_delta(self.model, self.original)
        with torch.no_grad():
            img = with_delta(self.original, delta).synthesis(self.ws).clamp(-1, 1)
        return replace(
            inversion,
            ws=self.ws,
            delta=delta,
            figures=reconstruction_metrics(
                img, self.target, extractor=self.loss_fn.extractor, embedder=self.loss_fn.embedder
            ),
            finished=finished,
            stage=self.stage,
            step=self.step,
            moments={} if finished else self.moments,
        )


def _rate(step: int, progress: float) -> float:
    """Warm up, stay, fall along a cosine."""
    left = (1 - progress) / FALL
    return min(1.0, (step + 1) / WARM_STEPS) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left)))


def _adam_moments(optimiser: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's moments by parameter number."""
    moments: dict[str, Tensor] = {}
    for index, group in enumerate(optimiser.param_groups):
        state = optimiser.state[group["params"][0]]
        moments |= {f"{index} {name}": state[name].clone() for name in ("exp_avg", "exp_avg_sq") if name in state}
    return moments


def _restore_moments(optimiser: torch.optim.Adam, moments: dict[str, Tensor], steps: int) -> None:
    """The reverse of `_adam_moments`."""
    for index, group in enumerate(optimiser.param_groups):
        if f"{index} exp_avg" in moments:
            averages = {name: moments[f"{index} {name}"].clone() for name in ("exp_avg", "exp_avg_sq")}
            optimiser.state[group["params"][0]] = {"step": torch.tensor(float(steps)), **averages}
