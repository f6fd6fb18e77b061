"""Several figures of one generator in one go: every picture is made, read and looked at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.checks import check_known
from ganvas.errors import BadConfig
from ganvas.metrics import kid as kernel, precision_recall as manifold
from ganvas.metrics.eyes import Eyes, Pictures, chosen, fake_features, real_features
from ganvas.metrics.figure import Figure, Protocol
from ganvas.metrics.frechet import FEWEST, Statistics, between, fd_effnet, real_statistics
from ganvas.metrics.ppl import FEWEST as FEWEST_PLACES, ppl

METRICS = ("fd", "kid", "pr", "ppl")
FEWEST_OF = {"fd": FEWEST, "kid": kernel.FEWEST, "pr": manifold.FEWEST, "ppl": FEWEST_PLACES}

OnStage = Callable[[str, int, int], object]  # (what is being done, pictures done, pictures in all); may raise Stopped


def evaluate(
    G: Any,
    pictures: Pictures,
    *,
    metrics: Sequence[str] = METRICS,
    num: int,
    seed: int = 0,
    eyes: Eyes,
    cache: Path | None = None,
    on_step: OnStage | None = None,
) -> list[Figure]:
    """Measure a generator against data.

    Args:
        G: the generator.
        pictures: the data, at the generator's resolution or below it; larger fakes are then shrunk as photos are.
        metrics: any of `METRICS`.
        num: fake pictures (for ppl: places), and at most as many real ones.
        seed: of the latents, and of the choice of real pictures.
        eyes: `efficientnet_eyes()`.
        cache: a folder for the data's statistics; used where fd is measured without kid and pr.
        on_step: called as (stage, done, total).

    Returns:
        The figures, in the order asked for; "pr" gives four.

    Raises:
        BadConfig: an unknown metric; too few pictures for one that was asked for.
    """
    for metric in metrics:
        check_known(metric, METRICS, what="metric")
    _check_counts(metrics, len(chosen(len(pictures), num, seed)), num)
    _check_sizes(G, pictures)
    made: dict[str, list[Figure]] = {}
    if {"kid", "pr"} & set(metrics):
        made |= _of_features(G, pictures, metrics, num, seed, eyes, on_step)
    elif "fd" in metrics:
        told = _stage(on_step, "looking at the data")
        reference = real_statistics(pictures, num=num, seed=seed, eyes=eyes, cache=cache, on_step=told)
        told = _stage(on_step, "making pictures")
        made["fd"] = [fd_effnet(G, pictures, num=num, seed=seed, eyes=eyes, reference=reference, on_step=told)]
    if "ppl" in metrics:
        told = _stage(on_step, "walking")
        made["ppl"] = [ppl(G, num=num, seed=seed, eyes=eyes, pictures=pictures, on_step=told)]
    return [figure for metric in dict.fromkeys(metrics) for figure in made[metric]]


def _check_counts(metrics: Sequence[str], real: int, fake: int) -> None:
    for metric in metrics:
        fewest, count = FEWEST_OF[metric], fake if metric == "ppl" else min(real, fake)
        if count < fewest:
            raise BadConfig(
                f"{metric} needs at least {fewest} pictures on either side, got {real} real and {fake} fake: with "
                "fewer, the number says more of the counts than of the generator"
            )


def _check_sizes(G: Any, pictures: Any) -> None:
    size, channels = getattr(pictures, "img_resolution", 1), getattr(pictures, "img_channels", G.img_channels)
    if size > G.img_resolution or channels != G.img_channels:
        raise BadConfig(
            f"the generator makes pictures of {G.img_resolution} px and {G.img_channels} channels, the data was opened "
            f"with {size} px and {channels} channels. Open it with resolution={G.img_resolution} or less, "
            f"channels={G.img_channels}."
        )


def _stage(on_step: OnStage | None, stage: str) -> Callable[[int, int], object] | None:
    return None if on_step is None else lambda done, total: on_step(stage, done, total)


def _of_features(
    G: Any,
    pictures: Pictures,
    metrics: Sequence[str],
    num: int,
    seed: int,
    eyes: Eyes,
    on_step: OnStage | None,
) -> dict[str, list[Figure]]:
    told = _stage(on_step, "looking at the data")
    real = torch.cat(list(real_features(pictures, num=num, seed=seed, eyes=eyes, on_step=told)))
    told = _stage(on_step, "making pictures")
    fake = torch.cat(list(fake_features(G, num=num, seed=seed, eyes=eyes, pictures=pictures, on_step=told)))
    protocol = eyes.protocol(real=len(real), fake=len(fake), seed=seed, pictures=pictures)
    made: dict[str, list[Figure]] = {}
    if "fd" in metrics:
        reference, found = Statistics.of([real], halves=True), Statistics.of([fake])
        made["fd"] = [between(reference, found, eyes=eyes, seed=seed, pictures=pictures)]
    if "kid" in metrics:
        made["kid"] = [_kid_figure(real, fake, protocol, eyes.short)]
    if "pr" in metrics:
        made["pr"] = _manifold_figures(real, fake, protocol, eyes.short)
    return made


def _kid_figure(real: Tensor, fake: Tensor, protocol: Protocol, short: str) -> Figure:
    value, spread = kernel.kid(real, fake, seed=protocol.seed)
    size = min(kernel.SUBSET_SIZE, len(real) // 2, len(fake) // 2)
    details = f"cubic kernel, {kernel.SUBSETS} subsets of {size}, ± their standard deviation"
    return Figure(
        name=f"KID-{short}",
        value=value,
        spread=spread,
        floor=0.0,
        protocol=replace(protocol, details=details),
        cautions=("not the published KID, which uses Inception features",),
    )


def _manifold_figures(real: Tensor, fake: Tensor, protocol: Protocol, short: str) -> list[Figure]:
    precision, recall = manifold.precision_recall(real, fake)
    density, coverage = manifold.density_coverage(real, fake)
    few = ("few pictures make large balls: this comes out too high",) if min(len(real), len(fake)) < 10_000 else ()
    most = manifold.expected_coverage(len(real), len(fake))

    def figure(name: str, value: float, k: int, floor: float | None, cautions: tuple[str, ...]) -> Figure:
        told = replace(protocol, details=f"k = {k}")
        return Figure(
            name=f"{name}-{short}", value=value, better="higher", floor=floor, protocol=told, cautions=cautions
        )

    return [
        figure("precision", precision, manifold.NEIGHBOUR, None, few),
        figure("recall", recall, manifold.NEIGHBOUR, None, few),
        figure("density", density, manifold.NEIGHBOUR_OF_DENSITY, 1.0, ()),
        figure("coverage", coverage, manifold.NEIGHBOUR_OF_DENSITY, most, ()),
    ]
