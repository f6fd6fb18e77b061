"""Averages of weights over the run: what is saved, shown and judged, because the latest weights alone are restless.

Two kinds. `Ema` forgets by a half-life. `PowerEma` keeps averages whose memory grows with the run, at two lengths, and
from snapshots of them any other length can be had after the run. In both, parameters are averaged and buffers are
copied: noise, filters and running statistics (`w_avg`, batch normalisation) are constants or averages already.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, BadInput
from ganvas.models.protocol import Network
from ganvas.weights.load import load

MAX_SIGMA = math.sqrt(1 / 12)  # of the flat average over the whole run, γ = 0
MAX_GAMMA = 1e6  # σ of 1e-6, which nobody can tell from the latest weights


class Ema:
    """An exponential average by half-life: images after which a weight's share has halved.

    Args:
        net: the network in training; `.net` starts as a copy of it.
        half_life_kimg: in thousands of images; 0 = always the latest weights. May be changed during the run.
        ramp: the half-life is at most this share of the images seen so far, so that early weights are soon forgotten;
            None = no ramp.

    Attributes:
        net: the averaged network, in eval mode, without gradients.

    Source: Karras et al. 2018, "Progressive Growing of GANs", section 5; half-life and ramp as in Karras et al. 2020,
    "Training Generative Adversarial Networks with Limited Data", appendix on training.
    """

    def __init__(self, net: nn.Module, half_life_kimg: float, ramp: float | None = 0.05):
        if half_life_kimg < 0 or (ramp is not None and ramp <= 0):
            raise BadConfig(
                f"Ema expects half_life_kimg of 0 or more and ramp above 0, got {half_life_kimg} and {ramp}"
            )
        self.half_life_kimg, self.ramp = half_life_kimg, ramp
        self.net = _frozen_copy(net)

    def update(self, net: nn.Module, batch: int, nimg: int) -> None:
        """Take in the weights after a step.

        Args:
            net: the network in training.
            batch: images of that step.
            nimg: images seen in all, this step's included.
        """
        _lerp_towards(self.net, net, 1 - self.beta(batch, nimg))

    def beta(self, batch: int, nimg: int) -> float:
        """How much of the average stays at this step: ½^(batch / half-life)."""
        half_life = self.half_life_kimg * 1000
        if self.ramp is not None:
            half_life = min(half_life, self.ramp * nimg)
        return 0.5 ** (batch / half_life) if half_life > 0 else 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"net": self.net.state_dict(), "half_life_kimg": self.half_life_kimg}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.net.load_state_dict(state["net"])
        self.half_life_kimg = state["half_life_kimg"]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A power-function average as it stood at one moment: what `reconstruct` mixes."""

    sigma: float  # the length of the average
    nimg: int  # when it was taken
    weights: dict[str, Tensor]  # the averaged parameters
    buffers: dict[str, Tensor]  # the rest of the state_dict, as it was


class PowerEma:
    """Averages whose length is a share of the run so far: a weight at time τ ≤ t has the share ∝ (τ/t)^γ.

    Args:
        net: the network in training.
        sigmas: relative lengths (standard deviation of that profile, as a share of the run), each above 0 and below
            0.2887, where every moment counts the same. 0.05 and 0.10 are the paper's.

    Attributes:
        nets: the averaged network of each sigma, in eval mode, without gradients.
        snapshots: what `keep` has kept.

    Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and
    appendix C.
    """

    def __init__(self, net: nn.Module, sigmas: Sequence[float] = (0.05, 0.10)):
        self.gammas = {sigma: gamma_of(sigma) for sigma in sigmas}
        if not self.gammas or len(self.gammas) != len(sigmas):
            raise BadConfig(f"PowerEma expects one sigma or several different ones, got {tuple(sigmas)}")
        self.nets = {sigma: _frozen_copy(net) for sigma in sigmas}
        for sigma, average in self.nets.items():
            if isinstance(average, Network):
                average.facts["power_sigma"] = sigma  # goes into every file it is saved to, for `average_of_files`
        self.snapshots: list[Snapshot] = []
        self.nimg = 0

    @property
    def net(self) -> nn.Module:
        """The averaged network of the first sigma."""
        return next(iter(self.nets.values()))

    def update(self, net: nn.Module, batch: int, nimg: int) -> None:
        """Take in the weights after a step; the arguments of `Ema.update`. β = (1 − batch/nimg)^(γ + 1)."""
        for sigma, average in self.nets.items():
            beta = max(0.0, 1 - batch / nimg) ** (self.gammas[sigma] + 1)
            _lerp_towards(average, net, 1 - beta)
        self.nimg = nimg

    def snapshot(self, dtype: torch.dtype = torch.float32) -> list[Snapshot]:
        """The averages as they stand, one a sigma, on the CPU; torch.float16 halves them, which the paper does too."""
        return [_snapshot(net, sigma, self.nimg, dtype) for sigma, net in self.nets.items()]

    def keep(self, dtype: torch.dtype = torch.float32) -> None:
        """Add the averages as they stand to `snapshots`. Once in a twentieth of the run is plenty."""
        self.snapshots += self.snapshot(dtype)

    def reconstruct(self, sigma: float, *, nimg: int | None = None) -> nn.Module:
        """The network averaged at another length, as if it had been followed from the start.

        Args:
            sigma: the wanted length.
            nimg: the moment at which the average is wanted; None = the latest.

        Returns:
            A new network on the CPU, made of the kept snapshots and, where nimg is None, the averages as they stand.

        Raises:
            BadConfig: a sigma out of range.
            BadInput: no snapshot up to that moment.
        """
        latest = self.snapshot() if nimg is None else []
        stored = [each for each in self.snapshots if not latest or each.nimg != self.nimg]
        weights = reconstruct(stored + latest, sigma, nimg=nimg)
        net = _frozen_copy(self.net).cpu()
        net.load_state_dict(weights)
        return net

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; the kept snapshots are part of it."""
        return {
            "nimg": self.nimg,
            "nets": [net.state_dict() for net in self.nets.values()],
            "sigmas": list(self.nets),
            "snapshots": [dict(vars(each)) for each in self.snapshots],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            BadInput: the state is of other sigmas.
        """
        if list(state["sigmas"]) != list(self.nets):
            raise BadInput(f"this PowerEma has sigmas {list(self.nets)}, the state has {list(state['sigmas'])}.")
        for net, saved in zip(self.nets.values(), state["nets"], strict=True):
            net.load_state_dict(saved)
        self.snapshots = [Snapshot(**each) for each in state["snapshots"]]
        self.nimg = state["nimg"]


def reconstruct(snapshots: Sequence[Snapshot], sigma: float, *, nimg: int | None = None) -> dict[str, Tensor]:
    """A power-function average of any length, as the least-squares mix of stored ones.

    Args:
        snapshots: of one run, of one length or several; later than `nimg` are left aside.
        sigma: the wanted length.
        nimg: the wanted moment; None = that of the latest snapshot.

    Returns:
        A state_dict: parameters mixed, in float32; buffers from the latest snapshot.

    Raises:
        BadConfig: a sigma out of range.
        BadInput: no snapshot up to that moment.
    """
    moment = max((each.nimg for each in snapshots), default=0) if nimg is None else nimg
    usable = [each for each in snapshots if 0 < each.nimg <= moment]
    if not usable:
        raise BadInput(f"there are no snapshots up to image {moment} to average. PowerEma.keep() adds them.")
    shares = mix_coefficients([(each.sigma, each.nimg) for each in usable], sigma, moment)
    latest = max(usable, key=lambda each: each.nimg)
    return {name: _mix_weights(name, usable, shares) for name in latest.weights} | latest.buffers


def average_of_files(paths: Iterable[str | Path], sigma: float, *, kimg: float | None = None) -> Network:
    """Choose the length of the average after the run: a network mixed from saved power-function averages.

    Args:
        paths: files that `ganvas.save` wrote of the networks of a `PowerEma`, with trained_kimg among their facts; a
            run of `ganvas train` with averages of this kind has them in its folder `snapshots`.
        sigma: the wanted length, above 0 and below 0.2887.
        kimg: the wanted moment; None = that of the latest file.

    Returns:
        The network, in eval mode on the CPU.

    Raises:
        BadConfig: a sigma out of range.
        BadInput: files of something else or of different networks, or none.
        WeightsError: a file that cannot be read.
    """
    nets: list[Network] = [load(path) for path in paths]
    snapshots = [_of_file(net) for net in nets]
    if len({str(net.config) for net in nets}) > 1:
        raise BadInput("snapshots must be from one run: these files have different networks.")
    weights = reconstruct(snapshots, sigma, nimg=None if kimg is None else round(kimg * 1000))
    mixed = max(nets, key=lambda net: net.facts["trained_kimg"])
    mixed.load_state_dict(weights)
    mixed.facts["power_sigma"] = sigma
    return mixed


def _of_file(net: Network) -> Snapshot:
    sigma, kimg = net.facts.get("power_sigma"), net.facts.get("trained_kimg")
    if not isinstance(sigma, float) or not isinstance(kimg, int | float):
        raise BadInput(
            f"{net.facts.get('file', 'a file')} is not a power-function EMA: its facts lack power_sigma "
            "or trained_kimg, which files of PowerEma's networks have."
        )
    return _snapshot(net, sigma, round(kimg * 1000), torch.float32)


def mix_coefficients(stored: Sequence[tuple[float, float]], sigma: float, nimg: float) -> np.ndarray:
    """How much of each stored average goes into the wanted one: float64, as many as `stored`.

    The profiles p_i(τ) = (γ_i + 1)·τ^γ_i / t_i^(γ_i + 1) on [0, t_i] are functions with known inner products, so the
    mix nearest to the wanted profile solves ⟨p_i, p_j⟩·x = ⟨p_i, p⟩ (appendix C.3 of the paper). Here under the
    condition that the shares add up to 1, so that a weight that never moved stays what it is.

    Args:
        stored: (sigma, nimg) of each.
        sigma, nimg: the wanted length and moment.
    """
    exponents = np.array([gamma_of(each) for each, _ in stored])
    moments = np.array([moment for _, moment in stored], dtype=np.float64) / nimg  # shares of the run
    inner = _inner(exponents[:, None], moments[:, None], exponents[None], moments[None])
    wanted = _inner(exponents, moments, np.float64(gamma_of(sigma)), np.float64(1))
    ones = np.ones((len(stored), 1))
    system = np.block([[inner, ones], [ones.T, np.zeros((1, 1))]])  # with Lagrange's multiplier as the last unknown
    return np.linalg.lstsq(system, np.append(wanted, 1), rcond=1e-12)[0][:-1]


def gamma_of(sigma: float) -> float:
    """The exponent γ whose profile has this relative standard deviation: (γ+1)/((γ+2)²(γ+3)) = σ².

    Raises:
        BadConfig: sigma is not above 0 and below 0.2887.
    """
    if not 0 < sigma < MAX_SIGMA:
        raise BadConfig(f"a power-function average has 0 < sigma < {MAX_SIGMA:.4f}, got {sigma}")
    low, high = 0.0, MAX_GAMMA
    for _ in range(80):  # the left side falls steadily for γ > 0: bisect to the last bit
        middle = (low + high) / 2
        wide = (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > sigma**2
        low, high = (middle, high) if wide else (low, middle)
    return (low + high) / 2


def _inner(gamma_a: np.ndarray, t_a: np.ndarray, gamma_b: np.ndarray, t_b: np.ndarray) -> np.ndarray:
    """∫ p_a·p_b over time, in logarithms, since t^γ overflows."""
    total = gamma_a + gamma_b + 1
    log = total * np.log(np.minimum(t_a, t_b)) - (gamma_a + 1) * np.log(t_a) - (gamma_b + 1) * np.log(t_b)
    return (gamma_a + 1) * (gamma_b + 1) / total * np.exp(log)


def _mix_weights(name: str, snapshots: Sequence[Snapshot], shares: np.ndarray) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)  # shares are large and of both signs: float32 would drift
    for share, each in zip(shares, snapshots, strict=True):
        total = total + each.weights[name].double() * float(share)
    return total.float()


def _snapshot(net: nn.Module, sigma: float, nimg: int, dtype: torch.dtype) -> Snapshot:
    parameters = {name for name, _ in net.named_parameters()}
    weights, buffers = {}, {}
    for name, value in net.state_dict().items():
        if name in parameters:
            weights[name] = value.detach().to("cpu", dtype, copy=True)
        else:
            buffers[name] = value.detach().to("cpu", copy=True)
    return Snapshot(sigma=sigma, nimg=nimg, weights=weights, buffers=buffers)


def _frozen_copy(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).eval().requires_grad_(False)


@torch.no_grad()
def _lerp_towards(average: nn.Module, net: nn.Module, share: float) -> None:
    """Move every parameter by `share` of the way to the network's; copy the buffers."""
    mine: list[Tensor] = list(average.parameters())
    its = list(net.parameters())
    if [p.shape for p in mine] != [p.shape for p in its]:
        raise BadInput("the parameters of this network differ from those of the network that is averaged.")
    torch._foreach_lerp_(mine, [p.detach().to(q) for p, q in zip(its, mine, strict=True)], share)
    for buffer, latest in zip(average.buffers(), net.buffers(), strict=True):
        buffer.copy_(latest)
