"""The doctor names every odd file, says what will be done, and changes nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from ganvas.datasets import open_image_dataset
from ganvas.datasets.check import FINDINGS, check_dataset
from ganvas.errors import BadInput
from tests.datasets.makers import colours, encoded, pack, put, some


@pytest.fixture
def ward(tmp_path):
    deep = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16).save(deep, "PNG")
    healthy = colours(0, width=64, height=64)
    return put(
        tmp_path / "photos",
        {
            "a.png": encoded(healthy),
            "copy.png": encoded(healthy),
            "lookalike.jpg": encoded(healthy, "JPEG", quality=80),
            "broken.jpg": encoded(healthy, "JPEG")[:300],
            "clear.png": encoded(colours(1, width=64, height=64, channels=4)),
            "deep.png": deep.getvalue(),
            "empty.png": b"",
            "grey.png": encoded(colours(2, width=64, height=64, channels=1)),
            "small.png": encoded(colours(3, width=40, height=40)),
            "tiny.png": encoded(colours(4, width=31, height=64)),
            "wide.png": encoded(colours(5, width=90, height=64)),
            "film.mp4": b"",
            "notes.txt": b"",
        },
    )


def test_every_odd_file_is_named(ward):
    found = check_dataset(ward, resolution=64)
    names = {kind: [line.split(":")[0].split(" ")[0] for line in lines] for kind, lines in found.findings.items()}
    assert names == {
        "broken": ["broken.jpg", "empty.png"],
        "tiny": ["tiny.png"],
        "copies": ["copy.png"],
        "look-alikes": ["lookalike.jpg"],
        "small": ["small.png"],
        "transparent": ["clear.png"],
        "grey": ["deep.png", "grey.png"],
        "16 bit": ["deep.png"],
        "not square": ["tiny.png", "wide.png"],
        "videos": ["film.mp4"],
        "other files": ["notes.txt"],
    }
    assert found.findings.keys() == FINDINGS.keys()
    assert (found.count, found.resolution) == (11, 64) and found.sizes[64, 64] == 6
    assert "copy.png = a.png" in found.findings["copies"]


def test_what_it_calls_usable_is_what_training_takes(ward):
    for resolution in (16, 64, 70):
        assert check_dataset(ward, resolution=resolution).usable == len(open_image_dataset(ward, resolution=resolution))
    assert check_dataset(ward).resolution == open_image_dataset(ward).img_resolution


def test_it_changes_nothing(ward):
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in ward.rglob("*")}
    check_dataset(ward, resolution=32)
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in ward.rglob("*")} == before


def test_archives_and_classes(tmp_path):
    files = {f"{kind}/{name}": data for kind in ("cat", "dog") for name, data in some(2).items()}
    found = check_dataset(pack(tmp_path / "a.zip", files), resolution=16, labels="folders")
    assert found.class_counts == {"cat": 2, "dog": 2} and found.labels_trouble == ""
    loose = check_dataset(put(tmp_path / "b", some(2)), resolution=16, labels="folders")
    assert "are not in a subfolder" in loose.labels_trouble and loose.usable == 2


def test_a_ward_of_the_lost(tmp_path):
    found = check_dataset(put(tmp_path / "a", {"a.png": b"x", "b.png": encoded(colours(0, width=3, height=3))}))
    assert found.usable == 0 and found.findings["tiny"] == ["b.png (3 x 3)"]
    with pytest.raises(BadInput, match="has no images, 1 videos and 0 other files"):
        check_dataset(put(tmp_path / "b", {"a.mp4": b"x"}))
