"""Batches of images: input files, output paths, and their checks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.images.files import format_of
from ganvas.images.photo import Photo
from ganvas.images.walk import IMAGE_SUFFIXES, describe_kinds, is_image_name, walk_files

EXTENSIONS = ("auto", "png", "jpg", "webp", "tif")
PART_SEC = 3600.0  # a file that is written takes less
_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # as `write_image` and its like name them
MAX_SIDE_PX = {"JPEG": 65_500, "WEBP": 16_383}  # what these formats, and Pillow, can hold


@dataclass(frozen=True)
class Task:
    """One image and its output file; a `target` without a suffix gets one once the image is read."""

    source: Path
    target: Path


def list_tasks(
    source: Path, target: Path, *, suffix: str = "out", ext: str = "auto", recursive: bool = False
) -> list[Task]:
    """The tasks of a batch, sorted by name.

    Args:
        source: a picture, or a folder.
        target: the result's file (for one picture), or a folder.
        suffix: added to each name with a "_" before it; "" adds nothing.
        ext: "auto" keeps a picture's own format where it can be written; or "png", "jpg", "webp", "tif".
        recursive: folders in the folder, too; the same folders come out.

    Raises:
        BadConfig: nothing there, a file as target for a folder, or results that would overwrite what they come from.
    """
    check_known(ext, EXTENSIONS, what="extension")
    if not source.exists():
        raise BadConfig(f"{source} does not exist")
    if source.is_file():
        single = target.suffix.lower() in IMAGE_SUFFIXES and not target.is_dir()
        file_tasks = [Task(source, target if single else target / output_name(source, suffix, ext))]
    else:
        if target.suffix.lower() in IMAGE_SUFFIXES and not target.is_dir():
            raise BadConfig(f"{source} is a folder, so the output must be a folder, too; {target} is a file name")
        files = sorted(source / name for name, _ in walk_files(source, recursive=recursive))
        inside = target.resolve()
        file_tasks = [
            Task(file, target / file.relative_to(source).parent / output_name(file, suffix, ext))
            for file in files
            if is_image_name(file) and (inside == source.resolve() or inside not in file.resolve().parents)
        ]
        if not file_tasks:
            deeper = "" if recursive else " (subfolders are skipped without --recursive)"
            others = describe_kinds(file.name for file in files if not is_image_name(file))
            raise BadConfig(f"no images in {source}{deeper}; it has {others}")
    for task in file_tasks:
        if task.target.resolve() == task.source.resolve():
            raise BadConfig(f"{task.source} would be overwritten by its own result; give --suffix or another --output")
    return file_tasks


def output_name(source: Path, suffix: str, ext: str) -> str:
    """`cat.jpg` → `cat_out.jpg`."""
    own = source.suffix.lower()
    ending = f".{ext}" if ext != "auto" else own if own in IMAGE_SUFFIXES and own != ".gif" else ".png"
    return f"{source.stem}_{suffix}{ending}" if suffix else f"{source.stem}{ending}"


def sweep_parts(folder: Path) -> int:
    """Delete what commands that were killed had begun to write here, once nobody can be writing it any more.

    Returns:
        How many files were deleted.
    """
    swept = 0
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if _PART.fullmatch(part.name) and time.time() - part.stat().st_mtime > PART_SEC:
                part.unlink()
                swept += 1
    return swept


def find_clashes(todo: Iterable[Task]) -> dict[Path, Path]:
    """Which of the sources would overwrite the result of another: source → that other source."""
    first: dict[Path, Path] = {}
    return {
        task.source: first[task.target] for task in todo if first.setdefault(task.target, task.source) != task.source
    }


def target_for(photo: Photo, target: Path) -> Path:
    """The target, as .png if its format does not support the photo's transparency."""
    veiled = photo.alpha is not None and float(photo.alpha.min()) < 1
    return (
        target.with_suffix(".png")
        if veiled and IMAGE_SUFFIXES.get(target.suffix.lower()) in ("JPEG", "BMP")
        else target
    )


def check_fits(target: Path, width: int, height: int) -> None:
    """Raise before the work if the format does not support an image of this size.

    Raises:
        BadImage: it cannot.
        BadConfig: an unknown suffix.
    """
    most = MAX_SIDE_PX.get(format_of(target), 2**31 - 1)
    if max(width, height) > most:
        raise BadImage(
            f"{target} would have {width} x {height} pixels, but {target.suffix} allows at most {most} "
            "per side. Write .png or .tif."
        )
