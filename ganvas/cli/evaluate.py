"""ganvas evaluate: how good a generator is, in figures with their protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import Progress
from ganvas.cli.generator import Model, Precision, open_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ganvas.metrics.eyes import Eyes
    from ganvas.metrics.figure import Figure

MOST = 10_000  # pictures that are looked at where nobody says how many: about three minutes on two cores

ENOUGH_PX = 256  # the network looks at 224 px: larger pictures only cost time


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder or zip of the real pictures.")],
    model: Model = "faces",
    metrics: Annotated[
        str,
        typer.Option(
            help="Of fd (Fréchet distance), kid (kernel distance), pr (precision, recall, density, coverage) and "
            "ppl (path length), joined by commas."
        ),
    ] = "fd",
    features: Annotated[
        str,
        typer.Option(help="What looks at the pictures: efficientnet-lite0, or FILE with weights of your own for it."),
    ] = "efficientnet-lite0",
    num: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Fake pictures, and at most as many real ones. Default: as many as real ones, {MOST:,} at most.",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(min=8, help=f"Size at which both are compared. Default: the generator's, {ENOUGH_PX} at most."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels of the data, for conditional generators: folders, or FILE.csv:COLUMN.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of latents, and of the choice of real pictures.")] = 0,
    precision: Precision = "exact",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the figures as JSON.")] = None,
) -> None:
    """Measure a generator against data. Every figure says how it was measured; compare only what says the same.

    Example: [bold]ganvas evaluate --model faces --data photos --metrics fd,kid,pr --num 5000[/bold]
    """
    wanted = _names(metrics)
    _check_features(features)
    _check_output(output)

    from ganvas.datasets.pictures import open_pictures
    from ganvas.metrics.evaluate import evaluate as measured
    from ganvas.ops.home import home

    G, eyes = open_generator(model), _eyes(features, precision)
    with Progress("reading the data") as progress:
        pictures = open_pictures(
            data,
            resolution=resolution or min(G.img_resolution, ENOUGH_PX),
            channels=G.img_channels,
            labels=labels,
            on_step=progress.step,
        )
    for line in pictures.report:
        typer.echo(line)
    with _Stages() as stages:
        found = measured(
            G,
            pictures,
            metrics=wanted,
            num=min(len(pictures), MOST) if num is None else num,
            seed=seed,
            eyes=eyes,
            cache=home() / "statistics",
            on_step=stages.step,
        )
    for line in _lines(found):
        typer.echo(line)
    if output is not None:
        _write(found, model, output)


class _Stages:
    """A progress bar a stage: looking at the data, making pictures, walking."""

    def __init__(self) -> None:
        self._stage, self._bar = "", Progress("")

    def __enter__(self) -> _Stages:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stage:
            self._bar.__exit__(*error)

    def step(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self.__exit__(None, None, None)
            self._stage, self._bar = stage, Progress(stage)
            self._bar.__enter__()
        self._bar.step(done, total)


def _names(metrics: str) -> list[str]:
    """`fd,kid` → ["fd", "kid"].

    Raises:
        typer.BadParameter: an unknown name, or none; exit status 2.
    """
    known = ("fd", "kid", "pr", "ppl")  # METRICS, which cannot be imported before torch may be
    names = [name.strip() for name in metrics.split(",")]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"--metrics takes {', '.join(known)}, joined by commas; got {name!r}")
    return names


def _check_features(features: str) -> None:
    if features == "inception":
        raise typer.BadParameter(
            "--features inception: FID needs the original Inception weights, which may not be fetched for you, and "
            "this version does not read them. Use efficientnet-lite0: figures are named after it and compare among "
            "themselves, not with published FIDs"
        )
    if features != "efficientnet-lite0" and not Path(features).is_file():
        raise typer.BadParameter(f"--features takes efficientnet-lite0 or a file of its weights; got {features!r}")


def _check_output(output: Path | None) -> None:
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"--output: there is no folder {str(output.parent)!r}")


def _eyes(features: str, precision: str) -> Eyes:
    from ganvas.metrics.eyes import efficientnet_eyes

    return efficientnet_eyes(None if features == "efficientnet-lite0" else features, precision=precision)


def _lines(found: Sequence[Figure]) -> Iterator[str]:
    """One line a figure; what is common to several is said once, below."""
    for figure in found:
        yield figure.short_line()
    for said, names in _by_words(found, lambda figure: (figure.protocol.line(),)).items():
        yield f"measured on {said}" + (f" ({', '.join(names)})" if len(names) < len(found) else "")
    for said, names in _by_words(found, lambda figure: figure.cautions).items():
        yield f"note on {', '.join(names)}: {said}"


def _by_words(found: Sequence[Figure], words: Callable[[Figure], Sequence[str]]) -> dict[str, list[str]]:
    """Words → the names of the figures that they belong to."""
    grouped: dict[str, list[str]] = {}
    for figure in found:
        for said in words(figure):
            grouped.setdefault(said, []).append(figure.name)
    return grouped


def _write(found: Sequence[Figure], model: str, output: Path) -> None:
    import json

    from ganvas import __version__
    from ganvas.weights.checkpoint import write_atomically

    facts: dict[str, Any] = {"model": model, "ganvas": __version__, "figures": [figure.to_dict() for figure in found]}
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    write_atomically(output, lambda part: Path(part).write_text(text + "\n", encoding="utf-8"))
    typer.echo(f"figures: {output}")
