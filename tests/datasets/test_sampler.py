"""The order of pictures: fair, and a pure function of the seed and of how many were shown."""

import numpy as np
import pytest

from ganvas.datasets.sampler import GrowingSampler, Sampler, grow_parts
from ganvas.errors import BadConfig


def test_every_picture_comes_once_before_any_comes_again():
    sampler = Sampler(7, seed=3)
    for round in range(4):
        indices, _ = sampler.take(7 * round, 7)
        assert sorted(indices.tolist()) == list(range(7))


def test_rounds_and_seeds_differ():
    first, second = (Sampler(50, seed=3).take(at, 50)[0] for at in (0, 50))
    assert (first != second).any()
    assert (first != Sampler(50, seed=4).take(0, 50)[0]).any()


@pytest.mark.parametrize("mirror", [False, True])
def test_a_resumed_run_and_many_processes_see_what_one_run_sees(mirror):
    whole = Sampler(11, seed=1, mirror=mirror).take(0, 60)
    again = Sampler(11, seed=1, mirror=mirror)
    for start, n in [(40, 20), (3, 1), (0, 60), (10, 25)]:  # in any order: nothing is remembered
        for part, all_of_it in zip(again.take(start, n), whole, strict=True):
            assert (part == all_of_it[start : start + n]).all()


def test_two_rounds_show_each_picture_once_either_way():
    sampler = Sampler(101, seed=0, mirror=True)
    shown = [tuple(pair) for at in (0, 101) for pair in zip(*(x.tolist() for x in sampler.take(at, 101)), strict=True)]
    assert sorted(shown) == sorted((i, side) for i in range(101) for side in (False, True))
    mirrored = sampler.take(0, 101)[1]
    assert 25 < mirrored.sum() < 76
    assert not Sampler(101, seed=0).take(0, 300)[1].any()


def test_the_order_is_the_one_of_every_machine_and_year():
    """Stored with numpy 2.4; RandomState's numbers are frozen by numpy's promise."""
    indices, mirrored = Sampler(10, seed=2**40 + 5, mirror=True).take(5, 12)
    assert indices.tolist() == FROZEN[0] and mirrored.astype(int).tolist() == FROZEN[1]


FROZEN = ([6, 8, 9, 5, 4, 3, 0, 1, 9, 4, 6, 2], [1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0])


def test_positions_beyond_32_bits():
    indices, _ = Sampler(3, seed=0).take(3 * 2**40, 3)
    assert indices.dtype == np.int64 and sorted(indices.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (5, -1)])
def test_nonsense_is_refused(count, seed):
    with pytest.raises(BadConfig, match="Sampler needs"):
        Sampler(count, seed=seed)
    with pytest.raises(BadConfig, match="nimg"):
        Sampler(3, seed=0).take(-1, 2)


@pytest.mark.parametrize(("nimg", "at"), [(0, 0), (3, 7), (7, 7), (18, 21)])
def test_pictures_that_are_added_take_part_after_the_round_that_was_begun(nimg, at):
    parts = grow_parts([(0, 7)], 10, nimg)
    grown, before = GrowingSampler(parts, seed=3), Sampler(7, seed=3)
    assert (grown.take(0, at)[0] == before.take(0, at)[0]).all()  # what was shown, and the rest of the round
    assert sorted(grown.take(at, 10)[0].tolist()) == list(range(10))
    whole = grown.take(0, at + 20)[0]
    assert (np.concatenate([grown.take(k, 5)[0] for k in range(0, at + 20, 5)])[: at + 20] == whole).all()


def test_a_run_that_goes_back_before_pictures_were_added_shows_them_where_it_did():
    parts = grow_parts([(0, 7)], 10, 18)
    assert parts == [(0, 7), (21, 10)] == grow_parts(parts, 10, 20) == grow_parts(grow_parts(parts, 10, 40), 10, 18)
    assert grow_parts(parts, 12, 25) == [(0, 7), (21, 10), (31, 12)]
