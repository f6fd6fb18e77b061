"""ganvas batch: one recipe over a folder of photos."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas import __version__
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.edit import read_recipe
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import one_of

if TYPE_CHECKING:
    from ganvas.session.batch_editor import BatchSettings


def batch(
    in_dir: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out_dir: Annotated[Path, typer.Argument(help="Output folder; results keep their names.")],
    recipe: Annotated[Path, typer.Option(help="Recipe to apply: JSON, or an image saved by ganvas.")],
    engine: Annotated[
        str,
        typer.Option(
            callback=one_of("local", "ray"),
            help="local = on this machine, ray = on the nodes of a Ray cluster.",
        ),
    ] = "local",
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Skip photos whose result exists.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Path of the recipe's generator (default: by its name).")
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            callback=one_of("fast", "standard", "best"), help="fast, standard or best (default: as in the recipe)."
        ),
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(help="Which face: 2 (by size), all, or like:me.jpg (default: as in the recipe)."),
    ] = None,
    suffix: Annotated[str, typer.Option(help="Suffix added to the names of results.")] = "",
    ext: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "png", "jpg", "webp", "tif"), help="auto = same format as the photo, png, jpg, …"
        ),
    ] = "auto",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include subfolders.")] = False,
    disclose: DiscloseOption = True,
    workers: Annotated[int, typer.Option(min=1, help="Photos edited at the same time; each takes memory.")] = 1,
    shard: Annotated[
        str | None, typer.Option(help="Only this part of the photos: 3/8 = the third of eight, one for each machine.")
    ] = None,
) -> None:
    """Apply a recipe to a folder of photos. Failed files are skipped and listed at the end.

    What is done stands in OUT_DIR/batch.jsonl: the same command again does only what is missing or has changed.

    Example: [bold]ganvas batch photos smiling --recipe smile.json --workers 4[/bold]
    """
    from ganvas.cli.batch_engines import choose_engine
    from ganvas.cli.batch_report import BatchRunner
    from ganvas.editing.regions import unwrap_step
    from ganvas.errors import BadConfig
    from ganvas.images.batch_manifest import BatchManifest
    from ganvas.images.batch_paths import list_tasks
    from ganvas.session.batch_editor import BatchSettings

    if not in_dir.is_dir():
        raise BadConfig(f"{in_dir} is not a folder; for one photo: ganvas edit PHOTO -o OUT --recipe {recipe}")
    part = _parse_shard(shard)
    wanted = read_recipe(recipe)
    todo = list_tasks(in_dir, out_dir, suffix=suffix, ext=ext, recursive=recursive)
    todo = todo if part is None else todo[part[0] - 1 :: part[1]]
    settings = BatchSettings.of(wanted, model=model, effort=effort, face=face, disclose=disclose)
    networks = (getattr(unwrap_step(step), "model", "") for step in wanted.steps)
    ensure_models((settings.model, "mtcnn", "efficientnet-lite0", *networks))
    work = choose_engine(engine, settings, workers=min(workers, len(todo)))
    manifest = BatchManifest(in_dir, out_dir, settings=_digest_settings(settings, suffix, ext), shard=part)
    BatchRunner(todo, work, skip_existing=skip_existing, manifest=manifest).run()


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    """`3/8` → (3, 8).

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter(f"a shard is written as 3/8, the third of eight parts; cannot read {text!r}")
    return int(match[1]), int(match[2])


def _digest_settings(settings: BatchSettings, *names: str) -> str:
    """Of all that decides what the results look like and are called; another version may edit differently."""
    return hashlib.sha256(repr((__version__, settings, names)).encode()).hexdigest()
