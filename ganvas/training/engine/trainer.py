"""What every trainer has: counters, speed, running means, Adam, and the state that survives a stop."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.training.engine.distributed import (
    World,
    average_gradients,
)
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.watchdog import Remedy, Watchdog
from ganvas.training.gradients import clean_gradients, gradient_norm

DIVERSITY_PX = 16  # differences finer than this are texture, not variety


SPEED_STEPS = 50  # that the speed is taken from


class Trainer:
    """What any training run has: a config, a place, a folder, counters, a clock, a watchdog and figures to average."""

    def __init__(self, config: Any, *, world: World, run: Run | MemoryRun):
        self.config, self.world, self.run = config, world, run
        self.watchdog, self.remedy = Watchdog(), Remedy()
        self.step = self.nimg = self.attempt = 0
        self.running_means = RunningMeans()
        self._sec_before, self._began = 0.0, time.monotonic()
        self._pace: deque[tuple[float, int]] = deque(maxlen=SPEED_STEPS)

    def count(self) -> None:
        """One more step is done."""
        self.step += 1
        self._pace.append((time.monotonic(), self.nimg))

    @property
    def sec(self) -> float:
        """Seconds trained, over all resumes."""
        return self._sec_before + time.monotonic() - self._began

    def set_clock(self, sec: float) -> None:
        """Go on counting from so many seconds."""
        self._sec_before, self._began = sec, time.monotonic()

    @property
    def img_per_sec(self) -> float:
        """Real pictures a second over the last steps; 0 while unknown."""
        if len(self._pace) < 3:
            return 0.0
        (first_sec, first), (last_sec, last) = self._pace[0], self._pace[-1]
        return (last - first) / max(last_sec - first_sec, 1e-9)

    def apply_gradients(
        self, opt: torch.optim.Optimizer, params: list[nn.Parameter], name: str, *, norm: bool = True
    ) -> None:
        """Let the optimiser follow the gradients, cleaned and noted."""
        average_gradients(params, self.world)
        bad = clean_gradients(params)
        self.running_means.add_number("bad", float(bad > 0))
        if norm:
            self.running_means.add_number(f"grad_norm_{name}", gradient_norm(params))
        opt.step()

    def counters(self) -> dict[str, Any]:
        """What a resumed run needs of all this; plain values."""
        return {
            "watchdog": self.watchdog.state_dict(),
            "remedy": vars(self.remedy).copy(),
            "tally": self.running_means.state_dict(),
            "counters": {"step": self.step, "nimg": self.nimg, "attempt": self.attempt, "sec": self.sec},
        }

    def load_counters(self, state: dict[str, Any]) -> None:
        """The inverse of `counters`."""
        self.watchdog.load_state_dict(state["watchdog"])
        self.remedy = Remedy(**state["remedy"])
        self.running_means.load_state_dict(state["tally"])
        counters = state["counters"]
        self.step, self.nimg, self.attempt = counters["step"], counters["nimg"], counters["attempt"]
        self.set_clock(counters["sec"])
        self._pace.clear()

    def runtime(self, dtype: torch.dtype) -> dict[str, Any]:
        """What the bits of a run depend on besides its settings."""
        return {"dtype": str(dtype).removeprefix("torch."), "threads": torch.get_num_threads()}

    def restore_runtime(self, runtime: dict[str, Any]) -> torch.dtype:
        """Compute as the run was begun; the type that the networks compute in."""
        if self.config.precision == "exact" and self.world.device.type == "cpu":
            torch.set_num_threads(runtime["threads"])  # float sums come out in the order of the threads
        return getattr(torch, runtime["dtype"])


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
        """The means; begins anew."""
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
