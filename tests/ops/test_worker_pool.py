"""Work shared among processes: nothing is lost and nothing done twice, whoever dies."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ganvas.errors import GanvasError
from ganvas.ops.worker_pool import share_out
from tests.ops.pool_work import start, start_badly


def pids(folder, item):
    path = folder / f"{item}.pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def wait_until(condition, *, sec=30):
    end = time.monotonic() + sec
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid):
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_every_item_is_done_once_and_those_of_the_dead_again(tmp_path):
    items = ["dies once", "a", "dies always", "b"]
    results = dict(share_out(items, partial(start, tmp_path), workers=2, tries=2))
    assert results.keys() == set(items)
    assert [results[item] for item in ("a", "b", "dies once")] == ["A", "B", "DIES ONCE"]
    assert isinstance(results["dies always"], GanvasError)
    assert "2 processes died of it; the last one was killed by SIGKILL" in str(results["dies always"])
    assert [len(pids(tmp_path, item)) for item in items] == [2, 1, 2, 1]


def test_processes_that_cannot_start_are_said_instead_of_started_for_ever():
    with pytest.raises(GanvasError, match="do not start: the last one ended with status 3"):
        list(share_out(["a"], start_badly, workers=1, tries=2))


def test_who_stops_listening_ends_the_processes(tmp_path):
    results = share_out(["a", "sleeps"], partial(start, tmp_path), workers=1)
    assert next(results) == ("a", "A")
    results.close()
    assert not is_running(pids(tmp_path, "a")[0])


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_processes_of_a_killed_parent_end(tmp_path):
    program = (
        "from functools import partial; from ganvas.ops.worker_pool import share_out; "
        "from tests.ops.pool_work import start; "
        f"list(share_out(['sleeps'], partial(start, {str(tmp_path)!r}), workers=1))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    wait_until(lambda: pids(tmp_path, "sleeps"))
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(pids(tmp_path, "sleeps")[0]))
