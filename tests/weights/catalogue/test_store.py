"""The store: whole or not there, one process at a time, and every trouble named."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from ganvas.errors import FetchError
from ganvas.weights.catalogue import store


def has_file(folder: Path) -> bool:
    return (folder / "a.bin").is_file() and (folder / "a.bin").stat().st_size == 3


def write_file(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"abc")


def test_home_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "elsewhere"))
    assert store.home() == tmp_path / "elsewhere"
    assert store.weights_folder() == tmp_path / "elsewhere" / "weights"
    monkeypatch.delenv("GANVAS_HOME")
    assert store.home().name == "ganvas"
    assert store.home().is_absolute()


def test_keep_makes_once_and_then_only_looks(monkeypatch):
    made = []
    folder = store.ensure_folder("thing-1", lambda f: (made.append(f), write_file(f)), is_whole=has_file)
    assert (folder / "a.bin").read_bytes() == b"abc"
    monkeypatch.setattr(
        store, "lock", lambda *a, **k: pytest.fail("what is whole needs no lock, and no right to write")
    )
    assert store.ensure_folder("thing-1", lambda f: pytest.fail("made twice"), is_whole=has_file) == folder
    assert len(made) == 1


def test_a_failing_make_leaves_the_store_as_it_was():
    def fail(folder: Path) -> None:
        write_file(folder)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        store.ensure_folder("thing-1", fail, is_whole=has_file)
    assert not (store.weights_folder() / "thing-1").exists()
    assert not list((store.weights_folder() / ".making").iterdir())


def test_a_damaged_folder_is_replaced():
    folder = store.ensure_folder("thing-1", write_file, is_whole=has_file)
    (folder / "a.bin").write_bytes(b"")
    (folder / "stray").write_bytes(b"x")
    assert store.ensure_folder("thing-1", write_file, is_whole=has_file) == folder
    assert [path.name for path in folder.iterdir()] == ["a.bin"]


KILLED = """
import os, signal
from ganvas.weights.catalogue import store
def make(folder):
    (folder / "a.bin").write_bytes(b"ab")
    print("half-way", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
store.ensure_folder("thing-1", make, is_whole=lambda folder: (folder / "a.bin").is_file())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process the POSIX way")
def test_a_killed_process_leaves_neither_half_a_folder_nor_a_lock():
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert done.stdout.strip() == "half-way"
    assert not (store.weights_folder() / "thing-1").exists()
    waited = lambda: pytest.fail("the dead process still has its lock")  # noqa: E731
    assert has_file(store.ensure_folder("thing-1", write_file, is_whole=has_file, on_wait=waited))


TWO = """
import sys, time
from pathlib import Path
from ganvas.weights.catalogue import store
def make(folder):
    with open(log, "a") as file: file.write("made\\n")
    while not waits.exists():
        time.sleep(0.01)
    (folder / "a.bin").write_bytes(b"abc")
def wait():
    print("waited")
    waits.touch()
log, waits = Path(sys.argv[1]), Path(sys.argv[1] + ".waits")
store.ensure_folder("thing-1", make, is_whole=lambda f: (f / "a.bin").is_file(), on_wait=wait)
print((store.weights_folder() / "thing-1" / "a.bin").read_bytes())
"""


def test_two_processes_at_once_make_it_once(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", TWO, str(log)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=30)[0].split() for process in both)
    assert log.read_text() == "made\n"
    assert said == [["b'abc'"], ["waited", "b'abc'"]]


def test_two_threads_take_turns():
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with store.lock("key"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "cannot write in"),
        (errno.EACCES, "cannot write in"),
        (errno.ENOLCK, "no file locks"),
        (errno.EIO, "failed"),
    ],
)
def test_trouble_of_the_disk_is_named_and_says_what_to_do(code, words):
    def fail(folder: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(FetchError, match=words) as caught:
        store.ensure_folder("thing-1", fail, is_whole=has_file)
    assert "GANVAS_HOME" in str(caught.value)
    assert str(store.weights_folder()) in str(caught.value)


def test_a_home_that_cannot_be_a_folder_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "file"))
    with pytest.raises(FetchError, match="GANVAS_HOME"):
        store.ensure_folder("thing-1", write_file, is_whole=has_file)


def test_too_small_a_disk_is_named_before_the_download(monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: Usage(10**9, 9 * 10**8, 10**8))
    store.check_room(80_000_000)
    with pytest.raises(FetchError, match=r"90\.0 MB are needed and 100\.0 MB are free.*GANVAS_HOME"):
        store.check_room(90_000_000)  # with what stays free beside it


def test_remove_frees_what_was_there():
    store.ensure_folder("thing-1", write_file, is_whole=has_file)
    assert store.remove_folder("thing-1") == 3
    assert not (store.weights_folder() / "thing-1").exists()
    assert store.remove_folder("thing-1") == 0


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert store.sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(("size", "text"), [(37_588_926, "37.6 MB"), (1_070, "1.1 kB"), (0, "0.0 kB")])
def test_sizes_are_told_in_round_numbers(size, text):
    assert store.megabytes(size) == text
