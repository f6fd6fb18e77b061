"""Several metrics of one generator in one pass: every image is generated, read and embedded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.metrics import kid as kernel, precision_recall as manifold
from ganvas.metrics.equivariance import MIN_IMAGES_EQ, check_movable, measure_equivariance
from ganvas.metrics.feature_extractor import DatasetLike, FeatureExtractor, choose_indices, fake_features, real_features
from ganvas.metrics.frechet import MIN_IMAGES_FD, Statistics, fd_effnet, frechet_result, real_statistics
from ganvas.metrics.inception_score import IS_SPLITS, MIN_IMAGES_IS, inception_score
from ganvas.metrics.names import EQUIVARIANCE_METRICS, FEATURE_METRICS, METRICS, PIXEL_METRICS
from ganvas.metrics.pixel_metrics import MIN_IMAGES_OF_PIXELS, measure_pixels
from ganvas.metrics.ppl import MIN_PATHS_PPL as FEWEST_PLACES, ppl
from ganvas.metrics.result import MetricResult, Protocol

MIN_IMAGES_OF = {
    "fd": MIN_IMAGES_FD,
    "kid": kernel.MIN_IMAGES_KID,
    "pr": manifold.MIN_IMAGES_PR,
    "is": MIN_IMAGES_IS,
    "ppl": FEWEST_PLACES,
    **MIN_IMAGES_OF_PIXELS,
    **dict.fromkeys(EQUIVARIANCE_METRICS, MIN_IMAGES_EQ),
}

OnStageStep = Callable[
    [str, int, int], object
]  # (what is being done, pictures done, pictures in all); may raise Stopped


def evaluate(
    G: Any,
    pictures: DatasetLike,
    *,
    metrics: Sequence[str] = ("fd",),
    num: int,
    seed: int = 0,
    extractor: FeatureExtractor | None,
    cache: Path | None = None,
    real: Tensor | None = None,
    on_step: OnStageStep | None = None,
) -> list[MetricResult]:
    """Measure a generator against data.

    Args:
        G: the generator.
        pictures: the data, at the generator's resolution or below it; larger fakes are then shrunk as photos are.
        metrics: any of `METRICS`.
        num: fake pictures (for ppl and equivariance: places), and at most as many real ones.
        seed: of the latents, and of the choice of real pictures.
        extractor: `efficientnet_extractor()`; None where no metric of `FEATURE_METRICS` is asked for.
        cache: a folder for the data's statistics; used where fd is measured without kid and pr.
        real: the data's features [N, F], of an earlier measurement with the same num, seed and extractor.
        on_step: called as (stage, done, total).

    Returns:
        The results, in the order of `metrics`; "pr" gives four.

    Raises:
        BadConfig: an unknown metric; too few pictures for one that was asked for; see `check_metrics`.
    """
    check_metrics(G, pictures, metrics, num=num, seed=seed, extractor=extractor)
    results: dict[str, list[MetricResult]] = {}
    of_pixels, of_moves = (
        [name for name in names if name in metrics] for names in (PIXEL_METRICS, EQUIVARIANCE_METRICS)
    )
    if of_pixels:
        progress = _stage(on_step, "making pictures to compare pixels")
        results |= measure_pixels(G, pictures, of_pixels, num=num, seed=seed, on_step=progress)
    if of_moves:
        progress = _stage(on_step, "moving pictures")
        results |= measure_equivariance(G, of_moves, num=num, seed=seed, pictures=pictures, on_step=progress)
    if extractor is not None and set(metrics) & set(FEATURE_METRICS):
        results |= _with_features(G, pictures, metrics, num, seed, extractor, cache, real, on_step)
    return [result for metric in dict.fromkeys(metrics) for result in results[metric]]


def check_metrics(
    G: Any, pictures: DatasetLike, metrics: Sequence[str], *, num: int, seed: int, extractor: FeatureExtractor | None
) -> None:
    """Can these metrics be measured of this generator against these pictures? Arguments as for `evaluate`.

    Raises:
        BadConfig: they cannot; says why.
    """
    for metric in metrics:
        check_known(metric, METRICS, what="metric")
    of_features = [metric for metric in metrics if metric in FEATURE_METRICS]
    if of_features and extractor is None:
        raise BadConfig(f"{', '.join(of_features)} need a feature network: pass extractor=efficientnet_extractor()")
    if "is" in metrics and not (extractor and extractor.inception):
        raise BadConfig("the Inception score needs FID's network: give its file with --features (see docs/evaluate.md)")
    if set(metrics) & set(EQUIVARIANCE_METRICS):
        check_movable(G)
    _check_counts(metrics, len(choose_indices(len(pictures), num, seed)), num)
    _check_sizes(G, pictures)


def _with_features(
    G: Any,
    pictures: DatasetLike,
    metrics: Sequence[str],
    num: int,
    seed: int,
    extractor: FeatureExtractor,
    cache: Path | None,
    real: Tensor | None,
    on_step: OnStageStep | None,
) -> dict[str, list[MetricResult]]:
    results: dict[str, list[MetricResult]] = {}
    if {"kid", "pr", "is"} & set(metrics) or (real is not None and "fd" in metrics):
        results |= _feature_metrics(G, pictures, metrics, num, seed, extractor, real, on_step)
    elif "fd" in metrics:
        progress = _stage(on_step, "looking at the data")
        reference = real_statistics(pictures, num=num, seed=seed, extractor=extractor, cache=cache, on_step=progress)
        progress = _stage(on_step, "making pictures")
        results["fd"] = [
            fd_effnet(G, pictures, num=num, seed=seed, extractor=extractor, reference=reference, on_step=progress)
        ]
    if "ppl" in metrics:
        progress = _stage(on_step, "walking")
        results["ppl"] = [ppl(G, num=num, seed=seed, extractor=extractor, pictures=pictures, on_step=progress)]
    return results


def _check_counts(metrics: Sequence[str], real: int, fake: int) -> None:
    without_data = ("ppl", *EQUIVARIANCE_METRICS)
    for metric in metrics:
        fewest, count = MIN_IMAGES_OF[metric], fake if metric in without_data else min(real, fake)
        if count < fewest:
            raise BadConfig(
                f"{metric} needs at least {fewest} images on either side, got {real} real and {fake} "
                "fake: with fewer, the value depends more on the counts than on the generator"
            )


def _check_sizes(G: Any, pictures: Any) -> None:
    size, channels = getattr(pictures, "img_resolution", 1), getattr(pictures, "img_channels", G.img_channels)
    if size > G.img_resolution or channels != G.img_channels:
        raise BadConfig(
            f"the generator's images have {G.img_resolution} px and {G.img_channels} channels, the data "
            f"was opened with {size} px and {channels} channels. Open it with "
            f"resolution={G.img_resolution} or less, channels={G.img_channels}."
        )


def _stage(on_step: OnStageStep | None, stage: str) -> Callable[[int, int], object] | None:
    return None if on_step is None else lambda done, total: on_step(stage, done, total)


def _feature_metrics(
    G: Any,
    pictures: DatasetLike,
    metrics: Sequence[str],
    num: int,
    seed: int,
    extractor: FeatureExtractor,
    real: Tensor | None,
    on_step: OnStageStep | None,
) -> dict[str, list[MetricResult]]:
    if real is None:
        progress = _stage(on_step, "looking at the data")
        real = torch.cat(list(real_features(pictures, num=num, seed=seed, extractor=extractor, on_step=progress)))
    progress = _stage(on_step, "making pictures")
    fake = torch.cat(
        list(fake_features(G, num=num, seed=seed, extractor=extractor, pictures=pictures, on_step=progress))
    )
    protocol = extractor.protocol(real=len(real), fake=len(fake), seed=seed, pictures=pictures)
    results: dict[str, list[MetricResult]] = {}
    if "fd" in metrics:
        reference, fake_statistics = Statistics.of([real], halves=True), Statistics.of([fake])
        results["fd"] = [frechet_result(reference, fake_statistics, extractor=extractor, seed=seed, pictures=pictures)]
    if "kid" in metrics:
        results["kid"] = [_kid_result(real, fake, protocol, extractor)]
    if "is" in metrics:
        results["is"] = [_inception_result(fake, extractor, protocol)]
    if "pr" in metrics:
        results["pr"] = _manifold_results(real, fake, protocol, extractor.short)
    return results


def _inception_result(fake: Tensor, extractor: FeatureExtractor, protocol: Protocol) -> MetricResult:
    value, spread = inception_score(extractor.network.classify(fake))
    return MetricResult(
        name="IS",
        value=value,
        spread=spread,
        better="higher",
        protocol=replace(
            protocol, real=0, data=None, data_filter=None, details=f"{IS_SPLITS} splits, ± their deviation"
        ),
        cautions=("the Inception score looks at no real image: it measures ImageNet's classes in the fakes",),
    )


def _kid_result(real: Tensor, fake: Tensor, protocol: Protocol, extractor: FeatureExtractor) -> MetricResult:
    value, spread = kernel.kid(real, fake, seed=protocol.seed)
    size = min(kernel.SUBSET_SIZE, len(real) // 2, len(fake) // 2)
    details = f"cubic kernel, {kernel.SUBSETS} subsets of {size}, ± their standard deviation"
    return MetricResult(
        name="KID" if extractor.inception else f"KID-{extractor.short}",
        value=value,
        spread=spread,
        floor=0.0,
        protocol=replace(protocol, details=details),
        cautions=() if extractor.inception else ("not the published KID, which uses Inception features",),
    )


def _manifold_results(real: Tensor, fake: Tensor, protocol: Protocol, short: str) -> list[MetricResult]:
    precision, recall = manifold.precision_recall(real, fake)
    density, coverage = manifold.density_coverage(real, fake)
    few_caution = ("biased upward with few images",) if min(len(real), len(fake)) < 10_000 else ()
    max_coverage = manifold.expected_coverage(len(real), len(fake))

    def result(name: str, value: float, k: int, floor: float | None, cautions: tuple[str, ...]) -> MetricResult:
        with_details = replace(protocol, details=f"k = {k}")
        return MetricResult(
            name=f"{name}-{short}", value=value, better="higher", floor=floor, protocol=with_details, cautions=cautions
        )

    return [
        result("precision", precision, manifold.PR_NEIGHBOURS, None, few_caution),
        result("recall", recall, manifold.PR_NEIGHBOURS, None, few_caution),
        result("density", density, manifold.DENSITY_NEIGHBOURS, 1.0, ()),
        result("coverage", coverage, manifold.DENSITY_NEIGHBOURS, max_coverage, ()),
    ]
