# SPDX-License-Identifier: GPL-2.0-or-later
"""family.py: the intervals of a whole family hold together, on data whose truth is known."""

import math

import numpy as np
import pytest

from pyfio_virtio.analysis import family
from pyfio_virtio.analysis.family import Floats, Shift

MANY = 150


def claims(tables: list[Floats], orders: list[Floats | None] | None = None) -> int:
    """The number of pairs with a difference."""
    found = family.all_pairs(tables, orders or ())
    return sum(is_apart(shift) for table in found for shift in table.values())


def is_apart(shift: Shift) -> bool:
    return shift.n >= family.FEWEST_ROUNDS and not shift.low <= 0 <= shift.high


def few_of(many: int) -> float:
    """5% with three standard errors of this many trials."""
    return 0.05 + 3 * math.sqrt(0.05 * 0.95 / many)


@pytest.mark.parametrize(("rounds", "ways", "places"), [(5, 7, 2), (12, 2, 1), (12, 7, 1)])
def test_equal_ways_are_told_apart_in_few_families(rounds: int, ways: int, places: int) -> None:
    random = np.random.default_rng(rounds)
    wrong = sum(
        claims([random.normal(0, 0.1, (rounds, ways)) for _ in range(places)]) > 0
        for _ in range(MANY)
    )
    assert wrong / MANY <= few_of(MANY)


def test_ways_that_differ_only_in_their_noise_are_not_told_apart() -> None:
    random = np.random.default_rng(8)
    loud = np.array([1.0, 1.0, 0.1, 0.1, 0.1, 0.1])
    wrong = sum(claims([loud * random.normal(0, 0.1, (12, 6))]) > 0 for _ in range(MANY))
    assert wrong / MANY <= few_of(MANY)


def test_a_drift_of_the_machine_is_not_a_difference() -> None:
    """Ways in a fixed order, on a machine that becomes slower all the time."""
    random = np.random.default_rng(9)
    order = np.arange(60.0).reshape(12, 5)
    drift = -0.02 * order
    wrong = sum(claims([drift + random.normal(0, 0.02, (12, 5))], [order]) > 0 for _ in range(MANY))
    assert wrong / MANY <= few_of(MANY)
    assert claims([drift + random.normal(0, 0.02, (12, 5))]) > 0, "the order is what tells it"


def test_a_difference_of_10_percent_is_found_among_many() -> None:
    random = np.random.default_rng(10)
    found = 0
    for _ in range(40):
        table = random.normal(0, 0.03, (12, 12))
        table[:, 3] += np.log(1.1)
        pairs = family.all_pairs([table])[0]
        found += all(is_apart(shift) for pair, shift in pairs.items() if 3 in pair)
    assert found >= 36


def test_a_large_difference_of_others_does_not_hide_a_small_one() -> None:
    random = np.random.default_rng(11)
    table = random.normal(0, 0.01, (12, 3)) + np.log([1, 1.1, 30])
    assert claims([table]) == 3


def test_two_sweeps_of_the_same_are_told_apart_in_few_families() -> None:
    random = np.random.default_rng(12)
    wrong = 0
    for _ in range(MANY):
        points = [(random.normal(0, 0.1, 8), random.normal(0, 0.1, 8)) for _ in range(6)]
        wrong += any(is_apart(shift) for shift in family.two_samples(points))
    assert wrong / MANY <= few_of(MANY)


def test_two_sweeps_find_10_percent_at_one_of_many_points() -> None:
    random = np.random.default_rng(13)
    points = [(random.normal(0, 0.03, 12), random.normal(0, 0.03, 12)) for _ in range(10)]
    points[4] = (points[4][0], points[4][1] + np.log(0.9))
    assert [is_apart(shift) for shift in family.two_samples(points)] == [n == 4 for n in range(10)]


def test_runs_that_resemble_their_neighbours_widen_the_intervals() -> None:
    random = np.random.default_rng(14)
    noise = random.normal(0, 0.03, (30, 2))
    chained = np.cumsum(noise, axis=0) / 3
    shuffled = random.permutation(chained)
    wide, narrow = (family.all_pairs([each])[0][0, 1] for each in (chained, shuffled))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_one_disturbed_run_moves_nothing() -> None:
    random = np.random.default_rng(15)
    table = random.normal(0, 0.02, (12, 2)) + np.log([1, 1.2])
    hit = table.copy()
    hit[5, 1] -= 3.0
    calm, disturbed = (family.all_pairs([each])[0][0, 1] for each in (table, hit))
    assert is_apart(disturbed)
    assert disturbed.centre == pytest.approx(calm.centre, abs=0.02)


def test_a_missing_run_takes_only_its_pairs_along() -> None:
    random = np.random.default_rng(16)
    table = random.normal(0, 0.02, (6, 3))
    table[2, 0] = np.nan
    pairs = family.all_pairs([table])[0]
    assert [pairs[pair].n for pair in ((0, 1), (0, 2), (1, 2))] == [5, 5, 6]


def test_a_table_without_a_usable_pair_widens_nothing() -> None:
    """Such as costs of a back-end that was not seen, or a place with four rounds."""
    table = np.random.default_rng(18).normal(0, 0.03, (12, 3)) + np.log([1, 1.1, 1])
    alone = family.all_pairs([table])
    for other in (np.full((12, 3), np.nan), np.zeros((4, 3)), np.empty((0, 2))):
        assert family.all_pairs([table, other])[0] == alone[0]


@pytest.mark.parametrize("table", [np.empty((0, 2)), np.full((6, 2), np.nan), np.zeros((1, 2))])
def test_too_little_gives_no_interval_and_no_warning(table: Floats) -> None:
    shift = family.all_pairs([table])[0][0, 1]
    assert shift.n < family.FEWEST_ROUNDS
    assert not is_apart(shift)


def test_nothing_to_compare_gives_nothing() -> None:
    assert family.all_pairs([]) == []
    assert family.two_samples([]) == []
    assert family.two_samples([(np.array([]), np.array([1.0]))]) == [family.NOTHING]


def test_equal_runs_do_not_differ() -> None:
    table = np.ones((8, 3))
    assert claims([table]) == 0


def test_the_same_data_give_the_same_intervals() -> None:
    table = np.random.default_rng(17).normal(0, 0.1, (8, 4))
    assert family.all_pairs([table]) == family.all_pairs([table])
