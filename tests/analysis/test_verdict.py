# SPDX-License-Identifier: GPL-2.0-or-later
"""verdict.py: the gate, one sentence about all points, and the same as data."""

import json

import pandas as pd
import pytest

from pyfio_virtio.analysis.compare import compare
from pyfio_virtio.analysis.verdict import Limit, Verdict

NAMES = ("base", "new")


@pytest.fixture
def event(sweep: pd.DataFrame) -> pd.DataFrame:
    """Five runs of each of three iodepths."""
    return sweep[(sweep["way"] == "event") & (sweep["role"] == "measured")]


def verdict(
    base: pd.DataFrame,
    other: pd.DataFrame,
    limit: float | None = None,
    metric: str = "iops",
    *,
    allow_missing: bool = False,
    allow_unsettled: bool = False,
) -> Verdict:
    changes = compare(base, other, metric, names=NAMES)
    given = Limit(limit, f"{limit:.0%}", allow_missing, allow_unsettled) if limit else None
    return Verdict(NAMES, metric, changes, given)


def at(frame: pd.DataFrame, iodepth: int, factor: float) -> pd.DataFrame:
    """The frame with other IOPS at an iodepth."""
    return frame.assign(
        iops=frame["iops"].where(frame["iodepth"] != iodepth, frame["iops"] * factor)
    )


def test_equal_results_pass_in_one_sentence(event: pd.DataFrame) -> None:
    found = verdict(event, event, 0.5)
    assert found.outcome == "passed"
    assert found.summary == "3 of 3 points are surely not worse by more than 50%: passed"


def test_a_point_that_is_surely_worse_fails(event: pd.DataFrame) -> None:
    found = verdict(event, at(event, 32, 0.2), 0.5)
    assert found.outcome == "failed"
    assert found.summary == (
        "1 of 3 points is surely worse by more than 50%, 2 surely not worse: failed"
    )
    assert found.reasons() == "Surely worse by more than 50%: event, iodepth 32"


def test_a_point_that_one_lacks_is_inconclusive_unless_allowed(event: pd.DataFrame) -> None:
    some = event[event["iodepth"] > 1]
    found = verdict(event, some, 0.5)
    assert (found.outcome, found.summary) == (
        "inconclusive",
        "1 of 3 points is missing, 2 surely not worse: inconclusive",
    )
    assert found.reasons() == ("Missing: event, iodepth 1 (--allow-missing judges the others)")
    allowed = verdict(event, some, 0.5, allow_missing=True)
    assert allowed.summary == (
        "2 of 3 points are surely not worse by more than 50%, 1 missing: passed"
    )


def test_nothing_passes_if_every_point_is_missing(event: pd.DataFrame) -> None:
    hung = event.assign(iops=0.0)
    found = verdict(event, hung, 0.5, allow_missing=True, allow_unsettled=True)
    assert found.outcome == "inconclusive"
    assert found.reasons() == "Every point is missing, so none was judged"


def test_more_runs_are_advised_where_they_may_settle_it(event: pd.DataFrame) -> None:
    few = event[event["repeat"] <= 3]
    assert "about 5 runs of each may settle this" in verdict(few, few, 0.5).reasons()
    noisy = verdict(event, at(event, 32, 0.9), 0.08)
    assert noisy.outcome == "inconclusive"


@pytest.mark.parametrize("limit", [0.001, 0.0001])
def test_runs_that_nobody_will_make_are_not_advised(event: pd.DataFrame, limit: float) -> None:
    reasons = verdict(event, event, limit).reasons()
    assert "runs of each" not in reasons
    assert "any feasible number of runs; --allow-unsettled lets this pass" in reasons


def test_many_points_are_not_all_named(sweep: pd.DataFrame) -> None:
    reasons = verdict(sweep, sweep.assign(iops=sweep["iops"] / 9), 0.5).reasons()
    assert reasons.count("iodepth") == 5
    assert reasons.endswith(" and 13 more")


def test_without_a_limit_the_summary_says_what_holds(event: pd.DataFrame) -> None:
    found = verdict(event, event)
    assert found.outcome is None
    assert found.summary.startswith("3 points: no difference shown at 3; surely none is worse by ")


def test_without_a_limit_changes_are_counted(event: pd.DataFrame) -> None:
    changed = at(at(event, 1, 2.0), 32, 0.3)
    summary = verdict(event, changed[changed["iodepth"] < 128]).summary
    assert summary == "3 points: 1 better, 1 worse, 1 missing"


def test_no_bound_is_claimed_of_points_that_were_not_judged(event: pd.DataFrame) -> None:
    few = event[(event["iodepth"] < 128) | (event["repeat"] <= 3)]
    assert verdict(few, few).summary == (
        "3 points: no difference shown at 2, too few runs at 1 (5 of each are needed)"
    )


def test_a_metric_without_a_direction_has_no_bound(event: pd.DataFrame) -> None:
    found = verdict(event, event, metric="looks_per_io")
    assert "surely" not in found.summary
    assert found.title == f"looks_per_io, medians; ratio: {found.names[1]} / {found.names[0]}"


def test_the_bound_of_a_latency_is_in_the_direction_that_is_worse(event: pd.DataFrame) -> None:
    slower = event.assign(lat_mean_ns=event["lat_mean_ns"] * 1.5)
    summary = verdict(event, slower, metric="lat_mean_ns").summary
    assert summary.startswith("3 points: 3 worse; surely none is worse by more than 5")
    assert "surely" not in verdict(event, event.assign(iops=event["iops"] * 9)).summary


def test_the_two_are_said_to_be_not_in_turns(event: pd.DataFrame) -> None:
    found = verdict(event, event)
    assert found.caution.startswith("base and new were not measured in turns")
    assert found.caution in found.markdown()
    assert found.as_dict()["in_turns"] is False


def test_the_table_has_the_names_as_headings_and_values_with_units(event: pd.DataFrame) -> None:
    headings, rows = verdict(event, event, metric="p99_ns").table()
    assert headings == ("point", "base", "new", "ratio", "95% interval", "result")
    assert all(value.endswith((" µs", " ms")) for row in rows for value in row[1:3])
    judged, _ = verdict(event, event, 0.1).table()
    assert judged[-2:] == ("limit 10%", "result")


def test_too_few_runs_have_no_ratio(event: pd.DataFrame) -> None:
    few = event[event["repeat"] <= 2]
    _, rows = verdict(few, few).table()
    assert {row[3:5] for row in rows} == {("", "")}
    assert all(row[-1].startswith("cannot tell: 2 runs of each are too few") for row in rows)


def test_the_data_are_json(event: pd.DataFrame) -> None:
    some = event[event["iodepth"] > 1]
    data = json.loads(json.dumps(verdict(event, some, 0.5).as_dict(), allow_nan=False))
    assert (data["verdict"], data["max_regression"]) == ("inconclusive", 0.5)
    lost, kept = data["points"][:2]
    assert lost["keys"] == {"way": "event", "iodepth": 1}
    assert (lost["verdict"], lost["ratio"], lost["interval"]) == ("missing", None, None)
    assert (lost["other"], lost["other_runs"], lost["shown"]) == (None, 0, "missing")
    assert kept["verdict"] == "passed"
    assert kept["interval"]["low"] < kept["ratio"] < kept["interval"]["high"]
    assert kept["base"] == kept["other"] > 0


def test_markdown_escapes_the_names(event: pd.DataFrame) -> None:
    changes = compare(event, event)
    text = Verdict(("a|b", "<i>"), "iops", changes).markdown()
    assert "| point | a\\|b | &lt;i&gt; | ratio |" in text
    assert text.startswith("### &lt;i&gt; compared with a\\|b\n\n**3 points: ")
