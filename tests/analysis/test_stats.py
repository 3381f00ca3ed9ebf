# SPDX-License-Identifier: GPL-2.0-or-later
"""stats.py: each method keeps the promise that its interval makes, on data whose truth is known."""

import itertools

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]

from pyfio_virtio.analysis import stats

TRIALS = 10_000


def lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> stats.Floats:
    return random.lognormal(0, 0.5, shape)


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> stats.Floats:
    return random.normal(1, 0.1, shape)


def bimodal(random: np.random.Generator, shape: tuple[int, ...]) -> stats.Floats:
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
        (values,), np.median, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_the_same_runs_give_the_same_interval() -> None:
    values = normal(np.random.default_rng(4), (25,))
    assert stats.median(values) == stats.median(values)


@pytest.mark.parametrize("n", [5, 8, 12, 20])
def test_signed_ranks_agree_with_wilcoxon_s_distribution(n: int) -> None:
    rank, confidence = stats.signed_rank(n)
    sums = [
        sum(place for place, sign in enumerate(signs, 1) if sign)
        for signs in itertools.product((0, 1), repeat=min(n, 12))
    ]
    if n <= 12:
        beyond = np.mean(np.array(sums) <= rank - 1)
        assert confidence == pytest.approx(1 - 2 * beyond)
    else:
        # Pairs just outside the bound are significant to scipy, just inside are not.
        logs = np.random.default_rng(n).normal(0, 1, n)
        _, low, high, _ = stats.paired_bounds(logs, 0.95)
        for shift, significant in ((low - 1e-9, True), (low + 1e-9, False), (high + 1e-9, True)):
            p = scipy.stats.wilcoxon(logs - shift, method="exact").pvalue
            assert (p <= 1 - confidence + 1e-9) == significant


@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 8), (12, 12)])
def test_rank_sums_agree_with_mann_and_whitney(n: int, m: int) -> None:
    random = np.random.default_rng(n + m)
    base, other = random.normal(0, 1, n), random.normal(0.3, 1, m)
    _, low, _, confidence = stats.unpaired_bounds(base, other, 0.95)
    for shift, significant in ((low - 1e-9, True), (low + 1e-9, False)):
        p = scipy.stats.mannwhitneyu(other - shift, base, method="exact").pvalue
        assert (p <= 1 - confidence + 1e-9) == significant


def pairs(difference: float, count: int, noise: float = 0.03) -> tuple[stats.Floats, stats.Floats]:
    random = np.random.default_rng(count)
    mood = random.lognormal(0, 0.3, (TRIALS, count))  # shared by both of a pair
    base = mood * random.lognormal(0, noise, (TRIALS, count))
    return base, mood * difference * random.lognormal(0, noise, (TRIALS, count))


@pytest.mark.parametrize("count", [5, 8, 12, 30])
def test_a_against_a_cannot_be_told_apart(count: int) -> None:
    base, other = pairs(1.0, count)
    _, low, high, _ = stats.paired_bounds(np.log(other / base), 0.95)
    assert np.mean((low <= 0) & (high >= 0)) >= 0.93


def test_a_true_difference_of_5_percent_is_found_in_12_pairs() -> None:
    base, other = pairs(1.05, 12)
    _, low, _, _ = stats.paired_bounds(np.log(other / base), 0.95)
    assert np.mean(low > 0) >= 0.90


@pytest.mark.parametrize("count", [5, 12])
def test_two_sweeps_of_the_same_cannot_be_told_apart(count: int) -> None:
    random = np.random.default_rng(count)
    base, other = random.lognormal(0, 0.03, (2, TRIALS, count))
    _, low, high, _ = stats.unpaired_bounds(base, other, 0.95)
    assert np.mean((low <= 0) & (high >= 0)) >= 0.93


def test_two_sweeps_of_12_runs_find_5_percent() -> None:
    random = np.random.default_rng(1)
    base, other = random.normal(0, 0.03, (2, TRIALS, 12))
    _, low, _, _ = stats.unpaired_bounds(base, other + np.log(1.05), 0.95)
    assert np.mean(low > 0) >= 0.90


def test_the_verdict_is_of_the_bounds() -> None:
    base, other = pairs(1.2, 12)
    assert stats.compare_pairs(base[0], other[0]).verdict == "faster"
    assert stats.compare_pairs(other[0], base[0]).verdict == "slower"
    assert stats.compare_pairs(base[0], other[0], higher_is_better=False).verdict == "slower"
    assert stats.compare_series(base[0], base[0]).verdict == "cannot tell"


def test_four_pairs_give_no_verdict() -> None:
    judged = stats.compare_pairs([1, 1, 1, 1], [2, 2, 2, 2])
    assert judged.verdict == "cannot tell"
    assert "4 pairs are too few" in judged.sentence()


def test_no_pairs_give_no_verdict_and_no_error() -> None:
    assert stats.compare_pairs([], []).verdict == "cannot tell"
    assert "too few" in stats.compare_series([], [1.0]).sentence()


def test_the_pairs_that_are_promised_settle_it() -> None:
    """Having run as many more pairs as it said, most intervals are as narrow as promised."""
    base, other = pairs(1.0, 12)
    judged = stats.compare_pairs(base[0], other[0])
    more = judged.more_pairs(0.01)
    assert f"{more} more pairs would show a difference of 1%" in judged.sentence(0.01)
    logs = np.random.default_rng(5).normal(0, 0.03 * np.sqrt(2), (200, 12 + more))
    _, low, high, _ = stats.paired_bounds(logs, 0.95)
    assert np.median(high - low) / 2 == pytest.approx(0.01, rel=0.35)


def test_a_settled_question_asks_for_no_more_pairs() -> None:
    base, other = pairs(1.0, 30, noise=0.001)
    judged = stats.compare_pairs(base[0], other[0])
    assert judged.more_pairs(0.02) == 0
    assert "any difference is below" in judged.sentence(0.02)


def test_only_a_sure_and_large_loss_passes_a_limit() -> None:
    base, other = pairs(0.9, 12)
    assert stats.compare_pairs(base[0], other[0]).exceeds(0.05)
    assert not stats.compare_pairs(base[0], other[0]).exceeds(0.15)
    assert not stats.compare_pairs(other[0], base[0]).exceeds(0.05)
    assert stats.compare_pairs(other[0], base[0], higher_is_better=False).exceeds(0.05)


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
