# SPDX-License-Identifier: GPL-2.0-or-later
"""frame.py: a row a run, a row a point, and no run mixed with an unlike one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyfio_virtio.analysis import frame, latency
from pyfio_virtio.results.results import FIO_JSON, ResultsError, SweepFolder
from tests.analysis import synthetic


def test_every_run_of_a_sweep_is_a_row(sweep: pd.DataFrame) -> None:
    assert len(frame.measured(sweep)) == 6 * 3 * 5
    assert sweep["role"].value_counts().to_dict() == {"measured": 90, "twin": 5, "null": 5}


def test_the_way_of_waiting_is_one_axis_in_its_order(sweep: pd.DataFrame) -> None:
    ways = frame.measured(sweep).sort_values("way_order")["way"].unique()
    expected = ["event", "sleepy 5 µs", "sleepy 20 µs", "sleepy 100 µs", "busy", "adaptive"]
    assert list(ways) == expected


@pytest.mark.parametrize(
    ("engine", "wait", "poll", "way"),
    [
        ("fio_virtio", None, 0, "event"),
        ("fio_virtio", None, None, "adaptive"),
        ("fio_virtio", None, 20, "sleepy 20 µs"),
        ("fio_virtio", "sleepy", None, "sleepy 50 µs"),
        ("fio_virtio", "sleepy", "0x32", "sleepy 50 µs"),
        ("fio_virtio", None, "unreadable", "adaptive"),
        ("fio_virtio", "busy", None, "busy"),
        ("fio_virtio", "event", float("nan"), "event"),
        ("io_uring", None, None, "io_uring"),
    ],
)
def test_each_spelling_of_a_way_has_its_label(
    engine: str, wait: str | None, poll: float | str | None, way: str
) -> None:
    runs = pd.DataFrame([{"engine": engine, "wait": wait, "sleepy_poll": poll, "ios": 1}])
    assert frame.derive(runs)["way"].tolist() == [way]


def test_axes_are_what_varies_and_fixed_is_the_rest(sweep: pd.DataFrame) -> None:
    assert frame.axes(sweep) == ["way", "iodepth"]
    assert frame.fixed(sweep)["rw"] == "randread"
    assert "iodepth" not in frame.fixed(sweep)


def test_cpu_time_and_counters_are_given_per_io(sweep: pd.DataFrame) -> None:
    run = frame.measured(sweep).iloc[0]
    assert run["fio_cpu_us"] == pytest.approx(
        1e6 * (run["fio_user_s"] + run["fio_system_s"]) / run["ios"]
    )
    assert run["cpu_us"] == pytest.approx(run["fio_cpu_us"] + run["backend_cpu_us"])
    assert run["looks_per_io"] == pytest.approx(run["looks"] / run["reaped"])


def test_a_point_is_the_median_of_its_runs_within_their_interval(sweep: pd.DataFrame) -> None:
    table = frame.points(sweep)
    assert len(table) == 18
    assert set(table["n"]) == {5}
    runs = frame.measured(sweep)
    busy = runs[(runs["way"] == "busy") & (runs["iodepth"] == 32)]["iops"]
    point = table[(table["way"] == "busy") & (table["iodepth"] == 32)].iloc[0]
    assert point["iops"] == busy.median()
    assert (point["iops_low"], point["iops_high"]) == (busy.min(), busy.max())
    assert point["confidence"] == 1 - 2 / 2**5


def test_a_point_s_percentiles_are_those_of_all_its_ios(sweep: pd.DataFrame) -> None:
    runs = frame.measured(sweep)
    some = runs[(runs["way"] == "event") & (runs["iodepth"] == 1)]
    expected = latency.percentile(frame.histogram(some), 99.0)
    point = frame.points(sweep).query("way == 'event' and iodepth == 1").iloc[0]
    assert point["p99_ns"] == expected
    assert frame.histogram(some).total == pytest.approx(some["ios"].sum(), rel=0.01)


def test_points_that_differ_in_number_of_runs_are_each_judged_alone(sweep: pd.DataFrame) -> None:
    runs = frame.measured(sweep)
    uneven = runs.drop(runs[(runs["way"] == "busy") & (runs["repeat"] > 3)].index)
    table = frame.points(uneven)
    assert table[table["way"] == "busy"]["n"].unique() == [3]
    assert table[table["way"] == "event"]["confidence"].unique() == [1 - 2 / 2**5]


def test_controls_and_failures_are_no_points(sweep: pd.DataFrame) -> None:
    failed = sweep.copy()
    failed.loc[failed["way"] == "busy", "error"] = "fio hung"
    assert "busy" not in set(frame.points(failed)["way"])


def test_latency_at_a_set_rate_is_corrected_beside_the_raw_one(rated: pd.DataFrame) -> None:
    table = frame.points(rated).dropna(subset=["rate_iops"])
    assert (table["p99_ns_corrected"] >= table["p99_ns"]).all()
    assert (table["p99_ns_corrected"] > table["p99_ns"]).any()


def test_one_s_own_fio_files_are_read_too(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for depth in (1, 32):
        document = synthetic.fio_document(1e5, 50, depth, "randrw", random)
        document["global options"] = {"ioengine": "io_uring", "iodepth": str(depth), "bs": "8k"}
        (tmp_path / f"{depth}.json").write_text("fio: a note\n" + json.dumps(document))
    runs = frame.load(tmp_path / "1.json", tmp_path / "32.json")
    assert runs["iodepth"].tolist() == [1, 32]
    assert runs["bs"].tolist() == ["8k", "8k"]
    assert runs["way"].tolist() == ["io_uring", "io_uring"]
    assert runs["iops"].tolist() == [1e5, 1e5]
    assert frame.axes(runs) == ["iodepth"]
    assert frame.points(runs)["p99_ns"].notna().all()


def test_jobs_of_one_file_are_rows_with_histograms_of_their_own(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    first, second = (synthetic.fio_document(1e4, us, 1, "read", random) for us in (10, 1000))
    second["jobs"][0]["jobname"] = "another"
    first["jobs"] += second["jobs"]
    (tmp_path / "two.json").write_text(json.dumps(first))
    runs = frame.load(tmp_path / "two.json")
    medians = [latency.percentile(frame.histogram(runs.iloc[[row]]), 50.0) for row in (0, 1)]
    assert medians == [pytest.approx(1e4, rel=0.1), pytest.approx(1e6, rel=0.1)]


def test_a_run_without_its_fio_json_has_no_histogram(tmp_path: Path) -> None:
    synthetic.write_sweep(tmp_path, (0,), (), (1,), repeats=1, controls=False, details=False)
    runs = frame.load(tmp_path)
    assert not Path(runs["fio_json"].iloc[0]).exists()
    assert frame.histogram(runs).total == 0
    assert frame.points(runs)["p99_ns"].tolist() == runs["p99_ns"].tolist()


def test_no_runs_are_an_error_in_words(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        (tmp_path / "runs.jsonl").write_text("")
    with pytest.raises(ResultsError, match="no run in"):
        frame.load(tmp_path)


def test_frames_name_the_file_that_a_row_came_from(sweep: pd.DataFrame) -> None:
    assert sweep["fio_json"].str.endswith(FIO_JSON).all()
    assert sweep["source"].nunique() == 1


# ---- values and their order ----------------------------------------------------------------


def test_points_are_in_the_order_of_their_sizes(sweep: pd.DataFrame) -> None:
    some = sweep[(sweep["way"] == "busy") & (sweep["iodepth"] == 32)]
    sizes = ("128k", "16k", "1m", 4096, "4k,8k")
    runs = pd.concat([some.assign(bs=size) for size in sizes], ignore_index=True)
    assert frame.points(runs, ["bs"])["bs"].tolist() == [4096, "16k", "128k", "1m", "4k,8k"]


def test_values_with_one_meaning_are_one_point_as_it_was_first_written(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for number, size in enumerate(("4k", "4096", "8k")):
        document = synthetic.fio_document(1e5, 50, 1, "randread", random)
        document["global options"] = {"bs": size, "rw": "randread"}
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    runs = frame.load(*(tmp_path / f"{number}.json" for number in range(3)))
    assert runs["bs"].tolist() == ["4k", "4k", "8k"]
    assert frame.points(runs)["n"].tolist() == [2, 1]


def test_rows_are_chosen_by_any_spelling(sweep: pd.DataFrame) -> None:
    assert len(frame.with_value(sweep, "bs", "4096")) == len(sweep)
    assert frame.with_value(sweep, "bs", "8k").empty
    assert set(frame.with_value(sweep, "way", "busy")["way"]) == {"busy"}


@pytest.mark.parametrize("odd", [np.nan, np.inf, None])
def test_a_value_that_is_missing_in_a_run_does_not_erase_its_point(
    sweep: pd.DataFrame, odd: float | None
) -> None:
    runs = frame.measured(sweep).copy()
    runs.loc[(runs["way"] == "busy") & (runs["repeat"] == 2), ["iops", "cpu_us"]] = odd
    point = frame.points(runs).query("way == 'busy' and iodepth == 1").iloc[0]
    others = runs[(runs["way"] == "busy") & (runs["iodepth"] == 1) & (runs["repeat"] != 2)]
    assert point["iops"] == others["iops"].median()
    assert (point["iops_low"], point["iops_high"]) == (others["iops"].min(), others["iops"].max())
    assert (point["n"], point["iops_n"], point["lat_mean_ns_n"]) == (4, 4, 5)
    assert point["confidence"] == 1 - 2 / 2**4


def test_a_point_without_any_value_stays_with_its_number_of_none(sweep: pd.DataFrame) -> None:
    runs = frame.measured(sweep).copy()
    runs.loc[runs["way"] == "busy", "iops"] = np.nan
    point = frame.points(runs).query("way == 'busy' and iodepth == 1").iloc[0]
    assert np.isnan(point["iops"])
    assert point["n"] == 0


def test_a_frame_without_depth_or_latency_can_be_drawn(sweep: pd.DataFrame) -> None:
    bare = sweep[["engine", "wait", "sleepy_poll", "ios", "iops"]]
    made = frame.derive(bare)
    assert set(made["iodepth"]) == {1}
    assert made[["lat_mean_ns", "p99_ns"]].isna().all(axis=None)
