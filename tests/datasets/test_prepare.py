"""A set that is made: what other tools expect of it, what is left out, and nothing half made."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.datasets import open_image_dataset
from ganvas.datasets.prepare import make_dataset
from ganvas.errors import BadConfig, BadInput, MissingExtra, NoFace, Stopped
from ganvas.images.animation import write_animation
from ganvas.images.crop import Crop
from ganvas.images.tensors import from_pixels
from tests.datasets.makers import colours, encoded, listing, pack, put, some


def as_other_tools_read_it(path):
    """NVIDIA's form, by its description: pictures anywhere in a zip, in the order of names; labels in dataset.json."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        labels = json.loads(archive.read("dataset.json"))["labels"]
        pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    return names, np.stack(pixels), None if labels is None else [dict(labels)[name] for name in names]


def test_the_archive_is_one_that_nvidias_tools_read(tmp_path):
    files = {f"{kind}/{i}.png": encoded(colours(10 * k + i)) for k, kind in enumerate(("a", "b")) for i in range(3)}
    source = put(tmp_path / "photos", files)
    made = make_dataset(source, tmp_path / "set.zip", resolution=24, labels="folders")
    names, pixels, labels = as_other_tools_read_it(tmp_path / "set.zip")
    assert names == [f"00000/img0000000{i}.png" for i in range(6)]
    assert labels == [0, 0, 0, 1, 1, 1] and made.class_counts == {"a": 3, "b": 3}
    assert (pixels == np.stack([colours(n) for n in (0, 1, 2, 10, 11, 12)])).all()
    assert made.taken_from == sorted(files)
    again = open_image_dataset(tmp_path / "set.zip", resolution=24)
    assert again.class_names == ("a", "b") and again.batch([5])[1].tolist() == [[0, 1]]


@pytest.mark.parametrize("size", [16, 24, 40])
def test_making_a_set_first_or_training_on_the_photos_is_the_same(tmp_path, size):
    source = put(tmp_path / "photos", {"w.jpg": encoded(colours(9, width=300, height=200), "JPEG")} | some(3))
    for dest in ("set.zip", "folder"):
        make_dataset(source, tmp_path / dest, resolution=size)
        here, there = (open_image_dataset(path, resolution=size) for path in (source, tmp_path / dest))
        assert torch.equal(here.batch(range(4))[0], there.batch(range(4))[0])


def test_the_same_photos_make_the_same_bytes(tmp_path):
    source = put(tmp_path / "photos", some(20))
    for name in ("a.zip", "b.zip"):
        make_dataset(source, tmp_path / name, resolution=16)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_grey_sets_have_one_channel(tmp_path):
    make_dataset(put(tmp_path / "photos", some(2)), tmp_path / "a.zip", resolution=24, channels=1)
    assert as_other_tools_read_it(tmp_path / "a.zip")[1].shape == (2, 24, 24)
    assert open_image_dataset(tmp_path / "a.zip", resolution=24, channels=1).batch([0])[0].shape == (1, 1, 24, 24)


def test_bad_files_and_copies_are_left_out_and_named(tmp_path):
    pixels = colours(0, width=64, height=64)
    files = {
        "a.png": encoded(pixels),
        "b.png": encoded(pixels),
        "c.jpg": encoded(pixels, "JPEG", quality=60),
        "d.png": encoded(colours(1, width=64, height=64)),
        "bad.png": b"x",
        "tiny.png": encoded(colours(2, width=6, height=6)),
    }
    source = put(tmp_path / "photos", files)
    made = make_dataset(source, tmp_path / "near.zip", resolution=32)
    assert made.taken_from == ["a.png", "d.png"] and made.count == 2
    assert made.copies == [("b.png", "a.png"), ("c.jpg", "a.png")]
    assert [name for name, _ in made.skipped] == ["bad.png", "tiny.png"]
    exact = make_dataset(source, tmp_path / "exact.zip", resolution=32, duplicates="exact")
    assert exact.taken_from == ["a.png", "c.jpg", "d.png"]
    assert make_dataset(source, tmp_path / "keep.zip", resolution=32, duplicates="keep").count == 4
    with pytest.raises(BadConfig, match="duplicates option 'none'"):
        make_dataset(source, tmp_path / "x.zip", resolution=32, duplicates="none")


def test_a_copy_with_another_label_is_told(tmp_path):
    source = put(tmp_path / "photos", {"cat/1.png": encoded(colours(0)), "dog/1.png": encoded(colours(0))})
    made = make_dataset(source, tmp_path / "a.zip", resolution=24, labels="folders")
    assert made.copies == [("dog/1.png", "cat/1.png, which has another label")]


def test_labels_of_an_archive_are_carried_over(tmp_path):
    files = some(3)
    source = pack(
        tmp_path / "a.zip", files | {"dataset.json": listing([[name, [i, 0.5]] for i, name in enumerate(files)])}
    )
    make_dataset(source, tmp_path / "b.zip", resolution=16)
    assert as_other_tools_read_it(tmp_path / "b.zip")[2] == [[0, 0.5], [1, 0.5], [2, 0.5]]


def test_aligned_squares_become_pictures_and_photos_without_one_are_named(tmp_path):
    pixels = colours(0, width=128, height=96)
    source = put(tmp_path / "photos", {"two.png": encoded(pixels), "none.png": encoded(colours(1))})

    def align(img):
        if img.shape[3] != 128:
            raise NoFace("no face in it")
        return [Crop(x=32, y=48, side=64), Crop(x=96, y=48, side=64)]

    made = make_dataset(source, tmp_path / "a.zip", resolution=64, align=align)
    assert made.taken_from == ["two.png (1)", "two.png (2)"] and made.skipped == [("none.png", "no face in it")]
    _, cut, _ = as_other_tools_read_it(tmp_path / "a.zip")
    assert np.abs(cut.astype(int) - np.stack([pixels[16:80, :64], pixels[16:80, 64:]])).max() <= 1


def test_nothing_usable_makes_nothing(tmp_path):
    with pytest.raises(BadInput, match=r"no usable image among 1. a.png: is not a supported image"):
        make_dataset(put(tmp_path / "photos", {"a.png": b"x"}), tmp_path / "a.zip", resolution=16)
    with pytest.raises(BadInput, match="no images and no videos"):
        make_dataset(put(tmp_path / "notes", {"a.txt": b"x"}), tmp_path / "a.zip", resolution=16)
    with pytest.raises(BadInput, match="there is no"):
        make_dataset(tmp_path / "nowhere.mp4", tmp_path / "a.zip", resolution=16)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes", "photos"]


# ── nothing half made ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dest", ["set.zip", "set"])
@pytest.mark.parametrize("old", [False, True])
def test_a_stopped_job_leaves_what_was_there(tmp_path, dest, old):
    source = put(tmp_path / "photos", some(12))
    target = tmp_path / dest
    if old:
        make_dataset(source, target, resolution=16)
    before = everything_in(tmp_path)

    def on_step(done, total):
        assert total == 12
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(source, target, resolution=24, overwrite=True, on_step=on_step)
    assert everything_in(tmp_path) == before
    with pytest.raises(Stopped):
        make_dataset(source, target, resolution=24, overwrite=True, on_step=stop)
    assert everything_in(tmp_path) == before
    assert make_dataset(source, target, resolution=24, overwrite=True).count == 12
    assert open_image_dataset(target, resolution=24).img_resolution == 24


def stop(done, total):
    raise Stopped("enough")


def everything_in(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    source = put(tmp_path / "photos", some(2))
    put(tmp_path / "other", {"letter.txt": b"dear"})
    (tmp_path / "a.zip").write_bytes(b"precious")
    for dest, overwrite, words in [
        ("a.zip", False, "exists; choose another name"),
        ("other", False, "exists"),
        ("other", True, "not a dataset; it is not overwritten"),
        ("photos", True, "must not contain each other"),
        ("photos/set", False, "must not contain each other"),
        ("nowhere/set.zip", False, "there is no folder"),
    ]:
        with pytest.raises(BadInput, match=words):
            make_dataset(source, tmp_path / dest, resolution=16, overwrite=overwrite)
    assert (tmp_path / "a.zip").read_bytes() == b"precious" and (tmp_path / "other/letter.txt").exists()


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(BadInput, match=r"set.zip cannot be written: No space left on device"):
        make_dataset(put(tmp_path / "photos", some(2)), tmp_path / "set.zip", resolution=16)
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_job_leaves_no_set_and_the_next_one_works(tmp_path):
    source = put(tmp_path / "photos", some(6))
    program = (
        "import sys, time; from ganvas.datasets.prepare import make_dataset\n"
        "def slow(done, total): print(done, flush=True); time.sleep(0 if done < 3 else 60)\n"
        "make_dataset(sys.argv[1], sys.argv[2], resolution=16, on_step=slow)\n"
    )
    dest = tmp_path / "set.zip"
    job = subprocess.Popen([sys.executable, "-c", program, str(source), str(dest)], stdout=subprocess.PIPE)
    assert [job.stdout.readline() for _ in range(3)] == [b"1\n", b"2\n", b"3\n"]
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    job.stdout.close()
    assert not dest.exists()
    (left,) = tmp_path.glob(".set.zip.*.part")
    os.utime(left, (time.time() - 2 * 86_400,) * 2)
    assert make_dataset(source, dest, resolution=16).count == 6
    assert not list(tmp_path.glob(".*.part"))  # what a job of days ago left is cleared away


# ── videos ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def film(path, levels, *, frames_per_sec=10):
    """A video whose frame n has the grey levels[n]."""
    pytest.importorskip("av")
    frames = [from_pixels(np.full((48, 64, 3), level, np.uint8)) for level in levels]
    return write_animation(frames, path, frames_per_sec=frames_per_sec)


def test_frames_of_a_video_at_the_times_asked_for(tmp_path):
    path = film(tmp_path / "film.mp4", range(20, 220, 5))  # 4 seconds
    steps = []
    made = make_dataset(
        path, tmp_path / "a.zip", resolution=16, every_sec=1.0, on_step=lambda *step: steps.append(step)
    )
    assert [done for done, _ in steps] == [1, 2, 3, 4] and all(4 <= total <= 5 for _, total in steps)
    assert made.taken_from == [f"film.mp4 at {at}.00 s" for at in range(4)]
    levels = as_other_tools_read_it(tmp_path / "a.zip")[1].mean(axis=(1, 2, 3))
    assert np.abs(levels - [20, 70, 120, 170]).max() < 4
    assert make_dataset(path, tmp_path / "all.zip", resolution=16, every_sec=0, duplicates="keep").count == 40


def test_a_video_of_a_phone_held_upright_is_turned(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255  # the upper half is white as it lies in the file
    pytest.importorskip("av")
    path = write_animation([from_pixels(pixels)] * 3, tmp_path / "film.mp4", frames_per_sec=3)
    data = path.read_bytes()
    track = data.index(b"tkhd")
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30)  # x' = 64 − y, y' = x
    place = data.index(straight, track)
    path.write_bytes(data[:place] + clockwise + data[place + 36 :])
    make_dataset(path, tmp_path / "a.zip", resolution=64)
    (turned,) = as_other_tools_read_it(tmp_path / "a.zip")[1]
    assert turned[:, 34:].mean() > 245 and turned[:, :30].mean() < 10


def test_a_still_shot_gives_one_picture(tmp_path):
    path = film(tmp_path / "film.mp4", [90] * 30)
    made = make_dataset(path, tmp_path / "a.zip", resolution=16, every_sec=0.5)
    assert made.count == 1 and len(made.copies) == 5


def test_videos_among_photos_count_too_and_broken_ones_are_named(tmp_path):
    source = put(tmp_path / "photos", {"cat/a.png": encoded(colours(0)), "dog/broken.mp4": b"no film at all"})
    film(source / "dog" / "film.mp4", [50] * 3 + [150] * 3, frames_per_sec=3)
    made = make_dataset(source, tmp_path / "a.zip", resolution=16, labels="folders")
    assert made.taken_from == ["cat/a.png", "dog/film.mp4 at 0.00 s", "dog/film.mp4 at 1.00 s"]
    assert made.class_counts == {"cat": 1, "dog": 2}
    assert [name for name, _ in made.skipped] == ["dog/broken.mp4"]


def test_without_the_extra_photos_are_made_and_videos_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    source = put(tmp_path / "photos", some(2) | {"film.mp4": b"film"})
    made = make_dataset(source, tmp_path / "a.zip", resolution=16)
    assert made.count == 2 and made.skipped[0][0] == "film.mp4" and "ganvas[video]" in made.skipped[0][1]
    for path in (source / "film.mp4", put(tmp_path / "films", {"film.mp4": b"film"})):
        with pytest.raises(MissingExtra, match=r"ganvas\[video\]"):
            make_dataset(path, tmp_path / "b.zip", resolution=16)


def test_a_video_that_was_cut_short_is_named(tmp_path):
    path = film(tmp_path / "film.mp4", range(0, 250, 5))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"no usable image among 1. film.mp4: is not a readable video"):
        make_dataset(path, tmp_path / "a.zip", resolution=16)  # the index of an .mp4 stands at its end


def test_a_window_is_cut_from_the_middle_and_a_set_may_stop_early(tmp_path):
    wide = colours(1, width=48, height=24)
    source = put(
        tmp_path / "photos", {"1.png": encoded(wide), "2.png": encoded(colours(2)), "3.png": encoded(colours(3))}
    )
    made = make_dataset(source, tmp_path / "set.zip", resolution=24, window=(24, 16), background="black", max_images=2)
    assert made.count == 2 and made.taken_from == ["1.png", "2.png"]
    pixels = as_other_tools_read_it(tmp_path / "set.zip")[1]
    assert not pixels[:, :4].any() and not pixels[:, 20:].any()  # bars above and below
    part = Image.fromarray(wide).resize((24, 16), Image.Resampling.LANCZOS, box=(6, 0, 42, 24))
    assert (pixels[0, 4:20] == np.asarray(part)).all()
    with pytest.raises(BadConfig, match="needs resolution=24"):
        make_dataset(source, tmp_path / "bad.zip", resolution=32, window=(24, 16))
