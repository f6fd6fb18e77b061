"""ganvas dataset make | check, as a user types them."""

import json
import zipfile

import pytest
from typer.testing import CliRunner

from ganvas.cli.main import app
from ganvas.datasets import open_image_dataset
from ganvas.errors import BadInput
from ganvas.features.faces import Face
from tests.datasets.makers import colours, encoded, put, some


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_make_names_what_it_leaves_out_and_says_what_it_made(tmp_path):
    files = some(3) | {"copy.png": some(1)["000.png"], "bad.png": b"x"}
    out = run("dataset", "make", put(tmp_path / "photos", files), tmp_path / "a.zip", "--resolution", 16).output
    for line in (
        "bad.png: is not a supported image",
        "copy.png ~ 000.png",
        f"3 images of 16 x 16: {tmp_path / 'a.zip'}",
    ):
        assert line in out
    assert len(open_image_dataset(tmp_path / "a.zip")) == 3


def test_every_option_arrives(tmp_path):
    files = {
        "cat/a.png": encoded(colours(0, width=12, height=24)),
        "dog/b.png": encoded(colours(0, width=12, height=24)),
    }
    words = "-r 24 --crop pad --background #ff0000 --labels folders --duplicates keep --grey --smallest 20 --every 2"
    run("dataset", "make", put(tmp_path / "photos", files), tmp_path / "set", *words.split())
    settings = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert settings["labels"] == [["00000/img00000000.png", 0], ["00000/img00000001.png", 1]]
    assert settings["class_names"] == ["cat", "dog"]
    made = settings["ganvas"]
    del made["version"]
    assert made == {
        "resolution": 24, "crop": "pad", "background": "#ff0000", "channels": 1, "smallest": 20, "filter": "Lanczos",
        "aligned": False, "duplicates": "keep",
    }  # fmt: skip
    with pytest.raises(BadInput, match="exists"):
        run("dataset", "make", tmp_path / "photos", tmp_path / "set", "-r", 24)
    run("dataset", "make", tmp_path / "photos", tmp_path / "set", "-r", 16, "--overwrite")


class Finder:
    """Finds the faces that a test wants."""

    faces: list = []

    def find(self, img):
        return self.faces


def face(x, y, *, score=0.99, turn_deg=0):
    points = [[x - 8.0, y - 8], [x + 8, y - 8], [x, y], [x - 6, y + 10], [x + 6, y + 10]]
    import torch

    return Face((x - 15.0, y - 15.0, x + 15.0, y + 15.0), torch.tensor(points), score, turn_deg)


@pytest.mark.parametrize(
    ("words", "faces", "count"),
    [
        ("faces", [(40, 40), (140, 40)], 1),
        ("all-faces", [(40, 40), (140, 40)], 2),
        ("all-faces", [(40, 40), (140, 40, 0.9)], 1),  # the second is a guess, and small
        ("faces", [(40, 40, 0.9)], 0),
        ("faces", [], 0),
    ],
)
def test_faces_are_cut_out(tmp_path, monkeypatch, words, faces, count):
    monkeypatch.setattr("ganvas.features.faces.FaceFinder", Finder)
    monkeypatch.setattr(Finder, "faces", [face(*each[:2], score=(*each, 0.99)[2]) for each in faces])
    source = put(tmp_path / "photos", {"a.png": encoded(colours(0, width=180, height=160))})
    make = ("dataset", "make", source, tmp_path / "a.zip", "-r", 32, "--align", words)
    if not count:
        with pytest.raises(BadInput, match=r"a.png: no face in it"):
            run(*make)
        return
    run(*make)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == count


def test_a_guess_is_believed_where_it_fills_much_of_the_photo(tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.features.faces.FaceFinder", Finder)
    monkeypatch.setattr(Finder, "faces", [face(40, 40, score=0.85)])
    source = put(tmp_path / "photos", {"a.png": encoded(colours(0, width=80, height=80))})
    assert "1 images of 32" in run("dataset", "make", source, tmp_path / "a.zip", "-r", 32, "--align", "faces").output


def test_check_tells_what_is_there_and_fails_where_nothing_is_usable(tmp_path):
    folder = put(tmp_path / "photos", some(3) | {"bad.png": b"x", "notes.txt": b""})
    result = run("dataset", "check", folder)
    for line in ("4 images, 3 usable at 16 pixels", "sizes: 24 x 24: 3", "broken (left out): 1", "  bad.png: is not"):
        assert line in result.output
    assert result.exit_code == 0
    assert "nothing odd" in run("dataset", "check", put(tmp_path / "well", some(2))).output
    assert run("dataset", "check", put(tmp_path / "sad", {"a.png": b"x"})).exit_code == 1


def test_long_lists_are_cut_unless_all_is_asked_for(tmp_path):
    folder = put(tmp_path, {f"bad{i:02d}.png": b"x" for i in range(25)} | some(1))
    assert "… and 5 more" in run("dataset", "check", folder).output
    assert "bad24.png" not in run("dataset", "check", folder).output
    assert "bad24.png" in run("dataset", "check", folder, "--full").output


@pytest.mark.parametrize(
    "words",
    [("make", "a", "b"), ("make", "a", "b", "-r", 16, "--crop", "x"), ("make", "a", "b", "-r", 16, "--align", "x")],
)
def test_wrong_usage_is_status_2(words):
    assert run("dataset", *words).exit_code == 2


def test_help_has_an_example():
    for name in ("make", "check"):
        assert f"ganvas dataset {name}" in run("dataset", name, "--help").output
