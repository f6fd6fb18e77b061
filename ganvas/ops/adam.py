"""Adam for searches: the numbers of torch.optim.Adam without its first step's import of the compiler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

EPS = 1e-8


class SearchAdam:
    """Adam (Kingma & Ba 2015) over parameters in groups, each with its `lr`: bit for bit torch.optim.Adam's on a CPU.

    Making one of torch's optimisers imports torch's compiler: 4 processor seconds, as long as a tenth of a whole search
    at effort "fast", in every command that searches. Training, which lasts, uses torch's own.

    Attributes:
        param_groups: dictionaries with `params` and `lr`, which may be changed between steps.
        state: for each parameter that has moved: `step`, `exp_avg` and `exp_avg_sq`, named as torch names them.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float]) -> None:
        self.param_groups = list(groups)
        self.betas = betas
        self.state: dict[Tensor, dict[str, Any]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"])

    def moments(self) -> dict[str, Tensor]:
        """A copy of the moments, to be kept: "0 exp_avg" is of the first parameter."""
        states = [self.state.get(parameter, {}) for parameter in self._parameters()]
        names = ("exp_avg", "exp_avg_sq")
        return {f"{i} {name}": state[name].clone() for i, state in enumerate(states) if state for name in names}

    def restore_moments(self, moments: Mapping[str, Tensor], steps: int) -> None:
        """The reverse of `moments`, after so many steps."""
        for i, parameter in enumerate(self._parameters()):
            if f"{i} exp_avg" in moments:
                averages = {name: moments[f"{i} {name}"].clone() for name in ("exp_avg", "exp_avg_sq")}
                self.state[parameter] = {"step": steps, **averages}

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _move(self, parameter: Tensor, grad: Tensor, lr: float) -> None:
        beta1, beta2 = self.betas
        state = self.state.setdefault(parameter, {})
        if not state:
            zeros = [torch.zeros_like(parameter, memory_format=torch.preserve_format) for _ in range(2)]
            state.update(step=0, exp_avg=zeros[0], exp_avg_sq=zeros[1])
        state["step"] += 1
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        spread = (square.sqrt() / math.sqrt(1 - beta2 ** state["step"])).add_(EPS)
        parameter.addcdiv_(mean, spread, value=-lr / (1 - beta1 ** state["step"]))
