"""The watchdog: detects that a run is failing, and has one remedy for each kind of failure.

It looks at one line of metrics every tick (`HealthMetrics`) and needs several bad ticks in a row before it speaks,
because a GAN's losses jump. Its thresholds come from planted failures (tests/training/engine/test_watchdog.py). What
follows from a finding is decided in the loop: step back to the last good state and go on with the remedy, once; the
second time, stop.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Trouble = Literal["nan", "exploding", "no_start", "collapse", "d_wins", "overfitting", "leaking"]

TICKS_IN_A_ROW = {"nan": 1, "exploding": 2, "no_start": 3, "collapse": 3, "d_wins": 5, "overfitting": 8, "leaking": 3}
RUN_ENDING = frozenset({"no_start"})  # there is nothing to go back to, and no remedy that was tried helped
STEPS_BACK = frozenset({"nan", "exploding", "collapse", "d_wins"})  # the others only need another course from here
MAX_BAD_SHARE = 0.25  # of a tick's steps with a gradient that is not finite; a rare one is cleaned and forgotten
EXPLODING_NORM_RATIO = 1000.0  # times the median gradient norm of the ticks before
COLLAPSE_DIVERSITY = 0.12  # of the real pictures' diversity; of a generator that has done better
COLLAPSE_SHARE_OF_BEST = 0.35  # of the best diversity so far
MIN_BEST_DIVERSITY = 0.3  # a generator that was never as diverse as this has nothing to lose yet
NO_START_DIVERSITY, NO_START_STEPS = 0.05, 5000  # so little variety after so many steps will not grow any more …
DULLER_KIMG, DULLER_STEPS = 20.0, 150  # … nor when it is less, after so long, than it was in the first minutes:
DULLER_SHARE, DULLER_SPAN_KIMG = 0.7, 5.0  # the mean of the last so many kimg as a share of that of the first
MIN_D_LOSS_SHARE = 0.02  # D's loss as a share of what it would have without a clue
OVERFIT_SIGN_REAL = 0.95  # mean sign of D on real pictures, from -1 to 1
WARM_UP_KIMG, WARM_UP_STEPS = 5.0, 500  # a young generator's pictures are all alike, and easily told
NORM_HISTORY_TICKS = 50  # ticks


@dataclass(frozen=True, kw_only=True)
class HealthMetrics:
    """The metrics of one tick."""

    kimg: float
    steps: int
    bad_share: float = 0.0  # steps with a gradient, or a loss, that was not finite
    finite_weights: bool = True
    loss_D: float = 1.0
    chance_loss_D: float = 0.0  # the loss of a discriminator that always says 0; 0 = its scale means nothing
    sign_real: float = 0.0
    diversity: float = 1.0  # of fakes of fixed latents, relative to real pictures
    grad_norm_D: float = 0.0
    grad_norm_G: float = 0.0
    p: float = 0.0
    p_max: float = 1.0  # 0 = no augmentation at all
    leaking: bool = False

    @property
    def is_warming_up(self) -> bool:
        """Is it too early to judge?"""
        return self.kimg < WARM_UP_KIMG or self.steps < WARM_UP_STEPS


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What is changed about a run, as factors on what its config says."""

    lr: float = 1.0
    d_lr: float = 1.0
    gamma: float = 1.0
    p_max: float = 1.0

    def then(self, other: Remedy) -> Remedy:
        """Both, one after the other."""
        mine, theirs = asdict(self), asdict(other)
        return Remedy(**{name: mine[name] * theirs[name] for name in mine})

    def words(self) -> str:
        """What it changes, for people."""
        names = {"lr": "both learning rates", "d_lr": "the discriminator's learning rate"}
        names |= {"gamma": "the gradient penalties", "p_max": "the maximum augmentation"}
        changed = [f"{names[name]} times {value:g}" for name, value in asdict(self).items() if value != 1]
        return " and ".join(changed) or "nothing"


REMEDIES: dict[str, Remedy] = {
    "nan": Remedy(lr=0.5),
    "exploding": Remedy(lr=0.5),
    "collapse": Remedy(lr=0.5, gamma=2),
    "d_wins": Remedy(d_lr=0.5, gamma=2),
    "overfitting": Remedy(gamma=2),
    "leaking": Remedy(p_max=0.5),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong, in words that say what to do about it."""

    trouble: Trouble
    words: str

    def remedy(self, *, penalised: bool) -> Remedy:
        """What may help; where there is no gradient penalty to strengthen, a slower discriminator instead."""
        usual = REMEDIES.get(self.trouble, Remedy())
        return usual if penalised or usual.gamma == 1 else replace(usual, gamma=1, d_lr=usual.d_lr / 2)

    @property
    def ends_the_run(self) -> bool:
        """Is there nothing that could be saved?"""
        return self.trouble in RUN_ENDING

    @property
    def steps_back(self) -> bool:
        """Is what has been learnt since the last good state worthless?"""
        return self.trouble in STEPS_BACK


@dataclass
class Watchdog:
    """Looks at every tick; its memory is part of the state of a run."""

    streaks: dict[str, int] = field(default_factory=dict)
    best_diversity: float = 0.0
    norms: dict[str, deque[float]] = field(
        default_factory=lambda: {"D": deque(maxlen=NORM_HISTORY_TICKS), "G": deque(maxlen=NORM_HISTORY_TICKS)}
    )
    warned: list[str] = field(default_factory=list)
    first_diversities: list[float] = field(default_factory=list)  # of the first DULLER_SPAN_KIMG
    last_diversities: list[tuple[float, float]] = field(default_factory=list)  # (kimg, diversity), of the last

    @property
    def is_healthy(self) -> bool:
        """True where nothing is suspected: a state saved now is one to step back to."""
        return not any(self.streaks.values())

    def check(self, metrics: HealthMetrics) -> Finding | None:
        """One tick. The first trouble that has lasted long enough, or None."""
        self._remember_diversity(metrics)
        suspected = dict(self._suspicions(metrics))
        self.streaks = {name: self.streaks.get(name, 0) + 1 for name in suspected}
        self._remember(metrics)
        for name, words in suspected.items():
            if self.streaks[name] >= TICKS_IN_A_ROW[name]:
                self.streaks.pop(name)
                return Finding(trouble=name, words=words)  # type: ignore[arg-type]
        return None

    def _remember(self, metrics: HealthMetrics) -> None:
        if math.isfinite(metrics.diversity) and not metrics.is_warming_up:
            # A fresh network may be wilder than the data: more than the data's variety is no achievement.
            self.best_diversity = max(self.best_diversity, min(metrics.diversity, 1.0))
        for name, norm in (("D", metrics.grad_norm_D), ("G", metrics.grad_norm_G)):
            if math.isfinite(norm) and norm > 0 and "exploding" not in self.streaks:
                self.norms[name].append(norm)

    def _remember_diversity(self, v: HealthMetrics) -> None:
        if not math.isfinite(v.diversity):
            return
        if v.kimg <= DULLER_SPAN_KIMG:
            self.first_diversities.append(v.diversity)
        recent = [*self.last_diversities, (v.kimg, v.diversity)]
        self.last_diversities = [each for each in recent if each[0] > v.kimg - DULLER_SPAN_KIMG]

    def _check_start(self, v: HealthMetrics) -> str:
        """Has a generator that never had variety less of it now than in its first minutes?"""
        if v.kimg < DULLER_KIMG or v.steps < DULLER_STEPS or not self.first_diversities:
            return ""
        last = statistics.fmean(diversity for _, diversity in self.last_diversities)
        first = statistics.fmean(self.first_diversities)
        if v.diversity >= NO_START_DIVERSITY or last >= min(NO_START_DIVERSITY, DULLER_SHARE * first):
            return ""
        return (
            f"the generator has collapsed (mode collapse) before it learnt anything: its images differ "
            f"{100 * v.diversity:.1f} % as much as real ones do, less than at the start"
        )

    def _suspicions(self, v: HealthMetrics) -> list[tuple[str, str]]:
        checks = (
            _not_finite(v),
            self._check_exploding(v),
            self._check_start(v),
            self._check_collapse(v),
            _d_wins(v),
            _overfits(v),
            _leaks(v),
        )
        names = ("nan", "exploding", "no_start", "collapse", "d_wins", "overfitting", "leaking")
        return [(name, words) for name, words in zip(names, checks, strict=True) if words]

    def _check_exploding(self, v: HealthMetrics) -> str:
        for name, norm in (("D", v.grad_norm_D), ("G", v.grad_norm_G)):
            past = self.norms[name]
            usual = statistics.median(past) if len(past) >= 3 else math.inf
            if norm > EXPLODING_NORM_RATIO * usual:
                return f"exploding gradients of {name}: norm {norm:.3g}, usually {usual:.3g}"
        return ""

    def _check_collapse(self, v: HealthMetrics) -> str:
        if v.is_warming_up:
            return ""
        fell = self.best_diversity >= MIN_BEST_DIVERSITY and v.diversity < max(
            COLLAPSE_DIVERSITY, COLLAPSE_SHARE_OF_BEST * self.best_diversity
        )
        if not fell and not (v.diversity < NO_START_DIVERSITY and v.steps >= NO_START_STEPS):
            return ""
        return (
            f"the generator has collapsed (mode collapse): its images differ {100 * v.diversity:.0f} % as much as real "
            f"ones do (best so far {100 * self.best_diversity:.0f} %)"
        )

    def inherit(self, other: Watchdog) -> None:
        """Keep what a watchdog knew that saw more of the run: what it had reached, and what was said already."""
        self.best_diversity = max(self.best_diversity, other.best_diversity)
        self.warned = list(other.warned)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the state file."""
        return {
            "streaks": dict(self.streaks),
            "best_diversity": self.best_diversity,
            "norms": {name: list(values) for name, values in self.norms.items()},
            "warned": list(self.warned),
            "first_diversities": list(self.first_diversities),
            "last_diversities": [list(each) for each in self.last_diversities],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.streaks, self.best_diversity = dict(state["streaks"]), state["best_diversity"]
        self.norms = {name: deque(values, maxlen=NORM_HISTORY_TICKS) for name, values in state["norms"].items()}
        self.warned = list(state["warned"])
        self.first_diversities = list(state.get("first_diversities", ()))  # not in states of older versions
        self.last_diversities = [(kimg, diversity) for kimg, diversity in state.get("last_diversities", ())]


def _not_finite(v: HealthMetrics) -> str:
    if not v.finite_weights:
        return "weights are not finite"
    if v.bad_share > MAX_BAD_SHARE or not math.isfinite(v.loss_D):
        return f"gradients were not finite in {100 * v.bad_share:.0f} % of the steps"
    return ""


def _d_wins(v: HealthMetrics) -> str:
    if v.chance_loss_D <= 0 or v.is_warming_up or not v.loss_D < MIN_D_LOSS_SHARE * v.chance_loss_D:
        return ""
    return (
        f"the discriminator wins outright: its loss is {v.loss_D:.3g}, {v.chance_loss_D:.3g} would be "
        "chance, so the generator gets little gradient"
    )


def _overfits(v: HealthMetrics) -> str:
    exhausted = v.p >= 0.99 * v.p_max  # ADA has done what it can; the others do it always, or never
    if not (v.sign_real > OVERFIT_SIGN_REAL and exhausted and not v.is_warming_up):
        return ""
    return (
        f"the discriminator has overfitted (it recognises {50 + 50 * v.sign_real:.1f} % of the real "
        f"images{', at the strongest augmentation' if v.p_max > 0 else ''}): more images would help "
        f"most{'' if v.p_max > 0 else ', then augment=ada'}"
    )


def _leaks(v: HealthMetrics) -> str:
    if not v.leaking:
        return ""
    return (
        f"augmentation has been at its limit (p = {v.p:.2f}) for long: the generator may learn rotated or "
        "recoloured images. Too few images for this size; check the sheet"
    )
