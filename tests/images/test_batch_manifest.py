"""The manifest of a batch: what is done is known again, and whatever has changed since is not."""

import json

import pytest

from ganvas.errors import BadConfig
from ganvas.images.batch_manifest import BatchManifest
from ganvas.images.batch_paths import Task


@pytest.fixture
def task(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "ä.png").write_bytes(b"photo")
    (tmp_path / "out" / "ä.png").write_bytes(b"result")
    return Task(tmp_path / "in" / "ä.png", tmp_path / "out" / "ä.png")


def reopen(task, settings="s", shard=None):
    return BatchManifest(task.source.parent, task.target.parent, settings=settings, shard=shard)


def held(task, **options):
    manifest = reopen(task, **options)
    try:
        return manifest.holds(task)
    finally:
        manifest.close()


def fill(task, **options):
    manifest = reopen(task, **options)
    assert not manifest.holds(task)
    manifest.add(task, task.target)
    manifest.close()
    return manifest.path


def test_what_is_done_is_held_until_anything_changes(task):
    line = json.loads(fill(task).read_text(encoding="utf-8"))
    assert line["source"] == line["result"] == "ä.png" and line["bytes"] == 6
    assert held(task) and not held(task, settings="other")
    task.target.write_bytes(b"resulT")
    assert not held(task)
    task.target.write_bytes(b"result")
    task.source.write_bytes(b"another")
    assert not held(task)
    task.source.write_bytes(b"photo")
    task.target.unlink()
    assert not held(task)


def test_a_line_that_was_torn_by_a_kill_costs_itself_only(task):
    path = fill(task)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert held(task)
    other = Task(task.source.with_name("b.png"), task.target.with_name("b.png"))
    for file in (other.source, other.target):
        file.write_bytes(b"b")
    fill(other)
    assert held(task) and held(other)


def test_shards_write_their_own_and_read_all(task):
    assert fill(task, shard=(2, 3)).name == "batch-2-of-3.jsonl"
    assert held(task) and held(task, shard=(1, 4))


def test_two_batches_cannot_write_one_manifest(task):
    first = reopen(task)
    with pytest.raises(BadConfig, match="another batch is writing"):
        reopen(task)
    first.close()
    reopen(task).close()
