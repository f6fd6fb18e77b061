"""Pictures in Parquet and Arrow tables, as Hugging Face's `datasets` keeps and publishes them (extra [parquet]).

A picture is a struct {bytes, path} or plain bytes; its class a number, with names in the table's own description
(ClassLabel), or a word. Rows are read when they are needed.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ganvas.datasets.folder import Item, check_bytes
from ganvas.errors import BadImage, BadInput, MissingExtra

_IMAGE_COLUMNS = ("image", "img", "png", "jpg", "picture")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "cls")
TABLE_SUFFIXES = (".parquet", ".arrow")


class TableSource:
    """The pictures of tables, row by row.

    Args:
        path: one table, or the folder that holds several.
        files: the tables, sorted.
        others: files beside them that are not used.

    Raises:
        BadInput: a broken table, or one without pictures.
        MissingExtra: pyarrow is not installed.
    """

    films: tuple[str, ...] = ()
    labels_from = "the file itself"

    def __init__(self, path: Path, files: Sequence[Path], *, others: Sequence[str] = ()):
        self.path, self.others = path, tuple(others)
        tables = [_open(file) for file in files]
        self._rows = {
            f"{file.stem}/{row:06d}": (table, row)
            for file, table in zip(files, tables, strict=True)
            for row in range(table.count)
        }
        stats = {id(table): file.stat() for file, table in zip(files, tables, strict=True)}
        self.items = tuple(
            Item(name, stats[id(table)].st_size, stats[id(table)].st_mtime_ns)
            for name, (table, _) in self._rows.items()
        )
        self._labels = [label for table in tables for label in table.labels()]
        self._class_names = tables[0].class_names if tables else []

    def read(self, item: Item) -> bytes:
        """The contents of a picture.

        Raises:
            BadImage: none there, or far too large.
        """
        table, row = self._rows[item.name]
        data = table.picture(row)
        if data is None:
            raise BadImage("is not in the table, which only names a file")
        check_bytes(len(data))
        return data

    def open(self, item: Item) -> IO[bytes]:
        """The same as a file; raises OSError where it cannot be had."""
        try:
            return io.BytesIO(self.read(item))
        except BadImage as error:
            raise OSError(str(error)) from error

    def listing(self) -> bytes | None:
        """The classes, in the form of a dataset.json; words become numbers in their order."""
        if not self._labels or any(label is None for label in self._labels):
            return None
        values, names = self._labels, self._class_names
        if isinstance(values[0], str):
            names = sorted(set(values))
            number = {name: place for place, name in enumerate(names)}
            values = [number[value] for value in values]
        pairs = [[item.name, value] for item, value in zip(self.items, values, strict=True)]
        return json.dumps({"labels": pairs, "class_names": names or None}).encode()


class _Table:
    """One file; its groups of rows are read one at a time, and the last one is kept."""

    def __init__(self, path: Path, schema: Any, groups: Sequence[int], read: Any):
        self.path, self.count = path, sum(groups)
        self._groups, self._read = groups, read
        self._image = _image_column(schema, path)
        self._label = next((n for n in _LABEL_COLUMNS if n in schema.names and _is_label(schema.field(n).type)), None)
        self.class_names = _class_names(schema, self._label)
        self._lock = threading.Lock()
        self._kept: tuple[int, Any] = (-1, None)

    def picture(self, row: int) -> bytes | None:
        group = 0
        while row >= self._groups[group]:
            row, group = row - self._groups[group], group + 1
        with self._lock:
            if self._kept[0] != group:
                self._kept = (group, self._read(group, [self._image]).column(self._image))
            value = self._kept[1][row].as_py()
        return value.get("bytes") if isinstance(value, dict) else value

    def labels(self) -> list[Any]:
        if self._label is None:
            return [None] * self.count
        return [v for g in range(len(self._groups)) for v in self._read(g, [self._label]).column(0).to_pylist()]


def _open(path: Path) -> _Table:
    arrow = _pyarrow()
    try:
        with open(path, "rb") as file:
            start = file.read(6)
        if start[:4] == b"PAR1":
            from pyarrow import parquet

            whole = parquet.ParquetFile(path)
            groups = [whole.metadata.row_group(i).num_rows for i in range(whole.num_row_groups)]
            return _Table(path, whole.schema_arrow, groups, lambda i, names: whole.read_row_group(i, columns=names))
        open_table = arrow.ipc.open_file if start == b"ARROW1" else arrow.ipc.open_stream
        table = open_table(arrow.memory_map(str(path))).read_all()  # looks into the file
        return _Table(path, table.schema, [table.num_rows], lambda i, names: table.select(names))
    except (arrow.ArrowException, OSError) as error:
        raise BadInput(f"{path} cannot be read as a table: {str(error).splitlines()[0][:200]}") from error


def _image_column(schema: Any, path: Path) -> str:
    names = [name for name in schema.names if _is_image(schema.field(name).type)]
    chosen = next((name for name in _IMAGE_COLUMNS if name in names), names[0] if len(names) == 1 else None)
    if chosen is None:
        raise BadInput(
            f"{path} should have one column of pictures (a struct with 'bytes', or bytes), such as 'image'; its "
            f"columns are {', '.join(f'{name} ({schema.field(name).type})' for name in schema.names)[:300]}"
        )
    return chosen


def _is_image(kind: Any) -> bool:
    types = _pyarrow().types
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return types.is_binary(kind) or types.is_large_binary(kind)


def _is_label(kind: Any) -> bool:
    types = _pyarrow().types
    return types.is_integer(kind) or types.is_string(kind)


def _class_names(schema: Any, label: str | None) -> list[str]:
    """The names that `datasets` writes beside a ClassLabel."""
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in described] if isinstance(described, list) else []


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise MissingExtra("reading Parquet and Arrow tables", "parquet") from error
    return pyarrow
