# SPDX-License-Identifier: GPL-2.0-or-later
"""findings.py: descriptions whose numbers are the runs'."""

import pandas as pd
import pytest

from pyfio_virtio.analysis import findings
from pyfio_virtio.analysis.frame import measured


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


def test_conditions_name_fio_the_runs_and_the_noise(sweep: pd.DataFrame) -> None:
    line = findings.conditions(sweep)
    for word in (
        "randread",
        "4k",
        "fio-3.33",
        "qsd",
        "5 runs each, 93% intervals",
        "two runs of a point differ by",
    ):
        assert word in line
    assert "runtime" not in line
