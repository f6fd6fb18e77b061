"""Teach a generator a style from one example: minutes on a CPU, a small file as the result.

    example ──invert──► w of the face as the generator would paint it
    w, its late rows now and then those of other faces ──generator──► should all look like the example

Whatever the late rows say, the generator learns to answer with the example's paint; the early rows, which say whose face
it is, keep their meaning, so other faces come out painted alike.

Paper: Chong and Forsyth 2022, "JoJoGAN: One Shot Face Stylization". Theirs compares features of a discriminator over 300
steps on a GPU; here they are those of EfficientNet-Lite0 (where its weights are on this computer, else differences of
neighbouring pixels stand in), only layers from 16 px on learn, in steps of their own spread, and large ones in thin
factors (Hu et al. 2021, "LoRA").
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganvas import __version__
from ganvas.checks import check_img
from ganvas.editing.mix import rows_of
from ganvas.editing.stylise import DOWN, UP, Style, check_style_name
from ganvas.errors import BadConfig, BadImage, Stopped
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.inversion.exits import shrunk
from ganvas.inversion.framing import latent_stages
from ganvas.inversion.likeness import Likeness, LikenessConfig
from ganvas.inversion.optimise import invert
from ganvas.inversion.pivotal import spread, tunable
from ganvas.models.protocol import latents_from_seeds
from ganvas.weights.checkpoint import fingerprint

BETAS = (0.0, 0.99)  # the paper's
WARM_STEPS, FALL = 5, 0.4
MAX_NUMBERS = 4_500_000  # a style file holds no more, in float16: 9 MB
SMALL = 65_536  # tensors with fewer numbers are never taken apart
BAD_STEPS = 5  # so many in a row that are not finite end the teaching


@dataclass(frozen=True, kw_only=True)
class StyleConfig:
    """How a style is taught."""

    steps: int = 150
    lr: float = 0.006  # a step, in standard deviations of each tensor's own entries
    px: int = 256  # the size compared, at most the generator's own
    from_px: int = 16  # layers that paint below this size stay: they say where things are
    keep_colour: bool = False  # learn brightness, lines and texture only; colours stay the picture's own
    mixing: float = 0.8  # share of steps in which the late rows are another face's
    features: float = 1.0  # weight of the perceptual distance; 0 = off
    pixels: float = 0.5  # of the mean difference of pixels
    coarse: float = 1.0  # of the squared difference at 64 and 32 px
    effort: str = "standard"  # of the inversion of the example
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.px, self.from_px) < 1 or not self.lr > 0:
            raise BadConfig(f"steps, px, from_px and lr of a style must be positive, got {self}")
        if not 0 <= self.mixing <= 1 or min(self.features, self.pixels, self.coarse) < 0:
            raise BadConfig("mixing is a share from 0 to 1; features, pixels and coarse are weights of 0 or more")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the teaching stands; what `on_step` is called with."""

    stage: str  # "finding" the example in the generator, or "teaching"
    step: int
    steps: int
    sec: float  # since the beginning
    loss: float | None = None
    generator: Any = None  # as taught so far: for previews, not to be changed


OnProgress = Callable[[Progress], "bool | None"]


def teach_style(
    examples: Tensor | Sequence[Tensor],
    generator: Any,
    *,
    name: str,
    config: StyleConfig | None = None,
    eyes: EfficientNetLite0 | None = None,
    ws: Sequence[Tensor] | None = None,
    on_step: OnProgress | None = None,
    facts: dict[str, Any] | None = None,
) -> Style:
    """Teach a generator to paint like an example.

    Args:
        examples: [1, C, S, S] in [-1, 1], framed as the generator's training pictures were, or several of one style.
        generator: one with rows of styles (stylegan2, stylegan3, mobilestylegan); it is not changed.
        name: of the style.
        config: how.
        eyes: EfficientNet-Lite0, for the perceptual part.
        ws: latents of the examples, [1, num_ws, w_dim] each, where they are known; None = they are searched for.
        on_step: called after every step. Returning True, or raising `Stopped`, ends the teaching: what was learnt so
            far is the result, marked as unfinished.
        facts: more for the style's card.

    Returns:
        The style, with figures in its facts. The same seed and pictures give the same style.

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
            raise BadImage(f"teach_style expects square pictures [1, C, S, S], got {list(img.shape)}; cut a Crop first")
    if not pictures:
        raise BadImage("teach_style needs an example, got none")
    rows_of("colour", generator)  # a family without rows says so before the work
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        lesson = _Lesson(pictures, generator, config, eyes, on_step)
        finished = lesson.find(ws) and lesson.teach()
    kept = {
        "made_by": f"ganvas {__version__}",
        "family": generator.family,
        "config": asdict(config),
        "figures": lesson.figures(),
        "steps": lesson.step,
        "finished": finished,
        **(facts or {}),
    }
    return Style(name=name, tensors=lesson.learner.tensors(), parent=fingerprint(generator), facts=kept)


class _Lesson:
    """One teaching while it runs."""

    def __init__(
        self,
        pictures: list[Tensor],
        generator: Any,
        config: StyleConfig,
        eyes: EfficientNetLite0 | None,
        on_step: OnProgress | None,
    ):
        self.config, self.generator, self.on_step, self.eyes = config, generator, on_step, eyes
        self.started_sec, self.step, self.loss = time.monotonic(), 0, None
        self.pictures = [shrunk(img.to(generator.device), generator.img_resolution) for img in pictures]
        self.px = min(config.px, generator.img_resolution)
        weights = LikenessConfig(pixels=config.pixels, coarse=config.coarse, features=config.features, centre=0.5)
        self.goals = [Likeness(self.seen(img), eyes=eyes, config=weights) for img in self.pictures]
        self.learner = Learner(generator, from_px=config.from_px)
        self.random = torch.Generator().manual_seed(config.seed)
        self.rows = rows_of("colour", generator)
        self.ws: list[Tensor] = []

    def seen(self, img: Tensor) -> Tensor:
        """At the size compared; without its colours where those are to stay."""
        img = shrunk(img, self.px)
        return luma(img).expand_as(img) if self.config.keep_colour else img

    def find(self, ws: Sequence[Tensor] | None) -> bool:
        """The examples' latents; False where it was stopped."""
        if ws is not None:
            self.ws = [one.to(self.generator.device) for one in ws]
            return True
        stages = latent_stages(self.config.effort)
        goes_on = True

        def tell(step: int, steps: int, img: Tensor) -> bool:
            nonlocal goes_on
            goes_on = self.told("finding", step, steps)
            return not goes_on

        for img in self.pictures:
            found = invert(
                img, self.generator, stages=stages, effort=self.config.effort, seed=self.config.seed, eyes=self.eyes,
                on_step=tell,
            )  # fmt: skip
            self.ws.append(found.ws)
            if not goes_on:
                break
        return goes_on

    def told(self, stage: str, step: int, steps: int) -> bool:
        """Report; False where that says stop."""
        if self.on_step is None:
            return True
        sec = time.monotonic() - self.started_sec
        generator = self.learner.generator if stage == "teaching" else None
        try:
            return not self.on_step(
                Progress(stage=stage, step=step, steps=steps, sec=sec, loss=self.loss, generator=generator)
            )
        except Stopped:
            return False

    def teach(self) -> bool:
        """All steps; False where it was stopped, or left the finite numbers."""
        config = self.config
        optimiser = torch.optim.Adam(self.learner.groups(config.lr), betas=BETAS)
        bad = 0
        while self.step < config.steps:
            for group in optimiser.param_groups:
                group["lr"] = group["full"] * _rate(self.step, config.steps)
            optimiser.zero_grad(set_to_none=True)
            which = self.step % len(self.goals)
            img = self.learner.generator.synthesis(self.latent(which), precision="fast").float()
            loss = self.goals[which](self.seen(img))
            if config.keep_colour:
                loss = loss + self.colours_kept(img, which)
            loss.backward()
            if not self.learner.sound(loss):
                bad += 1
                if bad == BAD_STEPS:
                    break
                self.step += 1
                continue
            bad = 0
            optimiser.step()
            self.step, self.loss = self.step + 1, loss.item()
            if not self.told("teaching", self.step, config.steps):
                return False
        if bad == BAD_STEPS and self.loss is None:
            raise BadConfig(f"this teaching has no finite loss from its first step on; lower lr ({config.lr})")
        return bad < BAD_STEPS

    def latent(self, which: int) -> Tensor:
        """The example's latent, most times with the late rows of another face."""
        ws = self.ws[which].clone()
        seed = int(torch.randint(2**31, (1,), generator=self.random))
        if torch.rand(1, generator=self.random) < self.config.mixing:
            ws[:, self.rows] = self.other(seed)[:, self.rows]
        self.asked = ws
        return ws

    @torch.no_grad()
    def other(self, seed: int) -> Tensor:
        """A random face's ws."""
        z = latents_from_seeds([seed], self.generator.z_dim, device=self.generator.device)
        c_dim = self.generator.c_dim
        c = F.one_hot(torch.tensor([seed % c_dim]), c_dim).to(z) if c_dim else None
        return self.generator.mapping(z, c)

    def colours_kept(self, img: Tensor, which: int) -> Tensor:
        """How far the colours, seen coarsely, are from what the untaught generator paints for the same latent."""
        with torch.no_grad():
            plain = shrunk(self.generator.synthesis(self.asked, precision="fast").float(), COLOUR_PX)
        ours = shrunk(img, COLOUR_PX)
        return COLOUR_WEIGHT * F.mse_loss(ours - luma(ours), plain - luma(plain))

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """How near the first example's own latent is to it, before and after."""
        made = {"seconds": round(time.monotonic() - self.started_sec, 1)}
        if not self.ws:
            return made
        for when, generator in (("before", self.generator), ("after", self.learner.generator)):
            img = self.seen(generator.synthesis(self.ws[0]).clamp(-1, 1))
            made[f"loss_{when}"] = round(self.goals[0](img).item(), 4)
            if self.eyes is not None:
                made[f"feature_distance_{when}"] = round(self.goals[0].feature_distance(img).item(), 4)
        return made


COLOUR_PX, COLOUR_WEIGHT = 32, 4.0
LUMA = (0.299, 0.587, 0.114)


def luma(img: Tensor) -> Tensor:
    """[N, C, H, W] → [N, 1, H, W], brightness; a grey picture is its own."""
    if img.shape[1] != 3:
        return img[:, :1]
    return (img * img.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _rate(step: int, steps: int) -> float:
    """Warm up, stay, fall along a cosine."""
    left = (1 - step / steps) / FALL
    return min(1.0, (step + 1) / WARM_STEPS) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left)))


# ---------------------------------------------------------------------------------------------------------------------
# What learns


class Thin(nn.Module):
    """A weight as its first value plus the product of two thin factors: up [O, r] · down [r, …]."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        size = spread(weight)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        self.down = nn.Parameter(torch.randn(rank, *weight.shape[1:], device=weight.device) / math.sqrt(rank))
        self.scale = size

    def forward(self, weight: Tensor) -> Tensor:
        """weight [O, …] → the same shape."""
        return weight + torch.tensordot(self.up, self.down, dims=1)


class Learner:
    """A copy of a generator in which the layers that paint learn, and what they have learnt as a small set of tensors."""

    def __init__(self, generator: Any, *, from_px: int, max_numbers: int = MAX_NUMBERS):
        self.parent = generator
        self.generator = copy.deepcopy(generator).requires_grad_(False).eval()
        chosen = {n: p for n, p in tunable(self.generator).items() if (generator.place_px(n) or 0) >= from_px}
        if not chosen:
            raise BadConfig(f"this generator has no layers that paint at {from_px} px or more: lower from_px")
        self.rank = _rank_for(chosen, max_numbers)
        self.whole: dict[str, nn.Parameter] = {}
        self.thin: dict[str, Thin] = {}
        for name, parameter in chosen.items():
            if self.rank is None or parameter.numel() < SMALL:
                self.whole[name] = parameter.requires_grad_()
            else:
                self.thin[name] = self._taken_apart(name, parameter)

    def _taken_apart(self, name: str, parameter: Tensor) -> Thin:
        assert self.rank is not None
        owner, _, leaf = name.rpartition(".")
        thin = Thin(parameter, self.rank)
        parametrize.register_parametrization(self.generator.get_submodule(owner), leaf, thin)
        return thin

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """For the optimiser: each tensor with a step of its own size."""
        before = dict(self.parent.named_parameters())
        sizes = [(p, spread(before[n])) for n, p in self.whole.items()]
        for thin in self.thin.values():
            # down has a spread of 1/√r, so a step of up by s changes the product by about s.
            sizes += [(thin.up, thin.scale), (thin.down, 1 / math.sqrt(thin.up.shape[1]))]
        return [{"params": [p], "lr": 0.0, "full": lr * size} for p, size in sizes]

    def sound(self, loss: Tensor) -> bool:
        """Is everything finite that the next step would use?"""
        learning = [*self.whole.values(), *(p for thin in self.thin.values() for p in thin.parameters())]
        return bool(loss.isfinite()) and all(p.grad is None or bool(p.grad.isfinite().all()) for p in learning)

    def tensors(self) -> dict[str, Tensor]:
        """What was learnt, as a `Style` has it, float16 on the CPU."""
        before = dict(self.parent.named_parameters())
        made = {n: (p - before[n]).detach() for n, p in self.whole.items()}
        for name, thin in self.thin.items():
            made |= {name + UP: thin.up.detach(), name + DOWN: thin.down.detach()}
        moved = {n: t.to("cpu", torch.float16) for n, t in made.items()}
        return {n: t for n, t in moved.items() if t.any() or n.endswith((UP, DOWN))}


def _rank_for(chosen: dict[str, nn.Parameter], max_numbers: int) -> int | None:
    """The rank at which all that learns fits; None = it fits as it is.

    Raises:
        BadConfig: the small tensors alone are too many.
    """
    sizes = [p.numel() for p in chosen.values()]
    if sum(sizes) <= max_numbers:
        return None
    left = max_numbers - sum(size for size in sizes if size < SMALL)
    each = sum(p.shape[0] + p.numel() // p.shape[0] for p in chosen.values() if p.numel() >= SMALL)
    if left < each:
        raise BadConfig(f"this generator is too large for a style file of {2 * max_numbers / 1e6:.0f} MB: raise from_px")
    return min(64, left // each)


def longer(config: StyleConfig, **changes: Any) -> StyleConfig:
    """The config with changes; None leaves a field as it is."""
    return replace(config, **{name: value for name, value in changes.items() if value is not None})
