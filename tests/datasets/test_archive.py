"""A zip is a stranger's file: honest ones open, hostile ones are refused before anything is unpacked."""

import struct
import zipfile

import numpy as np
import pytest

from ganvas.datasets import archive as room, open_image_dataset
from ganvas.datasets.archive import Archive
from ganvas.errors import BadImage, BadInput
from tests.datasets.makers import colours, encoded, listing, pack, some


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_pictures_of_a_zip_in_the_order_of_their_names(tmp_path, compression):
    files = dict(reversed(some(3).items()))
    extra = {"__MACOSX/000.png": b"x", "dir/.DS_Store": b"x", "notes.txt": b"x", "film.mp4": b"x"}
    archive = Archive(pack(tmp_path / "a.zip", files | extra | {"dataset.json": b"{}"}, compression=compression))
    assert [item.name for item in archive.items] == ["000.png", "001.png", "002.png"]
    assert [archive.read(item) for item in archive.items] == [files[item.name] for item in archive.items]
    assert (archive.films, archive.others, archive.listing()) == (("film.mp4",), ("notes.txt",), b"{}")


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "C:/out.png", "a\\b.png"])
def test_names_that_point_out_of_the_archive_are_refused(tmp_path, name):
    path = pack(tmp_path / "a.zip", some(1) | {"X" * len(name): b"x"})
    path.write_bytes(path.read_bytes().replace(b"X" * len(name), name.encode()))  # zipfile itself would mend the name
    with pytest.raises(BadInput, match="points outside the archive or is not a plain path"):
        Archive(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(20 << 20)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(BadInput, match=r"would unpack to 20,971,520, which is not plausible"):
        Archive(path)


def test_a_size_that_is_a_lie_gives_a_named_bad_file(tmp_path):
    """The table says 100 bytes, the stream holds 20 million: only 100 are unpacked, and their checksum is wrong."""
    path = pack(tmp_path / "a.zip", some(1) | {"z.png": bytes(20 << 20)}, compression=zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 20 << 20), struct.pack("<I", 100)))
    pictures = open_image_dataset(path, resolution=24)
    assert pictures.names == ("000.png",) and pictures.skipped[0][0] == "z.png"
    assert "cannot be unpacked" in pictures.skipped[0][1]


def test_a_picture_that_would_fill_the_memory_is_left_out_and_named(tmp_path):
    """A PNG of 30,000 x 30,000 pixels in a few bytes."""
    bomb = bytearray(encoded(colours(0)))
    bomb[16:24] = struct.pack(">II", 30_000, 30_000)
    pictures = open_image_dataset(pack(tmp_path / "a.zip", some(2) | {"bomb.png": bytes(bomb)}), resolution=24)
    assert [name for name, _ in pictures.skipped] == ["bomb.png"] and "900,000,000 pixels" in pictures.skipped[0][1]


def test_an_absurd_table_of_contents_is_refused_by_its_size(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", some(3))
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 0xFFFFFFF0)
    path.write_bytes(data)
    with pytest.raises(BadInput, match="table of contents of 4,294,967,280 bytes"):
        Archive(path)
    monkeypatch.setattr(room, "MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(BadInput, match="table of contents"):
        Archive(pack(tmp_path / "b.zip", some(3)))


def test_members_that_overlap_or_share_a_name_are_refused(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.png": b"x" * 1000, "b.png": b"y" * 1000})
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02")
    entry = data[at : at + 46 + 5]
    end = data.rfind(b"PK\x05\x06")
    many = b"".join(entry[:-5] + f"{i:05d}".encode() for i in range(50))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 50, 50, len(many))
    path.write_bytes(data[:at] + many + tail)  # fifty names, one and the same stream
    with pytest.raises(BadInput, match="its members overlap"):
        Archive(path)
    pack(path, {"a.png": b"1", "b.png": b"2"})
    path.write_bytes(path.read_bytes().replace(b"b.png", b"a.png"))
    with pytest.raises(BadInput, match="two members with the same name"):
        Archive(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_zip_that_was_cut_short_says_so(tmp_path, share):
    path = pack(tmp_path / "a.zip", some(3))
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(share * len(data)))])
    with pytest.raises(BadInput, match=r"truncated|broken zip|neither"):
        open_image_dataset(path)


def test_damaged_and_locked_members_are_named(tmp_path):
    path = pack(tmp_path / "a.zip", some(3))
    data = bytearray(path.read_bytes())
    first = data.index(b"IDAT")
    data[first + 20] ^= 0xFF
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1  # the last one: locked with a password
    path.write_bytes(data)
    archive = Archive(path)
    with pytest.raises(BadImage, match="CRC"):
        archive.read(archive.items[0])
    pictures = open_image_dataset(path, resolution=24)
    assert pictures.names == ("001.png",) and [name for name, _ in pictures.skipped] == ["000.png", "002.png"]


def test_any_damage_is_an_error_of_ours_or_no_error(tmp_path):
    """Bytes changed at random: whatever opens gives pictures, whatever does not says so in our words."""
    good = pack(tmp_path / "good.zip", some(3) | {"dataset.json": listing([[f"00{i}.png", i] for i in range(3)])})
    data, rng = good.read_bytes(), np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        broken = bytearray(data)
        for place in (
            rng.integers(0, len(data), 4) if rng.random() < 0.5 else rng.integers(len(data) - 400, len(data), 3)
        ):
            broken[place] = rng.integers(0, 256)
        path = tmp_path / "broken.zip"
        path.write_bytes(broken)
        try:
            pictures = open_image_dataset(path, resolution=24, cache=False)
            outcomes.add(len(pictures))
            pictures.batch(np.arange(len(pictures)))
        except BadInput:
            outcomes.add("refused")
    assert {"refused", 2, 3} <= outcomes
