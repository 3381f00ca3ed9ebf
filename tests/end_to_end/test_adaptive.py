# SPDX-License-Identifier: GPL-2.0-or-later
"""wait=adaptive under the real fio: it completes, verifies, ends, and says how it decided."""

import json
from typing import Any

import pytest

from tests.conftest import Fio, Option, StartBackend
from tests.end_to_end.conftest import StartFio
from tests.end_to_end.refusal import refusal
from tests.waiting import kill

WAYS = {"yield", "spin", "block", *(f"sleep {us} us" for us in (5, 10, 20, 50, 100, 200))}


def counted(fio: Fio, socket: str, **options: Option) -> dict[str, Any]:
    stats = fio.folder / "stats.json"
    wanted: dict[str, Option] = {"rw": "randread", "wait": "adaptive", "number_ios": 5000}
    run = fio(socket, stats_file=str(stats), **(wanted | options))
    assert run.status == 0, run.stderr
    (line,) = stats.read_text().splitlines()
    return dict(json.loads(line))


@pytest.mark.parametrize("depth", [1, 32])
def test_all_requests_complete(disk: StartBackend, fio: Fio, depth: int) -> None:
    line = counted(fio, disk().socket, iodepth=depth)
    assert (line["wait"], line["ios"]) == ("adaptive", 5000)


@pytest.mark.parametrize("latency", ["100us", "10us,100us/100ms"])
def test_a_slow_device_verifies(builtin: StartBackend, fio: Fio, latency: str) -> None:
    socket = builtin(options=(f"latency={latency}",)).socket
    run = fio(socket, rw="randwrite", size="8m", iodepth=16, wait="adaptive", verify="crc32c")
    assert run.status == 0, run.stderr


@pytest.mark.parametrize("thread", [True, None])
def test_several_jobs(qsd: StartBackend, fio: Fio, thread: bool | None) -> None:
    jobs = 4 if thread else 1  # the daemon serves one connection at a time
    socket = qsd(queues=jobs).socket
    run = fio(socket, rw="randread", number_ios=500, numjobs=jobs, thread=thread, wait="adaptive")
    assert run.status == 0, run.stderr


def test_it_says_what_each_way_was_used_for(qsd: StartBackend, fio: Fio) -> None:
    line = counted(fio, qsd().socket, number_ios=None, time_based=True, runtime=1, size="64m")
    said = line["adaptive"]
    assert said["way"] in WAYS
    assert {way["way"] for way in said["ways"]} == WAYS
    assert 0 < sum(way["used_ns"] for way in said["ways"]) < 5_000_000_000
    assert said["trials"] > 0
    assert said["spins"] + said["yields"] + line["sleeps"] + line["polls"] > 0


def test_other_ways_say_nothing_of_it(qsd: StartBackend, fio: Fio) -> None:
    assert "adaptive" not in counted(fio, qsd().socket, wait="event")


def test_without_cpu_it_only_blocks(builtin: StartBackend, fio: Fio) -> None:
    """A disk that is quick may complete each request before fio could block."""
    disk = builtin(options=("latency=1ms",))
    line = counted(fio, disk.socket, adaptive_cpu=0, number_ios=100)
    said = line["adaptive"]
    assert (said["adaptive_cpu"], said["spins"], said["yields"], line["sleeps"]) == (0, 0, 0, 0)
    assert line["polls"] > 0


def test_all_cpu_may_be_burnt_unless_told_otherwise(qsd: StartBackend, fio: Fio) -> None:
    assert counted(fio, qsd().socket)["adaptive"]["adaptive_cpu"] == 100


@pytest.mark.parametrize("wait", ["event", "busy", "sleepy"])
def test_adaptive_cpu_is_refused_with_another_wait(qsd: StartBackend, fio: Fio, wait: str) -> None:
    said = refusal(fio(qsd().socket, rw="randread", wait=wait, adaptive_cpu=50))
    assert "adaptive_cpu=50 goes with wait=adaptive alone" in said


def test_sleepy_poll_is_refused(qsd: StartBackend, fio: Fio) -> None:
    said = refusal(fio(qsd().socket, rw="randread", wait="adaptive", sleepy_poll=20))
    assert "sleepy_poll=20 does not go with wait=adaptive" in said


def test_more_than_all_cpu_is_refused(qsd: StartBackend, fio: Fio) -> None:
    assert fio(qsd().socket, rw="randread", wait="adaptive", adaptive_cpu=101).status != 0


def test_a_killed_back_end_ends_the_run(qsd: StartBackend, start_fio: StartFio) -> None:
    disk = qsd()
    running = start_fio(
        disk.socket, rw="randread", iodepth=16, wait="adaptive", time_based=True, runtime=60
    )
    running.wait_until_served(disk.process.pid)
    kill(disk.process.pid)
    assert running.finish().status != 0
