"""ganvas models as a user and a script meet it: exit status, stdout for scripts, stderr for people."""

import hashlib
import io
import json
import sys

import onnx
import pytest
import torch
from safetensors import safe_open

import ganvas
from ganvas.cli.main import main
from ganvas.weights.catalogue import catalogue, store
from ganvas.weights.catalogue.entries import ENTRIES, CatalogueEntry, LicenceChain
from ganvas.weights.catalogue.sources import StoredFile, UrlSource
from ganvas.weights.checkpoint import save
from tests.contracts import TINY, Case


@pytest.fixture
def run(monkeypatch, capsys):
    """Type a command; returns (exit status, stdout, stderr)."""

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["ganvas", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as left:
            status = left.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return typed


@pytest.fixture
def model(tmp_path):
    return save(Case("stylegan2", "G", False).build(), tmp_path / "tiny.safetensors", licence="CC0-1.0")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A restricted upscaler in the catalogue; its file is on this computer's disk, its address is nowhere."""
    torch.manual_seed(0)
    path = save(ganvas.build("srvgg", **TINY["srvgg"].fields), tmp_path / "net.safetensors")
    data = path.read_bytes()
    file = StoredFile(name="net.safetensors", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    entry = CatalogueEntry(
        name="fake-x4",
        task="upscale",
        about="made by the test",
        source=UrlSource(url="http://127.0.0.1:9/net.safetensors", file=file),
        licence="non-commercial",
        pedigree=LicenceChain(package="P", weights="W", data="D", parent="M"),
        restricted=True,
        opens="net.safetensors",
    )
    monkeypatch.setitem(ENTRIES, entry.name, entry)
    return path


# list


def test_list_piped_is_one_line_a_model_with_tabs(run):
    status, out, err = run("models", "list")
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == list(ENTRIES)
    assert {len(row) for row in rows} == {6}
    assert rows[0][:5] == ["faces", "generate", "37588926", "non-commercial", "-"]


def test_list_shows_what_is_here(run, fake):
    catalogue.get("fake-x4", accept=True, from_file=fake)
    out = run("models", "list", "--task", "upscale")[1]
    assert f"fake-x4\tupscale\t{fake.stat().st_size}\tnon-commercial\there\tmade by the test" in out.splitlines()
    assert "faces" not in out


def test_list_json_has_it_all(run, fake):
    entries = {entry["name"]: entry for entry in json.loads(run("models", "list", "--json")[1])}
    assert entries.keys() == ENTRIES.keys()
    assert entries["faces"]["restricted"] is True
    assert entries["faces"]["source"] == "random-face==2021.7.21.1 on the package index"
    assert entries["fake-x4"]["pedigree"] == {"package": "P", "weights": "W", "trained on": "D", "made from": "M"}
    assert entries["fake-x4"]["path"] is None


def test_list_for_a_person_is_a_table(run, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    out = run("models", "list")[1]
    assert "licence" in out.splitlines()[0]
    assert "37.6 MB" in out
    assert "ganvas models get NAME" in out


def test_an_unknown_task_is_wrong_usage(run):
    status, _, err = run("models", "list", "--task", "paint")
    assert status == 2
    assert "generate" in err


# get


def test_get_shows_the_licences_and_wants_them_accepted(run, fake, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    status, out, err = run("models", "get", "fake-x4", "--from", fake)
    assert (status, out) == (1, "")
    for words in ("package", " P", " W", " D", " M", "non-commercial", "ganvas models get fake-x4 --yes"):
        assert words in err
    assert not ENTRIES["fake-x4"].here


@pytest.mark.parametrize(("answer", "expected"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_get_asks_a_person(run, fake, monkeypatch, answer, expected):
    asked = io.StringIO(answer)
    asked.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", asked)
    status, _, err = run("models", "get", "fake-x4", "--from", fake)
    assert status == expected
    assert "No commercial use. Do you accept these licences?" in err
    assert ENTRIES["fake-x4"].here == (expected == 0)


def test_get_prints_where_it_is_and_only_that(run, fake):
    status, out, err = run("models", "get", "fake-x4", "--yes", "--from", fake)
    assert status == 0
    assert out == f"{ENTRIES['fake-x4'].path}\n"
    assert "made by the test" in err
    again = run("models", "get", "fake-x4")  # no --yes: it is here
    assert again == (0, out, "fake-x4 is already downloaded, and all hashes are correct\n")


def test_get_mends_what_is_damaged(run, fake):
    path = catalogue.get("fake-x4", accept=True, from_file=fake)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    status, _, err = run("models", "get", "fake-x4", "--yes", "--from", fake)
    assert status == 0
    assert "damaged" in err
    assert path.read_bytes() == fake.read_bytes()


def test_get_of_an_absent_server_fails_with_a_reason(run, fake, monkeypatch):
    monkeypatch.setattr("ganvas.weights.catalogue.download.PAUSE_SEC", 0)
    status, out, err = run("models", "get", "fake-x4", "--yes")
    assert (status, out) == (1, "")
    assert "error: cannot download http://127.0.0.1:9/net.safetensors" in err


def test_a_slip_in_the_last_name_costs_no_download(run, fake):
    status, _, err = run("models", "get", "fake-x4", "fake-x5", "--yes")
    assert status == 1
    assert "Did you mean fake-x4" in err
    assert not store.weights_folder().exists()


def test_get_without_a_name_or_with_two_and_one_file_is_wrong_usage(run, fake):
    assert run("models", "get")[0] == 2
    status, _, err = run("models", "get", "fake-x4", "faces", "--from", fake)
    assert status == 2
    assert "one name" in err


def test_remove_frees_the_room(run, fake):
    catalogue.get("fake-x4", accept=True, from_file=fake)
    status, out, _ = run("models", "remove", "fake-x4")
    assert status == 0
    assert "freed" in out
    assert run("models", "remove", "fake-x4")[1] == "fake-x4 was not downloaded\n"


# info


def test_info_of_a_file_says_what_it_is_and_what_takes_it(run, model):
    status, out, _ = run("models", "info", model)
    assert status == 0
    for words in ("stylegan2 (generator)", "16 × 16 px", "CC0-1.0", "6 × 24", f"ganvas edit PHOTO --model {model}"):
        assert words in out
    parameters = sum(parameter.numel() for parameter in ganvas.load(model).parameters())
    assert f"{parameters:,}" in out


def test_info_of_a_name_tells_its_pedigree_before_it_is_here(run, fake):
    out = run("models", "info", "fake-x4")[1]
    assert "no: ganvas models get fake-x4" in out
    assert ["made", "from", "M"] in [line.split() for line in out.splitlines()]
    assert "family" not in out
    catalogue.get("fake-x4", accept=True, from_file=fake)
    told = json.loads(run("models", "info", "fake-x4", "--json")[1])
    assert told["family"] == "srvgg (upscaler)"
    assert told["scale"] == "×4"
    assert "ganvas upscale -i IN -o OUT -n fake-x4" in told["can be used by"]


def test_info_of_a_discriminator_says_so(run, tmp_path):
    path = save(Case("dcgan", "D", False).build(), tmp_path / "d.safetensors")
    out = run("models", "info", path)[1]
    assert "dcgan (discriminator)" in out
    assert "16 × 16 px" in out


@pytest.mark.parametrize("family", list(TINY))
def test_info_knows_every_family(run, tmp_path, family):
    path = save(Case(family, "G", False).build(), tmp_path / "g.safetensors")
    status, out, _ = run("models", "info", path)
    assert status == 0
    assert out.startswith("family ")
    assert f"{family} (" in out
    assert f"ganvas models export {path} -o OUT.onnx" in out


def test_info_of_nothing_says_so(run, tmp_path):
    status, out, err = run("models", "info", tmp_path / "nothing.pkl")
    assert (status, out) == (1, "")
    assert "nothing.pkl" in err
    status, _, err = run("models", "info", "facs")
    assert status == 1
    assert "Did you mean faces" in err


# convert and export


def test_convert_keeps_the_network_and_the_licence(run, fake, tmp_path):
    catalogue.get("fake-x4", accept=True, from_file=fake)
    target = tmp_path / "mine.safetensors"
    status, out, _ = run("models", "convert", "fake-x4", "-o", target)
    assert (status, out) == (0, f"{target}\n")
    made, source = ganvas.load(target), ganvas.load(fake)
    img = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        assert torch.equal(made(img), source(img))
    assert made.facts["licence"] == "non-commercial"
    assert made.facts["pedigree"]["made from"] == "M"


def test_convert_half_is_half_the_size(run, model, tmp_path):
    run("models", "convert", model, "-o", tmp_path / "half.safetensors", "--half")
    with safe_open(tmp_path / "half.safetensors", "pt") as file:
        assert {str(file.get_tensor(key).dtype) for key in file.keys()} >= {"torch.float16"}
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * model.stat().st_size


def test_export_writes_a_file_that_says_its_licence(run, fake, tmp_path):
    catalogue.get("fake-x4", accept=True, from_file=fake)
    target = tmp_path / "x4.onnx"
    status, out, err = run("models", "export", "fake-x4", "-o", target, "--unit-range")
    assert (status, out) == (0, f"{target}\n")
    assert "img [N, 3, H, W]" in err
    assert "largest difference from PyTorch" in err
    told = {entry.key: entry.value for entry in onnx.load(str(target)).metadata_props}
    assert told["pixels"] == "RGB, 0 to 1"
    assert told["fact.licence"] == "non-commercial"


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "-o", "x.pt"),
        ("convert", "-o", "x.safetensors", "--network", "E"),
        ("export", "-o", "x.pt"),
        ("export", "-o", "x.onnx", "--latent", "w"),
        ("export",),
    ],
)
def test_wrong_usage_is_exit_status_2(run, model, words):
    command, *options = words
    assert run("models", command, model, *options)[0] == 2


@pytest.mark.parametrize("command", ["list", "get", "info", "convert", "export", "remove"])
def test_every_help_has_an_example(run, command):
    status, out, _ = run("models", command, "--help")
    assert status == 0
    assert "Example:" in out
    assert f"ganvas models {command}" in out.partition("Example:")[2]
