# SPDX-License-Identifier: GPL-2.0-or-later
"""A job with many disks costs what its disks with requests in flight cost: fio/in_flight.c."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Fio, StartBackend
from tests.end_to_end.conftest import StartFio
from tests.waiting import wait_until

PPOLL = {"271", "73"}  # on x86-64, and on arm64
MANY = 12


def names_of(socket: str, count: int, folder: Path) -> str:
    """The filename= of as many disks: paths that lead to one back-end count as other disks."""
    names = [folder / f"d{number}" for number in range(count)]
    for name in names:
        name.symlink_to(socket)
    return ":".join(map(str, names))


def polled(pid: int) -> Sequence[int]:
    """How many descriptors each thread of the process polls with ppoll(2) now."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        number, *arguments = (task / "syscall").read_text().split()
        if number in PPOLL:
            found.append(int(arguments[1], 16))
    return found


def test_a_job_blocks_only_on_disks_with_requests(
    builtin: StartBackend, start_fio: StartFio, private: Path
) -> None:
    socket = builtin(storage="null", options=("latency=60s",)).socket
    disks = names_of(socket, MANY, private)
    running = start_fio(socket, filename=disks, rw="randread", iodepth=2, wait="event")
    seen: list[int] = []

    def waits() -> bool:
        seen.extend(polled(running.child.pid))
        return bool(seen)

    wait_until(waits, "a wait")
    running.kill()
    assert seen[0] <= 4  # for each disk an eventfd and the connection


@pytest.mark.parametrize(("wait", "iodepth"), [("event", 3), ("busy", 100)])
def test_each_of_many_disks_gets_its_requests(
    builtin: StartBackend, fio: Fio, private: Path, wait: str, iodepth: int
) -> None:
    socket = builtin(storage="null").socket
    disks = names_of(socket, MANY, private)
    run = fio(
        socket, filename=disks, rw="randread", bs="4k", filesize="64k", iodepth=iodepth, wait=wait
    )
    assert run.status == 0, run.stderr
    assert run.first["read"]["total_ios"] == MANY * 16


@pytest.mark.parametrize("count", [1, 64])
def test_what_a_request_costs_does_not_grow_with_the_disks(
    builtin: StartBackend, fio: Fio, private: Path, count: int
) -> None:
    """Counts instead of times: a request alone is published once and taken by one look."""
    socket, stats = builtin(storage="null", options=("serve=event",)).socket, private / "stats"
    disks = names_of(socket, count, private)
    run = fio(
        socket,
        filename=disks,
        rw="randread",
        bs="4k",
        filesize="4m",
        number_ios=640,
        iodepth=1,
        wait="event",
        stats_file=str(stats),
    )
    assert run.status == 0, run.stderr
    job = json.loads(stats.read_text())
    publications = sum(queue["kicks"] + queue["kicks_suppressed"] for queue in job["queues"])
    assert (publications, job["looks"] - job["empty_looks"]) == (640, 640)
    # One before the wait, one before it blocks, one after it, and some after 10 ms without a call.
    assert job["looks"] <= 5 * 640
