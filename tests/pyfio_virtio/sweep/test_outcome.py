# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/outcome.py: what came of a run, judged from the files that fio left."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.machine import host
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.sampling import Moment
from pyfio_virtio.results.record import Point, Record, Scalar
from pyfio_virtio.results.results import COUNTERS, FIO_JSON
from pyfio_virtio.sweep.measure import STDERR, Measured
from pyfio_virtio.sweep.outcome import Asked, Observed, build

OPTIONS: Mapping[str, Scalar] = {"rw": "randread", "iodepth": 4}
POINT = Point("[sweep]\n", "fio_virtio", "0.1.0", "fio-3.33", "null", "1")
# In each second fio used half a second of its own, a quarter of the system's, and was switched.
MOMENTS = [
    Moment(float(second), CpuUse(second / 2, second / 4, 50 * second, 5 * second), None, 0.0, 1.0)
    for second in range(7)
]
SEEN = Measured(0, False, 6.1, MOMENTS)
JOB: Mapping[str, Any] = {
    "jobname": "sweep",
    "groupid": 0,
    "error": 0,
    "job_runtime": 4000,
    "read": {"total_ios": 4000, "iops": 1000.0, "bw_bytes": 4096000, "runtime": 4000},
    "write": {"total_ios": 0, "iops": 0.0, "bw_bytes": 0, "runtime": 0},
    "trim": {"total_ios": 0, "iops": 0.0, "bw_bytes": 0, "runtime": 0},
}


def record(folder: Path, seen: Measured | None = SEEN, problem: str | None = None) -> Record:
    asked = Asked(POINT, OPTIONS, 1, 1, datetime(2026, 1, 2, tzinfo=UTC), host.describe())
    return build(asked, Observed("fio job.fio", "", seen, problem), folder)


def write(folder: Path, *jobs: Mapping[str, Any], notes: str = "") -> Path:
    (folder / FIO_JSON).write_text(notes + json.dumps({"jobs": jobs}, indent=1) + "\n")
    return folder


def test_a_good_run_is_summed_over_its_jobs(tmp_path: Path) -> None:
    good = record(write(tmp_path, JOB, JOB))
    assert (good.error, good.total.iops, good.total.ios) == (None, 2000.0, 8000)
    assert list(good.directions) == ["read"]


def test_cpu_time_is_of_the_whole_measured_time(tmp_path: Path) -> None:
    """Only a part of it was watched."""
    good = record(write(tmp_path, JOB))
    assert (good.elapsed_s, good.wall_s) == (4.0, 6.1)
    assert good.fio_cpu == CpuUse(2.0, 1.0, 200, 20)
    assert good.backend_cpu is None


def test_what_was_used_before_the_measured_time_does_not_count(tmp_path: Path) -> None:
    """fio measured for the last three seconds only, and had used more CPU time before."""
    before = [replace(each, fio=CpuUse(9 * each.time_s, 0, 0, 0)) for each in MOMENTS[:4]]
    after = [replace(each, fio=CpuUse(27 + each.time_s / 2, 0, 0, 0)) for each in MOMENTS[4:]]
    short = {**JOB, "read": {**JOB["read"], "total_ios": 3000, "runtime": 3000}}
    good = record(write(tmp_path, short), replace(SEEN, moments=[*before, *after]))
    assert good.fio_cpu == CpuUse(1.5, 0.0, 0, 0)
    assert good.iops_per_core["fio_iops_per_core"] == 2000


@pytest.mark.parametrize("jobs", [(JOB, JOB), ({**JOB, "job_runtime": 8000},)])
def test_cpu_time_is_not_multiplied_by_the_number_of_jobs(
    tmp_path: Path, jobs: tuple[Mapping[str, Any], ...]
) -> None:
    """With group_reporting, fio's job_runtime is the sum of the jobs' times."""
    good = record(write(tmp_path, *jobs))
    assert good.elapsed_s == 4.0
    assert good.fio_cpu == CpuUse(2.0, 1.0, 200, 20)


def test_a_sweep_with_unified_reporting_has_results(tmp_path: Path) -> None:
    mixed = {name: value for name, value in JOB.items() if name not in ("read", "write", "trim")}
    good = record(write(tmp_path, {**mixed, "mixed": JOB["read"]}))
    assert (good.error, good.total.ios, good.directions) == (None, 4000, {})


def test_notes_before_the_results_do_no_harm(tmp_path: Path) -> None:
    assert record(write(tmp_path, JOB, notes="fio_virtio: ordinary pages: none\n")).error is None


@pytest.mark.parametrize(
    ("notes", "sentence"),
    [
        (
            "fio_virtio: ordinary pages\nfio: io_u error on file x\nfio: pid=1, err=5/file:x\n",
            "io_u error on file x",
        ),
        ("fio_virtio: x: bs=1 is no multiple\nfio: pid=0, err=22\n", "fio_virtio: x: bs=1 is no"),
        (
            "fio_virtio: 1 huge pages of 1024 MiB are needed\n"
            "fio: io engine fio_virtio init failed. Perhaps try reducing io depth?\n"
            "fio: pid=1, err=12/file:engine/fio/setup.c:25, func=init, error=Cannot allocate\n"
            "fio_virtio: ordinary pages: what another job says\n",
            "fio_virtio: 1 huge pages of 1024 MiB are needed",
        ),
        ("Bad option <bss=4k>\nDid you mean bs?\nfio: job sweep dropped\n", "Bad option <bss=4k>"),
        ("Bad option <nosuch=1>\nfio: job sweep dropped\n", "Bad option <nosuch=1>"),
        ("", "fio's error 5"),
    ],
)
def test_a_failed_run_says_why(tmp_path: Path, notes: str, sentence: str) -> None:
    bad = record(write(tmp_path, {**JOB, "error": 5}, notes=notes))
    assert str(bad.error).startswith(sentence)
    assert bad.total.iops == 0


def test_without_results_fio_s_own_words_count(tmp_path: Path) -> None:
    (tmp_path / STDERR).write_text("Bad option <x>\nfio: job sweep dropped\n")
    assert record(tmp_path, replace(SEEN, status=1)).error == "Bad option <x>"


def test_without_any_words_the_status_is_told(tmp_path: Path) -> None:
    assert record(write(tmp_path, JOB), replace(SEEN, status=-9)).error == (
        "fio was ended by signal 9 (Killed)"
    )


def test_a_run_that_did_nothing_does_not_count(tmp_path: Path) -> None:
    idle = {**JOB, "read": JOB["write"]}
    assert record(write(tmp_path, idle)).error == "fio did no I/O in the measured time"


def test_what_was_seen_from_outside_goes_first(tmp_path: Path) -> None:
    assert record(write(tmp_path, JOB), problem="it hung").error == "it hung"


def test_a_fio_that_never_ran_has_a_record(tmp_path: Path) -> None:
    assert record(tmp_path, None, "did not start").error == "did not start"


def test_a_way_that_was_left_to_the_engine_is_read_from_its_counters(tmp_path: Path) -> None:
    line = {"job": "sweep", "wait": "adaptive", "sleepy_poll": 0, "ios": 5}
    (tmp_path / COUNTERS).write_text(json.dumps(line) + "\n")
    run = record(write(tmp_path, JOB))
    assert (run.options["wait"], run.options["sleepy_poll"]) == ("adaptive", 0)
    assert run.counters["reaped"] == 5


def test_counters_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    (tmp_path / COUNTERS).write_text("{ torn")
    assert record(write(tmp_path, JOB)).counters == {}
