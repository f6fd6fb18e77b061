"""CIFAR-10 and CIFAR-100 as their page hands them out: a .tar.gz of Python pickles, or the folder that it unpacks to.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". The pickles are read as inert data by the
reader of `ganvas.weights.pickles`: nothing that they name is ever run.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.datasets.arrays import ArraySource
from ganvas.errors import BadInput, WeightsError
from ganvas.weights.pickles.limits import ReadLimits
from ganvas.weights.pickles.unpickle import unpickle

TRAIN_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "train")
TEST_BATCHES = ("test_batch", "test")
METAS = {"batches.meta": "label_names", "meta": "fine_label_names"}
MAX_BATCH_BYTES = 512 << 20
_SIDE_PX = 32


def is_cifar(names: Sequence[str]) -> bool:
    """Whether these files, or what lies in a folder of this kind, are CIFAR's."""
    bare = {Path(name).name for name in names}
    return bool(bare & set(METAS)) and bool(bare & {*TRAIN_BATCHES, *TEST_BATCHES})


def open_cifar_folder(path: Path, names: Sequence[str]) -> ArraySource:
    """The pictures of a folder that has these files below it: those of training where they are there.

    Raises:
        BadInput: a file that is no batch of CIFAR.
    """
    files = {Path(name).name: path / name for name in names}
    used, others = _choose(files)
    return _source(path, {name: _read(files[name]) for name in used}, others)


def open_cifar_tar(path: Path) -> ArraySource | None:
    """The same from a tar archive, packed or not; None where it is one of something else.

    Raises:
        BadInput: broken, or a file in it that is no batch of CIFAR.
    """
    batches: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if not member.isreg() or name not in {*TRAIN_BATCHES, *TEST_BATCHES, *METAS}:
                    if not batches and member.isreg() and not name.endswith((".html", ".txt")) and "~" not in name:
                        return None  # before all of another archive is unpacked
                    continue
                if member.size > MAX_BATCH_BYTES:
                    raise BadInput(f"{path}: {name} has {member.size:,} bytes, too many for a batch of CIFAR")
                file = archive.extractfile(member)
                batches[name] = b"" if file is None else file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} is broken or truncated: {error}") from error
    if not is_cifar(list(batches)):
        return None
    used, others = _choose(batches)
    return _source(path, {name: batches[name] for name in used}, others)


def _choose(files: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(the batches of training, or of the test where there are no others, with their table of names; the rest)."""
    train = [name for name in TRAIN_BATCHES if name in files]
    used = train or [name for name in TEST_BATCHES if name in files]
    metas = [name for name in METAS if name in files]
    return [*used, *metas], sorted(set(files) - {*used, *metas})


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BATCH_BYTES:
            raise BadInput(f"{path} has {path.stat().st_size:,} bytes, too many for a batch of CIFAR")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def _source(path: Path, files: Mapping[str, bytes], others: Sequence[str]) -> ArraySource:
    contents = {name: _read_pickle(data, f"{path}: {name}") for name, data in files.items()}
    names: list[str] = []
    for meta, key in METAS.items():
        names = [str(word) for word in contents.pop(meta, {}).get(key, names)]
    arrays = {name: _pictures(content, f"{path}: {name}") for name, content in contents.items()}
    classes = [_classes(content, f"{path}: {name}") for name, content in contents.items()]
    return ArraySource(path, arrays, classes=np.concatenate(classes), class_names=names, others=others)


def _read_pickle(data: bytes, where: str) -> dict[str, Any]:
    """The dict of a pickle, with its keys as text."""
    try:
        content = unpickle(memoryview(data), ReadLimits(where, len(data)))
    except WeightsError as error:
        raise BadInput(f"{where} is not read: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{where} holds a {type(content).__name__}; a batch of CIFAR is a dict")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def _pictures(content: Mapping[str, Any], where: str) -> np.ndarray:
    """uint8 [N, 32, 32, 3] of rows [N, 3072]: all reds of a picture, then greens, then blues."""
    rows = content.get("data")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * _SIDE_PX**2:
        raise BadInput(f"{where} has no pictures of 32 x 32 pixels under 'data'; it is no batch of CIFAR")
    return rows.reshape(-1, 3, _SIDE_PX, _SIDE_PX).transpose(0, 2, 3, 1)


def _classes(content: Mapping[str, Any], where: str) -> np.ndarray:
    labels = content.get("labels", content.get("fine_labels"))
    if not isinstance(labels, list) or not all(isinstance(c, int) and 0 <= c < 1000 for c in labels):
        raise BadInput(f"{where} has no classes under 'labels' or 'fine_labels'; it is no batch of CIFAR")
    if len(labels) != len(content["data"]):
        raise BadInput(f"{where} has {len(content['data']):,} pictures and {len(labels):,} classes")
    return np.array(labels, np.int64)
