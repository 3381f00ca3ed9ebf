# SPDX-License-Identifier: GPL-2.0-or-later
"""results/record.py: one flat object a run, readable in every later version."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio.fio.directions import Summary
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.results.record import (
    SCHEMA,
    Point,
    Record,
    RecordError,
    Row,
    from_row,
    to_row,
    typed,
    upgrade,
)

POINT = Point("[virtio]\nrw=randread\n", "fio_virtio", "0.1.0", "fio-3.33", "qsd", "7.2")
RECORD = Record(
    point=POINT,
    repeat=2,
    order=7,
    started="2026-01-02T03:04:05Z",
    elapsed_s=5.0,
    fio_command="fio job.fio",
    backend_command="qemu-storage-daemon ...",
    options={"rw": "randread", "iodepth": 32, "wait": "sleepy", "sleepy_poll": 20},
    total=Summary(
        iops=1000.0, bw_bytes=4096000.0, ios=5000, lat_mean_ns=9.0, p99_ns=20.0, mean_of="lat"
    ),
    directions={"read": Summary(iops=1000.0)},
    counters={"kicks": 10, "looks": 20},
    fio_cpu=CpuUse(1.0, 2.0, 3, 4),
    host={"kernel": "6.1", "governor": None},
)


def test_a_record_survives_its_row_and_json() -> None:
    assert from_row(json.loads(json.dumps(to_row(RECORD)))) == RECORD


def test_a_row_is_flat_and_spells_options_as_users_do() -> None:
    row = to_row(RECORD)
    assert not any(isinstance(value, dict) for value in row.values())
    assert (row["iodepth"], row["sleepy_poll"], row["kicks"]) == (32, 20, 10)
    assert (row["iops"], row["read_iops"], row["fio_user_s"], row["host_kernel"]) == (
        *(1000.0, 1000.0, 1.0),
        "6.1",
    )


def test_cpu_time_that_was_not_to_be_had_has_no_column() -> None:
    assert "backend_user_s" not in to_row(RECORD)


def test_a_run_of_the_first_version_has_no_wall_time() -> None:
    old = {name: value for name, value in to_row(RECORD).items() if name != "wall_s"}
    assert from_row({**old, "schema": 1}).wall_s is None


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(RecordError, match="two columns of a record are called iops"):
        to_row(replace(RECORD, counters={"iops": 1}))


def test_a_point_s_hash_changes_with_everything_that_makes_it() -> None:
    changed = [replace(POINT, **{name: "other"}) for name in vars(POINT)]
    assert len({point.hash for point in [POINT, *changed]}) == len(changed) + 1


def test_a_point_s_hash_is_the_same_tomorrow() -> None:
    assert POINT.hash == "baa5bfd94b7e"


def test_older_rows_come_up_one_version_at_a_time() -> None:
    def rename(row: Row) -> Row:
        return {"iops" if name == "rate" else name: value for name, value in row.items()}

    def count(row: Row) -> Row:
        return {**row, "ios": row["iops"] * 2}

    row = upgrade({"schema": 1, "rate": 4}, to=3, steps={1: rename, 2: count})
    assert row == {"schema": 3, "iops": 4, "ios": 8}


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_row_of_an_older_version_stays_readable(version: int) -> None:
    """The file was written by that version, and must never be edited."""
    kept = Path(__file__).with_name(f"record_v{version}.json").read_text()
    assert from_row(json.loads(kept)) == RECORD


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "clat"), ({"lat_percentiles": 1}, "lat"), ({"lat_percentiles": 0}, "clat")],
)
def test_the_percentiles_of_older_rows_are_of_what_fio_was_told(options: Row, kind: str) -> None:
    old = {**to_row(RECORD), "schema": 2, **options, "p50_ns": 5.0}
    assert from_row(old).total.percentiles_of == kind
    assert from_row(old).total.mean_of == "lat"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("32", 32), ("-1", -1), ("0.5", 0.5), ("9" * 30, "9" * 30)),
        *((text, text) for text in ("1_000", "nan", "inf", "1e3", " 5", "\u0663", "007", "1.50")),
    ],
)
def test_only_what_is_shown_as_it_was_written_becomes_a_number(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({}, "no schema version"),
        ({"schema": "1"}, "no schema version"),
        ({"schema": SCHEMA + 1}, "versions up to"),
        ({"schema": SCHEMA}, "lacks"),
    ],
)
def test_what_is_no_record_is_refused_in_words(row: Row, sentence: str) -> None:
    with pytest.raises(RecordError, match=sentence):
        from_row(row)
