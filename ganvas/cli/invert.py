"""ganvas invert: find a photo in a generator, and keep what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.parsing import one_of
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from ganvas.session.session import Session


def invert(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="FACE.npz: latents and figures; the tuning goes beside it.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A catalogue name, or the path of any generator.")
    ] = "faces",
    effort: Annotated[
        str,
        typer.Option(
            callback=one_of("fast", "standard", "best"),
            help="fast, standard or best: some 12, 30 and 60 s for faces on two cores.",
        ),
    ] = "standard",
    face: Annotated[int | None, typer.Option(min=1, help="Which face: 1 = the largest, 2 = the next, …")] = None,
    align: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "faces", "centre"),
            help="faces: cut as FFHQ's are; centre: the middle square; auto: what the model knows.",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of whatever is random; the same seed gives the same result.")] = 0,
    max_sec: Annotated[float | None, typer.Option(min=1, help="Take no longer than about this.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also save photo and found picture side by side, to judge by eye.")
    ] = None,
) -> None:
    """Find a photo in a generator: latents, a light tuning, and figures of how faithful they are.

    'ganvas edit PHOTO --inversion FACE.npz' then edits without searching again.

    Example: [bold]ganvas invert me.jpg -o me.npz --effort best --picture me-found.png[/bold]
    """
    from ganvas.session.open import open_session

    configure_process()
    _check_folder(output)
    with ProgressBar("finding the photo in the model") as progress:
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
    typer.echo(f"saved: {saved}")
    if picture is not None:
        _save_pair(session, picture)


def _check_folder(output: Path) -> None:
    """Said before the search, not after."""
    from ganvas.errors import BadConfig

    if not output.absolute().parent.is_dir():
        raise BadConfig(f"there is no folder {output.absolute().parent} to write {output.name} to")


def _save_pair(session: Session, picture: Path) -> None:
    """The photo's square on the left, what the model makes of it on the right."""
    import torch

    from ganvas.images.files import write_image
    from ganvas.images.photo import Photo
    from ganvas.inversion.alignment import cut_square

    reconstruction = session.crop_picture()
    square = cut_square(session.photo, session.crop, session.generator)
    write_image(Photo(img=torch.cat([square, reconstruction], dim=3).expand(-1, 3, -1, -1)), picture)
    typer.echo(f"saved: {picture}")
