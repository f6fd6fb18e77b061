"""Classes from sub-folders, tables and listings."""

import json
import unicodedata

import numpy as np
import pytest

from ganvas.datasets.folder import Folder
from ganvas.datasets.labels import find_labels, match_labels
from ganvas.datasets.reading import open_source
from ganvas.errors import BadConfig, BadInput
from tests.datasets.makers import pack, put


def found(tmp_path, names, wanted="folders", **files):
    source = Folder(put(tmp_path / "photos", dict.fromkeys(names, b"x")))
    return find_labels(source, wanted)


def classes(found):
    return {name: found.class_names[value] for name, value in found.values.items()}


def test_the_first_folder_that_differs_is_the_class(tmp_path):
    names = ["all/cat/siamese/1.png", "all/cat/2.png", "all/dog/1.png"]
    assert classes(found(tmp_path, names)) == dict(zip(names, ("cat", "cat", "dog"), strict=True))


def test_one_class_is_a_class_too(tmp_path):
    assert classes(found(tmp_path, ["cat/1.png", "cat/2.png"])) == {"cat/1.png": "cat", "cat/2.png": "cat"}


def test_pictures_outside_of_every_folder_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"1 images are not in a subfolder.*'loose.png'"):
        found(tmp_path, ["cat/1.png", "loose.png"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("file,label\na.png,red\nsub/b.png,blue\n", ""),
        ("a.png,red\nb.png,blue\n", ""),  # no titles; the bare name will do
        ("\ufefffile;label\r\na.png;red\r\nb.png;blue\r\n", ""),  # as Excel saves it in much of Europe
        ("file\tlabel\na.png\tred\nb.png\tblue\n", ""),
        ("file,age,colour\na.png,7,red\nb.png,8,blue\n", ":colour"),
        ("file,age,label\na.png,7,red\nb.png,8,blue\n", ""),
    ],
)
def test_tables_as_people_have_them(tmp_path, text, wanted):
    table = tmp_path / "t.csv"
    table.write_bytes(text.encode())
    result = found(tmp_path, ["a.png", "sub/b.png"], f"{table}{wanted}")
    assert classes(result) == {"a.png": "red", "sub/b.png": "blue"}
    assert result.class_names == ("blue", "red")


@pytest.mark.parametrize(
    "written",
    [
        "chat\\0.png",
        ".\\chat\\0.png",
        "./chat/0.png",
        "/chat/0.png",
        "'chat/0.png'",
        ' "chat/0.png"',
        "CHAT/0.PNG",
        "0.png",
        "0.PNG",
    ],
)
def test_a_picture_is_found_however_a_program_writes_its_name(tmp_path, written):
    (tmp_path / "t.csv").write_text(f"file,label\n{written}, red\nchien/1.png, blue\n")
    assert classes(found(tmp_path, ["chat/0.png", "chien/1.png"], tmp_path / "t.csv")) == {
        "chat/0.png": "red",
        "chien/1.png": "blue",
    }


@pytest.mark.parametrize(("on_disk", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_and_hangul_are_found_in_either_form(tmp_path, on_disk, written):
    names = ["été.png", "고양이/1.png"]
    disk, table = ([unicodedata.normalize(form, name) for name in names] for form in (on_disk, written))
    (tmp_path / "t.csv").write_text(f"{table[0]},red\n{table[1]},blue\n", encoding="utf-8")
    assert classes(found(tmp_path, disk, tmp_path / "t.csv")) == dict(zip(disk, ("red", "blue"), strict=True))


def test_case_and_bare_names_that_fit_several_are_no_guess(tmp_path):
    (tmp_path / "t.csv").write_text("A.png,red\nb.png,blue\n1.png,green\n")
    names = ["a.png", "b.png", "B.png", "x/1.png", "y/1.png"]
    assert classes(found(tmp_path, names, tmp_path / "t.csv")) == {"a.png": "red", "b.png": "blue"}


def test_listings_of_windows_tools_find_their_pictures(tmp_path):
    listing = json.dumps({"labels": [["chat\\0.png", 0], ["chien\\1.png", 1]]}).encode()
    source = Folder(put(tmp_path, {"chat/0.png": b"x", "chien/1.png": b"x", "dataset.json": listing}))
    table = find_labels(source, None)
    assert table.values == {"chat/0.png": 0, "chien/1.png": 1}


def test_numbers_are_in_the_order_of_their_size(tmp_path):
    (tmp_path / "t.csv").write_text("a.png,10\nb.png,9\nc.png,x\nd.png,9\n")
    result = found(tmp_path, ["a.png", "b.png", "c.png", "d.png"], tmp_path / "t.csv")
    assert result.class_names == ("9", "10", "x")


@pytest.mark.parametrize(
    ("text", "wanted", "error", "words"),
    [
        ("file,age,colour\na.png,7,red\n", "", BadConfig, "several columns; choose the label column: .*t.csv:age"),
        ("file,age\na.png,7\n", ":hue", BadConfig, "no column 'hue'; it has age"),
        ("file,label\nother.png,7\n", "", BadInput, "contains none of the image names: .*like 'a.png'"),
        ("", "", BadInput, "is empty"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, text, wanted, error, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(error, match=words):
        found(tmp_path, ["a.png"], f"{tmp_path / 't.csv'}{wanted}")


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(BadConfig, match=r"none, folders, FILE.csv or FILE.csv:COLUMN; got 'fodlers'"):
        found(tmp_path, ["a.png"], "fodlers")


def test_a_name_that_two_pictures_share_must_be_said_in_full(tmp_path):
    (tmp_path / "t.csv").write_text("file,label\n1/a.png,x\na.png,y\n")
    assert set(found(tmp_path, ["1/a.png", "2/a.png"], tmp_path / "t.csv").values) == {"1/a.png"}


# ── dataset.json ─────────────────────────────────────────────────────────────────────────────────────────────────────


def listed(tmp_path, content, names=("a.png", "b.png")):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return find_labels(open_source(pack(tmp_path / "a.zip", dict.fromkeys(names, b"x") | {"dataset.json": data})), None)


def test_classes_and_their_names(tmp_path):
    result = listed(tmp_path, {"labels": [["a.png", 0], ["b.png", 2]], "class_names": ["x", "y", "z"]})
    labels, kept = match_labels(result, ["b.png", "a.png"])
    assert kept.tolist() == [0, 1] and labels.counts() == {"x": 1, "y": 0, "z": 1}
    assert labels.take(np.array([1, 0])).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_the_number_of_classes_does_not_depend_on_which_pictures_are_broken(tmp_path):
    result = listed(tmp_path, {"labels": [["a.png", 0], ["b.png", 6]]})
    assert match_labels(result, ["a.png"])[0].c_dim == 7


@pytest.mark.parametrize("content", [{"labels": None}, {"labels": []}, {}, {"other": 1}])
def test_no_labels(tmp_path, content):
    assert listed(tmp_path, content) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{nonsense", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        ({"labels": 7}, "should be a list"),
        ({"labels": [["a.png"]]}, "pairs"),
        ({"labels": [["a.png", -1]]}, "a class from 0"),
        ({"labels": [["a.png", 10**12]]}, "a class from 0 to 65,535"),  # a one-hot row of 4 TB
        ({"labels": [["a.png", True]]}, "a class from 0"),
        ({"labels": [["a.png", "cat"]]}, "a class from 0"),
        ({"labels": [["a.png", [1.0, None]]]}, "list of numbers"),
        (b'{"labels": [["a.png", [NaN]]]}', "list of numbers"),
        ({"labels": [["a.png", [1.0]], ["b.png", [1.0, 2.0]]]}, "different types or lengths"),
        ({"labels": [["a.png", [1.0]], ["b.png", 1]]}, "different types or lengths"),
        ({"labels": [["a.png", 3]], "class_names": ["x"]}, "name for every class"),
    ],
)
def test_listings_that_make_no_sense_are_refused(tmp_path, content, words):
    with pytest.raises(BadInput, match=words):
        listed(tmp_path, content)


def test_a_picture_that_the_listing_forgets_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"no label for 1 images, the first is 'b.png'"):
        match_labels(listed(tmp_path, {"labels": [["a.png", 0]]}), ["a.png", "b.png"])
    with pytest.raises(BadInput, match="no label for any of the images"):
        match_labels(listed(tmp_path, {"labels": [["x.png", 0]]}), ["a.png", "b.png"])
