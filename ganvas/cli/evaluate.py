"""ganvas evaluate: metrics of a generator, with their protocol."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.evaluate_folders import (
    PageOption,
    check_parent,
    measure_edited,
    measure_inversion,
    measure_upscaling,
    write_figures,
)
from ganvas.cli.generator_options import ModelOption, PrecisionOption, open_generator
from ganvas.cli.parsing import require_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from ganvas.metrics.feature_extractor import FeatureExtractor
    from ganvas.metrics.result import MetricResult
    from ganvas.metrics.spectra import PowerSpectrum

MAX_DEFAULT_IMAGES = 10_000  # pictures that are looked at where nobody says how many: about three minutes on two cores

_ON_SHEET, _COLUMNS = 24, 8  # pictures of data and of fakes in a report
MAX_DEFAULT_PX = 256  # the network looks at 224 px: larger pictures only cost time


evaluate = typer.Typer(
    name="evaluate",
    help="Metrics of a generator, with their protocol; of inversions, edits and upscalers over folders.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate.command("inversion")(measure_inversion)
evaluate.command("edits")(measure_edited)
evaluate.command("upscaler")(measure_upscaling)


@evaluate.callback(invoke_without_command=True)
def evaluate_generator(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Folder or zip of real images.", show_default=False)] = None,
    model: ModelOption = "faces",
    metrics: Annotated[
        str,
        typer.Option(
            callback=require_metrics,
            help="Comma-separated: fd (Fréchet distance; FID on Inception), kid (kernel distance), pr (precision, "
            "recall, density, coverage), is (Inception score), ppl (path length); without a network: copies (of the "
            "data), msssim (variety), swd (textures), spectrum (frequencies); of StyleGAN3: eqt, eqt_frac, eqr "
            "(equivariance).",
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
    spectra: Annotated[
        Path | None,
        typer.Option(help="Also write the average power spectra of both as a picture, and beside it as a .csv table."),
    ] = None,
    report: PageOption = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with the JSON of an earlier measurement of the same protocol.")
    ] = None,
) -> None:
    """Compare a generator with data; or measure folders: inversion, edits, upscaler.

    Only compare values measured with the same protocol.

    Example: [bold]ganvas evaluate --model faces --data photos --metrics fd,kid,pr --num 5000[/bold]
    """
    if context.invoked_subcommand is not None:
        return
    if data is None:
        raise typer.BadParameter("no images to compare with: add --data DIR", param_hint="--data")
    _check_features(features)
    for option, path in {"output": output, "nearest": nearest, "spectra": spectra, "report": report}.items():
        check_parent(path, f"--{option}")

    from ganvas.datasets.image_dataset import open_image_dataset
    from ganvas.evaluation.report import write_metrics_page
    from ganvas.images.files import write_image
    from ganvas.metrics.compare import compare_lines, read_figures
    from ganvas.metrics.evaluate import evaluate as measured
    from ganvas.metrics.names import FEATURE_METRICS, parse_metrics
    from ganvas.ops.home import home

    wanted = parse_metrics(metrics)
    earlier = None if against is None else read_figures(against)
    G = open_generator(model)
    shows_nearest = nearest is not None or (report is not None and len(set(wanted) & set(FEATURE_METRICS)) > 0)
    looks = shows_nearest or bool(set(wanted) & set(FEATURE_METRICS))
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
    sheets = GeneratorSheets(G, pictures, num=num, seed=seed)
    neighbours = sheets.nearest(extractor) if extractor is not None and shows_nearest else None
    if nearest is not None and neighbours is not None:
        write_image(neighbours, nearest)
        typer.echo(f"the fakes nearest to the data (left) and their neighbours: {nearest}")
    if spectra is not None:
        sheets.write_spectra(spectra)
    if report is not None:
        write_metrics_page(report, results, model=model, pictures=sheets.all(wanted, neighbours))
        typer.echo(f"report: {report}")
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


def _load_extractor(features: str, precision: str) -> FeatureExtractor:
    from ganvas.metrics.open_extractor import open_extractor

    return open_extractor(features, precision=precision)


class GeneratorSheets:
    """Pictures of a measurement: data and fakes, the closest training images, spectra."""

    def __init__(self, G: Any, pictures: Any, *, num: int, seed: int):
        self.G, self.pictures, self.num, self.seed = G, pictures, num, seed

    def nearest(self, extractor: FeatureExtractor) -> Tensor:
        """See `draw_nearest`."""
        from ganvas.metrics.nearest import draw_nearest

        with ProgressBar("looking for the nearest training images") as progress:
            return draw_nearest(
                self.G, self.pictures, num=self.num, seed=self.seed, extractor=extractor, on_step=progress.step
            )

    @functools.cached_property
    def spectra(self) -> dict[str, PowerSpectrum]:
        """See `spectra_of`."""
        from ganvas.metrics.spectra import spectra_of

        with ProgressBar("looking at frequencies") as progress:
            return spectra_of(self.G, self.pictures, num=self.num, seed=self.seed, on_step=progress.step)

    def write_spectra(self, path: Path) -> None:
        """The picture, and the table beside it."""
        from ganvas.images.files import write_image
        from ganvas.metrics.spectra import draw_spectra, list_powers
        from ganvas.weights.checkpoint import write_atomically

        write_image(draw_spectra(self.spectra), path)
        table, text = path.with_suffix(".csv"), list_powers(self.spectra)
        write_atomically(table, lambda part: Path(part).write_text(text, encoding="utf-8"))
        typer.echo(f"average power spectra: {path}, {table}")

    def all(self, metrics: Sequence[str], neighbours: Tensor | None) -> dict[str, Tensor]:
        """{heading: sheet} for a report; spectra where they were measured."""
        from ganvas.images.contact_sheet import grid
        from ganvas.metrics.feature_extractor import choose_indices, fake_pixels
        from ganvas.metrics.spectra import draw_spectra

        count = min(_ON_SHEET, self.num)
        fakes = next(fake_pixels(self.G, num=count, seed=self.seed, pictures=self.pictures))
        reals = self.pictures.batch(choose_indices(len(self.pictures), count, self.seed))[0]
        sheets = {
            name: grid(pixels.float().div(127.5).sub(1), columns=_COLUMNS, gap_px=2)
            for name, pixels in (("Data", reals), ("Fakes, not chosen", fakes))
        }
        if neighbours is not None:
            sheets["The fakes nearest to the data (left), each beside the training images closest to it"] = neighbours
        if "spectrum" in metrics:
            sheets["Average power spectra of data and fakes"] = draw_spectra(self.spectra)
        return sheets


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
    from ganvas import __version__

    write_figures({"model": model, "ganvas": __version__, "figures": [result.to_dict() for result in results]}, output)
