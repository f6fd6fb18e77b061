"""ganvas evaluate: metrics of a generator, with their protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.generator_options import ModelOption, PrecisionOption, open_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ganvas.metrics.feature_extractor import FeatureExtractor
    from ganvas.metrics.result import MetricResult

MAX_DEFAULT_IMAGES = 10_000  # pictures that are looked at where nobody says how many: about three minutes on two cores

MAX_DEFAULT_PX = 256  # the network looks at 224 px: larger pictures only cost time


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder or zip of real images.")],
    model: ModelOption = "faces",
    metrics: Annotated[
        str,
        typer.Option(
            help="Comma-separated: fd (Fréchet distance; FID on Inception), kid (kernel distance), pr (precision, "
            "recall, density, coverage), is (Inception score), ppl (path length); without a network: copies (of the "
            "data), msssim (variety), swd (textures)."
        ),
    ] = "fd",
    features: Annotated[
        str,
        typer.Option(help="Feature network: efficientnet-lite0, FID's Inception as a FILE, or any .onnx network."),
    ] = "efficientnet-lite0",
    num: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of fake images, and at most as many real ones (default: as many as real ones, at "
            f"most {MAX_DEFAULT_IMAGES:,}).",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=8, help=f"Size at which both are compared (default: the generator's, at most {MAX_DEFAULT_PX})."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels of the data, for conditional generators: folders, or FILE.csv:COLUMN.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the latents and the choice of real images.")] = 0,
    precision: PrecisionOption = "exact",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the metrics as JSON.")] = None,
    nearest: Annotated[
        Path | None, typer.Option(help="Also write a sheet of fakes beside the training images nearest to them.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with the JSON of an earlier measurement of the same protocol.")
    ] = None,
) -> None:
    """Compare a generator with data. Only compare values measured with the same protocol.

    Example: [bold]ganvas evaluate --model faces --data photos --metrics fd,kid,pr --num 5000[/bold]
    """
    wanted = _parse_metrics(metrics)
    _check_features(features)
    _check_output(output)
    _check_output(nearest)

    from ganvas.datasets.image_dataset import open_image_dataset
    from ganvas.metrics.compare import compare_lines, read_figures
    from ganvas.metrics.evaluate import FEATURE_METRICS, evaluate as measured
    from ganvas.ops.home import home

    earlier = None if against is None else read_figures(against)
    G = open_generator(model)
    looks = nearest is not None or bool(set(wanted) & set(FEATURE_METRICS))
    extractor = _load_extractor(features, precision) if looks else None
    with ProgressBar("reading the data") as progress:
        pictures = open_image_dataset(
            data,
            resolution=resolution or min(G.img_resolution, MAX_DEFAULT_PX),
            channels=G.img_channels,
            labels=labels,
            on_step=progress.step,
        )
    for line in pictures.report:
        typer.echo(line)
    num = min(len(pictures), MAX_DEFAULT_IMAGES) if num is None else num
    with _StageProgress() as stages:
        results = measured(
            G,
            pictures,
            metrics=wanted,
            num=num,
            seed=seed,
            extractor=extractor,
            cache=home() / "statistics",
            on_step=stages.step,
        )
    for line in _format_results(results):
        typer.echo(line)
    for line in [] if earlier is None else compare_lines(results, earlier):
        typer.echo(line)
    if nearest is not None:
        _write_nearest(G, pictures, nearest, num=num, seed=seed, extractor=extractor)
    if output is not None:
        _write_json(results, model, output)


class _StageProgress:
    """A progress bar a stage: looking at the data, making pictures, walking."""

    def __init__(self) -> None:
        self._stage, self._bar = "", ProgressBar("")

    def __enter__(self) -> _StageProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stage:
            self._bar.__exit__(*error)

    def step(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self.__exit__(None, None, None)
            self._stage, self._bar = stage, ProgressBar(stage)
            self._bar.__enter__()
        self._bar.step(done, total)


def _parse_metrics(metrics: str) -> list[str]:
    """`fd,kid` → ["fd", "kid"].

    Raises:
        typer.BadParameter: an unknown name, or none; exit status 2.
    """
    known = (
        "fd",
        "kid",
        "pr",
        "is",
        "ppl",
        "copies",
        "msssim",
        "swd",
    )  # METRICS, which cannot be imported before torch may be
    names = [name.strip() for name in metrics.split(",")]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"--metrics takes a comma-separated list of {', '.join(known)}; got {name!r}")
    return names


def _check_features(features: str) -> None:
    if features == "inception":
        raise typer.BadParameter(
            "--features inception: FID needs the original Inception weights, which ganvas may not download for you. "
            "Give their file: --features pt_inception-2015-12-05-6726825d.pth. Or use efficientnet-lite0: its metrics "
            "are named after it and are comparable with each other, not with published FIDs"
        )
    if features != "efficientnet-lite0" and not Path(features).is_file():
        raise typer.BadParameter(
            "--features takes efficientnet-lite0, a file of its weights or of FID's Inception, or an .onnx network; "
            f"got {features!r}"
        )


def _check_output(output: Path | None) -> None:
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"--output: there is no folder {str(output.parent)!r}")


def _load_extractor(features: str, precision: str) -> FeatureExtractor:
    from ganvas.metrics.open_extractor import open_extractor

    return open_extractor(features, precision=precision)


def _write_nearest(G: Any, pictures: Any, path: Path, **options: Any) -> None:
    from ganvas.images.files import write_image
    from ganvas.metrics.nearest import draw_nearest

    with ProgressBar("looking for the nearest training images") as progress:
        sheet = draw_nearest(G, pictures, **options, on_step=progress.step)
    write_image(sheet, path)
    typer.echo(f"the fakes nearest to the data (left) and their neighbours: {path}")


def _format_results(results: Sequence[MetricResult]) -> Iterator[str]:
    """One line per metric; what several have in common is printed once, below."""
    for result in results:
        yield result.short_line()
    for text, names in _group_by_text(results, lambda result: (result.protocol.line(),)).items():
        yield f"measured on {text}" + (f" ({', '.join(names)})" if len(names) < len(results) else "")
    for text, names in _group_by_text(results, lambda result: result.cautions).items():
        yield f"note on {', '.join(names)}: {text}"


def _group_by_text(
    results: Sequence[MetricResult], texts: Callable[[MetricResult], Sequence[str]]
) -> dict[str, list[str]]:
    """Text → the names of the metrics that it belongs to."""
    grouped: dict[str, list[str]] = {}
    for result in results:
        for text in texts(result):
            grouped.setdefault(text, []).append(result.name)
    return grouped


def _write_json(results: Sequence[MetricResult], model: str, output: Path) -> None:
    import json

    from ganvas import __version__
    from ganvas.weights.checkpoint import write_atomically

    facts: dict[str, Any] = {"model": model, "ganvas": __version__, "figures": [result.to_dict() for result in results]}
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    write_atomically(output, lambda part: Path(part).write_text(text + "\n", encoding="utf-8"))
    typer.echo(f"metrics: {output}")
