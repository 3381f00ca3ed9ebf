# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/outcome.py: ratios of rounds, and the table."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench import outcome, plan
from bench.outcome import Outcome
from bench.plan import Comparison
from bench.run import Run
from pyfio_virtio.analysis import stats

RUN = Run(
    iops=100.0, p50_us=1.0, p99_us=2.0, front_end_cpu_us=3.0, backend_cpu_us=None, wall_ms=10.0
)
COMPARISON = Comparison("iodepth 1, none", plan.null(1), (plan.null(1),), aim=0.8)


def of(
    base: Sequence[float], other: Sequence[float], comparison: Comparison = COMPARISON
) -> Outcome:
    rounds = [
        [replace(RUN, iops=first), replace(RUN, iops=second)]
        for first, second in zip(base, other, strict=True)
    ]
    return outcome.outcome(comparison, rounds)


def test_the_ratio_is_taken_within_rounds() -> None:
    # The machine was twice as fast in the second round: of no consequence.
    [[ratio]] = outcome.ratios([of([100, 200, 100], [50, 100, 50])])
    assert ratio.value == pytest.approx(0.5)
    assert outcome.ratio_text(ratio) == "0.50 (3 rounds)"


def test_the_ratio_and_its_interval_are_those_of_reports() -> None:
    base, other = [100, 103, 98, 101, 99, 100], [80, 81, 79, 83, 80, 78]
    [[ratio]] = outcome.ratios([of(base, other)])
    assert ratio == stats.compare_pairs(base, other).ratio


def test_the_ratio_is_of_the_metric_that_is_asked_for() -> None:
    [[ratio]] = outcome.ratios([of([100], [50], replace(COMPARISON, metric="wall_ms"))])
    assert ratio.value == 1


def test_a_round_in_which_the_metric_is_not_known_is_left_out() -> None:
    comparison = replace(COMPARISON, metric="front_end_cpu_us")
    unknown = replace(RUN, front_end_cpu_us=None)
    rounds = [[RUN, RUN], [unknown, RUN], [RUN, unknown]]
    assert outcome.ratios([outcome.outcome(comparison, rounds)])[0][0].n == 1


def test_latency_added_is_the_median_of_differences() -> None:
    rounds = [[RUN, replace(RUN, p50_us=p50)] for p50 in (1.1, 1.3, 9.0)]
    assert outcome.p50_added_ns(outcome.outcome(COMPARISON, rounds)).value == pytest.approx(300)


def test_the_table_has_a_line_for_each_side() -> None:
    heading, _, base, other = outcome.table([of([100] * 12, [90] * 12)]).splitlines()
    assert base.startswith("| iodepth 1, none | fio's null engine | 1 |  | 100 |")
    assert "| 0.90 (0.90 to 0.90) | 0.80 | 90 |" in other
    assert {line.count("|") for line in (heading, base, other)} == {10}


def test_what_is_not_known_is_a_dash() -> None:
    assert outcome.table([of([100], [90])]).splitlines()[-1].endswith(" | - |")


def test_wall_time_is_shown_where_it_counts() -> None:
    table = outcome.table([of([100], [90], replace(COMPARISON, metric="wall_ms"))])
    assert table.splitlines()[0].endswith("| wall ms |")
