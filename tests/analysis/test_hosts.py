# SPDX-License-Identifier: GPL-2.0-or-later
"""hosts.py and hostplots.py: what a page says and shows of runs on several hosts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyfio_virtio.analysis import hostplots, hosts, report, style
from pyfio_virtio.analysis.frame import histogram, load
from pyfio_virtio.analysis.names import NoDataError
from pyfio_virtio.analysis.plots import Plot
from tests.analysis.host_sweeps import NAMES, write_host_sweep
from tests.analysis.synthetic import write_sweep


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("healthy")
    write_host_sweep(path, counts=(1, 2, 4), depths=(1, 32))
    return load(path)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("broken")
    write_host_sweep(path, counts=(4,), depths=(1,), slow="", fails=("beta", 3))
    return load(path)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("local")
    write_sweep(path, polls=(), depths=(1,), repeats=2, controls=False)
    return load(path)


def drawn(plot: Plot, frame: pd.DataFrame) -> str:
    """The title of the picture."""
    with style.look():
        axes = style.figure().add_subplot()
        plot(frame, axes)
    return style.finding_of(axes)


def on_most(frame: pd.DataFrame) -> pd.DataFrame:
    most: pd.DataFrame = frame[frame["hosts"] == frame["hosts"].max()]
    return most


def test_rows_of_hosts_are_no_runs_of_the_frame(healthy: pd.DataFrame) -> None:
    assert len(healthy) == 30
    assert len(hosts.of_hosts(healthy)) == 10 * (1 + 2 + 4)
    assert "on_name" not in healthy or healthy["on_name"].isna().all()


def test_latencies_of_a_run_are_those_of_all_its_hosts(healthy: pd.DataFrame) -> None:
    run = on_most(healthy).iloc[[0]]
    assert histogram(run).total == sum(
        histogram(part).total for _, part in hosts.of_hosts(run).groupby("on_name")
    )


def test_the_straggler_is_named_with_its_share(healthy: pd.DataFrame) -> None:
    said = "\n".join(hosts.sentences(on_most(healthy)))
    assert "Host gamma is a straggler of 4 hosts: it does 0.6" in said
    assert "The hosts began at most 9 ms apart" in said


def test_a_host_that_failed_is_named_and_the_others_are_kept(broken: pd.DataFrame) -> None:
    failed, kept = hosts.failures(broken)
    assert failed == "Host beta failed in 1 run: the connection ended: fio was killed."
    assert kept.startswith("The results of the other hosts in these runs are kept (3 results)")
    rows = hosts.of_hosts(broken)
    assert len(rows) == 5 * 4
    assert rows["error"].notna().sum() == 1


def test_nothing_is_said_of_hosts_of_other_sweeps(local: pd.DataFrame) -> None:
    assert hosts.sentences(local) == []
    assert hosts.failures(local) == []
    with pytest.raises(NoDataError, match="made on one machine"):
        hosts.of_hosts(local)


@pytest.mark.parametrize(
    ("plot", "title"),
    [
        (hostplots.by_host, "IOPS of 4 hosts: medians between "),
        (hostplots.over_time, "One run of 4 hosts: their IOPS over time"),
        (hostplots.fairness, "Host gamma is a straggler of 4 hosts: it does 0.6"),
    ],
)
def test_a_title_names_what_the_picture_shows(
    healthy: pd.DataFrame, plot: Plot, title: str
) -> None:
    assert drawn(plot, on_most(healthy)).startswith(title)


def test_the_picture_over_time_shows_the_run_that_failed(broken: pd.DataFrame) -> None:
    with style.look():
        axes = style.figure().add_subplot()
        hostplots.over_time(broken, axes)
    assert style.finding_of(axes) == "Host beta failed; the others went on"
    labels = [each.get_text() for each in axes.get_yticklabels()]
    assert labels == ["alpha", "beta (failed)", "gamma", "delta"]
    cells: Any = np.ma.asarray(axes.collections[0].get_array())
    rates = np.ma.getmaskarray(cells).reshape(len(labels), -1)  # matplotlib 3.6 has one dimension
    assert rates[1, -1]
    assert not rates[0, -2]


def test_a_page_shows_the_failure_even_if_no_run_succeeded(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(3,), depths=(1,), repeats=1, fails=("beta", 1))
    page = report.html(load(tmp_path))
    assert "Host beta failed in 1 run: the connection ended: fio was killed." in page
    assert "Host beta failed; the others went on" in page
    assert "IOPS of " in page


@pytest.mark.parametrize("plot", [hostplots.by_host, hostplots.over_time, hostplots.fairness])
def test_a_sweep_of_one_machine_has_no_such_picture(local: pd.DataFrame, plot: Plot) -> None:
    with pytest.raises(NoDataError):
        drawn(plot, local)


def test_one_number_of_hosts_does_not_scale(broken: pd.DataFrame) -> None:
    with pytest.raises(NoDataError, match="--host-count 1,2,4"):
        drawn(hostplots.scaling, broken)


def test_the_page_has_the_pictures_and_the_failure(
    healthy: pd.DataFrame, broken: pd.DataFrame
) -> None:
    page = report.html(healthy)
    for words in ("efficiency of", "IOPS of 4 hosts", "Host gamma is a straggler"):
        assert words in page
    assert all(name in page for name in NAMES)
    failed = report.html(broken)
    assert "Host beta failed in 1 run" in failed
    assert "Host beta failed; the others went on" in failed
