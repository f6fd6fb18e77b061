"""Whatever lies in run folders, all runs are listed; one that makes no sense is listed as damaged."""

import json

import pytest

from ganvas.training.engine.run_list import describe_run, list_runs

GOOD = {"config": {"total_kimg": 8, "resolution": 64}, "preset": "mlp-64", "status": "stopped", "nimg": 400, "sec": 2.5}


def put(folder, record, log=""):
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(record if isinstance(record, bytes) else json.dumps(record).encode())
    (folder / "log.jsonl").write_text(log)
    return folder


DAMAGED = {
    "seconds are null": {**GOOD, "sec": None},
    "pictures are text": {**GOOD, "nimg": "many"},
    "pictures are negative": {**GOOD, "nimg": -1},
    "pictures are a list": {**GOOD, "nimg": [1]},
    "seconds are not a number": json.dumps({**GOOD, "sec": float("nan")}).encode(),
    "seconds are endless": json.dumps({**GOOD, "sec": float("inf")}).encode(),
    "a number of 400 digits": json.dumps({**GOOD, "nimg": 10**400}).encode(),
    "the preset is a list": {**GOOD, "preset": ["mlp-64"]},
    "the words are a number": {**GOOD, "words": 7},
    "the status is nothing": {**GOOD, "status": None},
    "no length": {**GOOD, "config": {}},
    "the length is text": {**GOOD, "config": {"total_kimg": "8"}},
    "nested too deep": b"[" * 100_000,
    "a list": b"[]",
    "empty": b"",
    "no UTF-8": b"\xff\xfe",
    "zeros": bytes(64),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_run_is_listed_beside_the_good_one(kind, tmp_path):
    put(tmp_path / "good", GOOD)
    put(tmp_path / "bad", DAMAGED[kind])
    states = {state.folder.name: state for state in list_runs(tmp_path)}
    assert states["good"].status == "stopped" and states["good"].kimg == 0.4 and states["good"].resolution == 64
    assert states["bad"].status == "damaged" and "run.json" in states["bad"].words


LOGS = {
    "numbers as text": '{"nimg": 800, "kimg": "0.8", "sec": "x", "img_per_sec": "fast", "fd": "low"}',
    "nulls": '{"nimg": 800, "kimg": null, "sec": null, "img_per_sec": null, "fd": null}',
    "not a number": '{"nimg": 800, "kimg": NaN, "sec": Infinity, "img_per_sec": NaN, "fd": NaN}',
    "only the pictures": '{"nimg": 800}',
    "cut short": '{"nimg": 800, "ki',
    "nested too deep": "[" * 100_000,
    "no JSON": "\0\0\0",
}


@pytest.mark.parametrize("kind", LOGS)
def test_a_damaged_log_leaves_what_the_record_says(kind, tmp_path):
    state = describe_run(put(tmp_path / "run", GOOD, LOGS[kind] + "\n"))
    assert state.status == "stopped" and state.kimg == 0.4 and state.minutes == 2.5 / 60
    assert state.fd is None and state.img_per_sec == 0


def test_folders_in_place_of_files_are_damaged_runs_or_none(tmp_path):
    (tmp_path / "a" / "run.json").mkdir(parents=True)
    folder = put(tmp_path / "b", GOOD)
    (folder / "log.jsonl").unlink()
    (folder / "log.jsonl").mkdir()
    assert {state.folder.name: state.status for state in list_runs(tmp_path)} == {"a": "damaged", "b": "stopped"}
