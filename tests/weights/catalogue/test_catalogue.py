"""Known weights by name: a fake index, a fake server, and the real list."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ganvas.errors import BadConfig, FetchError, GanvasError, Stopped
from ganvas.weights.catalogue import catalogue, entries, sources, store
from ganvas.weights.catalogue.entries import ENTRIES, CatalogueEntry, LicenceChain
from ganvas.weights.catalogue.sources import BundledSource, Member, StoredFile, UrlSource, WheelSource

WEIGHTS = b"weights " * 1000
TRAP = "import pathlib, os; pathlib.Path(os.environ['TRAP']).write_text('code was run')\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def member(path: str, data: bytes) -> Member:
    return Member(name=path.rsplit("/", 1)[-1], path=path, size_bytes=len(data), sha256=sha256(data))


def write_wheel(folder: Path, files: dict[str, bytes], *, tag: str = "py3-none-any", version: str = "1.0") -> Path:
    """A wheel as an index would have it; its own code is a trap."""
    folder.mkdir(exist_ok=True)
    path = folder / f"fake_faces-{version}-{tag}.whl"
    info = f"fake_faces-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr("fake_faces/__init__.py", TRAP)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: fake-faces\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def wheel_of(archive: Path, *members: Member, **more) -> WheelSource:
    data = archive.read_bytes()
    return WheelSource(
        package="fake-faces", version="1.0", size_bytes=len(data), sha256=sha256(data), members=members, **more
    )


def entry_of(source, *, name="fake", restricted=False, opens=None) -> CatalogueEntry:
    return CatalogueEntry(
        name=name,
        task="generate",
        about="made by the test",
        source=source,
        licence="non-commercial" if restricted else "MIT",
        pedigree=LicenceChain(package="MIT", weights="MIT", data="nothing", parent="nobody"),
        restricted=restricted,
        opens=opens,
    )


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A package index that is a folder, told to pip the way its users do."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TRAP", str(tmp_path / "trap"))
    yield folder
    assert not (tmp_path / "trap").exists(), "code of the package was run"


@pytest.fixture
def add(monkeypatch):
    """Put an entry into the catalogue for this test."""

    def put(entry: CatalogueEntry) -> CatalogueEntry:
        monkeypatch.setitem(ENTRIES, entry.name, entry)
        return entry

    return put


# Wheels.


def test_a_wheel_is_fetched_by_pip_checked_and_only_its_members_are_kept(index, add):
    archive = write_wheel(index, {"fake_faces/data/a.bin": WEIGHTS, "fake_faces/data/b.bin": b"not wanted"})
    entry = add(entry_of(wheel_of(archive, member("fake_faces/data/a.bin", WEIGHTS)), opens="a.bin"))
    assert not entry.here
    seen = []
    path = catalogue.get("fake", on_progress=lambda done, total: seen.append((done, total)))
    assert path == store.weights_folder() / "fake-faces-1.0" / "a.bin"
    assert path.read_bytes() == WEIGHTS
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.bin", "fetched.json"]
    assert {total for _, total in seen} == {archive.stat().st_size}
    note = json.loads((path.parent / "fetched.json").read_text())
    assert note["from"] == "fake-faces==1.0 on the package index"
    assert note["sha256"] == {"a.bin": sha256(WEIGHTS)}
    leftovers = [file for file in store.weights_folder().rglob("*") if file.is_file() and file.parent != path.parent]
    assert [file.suffix for file in leftovers] == [".lock"]


def test_what_is_here_needs_neither_pip_nor_network_nor_consent(index, add, monkeypatch):
    archive = write_wheel(index, {"a.bin": WEIGHTS})
    add(entry_of(wheel_of(archive, member("a.bin", WEIGHTS)), restricted=True))
    folder = catalogue.get("fake", accept=True)
    archive.unlink()
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    assert catalogue.get("fake") == catalogue.resolve("fake") == folder


def test_the_wheel_of_another_platform_and_python_is_only_a_parcel(index, add):
    archive = write_wheel(index, {"a.bin": WEIGHTS}, tag="cp311-none-manylinux1_x86_64")
    write_wheel(index, {"a.bin": b"of another platform"}, tag="cp311-none-win_amd64")
    add(entry_of(wheel_of(archive, member("a.bin", WEIGHTS), platform="manylinux1_x86_64")))
    assert (catalogue.get("fake") / "a.bin").read_bytes() == WEIGHTS


def test_an_exchanged_wheel_is_refused(index, add):
    archive = write_wheel(index, {"a.bin": WEIGHTS})
    add(entry_of(wheel_of(archive, member("a.bin", WEIGHTS))))
    with zipfile.ZipFile(archive, "a") as wheel:
        wheel.writestr("fake_faces/evil.py", TRAP)
    with pytest.raises(FetchError, match="not used"):
        catalogue.get("fake")
    assert not (store.weights_folder() / "fake-faces-1.0").exists()


def test_a_wheel_of_the_same_length_is_refused_by_its_hash(index, add):
    archive = write_wheel(index, {"a.bin": WEIGHTS})
    source = wheel_of(archive, member("a.bin", WEIGHTS))
    add(entry_of(WheelSource(**{**vars(source), "sha256": "0" * 64})))
    with pytest.raises(FetchError, match=f"expected SHA-256 {'0' * 64}, got {source.sha256}"):
        catalogue.get("fake")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (member("a.bin", WEIGHTS[:-8]), "should have 7,992 bytes, but has 7,993"),  # no more is unpacked than that
        (member("a.bin", b"x" * 8000), "expected SHA-256"),
        (member("missing.bin", WEIGHTS), "does not contain a readable missing.bin"),
    ],
)
def test_a_member_that_is_not_as_announced_is_refused(index, add, wanted, words):
    archive = write_wheel(index, {"a.bin": WEIGHTS})
    add(entry_of(wheel_of(archive, wanted)))
    with pytest.raises(FetchError, match=words):
        catalogue.get("fake")
    assert not (store.weights_folder() / "fake-faces-1.0").exists()


def test_a_bomb_is_not_unpacked(index, add, tmp_path):
    archive = write_wheel(index, {"a.bin": bytes(50_000_000)})
    small = Member(name="a.bin", path="a.bin", size_bytes=1000, sha256="0" * 64)
    add(entry_of(wheel_of(archive, small)))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(FetchError, match="1,000 bytes, but has 1,001"):
        ENTRIES["fake"].source.take(archive, into)
    assert (into / "a.bin").stat().st_size == 1001


@pytest.mark.parametrize("name", ["../a.bin", "/etc/a", "a/b", "..", ".hidden", "", "C:\\a", "a\nb"])
def test_kept_files_have_plain_names_whatever_an_archive_calls_them(name):
    with pytest.raises(BadConfig, match="plain name"):
        StoredFile(name=name)


def test_a_member_with_a_climbing_name_stays_inside(index, add):
    archive = write_wheel(index, {"../../climb.bin": WEIGHTS})
    climbing = Member(name="a.bin", path="../../climb.bin", size_bytes=len(WEIGHTS), sha256=sha256(WEIGHTS))
    add(entry_of(wheel_of(archive, climbing)))
    assert [path.name for path in sorted(catalogue.get("fake").iterdir())] == ["a.bin", "fetched.json"]


def test_a_source_archive_is_never_built(index, add, tmp_path):
    """Learning an sdist's version would run its setup.py: the trap."""
    root = tmp_path / "fake_faces-1.0"
    root.mkdir()
    (root / "setup.py").write_text(TRAP + "from setuptools import setup; setup(name='fake-faces', version='1.0')\n")
    (root / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: fake-faces\nVersion: 1.0\n")
    with tarfile.open(index / "fake_faces-1.0.tar.gz", "w:gz") as archive:
        archive.add(root, root.name)
    add(entry_of(WheelSource(package="fake-faces", version="1.0", size_bytes=1000, sha256="0" * 64, members=())))
    with pytest.raises(FetchError, match="No matching distribution"):
        catalogue.get("fake")


def test_another_version_is_not_taken_instead(index, add):
    write_wheel(index, {"a.bin": WEIGHTS}, version="2.0")
    add(entry_of(WheelSource(package="fake-faces", version="1.0", size_bytes=1000, sha256="0" * 64, members=())))
    with pytest.raises(FetchError, match=r"pip could not download fake-faces==1\.0.*--from FILE"):
        catalogue.get("fake")


def test_a_pip_in_the_current_folder_is_not_run(index, add, tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)
    archive = write_wheel(index, {"a.bin": WEIGHTS})
    add(entry_of(wheel_of(archive, member("a.bin", WEIGHTS))))
    assert (catalogue.get("fake") / "a.bin").read_bytes() == WEIGHTS


def test_without_pip_the_message_says_how_to_get_it(add, monkeypatch):
    add(entry_of(WheelSource(package="fake-faces", version="1.0", size_bytes=1000, sha256="0" * 64, members=())))
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match=r"ensurepip.*--from"):
        catalogue.get("fake")


def test_stopping_ends_pip_too(index, add, monkeypatch):
    add(entry_of(WheelSource(package="fake-faces", version="1.0", size_bytes=1000, sha256="0" * 64, members=())))
    started = []
    real = subprocess.Popen

    def slow(command, **more):
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **more))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", slow)

    def stop(done, total):
        raise Stopped("by the test")

    with pytest.raises(Stopped):
        catalogue.get("fake", on_progress=stop)
    assert started[0].poll() not in (None, 0)  # ended, and not by itself
    assert not list((store.weights_folder() / ".making").iterdir())


def test_a_full_disk_is_named_when_pip_meets_it(index, add, monkeypatch):
    add(entry_of(WheelSource(package="fake-faces", version="1.0", size_bytes=1000, sha256="0" * 64, members=())))
    real = subprocess.Popen
    code = "import sys; sys.exit('ERROR: Could not install packages: [Errno 28] No space left on device')"
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: real([sys.executable, "-c", code], **more))
    with pytest.raises(FetchError, match="disk is full"):
        catalogue.get("fake")


def test_a_wheel_fetched_elsewhere_can_be_handed_in(index, add, tmp_path, monkeypatch):
    archive = write_wheel(tmp_path / "usb", {"a.bin": WEIGHTS})
    add(entry_of(wheel_of(archive, member("a.bin", WEIGHTS)), restricted=True))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    with pytest.raises(FetchError, match="restricted"):
        catalogue.get("fake", from_file=archive)
    assert (catalogue.get("fake", accept=True, from_file=archive) / "a.bin").read_bytes() == WEIGHTS
    with pytest.raises(FetchError, match="there is no file"):
        entry_of(wheel_of(archive)).source.take(tmp_path / "nothing.whl", tmp_path)


# Addresses.


@pytest.fixture
def site(tmp_path):
    """A web server with the files of a folder; `site.got` lists what was asked for."""
    folder = tmp_path / "site"
    folder.mkdir()
    got = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

        def do_GET(self):
            got.append(self.path)
            super().do_GET()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.folder, http.got, http.url = folder, got, f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def address(site, data: bytes, **known) -> UrlSource:
    (site.folder / "net.pkl").write_bytes(data)
    return UrlSource(url=f"{site.url}/net.pkl", file=StoredFile(name="net.pkl", **known))


def test_a_file_at_an_address_is_fetched_checked_and_kept(site, add):
    add(entry_of(address(site, WEIGHTS, size_bytes=len(WEIGHTS), sha256=sha256(WEIGHTS)), opens="net.pkl"))
    assert catalogue.get("fake").read_bytes() == WEIGHTS
    assert catalogue.get("fake").read_bytes() == WEIGHTS
    assert site.got == ["/net.pkl"]
    assert not list((store.weights_folder() / ".parts").iterdir())


def test_a_file_with_another_hash_is_thrown_away(site, add):
    add(entry_of(address(site, WEIGHTS, sha256="0" * 64), opens="net.pkl"))
    for _ in range(2):  # the second call starts anew instead of offering the same part again
        with pytest.raises(FetchError, match="expected SHA-256"):
            catalogue.get("fake")
    assert site.got == ["/net.pkl", "/net.pkl"]
    with pytest.raises(FetchError, match="not downloaded"):
        catalogue.resolve("fake")


def test_a_file_nobody_knows_the_hash_of_is_watched_from_then_on(site, add):
    add(entry_of(address(site, WEIGHTS), opens="net.pkl"))
    path = catalogue.get("fake")
    catalogue.verify("fake")
    path.write_bytes(WEIGHTS[::-1])
    assert catalogue.resolve("fake") == path  # a look does not read 400 MB
    with pytest.raises(FetchError, match=r"damaged.*ganvas models get fake"):
        catalogue.verify("fake")
    path.write_bytes(WEIGHTS[1:])
    with pytest.raises(FetchError, match="not downloaded"):  # but it sees another size
        catalogue.resolve("fake")


def test_a_copy_of_the_file_can_be_handed_in(site, add, tmp_path):
    add(entry_of(address(site, WEIGHTS, sha256=sha256(WEIGHTS)), opens="net.pkl"))
    (tmp_path / "mine.pkl").write_bytes(WEIGHTS)
    assert catalogue.get("fake", from_file=tmp_path / "mine.pkl").read_bytes() == WEIGHTS
    assert site.got == []
    catalogue.remove("fake")
    (tmp_path / "mine.pkl").write_bytes(b"another")
    with pytest.raises(FetchError, match="expected SHA-256"):
        catalogue.get("fake", from_file=tmp_path / "mine.pkl")


TWO = """
import sys
from ganvas.weights.catalogue import catalogue
from ganvas.weights.catalogue.entries import ENTRIES, CatalogueEntry, LicenceChain
from ganvas.weights.catalogue.sources import UrlSource, StoredFile
source = UrlSource(url=sys.argv[1], file=StoredFile(name="net.pkl"))
pedigree = LicenceChain(package="", weights="", data="")
ENTRIES["fake"] = CatalogueEntry(name="fake", task="generate", about="", source=source, licence="", pedigree=pedigree)
print(len((catalogue.get("fake") / "net.pkl").read_bytes()))
"""


def test_two_processes_at_once_fetch_it_once(site):
    source = address(site, WEIGHTS * 1000)
    command = [sys.executable, "-c", TWO, source.url]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == [str(len(WEIGHTS) * 1000)] * 2
    assert site.got == ["/net.pkl"]


# Names and licences.


def test_a_restricted_model_is_not_fetched_before_its_licence_is_accepted(site, add):
    add(entry_of(address(site, WEIGHTS), restricted=True, opens="net.pkl"))
    with pytest.raises(FetchError, match=r"restricted.*Trained on: nothing.*ganvas models get fake --yes.*accept=True"):
        catalogue.get("fake")
    assert site.got == []
    assert catalogue.get("fake", accept=True).read_bytes() == WEIGHTS


def test_resolve_never_fetches_and_says_how_to(site, add):
    add(entry_of(address(site, WEIGHTS, size_bytes=len(WEIGHTS)), restricted=True))
    with pytest.raises(FetchError, match=r"not downloaded yet \(8\.0 kB, non-commercial\).*models get fake"):
        catalogue.resolve("fake")
    assert site.got == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("face", "faces"),
        ("realesrgan-x4", "realesrgan-x4plus"),
        ("stylegan2-ffhq", "stylegan2-ffhq-1024"),
        ("MTCNN", "mtcnn"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(typed, meant):
    with pytest.raises(BadConfig, match=f"called '{typed}'. Did you mean .*{re.escape(meant)}.*ganvas models list"):
        catalogue.find_entry(typed)


def test_a_name_like_nothing_is_answered_without_a_guess():
    with pytest.raises(BadConfig, match=r"called 'qqqqqq'. List all"):
        catalogue.resolve("qqqqqq")


def test_ganvas_load_of_an_absent_model_names_the_command():
    from ganvas.weights.load import load

    with pytest.raises(GanvasError, match="ganvas models get faces"):
        load("faces")


def test_models_of_one_archive_come_and_go_together(index, add):
    archive = write_wheel(index, {"a.bin": WEIGHTS, "b.bin": b"b"})
    source = wheel_of(archive, member("a.bin", WEIGHTS), member("b.bin", b"b"))
    one, two = (add(entry_of(source, name=name, opens=f"{name}.bin")) for name in ("a", "b"))
    assert catalogue.siblings(one) == ["b"]
    catalogue.get("a")
    assert catalogue.resolve("b").read_bytes() == b"b"
    assert catalogue.remove("b") >= len(WEIGHTS)
    assert not one.here
    assert not two.here


# The real list.


def test_the_first_entries_are_there():
    assert {
        "compact-x4",
        "faces", "realesrgan-x4plus", "realesr-animevideov3", "realesr-animevideov3-x2", "realesr-animevideov3-x3",
        "realesrgan-x4plus-anime", "vintage", "efficientnet-lite0", "mtcnn", "RealESRGAN_x4plus", "RealESRGAN_x2plus",
        "realesr-general-x4v3", "realesr-general-wdn-x4v3", "stylegan2-ffhq-1024", "stylegan2-afhqcat-512",
        "stylegan2-metfaces-1024", "stylegan3-t-ffhq-1024", "stylegan3-r-afhqv2-512",
    } <= set(ENTRIES)  # fmt: skip
    assert catalogue.find_entry("realesr-animevideov3-x4") is ENTRIES["realesr-animevideov3"]


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_entry_is_complete_and_honest(name):
    entry = ENTRIES[name]
    assert entry.name == name
    assert entry.task in entries.TASKS
    assert "\n" not in entry.about and 5 < len(entry.about) < 120
    assert all(vars(entry.pedigree).values())
    assert entry.restricted == (entry.licence == "non-commercial")
    assert entry.opens is None or entry.opens in [file.name for file in entry.source.files]
    if isinstance(entry.source, WheelSource):
        assert all(
            re.fullmatch("[0-9a-f]{64}", digest)
            for digest in [entry.source.sha256, *(m.sha256 for m in entry.source.members)]
        )
        assert all(m.size_bytes for m in entry.source.members)
        assert any("LICENSE" in m.name for m in entry.source.members)  # a licence stays with its weights
    elif isinstance(entry.source, BundledSource):
        assert entry.here
        catalogue.verify(name)
    else:
        assert entry.source.url.startswith("https://")
        assert entry.checked == entries.UNVERIFIED


def test_no_two_sources_share_a_folder():
    folders = {entry.source.key: entry.source for entry in ENTRIES.values()}
    assert all(folders[entry.source.key] == entry.source for entry in ENTRIES.values())


def test_descendants_of_a_restricted_parent_are_restricted():
    """The package of `faces` is Apache-2.0; its weights are not."""
    assert ENTRIES["faces"].restricted
    assert "non-commercial" in catalogue.terms(ENTRIES["faces"])


def test_what_ships_is_here_in_an_empty_store_and_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "empty"))
    path = catalogue.resolve("compact-x4")
    assert path.parent == sources.SHIPPED_WEIGHTS and catalogue.get("compact-x4") == path
    with pytest.raises(FetchError, match="part of ganvas"):
        catalogue.remove("compact-x4")
    assert path.exists() and not (tmp_path / "empty").exists()


def test_what_ships_and_is_gone_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "SHIPPED_WEIGHTS", tmp_path)
    assert not ENTRIES["compact-x4"].here
    with pytest.raises(FetchError, match="reinstall ganvas"):
        catalogue.get("compact-x4")


@pytest.mark.network
@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.checked != entries.UNVERIFIED])
def test_a_checked_entry_can_be_fetched_loaded_and_run(name, monkeypatch):
    import torch

    from ganvas.weights.load import load

    monkeypatch.undo()  # pip with the configuration of this computer
    path = catalogue.get(name, accept=True)
    catalogue.verify(name)
    assert path.exists()
    task = ENTRIES[name].task
    with torch.no_grad():
        if task == "generate":
            img = load(name)(torch.randn(1, 512), truncation_psi=0.7)
            assert img.shape == (1, 3, 1024, 1024)
        elif task in ("upscale", "translate"):
            network = load(name)
            img = network(torch.rand(1, 3, 32, 32) * 2 - 1)
            assert img.shape[-1] == 32 * getattr(network, "scale", 1)
        elif task == "features":
            from ganvas.features.efficientnet import load_efficientnet

            img = load_efficientnet()(torch.rand(1, 3, 64, 64))
        else:
            from ganvas.features.faces import FaceFinder

            assert FaceFinder().find(torch.zeros(1, 3, 64, 64)) == []
            return
    assert img.isfinite().all()
