# SPDX-License-Identifier: GPL-2.0-or-later
"""compare.py: two sweeps, point by point, unlike machines refused."""

import pandas as pd
import pytest

from pyfio_virtio.analysis.compare import Change, compare
from pyfio_virtio.analysis.frame import measured
from pyfio_virtio.results.results import ResultsError


def judged(changes: list[Change], share: float, kind: str) -> list[str]:
    return [change.name for change in changes if change.judged(share) == kind]


def test_a_against_a_is_never_told_apart(sweep: pd.DataFrame) -> None:
    changes = compare(sweep, sweep)
    assert len(changes) == 18
    assert {change.comparison.verdict for change in changes} == {"cannot tell"}
    assert judged(changes, 0.0, "worse") == []


def test_a_loss_is_found_at_its_point_only(sweep: pd.DataFrame) -> None:
    slower = sweep.copy()
    slower.loc[(slower["way"] == "busy") & (slower["iodepth"] == 32), "iops"] *= 0.7
    assert judged(compare(sweep, slower), 0.05, "worse") == ["busy, iodepth 32"]


@pytest.mark.parametrize(
    ("metric", "factor", "verdict"),
    [
        ("iops", 1.5, "better"),
        ("iops", 0.5, "worse"),
        ("lat_mean_ns", 1.5, "worse"),
        ("cpu_us", 0.3, "better"),
        ("iops_per_core", 0.3, "worse"),
        ("backend_iops_per_core", 1.5, "better"),
        ("looks_per_io", 1.5, "higher"),
    ],
)
def test_each_metric_declares_its_direction(
    sweep: pd.DataFrame, metric: str, factor: float, verdict: str
) -> None:
    event = sweep[sweep["way"] == "event"]
    changes = compare(event, event.assign(**{metric: event[metric] * factor}), metric)
    assert {change.comparison.verdict for change in changes} == {verdict}


def test_a_point_of_which_every_run_failed_is_missing(sweep: pd.DataFrame) -> None:
    broken = sweep.copy()
    broken.loc[(broken["way"] == "busy") & (broken["iodepth"] == 32), "error"] = "fio said no"
    changes = compare(sweep, broken)
    assert len(changes) == 18
    [lost] = [change for change in changes if change.missing]
    assert (lost.name, lost.missing) == ("busy, iodepth 32", "every run of OTHER failed")
    assert judged(changes, 0.05, "missing") == ["busy, iodepth 32"]


def test_failed_runs_of_a_point_that_has_others_are_told(sweep: pd.DataFrame) -> None:
    broken = sweep.copy()
    some = (broken["way"] == "busy") & (broken["iodepth"] == 32) & (broken["repeat"] <= 2)
    broken.loc[some & (broken["role"] == "measured"), "error"] = "fio said no"
    notes = {change.name: change.note for change in compare(sweep, broken) if change.note}
    assert notes == {"busy, iodepth 32": "2 of 5 runs of OTHER failed"}


def test_a_point_without_a_value_of_the_metric_is_missing(sweep: pd.DataFrame) -> None:
    blank = sweep.copy()
    blank.loc[blank["way"] == "busy", "p99_ns"] = float("nan")
    missing = {change.missing for change in compare(sweep, blank, "p99_ns")}
    assert missing == {"", "OTHER has no p99_ns for it"}


def test_a_large_loss_in_too_few_runs_is_not_settled(sweep: pd.DataFrame) -> None:
    few = sweep[sweep["repeat"] <= 3]
    found = compare(few, few.assign(iops=few["iops"] / 2))
    assert len(judged(found, 0.05, "unsettled")) == 18


def test_only_what_is_surely_within_the_limit_passes(sweep: pd.DataFrame) -> None:
    changes = compare(sweep, sweep)
    assert len(judged(changes, 0.5, "passed")) == 18
    assert len(judged(changes, 0.001, "unsettled")) == 18


def test_unlike_machines_are_refused_unless_allowed(sweep: pd.DataFrame) -> None:
    elsewhere = sweep.assign(host_cpu_model="Another CPU")
    with pytest.raises(ResultsError, match="cpu model was Another CPU and Example CPU"):
        compare(sweep, elsewhere)
    assert len(compare(sweep, elsewhere, allow_unlike=True)) == 18


def test_points_are_paired_by_the_meaning_of_their_options(sweep: pd.DataFrame) -> None:
    changes = compare(sweep.assign(bs="4k"), sweep.assign(bs=4096))
    assert len(changes) == 18


@pytest.mark.parametrize("metric", ["p99_ns", "p99_9_ns"])
def test_percentiles_of_lat_and_of_clat_are_not_compared(sweep: pd.DataFrame, metric: str) -> None:
    with pytest.raises(ResultsError, match="of lat in some of these runs, and of clat"):
        compare(sweep, sweep.assign(percentiles_of="clat"), metric)
    assert len(compare(sweep, sweep.assign(percentiles_of="clat"), "iops")) == 18


def test_points_that_one_lacks_are_missing(sweep: pd.DataFrame) -> None:
    some = measured(sweep)
    some = some[some["iodepth"] > 1]
    for changes, who in ((compare(sweep, some), "OTHER"), (compare(some, sweep), "BASE")):
        assert len(changes) == 18
        missing = [change.missing for change in changes if change.missing]
        assert missing == [f"{who} does not have it"] * 6


def test_sweeps_without_a_common_point_are_refused(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match="no point in common"):
        compare(sweep, sweep.assign(bs="64k"))


def test_points_without_an_option_that_others_have_are_compared_too(sweep: pd.DataFrame) -> None:
    """As other engines lack event_idx."""
    given = sweep["way"].map({"busy": "on"})
    partly = sweep.assign(event_idx=given)
    partly["option_names"] = [(*names, "event_idx") for names in partly["option_names"]]
    assert len(compare(partly, partly)) == 18


@pytest.mark.parametrize("runs", [2, 5])
def test_runs_without_any_io_are_not_dropped(sweep: pd.DataFrame, runs: int) -> None:
    hung = sweep.copy()
    hung.loc[(hung["way"] == "busy") & (hung["repeat"] <= runs), "iops"] = 0.0
    [why] = {change.missing for change in compare(sweep, hung) if change.missing}
    assert why == f"no ratio: iops is 0 in {runs} of 5 runs of OTHER"


def test_points_that_failed_on_both_sides_keep_their_names(sweep: pd.DataFrame) -> None:
    two = sweep[sweep["iodepth"].isin([sweep["iodepth"].min(), 32])]
    broken = two.assign(error=two["iodepth"].map({32: "fio said no"}))
    names = [change.name for change in compare(broken, broken)]
    assert len(set(names)) == len(names) == 12


def test_runs_that_differ_in_an_option_of_one_side_are_not_one_point(sweep: pd.DataFrame) -> None:
    """Otherwise BASE would be the median of runs with different loads."""
    turns = sweep["repeat"].map(lambda repeat: "1ms" if repeat % 2 else "0")
    varied = sweep.assign(thinktime=turns)
    varied["option_names"] = [(*names, "thinktime") for names in varied["option_names"]]
    for base, other in ((varied, sweep), (sweep, varied)):
        with pytest.raises(ResultsError, match="no point in common"):
            compare(base, other)


def test_points_are_in_the_order_of_their_values(sweep: pd.DataFrame) -> None:
    """Whatever the order of the runs is, and by values: 8k is before 16k, 32 before 128."""
    mixed = sweep.sample(frac=1, random_state=3)
    sizes = mixed["iodepth"].map({1: "16k", 32: "8k", 128: "1m"})
    varied = mixed.assign(bs=sizes)
    event = varied[varied["way"].isin(["event", "sleepy 5 µs", "sleepy 100 µs"])]
    names = [change.name for change in compare(event, event)]
    assert names[:3] == [
        "event, bs 8k, iodepth 32",
        "event, bs 16k, iodepth 1",
        "event, bs 1m, iodepth 128",
    ]
    assert [name.partition(",")[0] for name in names[::3]] == [
        "event",
        "sleepy 5 µs",
        "sleepy 100 µs",
    ]


def test_points_that_only_one_has_are_at_their_place_too(sweep: pd.DataFrame) -> None:
    some = sweep[(sweep["iodepth"] != 32) | (sweep["way"] != "event")]
    for changes in (compare(sweep, some), compare(some, sweep)):
        assert [change.name for change in changes[:3]] == [
            "event, iodepth 1",
            "event, iodepth 32",
            "event, iodepth 128",
        ]


def test_a_point_has_the_values_that_tell_it_apart(sweep: pd.DataFrame) -> None:
    assert compare(sweep, sweep)[1].keys == {"way": "event", "iodepth": 32}


def test_the_names_of_the_two_are_in_the_sentences(sweep: pd.DataFrame) -> None:
    some = measured(sweep)
    changes = compare(sweep, some[some["iodepth"] > 1], names=("old", "new"))
    assert {change.missing for change in changes if change.missing} == {"new does not have it"}


def test_sweeps_without_a_common_point_say_in_what_they_differ(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match=r"bs is 4k in old and 64k in new"):
        compare(sweep, sweep.assign(bs="64k"), names=("old", "new"))


def test_points_that_differ_in_an_option_of_a_run_have_different_names(
    sweep: pd.DataFrame,
) -> None:
    """runtime is no axis of a picture, but runs of other lengths are other points."""
    event = sweep[sweep["way"] == "event"]
    twice = pd.concat([event, event.assign(runtime=9)], ignore_index=True)
    names = [change.name for change in compare(twice, twice)]
    assert len(set(names)) == len(names) == 6


def test_two_back_ends_are_compared_by_two_sweeps(sweep: pd.DataFrame) -> None:
    """Their names tell points apart only inside a sweep that has several of them."""
    named = sweep.copy()
    named["option_names"] = [(*names, "backend_name") for names in sweep["option_names"]]
    one, two = named.assign(backend_name="threads"), named.assign(backend_name="uring")
    assert len(compare(one, two)) == 18
    both = pd.concat([one, two], ignore_index=True)
    assert len([each for each in compare(both, one) if not each.missing]) == 18


def test_unlike_machines_name_the_option_that_allows_them(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match="use --allow-unlike"):
        compare(sweep, sweep.assign(host_kernel="6.12"))


def test_the_values_that_differ_are_in_their_order(sweep: pd.DataFrame) -> None:
    mixed = sweep[sweep["iodepth"] > 1].sort_values("iodepth", ascending=False)
    with pytest.raises(ResultsError, match="iodepth is 32 or 128 in old and 1 in new"):
        compare(mixed, sweep[sweep["iodepth"] == 1], names=("old", "new"))
