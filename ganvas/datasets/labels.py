"""Labels of images: from subfolders, a CSV or lines of JSON, or the dataset.json of an archive."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.folder import ImageSource, Item
from ganvas.errors import BadConfig, BadImage, BadInput

MAX_CLASSES = 65_536  # a label becomes a row of c_dim numbers; more would be a mistake, or meant to fill the memory

METADATA_FILES = ("metadata.csv", "metadata.jsonl")  # beside the pictures in Hugging Face's image folders
FILE_NAME, LABEL = "file_name", "label"

Value = int | list[float]


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """One label per image: a class, or a vector."""

    values: np.ndarray  # int64 [N], 0 … c_dim − 1; or float32 [N, c_dim]
    c_dim: int
    class_names: tuple[str, ...] = ()  # as long as c_dim, where the classes have names

    def take(self, indices: np.ndarray) -> Tensor:
        """float32 [len(indices), c_dim]: classes as one-hot rows, vectors as they are."""
        values = torch.from_numpy(self.values[indices])
        if values.ndim == 2:
            return values
        return torch.nn.functional.one_hot(values, self.c_dim).float()

    def rows(self, indices: np.ndarray) -> ImageLabels:
        """Those of some pictures; classes keep their numbers."""
        return ImageLabels(self.values[indices], self.c_dim, self.class_names)

    def counts(self) -> dict[str, int]:
        """Pictures of each class, by name or number; empty for vectors."""
        if self.values.ndim == 2:
            return {}
        names = self.class_names or tuple(map(str, range(self.c_dim)))
        return dict(zip(names, np.bincount(self.values, minlength=self.c_dim).tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """Labels as they were found, by the name of the picture."""

    values: Mapping[str, Value]
    class_names: tuple[str, ...] = ()
    where: str  # for messages: "sub-folders", "labels.csv"
    strict: bool = False  # a picture without a label is a mistake, not a choice


def find_labels(source: ImageSource, spec: str | Path | None, *, films: Sequence[str] = ()) -> LabelTable | None:
    """What the pictures of a source are, as `open_image_dataset` takes it.

    Args:
        spec: None = what comes with them: classes in the file itself, dataset.json, or a metadata.csv or metadata.jsonl
            with a column "label", as Hugging Face's image folders have it; "none"; "folders" = the names of the
            sub-folders; or a table, "FILE.csv" or "FILE.csv:COLUMN" (or .jsonl).
        films: videos that are to have labels as well.

    Raises:
        BadInput, BadConfig: labels that are not there, or do not make sense.
    """
    if str(spec) == "none":
        return None
    names = [*(item.name for item in source.items), *films]
    if spec is None:
        data = source.listing()
        return (
            _from_metadata(source, names)
            if data is None
            else _from_listing(data, f"{source.labels_from} of {source.path}", names)
        )
    return _from_folders(names, source.path) if str(spec) == "folders" else _from_csv(str(spec), names)


def match_labels(table: LabelTable, names: Sequence[str]) -> tuple[ImageLabels, np.ndarray]:
    """The labels of pictures, and which of them have one: (Labels of those, int64 indices into `names`).

    Raises:
        BadInput: none has a label, or one has not where all must.
    """
    labelled = np.array([i for i, name in enumerate(names) if name in table.values], np.int64)
    if len(labelled) == 0 and len(names):
        raise BadInput(f"{table.where} has no label for any of the images, e.g. {names[0]!r}")
    if table.strict and len(labelled) < len(names):
        missing = [name for name in names if name not in table.values]
        raise BadInput(f"{table.where} has no label for {len(missing):,} images, the first is {missing[0]!r}")
    values = [table.values[names[i]] for i in labelled]
    if values and isinstance(values[0], list):
        vectors = np.array(values, np.float32)
        return ImageLabels(vectors, vectors.shape[1]), labelled
    classes = np.array(values, np.int64)
    c_dim = len(table.class_names) or 1 + max(value for value in table.values.values() if isinstance(value, int))
    return ImageLabels(classes, c_dim, table.class_names), labelled


class ImageNames:
    """Finds pictures by the names that people and programs write.

    A name fits exactly; else with either kind of slash, any Unicode form of accents (macOS writes another than Linux)
    and quotes around it; else by its bare name or without regard to case, where only one picture has that.

    Args:
        names: paths below the source, with /.
    """

    def __init__(self, names: Sequence[str]):
        self._tiers = [{name: name for name in names}]
        for simplify in (_plain_name, _bare_name, _folded_name, lambda name: _bare_name(_folded_name(name))):
            by_form: dict[str, list[str]] = {}
            for name in names:
                by_form.setdefault(simplify(name), []).append(name)
            self._tiers.append({key: full[0] for key, full in by_form.items() if len(full) == 1})

    def find(self, text: str) -> str | None:
        """The picture that a written name means; None where there is none, or several."""
        plain = _plain_name(text)
        exact, *others = self._tiers
        forms = (plain, plain, _folded_name(plain), _folded_name(plain))
        return exact.get(text) or next(
            (tier[form] for tier, form in zip(others, forms, strict=True) if form in tier), None
        )


def _plain_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name.strip().strip("\"'").replace("\\", "/"))
    return name.removeprefix("./").lstrip("/")


def _bare_name(name: str) -> str:
    return PurePosixPath(_plain_name(name)).name


def _folded_name(name: str) -> str:
    return _plain_name(name).casefold()


# ── sub-folders ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_folders(names: Sequence[str], path: Path) -> LabelTable:
    """The first folder below those that all pictures share."""
    parts = [PurePosixPath(name).parts[:-1] for name in names]
    shared = 0
    while parts and all(len(part) > shared + 1 for part in parts) and len({part[shared] for part in parts}) == 1:
        shared += 1
    loose = [name for name, part in zip(names, parts, strict=True) if len(part) <= shared]
    if loose:
        raise BadInput(
            f"labels from subfolders: {len(loose):,} images are not in a subfolder of {path}, the first "
            f"is {loose[0]!r}. Use one folder per class."
        )
    classes = sorted({part[shared] for part in parts})
    _check_count(len(classes), f"{path}'s sub-folders")
    number = {name: i for i, name in enumerate(classes)}
    values: dict[str, Value] = {
        name: number[part[shared]] for name, part in zip(names, parts, strict=True)
    }  # fmt: skip
    return LabelTable(values=values, class_names=tuple(classes), where="sub-folders")


def _check_count(count: int, where: str) -> None:
    if count > MAX_CLASSES:
        raise BadInput(f"{where}: {count:,} classes; the maximum is {MAX_CLASSES:,}")


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_csv(wanted: str, names: Sequence[str]) -> LabelTable:
    path, column = _csv_and_column(wanted)
    return _from_rows(_table_rows(path, _read_text(path)), path, column, names)


def _from_rows(rows: list[list[str]], path: Path, column: str | None, names: Sequence[str]) -> LabelTable:
    find = ImageNames(names).find
    header = None if find(rows[0][0]) else rows[0]
    at = _column_at(path, rows, header, column)
    texts: dict[str, str] = {}
    for row in rows[1:] if header else rows:
        name = find(row[0])
        if name is not None and len(row) > at and row[at].strip():
            texts[name] = row[at].strip()
    if not texts:
        example = names[0] if names else "photo.jpg"
        raise BadInput(f"{path} contains none of the image names: its first column should have names like {example!r}")
    classes = sorted(set(texts.values()), key=_in_order)
    _check_count(len(classes), str(path))
    number = {text: i for i, text in enumerate(classes)}
    return LabelTable(
        values={name: number[text] for name, text in texts.items()}, class_names=tuple(classes), where=str(path)
    )


def _csv_and_column(wanted: str) -> tuple[Path, str | None]:
    if Path(wanted).is_file():
        return Path(wanted), None
    path, colon, column = wanted.rpartition(":")
    if colon and Path(path).is_file():
        return Path(path), column
    raise BadConfig(
        f"labels must be none, folders, FILE.csv or FILE.csv:COLUMN; got {wanted!r}, and no such file exists"
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text (UTF-8): {error}") from error


def _table_rows(path: Path, text: str) -> list[list[str]]:
    """The rows of a CSV or of lines of JSON; its first row has the titles."""
    return _jsonl_rows(path, text) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(path, text)


def _jsonl_rows(path: Path, text: str) -> list[list[str]]:
    """One object a line, {"file_name": …, "label": …}."""
    try:
        objects = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} should hold a JSON object in every line: {error}") from error
    if not objects or not all(isinstance(each, dict) and FILE_NAME in each for each in objects):
        raise BadInput(f'{path} should hold a JSON object with "{FILE_NAME}" in every line')
    titles = [FILE_NAME, *dict.fromkeys(key for each in objects for key in each if key != FILE_NAME)]
    return [titles, *([_cell(each.get(title)) for title in titles] for each in objects)]


def _cell(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _csv_rows(path: Path, text: str) -> list[list[str]]:
    """Commas, semicolons or tabs: whichever the first line has most of."""
    first = text.partition("\n")[0]
    between = max(",;\t", key=first.count)
    try:
        lines = csv.reader(io.StringIO(text), delimiter=between, skipinitialspace=True)
        rows = [row for row in lines if row and row[0].strip()]
    except csv.Error as error:
        raise BadInput(f"{path} is not a CSV file: {error}") from error
    if not rows:
        raise BadInput(f"{path} is empty")
    return rows


def _column_at(path: Path, rows: list[list[str]], header: list[str] | None, column: str | None) -> int:
    titles = [title.strip() for title in header or []]
    if column is not None:
        if column not in titles[1:]:
            raise BadConfig(f"{path} has no column {column!r}; it has {', '.join(titles[1:]) or 'no titles'}")
        return titles.index(column, 1)
    if len(rows[0]) == 2:
        return 1
    if "label" in titles[1:]:
        return titles.index("label", 1)
    raise BadConfig(f"{path} has several columns; choose the label column: {path}:{(titles[1:] or ['COLUMN'])[0]}")


def _from_metadata(source: ImageSource, names: Sequence[str]) -> LabelTable | None:
    """The column "label" of metadata.csv or metadata.jsonl, of each folder that has one; None where none has it."""
    rows: list[list[str]] = [[FILE_NAME, LABEL]]
    where = ""
    for name in source.others:
        if PurePosixPath(name).name not in METADATA_FILES:
            continue
        try:
            text = source.read(Item(name, 0, 0)).decode("utf-8-sig")
        except (BadImage, UnicodeDecodeError) as error:
            raise BadInput(f"{source.path}: {name} cannot be read as text (UTF-8): {error}") from error
        titles, *own = _table_rows(Path(name), text)
        if FILE_NAME in titles and LABEL in titles:
            where = where or name
            columns = titles.index(FILE_NAME), titles.index(LABEL)
            folder = PurePosixPath(name).parent
            rows += [[str(folder / row[columns[0]]), row[columns[1]]] for row in own if len(row) > max(columns)]
    return None if len(rows) == 1 else _from_rows(rows, source.path / where, LABEL, names)


def _in_order(text: str) -> tuple[int, float, str]:
    """Numbers by their size and before words, so that 10 comes after 9."""
    try:
        value = float(text)
    except ValueError:
        return 1, 0.0, text
    return (0, value, text) if math.isfinite(value) else (1, 0.0, text)


# ── dataset.json ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_listing(data: bytes, where: str, names: Sequence[str]) -> LabelTable | None:
    """NVIDIA's form: {"labels": [[name, class or vector], …]}, or {"labels": null} for none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON: {error}") from error
    pairs = content.get("labels") if isinstance(content, dict) else content
    if not pairs:
        return None
    find = ImageNames(names).find
    values = {find(name) or name: value for name, value in _pairs(pairs, where).items()}
    titles = content.get("class_names") if isinstance(content, dict) else None
    return LabelTable(values=values, class_names=_titles(titles, values, where), where=where, strict=True)


def _pairs(pairs: object, where: str) -> dict[str, Value]:
    if isinstance(pairs, dict):
        pairs = list(pairs.items())
    if not isinstance(pairs, list):
        raise BadInput(f'{where}: "labels" should be a list of [name, label], got {type(pairs).__name__}')
    values: dict[str, Value] = {}
    for pair in pairs:
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)):
            raise BadInput(f'{where}: "labels" should hold pairs [name, label], got {str(pair)[:80]}')
        values[pair[0]] = _value(pair[1], pair[0], where)
    widths = {len(value) if isinstance(value, list) else 0 for value in values.values()}
    if len(widths) > 1:
        raise BadInput(f"{where}: its labels have different types or lengths")
    return values


def _value(label: object, name: str, where: str) -> Value:
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < MAX_CLASSES:
        return label
    if isinstance(label, list) and 0 < len(label) <= MAX_CLASSES and all(map(_is_number, label)):
        return [float(number) for number in label]
    raise BadInput(
        f"{where}: the label of {name[:80]!r} should be a class from 0 to {MAX_CLASSES - 1:,} or a list of numbers, "
        f"got {str(label)[:80]}"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 3e38


def _titles(titles: object, values: Mapping[str, Value], where: str) -> tuple[str, ...]:
    if titles is None:
        return ()
    classes = [value for value in values.values() if isinstance(value, int)]
    words = isinstance(titles, list) and all(isinstance(title, str) for title in titles)
    if not words or len(titles) > MAX_CLASSES or not classes or max(classes) >= len(titles):  # type: ignore[arg-type]
        raise BadInput(f'{where}: "class_names" should have a name for every class')
    return tuple(titles)  # type: ignore[arg-type]
