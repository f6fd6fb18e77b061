"""A small search for the settings that suit one's own pictures: every trial has the same small budget.

What is learnt early says most about what is learnt late, not everything: the search ranks settings after some thousand
pictures, and ends in a preset file to train with in earnest. Proposals come from Optuna (extra [tune]), by the
tree-structured estimator of Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; the first trial is the
preset as it stands, so that nothing is recommended that did not beat it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig, FetchError, GanvasError, MissingExtra, WeightsError
from ganvas.metrics.feature_extractor import efficientnet_extractor
from ganvas.metrics.frechet import MIN_IMAGES_FD, fd_effnet, real_statistics
from ganvas.training.engine.loop import OnTrainStep
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.presets import write_preset
from ganvas.training.generator.train import train

LR_REACH, GAMMA_REACH = 4.0, 10.0  # how far from the preset's values trials may go, up and down
NUM_FAKES = 1000  # for each trial's distance
AUGMENTATIONS = ("ada", "diffaug")
MIN_TRIALS = 3

GeneratorMetric = Callable[[Any], float]  # a generator → its distance, smaller is better


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting and what came of it."""

    number: int
    settings: dict[str, Any]
    fd: float | None  # None: it failed; `words` say how
    kimg: float
    minutes: float
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """What a search has found."""

    config: TrainConfig  # the preset with the best trial's settings, and its own budget
    best: Trial
    trials: tuple[Trial, ...]
    path: Path | None  # of the preset file


def tune(
    pictures: Any,
    *,
    start: TrainConfig,
    minutes: float,
    trials: int = 8,
    folder: Path | None = None,
    base: str = "",
    metric: GeneratorMetric | None = None,
    on_trial: Callable[[Trial], object] | None = None,
    on_step: OnTrainStep | None = None,
    device: str = "auto",
) -> TuneResult:
    """Look for better learning rates, penalty and augmentation than a preset's.

    Args:
        pictures: `ImageDataset`.
        start: the preset; its other settings stay.
        minutes: for the whole search. The first trial gets its share of them; the others see as many pictures as that.
        trials: how many settings are tried.
        folder: gets trials.jsonl and tuned.json, which `ganvas train --preset` takes; None = nothing is written.
        base: the preset's name, for the file.
        metric: a generator → a number to make small; None = FD-EffNet.
        on_trial: called after every trial.
        on_step: called after every step of every trial.
        device: as `train`.

    Returns:
        The best of the trials; Ctrl-C ends the search early.

    Raises:
        MissingExtra: Optuna is not installed.
        BadConfig: too few trials or too little time, or no network to judge with.
        GanvasError: not one trial has come to an end.
    """
    if trials < MIN_TRIALS or minutes <= 0:
        raise BadConfig(f"tune needs {MIN_TRIALS} or more trials and more than 0 minutes, got {trials} and {minutes}")
    study, metric = _study(trials, start.seed), metric or make_fd_metric(pictures, device)
    end = time.monotonic() + 60 * minutes
    done: list[Trial] = []
    kimg, stopped = start.total_kimg, False
    while len(done) < trials and not stopped and time.monotonic() < end:
        # Propose.
        proposal = study.ask()
        settings = _suggest_settings(proposal, start)

        # Train.
        left = (end - time.monotonic()) / 60
        share = minutes / trials if not done else left
        config = replace(start, **settings, total_kimg=kimg, minutes=min(share, left), metrics="none")
        trial, stopped = _run_trial(len(done), settings, config, pictures, metric, on_step, device)

        # Learn from it.
        done.append(trial)
        _report_trial(study, proposal, trial)
        _log_trial(trial, folder)
        if on_trial is not None:
            on_trial(trial)
        if len(done) == 1 and trial.kimg > 0:
            kimg = trial.kimg
    return _best_result(start, done, kimg, folder, base)


def _study(trials: int, seed: int) -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("ganvas tune", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(trials // 2, 2))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.enqueue_trial({"g_lr": 1.0, "d_lr": 1.0, "gamma": 1.0, "augment": "as it is"})
    return study


def _suggest_settings(proposal: Any, start: TrainConfig) -> dict[str, Any]:
    """Settings as Optuna proposes them: factors on the preset's values, so that one search fits all presets."""
    g_lr = proposal.suggest_float("g_lr", 1 / LR_REACH, LR_REACH, log=True)
    d_lr = proposal.suggest_float("d_lr", 1 / LR_REACH, LR_REACH, log=True)
    settings: dict[str, Any] = {"g_lr": start.g_lr * g_lr, "d_lr": start.d_lr * d_lr}
    if start.r1_gamma > 0 or start.r2_gamma > 0:
        gamma = proposal.suggest_float("gamma", 1 / GAMMA_REACH, GAMMA_REACH, log=True)
        settings |= {"r1_gamma": start.r1_gamma * gamma, "r2_gamma": start.r2_gamma * gamma}
        if start.gamma_end is not None:
            settings["gamma_end"] = start.gamma_end * gamma
    others = [name for name in AUGMENTATIONS if name != start.augment and not (name == "ada" and start.loss == "wgan")]
    augment = proposal.suggest_categorical("augment", ["as it is", *others])
    return settings if augment == "as it is" else {**settings, "augment": augment}


def _run_trial(
    number: int,
    settings: dict[str, Any],
    config: TrainConfig,
    pictures: Any,
    metric: GeneratorMetric,
    on_step: OnTrainStep | None,
    device: str,
) -> tuple[Trial, bool]:
    """Train and evaluate; returns the trial, and whether a stop was requested."""
    began = time.monotonic()

    def trial(fd: float | None, kimg: float, words: str = "") -> Trial:
        minutes = (time.monotonic() - began) / 60
        return Trial(number=number, settings=settings, fd=fd, kimg=kimg, minutes=round(minutes, 2), words=words)

    try:
        result = train(pictures, config=config, on_step=on_step, device=device)
        if not result.finished:
            return trial(None, result.nimg / 1000, "stopped by request"), True
        if result.nimg < 1000 * config.total_kimg and number > 0:
            return trial(None, result.nimg / 1000, "out of time"), False
        return trial(metric(result.generator), result.nimg / 1000), False
    except GanvasError as error:
        return trial(None, 0.0, str(error)), False


def _report_trial(study: Any, proposal: Any, trial: Trial) -> None:
    from optuna.trial import TrialState

    if trial.fd is None:
        study.tell(proposal, state=TrialState.FAIL)
    else:
        study.tell(proposal, trial.fd)


def _log_trial(trial: Trial, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "trials.jsonl").open("w" if trial.number == 0 else "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")


def _best_result(start: TrainConfig, done: list[Trial], kimg: float, folder: Path | None, base: str) -> TuneResult:
    ranked = [trial for trial in done if trial.fd is not None]
    if not ranked:
        reasons = "; ".join(f"trial {trial.number}: {trial.words}" for trial in done)
        raise GanvasError(f"no trial was completed: {reasons}. Allow more --minutes.")
    best = min(ranked, key=lambda trial: trial.fd or 0.0)
    config = replace(start, **best.settings)
    path = None
    if folder is not None:
        path = folder / "tuned.json"
        record = {
            "fd": best.fd,
            "kimg": kimg,
            "trials": len(ranked),
            "preset_fd": ranked[0].fd if ranked[0].number == 0 else None,
        }
        write_preset(config, path, base=base, found=record)
    return TuneResult(config=config, best=best, trials=tuple(done), path=path)


def make_fd_metric(pictures: Any, device: str = "auto") -> GeneratorMetric:
    """FD-EffNet to these pictures, of the same protocol for all trials.

    Raises:
        BadConfig: too few pictures, or the feature network is not on this computer; says what to do.
    """
    from ganvas.training.engine.distributed import init_distributed

    place = init_distributed(device).device
    try:
        extractor = efficientnet_extractor(precision="fast", device=place)
    except (FetchError, WeightsError) as error:
        raise BadConfig(f"tune ranks trials by Fréchet distance and needs a feature network: {error}") from error
    num = max(NUM_FAKES, MIN_IMAGES_FD)
    reference = real_statistics(pictures, num=min(num, len(pictures)), seed=0, extractor=extractor)

    def metric(G: Any) -> float:
        return fd_effnet(G, pictures, num=num, seed=0, extractor=extractor, reference=reference).value

    return metric
