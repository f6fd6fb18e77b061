"""ganvas dataset make | check: photos and videos to a training set, and a doctor for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.parsing import one_of, parse_size

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.datasets.check import DatasetReport
    from ganvas.datasets.prepare import DatasetSummary
    from ganvas.datasets.preprocess import Aligner
    from ganvas.features.faces import Face
    from ganvas.images.crop import Crop

dataset = typer.Typer(
    name="dataset", help="Build a training dataset from your images, or check them.", no_args_is_help=True
)

_SHOWN = 20

LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="none, folders (names of the subfolders), FILE.csv or FILE.csv:COLUMN (default: what comes with them)."
    ),
]


@dataset.command()
def make(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="A folder tree, a .zip, a video, or a standard dataset: see docs/datasets.md."
        ),
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="NAME.zip, or a new folder.")],
    resolution: Annotated[
        str,
        typer.Option(
            "--resolution", "-r", help="Size of every image in pixels; 512x384 crops to that shape and adds bars."
        ),
    ],
    crop: Annotated[
        str,
        typer.Option(
            callback=one_of("center", "pad"), help="center: centre crop; pad: the whole image, padded to a square."
        ),
    ] = "center",
    align: Annotated[
        str | None,
        typer.Option(
            callback=one_of("faces", "all-faces"),
            help="faces: align the largest face of each photo as in FFHQ; all-faces: every confidently detected face.",
        ),
    ] = None,
    labels: LabelsOption = None,
    duplicates: Annotated[
        str,
        typer.Option(
            callback=one_of("near", "exact", "keep"),
            help="Drop duplicates: near = visually similar, exact = identical files, keep = none.",
        ),
    ] = "near",
    every: Annotated[
        float, typer.Option(min=0, help="For videos: take one frame every N seconds; 0 = all frames.")
    ] = 1.0,
    background: Annotated[str, typer.Option(help="Background colour for transparency and padding.")] = "white",
    grey: Annotated[bool, typer.Option("--grey", help="Convert to one channel.")] = False,
    smallest: Annotated[
        int | None,
        typer.Option(min=1, help="Skip images smaller than this many pixels (default: half the resolution)."),
    ] = None,
    max_images: Annotated[int | None, typer.Option(min=1, help="Stop when the dataset has so many images.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace DEST when the new dataset is complete.")
    ] = False,
) -> None:
    """Build a dataset of one size: cropped, resized, deduplicated, labelled. Compatible with NVIDIA's tools.

    Example: [bold]ganvas dataset make ~/photos faces.zip --resolution 256 --align faces[/bold]
    """
    from ganvas.datasets.prepare import make_dataset

    window = None if resolution.isdecimal() else parse_size(resolution, what="--resolution")
    with ProgressBar(f"reading {source}") as progress:
        summary = make_dataset(
            source,
            dest,
            resolution=int(resolution) if window is None else max(window),
            crop=crop,
            align=None if align is None else _aligner(every_face=align == "all-faces"),
            labels=labels,
            duplicates=duplicates,
            every_sec=every,
            background=background,
            channels=1 if grey else 3,
            smallest=smallest,
            window=window,
            max_images=max_images,
            overwrite=overwrite,
            on_step=progress.step,
        )
    _print_summary(summary)


@dataset.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A folder tree, a .zip or a standard dataset.")],
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", "-r", min=4, help="Training resolution (default: chosen from the images)."),
    ] = None,
    labels: LabelsOption = None,
    full: Annotated[
        bool, typer.Option("--full", help=f"List every file, not the first {_SHOWN} of each kind.")
    ] = False,
) -> None:
    """Check images: counts, sizes, unusual files by name, and the planned preprocessing. Changes nothing.

    Example: [bold]ganvas dataset check ~/photos --resolution 128[/bold]
    """
    from ganvas.datasets.check import check_dataset

    with ProgressBar(f"checking {path}") as progress:
        report = check_dataset(path, resolution=resolution, labels=labels, on_step=progress.step)
    _print_survey(report, most=None if full else _SHOWN)
    if not report.usable:
        raise typer.Exit(1)


def _aligner(*, every_face: bool) -> Aligner:
    """Photo → aligned face crops."""
    import torch

    from ganvas.errors import NoFace
    from ganvas.features.face import MIN_UPRIGHT_SCORE
    from ganvas.features.faces import FaceFinder
    from ganvas.images.crop import Crop

    torch.set_num_threads(1)  # several photos are looked at side by side already
    finder = FaceFinder()

    def is_one(face: Face, img: Tensor) -> bool:
        # A guess is believed where it fills much of the photo: what is taken for a face by mistake is small.
        across, down = (face.points[1] - face.points[0]).tolist()
        sure = face.score > MIN_UPRIGHT_SCORE or face.size_px > 0.2 * min(img.shape[2:])
        return sure and (face.turn_deg != 0 or across > abs(down))

    def squares(img: Tensor) -> list[Crop]:
        faces = [face for face in finder.find(img) if is_one(face, img)]
        if not faces:
            raise NoFace("no face in it")
        return [Crop.from_landmarks(face.points) for face in (faces if every_face else faces[:1])]

    return squares


def _print_summary(summary: DatasetSummary) -> None:
    _print_list("left out", [f"{name}: {why}" for name, why in summary.skipped])
    _print_list("duplicates, skipped", [f"{name} ~ {first}" for name, first in summary.copies])
    if summary.class_counts:
        typer.echo(f"classes: {_format_counts(summary.class_counts)}")
    typer.echo(f"{summary.count:,} images of {summary.resolution} x {summary.resolution}: {summary.path}")


def _print_survey(survey: DatasetReport, *, most: int | None) -> None:
    from ganvas.datasets.check import FINDINGS

    typer.echo(f"{survey.path}: {survey.count:,} images, {survey.usable:,} usable at {survey.resolution} pixels")
    common = sorted(survey.sizes.items(), key=lambda pair: -pair[1])
    sizes = [f"{width} x {height}: {count:,}" for (width, height), count in common]
    if sizes:
        typer.echo(f"sizes: {_join_shortened(sizes, 8)}")
    if survey.class_counts:
        typer.echo(f"classes: {_format_counts(survey.class_counts)}")
    if survey.labels_trouble:
        typer.echo(f"labels: {survey.labels_trouble}")
    for kind, names in survey.findings.items():
        _print_list(f"{kind} ({FINDINGS[kind]})", names, most=most)
    if not any(survey.findings.values()):
        typer.echo("nothing odd")


def _print_list(what: str, lines: list[str], *, most: int | None = _SHOWN) -> None:
    if lines:
        typer.echo(f"{what}: {len(lines):,}")
        for line in lines[:most]:
            typer.echo(f"  {line}")
        if most is not None and len(lines) > most:
            typer.echo(f"  … and {len(lines) - most:,} more")


def _format_counts(counts: dict[str, int]) -> str:
    return _join_shortened([f"{name} {count:,}" for name, count in counts.items()], 12)


def _join_shortened(texts: list[str], most: int) -> str:
    return ", ".join(texts[:most]) + (f", … {len(texts) - most:,} more" if len(texts) > most else "")
