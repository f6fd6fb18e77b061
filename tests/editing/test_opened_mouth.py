"""Mouths that an edit opens."""

import torch

from ganvas.editing.opened_mouth import paint_opened_mouth


def _mouth(rows):
    """A map [1, 1, 32, 32] of an open mouth, so many rows high."""
    place = torch.zeros(1, 1, 32, 32)
    place[:, :, 16 : 16 + rows, 8:24] = 1
    return place


def test_a_mouth_that_was_shut_is_painted_without_the_tuning_and_nothing_else_is():
    after, untuned = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    painted = paint_opened_mouth(after, lambda: untuned, _mouth(6), _mouth(0))
    assert (painted[:, :, 34:42, 20:44] == 1).all()
    assert not painted[:, :, :30].any() and not painted[:, :, 48:].any()
    half = paint_opened_mouth(after, lambda: untuned, _mouth(10), _mouth(5))
    assert 0.5 < half.max() < 0.9  # teeth that the photo half showed are half its own


def test_a_mouth_as_open_as_before_costs_nothing():
    after = torch.zeros(1, 3, 64, 64)

    def untuned():
        raise AssertionError("a second picture was painted")

    assert paint_opened_mouth(after, untuned, _mouth(6), _mouth(5)) is after
    assert paint_opened_mouth(after, untuned, _mouth(0), _mouth(0)) is after
