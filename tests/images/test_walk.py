"""Which files of a folder are images: the same answer for every command, whatever their names and links."""

import os

import pytest
import torch

from ganvas.datasets.folder import Folder
from ganvas.errors import BadConfig, BadInput
from ganvas.images.batch_paths import list_tasks
from ganvas.images.files import read_image, write_image
from ganvas.images.walk import IMAGE_SUFFIXES, READABLE_SUFFIXES, describe_kinds, is_image_name

IMG = torch.zeros(1, 3, 4, 4)


def names_of_batch(folder, target, *, recursive=True):
    return [task.source.relative_to(folder).as_posix() for task in list_tasks(folder, target, recursive=recursive)]


def names_of_dataset(folder):
    return [item.name for item in Folder(folder).items]


@pytest.mark.parametrize("suffix", sorted(READABLE_SUFFIXES) + [".JPG", ".Jfif", ".TIF", ".JPE"])
def test_a_suffix_is_known_to_batches_and_data_sets_alike(suffix, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"a{suffix}").write_bytes(b"x")
    assert names_of_batch(folder, tmp_path / "out") == names_of_dataset(folder) == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".dib", ".jpeg", ".tif"])
def test_rare_names_of_usual_formats_are_written_and_read(suffix, tmp_path):
    path = write_image(IMG, tmp_path / f"a{suffix}")
    assert read_image(path).size == (4, 4)
    (task,) = list_tasks(path, tmp_path / "out")
    assert task.target.suffix == suffix and IMAGE_SUFFIXES[suffix]


@pytest.fixture
def linked(tmp_path):
    """A folder with a picture, links to a file, to a folder beside it, to itself, and to nothing."""
    folder, beside = tmp_path / "in", tmp_path / "beside"
    folder.mkdir()
    beside.mkdir()
    write_image(IMG, folder / "own.png")
    write_image(IMG, beside / "far.png")
    try:
        (folder / "file.png").symlink_to(beside / "far.png")
    except OSError:
        pytest.skip("links cannot be made here")
    (folder / "sub").symlink_to(beside, target_is_directory=True)
    (folder / "again").symlink_to(beside, target_is_directory=True)
    (folder / "cycle").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.png").symlink_to(tmp_path / "gone.png")
    return folder


def test_links_are_followed_once_and_cycles_end(linked, tmp_path):
    expected = ["again/far.png", "file.png", "nowhere.png", "own.png"]
    assert names_of_batch(linked, tmp_path / "out") == names_of_dataset(linked) == expected
    assert names_of_batch(linked, tmp_path / "out", recursive=False) == ["file.png", "nowhere.png", "own.png"]


def test_results_inside_the_folder_are_not_taken_for_images(tmp_path):
    write_image(IMG, tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    write_image(IMG, tmp_path / "out" / "b.png")
    assert names_of_batch(tmp_path, tmp_path / "out") == ["a.png"]


def test_pipes_and_what_computers_leave_are_passed_over(tmp_path):
    folder = tmp_path / "in"
    (folder / "__MACOSX").mkdir(parents=True)
    for name in (".hidden.png", "Thumbs.db", "__MACOSX/a.png", "b.png"):
        (folder / name).write_bytes(b"x")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
    assert names_of_batch(folder, tmp_path / "out") == names_of_dataset(folder) == ["b.png"]


def test_a_folder_without_images_says_what_it_has(tmp_path):
    for name in ("a.cr2", "b.cr2", "notes.txt", "README"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadConfig, match=r"no images in .*2 \.cr2, 1 (\.txt|without a suffix)"):
        list_tasks(tmp_path, tmp_path / "out")
    from ganvas.datasets.image_dataset import open_image_dataset

    with pytest.raises(BadInput, match=r"no images; it has 2 \.cr2, .*\.txt"):
        open_image_dataset(tmp_path)
    assert describe_kinds([]) == "nothing"
    assert describe_kinds(f"{i}.{i}x" for i in range(9)).endswith("and 4 other kinds")


def test_names_without_a_suffix_are_no_images():
    assert not is_image_name("photo") and not is_image_name("a.png.txt") and is_image_name("x/A.JPEG")
