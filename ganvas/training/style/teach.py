"""Teach a generator a style from one example: minutes on a CPU, a small file as the result.

    example ──invert──► w of the face as the generator would paint it
    w, its late rows now and then those of other faces ──generator──► should all look like the example

Whatever the late rows say, the generator learns to answer with the example's paint; the early rows, which say whose
face it is, keep their meaning, so other faces come out painted alike. So that they stay who they are, every few steps
another face is painted, and its features (eyes, mouth, outlines: brightness against its surroundings) are compared with
those that the untaught generator gives it; in the paper nothing does that.

Paper: Chong and Forsyth 2022, "JoJoGAN: One Shot Face Stylization". Theirs compares features of a discriminator over
300 steps on a GPU; here they are those of EfficientNet-Lite0 (where its weights are on this computer, else differences
of neighbouring pixels stand in), only layers from 64 px on learn, in steps of their own spread, and large ones in thin
factors (Hu et al. 2021, "LoRA").
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import __version__
from ganvas.checks import check_img
from ganvas.editing.layers import COLOUR_PX, rows_of
from ganvas.editing.style import Style, check_style_name
from ganvas.errors import BadConfig, BadImage, Stopped
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.fields import check_settings, setting
from ganvas.inversion.alignment import latent_stages
from ganvas.inversion.loss import ReconstructionLoss, ReconstructionLossConfig
from ganvas.inversion.optimise import invert
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.adam import SearchAdam
from ganvas.ops.resample import downscale
from ganvas.training.engine.process import catch_stop_signals
from ganvas.training.style.learner import StyleLearner
from ganvas.training.style.losses import COLOUR_WEIGHT, colour_distance, resize_square, rgb_to_luma, structure_distance
from ganvas.training.style.state import StyleStateFile
from ganvas.weights.checkpoint import fingerprint

_BETAS = (0.0, 0.99)  # the paper's
WARMUP_STEPS, DECAY_SHARE = 5, 0.4
MAX_BAD_STEPS = 5  # so many in a row that are not finite end the teaching


@dataclass(frozen=True, kw_only=True)
class StyleConfig:
    """How a style is taught."""

    steps: int = setting(120, ge=1, help="how many")
    lr: float = setting(0.006, gt=0, unit="standard deviations of each tensor's own entries", help="length of a step")
    px: int = setting(256, ge=1, unit="px", help="the size compared, at most the generator's own")
    # Layers below from_px say where things are, and whose face it is. Lower: more of the example, less of the person.
    from_px: int | None = setting(
        None, ge=0, unit="px", help="layers that paint below stay; none = 64, or half of a generator below 128 px"
    )
    keep_colour: bool = setting(False, help="learn brightness, lines and texture only; colours stay the picture's own")
    mixing: float = setting(0.8, ge=0, le=1, help="share of steps in which the late rows are another face's")
    features: float = setting(1.0, ge=0, help="weight of the perceptual distance; 0 = off")
    pixels: float = setting(0.5, ge=0, help="weight of the mean difference of pixels")
    coarse: float = setting(1.0, ge=0, help="weight of the squared difference at 64 and 32 px")
    detail: float = setting(0.5, ge=0, help="weight of all this in a piece of the whole picture, where it is above px")
    structure: float = setting(3.0, ge=0, help="weight of other faces' own features; 0 = off")
    structure_every: int = setting(2, ge=1, unit="steps", help="how often")
    effort: str = setting("standard", help="of the inversion of the example")
    seed: int = setting(0, help="of everything random")

    def __post_init__(self) -> None:
        check_settings(self, who="style", whole_floats=True)


@dataclass(frozen=True, kw_only=True)
class StyleProgress:
    """Where the teaching stands; what `on_step` is called with."""

    stage: str  # "finding" the example in the generator, or "teaching"
    step: int
    steps: int
    sec: float  # since the beginning
    sec_left: float | None = None  # of this stage, by its speed so far
    loss: float | None = None
    generator: Any = None  # as taught so far: for previews, not to be changed


OnStyleStep = Callable[[StyleProgress], "bool | None"]


def teach_style(
    examples: Tensor | Sequence[Tensor],
    generator: Any,
    *,
    name: str,
    config: StyleConfig | None = None,
    extractor: EfficientNetLite0 | None = None,
    ws: Sequence[Tensor] | None = None,
    on_step: OnStyleStep | None = None,
    facts: dict[str, Any] | None = None,
    state_file: Path | None = None,
) -> Style:
    """Teach a generator to paint like an example.

    Args:
        examples: [1, C, S, S] in [-1, 1], framed as the generator's training pictures were, or several of one style.
        generator: one with rows of styles (stylegan2, stylegan3, mobilestylegan); it is not changed.
        name: of the style.
        config: how.
        extractor: EfficientNet-Lite0, for the perceptual part.
        ws: latents of the examples, [1, num_ws, w_dim] each, where they are known; None = they are searched for.
        on_step: called after every step. Returning True, raising `Stopped`, or Ctrl-C ends the teaching: what was
            learnt so far is the result, marked as unfinished. A second Ctrl-C interrupts at once.
        facts: more for the style's card.
        state_file: where the teaching is kept on the way: after a kill or a stop the same call goes on from there, and
            ends with the same bytes. To be deleted when the style is saved. None = nothing is kept.

    Returns:
        The style, with metrics in its facts. The same seed and images give the same style.

    Raises:
        BadImage: no square picture of the generator's channels. BadConfig: a generator without rows of styles, a name
        that is none, or a teaching that left the finite numbers before it had learnt anything.
    """
    config = config or StyleConfig()
    check_style_name(name)
    pictures = [examples] if isinstance(examples, Tensor) else list(examples)
    for img in pictures:
        check_img(img, who="teach_style", channels=generator.img_channels)
        if len(img) != 1 or img.shape[2] != img.shape[3]:
            raise BadImage(f"teach_style expects square images [1, C, S, S], got {list(img.shape)}; use a Crop first")
    if not pictures:
        raise BadImage("teach_style needs an example, got none")
    rows_of("colour", generator)  # a family without rows says so before the work
    with torch.random.fork_rng(devices=[]), catch_stop_signals() as stop_signals:
        torch.manual_seed(config.seed)
        parent = fingerprint(generator)
        state = StyleStateFile(state_file, _describe_request(pictures, parent, config, extractor, ws))
        style_trainer = _StyleTrainer(pictures, generator, config, extractor, on_step, stop_signals, state)
        finished = style_trainer.invert_examples(ws) and style_trainer.teach()
    style_facts = {
        "made_by": f"ganvas {__version__}",
        "family": generator.family,
        "config": asdict(config),
        "figures": style_trainer.final_metrics(),
        "steps": style_trainer.step,
        "finished": finished,
        **(facts or {}),
    }
    return Style(name=name, tensors=style_trainer.learner.tensors(), parent=parent, facts=style_facts)


def _describe_request(
    pictures: Sequence[Tensor], parent: str, config: StyleConfig, extractor: Any, ws: Sequence[Tensor] | None
) -> dict[str, Any]:
    """All that decides what is learnt, as plain values."""
    return {
        **asdict(config),
        "example": _digest(pictures),
        "latents": None if ws is None else _digest(ws),
        "model": parent,
        "feature network": extractor is not None,
        "version of ganvas": __version__,
    }


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class _StyleTrainer:
    """One teaching while it runs."""

    def __init__(
        self,
        pictures: list[Tensor],
        generator: Any,
        config: StyleConfig,
        extractor: EfficientNetLite0 | None,
        on_step: OnStyleStep | None,
        stop_signals: list[int],
        state_file: StyleStateFile,
    ):
        self.config, self.generator, self.on_step, self.extractor = config, generator, on_step, extractor
        self.stop_signals, self.state_file = stop_signals, state_file
        self.started_sec, self.step = time.monotonic(), 0
        self.loss: float | None = None
        self.begun_sec: dict[str, tuple[float, int]] = {}
        self.pictures = [resize_square(img.to(generator.device), generator.img_resolution) for img in pictures]
        self.px = min(config.px, generator.img_resolution)
        self.weights = ReconstructionLossConfig(
            pixels=config.pixels, coarse=config.coarse, features=config.features, centre=0
        )
        self.goals = [
            ReconstructionLoss(self.drop_colour(downscale(img, self.px)), extractor=extractor, config=self.weights)
            for img in self.pictures
        ]
        from_px = config.from_px or min(COLOUR_PX, generator.img_resolution // 2)
        self.learner = StyleLearner(generator, from_px=from_px)
        self.optimiser = SearchAdam(self.learner.groups(config.lr), betas=_BETAS)
        self.moves = self.bad = 0  # steps that Adam has made; steps in a row that were not finite
        self.random = torch.Generator().manual_seed(config.seed)
        self.rows = rows_of("colour", generator)
        self.ws: list[Tensor] = []
        state = state_file.read()
        if state is not None:
            self.load(state)

    def state(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        return {
            "ws": self.ws,
            "learnt": [parameter.detach() for group in self.optimiser.param_groups for parameter in group["params"]],
            "moments": self.optimiser.moments(),
            "random": {"own": self.random.get_state(), "torch": torch.get_rng_state()},
            "counters": {"step": self.step, "moves": self.moves, "bad": self.bad, "loss": self.loss},
            "sec": time.monotonic() - self.started_sec,
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.ws = [ws.to(self.generator.device) for ws in state["ws"]]
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for parameter, learnt in zip(parameters, state["learnt"], strict=True):
            parameter.copy_(learnt)
        self.step, self.moves, self.bad, self.loss = (state["counters"][n] for n in ("step", "moves", "bad", "loss"))
        self.optimiser.restore_moments(state["moments"], self.moves)
        self.random.set_state(state["random"]["own"])
        torch.set_rng_state(state["random"]["torch"])
        self.started_sec -= state["sec"]

    def drop_colour(self, img: Tensor) -> Tensor:
        """Without its colours, where those are to stay."""
        return rgb_to_luma(img).expand_as(img) if self.config.keep_colour else img

    def invert_examples(self, ws: Sequence[Tensor] | None) -> bool:
        """The examples' latents; False where it was stopped."""
        if ws is not None:
            self.ws = [one.to(self.generator.device) for one in ws]
            return True
        stages = latent_stages(self.config.effort)
        going_on = True

        def on_step(step: int, steps: int, img: Tensor) -> bool:
            nonlocal going_on
            going_on = self.report("finding", step, steps)
            return not going_on

        for img in self.pictures[len(self.ws) :]:
            inversion = invert(
                img, self.generator, stages=stages, effort=self.config.effort, seed=self.config.seed,
                extractor=self.extractor, on_step=on_step,
            )  # fmt: skip
            self.ws.append(inversion.ws)
            if not going_on:
                break
            self.state_file.write(self.state, must=True)
        return going_on

    def report(self, stage: str, step: int, steps: int) -> bool:
        """Report; False where that, Ctrl-C or a polite kill says stop."""
        if self.on_step is None or self.stop_signals:
            return not self.stop_signals
        now = time.monotonic()
        self.begun_sec.setdefault(stage, (now, step))
        began_sec, first = self.begun_sec[stage]
        left_sec = (now - began_sec) / (step - first) * (steps - step) if step > first else None
        generator = self.learner.generator if stage == "teaching" else None
        try:
            return not self.on_step(
                StyleProgress(
                    stage=stage,
                    step=step,
                    steps=steps,
                    sec=now - self.started_sec,
                    sec_left=left_sec,
                    loss=self.loss,
                    generator=generator,
                )
            )
        except Stopped:
            return False

    def teach(self) -> bool:
        """All steps; False where it was stopped, or left the finite numbers."""
        config = self.config
        while self.step < config.steps:
            for group in self.optimiser.param_groups:
                group["lr"] = group["full"] * _rate(self.step, config.steps)
            self.optimiser.zero_grad()
            loss = self.example_loss(self.step % len(self.goals))
            loss.backward()
            if config.structure and self.step % config.structure_every == 0:
                self.structure_loss().backward()
            if not self.learner.is_finite(loss):
                self.bad += 1
                if self.bad == MAX_BAD_STEPS:
                    return self.diverge()
                self.step += 1
                continue
            self.bad = 0
            self.optimiser.step()
            self.step, self.moves, self.loss = self.step + 1, self.moves + 1, loss.item()
            going_on = self.report("teaching", self.step, config.steps)
            self.state_file.write(self.state, must=not going_on)
            if not going_on:
                return False
        return True

    def diverge(self) -> bool:
        """The numbers are not finite any more, and would not be the next time."""
        self.state_file.delete()
        if self.loss is None:
            raise BadConfig(f"the loss is not finite from the first step on; use a lower lr ({self.config.lr})")
        return False

    def example_loss(self, which: int) -> Tensor:
        """How far an example's face is painted from it: as a whole, in a piece of its detail, and in its colours."""
        ws = self.latent(which)
        img = self.synthesize(self.learner.generator, ws)
        loss = self.goals[which](self.drop_colour(downscale(img, self.px)))
        if self.config.detail and img.shape[3] > self.px:
            top, left = torch.randint(img.shape[3] - self.px + 1, (2,), generator=self.random).tolist()
            ours, theirs = (x[:, :, top : top + self.px, left : left + self.px] for x in (img, self.pictures[which]))
            piece = ReconstructionLoss(self.drop_colour(theirs), extractor=self.extractor, config=self.weights)
            loss = loss + self.config.detail * piece(self.drop_colour(ours))
        if self.config.keep_colour:
            with torch.no_grad():
                plain = self.synthesize(self.generator, ws)
            loss = loss + COLOUR_WEIGHT * colour_distance(img, plain)
        return loss

    def structure_loss(self) -> Tensor:
        """How far another face has become another person's."""
        ws = self.other(int(torch.randint(2**31, (1,), generator=self.random)))
        with torch.no_grad():
            plain = self.synthesize(self.generator, ws)
        img = self.synthesize(self.learner.generator, ws)
        loss = self.config.structure * structure_distance(img, plain)
        return loss + COLOUR_WEIGHT * colour_distance(img, plain) if self.config.keep_colour else loss

    @staticmethod
    def synthesize(generator: Any, ws: Tensor) -> Tensor:
        """ws [1, num_ws, w_dim] → the whole picture, quickly."""
        img: Tensor = generator.synthesis(ws, precision="fast").float()
        return img

    def latent(self, which: int) -> Tensor:
        """The example's latent, most times with the late rows of another face."""
        ws = self.ws[which].clone()
        seed = int(torch.randint(2**31, (1,), generator=self.random))
        if torch.rand(1, generator=self.random) < self.config.mixing:
            ws[:, self.rows] = self.other(seed)[:, self.rows]
        return ws

    @torch.no_grad()
    def other(self, seed: int) -> Tensor:
        """A random face's ws, a little truncated."""
        z = latents_from_seeds([seed], self.generator.z_dim, device=self.generator.device)
        c_dim = self.generator.c_dim
        c = F.one_hot(torch.tensor([seed % c_dim]), c_dim).to(z) if c_dim else None
        return self.generator.mapping(z, c, truncation_psi=0.8)

    @torch.no_grad()
    def final_metrics(self) -> dict[str, float]:
        """How near the first example's own latent is to it, before and after."""
        metrics = {"seconds": round(time.monotonic() - self.started_sec, 1)}
        if not self.ws:
            return metrics
        for when, generator in (("before", self.generator), ("after", self.learner.generator)):
            img = self.drop_colour(downscale(generator.synthesis(self.ws[0]).clamp(-1, 1), self.px))
            metrics[f"loss_{when}"] = round(self.goals[0](img).item(), 4)
            if self.extractor is not None:
                metrics[f"feature_distance_{when}"] = round(self.goals[0].feature_distance(img).item(), 4)
        return metrics


def _rate(step: int, steps: int) -> float:
    """Warm up, stay, fall along a cosine."""
    left = (1 - step / steps) / DECAY_SHARE
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left)))
