# SPDX-License-Identifier: GPL-2.0-or-later
"""findings.py: sentences whose numbers are the runs'."""

import pandas as pd
import pytest

from pyfio_virtio.analysis import findings
from pyfio_virtio.analysis.frame import measured


def at_depth(runs: pd.DataFrame, depth: int) -> findings.Best:
    return next(each for each in findings.best(runs) if each.where == {"iodepth": depth})


def test_the_best_way_is_named_with_its_gain_and_cost(sweep: pd.DataFrame) -> None:
    runs = measured(sweep)
    best = at_depth(sweep, 1)
    one = runs[runs["iodepth"] == 1].groupby("way")[["iops", "cpu_us"]].median()
    assert best.way == one["iops"].idxmax() == "busy"
    assert best.baseline == "event"
    assert best.gain
    assert best.gain.ratio.value == pytest.approx(
        one["iops"]["busy"] / one["iops"]["event"], rel=0.05
    )
    assert best.sentence.startswith("At iodepth 1, busy is best with 249k IOPS, 25.1")
    assert f"{one['cpu_us']['busy']:.2g} µs of CPU per I/O against" in best.sentence


def test_ways_that_cannot_be_told_from_the_best_are_named(sweep: pd.DataFrame) -> None:
    best = at_depth(sweep, 128)
    assert {best.way, *best.equals} >= {"busy", "sleepy 5 µs"}
    assert "cannot be distinguished from it" in best.sentence


def test_a_cheaper_way_that_is_nearly_as_good_is_named(sweep: pd.DataFrame) -> None:
    thrifty = at_depth(sweep, 128).thrifty
    assert thrifty
    assert thrifty[0] == "adaptive"
    assert thrifty[1] >= findings.NEARLY


def test_the_headline_says_when_no_way_is_always_best(sweep: pd.DataFrame) -> None:
    some = sweep[sweep["way"].isin(["event", "sleepy 20 µs"])]
    line = findings.headline(findings.best(some))
    assert line == (
        "No way of waiting is best everywhere: "
        "sleepy 20 µs at iodepth 1 and 128; event at iodepth 32."
    )


def test_the_headline_says_when_one_way_is(sweep: pd.DataFrame) -> None:
    some = sweep[sweep["way"].isin(["event", "busy"])]
    assert findings.headline(findings.best(some)) == (
        "Busy is best, or equal to the best, everywhere."
    )


def test_one_way_has_nothing_to_be_compared_with(sweep: pd.DataFrame) -> None:
    some = sweep[sweep["way"] == "busy"]
    assert findings.best(some) == []
    assert "nothing to compare" in findings.headline([])


def test_ways_are_compared_over_the_rounds_that_have_both(sweep: pd.DataFrame) -> None:
    runs = measured(sweep)
    deep = runs[(runs["iodepth"] == 32) & ~((runs["way"] == "busy") & (runs["repeat"] == 2))]
    assert findings.compare_ways(findings.by_round(deep), "event", "busy").ratio.n == 4


def test_rated_runs_do_not_count_as_the_best(rated: pd.DataFrame) -> None:
    free = rated.assign(rate_iops=rated["rate_iops"].where(rated["repeat"] > 1))
    assert set(findings.unrated(free)["repeat"]) == {1}
    assert len(findings.unrated(rated)) == len(measured(rated))


def test_the_knee_is_where_the_curve_turns_up() -> None:
    iops = [10, 20, 30, 40, 50, 55, 58, 60]
    latency = [100, 101, 102, 104, 110, 150, 400, 1200]
    assert findings.knee(iops, latency) in (4, 5)


@pytest.mark.parametrize("latency", [[100, 100, 101, 100, 102], [900, 500, 300, 200, 100]])
def test_a_curve_that_does_not_rise_has_no_knee(latency: list[float]) -> None:
    assert findings.knee([1, 2, 3, 4, 5], latency) is None


def test_the_front_is_what_nothing_beats() -> None:
    assert findings.pareto([1, 2, 3, 4, 1], [50, 40, 45, 10, 60]) == [0, 1, 3]


def test_conditions_name_fio_the_runs_and_the_noise(sweep: pd.DataFrame) -> None:
    line = findings.conditions(sweep)
    for word in ("randread", "4k", "fio-3.33", "qsd", "5 runs each, 93% intervals", "noise ±"):
        assert word in line
    assert "runtime" not in line
