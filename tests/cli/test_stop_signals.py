"""A polite kill: the command ends with 128 + the signal, and what it had begun to write is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A command in the middle of its work, with a temporary folder of its own and half an image on the disk.
WORK = """
import os, signal, sys, tempfile
from pathlib import Path
from ganvas.cli import main
from ganvas.images import files

def work(number):
    with tempfile.TemporaryDirectory():
        os.fsync = lambda handle: os.kill(os.getpid(), number)
        with files.write_image_file(Path("photo.png")) as part:
            part.write_bytes(b"half")

def command(name: str):
    work(getattr(signal, name))

main.app.command("work")(command)
main.main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_kill_leaves_nothing_half_done(name, tmp_path):
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, "work", name], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), "stopped\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_command_under_nohup_outlives_its_terminal(tmp_path):
    line = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN){WORK}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", line, "work", "SIGHUP"], cwd=tmp_path, env=environment)
    assert done.returncode == 0 and (tmp_path / "photo.png").read_bytes() == b"half"
