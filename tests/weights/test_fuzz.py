"""500 damaged weights files of all layouts: each is read or refused with a WeightsError, soon, in little memory."""

import faulthandler
import json
import os
import sys

import pytest

from tests.rough_handling import ENDS_WELL, in_child
from tests.weights import fuzz

CASES = int(os.environ.get("GANVAS_FUZZ_CASES", "500"))
FIRST = int(os.environ.get("GANVAS_FUZZ_FIRST", "0"))  # other numbers, other files
LIMIT_SEC, LIMIT_MB = 5, 1536


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_damaged_files_are_read_or_refused(tmp_path):
    """In a process of its own: a crash of the interpreter would be a finding too."""

    def read_them():
        faulthandler.enable()
        (tmp_path / "told.json").write_text(json.dumps(fuzz.examine(tmp_path, FIRST, CASES)))
        return ENDS_WELL

    code, _, said = in_child(read_them, tmp_path)
    assert code == ENDS_WELL, said[-3000:]
    result = json.loads((tmp_path / "told.json").read_text())
    print(result["outcomes"], f"slowest {result['slowest'][0]:.2f} s, {result['taken_mb']:.0f} MB taken")
    assert result["wrong"] == []
    assert sum(result["outcomes"].values()) == CASES
    kinds = ("read", "BrokenWeights", "UnknownWeights", "UnsafeWeights")
    assert all(result["outcomes"].get(kind, 0) > CASES / 100 for kind in kinds), "the damage is too much alike"
    assert result["slowest"][0] < LIMIT_SEC
    assert result["taken_mb"] < LIMIT_MB
