"""500 damaged weights files of all layouts: each is read or refused with a WeightsError, soon, in little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = int(os.environ.get("GANVAS_FUZZ_CASES", "500"))
FIRST = int(os.environ.get("GANVAS_FUZZ_FIRST", "0"))  # other numbers, other files
LIMIT_SEC, LIMIT_MB = 5, 2048


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_damaged_files_are_read_or_refused(tmp_path):
    """In a process of its own: a crash of the interpreter would be a finding too."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.weights.fuzz", str(tmp_path), str(FIRST), str(CASES)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=env, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    print(result["outcomes"], f"slowest {result['slowest'][0]:.2f} s, peak {result['peak_mb']:.0f} MB")
    assert result["wrong"] == []
    assert sum(result["outcomes"].values()) == CASES
    kinds = ("read", "BrokenWeights", "UnknownWeights", "UnsafeWeights")
    assert all(result["outcomes"].get(kind, 0) > CASES / 100 for kind in kinds), "the damage is too much alike"
    assert result["slowest"][0] < LIMIT_SEC
    assert result["peak_mb"] < LIMIT_MB
