# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/outcome.py: ratios of rounds, and the table."""

from dataclasses import replace

import pytest

from bench import outcome, plan
from bench.outcome import Outcome
from bench.plan import Comparison
from bench.run import Run

RUN = Run(
    iops=100.0, p50_us=1.0, p99_us=2.0, front_end_cpu_us=3.0, backend_cpu_us=None, wall_ms=10.0
)
COMPARISON = Comparison("iodepth 1, none", plan.null(1), (plan.null(1),), aim=0.8)


def of(base: list[float], other: list[float], comparison: Comparison = COMPARISON) -> Outcome:
    rounds = [
        [replace(RUN, iops=first), replace(RUN, iops=second)]
        for first, second in zip(base, other, strict=True)
    ]
    return outcome.outcome(comparison, rounds)


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The machine was twice as fast in the second round: of no consequence.
    [ratio] = of([100, 200, 100], [50, 100, 80]).ratios()
    assert (ratio.value, ratio.n) == (0.5, 3)
    assert (ratio.interval.low, ratio.interval.high) == (0.5, 0.8)


def test_the_ratio_is_of_the_metric_that_is_asked_for() -> None:
    [ratio] = of([100], [50], replace(COMPARISON, metric="wall_ms")).ratios()
    assert ratio.value == 1


def test_a_round_in_which_the_metric_is_not_known_is_left_out() -> None:
    comparison = replace(COMPARISON, metric="front_end_cpu_us")
    unknown = replace(RUN, front_end_cpu_us=None)
    rounds = [[RUN, RUN], [unknown, RUN], [RUN, unknown]]
    assert outcome.outcome(comparison, rounds).ratios()[0].n == 1


def test_latency_added_is_the_median_of_differences() -> None:
    rounds = [[RUN, replace(RUN, p50_us=p50)] for p50 in (1.1, 1.3, 9.0)]
    assert outcome.p50_added_ns(outcome.outcome(COMPARISON, rounds)).value == pytest.approx(300)


def test_the_table_has_a_line_for_each_side() -> None:
    heading, _, base, other = outcome.table([of([100] * 12, [90] * 12)]).splitlines()
    assert base.startswith("| iodepth 1, none | fio's null engine | 1 |  | 100 |")
    assert "| 0.90 (0.90 to 0.90, 96%) | 0.80 | 90 |" in other
    assert {line.count("|") for line in (heading, base, other)} == {10}


def test_what_is_not_known_is_a_dash() -> None:
    assert outcome.table([of([100], [90])]).splitlines()[-1].endswith(" | - |")


def test_wall_time_is_shown_where_it_counts() -> None:
    table = outcome.table([of([100], [90], replace(COMPARISON, metric="wall_ms"))])
    assert table.splitlines()[0].endswith("| wall ms |")
