# SPDX-License-Identifier: GPL-2.0-or-later
"""results/export.py: rows as text for other programs."""

import csv
import io
import json
from pathlib import Path

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.results import export


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_cell_has_no_end_of_a_line(end: str) -> None:
    text = export.text([{"job": f"[a]{end}rw=read{end}", "error": f"no{end}disk"}], export.CSV)
    assert text == "job,error\n[a]\\nrw=read,no\\ndisk\n"


def test_rows_with_different_columns_share_a_heading() -> None:
    text = export.text([{"a": 1}, {"b": "x,y", "names": ["left out"]}], export.CSV)
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["1", ""], ["", "x,y"]]


def test_json_has_no_nan() -> None:
    text = export.text([{"a": float("nan"), "b": [float("inf"), 1.5]}], export.JSON)
    assert json.loads(text) == [{"a": None, "b": [None, 1.5]}]


def test_json_lines_has_one_object_on_each_line() -> None:
    text = export.text([{"job": "a\nb"}, {"c": "µ"}], export.JSON_LINES)
    assert [json.loads(line) for line in text.splitlines()] == [{"job": "a\nb"}, {"c": "µ"}]


def test_a_name_without_a_format_is_refused() -> None:
    assert export.kind_of(Path("x/RUNS.CSV")) == export.CSV
    with pytest.raises(UsageError, match="its name does not say the format"):
        export.kind_of(Path("runs"))
