"""Standard output that is closed, full or broken ends no job and shows no traceback."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.cli.streams import JobStream, output_error, protect_streams

ROOT = Path(__file__).parents[2]
LISTS = [["models", "list"], ["runs", "."], ["--version"], ["train", "--list"]]


def run(words, redirect, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GANVAS_HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    line = f'"{sys.executable}" -m ganvas {" ".join(words)} {redirect}'
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_closed_output_is_nothing_to_complain_about(words, tmp_path):
    done = run(words, ">&-", tmp_path)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_full_output_is_one_line(words, tmp_path):
    done = run(words, "> /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: standard output could not be written: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    done = run(["directions", "list"], "| true", tmp_path)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_failure_waits_until_the_job_is_done():
    stream = JobStream(Full())
    assert print("progress", file=stream) is None
    stream.flush()
    assert "No space left" in output_error([stream])
    assert output_error([JobStream(io.StringIO())]) == ""


def test_letters_that_an_encoding_lacks_are_written_as_numbers(monkeypatch):
    data = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(data, encoding="ascii"))
    out, _ = protect_streams()
    print("é\ud800", file=out)
    out.flush()
    assert data.getvalue() == b"\\xe9\\ud800\n"
