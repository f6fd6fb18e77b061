"""Build a training dataset on disk, which other tools can read, too, from photos and videos.

The layout is NVIDIA's: 00000/img00000000.png and so on, and dataset.json with the labels. The same photos and settings
give the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ganvas import __version__
from ganvas.datasets.cache import temporary_path
from ganvas.datasets.duplicates import DuplicateIndex, ImageHash, hash_image
from ganvas.datasets.folder import DATASET_JSON, VIDEO_SUFFIXES, ImageSource, Item
from ganvas.datasets.labels import LabelTable, Value, find_labels
from ganvas.datasets.preprocess import Aligner, ImageFacts, ImagePreprocessor
from ganvas.datasets.reading import digest_of, in_threads, open_source, reason
from ganvas.datasets.video import estimate_frame_count, read_frames
from ganvas.errors import BadImage, BadInput, MissingExtra, NoFace
from ganvas.fields import check_known
from ganvas.images.tensors import from_pixels

DUPLICATES = ("near", "exact", "keep")
_OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip's time must be something; the same one makes the same bytes

_OnStep = Callable[[int, int], object]  # (pictures done, in all; of videos an estimate); may raise Stopped


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What `make_dataset` did."""

    path: Path
    resolution: int
    count: int  # pictures in the set
    taken_from: list[str]  # where each came from
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (name, why), of files that gave no picture
    copies: list[tuple[str, str]] = field(default_factory=list)  # (name, the picture it looks like), left out
    class_counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Candidate:
    """A picture that may enter the set."""

    name: str
    parent: str  # the file that it comes from, which has the label
    pixels: np.ndarray
    digest: str
    image_hash: ImageHash
    png: bytes


@dataclass(frozen=True)
class _Rejected:
    name: str
    why: str


def make_dataset(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    resolution: int,
    crop: str = "center",
    align: Aligner | None = None,
    labels: str | Path | None = None,
    duplicates: str = "near",
    every_sec: float = 1.0,
    background: str = "white",
    channels: int = 3,
    smallest: int | None = None,
    window: tuple[int, int] | None = None,
    max_images: int | None = None,
    overwrite: bool = False,
    on_step: _OnStep | None = None,
) -> DatasetSummary:
    """Build a training dataset of one size from a folder, an archive or a video.

    Args:
        source: whatever `open_image_dataset` reads, or a video; videos in a folder count too.
        dest: NAME.zip, or a folder. It is there when all is done, and not at all when something fails.
        resolution: pixels across of every picture.
        crop: "center" = the largest square in the middle, "pad" = the whole photo with bars beside it.
        align: instead of `crop`: which crops of a photo to use, e.g. its faces. Photos without one are skipped.
        labels: None = what comes with the source; "none"; "folders"; "FILE.csv" or "FILE.csv:COLUMN".
        duplicates: leave out pictures that are there already: "near" = to the eye, "exact" = byte for byte, "keep".
        every_sec: of a video, one frame every so many seconds; 0 = all.
        background: the colour behind transparent and beside padded photos.
        channels: 3, or 1 for grey.
        smallest: leave out photos (or faces) with fewer pixels across; None = half the resolution.
        window: (width, height) instead of `crop`: the largest part of this shape in the middle, and bars of the
            background to make a square; the larger of the two is the resolution.
        max_images: stop when the set has so many; None = take all.
        overwrite: replace what is at `dest`, once the new set is whole.
        on_step: called as (pictures done, in all) and may raise Stopped; nothing is left at `dest` then.

    Raises:
        BadInput: nothing usable in the source, labels that do not fit, or a `dest` that exists or cannot be written.
        BadConfig: a setting that does not exist.
        MissingExtra: nothing but videos, without the extra [video]; beside photos they are named as left out.
    """
    check_known(duplicates, DUPLICATES, what="duplicates option")
    preprocessor = ImagePreprocessor(
        resolution=resolution,
        crop=crop,
        background=background,
        channels=channels,
        smallest=smallest,
        window=window,
    )
    job = _Job(Path(source), preprocessor, align, labels, every_sec)
    dest = Path(dest)
    _check_dest(dest, job.root, overwrite)
    selection = _Selection(duplicates)
    with _writer(dest) as writer:
        for step, outcome in job.outcomes():
            if selection.take(outcome, job.label_table) and isinstance(outcome, _Candidate):
                writer.add(_name(len(selection.names) - 1), outcome.png)
            if on_step is not None:
                on_step(step, max(step, job.total))
            if len(selection.names) == max_images:
                break
        if not selection.names:
            raise BadInput(_no_images_message(job, selection))
        writer.add(DATASET_JSON, _listing(selection, job.label_table, preprocessor, align is not None))
    return DatasetSummary(
        path=dest,
        resolution=resolution,
        count=len(selection.names),
        taken_from=selection.names,
        skipped=selection.skipped,
        copies=selection.copies,
        class_counts=selection.class_counts(job.label_table),
    )


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Job:
    """All that there is to do: the pictures of a source, then its videos."""

    def __init__(
        self,
        root: Path,
        preprocessor: ImagePreprocessor,
        align: Aligner | None,
        labels: str | Path | None,
        every_sec: float,
    ) -> None:
        self.root, self.preprocessor, self.align, self.every_sec = root, preprocessor, align, every_sec
        self.source: ImageSource | None = None
        self.label_table: LabelTable | None = None
        self.films = [root]
        if root.is_dir() or root.suffix.lower() not in VIDEO_SUFFIXES:
            self.source = open_source(root)
            self.films = [root / name for name in self.source.films] if root.is_dir() else []
            self.label_table = find_labels(self.source, labels, films=self.source.films if root.is_dir() else ())
        elif not root.is_file():
            raise BadInput(f"there is no file {root}")
        self.items = self.source.items if self.source else ()
        self.total = len(self.items) + sum(map(self._estimate_frames, self.films))

    def outcomes(self) -> Iterator[tuple[int, _Candidate | _Rejected]]:
        """(files or frames done, what became of one). A photo with several faces comes several times."""
        step = 0
        for several in in_threads(self._of_item, self.items):
            step += 1
            for outcome in several:
                yield step, outcome
        for film in self.films:
            for several in in_threads(self._of_frame, self._frames(film)):
                step += 1
                for outcome in several:
                    yield step, outcome

    def _estimate_frames(self, film: Path) -> int:
        try:
            return estimate_frame_count(film, every_sec=self.every_sec)
        except MissingExtra:
            if not self.items:
                raise
            return 0  # the videos will be named as left out, and the photos are made into a set

    def _of_item(self, item: Item) -> list[_Candidate | _Rejected]:
        assert self.source is not None
        try:
            data = self.source.read(item)
            if self.align is None:
                pictures = [self.preprocessor.read(data, name=item.name)[0]]
            else:
                pictures = self.preprocessor.read_aligned(data, self.align, name=item.name)[0]
        except (BadImage, NoFace) as error:
            return [_Rejected(item.name, reason(error, item.name))]
        return _candidates(item.name, item.name, pictures, digest_of(data))

    def _frames(self, film: Path) -> Iterator[tuple[str, float, np.ndarray | str]]:
        """(video, time, pixels); where it breaks off, the reason in their place."""
        name = film.relative_to(self.root).as_posix() if film != self.root else film.name
        try:
            for at_sec, pixels in read_frames(film, every_sec=self.every_sec):
                yield name, at_sec, pixels
        except (BadImage, MissingExtra) as error:
            yield name, 0.0, reason(error, str(film))

    def _of_frame(self, frame: tuple[str, float, np.ndarray | str]) -> list[_Candidate | _Rejected]:
        film, at_sec, pixels = frame
        name = f"{film} at {at_sec:.2f} s"
        if isinstance(pixels, str):
            return [_Rejected(film, pixels)]
        img = from_pixels(pixels)
        try:
            if self.align is None:
                self.preprocessor.check_size(ImageFacts(width=img.shape[3], height=img.shape[2]), name=name)
                pictures = [self.preprocessor.preprocess(img)]
            else:
                pictures = self.preprocessor.crop_aligned(img, self.align)
        except (BadImage, NoFace) as error:
            return [_Rejected(name, reason(error, name))]
        return _candidates(name, film, pictures, digest_of(pixels.tobytes()))


def _candidates(name: str, parent: str, pictures: list[np.ndarray], digest: str) -> list[_Candidate | _Rejected]:
    return [
        _Candidate(
            name=name if len(pictures) == 1 else f"{name} ({number})",
            parent=parent,
            pixels=pixels,
            digest=f"{digest} {number}",
            image_hash=hash_image(pixels),
            png=_png(pixels),
        )
        for number, pixels in enumerate(pictures, start=1)
    ]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    whole = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    Image.fromarray(whole if whole.shape[2] == 3 else whole[:, :, 0]).save(file, "PNG")
    return file.getvalue()


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Selection:
    """What enters the set, and what does not and why."""

    def __init__(self, duplicates: str):
        self.duplicates = duplicates
        self.names: list[str] = []
        self.values: list[Value] = []
        self.skipped: list[tuple[str, str]] = []
        self.copies: list[tuple[str, str]] = []
        self._digests: dict[str, int] = {}
        self._hashes = DuplicateIndex()

    def take(self, outcome: _Candidate | _Rejected, table: LabelTable | None) -> bool:
        """Whether it enters."""
        if isinstance(outcome, _Rejected):
            self.skipped.append((outcome.name, outcome.why))
            return False
        value = table.values.get(outcome.parent) if table else None
        if table is not None and value is None:
            if table.strict:
                raise BadInput(f"{table.where} has no label for {outcome.parent!r}")
            self.skipped.append((outcome.name, f"has no label in {table.where}"))
            return False
        first = self._first_like(outcome)
        if first is not None:
            other = "" if value is None or self.values[first] == value else ", which has another label"
            self.copies.append((outcome.name, self.names[first] + other))
            return False
        self._remember(outcome, value)
        return True

    def _first_like(self, picture: _Candidate) -> int | None:
        if self.duplicates == "keep":
            return None
        same = self._digests.get(picture.digest)
        if same is None and self.duplicates == "near":
            same = self._hashes.find_similar(picture.image_hash)
        return same

    def _remember(self, picture: _Candidate, value: Value | None) -> None:
        self._digests.setdefault(picture.digest, len(self.names))
        if self.duplicates == "near":
            self._hashes.add(picture.image_hash)
        self.names.append(picture.name)
        if value is not None:
            self.values.append(value)

    def class_counts(self, table: LabelTable | None) -> dict[str, int]:
        """Pictures of each class."""
        if table is None or not all(isinstance(value, int) for value in self.values):
            return {}
        counts = np.bincount(np.array(self.values, np.int64), minlength=len(table.class_names)).tolist()
        return dict(zip(table.class_names or map(str, range(len(counts))), counts, strict=True))


def _no_images_message(job: _Job, selection: _Selection) -> str:
    if not selection.skipped:
        return f"{job.root} has no images and no videos"
    examples = "; ".join(f"{name}: {why}" for name, why in selection.skipped[:3])
    return f"{job.root}: no usable image among {len(selection.skipped):,}. {examples}"


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Writer(Protocol):
    def add(self, name: str, data: bytes) -> None: ...


class _ToZip:
    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive

    def add(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, _OLDEST)
        info.external_attr = 0o644 << 16
        info.compress_type = zipfile.ZIP_DEFLATED if name == DATASET_JSON else zipfile.ZIP_STORED
        self.archive.writestr(info, data)


class _ToFolder:
    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def _name(number: int) -> str:
    text = f"{number:08d}"
    return f"{text[:5]}/img{text}.png"


def _listing(selection: _Selection, table: LabelTable | None, preprocessor: ImagePreprocessor, aligned: bool) -> bytes:
    pairs = [[_name(number), value] for number, value in enumerate(selection.values)]
    content: dict[str, object] = {"labels": pairs or None}
    if table is not None and table.class_names:
        content["class_names"] = list(table.class_names)
    content["ganvas"] = {
        "version": __version__,
        **preprocessor.settings(),
        "aligned": aligned,
        "duplicates": selection.duplicates,
    }
    return json.dumps(content).encode()


def _check_dest(dest: Path, source: Path, overwrite: bool) -> None:
    if not dest.absolute().parent.is_dir():
        raise BadInput(f"there is no folder {dest.absolute().parent} to write {dest.name} to")
    real, root = dest.resolve(), source.resolve()
    if real == root or real in root.parents or (root in real.parents and dest.suffix.lower() != ".zip"):
        raise BadInput(f"{dest} and its source {source} must not contain each other; choose another path")
    if dest.exists() and not overwrite:
        raise BadInput(f"{dest} exists; choose another name, or use overwrite")
    if dest.suffix.lower() == ".zip" and dest.is_dir():
        raise BadInput(f"{dest} is a folder")
    if overwrite and dest.is_dir() and any(dest.iterdir()) and not (dest / DATASET_JSON).is_file():
        raise BadInput(f"{dest} is a folder with other files, not a dataset; it is not overwritten")


@contextmanager
def _writer(dest: Path) -> Iterator[_Writer]:
    """What is written appears at `dest` when the block ends, and leaves no trace when the block fails."""
    part = temporary_path(dest)
    try:
        if dest.suffix.lower() == ".zip":
            with open(part, "xb") as file:
                with zipfile.ZipFile(file, "w") as archive:
                    yield _ToZip(archive)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, dest)
        else:
            part.mkdir()
            yield _ToFolder(part)
            _replace_folder(part, dest)
    except OSError as error:
        raise BadInput(f"{dest} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True) if part.is_file() else shutil.rmtree(part, ignore_errors=True)


def _replace_folder(folder: Path, dest: Path) -> None:
    if dest.exists():
        old = folder.with_suffix(".old")
        os.replace(dest, old)
        os.replace(folder, dest)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(folder, dest)
