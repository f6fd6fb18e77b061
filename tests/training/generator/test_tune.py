"""The search: every trial the same budget, the preset first, the best one kept as a preset that train takes."""

import json
import sys

import pytest

from ganvas.errors import BadConfig, GanvasError, MissingExtra
from ganvas.training.generator.presets import find_generator_preset
from ganvas.training.generator.train import as_image_dataset
from ganvas.training.generator.tune import tune
from tests.training import tiny

pytest.importorskip("optuna")


def search(judge, tmp_path=None, **changes):
    start = tiny.config(batch_size=4, total_kimg=0.016)
    wanted = {"minutes": 5.0, "trials": 4} | changes
    return tune(
        as_image_dataset(tiny.pictures(), start), start=start, metric=judge, folder=tmp_path, device="cpu", **wanted
    )


@pytest.fixture(autouse=True)
def enough_time(clock):
    """Trials end by pictures, however busy the machine is."""


def judged_by(values):
    """A judge that does not look: the distances are given."""
    waiting = list(values)
    return lambda G: waiting.pop(0)


def test_the_best_trial_becomes_a_preset_file(tmp_path):
    found = search(judged_by([50.0, 20.0, 70.0, 30.0]), tmp_path / "tune")
    assert found.best.number == 1 and [trial.kimg for trial in found.trials] == [0.016] * 4
    config = find_generator_preset(str(found.path))
    assert config == found.config
    assert config.g_lr == found.best.settings["g_lr"] and config.total_kimg == 0.016 and config.minutes is None
    written = json.loads(found.path.read_text())["found"]
    assert written["fd"] == 20 and written["preset_fd"] == 50
    assert len((tmp_path / "tune" / "trials.jsonl").read_text().splitlines()) == 4


def test_the_preset_itself_is_the_first_trial_and_wins_where_nothing_is_better():
    start = tiny.config()
    found = search(judged_by([1.0, 2.0, 3.0, 4.0]))
    assert found.best.number == 0
    assert (found.config.g_lr, found.config.d_lr, found.config.r1_gamma) == (start.g_lr, start.d_lr, start.r1_gamma)
    tried = [trial.settings for trial in found.trials]
    assert len({settings["g_lr"] for settings in tried}) == 4
    assert all(start.g_lr / 4 <= settings["g_lr"] <= start.g_lr * 4 for settings in tried)
    assert all(start.r1_gamma / 10 <= settings["r1_gamma"] <= start.r1_gamma * 10 for settings in tried)


def test_a_trial_that_fails_is_not_the_end():
    def judge(G, calls=[]):  # noqa: B006
        calls.append(G)
        if len(calls) == 2:
            raise GanvasError("collapsed")
        return float(len(calls))

    found = search(judge)
    assert [trial.fd for trial in found.trials] == [1.0, None, 3.0, 4.0] and "collapsed" in found.trials[1].words


def test_too_little_of_anything_is_refused():
    with pytest.raises(BadConfig, match="3 or more trials"):
        search(judged_by([]), trials=2)
    with pytest.raises(BadConfig, match="more than 0 minutes"):
        search(judged_by([]), minutes=0)


def test_without_optuna_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ganvas\[tune\]'"):
        search(judged_by([]))
