"""ganvas demo: the main job from beginning to end, on a photo that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.edit import print_metrics
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.images.crop import Crop
    from ganvas.images.photo import Photo
    from ganvas.upscaling.tiles import OnUpscaleStep

SAMPLE_PHOTO = Path(__file__).parents[1] / "samples" / "astronaut.jpg"
DEMO_MODELS = ("faces", "mtcnn", "efficientnet-lite0")
_SHEET_PX = 384
UPSCALED_EDIT = "smile"  # whose face is made larger at the end
FACE_PX = 512  # at most, before
EDITS: tuple[tuple[str, str, float], ...] = (
    ("smile", "smile", 0.5),
    ("serious", "smile", -1.0),
    ("older", "age", 0.9),
)


def demo(
    outdir: Annotated[Path, typer.Option(help="Output folder.")] = Path("ganvas-demo"),
    photo: Annotated[Path | None, typer.Option(help="Your own photo instead of the sample.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licences without asking.")] = False,
) -> None:
    """Edit a sample photo: invert it, make it smile, make it older, paste it back, upscale. Downloads the weights once.

    Example: [bold]ganvas demo --outdir ganvas-demo[/bold]
    """
    ensure_models(DEMO_MODELS, yes=yes)

    from ganvas.images.digital_source import EDITED
    from ganvas.images.files import read_image, write_image
    from ganvas.session.open import open_session

    configure_process()
    outdir.mkdir(parents=True, exist_ok=True)
    before = read_image(photo or SAMPLE_PHOTO)
    typer.echo(f"photo: {photo or 'Eileen Collins, NASA portrait (public domain)'}, {before.width} x {before.height}")
    with ProgressBar("inverting the face") as progress:
        session = open_session(before, on_step=progress.step)
    print_metrics(session)
    pictures = {"before": before}
    for name, direction, amount in EDITS:
        with ProgressBar(name):
            set_to = session.set(direction, amount)
            pictures[f"{name} ({direction} {set_to:+.1f})"] = session.render()
            session.undo()
    for name, picture in pictures.items():
        write_image(picture, outdir / f"{name.split()[0]}.png")
    write_image(_sheet(pictures, session.crop), outdir / "sheet.png", digital_source=EDITED)
    smiling = next(picture for name, picture in pictures.items() if name.startswith(UPSCALED_EDIT))
    with ProgressBar("upscaling the face") as progress:
        write_image(_upscale_face(smiling, session.crop, progress.step), outdir / "upscaled.png")
    typer.echo(f"pictures: {', '.join(sorted(file.name for file in outdir.glob('*.png')))} in {outdir}")
    typer.echo("next, with your own photo:")
    typer.echo("  ganvas edit me.jpg -o me-smiling.png --set smile=1 --set age=-1")
    typer.echo("  ganvas edit other.jpg -o other-smiling.png --recipe me-smiling.png")
    typer.echo("  ganvas generate --seeds 0-7 --grid people.png")


def _upscale_face(photo: Photo, crop: Crop, on_step: OnUpscaleStep) -> Photo:
    """The face, four times larger, with the bundled upscaler."""
    from ganvas.images.photo import Photo
    from ganvas.upscaling.upscale import LIGHT_MODEL, upscale

    face = crop.cut(photo.img, resolution=min(round(crop.side), FACE_PX))
    return upscale(Photo(img=face, digital_source=photo.digital_source), model=LIGHT_MODEL, on_step=on_step)


def _sheet(pictures: dict[str, Photo], crop: Crop) -> Tensor:
    """Whole photos above, faces below."""
    import torch

    from ganvas.images.contact_sheet import make_captioned_grid

    whole = torch.cat([_fit_square(picture.img) for picture in pictures.values()])
    faces = torch.cat([crop.cut(picture.img, resolution=_SHEET_PX) for picture in pictures.values()])
    return make_captioned_grid(torch.cat([whole, faces]), [""] * len(pictures) + list(pictures), columns=len(pictures))


def _fit_square(img: Tensor) -> Tensor:
    """The whole image, padded to a white square."""
    import torch.nn.functional as F

    scale = _SHEET_PX / max(img.shape[2:])
    height, width = (max(1, round(side * scale)) for side in img.shape[2:])
    small = F.interpolate(img, (height, width), mode="area" if scale < 1 else "bilinear")
    top, left = (_SHEET_PX - height) // 2, (_SHEET_PX - width) // 2
    return F.pad(small, (left, _SHEET_PX - width - left, top, _SHEET_PX - height - top), value=1.0)
