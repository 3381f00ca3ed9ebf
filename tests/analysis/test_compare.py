# SPDX-License-Identifier: GPL-2.0-or-later
"""compare.py: two sweeps, point by point, unlike machines refused."""

import pandas as pd
import pytest

from pyfio_virtio.analysis.compare import compare
from pyfio_virtio.analysis.frame import measured
from pyfio_virtio.results.results import ResultsError


def test_a_against_a_is_never_told_apart(sweep: pd.DataFrame) -> None:
    changes = compare(sweep, sweep)
    assert len(changes) == 18
    assert {change.comparison.verdict for change in changes} == {"cannot tell"}
    assert not any(change.regressed(0.0) for change in changes)


def test_a_loss_is_found_at_its_point_only(sweep: pd.DataFrame) -> None:
    slower = sweep.copy()
    slower.loc[(slower["way"] == "busy") & (slower["iodepth"] == 32), "iops"] *= 0.85
    worse = [change for change in compare(sweep, slower) if change.regressed(0.05)]
    assert [change.name for change in worse] == ["busy, iodepth 32"]


def test_of_latency_less_is_better(sweep: pd.DataFrame) -> None:
    slower = sweep.assign(lat_mean_ns=sweep["lat_mean_ns"] * 1.5)
    assert {c.comparison.verdict for c in compare(sweep, slower, "lat_mean_ns")} == {"slower"}


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


def test_points_that_one_lacks_are_left_out(sweep: pd.DataFrame) -> None:
    some = measured(sweep)
    assert len(compare(sweep, some[some["iodepth"] > 1])) == 12


def test_sweeps_without_a_common_point_are_refused(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match="no point in common"):
        compare(sweep, sweep.assign(bs="64k"))


def test_points_without_an_option_that_others_have_are_compared_too(sweep: pd.DataFrame) -> None:
    """As other engines lack event_idx."""
    given = sweep["way"].map({"busy": "on"})
    partly = sweep.assign(event_idx=given)
    partly["option_names"] = [(*names, "event_idx") for names in partly["option_names"]]
    assert len(compare(partly, partly)) == 18
