"""What every trainer has: networks, their optimisers and average, counters, and the state that survives a stop."""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BrokenWeights
from ganvas.ops.precision import fast_dtype
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.watchdog import Finding, HealthMetrics, Remedy, Watchdog
from ganvas.training.gradients import clean_gradients, gradient_norm, queue_clean_gradients
from ganvas.training.losses import AdversarialLoss
from ganvas.training.schedule import lazy_adam, set_adam

DIVERSITY_PX = 16  # differences finer than this are texture, not variety
SPEED_STEPS = 50  # that the speed is taken from
ATTEMPT_APART = 1 << 40  # pictures between the data of an attempt and of the next; no run comes that far


class Trainer(ABC):
    """One training run: everything that must survive a stop. A subclass says what a step does.

    Args:
        G: what is trained, on the world's device.
        D: its discriminator, or None.
        config: resolved.
        loss: between the two; None without a discriminator.
        averaged: of G's weights: has `net`, `update`, `state_dict` and `load_state_dict`.
        every: how often G and D make a step of their own for a regulariser; None = never.
        beside_D: what else learns whenever D does.
        world: of processes.
        run: where states and metrics are kept.

    Attributes:
        steps, nimg: done, and pictures shown, over all resumes.
        attempt: how often the run has stepped back.
        dtype: in which networks compute where that is allowed; float32 = everywhere.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module | None,
        config: Any,
        *,
        loss: AdversarialLoss | None,
        averaged: Any,
        every: tuple[int | None, int | None] = (None, None),
        beside_D: nn.Module | None = None,
        world: World,
        run: Run | MemoryRun,
    ):
        self.G: Any = G
        self.D: Any = D
        self.config, self.loss, self.averaged, self.world, self.run = config, loss, averaged, world, run
        self.dtype = compute_dtype(config.precision, world.device)
        # On a CPU a look at a number is free, and saves rewriting gradients; a GPU would stand still for it.
        self.waits_for_device = world.device.type == "cpu"
        self.watchdog, self.remedy = Watchdog(), Remedy()
        self.steps = self.nimg = self.attempt = 0
        self.running_means = RunningMeans()
        self.clock = Clock()
        self.params_G = [p for p in G.parameters() if p.requires_grad]
        learning = [net for net in (D, beside_D) if net is not None]
        self.params_D = [p for net in learning for p in net.parameters() if p.requires_grad]
        self.every_G, self.every_D = every
        self.opt_G = self._adam(self.params_G, self.g_lr, self.every_G)
        self.opt_D: Any = None if D is None else self._adam(self.params_D, config.d_lr, self.every_D)

    def _adam(self, params: list[nn.Parameter], lr: float, every: int | None) -> torch.optim.Adam:
        fused = self.world.device.type in ("cpu", "cuda")
        return lazy_adam(params, lr, (self.config.beta1, self.config.beta2), every, fused=fused)

    # -- what a step does

    @abstractmethod
    def draw(self) -> Any:
        """The next batch; the only place where a run can meet a damaged file."""

    @abstractmethod
    def step(self, batch: Any) -> None:
        """Learn from one batch, and end with `finish_step`."""

    def random(self, *purpose: int) -> torch.Generator:
        """A source of randomness that depends on nothing but where the run stands; torch's own starts there, too."""
        key = [self.config.seed, self.attempt, self.nimg, *purpose]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        torch.manual_seed(seed)  # noise and dropout inside networks
        return torch.Generator().manual_seed(seed)

    @property
    def data_position(self) -> int:
        """Where the next batch lies in the endless order of the data; after a step back not where it was before."""
        return self.nimg + self.attempt * ATTEMPT_APART

    def cast(self) -> AbstractContextManager[Any]:
        """Inside, convolutions and matrix products run in `dtype`."""
        return autocast(self.world.device, self.dtype)

    @contextlib.contextmanager
    def only_generator_learns(self) -> Iterator[None]:
        """Inside, no gradients are computed for D's parameters, which saves a third of its backward pass."""
        for p in self.params_D:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in self.params_D:
                p.requires_grad_(True)

    def apply_gradients(
        self, opt: torch.optim.Optimizer, params: list[nn.Parameter], name: str, *, norm: bool = True
    ) -> None:
        """Let the optimiser follow the gradients, cleaned and noted."""
        if self.waits_for_device:
            bad = clean_gradients(params)
            self.running_means.add_number("bad", float(bad > 0))
            if norm:
                self.running_means.add_number(f"grad_norm_{name}", gradient_norm(params))
        else:
            any_bad, length = queue_clean_gradients(params)
            self.running_means.add(bad=any_bad)
            if norm:
                self.running_means.add(**{f"grad_norm_{name}": length})
        opt.step()

    def finish_step(self) -> None:
        """Count the step; let averages and schedules follow."""
        self.nimg += self.config.batch_size
        self.update_average()
        self.steps += 1
        self.clock.tick(self.nimg)
        self.set_rates()

    def update_average(self) -> None:
        """Let the average follow the weights."""
        self.averaged.update(self.G, self.config.batch_size, self.nimg)

    # -- learning rates

    @abstractmethod
    def rate(self) -> float:
        """What the schedule has left of the learning rates now, as a share."""

    @property
    def g_lr(self) -> float:
        """G's learning rate before the schedule."""
        return self.config.g_lr

    @property
    def betas(self) -> tuple[float, float]:
        """Adam's, now."""
        return self.config.beta1, self.config.beta2

    def set_rates(self) -> None:
        """Give the optimisers the rates of now: the config's, by the schedule and the remedies."""
        share = self.rate() * self.remedy.lr
        set_adam(self.opt_G, lr=self.g_lr * share, betas=self.betas, every=self.every_G)
        if self.opt_D is not None:
            lr = self.config.d_lr * share * self.remedy.d_lr
            set_adam(self.opt_D, lr=lr, betas=self.betas, every=self.every_D)

    # -- how it is going

    def collect_metrics(self) -> dict[str, Any]:
        """One line of the log: means since the last one. Empties the running means."""
        means = self.take_means()
        line = {"nimg": self.nimg, "kimg": self.nimg / 1000, "sec": round(self.clock.sec, 2)}
        line |= {"img_per_sec": round(self.clock.img_per_sec, 2), **self.metrics_now()}
        bad_share = means.pop("bad", 0.0)
        return line | means | {"bad_share": bad_share}

    def take_means(self) -> dict[str, float]:
        """The means since the last line."""
        return self.running_means.take()

    def metrics_now(self) -> dict[str, float]:
        """What the log shows besides means."""
        return {"lr": self.opt_G.param_groups[0]["lr"]}

    def health_metrics(self, line: dict[str, Any]) -> HealthMetrics:
        """A line of the log for the watchdog."""
        return HealthMetrics(
            kimg=line["kimg"],
            steps=self.steps,
            bad_share=line["bad_share"],
            finite_weights=self.is_finite(),
            loss_D=line.get("loss_D", 1.0),
            chance_loss_D=self.chance_loss_D(),
            diversity=line.get("diversity", 1.0),
            grad_norm_D=line.get("grad_norm_D", 0.0),
            grad_norm_G=line.get("grad_norm_G", 0.0),
        )

    def chance_loss_D(self) -> float:
        """The loss of a discriminator without a clue; 0 where that says nothing."""
        zeros = torch.zeros(2)
        return 0.0 if self.loss is None else float(self.loss.discriminator(zeros, zeros).mean())

    def is_finite(self) -> bool:
        """Are all weights and running means finite?"""
        return all(all_finite(net) for net in (self.G, self.D, self.averaged.net) if net is not None)

    @property
    def penalised(self) -> bool:
        """Is there a gradient penalty that the watchdog can strengthen?"""
        return False

    @abstractmethod
    def advice(self, finding: Finding) -> str:
        """What to try when the same trouble came back after its remedy."""

    @abstractmethod
    def out_of_memory_advice(self) -> str:
        """What to say when memory ran out."""

    # -- state

    def state(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        return {
            "G": self.G.state_dict(),
            "D": None if self.D is None else self.D.state_dict(),
            "averaged": self.averaged.state_dict(),
            "opt_G": self.opt_G.state_dict(),
            "opt_D": None if self.opt_D is None else self.opt_D.state_dict(),
            **self.own_state(),
            "watchdog": self.watchdog.state_dict(),
            "remedy": vars(self.remedy).copy(),
            "tally": self.running_means.state_dict(),
            "counters": {"step": self.steps, "nimg": self.nimg, "attempt": self.attempt, "sec": self.clock.sec},
            # What the bits of a run depend on besides its settings.
            "machine": {"dtype": str(self.dtype).removeprefix("torch."), "threads": torch.get_num_threads()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            BrokenWeights: the state is of other networks.
        """
        self._restore_machine(state["machine"])
        try:
            self.G.load_state_dict(state["G"])
            self.averaged.load_state_dict(state["averaged"])
            load_adam(self.opt_G, state["opt_G"])
            if self.opt_D is not None:
                self.D.load_state_dict(state["D"])
                load_adam(self.opt_D, state["opt_D"])
            self.load_own_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise BrokenWeights(f"the state of this run belongs to different networks: {error}") from error
        self.watchdog.load_state_dict(state["watchdog"])
        self.remedy = Remedy(**state["remedy"])
        self.running_means.load_state_dict(state["tally"])
        counters = state["counters"]
        self.steps, self.nimg, self.attempt = counters["step"], counters["nimg"], counters["attempt"]
        self.clock.set(counters["sec"])
        self.set_rates()

    def _restore_machine(self, machine: dict[str, Any]) -> None:
        """Compute as when the run was started."""
        self.dtype = getattr(torch, machine["dtype"])
        if self.config.precision == "exact" and self.world.device.type == "cpu":
            torch.set_num_threads(machine["threads"])  # float sums come out in the order of the threads

    def own_state(self) -> dict[str, Any]:
        """What a subclass adds to the state."""
        return {}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """The inverse of `own_state`."""
        return


class Clock:
    """The seconds trained, over all resumes, and the speed of the last steps."""

    def __init__(self) -> None:
        self._ticks: deque[tuple[float, int]] = deque(maxlen=SPEED_STEPS)
        self.set(0.0)

    def set(self, sec: float) -> None:
        """Count on from so many seconds."""
        self._sec_before, self._began = sec, time.monotonic()
        self._ticks.clear()

    def tick(self, nimg: int) -> None:
        """A step is done; so many pictures were shown in all."""
        self._ticks.append((time.monotonic(), nimg))

    @property
    def sec(self) -> float:
        """Seconds trained."""
        return self._sec_before + time.monotonic() - self._began

    @property
    def img_per_sec(self) -> float:
        """Real pictures a second; 0 while unknown."""
        if len(self._ticks) < 3:
            return 0.0
        (first_sec, first), (last_sec, last) = self._ticks[0], self._ticks[-1]
        return (last - first) / max(last_sec - first_sec, 1e-9)


class RunningMeans:
    """Means over the steps since the last line of the log; tensors are read only then, so that a GPU need not wait."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, float]] = {}

    def add(self, **values: Tensor) -> None:
        """Take in the mean of each tensor."""
        for name, value in values.items():
            mean = value.detach().float().mean()
            total, count = self._sums.get(name, (torch.zeros_like(mean), 0.0))
            self._sums[name] = total + mean, count + 1

    def add_number(self, name: str, value: float) -> None:
        """Take in one number."""
        total, count = self._sums.get(name, (torch.zeros((), dtype=torch.float64), 0.0))
        self._sums[name] = total + value, count + 1

    def take(self) -> dict[str, float]:
        """Return the means and reset."""
        means = {name: float(total) / count for name, (total, count) in self._sums.items()}
        self._sums = {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers: a sum that is not finite must not keep a state from being saved."""
        return {name: (repr(float(total)), str(total.dtype), count) for name, (total, count) in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._sums = {
            name: (torch.tensor(float(total), dtype=getattr(torch, dtype.removeprefix("torch."))), count)
            for name, (total, dtype, count) in state.items()
        }


def load_adam(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict`, with every moment in the memory order of its parameter.

    Fused Adam walks through parameter and moments side by side without looking at their strides: moments in another
    order than a channels_last weight would be given to the wrong numbers, without a word.
    """
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def mean_pairwise_distance(img: Tensor) -> float:
    """Mean distance between two pictures of [N, C, H, W], each seen at 16 px; 0 for fewer than two."""
    if len(img) < 2:
        return 0.0
    small = F.adaptive_avg_pool2d(img.clamp(-1, 1), min(DIVERSITY_PX, img.shape[-1])).flatten(1)
    return float(F.pdist(small).mean()) / math.sqrt(small.shape[1])


@torch.no_grad()
def all_finite(net: nn.Module) -> bool:
    """Are all its parameters and buffers finite?"""
    tensors = [t for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()]
    return not tensors or bool(torch.stack(torch._foreach_norm(tensors)).isfinite().all())


# ---------------------------------------------------------------------------------------------------------------------
# Precision


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The float type of the networks' inner work: bfloat16 only where it was measured to be faster."""
    return fast_dtype(device.type) if precision == "fast" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Inside, convolutions and matrix products on `device` run in `dtype`."""
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)
