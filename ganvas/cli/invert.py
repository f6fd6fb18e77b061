"""ganvas invert: find a photo in a generator, and keep what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.edit import print_verdict
from ganvas.cli.parsing import one_of
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from ganvas.session.session import Session


def invert(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="FACE.npz: latents and metrics; the tuning is saved next to it.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A catalogue name, or the path of any generator.")
    ] = "faces",
    effort: Annotated[
        str,
        typer.Option(
            callback=one_of("fast", "standard", "best"),
            help="fast, standard or best: about 8, 19 and 40 s for faces on two cores.",
        ),
    ] = "standard",
    face: Annotated[int | None, typer.Option(min=1, help="Which face: 1 = the largest, 2 = the next, …")] = None,
    align: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "faces", "centre"),
            help="faces: aligned as in FFHQ; centre: centre crop; auto: as the model was trained.",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")] = 0,
    max_sec: Annotated[float | None, typer.Option(min=1, help="Approximate time limit in seconds.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also save the photo and its inversion side by side.")] = None,
) -> None:
    """Invert a photo: latents, a light tuning of the generator, and fidelity metrics.

    'ganvas edit PHOTO --inversion FACE.npz' then edits without searching again.

    Example: [bold]ganvas invert me.jpg -o me.npz --effort best --picture me-found.png[/bold]
    """
    from ganvas.images.files import check_target
    from ganvas.images.output_check import check_output_path
    from ganvas.session.open import open_session

    check_target(output)
    if picture is not None:
        check_output_path(picture)
    configure_process()
    with ProgressBar("inverting the photo") as progress:
        session = open_session(
            photo,
            model=model,
            effort=effort,
            face=face,
            align=align,
            seed=seed,
            max_sec=max_sec,
            on_step=progress.step,
        )
    saved = session.inversion.save(output)
    for name, value in session.inversion.figures.items():
        typer.echo(f"{name}: {value:.3g}")
    print_verdict(session.inversion)
    typer.echo(f"saved: {saved}")
    if picture is not None:
        _save_pair(session, picture)


def _save_pair(session: Session, picture: Path) -> None:
    """The photo's crop on the left, its inversion on the right."""
    import torch

    from ganvas.images.files import write_image
    from ganvas.images.photo import Photo
    from ganvas.inversion.alignment import cut_square

    reconstruction = session.crop_picture()
    square = cut_square(session.photo, session.crop, session.generator)
    write_image(Photo(img=torch.cat([square, reconstruction], dim=3).expand(-1, 3, -1, -1)), picture)
    typer.echo(f"saved: {picture}")
