import os
import subprocess
import sys

from ganvas.cli.process import SPIN_COUNT, limit_spinning


def test_threads_that_wait_sleep_soon_unless_the_environment_says_otherwise(monkeypatch):
    for given, expected in (
        ({}, str(SPIN_COUNT)),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ):
        for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        limit_spinning()
        assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_the_command_line_is_there_before_torch_so_that_its_threads_can_be_told():
    code = "import sys, ganvas.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
