"""Inputs of strangers, changed at random: read, or refused in words. Longer, and guided by coverage: tests/fuzz.py."""

import tempfile

import pytest

from tests.fuzz import check_at_random


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "count"), [("recipes", 400), ("labels", 400), ("projects", 200)])
def test_what_strangers_send_is_read_or_refused_in_words(name, count, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert check_at_random(name, count) == []
