"""A folder or an archive becomes a set: what is wrong is named, and a cache is trusted as far as it is whole."""

import os
import shutil
import threading

import numpy as np
import pytest
import torch

from ganvas.datasets import ImageDataset, image_dataset as room, open_image_dataset
from ganvas.datasets.cache import InFile
from ganvas.datasets.folder import Folder
from ganvas.errors import BadConfig, BadImage, BadInput, Stopped
from tests.datasets.makers import colours, encoded, listing, pack, put, some


def everything(pictures):
    return pictures.batch(np.arange(len(pictures)))[0]


def cache_file(home):
    (file,) = (home / "datasets").iterdir()
    return file


@pytest.fixture
def home():
    from pathlib import Path

    return Path(os.environ["GANVAS_HOME"])


@pytest.fixture(params=["in memory", "in a file"])
def kept(request, monkeypatch):
    if request.param == "in a file":
        monkeypatch.setattr(room, "DATASET_IN_MEMORY_BYTES", 0)
    return request.param


def test_a_batch_is_the_pictures_asked_for(tmp_path, kept):
    folder = put(tmp_path / "photos", some(5))
    pictures = open_image_dataset(folder, resolution=24)
    assert (len(pictures), pictures.img_resolution, pictures.img_channels, pictures.c_dim) == (5, 24, 3, 0)
    for each in (pictures, open_image_dataset(folder, resolution=24)):  # read, and from the cache
        assert isinstance(each._store, InFile) == (kept == "in a file")
        img, labels = each.batch(np.array([4, 0, 4]))
        assert img.dtype == torch.uint8 and img.shape == (3, 3, 24, 24) and img.is_contiguous() and labels is None
        for pixels, number in zip(img.numpy(), (4, 0, 4), strict=True):
            assert (pixels == colours(number).transpose(2, 0, 1)).all()
        img.zero_()  # a copy: the set stays as it was
        assert (each.batch([4])[0].numpy()[0] == colours(4).transpose(2, 0, 1)).all()
        for wrong in ([5], [-1], [[0]]):
            with pytest.raises(BadConfig, match="indices from 0 to 4"):
                each.batch(wrong)


def test_bad_files_are_left_out_and_named(tmp_path):
    jpeg = encoded(colours(1), "JPEG")
    folder = put(
        tmp_path,
        {
            "good.png": encoded(colours(0)),
            "cut.jpg": jpeg[: len(jpeg) // 2],
            "empty.png": b"",
            "page.jpg": b"<html>not found</html>",
            "tiny.png": encoded(colours(2, width=5, height=9)),
            "notes.txt": b"hello",
            ".hidden.png": b"",
            "__MACOSX/good.png": b"",
        },
    )
    (folder / "lost.png").symlink_to(folder / "nowhere.png")
    pictures = open_image_dataset(folder, resolution=16)
    assert pictures.names == ("good.png",)
    why = dict(pictures.skipped)
    assert set(why) == {"cut.jpg", "empty.png", "page.jpg", "tiny.png", "lost.png"}
    report = "\n".join(pictures.report)
    for name, words in {
        "cut.jpg": "broken or truncated",
        "empty.png": "empty",
        "page.jpg": "web page",
        "tiny.png": "5 x 9 pixels",
        "lost.png": "No such file",
    }.items():
        assert words in why[name] and f"skipped {name}: {why[name]}" in report
    assert "1 of 6 images" in report and "ignored, not images: notes.txt" in report and "hidden" not in report


def test_what_was_done_is_said(tmp_path):
    files = {
        "wide.jpg": encoded(colours(0, width=300, height=200), "JPEG"),
        "grey.png": encoded(colours(1, channels=1)),
        "clear.png": encoded(colours(2, channels=4)),
        "copy.png": encoded(colours(1, channels=1)),
    }
    report = "\n".join(open_image_dataset(put(tmp_path, files), resolution=32).report)
    for line in (
        "1 are not square: centre-cropped",
        "1 are larger: downscaled with Pillow's Lanczos filter",
        "3 are smaller than 32: enlarged",
        "2 are grey",
        "1 have transparency: composited on white",
        "1 are exact duplicates",
    ):
        assert line in report


def test_when_nothing_is_left_it_says_why(tmp_path):
    with pytest.raises(BadInput, match="no folder or archive"):
        open_image_dataset(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"no images; it has 1 \.txt"):
        open_image_dataset(put(tmp_path / "a", {"a.txt": b"x"}))
    with pytest.raises(BadInput, match=r"1 videos: 'ganvas dataset make"):
        open_image_dataset(put(tmp_path / "b", {"a.mp4": b"x"}))
    with pytest.raises(BadInput, match=r"no usable image.*skipped a.png: is not a supported image"):
        open_image_dataset(put(tmp_path / "c", {"a.png": b"x"}), resolution=16)
    with pytest.raises(BadInput, match="neither a folder nor a zip"):
        open_image_dataset(put(tmp_path / "d", {"a.png": b"x"}) / "a.png")
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [([(100, 130)] * 9 + [(20, 20)], 64), ([(512, 512)] * 3, 512), ([(900, 700)], 256), ([(33, 40), (70, 70)], 32)],
)
def test_the_resolution_is_what_the_pictures_have(tmp_path, sizes, chosen):
    for i, (width, height) in enumerate(sizes):
        put(tmp_path, {f"{i}.png": encoded(np.zeros((height, width, 3), np.uint8))})
    assert open_image_dataset(tmp_path, cache=False).img_resolution == chosen


# ── the cache ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_second_start_reads_no_picture(tmp_path, kept, monkeypatch):
    folder = put(tmp_path, some(4) | {"bad.png": b"x"})
    first = open_image_dataset(folder, resolution=24)
    monkeypatch.setattr(room, "load_all", None)
    second = open_image_dataset(folder, resolution=24)
    assert torch.equal(everything(first), everything(second))
    assert (first.fingerprint, first.names, first.skipped) == (second.fingerprint, second.names, second.skipped)
    assert "read from the cache" in second.report[-1]


@pytest.mark.parametrize("change", ["another picture", "one more", "one less", "a touch"])
def test_a_stale_cache_is_noticed(tmp_path, kept, change, home):
    folder = put(tmp_path, some(4))
    before = open_image_dataset(folder, resolution=24)
    if change == "another picture":
        put(folder, {"002.png": encoded(colours(77))})
    elif change == "one more":
        put(folder, {"0.png": encoded(colours(77))})
    elif change == "one less":
        (folder / "003.png").unlink()
    else:  # the time alone changed: read again, to be safe, with the same result
        os.utime(folder / "003.png", ns=(1, 1))
    after = open_image_dataset(folder, resolution=24)
    assert "saved in the cache" in after.report[-1]
    assert (after.fingerprint == before.fingerprint) == (change == "a touch")
    fresh = open_image_dataset(folder, resolution=24, cache=False)
    assert torch.equal(everything(after), everything(fresh)) and after.fingerprint == fresh.fingerprint
    assert cache_file(home)  # the new one took the place of the old


def test_a_file_that_could_not_be_read_is_asked_for_again(tmp_path, kept, monkeypatch):
    """A network disk that was away for a moment must not cost a picture for ever."""
    folder = put(tmp_path, some(3) | {"empty.png": b""})
    read = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, item: away() if item.name == "001.png" else read(self, item))
    assert len(open_image_dataset(folder, resolution=24)) == 2
    again = open_image_dataset(folder, resolution=24)
    assert len(again) == 2 and "read from the cache" in again.report[-1]
    monkeypatch.setattr(Folder, "read", read)
    assert len(open_image_dataset(folder, resolution=24)) == 3
    assert "read from the cache" in open_image_dataset(folder, resolution=24).report[-1]  # the empty one is still empty


def away():
    raise BadImage("cannot be read: Stale file handle")


@pytest.mark.parametrize("damage", ["cut short", "a pixel", "its header", "emptied", "longer"])
def test_a_damaged_cache_is_noticed_and_made_anew(tmp_path, damage, home):
    folder = put(tmp_path, some(3))
    before = everything(open_image_dataset(folder, resolution=24))
    file = cache_file(home)
    data = bytearray(file.read_bytes())
    if damage == "a pixel":
        data[1000] ^= 1
    elif damage == "its header":
        data[3 * 3 * 24 * 24 + 40] ^= 1
    file.write_bytes({"cut short": data[:-100], "emptied": b"", "longer": b"\0" + data}.get(damage, data))
    pictures = open_image_dataset(folder, resolution=24)
    assert any("was damaged, and has been rebuilt" in line for line in pictures.report)
    assert torch.equal(everything(pictures), before)
    assert not any("was damaged" in line for line in open_image_dataset(folder, resolution=24).report)


def test_a_large_cache_that_breaks_in_use_gives_an_error_with_its_name(tmp_path, monkeypatch, home):
    monkeypatch.setattr(room, "DATASET_IN_MEMORY_BYTES", 0)
    folder = put(tmp_path, some(3))
    open_image_dataset(folder, resolution=24)
    file = cache_file(home)
    pictures = open_image_dataset(folder, resolution=24)
    with open(file, "r+b") as open_file:
        open_file.seek(3 * 24 * 24 + 5)
        open_file.write(b"\x99\x98\x97")
    assert len(pictures.batch([0, 2])[0]) == 2
    with pytest.raises(BadInput, match=r"damaged at '001.png'. Delete it"):
        pictures.batch([1])
    os.truncate(file, 100)  # a memory-mapped file would kill the process here
    with pytest.raises(BadInput, match="damaged"):
        pictures.batch([2])


def test_training_goes_on_when_the_pictures_break_or_vanish(tmp_path, kept, home):
    folder = put(tmp_path / "photos", some(4))
    pictures = open_image_dataset(folder, resolution=24)
    before = everything(pictures)
    (folder / "001.png").write_bytes(b"broken")
    assert torch.equal(everything(pictures), before)
    shutil.rmtree(folder)
    shutil.rmtree(home / "datasets")  # not even the cache file is needed any more
    assert torch.equal(everything(pictures), before)


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop_unless_it_is_needed(tmp_path, monkeypatch):
    folder = put(tmp_path / "photos", some(2))
    (tmp_path / "file").write_bytes(b"")
    pictures = open_image_dataset(folder, resolution=24, cache=tmp_path / "file")
    assert len(pictures) == 2 and "no cache was saved" in pictures.report[-1]
    monkeypatch.setattr(room, "DATASET_IN_MEMORY_BYTES", 0)
    with pytest.raises(BadInput, match=r"need a cache of .* cannot be written"):
        open_image_dataset(folder, resolution=24, cache=tmp_path / "file")


def test_a_full_disk_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "DATASET_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1))
    monkeypatch.setattr(room, "load_all", None)
    with pytest.raises(BadInput, match=r"0.0 GB are free\. Choose another folder"):
        open_image_dataset(put(tmp_path, some(2)), resolution=24)


def test_a_stopped_start_leaves_nothing(tmp_path, kept, home):
    steps = []

    def on_step(done, total):
        steps.append((done, total))
        if done == 3:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        open_image_dataset(put(tmp_path, some(6)), resolution=24, on_step=on_step)
    assert steps == [(1, 6), (2, 6), (3, 6)]
    assert not [file for file in home.rglob("*") if file.is_file()]


def test_threads_may_read_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "DATASET_IN_MEMORY_BYTES", 0)
    pictures = open_image_dataset(put(tmp_path, some(8)), resolution=24)
    whole, wrong = everything(pictures), []

    def read():
        rng = np.random.default_rng()
        for _ in range(50):
            rows = rng.integers(0, 8, 16)
            if not torch.equal(pictures.batch(rows)[0], whole[torch.from_numpy(rows)]):
                wrong.append(rows)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_several_processes_may_open_a_folder_at_once(tmp_path, kept, home):
    folder, opened = put(tmp_path, some(30)), []
    threads = [
        threading.Thread(target=lambda: opened.append(open_image_dataset(folder, resolution=24))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4 and all(torch.equal(everything(each), everything(opened[0])) for each in opened)
    assert cache_file(home).suffix == ".pictures"  # one file, and nothing left beside it


# ── the fingerprint ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_fingerprint_is_of_contents_order_labels_and_settings(tmp_path):
    files = some(4)
    folder = put(tmp_path / "a", files)
    same = [
        folder,
        put(tmp_path / "elsewhere", {f"x{name}": data for name, data in files.items()}),
        pack(tmp_path / "a.zip", files),
        put(tmp_path / "broken", files | {"bad.png": b"x"}),
    ]
    marks = [open_image_dataset(path, resolution=16).fingerprint for path in same]
    assert len(set(marks)) == 1 and len(marks[0]) == 16
    other = {f"{9 - i}.png": data for i, data in enumerate(files.values())}
    changed = [
        open_image_dataset(put(tmp_path / "order", other), resolution=16),
        open_image_dataset(folder, resolution=8),
        open_image_dataset(folder, resolution=16, crop="pad"),
        open_image_dataset(folder, resolution=16, channels=1),
        open_image_dataset(put(tmp_path / "classes", {f"{name[2]}/x.png": d for name, d in files.items()}),
                      resolution=16,
                      labels="folders"),
    ]  # fmt: skip
    assert len({*marks, *(pictures.fingerprint for pictures in changed)}) == 6


# ── labels in batches ────────────────────────────────────────────────────────────────────────────────────────────────


def test_labels_come_as_one_hot_rows(tmp_path):
    files = {f"{kind}/{i}.png": encoded(colours(10 * k + i)) for k, kind in enumerate(("cat", "dog")) for i in range(2)}
    pictures = open_image_dataset(put(tmp_path, files), resolution=24, labels="folders")
    assert (pictures.c_dim, pictures.class_names) == (2, ("cat", "dog"))
    labels = pictures.batch([3, 0, 1])[1]
    assert labels.dtype == torch.float32 and labels.tolist() == [[0, 1], [1, 0], [1, 0]]
    assert pictures.class_counts() == {"cat": 2, "dog": 2}
    assert any("2 classes (cat 2, dog 2)" in line for line in pictures.report)
    assert open_image_dataset(tmp_path, resolution=24).c_dim == 0  # folders are classes only where one says so


def test_an_nvidia_archive_is_read_as_it_is(tmp_path):
    files = {f"00000/img0000000{i}.png": encoded(colours(i)) for i in range(4)}
    labels = [[name, label] for name, label in zip(files, (2, 0, 5, 0), strict=True)]
    path = pack(tmp_path / "set.zip", files | {"dataset.json": listing(labels)})
    pictures = open_image_dataset(path)  # 24 is no power of two: 16
    assert (pictures.img_resolution, pictures.c_dim, len(pictures)) == (16, 6, 4)
    assert pictures.batch([0, 2])[1].argmax(dim=1).tolist() == [2, 5]
    assert open_image_dataset(path, labels="none").c_dim == 0
    vectors = [[name, [0.5, -i]] for i, name in enumerate(files)]
    path = pack(tmp_path / "vectors.zip", files | {"dataset.json": listing(vectors)})
    assert open_image_dataset(path).batch([3])[1].tolist() == [[0.5, -3.0]]
    assert open_image_dataset(pack(tmp_path / "null.zip", files | {"dataset.json": listing(None)})).c_dim == 0


def test_pictures_that_a_csv_does_not_name_are_left_out_and_named(tmp_path):
    folder = put(tmp_path / "photos", some(4))
    (tmp_path / "labels.csv").write_text("file,label\n000.png,red\n003.png,blue\n002.png,\n")
    pictures = open_image_dataset(folder, resolution=24, labels=tmp_path / "labels.csv")
    assert pictures.names == ("000.png", "003.png") and pictures.class_names == ("blue", "red")
    assert pictures.batch([0, 1])[1].argmax(dim=1).tolist() == [1, 0]
    assert (everything(pictures)[1].numpy() == colours(3).transpose(2, 0, 1)).all()
    assert [name for name, _ in pictures.skipped] == ["001.png", "002.png"]


# ── from numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_set_from_numbers():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    pictures = ImageDataset.from_pixels(pixels, labels=np.array([0, 1, 2, 0, 1]))
    img, labels = pictures.batch([4, 2])
    assert (img.numpy() == pixels[[4, 2]]).all() and labels.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert (pictures.img_channels, pictures.img_resolution, pictures.c_dim) == (1, 8, 3)
    assert (
        pictures.fingerprint
        == ImageDataset.from_pixels(torch.from_numpy(pixels), np.array([0, 1, 2, 0, 1])).fingerprint
    )
    assert pictures.fingerprint != ImageDataset.from_pixels(pixels).fingerprint
    for wrong in (pixels.astype(np.float32), pixels[:0], pixels[0], pixels[:, :, :4]):
        with pytest.raises(BadImage):
            ImageDataset.from_pixels(wrong)
    for wrong in (np.array([0, 1]), np.array([-1, 0, 0, 0, 0]), np.full((5, 2), np.nan)):
        with pytest.raises(BadInput):
            ImageDataset.from_pixels(pixels, wrong)
