"""Each way of writing a file, killed at every moment of it and on a full disk: the old file or the new one, never half.

Whole commands, and trainings that go on: `python -m tests.rough_handling`.
"""

import errno
import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from ganvas.editing.recipe import Recipe
from ganvas.errors import GanvasError
from ganvas.images.animation import write_animation
from ganvas.images.files import read_image, write_image
from ganvas.images.frames import change_frames, open_frames
from ganvas.images.photo import Photo
from ganvas.images.png_writer import PngStripWriter
from ganvas.training.engine.state import read_state, write_state
from ganvas.weights.checkpoint import write_atomically
from tests.rough_handling import ENDS_WELL, HALF_KILLED, in_child

OLD, NEW = (torch.full((1, 3, 40, 24), value) for value in (-1.0, 1.0))


def write_strips(img, path):
    with PngStripWriter(path, Photo(img=img)) as file:
        file.write_rows(img)


def write_frames(img, path):
    source = path.with_name("source.tif")
    change_frames(open_frames(source, path), lambda photo, report: photo.with_img(img), path)


def read_value(path):
    return float(read_image(path).img.mean().sign())


# suffix, write(img, path), read(path) → -1 of the old, 1 of the new
WAYS = {
    "an image": (".png", write_image, read_value),
    "a JPEG": (".jpg", write_image, read_value),
    "strips": (".png", write_strips, read_value),
    "pages": (".tif", write_frames, lambda path: float(read_image(path).img.mean().sign())),
    "an animation": (".gif", lambda img, path: write_animation([img, -img], path), read_value),
    "a state": (".safetensors", lambda img, path: write_state({"x": img}, path),
                lambda path: read_state(path)["x"].mean()),
    "a recipe": (".json", lambda img, path: Recipe(seed=int(img.mean()) + 1).save(path),
                 lambda path: Recipe.load(path).seed - 1),
}  # fmt: skip


@pytest.fixture
def target(request, tmp_path):
    suffix, write, read = WAYS[request.param]
    if request.param == "pages":
        page = Image.new("RGB", (24, 40))
        page.save(tmp_path / "source.tif", save_all=True, append_images=[page])
    path = tmp_path / f"a{suffix}"
    write(OLD, path)
    return path, write, read


@pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", WAYS, indirect=True)
def test_killed_at_any_moment_of_writing_the_old_file_or_the_new_one_is_there(target):
    path, write, read = target

    def work():
        write(NEW, path)
        return ENDS_WELL

    moments = in_child(work, path.parent)[1]
    seen = set()
    for strike_at in range(1, moments + 1):
        write(OLD, path)
        assert in_child(work, path.parent, strike_at=strike_at)[0] == HALF_KILLED
        seen.add(float(read(path)))
    assert moments >= 3 and seen == {-1.0, 1.0}  # before it got its name, and after


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", WAYS, indirect=True)
def test_a_full_disk_is_told_in_words_and_the_old_file_stays(target, monkeypatch):
    path, write, read = target

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(path.parent.iterdir())
    with pytest.raises(GanvasError, match="No space left") as caught:
        write(NEW, path)
    assert path.name in str(caught.value)
    assert float(read(path)) == -1 and sorted(path.parent.iterdir()) == before


def test_a_device_keeps_its_place_and_a_link_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GanvasError, match="a device or a pipe has this name"):
        write_atomically(tmp_path / "pipe", lambda part: Path(part).write_text("new"))
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", lambda part: Path(part).write_text("new"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "real"]


def test_what_safetensors_says_of_a_full_disk_is_one_of_our_errors(tmp_path):
    def full(_path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(GanvasError, match=r"cannot write .*b\.safetensors.*No space left"):
        write_atomically(tmp_path / "b.safetensors", full)
    assert not list(tmp_path.iterdir())
