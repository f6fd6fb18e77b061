"""GAN inversion: staged optimisation of the latent, then a light tuning of the generator.

It starts from the guess of the generator's encoder (encoder.py), where it has one, else from the mean. Then stages go
from coarse to fine: a few groups of layers share one w each, as in style mixing, which the generator knows from its
training (free rows of W+ smear what is edited later); at last the generator's own weights move by small steps
(pivotal.py). Step counts are fixed per effort, so the same picture gives the same result.

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
from ganvas.inversion.early_exit import EarlyExit, synthesize_cheaply
from ganvas.inversion.latent_space import LatentSpace, latent_space
from ganvas.inversion.loss import (
    REPORT_PX,
    Embedder,
    ReconstructionLossConfig,
)
from ganvas.inversion.networks import InversionNetworks
from ganvas.inversion.pivotal import compute_delta, parameter_scale, tunable_parameters, with_delta
from ganvas.inversion.result import Inversion
from ganvas.ops.adam import SearchAdam
from ganvas.ops.resample import downscale
from ganvas.weights.checkpoint import fingerprint

OnInversionStep = Callable[[int, int, Tensor], bool | None]
Loss = Callable[[], tuple[Tensor, Tensor]]  # → the loss, and the picture it is of
Parameters = list[tuple[Tensor, float]]  # each with the size of a step of 1

_BETAS = (0.9, 0.99)
WARM_STEPS, FALL = 5, 0.35  # the step size rises over so many steps, and falls over this share of a stage
PULL_MEAN, PULL_TOGETHER = 1e-3, 0.3  # toward the mean latent; of the layers toward each other
PULL_BASE, PULL_OFFSETS = 0.01, 0.02  # the same of groups of layers
GROUP_STARTS = (0, 0.17, 0.3, 0.43, 0.57, 0.7)  # where groups of rows of ws begin, as shares of num_ws
KINDS = ("w", "groups", "w+", "tune", "detail")
CANDIDATES, COARSE_PX = 32, 32  # random pictures to start from, where latents are plain noise


@dataclass(frozen=True, kw_only=True)
class InversionStage:
    """One part of the search."""

    kind: str = setting(
        choices=KINDS,
        help='"w": one latent for all rows; "groups": one each for six groups of rows; "w+": one a row; '
        '"tune": the weights that paint; "detail": the same, with squares of the picture of px compared',
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


# Measured on portraits with `faces`; see docs/inversion.md. Costs are milliseconds a step, beside each other.
EFFORT_STAGES: dict[str, tuple[InversionStage, ...]] = {
    "fast": (
        InversionStage(kind="groups", px=128, steps=20, lr=0.2, every=30, fine=1, cost=90),
        InversionStage(kind="groups", px=256, steps=46, lr=0.18, every=30, fine=1, cost=170),
        InversionStage(kind="tune", px=256, steps=24, lr=0.008, every=20, fine=1, cost=200),
        InversionStage(kind="detail", px=512, steps=8, lr=0.004, every=12, fine=1, cost=420),
    ),
    "standard": (
        InversionStage(kind="groups", px=128, steps=20, lr=0.2, every=30, fine=1, cost=90),
        InversionStage(kind="groups", px=256, steps=104, lr=0.18, every=30, fine=1, cost=170),
        InversionStage(kind="tune", px=256, steps=120, lr=0.007, every=20, fine=1, cost=200),
        InversionStage(kind="detail", px=512, steps=14, lr=0.004, every=12, fine=1, cost=420),
    ),
    "best": (
        InversionStage(kind="groups", px=128, steps=20, lr=0.2, every=30, fine=1, cost=90),
        InversionStage(kind="groups", px=256, steps=240, lr=0.18, every=30, fine=1, cost=170),
        InversionStage(kind="tune", px=256, steps=260, lr=0.006, every=20, cost=200),
        InversionStage(kind="detail", px=512, steps=30, lr=0.003, every=12, fine=1, cost=420),
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
    """Invert an image: find the latent, and a light tuning of the generator, that reproduce it.

    Args:
        img: [1, C, S, S] in [-1, 1], square, framed as the generator's training pictures were.
        generator: any that keeps the protocol; it is not changed.
        effort: "fast", "standard" or "best": which stages, and how many steps each.
        c: [1, c_dim], the label for a conditional generator.
        seed: of whatever is random: the candidates to start from, and a generator's own noise.
        extractor: EfficientNet-Lite0, for a perceptual term; None = differences of neighbouring pixels stand in.
        embedder: img [N, 3, H, W] → [N, E]; adds an identity term to the loss, and identity to the metrics.
        max_sec: a limit; where the steps would take longer, each stage gets its share of the time and fewer steps.
        on_step: called with (step, steps in all, picture so far [1, C, px, px]), first as step 0 with the picture that
            the search starts from. Returning True stops: the result then is unfinished, and `resume` takes it up again.
            Raising `Stopped` stops as well: the error leaves `invert` with what was found so far as its `state`.
        resume: an unfinished Inversion of the same picture, generator and effort.
        stages: stages of one's own instead of the effort's.
        loss_config: weights of the terms; for drawings, say, ReconstructionLossConfig(features=0).

    Returns:
        An Inversion with its metrics, measured on the full image in float32.

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
        raise BadImage(f"invert expects one square image [1, C, S, S], got {list(img.shape)}; use a Crop first")
    networks = InversionNetworks(generator, c, extractor, embedder)
    target = downscale(img.to(generator.device), generator.img_resolution)
    config = loss_config or ReconstructionLossConfig()
    search = _Search(target, generator, stages or EFFORT_STAGES[effort], networks, config, c=c, seed=seed)
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
            raise BadConfig(f"this unfinished inversion has a different {name}; start again without resume")
    return resume


def _fit_stages(stages: Sequence[InversionStage], generator: Any) -> tuple[InversionStage, ...]:
    """The stages as this generator can have them: no larger than its pictures; where ws has one row, all are "w"."""
    resized = [replace(stage, px=min(stage.px, generator.img_resolution)) for stage in stages]
    resized = [stage for stage in resized if stage.kind != "detail" or stage.px > REPORT_PX]  # else the same as "tune"
    if generator.num_ws > 1:
        return tuple(resized)
    rows = [replace(stage, kind="w") if stage.kind == "groups" else stage for stage in resized]
    return tuple(stage for stage in rows if stage.kind != "w+")


def group_of_rows(num_ws: int) -> Tensor:
    """[num_ws] the number of the group that each row of ws belongs to, from 0."""
    starts = sorted({round(share * num_ws) for share in GROUP_STARTS})
    return torch.tensor([sum(start <= row for start in starts) - 1 for row in range(num_ws)])


class _Search:
    """The state of one inversion while it runs: where it stands, the latent, and the generator as tuned so far."""

    def __init__(
        self,
        target: Tensor,
        generator: Any,
        stages: Sequence[InversionStage],
        networks: InversionNetworks,
        config: ReconstructionLossConfig,
        *,
        c: Tensor | None,
        seed: int,
    ):
        self.target, self.networks = target, networks
        self.latent_loss = networks.latent_loss(target, config)
        self.tuning_loss = networks.tuning_loss(target, config)
        self.original, self.stages, self.seed = generator, _fit_stages(stages, generator), seed
        self.space: LatentSpace = latent_space(generator, c)
        self.total = sum(stage.steps for stage in self.stages)
        self.v: Callable[[], Tensor] | None = None  # while a latent is searched
        self.base: dict[str, Tensor] = {}  # while groups of rows are

    @torch.no_grad()
    def start(self) -> Tensor:
        """Where to begin: the encoder's guess. Without one the mean, or, where latents are plain noise, the nearest of
        a few random pictures.

        The mean face is a face, and from it every face is reached. The mean of z is one picture among many, and a
        search from it ends in the next valley.
        """
        if self.networks.encoder is not None:
            v = self.networks.encoder.find_start(
                self.target, self.original, self.space, extractor=self.networks.extractor
            )
            return self.space.to_ws(v).clone()
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                running = not self._show_start(on_step)
                torch.manual_seed(self.seed)  # the generator's noise may have been drawn: a preview changes no result
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

    def _show_start(self, on_step: OnInversionStep | None) -> bool:
        """Report the picture to start from, before anything costly is done; True where that stops the search."""
        if on_step is None or self.stage or self.step or not self.stages:
            return False
        stage = self.stages[0]
        with torch.no_grad():
            img = synthesize_cheaply(self.model, self.ws, stage.px, precision=stage.precision)
        return bool(on_step(0, self.total, img))

    def _allotted_sec(self, max_sec: float | None) -> float:
        """The stage's share of a time limit, by what its steps cost."""
        costs = [stage.steps * stage.cost for stage in self.stages]
        return math.inf if max_sec is None else max_sec * costs[self.stage] / sum(costs)

    def _run_stage(self, stage: InversionStage, allotted_sec: float, on_step: OnInversionStep | None) -> bool:
        """One stage; False where it was stopped before its end."""
        loss, parameters = self._tuning(stage) if stage.kind in ("tune", "detail") else self._latent(stage)
        completed = self._run_adam(stage, loss, parameters, allotted_sec, on_step)
        self.v, self.base = None, {}
        self.model.requires_grad_(False)
        if completed:
            self.stage, self.step, self.moments = self.stage + 1, 0, {}
        return completed

    def _latent(self, stage: InversionStage) -> tuple[Loss, Parameters]:
        """Search in the latent space, whitened: one row for all layers, one a group, or one each, held together."""
        v = self.space.from_ws(self.ws)
        if stage.kind == "groups":
            return self._groups(stage, v)
        rows = (v[:, :1] if stage.kind == "w" else v).clone().requires_grad_()
        self.v = lambda: rows

        def pull() -> Tensor:
            apart = (rows - rows.mean(dim=1, keepdim=True)).square().mean()
            return PULL_MEAN * rows.square().mean() + PULL_TOGETHER * apart

        return self._latent_objective(stage, self.v, pull), [(rows, 1.0)]

    def _groups(self, stage: InversionStage, v: Tensor) -> tuple[Loss, Parameters]:
        """Groups of rows that share one latent each: a base, and each group's offset from it."""
        group = group_of_rows(self.space.num_ws).to(v.device)
        first_rows = [int((group == i).nonzero()[0]) for i in range(int(group.max()) + 1)]
        latents = v[:, first_rows]
        base = self.moments.get("base", latents.mean(dim=1, keepdim=True)).clone().requires_grad_()
        offsets = (latents - base.detach()).clone().requires_grad_()
        self.base = {"base": base.detach()}
        self.v = lambda: (base + offsets)[:, group]

        def pull() -> Tensor:
            return PULL_BASE * base.square().mean() + PULL_OFFSETS * offsets.square().mean()

        return self._latent_objective(stage, self.v, pull), [(base, 1.0), (offsets, 1.0)]

    def _latent_objective(self, stage: InversionStage, v: Callable[[], Tensor], pull: Callable[[], Tensor]) -> Loss:
        exit = EarlyExit(stage.px, every=stage.every, precision=stage.precision, fine=stage.fine)

        def loss() -> tuple[Tensor, Tensor]:
            img = exit(self.model, self.space.to_ws(v()))
            return self.latent_loss(img) + pull(), img

        return loss

    def _tuning(self, stage: InversionStage) -> tuple[Loss, Parameters]:
        """Search in the weights that paint, each tensor in steps of its own spread."""
        origins = dict(self.original.named_parameters())
        parameters = [
            (p.requires_grad_(), parameter_scale(origins[name])) for name, p in tunable_parameters(self.model).items()
        ]
        exit = EarlyExit(stage.px, every=stage.every, precision=stage.precision, fine=stage.fine)

        compare: Callable[[Tensor], Tensor] = self.tuning_loss
        if stage.kind == "detail":
            compare = self.networks.detail_loss(self.tuning_loss, stage.px, seed=self.seed)

        def loss() -> tuple[Tensor, Tensor]:
            img = exit(self.model, self.ws)
            return compare(img), img

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
        optimiser = SearchAdam(groups, betas=_BETAS)
        optimiser.restore_moments(self.moments, first)
        for step in range(first, stage.steps):
            late = (time.monotonic() - started) / allotted_sec
            progress = max(step / stage.steps, late)
            if progress >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = group["full"] * _rate(step, progress)
            optimiser.zero_grad()
            value, img = loss()
            value.backward()
            optimiser.step()
            self.step = step + 1
            if self.v is not None:
                with torch.no_grad():
                    self.ws = self.space.to_ws(self.v()).clone()
            if on_step is not None:
                stopped = self._report(on_step, done_before + self.step, img, optimiser)
                if stopped:
                    return False
        return True

    def _report(self, on_step: OnInversionStep, step: int, img: Tensor, optimiser: SearchAdam) -> bool:
        """Report a step; where that stops the search, keep what Adam knows."""
        try:
            stopped = bool(on_step(step, self.total, img.detach()))
        except Stopped:
            self._keep_moments(optimiser)
            raise
        if stopped:
            self._keep_moments(optimiser)
        return stopped

    def _keep_moments(self, optimiser: SearchAdam) -> None:
        """The state needed to resume a stopped stage: Adam's moments, and the base of groups."""
        self.moments = optimiser.moments() | self.base

    def _result(self, inversion: Inversion, *, finished: bool) -> Inversion:
        delta = compute_delta(self.model, self.original)
        with torch.no_grad():
            img = with_delta(self.original, delta).synthesis(self.ws).clamp(-1, 1)
            untuned = self.original.synthesis(self.ws).clamp(-1, 1) if delta else img
        return replace(
            inversion,
            ws=self.ws,
            delta=delta,
            figures=self.networks.metrics(img, self.target) | self.networks.latent_metrics(untuned, self.target),
            finished=finished,
            stage=self.stage,
            step=self.step,
            moments={} if finished else self.moments,
        )


def _rate(step: int, progress: float) -> float:
    """Warm up, stay, fall along a cosine."""
    left = (1 - progress) / FALL
    return min(1.0, (step + 1) / WARM_STEPS) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left)))
