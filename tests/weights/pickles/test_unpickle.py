"""Pickles of all protocols and torch files since 2017, read as inert data, against what Python and torch read."""

import argparse
import collections
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torch

from ganvas.errors import BrokenWeights, UnknownWeights
from ganvas.weights.open_file import open_file
from ganvas.weights.pickles.archives import read_npy
from ganvas.weights.pickles.limits import ReadLimits
from ganvas.weights.pickles.records import Record
from ganvas.weights.pickles.unpickle import unpickle


def read(tree, protocol):
    data = pickle.dumps(tree, protocol=protocol)
    return unpickle(memoryview(bytearray(data)), ReadLimits("test", len(data)))


def same(a, b) -> bool:
    """Equal in kind, content and order."""
    if isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and isinstance(a, (type(b), memoryview))


PLAIN = {
    "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**31, 2**63, -(2**90), 1.5, float("inf"), True, False, None],
    "text": ["", "abc", "é\n\\ ' \" \t", "\U0001f600", "x" * 300, "y" * 70_000],
    "bytes": [b"", b"\x00\xff", b"z" * 300, b"w" * 70_000],
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {"a": {1: [2]}}, {1, 2}, frozenset((3, 4))],
    "twice": [shared := [1, 2], shared],
    (1, "a"): collections.OrderedDict(b=1, a=2),
    None: collections.defaultdict(list, x=[1]),
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back(protocol):
    assert same(read(PLAIN, protocol), {**PLAIN, None: {"x": [1]}})


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
        np.arange(6, dtype=">f4"),
        np.array(7, dtype=np.int16),
        np.zeros((0, 3), dtype=np.uint8),
        np.array([True, False]),
        np.array(["ab", "c"]),
    ],
    ids=str,
)
def test_arrays_come_back(array, protocol):
    assert same(read({"a": array, "again": array}, protocol)["again"], array)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_numbers_become_numbers(protocol):
    assert read([np.float32(1.5), np.int64(3), np.bool_(True)], protocol) == [1.5, 3, True]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("here", "there"), [(b"numpy.core", b"numpy._core"), (b"numpy._core", b"numpy.core")])
def test_both_spellings_of_numpys_modules_are_known(here, there, protocol):
    array = np.arange(500.0).reshape(20, 25)
    data = pickle.dumps({"a": array}, protocol=protocol)
    for submodule in (b".multiarray", b".numeric"):
        for count, begin in ((1, b"c"), (1, b"\x8c")):  # the name as a line, and as a text with its length before it
            old, new = here + submodule, there + submodule
            if begin == b"\x8c":
                old, new = bytes([len(old)]) + old, bytes([len(new)]) + new
            data = data.replace(begin + old, begin + new, count)
    if b"\x95" in data[:3]:  # the frame's length has changed with the name
        data = data[:3] + struct.pack("<Q", len(data) - 11) + data[11:]
    assert there in data
    assert same(unpickle(memoryview(bytearray(data)), ReadLimits("test", len(data)))["a"], array)


def test_object_arrays_hold_inert_objects():
    boundary = {"boundary": np.ones((1, 14, 8)), "meta_data": {"manipulate_layers": [2, 3]}}
    array = read(np.array(boundary, dtype=object), 4)
    assert array.shape == ()
    assert same(array.item(), boundary)


TENSORS = {
    "plain": torch.arange(12.0).reshape(3, 4),
    "turned": torch.arange(12.0).reshape(3, 4).T,
    "part": torch.arange(12.0)[2:7:2],
    "half": torch.randn(3).half(),
    "brain": torch.randn(3).bfloat16(),
    "long": torch.tensor(2**40),
    "bool": torch.tensor([True, False]),
    "empty": torch.zeros(0, 5),
    "expanded": torch.ones(1).expand(3, 2),
    "parameter": torch.nn.Parameter(torch.randn(2)),
}
SHARED = torch.arange(100.0)


def tree_of_tensors():
    return {
        "state": collections.OrderedDict(TENSORS),
        "shared": [SHARED[:50], SHARED[25:75]],
        "step": 3,
        "args": argparse.Namespace(size=64, name="x"),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cuda", 1),
    }


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_torch_files_come_back(tmp_path, legacy):
    path = tmp_path / "weights.pth"
    torch.save(tree_of_tensors(), path, _use_new_zipfile_serialization=not legacy)
    found = open_file(path)
    assert found.container == "torch"
    assert same(found.tree["state"], dict(TENSORS))
    assert same(found.tree["shared"], [SHARED[:50], SHARED[25:75]])
    assert found.tree["shared"][0].untyped_storage().data_ptr() == found.tree["shared"][1].untyped_storage().data_ptr()
    assert found.tree["size"] == (2, 3)
    assert found.tree["dtype"] is torch.float16
    args = found.tree["args"]
    assert isinstance(args, Record)
    assert (args.class_name, args.state) == ("argparse.Namespace", {"size": 64, "name": "x"})


@pytest.mark.parametrize("protocol", range(2, 6))
def test_tensors_in_a_plain_pickle_come_back(protocol):
    tree = read(TENSORS, protocol)
    assert same(tree, dict(TENSORS))


def test_a_zip_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(TENSORS, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(open_file(tmp_path / "w.pth").tree, dict(TENSORS))


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.float32(3), np.zeros((0,))],
)
def test_npy_and_npz_are_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    assert same(open_file(tmp_path / "a.npy").tree, np.asarray(array))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", first=array, second=np.ones(3))
        assert same(open_file(tmp_path / "a.npz").tree, {"first": np.asarray(array), "second": np.ones(3)})


def test_a_structured_array_is_refused_in_words():
    data = io.BytesIO()
    np.save(data, np.zeros(3, dtype=[("a", "f4"), ("b", "i8")]))
    with pytest.raises(BrokenWeights, match="not that of a plain array"):
        read_npy(memoryview(data.getvalue()), ReadLimits("a.npy", len(data.getvalue())))


# ---- Files that are something else, each in plain words ------------------------------------------------------------


def zip_of(path, **members):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>", "is a web page"),
        (b"\n\n  <html lang=en><head></head></html>", "is a web page"),
        (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html></html>', "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "error message of a file host"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 381624121\n", "git-LFS pointer"),
    ],
)
def test_what_came_instead_of_a_file_is_named(tmp_path, content, says):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(BrokenWeights, match=says):
        open_file(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras or HDF5"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "TensorFlow Lite"),
        (b"GGUF" + bytes(100), "GGUF"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "image"),
        (b"just some notes", "begins with b'just some notes'"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path, content, says):
    (tmp_path / "model.dat").write_bytes(content)
    with pytest.raises(UnknownWeights, match=says):
        open_file(tmp_path / "model.dat")


def test_a_folder_names_the_files_in_it(tmp_path):
    with pytest.raises(BrokenWeights, match=r"is a folder\. There is no weights file in it"):
        open_file(tmp_path)
    (tmp_path / "G.pkl").write_bytes(b"x")
    with pytest.raises(BrokenWeights, match=r"Choose a file in it: G\.pkl"):
        open_file(tmp_path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(BrokenWeights, match="there is no file"):
        open_file(tmp_path / "nothing.pt")


def test_other_archives_are_named(tmp_path):
    zip_of(tmp_path / "a.zip", **{"a.txt": "x"})
    with pytest.raises(UnknownWeights, match=r"zip archive of a\.txt"):
        open_file(tmp_path / "a.zip")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.zip", "weights.zip")
    with pytest.raises(UnknownWeights, match="tar archive"):
        open_file(tmp_path / "a.tar")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_named(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(tmp_path / "m.pt"))
    with pytest.raises(UnknownWeights, match="TorchScript"):
        open_file(tmp_path / "m.pt")


def test_tensorflow_pickles_are_named(tmp_path):
    from tests.weights.foreign import borrowed

    class Network:
        pass

    with borrowed(dnnlib__tflib__network__Network=Network), (tmp_path / "ffhq.pkl").open("wb") as file:
        pickle.dump((Network(), Network(), Network()), file)
    with pytest.raises(UnknownWeights, match="TensorFlow years"):
        open_file(tmp_path / "ffhq.pkl")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_said(tmp_path, share, legacy):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.randn(1000), "b": torch.randn(1000)}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BrokenWeights, match=r"w\.pth is damaged"):
        open_file(path)


def test_a_flipped_bit_in_a_zip_is_noticed(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    data = bytearray(path.read_bytes())
    data[data.find(bytes(4000)) + 2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenWeights, match="wrong checksum"):
        open_file(path)
