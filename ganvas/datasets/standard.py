"""Which of the standard forms of data sets a file or a folder is; each form has a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from ganvas.datasets import arrays
from ganvas.datasets.archive import is_zip
from ganvas.datasets.cifar import is_cifar, open_cifar_folder, open_cifar_tar
from ganvas.datasets.folder import Folder, ImageSource
from ganvas.datasets.lmdb_file import LmdbFile, is_lmdb
from ganvas.datasets.tables import TABLE_SUFFIXES, TableSource
from ganvas.datasets.tar_shards import TarShards
from ganvas.errors import BadInput

_TRAIN, _TEST = "train", ("test", "t10k", "val", "valid", "validation")


def open_standard_file(path: Path) -> ImageSource | None:
    """A file that is a data set, by its first bytes; None where it is none of these kinds.

    MNIST's idx (packed by gzip or not), .npy, .npz, a tar of pictures or WebDataset's samples, CIFAR's .tar.gz,
    Parquet, Arrow, LMDB. Classes come along where the form has them.

    Raises:
        BadInput: damaged, hostile, or without pictures. MissingExtra: a table, without the extra [parquet].
    """
    start = arrays.read_start(path)
    if arrays.is_idx(start):
        return arrays.open_idx(path)
    if start.startswith(b"\x93NUMPY"):
        return arrays.open_npy(path)
    if is_zip(path) and path.suffix.lower() == ".npz":
        return arrays.open_npz(path)
    if start[257:262] == b"ustar":
        cifar = open_cifar_tar(path)
        if cifar is None and arrays.is_packed(path):
            raise BadInput(
                f"{path} is a tar packed by gzip, in which pictures cannot be listed quickly: gunzip it first"
            )
        return cifar or TarShards(path, [path])
    if start[:4] == b"PAR1" or start[:6] == b"ARROW1" or path.suffix.lower() == ".arrow":
        return TableSource(path, [path])
    return LmdbFile(path) if is_lmdb(start) else None


def open_standard_folder(folder: Folder) -> ImageSource | None:
    """A folder without picture files that holds data sets: of those of training and testing, the ones of training.

    Raises:
        BadInput, MissingExtra: see `open_standard_file`.
    """
    names = folder.others
    if is_cifar(names):
        return open_cifar_folder(folder.path, names)
    for suffixes, several in ((TABLE_SUFFIXES, TableSource), ((".tar",), TarShards)):
        listed = [name for name in names if name.lower().endswith(suffixes)]
        if listed:
            used = _of_training(listed)
            others = [name for name in names if name not in used]
            return several(folder.path, [folder.path / name for name in used], others=others)
    idx = _one_of(folder, lambda name: arrays.is_idx(arrays.read_start(folder.path / name, 4)), "idx")
    numpy = idx or _one_of(folder, lambda name: arrays.is_numpy_pictures(folder.path / name), "NumPy")
    return numpy or _one_of(folder, lambda name: is_lmdb(arrays.read_start(folder.path / name)), "LMDB")


def _one_of(folder: Folder, is_one: Callable[[str], bool], kind: str) -> ImageSource | None:
    """The only file of a kind, or the only one of training."""
    listed = [name for name in folder.others if is_one(name)]
    plain = {name.removesuffix(".gz"): name for name in sorted(listed, reverse=True)}  # unpacked before packed
    used = _of_training(list(plain.values()))
    if not used:
        return None
    if len(used) > 1:
        raise BadInput(
            f"{folder.path} has {len(used)} {kind} files of pictures, {', '.join(sorted(used)[:4])}: pass one"
        )
    return open_standard_file(folder.path / used[0])


def _of_training(names: Sequence[str]) -> list[str]:
    """Where some are called by "train" and others by "test", the first; else all."""
    words = {
        name: set(PurePosixPath(name.lower().replace("-", "/").replace("_", "/").replace(".", "/")).parts)
        for name in names
    }
    train = [name for name in names if _TRAIN in words[name]]
    tests = [name for name in names if words[name] & set(_TEST)]
    return sorted(train if train and tests else names)
