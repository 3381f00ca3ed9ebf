# SPDX-License-Identifier: GPL-2.0-or-later
"""run_files.py: samples and histogram logs of runs, whole ones and others."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyfio_virtio.analysis import frame, picture_names, run_files
from pyfio_virtio.results.results import COUNTERS, SAMPLES, ResultsError
from tests.analysis import synthetic

SAMPLE = {"time_s": 0.5, "is_ramp": False, "iops": 5.0, "backend_cpu": None}


def test_samples_tell_ramp_from_run(sweep: pd.DataFrame) -> None:
    run = frame.measured(sweep).iloc[[0]]
    table = run_files.samples(run)
    assert table["is_ramp"].sum() == 4
    assert table["time_s"].is_monotonic_increasing


def test_fio_s_histogram_log_is_counts_by_time_and_latency(tmp_path: Path) -> None:
    for job in (1, 2):
        synthetic.histogram_log(tmp_path / f"log_clat_hist.{job}.log", seconds=2)
    times, bins_ns, counts = run_files.latency_over_time(tmp_path)
    assert times.tolist() == [0.25 * step for step in range(1, 9)]
    assert counts.shape == (8, bins_ns.size)
    assert counts.sum() == 2 * 8 * 3000
    assert bins_ns[counts.sum(axis=0).argmax()] == pytest.approx(40e3, rel=0.3)


def test_bins_are_where_fio_s_json_puts_them() -> None:
    """Some of the keys of a json+ file that fio 3.33 wrote."""
    known = {221, 231, 241, 402, 430, 1048, 3312, 52480}
    assert known <= set(np.floor(run_files.bin_latencies_ns(1856)).astype(int))


def run_with(folder: Path, *lines: str) -> pd.DataFrame:
    """A run whose folder has these samples."""
    (folder / SAMPLES).write_text("\n".join(lines) + "\n")
    return pd.DataFrame({"fio_json": [str(folder / "fio.json")]})


def test_a_value_that_could_not_be_sampled_is_none(tmp_path: Path) -> None:
    table = run_files.samples(run_with(tmp_path, json.dumps(SAMPLE), "", json.dumps(SAMPLE)))
    assert table["backend_cpu"].tolist() == [0.0, 0.0]
    assert table["is_ramp"].dtype == bool


def with_counters(folder: Path, *lines: str) -> pd.DataFrame:
    """A run whose folder has these counters of the engine."""
    (folder / COUNTERS).write_text("\n".join(lines) + "\n")
    return pd.DataFrame({"fio_json": [str(folder / "fio.json")]})


def test_all_queues_of_a_run_tell_when_the_back_end_was_away(tmp_path: Path) -> None:
    queues = [{"absences": [[1.5, 1.75]]}, {"absences": [[1.5, 1.75], [0.5, 0.625]]}, {}]
    run = with_counters(tmp_path, json.dumps({"queues": queues}), json.dumps({"queues": []}))
    assert run_files.absences(run) == [(0.5, 0.625), (1.5, 1.75)]


def test_a_run_without_counters_had_no_absence(tmp_path: Path) -> None:
    assert run_files.absences(run_with(tmp_path, json.dumps(SAMPLE))) == []


@pytest.mark.parametrize("line", ["{", "[]", '{"queues": [{"absences": [[1]]}]}'])
def test_counters_that_are_none_are_refused_with_their_place(tmp_path: Path, line: str) -> None:
    with pytest.raises(ResultsError, match=f"{COUNTERS}, line 1, is not a job"):
        run_files.absences(with_counters(tmp_path, line))


@pytest.mark.parametrize(
    "line",
    [
        *("{", "x", "[]", "5", '{"time_s": 1}', '{"time_s": 1, "is_ramp": 0, "iops": "x"}'),
        *('{"time_s": 1, "is_ramp": 0, "iops": NaN}', "\0", "[" * 100_000),
    ],
)
def test_a_line_that_is_no_sample_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    with pytest.raises(ResultsError, match=r"samples.jsonl, line 2, is not a sample"):
        run_files.samples(run_with(tmp_path, json.dumps(SAMPLE), line))


@pytest.mark.parametrize("line", ["1, 0", "x", "1, 0, 4096, 5, -1", "1, 0, 4096, 5", "1,0,2,3,nan"])
def test_a_line_that_is_no_histogram_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "a_clat_hist.1.log").write_text(f"1, 0, 4096, 5, 6\n{line}\n")
    with pytest.raises(ResultsError, match="line 2, is not a histogram of fio"):
        run_files.latency_over_time(tmp_path)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("time", [json.dumps({**SAMPLE, "iops": 0})] * 3),
        ("time", []),
        ("heatmap", ["1, 0, 4096, 0, 0", "2, 0, 4096, 0, 0"]),
        ("heatmap", []),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_along_time_is_no_picture(tmp_path: Path, name: str, lines: list[str]) -> None:
    sweep = synthetic.write_sweep(tmp_path, (0,), (), (1,), repeats=1, controls=False)
    [row] = sweep.rows()
    folder = sweep.run_folder(row["hash"], row["repeat"])
    file = folder / (SAMPLES if name == "time" else "a_clat_hist.1.log")
    file.write_text("\n".join(lines))
    with pytest.raises(ResultsError, match=r"no samples|no latency by time"):
        picture_names.draw(frame.load(tmp_path), name)
