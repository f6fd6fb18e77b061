"""The thread count follows what was measured, and the user's own word."""

import pytest
import torch

from ganvas.ops import threads


@pytest.fixture(autouse=True)
def same_count_afterwards():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        ({1: 8.0, 2: 4.1, 4: 2.2}, 4),
        ({1: 0.41, 2: 0.79}, 1),  # a busy machine: two wait for one another
        ({1: 8.0, 2: 4.1, 4: 4.0}, 2),  # the last two bring nothing
        ({1: 8.0, 2: 7.9, 4: 2.0}, 4),
        ({1: 1.0}, 1),
    ],
)
def test_more_threads_must_be_worth_it(seconds, count):
    assert threads.best_thread_count(seconds) == count


def test_the_measured_count_is_set(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "_seconds_by_count", lambda counts: {count: float(count) for count in counts})
    assert threads.calibrate_threads() == 1 == torch.get_num_threads()


def test_the_environment_has_the_last_word(monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(threads, "_seconds_by_count", lambda counts: pytest.fail("nothing is to be measured"))
    assert threads.calibrate_threads() == 2 == torch.get_num_threads()


def test_every_count_is_really_measured():
    seconds = threads._seconds_by_count([1, 2], rounds=1)
    assert seconds.keys() == {1, 2}
    assert all(value > 0 for value in seconds.values())
