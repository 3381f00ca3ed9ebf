# SPDX-License-Identifier: GPL-2.0-or-later
"""stats.py: each method keeps the promise that its interval makes, on data whose truth is known."""

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
from numpy.typing import ArrayLike

from pyfio_virtio.analysis import family, stats
from pyfio_virtio.analysis.family import Floats

TRIALS = 10_000


def lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return random.lognormal(0, 0.5, shape)


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return random.normal(1, 0.1, shape)


def bimodal(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Two modes a factor of 2.5 apart, as a host that moves virtual CPUs makes them."""
    fast = random.random(shape) < 0.65
    return np.where(fast, random.normal(4.2, 0.1, shape), random.normal(1.6, 0.05, shape))


# The fast mode is above its part of 0.15 / 0.65 of the median: half of all lies below.
TRUTH = {
    normal: 1.0,
    lognormal: 1.0,
    bimodal: 4.2 + 0.1 * scipy.stats.norm.ppf(0.15 / 0.65),
}


@pytest.mark.parametrize("runs", [5, 8, 12, 30])
@pytest.mark.parametrize("kind", TRUTH)
def test_the_median_s_interval_covers_the_truth(kind: object, runs: int) -> None:
    assert callable(kind)
    samples = kind(np.random.default_rng(runs), (TRIALS, runs))
    low, high, claimed = stats.median_bounds(samples)
    covered = np.mean((low <= TRUTH[kind]) & (TRUTH[kind] <= high))
    assert covered >= 0.93
    assert covered >= claimed - 0.02, "it claims more than it holds"


@pytest.mark.parametrize("runs", [5, 8, 12, 19])
def test_few_runs_are_labelled_with_the_confidence_they_truly_have(runs: int) -> None:
    samples = lognormal(np.random.default_rng(7), (TRIALS, runs))
    low, high, claimed = stats.median_bounds(samples)
    assert np.mean((low <= 1) & (high >= 1)) == pytest.approx(claimed, abs=0.012)


def test_five_runs_cannot_be_labelled_95_percent() -> None:
    estimate = stats.median([3, 1, 2, 5, 4])
    assert (estimate.value, estimate.interval.low, estimate.interval.high) == (3, 1, 5)
    assert estimate.interval.label == "93% order statistics"


@pytest.mark.parametrize("n", range(2, 60))
def test_ranks_agree_with_the_binomial_distribution(n: int) -> None:
    rank, confidence = stats.order_ranks(n)
    assert confidence == pytest.approx(1 - 2 * scipy.stats.binom.cdf(rank - 1, n, 0.5))
    narrower = 1 - 2 * scipy.stats.binom.cdf(rank, n, 0.5)
    assert confidence >= 0.95 or rank == 1
    assert narrower < 0.95


def test_the_bootstrap_agrees_with_scipy_s() -> None:
    values = lognormal(np.random.default_rng(3), (40,))
    ours = stats.median(values).interval
    theirs = scipy.stats.bootstrap(
        (values,), np.median, method="percentile", random_state=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_the_same_runs_give_the_same_interval() -> None:
    values = normal(np.random.default_rng(4), (25,))
    assert stats.median(values) == stats.median(values)


def compare_series(base: ArrayLike, other: ArrayLike) -> stats.Comparison:
    """Two series that were measured at different times, as compare.py has them."""
    [shift] = family.two_samples([(stats.logs(base), stats.logs(other))])
    return stats.Comparison.of(shift, False)


def pairs(difference: float, count: int, noise: float = 0.03) -> tuple[Floats, Floats]:
    random = np.random.default_rng(count)
    mood = random.lognormal(0, 0.3, count)  # shared by both of a pair
    base = mood * random.lognormal(0, noise, count)
    return base, mood * difference * random.lognormal(0, noise, count)


def test_the_verdict_is_of_the_bounds_and_of_the_direction() -> None:
    base, other = pairs(1.2, 12)
    assert stats.compare_pairs(base, other).verdict == "better"
    assert stats.compare_pairs(other, base).verdict == "worse"
    assert stats.compare_pairs(base, other, "lower").verdict == "worse"
    assert stats.compare_pairs(base, other, "").verdict == "higher"
    assert compare_series(base, base).verdict == "cannot tell"


def test_a_ratio_does_not_contain_the_mood_of_the_machine() -> None:
    base, other = pairs(1.2, 12)
    assert stats.compare_pairs(base, other).ratio.value == pytest.approx(1.2, rel=0.03)
    wide, narrow = compare_series(base, other), stats.compare_pairs(base, other)
    assert wide.ratio.half_width > 3 * narrow.ratio.half_width


def test_four_pairs_give_no_verdict() -> None:
    judged = stats.compare_pairs([1, 1, 1, 1], [2, 2, 2, 2])
    assert judged.verdict == "cannot tell"
    assert judged.sentence() == "cannot tell: 4 rounds are too few, 5 are needed"
    assert judged.ratio.value == pytest.approx(2)
    assert not judged.surely_worse(0.05)
    assert not judged.surely_within(0.05)


def test_one_run_is_said_as_one() -> None:
    sentence = compare_series([1.0], [1.0]).sentence()
    assert sentence == "cannot tell: 1 run of each is too few, 5 are needed"


def test_runs_that_rule_nothing_out_are_called_noisy() -> None:
    """No percentage of thousands, and no share below 100% for a factor of many."""
    base = [1.0, 100.0, 2.0, 30.0, 5.0]
    assert "the runs are too noisy to rule out a factor of" in compare_series(base, base).sentence()
    huge = [1.0, 1e9, 1.0, 1e9, 1.0]
    assert compare_series(huge, huge).sentence().endswith("a factor of 1,000 or more")


def test_the_rounds_that_judge_depend_on_the_distance_from_the_limit() -> None:
    base, other = pairs(1.0, 12, noise=0.03)
    judged = stats.compare_pairs(base, other)
    near, far = judged.rounds_to_judge(0.03), judged.rounds_to_judge(0.2)
    assert near is None or near > 12
    assert far is not None
    assert far < 12
    assert stats.compare_pairs([1.0], [1.0]).rounds_to_judge(0.1) == 5


def test_no_pairs_give_no_verdict_and_no_error() -> None:
    assert stats.compare_pairs([], []).verdict == "cannot tell"
    assert "too few" in compare_series([], [1.0]).sentence()


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ([0, 1, 2, 3, 4, 5, 6], [1, 0, 2, 3, 4, 5, 6]),
        ([0] * 6, [0] * 6),
        ([1e300] * 6, [1e-300] * 6),
    ],
)
def test_odd_numbers_give_a_sentence_and_no_warning(base: list[float], other: list[float]) -> None:
    for first, second in ((base, other), (other, base)):
        assert stats.compare_pairs(first, second).sentence()
        assert compare_series(first, second).sentence()


def test_a_difference_is_said_with_its_direction() -> None:
    base, other = pairs(1.2, 12)
    assert stats.compare_pairs(base, other).sentence().endswith("% higher (better)")
    assert stats.compare_pairs(base, other, "lower").sentence().endswith("% higher (worse)")
    assert stats.compare_pairs(other, base, "").sentence().endswith("% lower")
    assert stats.compare_pairs(base, 30 * other).sentence().endswith("times as high (better)")


def test_more_rounds_are_advised_only_where_that_is_feasible() -> None:
    base, other = pairs(1.0, 12, noise=0.05)
    judged = stats.compare_pairs(base, other)
    more = judged.more_rounds(0.03)
    assert f"; {more} more rounds would show 3%" in judged.sentence(0.03)
    assert "more rounds" not in judged.sentence(0.0001)
    assert "no difference shown; any is below" in judged.sentence(0.0001)


def test_a_settled_question_asks_for_no_more_rounds() -> None:
    base, other = pairs(1.0, 30, noise=0.001)
    judged = stats.compare_pairs(base, other)
    assert judged.more_rounds(0.02) == 0
    assert judged.sentence(0.02).startswith("no difference shown; any is below 0.")


def test_surely_worse_compares_the_bound_with_the_limit() -> None:
    base, other = pairs(0.9, 12)
    judged = stats.compare_pairs(base, other)
    bound = 1 - judged.ratio.interval.high
    assert judged.surely_worse(bound - 0.001)
    assert not judged.surely_worse(bound + 0.001), "its centre is beyond, its bound is not"
    assert not stats.compare_pairs(other, base).surely_worse(0.0)
    assert stats.compare_pairs(other, base, "lower").surely_worse(0.05)


def test_surely_within_is_not_the_opposite_of_surely_worse() -> None:
    base, other = pairs(0.95, 12)
    judged = stats.compare_pairs(base, other)
    assert not judged.surely_worse(0.05)
    assert not judged.surely_within(0.05)
    assert judged.surely_within(0.2)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.1, "110%"), (0.123, "12%"), (0.0123, "1.2%"), (0.0996, "10.0%"), (11.0, "1100%")],
)
def test_a_percentage_has_no_exponent(share: float, text: str) -> None:
    assert stats.percent(share) == text


@pytest.mark.parametrize(
    ("rounds", "steady"),
    [
        ([100, 101, 99, 100, 100], True),
        ([100, 100, 125, 100, 100], False),  # range
        ([94, 97, 100, 103, 106], False),  # slope
        ([10, 50, 100, 101, 99, 100, 100], True),  # the last five count
        ([100, 100, 100, 100], False),  # too few rounds
    ],
)
def test_steady_state_is_snia_s(rounds: list[float], steady: bool) -> None:
    assert stats.steadiness(rounds).is_steady == steady


def test_the_slope_is_the_fitted_line_s() -> None:
    values = [90.0, 95, 100, 108, 104]
    rise = scipy.stats.linregress(range(5), values).slope * 4
    assert stats.steadiness(values).slope == pytest.approx(rise / np.mean(values))


def test_independent_runs_hardly_resemble_their_neighbours() -> None:
    assert abs(stats.autocorrelation(np.random.default_rng(6).normal(0, 1, 2000))) < 0.06


def test_a_drifting_series_resembles_its_neighbours() -> None:
    walk = np.cumsum(np.random.default_rng(6).normal(0, 1, 500))
    assert stats.autocorrelation(walk) > 0.9


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.0005, "99.95% lower"),
        (0.0077, "99.2% lower"),
        (1.00002, "less than 0.05% higher"),
        (1940.2, "1,940 times as high"),
        (0.0, "100% lower"),
    ],
)
def test_a_ratio_is_never_rounded_to_what_it_is_not(ratio: float, words: str) -> None:
    assert stats.times(ratio) == words


def test_equal_values_do_not_make_an_empty_bound() -> None:
    judged = compare_series([2.0] * 6, [2.0] * 6)
    assert judged.sentence() == "no difference shown; any is below 0.1%"
