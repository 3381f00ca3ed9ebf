# SPDX-License-Identifier: GPL-2.0-or-later
"""metrics.py: how the values of each column are shown, and which direction is better."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyfio_virtio.analysis import compare, report
from pyfio_virtio.analysis.frame import load
from pyfio_virtio.analysis.metrics import metric
from pyfio_virtio.analysis.table import tabulate
from pyfio_virtio.results.results import RUNS


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("iops", 123456.78, "123.5k"),
        ("iops", 9876.54, "9,877"),
        ("read_iops", 2_610_000.0, "2.61M"),
        ("bw_bytes", 2111297725.5, "2.111GB/s"),
        ("p99_ns", 58112.0, "58.1 µs"),
        ("write_lat_max_ns", 8086751.5, "8.09 ms"),
        ("cpu_us", 3.0232955, "3.02 µs"),
        ("sleep_ns", 881043981.0, "881 ms"),
        ("poll_ns_per_io", 555.57, "556 ns"),
        ("wall_s", 1.48393, "1.48 s"),
        ("host_disk_bytes", 1073741824.0, "1.074GB"),
        ("host_steal_percent", 12.345, "12.3%"),
        ("looks_per_io", 2.99749, "3"),
    ],
)
def test_a_value_is_rounded_and_has_its_unit(column: str, value: float, text: str) -> None:
    assert metric(column).show(value) == text


@pytest.mark.parametrize(
    ("column", "better"),
    [("iops", "higher"), ("trim_iops", "higher"), ("p99_9_ns", "lower"), ("sleep_ns", "")],
)
def test_a_direction_is_better_only_where_it_is_declared(column: str, better: str) -> None:
    assert metric(column).better == better


def test_one_side_is_never_shown_as_both(sweep: pd.DataFrame) -> None:
    """Of some back-ends, the CPU time is not known."""
    blind = sweep.assign(iops_per_core=np.nan, backend_iops_per_core=np.nan, cpu_us=np.nan)
    for name, fio in (("iops_per_core", "fio_iops_per_core"), ("cpu_us", "fio_cpu_us")):
        [first, *_] = compare.compare(sweep, blind, name)
        assert first.missing == (
            f"OTHER has no {name} for it, because the back-end's CPU time is not known; "
            f"{fio} is of fio's side alone"
        )
    headings = tabulate(blind).headings
    assert "IOPS per core (fio's side alone)" in headings
    assert "IOPS per core" not in headings
    assert "in a column of their own" in report.describe(blind).table_note
    assert "IOPS per core (fio's side alone)" not in tabulate(sweep).headings


def test_an_old_record_has_iops_per_core_in_a_table(sweep_folder: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (sweep_folder / RUNS).read_text().splitlines()]
    old = [{k: v for k, v in row.items() if not k.endswith("iops_per_core")} for row in lines]
    (tmp_path / RUNS).write_text("".join(json.dumps({**row, "schema": 3}) + "\n" for row in old))
    [row] = (
        load(tmp_path).query("iodepth == 32 and way == 'busy' and repeat == 1").to_dict("records")
    )
    spent = sum(row[f"{who}_{kind}_s"] for who in ("fio", "backend") for kind in ("user", "system"))
    assert row["iops_per_core"] == pytest.approx(row["ios"] / spent)
    assert row["cpu_us"] == pytest.approx(1e6 * spent / row["ios"])
