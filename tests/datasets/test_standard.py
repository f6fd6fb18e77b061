"""Data sets in their standard forms give the pictures and classes that were put in."""

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
from contextlib import suppress

import numpy as np
import pytest
import torch

from ganvas.datasets.check import check_dataset
from ganvas.datasets.image_dataset import open_image_dataset
from ganvas.datasets.prepare import make_dataset
from ganvas.datasets.reading import open_source
from ganvas.errors import BadImage, BadInput
from tests.datasets.makers import encoded, put

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
CLASSES = np.array([5, 0, 4, 1, 9, 2])


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def opened(path, **options):
    """(pixels [N, C, R, R], classes or None) as training gets them, unscaled."""
    side = options.pop("side", 32)
    pictures = open_image_dataset(path, resolution=side, cache=False, **options)
    pixels, c = pictures.batch(range(len(pictures)))
    return pixels, None if c is None else c.argmax(dim=1).tolist()


def of_colour(array=COLOUR):
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


@pytest.fixture
def mnist(tmp_path):
    files = {
        "train-images-idx3-ubyte.gz": gzip.compress(idx(GREY)),
        "train-labels-idx1-ubyte.gz": gzip.compress(idx(CLASSES.astype(np.uint8))),
        "t10k-images-idx3-ubyte": idx(GREY[:2]),
        "t10k-labels-idx1-ubyte": idx(CLASSES[:2].astype(np.uint8)),
    }
    return put(tmp_path / "MNIST", files)


def test_mnist_as_it_comes_packed_or_not_file_or_folder(mnist):
    for path, count in ((mnist, 6), (mnist / "train-images-idx3-ubyte.gz", 6), (mnist / "t10k-images-idx3-ubyte", 2)):
        pixels, classes = opened(path, side=28, channels=1)
        assert torch.equal(pixels[:, 0], torch.from_numpy(GREY[:count])) and classes == CLASSES[:count].tolist()
    assert opened(mnist, labels="none")[1] is None


def test_make_and_check_take_them_with_their_classes(mnist, tmp_path):
    report = check_dataset(mnist, resolution=28)
    assert report.usable == 6 and report.class_counts["5"] == 1 and len(report.findings["grey"]) == 6
    made = make_dataset(mnist, tmp_path / "set.zip", resolution=28, channels=1)
    assert made.count == 6
    pixels, classes = opened(tmp_path / "set.zip", side=28, channels=1)
    assert torch.equal(pixels[:, 0], torch.from_numpy(GREY)) and classes == CLASSES.tolist()


def test_idx_that_is_cut_short_or_lies_is_refused(tmp_path):
    with pytest.raises(BadInput, match="truncated"):
        opened(put(tmp_path, {"a": idx(GREY)[:-1]}) / "a")
    bomb = gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 2**20, 2**12, 2**12))
    with pytest.raises(BadInput, match="unpack it first"):
        opened(put(tmp_path, {"b.gz": bomb}) / "b.gz")


def python_2_pickle(pixels, classes):
    """As cPickle wrote CIFAR's batches: texts instead of bytes, arrays through _reconstruct."""
    rows = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)
    shape = b"(K\x01K" + bytes([len(rows)]) + b"M" + struct.pack("<H", rows.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    numbers = b"\x89T" + struct.pack("<I", rows.size) + rows.tobytes() + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R" + shape + dtype + numbers
    labels = b"](" + b"".join(b"K" + bytes([c]) for c in classes) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"u."


def cifar(meta=b"\x80\x02}U\x0blabel_names](" + b"".join(b"U\x02c%d" % c for c in range(10)) + b"es."):
    names = [f"data_batch_{k}" for k in (1, 2)]
    batches = [python_2_pickle(COLOUR[k : k + 3], CLASSES[k : k + 3]) for k in (0, 3)]
    return {
        **dict(zip(names, batches, strict=True)),
        "test_batch": batches[0],
        "batches.meta": meta,
        "readme.html": b"",
    }


def tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_cifar_as_a_folder_and_as_its_tar_gz(tmp_path):
    packed = {f"cifar-10-batches-py/{name}": data for name, data in cifar().items()}
    for path in (put(tmp_path / "cifar", cifar()), tar(tmp_path / "cifar-10-python.tar.gz", packed, "w:gz")):
        pixels, classes = opened(path)
        assert torch.equal(pixels, of_colour()) and classes == CLASSES.tolist()
        assert open_image_dataset(path, cache=False).class_names == tuple(f"c{c}" for c in range(10))


class Harm:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_that_asks_for_code_is_refused_and_not_run(tmp_path, capsys):
    files = cifar() | {"data_batch_2": pickle.dumps({"data": Harm()})}
    with pytest.raises(BadInput, match=r"data_batch_2 is not read.*print"):
        opened(put(tmp_path / "cifar", files))
    assert "run" not in capsys.readouterr().out


def test_numpy_files_in_any_order_of_axes_with_labels_inside_or_beside(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=COLOUR, y_train=CLASSES[:, None], x_test=COLOUR[:2], y_test=CLASSES[:2])
    (tmp_path / "beside").mkdir()
    np.save(tmp_path / "beside" / "images.npy", COLOUR.transpose(0, 3, 1, 2))
    np.save(tmp_path / "beside" / "labels.npy", CLASSES)
    for path in (tmp_path / "set.npz", tmp_path / "beside", tmp_path / "beside" / "images.npy"):
        pixels, classes = opened(path)
        assert torch.equal(pixels, of_colour()) and classes == CLASSES.tolist()
    np.save(tmp_path / "floats.npy", COLOUR / 255)
    with pytest.raises(BadInput, match="uint8"):
        opened(tmp_path / "floats.npy")
    np.save(tmp_path / "objects.npy", np.array([Harm()], object), allow_pickle=True)
    with pytest.raises(BadInput, match="cannot be read"):
        opened(tmp_path / "objects.npy")


def test_webdataset_shards_and_plain_tars(tmp_path):
    samples = [{f"{i:03d}.png": encoded(COLOUR[i]), f"{i:03d}.cls": b"%d\n" % CLASSES[i]} for i in range(6)]
    folder = tmp_path / "shards"
    folder.mkdir()
    for k in range(2):
        tar(
            folder / f"train-{k}.tar",
            {name: data for each in samples[3 * k : 3 * k + 3] for name, data in each.items()},
        )
    pixels, classes = opened(folder)
    assert torch.equal(pixels, of_colour()) and classes == CLASSES.tolist()
    plain = {f"{'ab'[i % 2]}/{i}.png": encoded(COLOUR[i]) for i in range(6)}
    assert opened(tar(tmp_path / "plain.tar", plain), labels="folders")[1] == [0, 1, 0, 1, 0, 1]
    with pytest.raises(BadInput, match="points outside"):
        opened(tar(tmp_path / "bad.tar", {"../x.png": b"x"}))
    with pytest.raises(BadInput, match="gunzip"):
        opened(tar(tmp_path / "packed.tar.gz", plain, "w:gz"))
    with pytest.raises(BadInput, match="number of a class"):
        opened(tar(tmp_path / "words.tar", {"1.png": encoded(COLOUR[0]), "1.cls": b"cat"}))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_hugging_face_image_folders_with_metadata(tmp_path, kind):
    files = {f"train/{i}.png": encoded(COLOUR[i]) for i in range(6)}
    rows = [{"file_name": f"{i}.png", "text": "a, b", "label": f"c{CLASSES[i]}"} for i in range(6)]
    lines = [json.dumps(row) for row in rows]
    if kind == "csv":
        lines = ["text,file_name,label", *(f'"{row["text"]}",{row["file_name"]},{row["label"]}' for row in rows)]
    folder = put(tmp_path, {**files, f"train/metadata.{kind}": "\n".join(lines).encode()})
    by_name = {name: place for place, name in enumerate(sorted(f"c{c}" for c in CLASSES))}
    assert opened(folder)[1] == [by_name[row["label"]] for row in rows]
    if kind == "jsonl":
        assert opened(folder, labels=f"{folder}/train/metadata.jsonl:text")[1] == [0] * 6


def test_parquet_and_arrow_as_the_library_datasets_writes_them(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = [f"digit {c}" for c in range(10)]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    images = pa.array(
        [{"bytes": encoded(each), "path": None} for each in COLOUR],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    table = pa.table({"image": images, "label": CLASSES})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=4)
    parquet.write_table(table.slice(0, 2), tmp_path / "data" / "test-00000-of-00001.parquet")
    (tmp_path / "saved").mkdir()
    with pa.ipc.new_stream(str(tmp_path / "saved" / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    (tmp_path / "saved" / "state.json").write_text("{}")
    for path in (tmp_path / "data", tmp_path / "data" / "train-00000-of-00001.parquet", tmp_path / "saved"):
        pixels, classes = opened(path)
        assert torch.equal(pixels, of_colour()) and classes == CLASSES.tolist()
    assert open_image_dataset(tmp_path / "data", cache=False).class_names == tuple(names)
    parquet.write_table(pa.table({"words": ["a"]}), tmp_path / "words.parquet")
    with pytest.raises(BadInput, match="one column of pictures"):
        opened(tmp_path / "words.parquet")


def test_a_changed_array_is_noticed_by_the_cache(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    first = open_image_dataset(tmp_path / "x.npy", resolution=32)
    assert "read from the cache" in open_image_dataset(tmp_path / "x.npy", resolution=32).report[-1]
    np.save(tmp_path / "x.npy", COLOUR[::-1])
    assert open_image_dataset(tmp_path / "x.npy", resolution=32).fingerprint != first.fingerprint


def lmdb_of(path, values, *, subdir=True):
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(path), map_size=1 << 26, subdir=subdir) as env, env.begin(write=True) as write:
        for key, value in values.items():
            write.put(key, value)
    return path


def test_lmdb_as_lsun_and_ports_of_stylegan_write_it(tmp_path):
    pictures = [encoded(one) for one in COLOUR]
    lsun = lmdb_of(tmp_path / "bedroom_lmdb", {hashlib.sha1(one).hexdigest().encode(): one for one in pictures})
    keys = sorted(hashlib.sha1(one).hexdigest() for one in pictures)
    source = open_source(lsun)
    assert [item.name for item in source.items] == keys
    assert {source.read(item) for item in source.items} == set(pictures)
    sizes = {f"{px}-{i:05d}".encode(): pictures[i] for px in (8, 32) for i in range(6)}
    several = lmdb_of(tmp_path / "faces.lmdb", {**sizes, b"length": b"6"}, subdir=False)
    assert torch.equal(opened(several)[0], of_colour())


def test_a_deep_lmdb_is_read_as_its_own_library_reads_it(tmp_path):
    pairs = {f"{i * 7919 % 3001:04}".encode(): b"x" * (i % 5000) for i in range(3000)}
    source = open_source(lmdb_of(tmp_path / "many.lmdb", pairs))
    assert [item.name.encode() for item in source.items] == sorted(pairs)
    assert all(source.read(item) == pairs[item.name.encode()] for item in source.items if item.size)


def test_a_cut_or_changed_lmdb_is_refused(tmp_path):
    data = (lmdb_of(tmp_path / "x.lmdb", {f"{i}".encode(): bytes(3000) for i in range(99)}) / "data.mdb").read_bytes()
    broken = tmp_path / "broken.mdb"
    rng = np.random.default_rng(0)
    for length in range(512, len(data) - 4096, 8 * 4096):
        broken.write_bytes(data[:length])
        with pytest.raises(BadInput):
            open_source(broken)
    for _ in range(100):  # whatever is in it, it ends, in pictures or in words
        changed = bytearray(data)
        for place in rng.integers(32, min(len(data), 8 * 4096), 8):
            changed[place] = rng.integers(256)
        broken.write_bytes(changed)
        with suppress(BadInput, BadImage):
            source = open_source(broken)
            for item in source.items:
                source.read(item)
