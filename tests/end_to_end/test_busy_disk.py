# SPDX-License-Identifier: GPL-2.0-or-later
"""SCSI disks that are busy for a while, or for good, and disks that report recovered errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends.backends import Backend
from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.conftest import WAITS
from tests.end_to_end.refusal import sentences

BUSY = ("busy", "task-set-full", "controller-busy")
JOBS: dict[str, dict[str, Option]] = {
    "read": {"rw": "randread", "iodepth": 8},
    "write": {"rw": "randwrite", "iodepth": 8, "verify": "crc32c"},
    "flush": {"rw": "write", "iodepth": 4, "fsync": 3},
    "trim": {"rw": "randtrim", "iodepth": 8},
}
every_busy = pytest.mark.parametrize("fault", BUSY)
every_job = pytest.mark.parametrize("job", JOBS)
IOS = 200


def disk(builtin: StartBackend, private: Path, *faults: str) -> Backend:
    options = ("device=scsi", f"control={private}/control", *(f"fault={each}" for each in faults))
    backend: Backend = builtin(options=options)
    return backend


def run_job(fio: Fio, backend: Backend, job: str, **more: Option) -> tuple[FioRun, dict[str, Any]]:
    """The run, and the counters of the job's queue."""
    stats = fio.folder / "stats.json"
    options: dict[str, Option] = {"bs": "4k", "number_ios": IOS, "size": "8m"}
    options["stats_file"] = str(stats)
    run = fio(backend.socket, **{**options, **JOBS[job], **more})
    written = stats.read_text() if stats.exists() else ""
    queue: dict[str, Any] = json.loads(written)["queues"][0] if written else {}
    return run, queue


def totals(run: FioRun) -> list[int]:
    return [run.first[name]["total_ios"] for name in ("read", "write", "trim", "sync")]


EXPECTED = {
    "read": [IOS, 0, 0, 0],
    "write": [IOS, IOS, 0, 0],
    "flush": [0, IOS, 0, IOS // 3],
    "trim": [0, 0, IOS, 0],
}


# ---- busy for a while ----------------------------------------------------------------------------


@every_busy
@every_job
def test_a_busy_disk_is_asked_again(
    builtin: StartBackend, fio: Fio, private: Path, fault: str, job: str
) -> None:
    """Also while it is looked for, because the fault strikes every kind of command."""
    run, queue = run_job(fio, disk(builtin, private, f"{fault}:every=3"), job)
    assert run.status == 0, run.stderr
    assert totals(run) == EXPECTED[job]
    assert queue["retries"] >= IOS // 3
    assert not sentences(run)


@every_busy
@pytest.mark.parametrize("wait", WAITS)
def test_a_busy_disk_is_asked_again_in_every_way_of_waiting(
    builtin: StartBackend, fio: Fio, private: Path, fault: str, wait: str
) -> None:
    backend = disk(builtin, private, f"{fault}:every=10,type=read")
    run, queue = run_job(fio, backend, "read", wait=wait, iodepth=1)
    assert run.status == 0, run.stderr
    assert totals(run) == EXPECTED["read"]
    assert queue["retries"] > 0


@every_busy
def test_a_disk_that_is_busy_for_a_while_is_waited_for_with_pauses(
    builtin: StartBackend, fio: Fio, private: Path, fault: str
) -> None:
    # 20 answers in a row take the pauses from 50 us to 100 ms.
    run, queue = run_job(
        fio, disk(builtin, private, f"{fault}:count=20,type=read"), "read", iodepth=1
    )
    assert run.status == 0, run.stderr
    assert totals(run) == EXPECTED["read"]
    assert queue["retries"] == 20


# ---- busy for good -------------------------------------------------------------------------------


@every_busy
@pytest.mark.parametrize("job", ["read", "flush", "trim"])
def test_a_disk_that_stays_busy_ends_the_run_in_words(
    builtin: StartBackend, fio: Fio, private: Path, fault: str, job: str
) -> None:
    type_ = {"read": "read", "flush": "flush", "trim": "discard"}[job]
    backend = disk(builtin, private, f"{fault}:after=5,type={type_}")
    run, queue = run_job(fio, backend, job, request_timeout=1, iodepth=1)
    assert run.status > 0
    assert "busy" in run.stderr or "as many commands as it can hold" in run.stderr
    # Without pauses there would be thousands.
    assert 0 < queue["retries"] < 100


@every_busy
def test_a_disk_that_is_busy_from_the_beginning_is_not_waited_for_without_end(
    builtin: StartBackend, fio: Fio, private: Path, fault: str
) -> None:
    run, _ = run_job(fio, disk(builtin, private, fault), "read", connect_timeout=1)
    assert run.status > 0
    assert len(sentences(run)) == 1


# ---- recovered errors ----------------------------------------------------------------------------


@every_job
def test_a_recovered_error_is_success(
    builtin: StartBackend, fio: Fio, private: Path, job: str
) -> None:
    run, queue = run_job(fio, disk(builtin, private, "recovered"), job)
    assert run.status == 0, run.stderr
    assert totals(run) == EXPECTED[job]
    assert queue["retries"] == 0
    assert not sentences(run)
