# SPDX-License-Identifier: GPL-2.0-or-later
"""stats_file: one JSON object a line and job, with counters that add up."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Fio, Option, StartBackend


def lines_of(fio: Fio, socket: str, **options: Option) -> list[dict[str, Any]]:
    stats = fio.folder / "stats.json"
    run = fio(socket, rw="randread", stats_file=str(stats), **options)
    assert run.status == 0, run.stderr
    return [json.loads(line) for line in stats.read_text().splitlines()]


def test_a_job_is_one_line(disk: StartBackend, fio: Fio) -> None:
    socket = disk().socket
    (line,) = lines_of(fio, socket, number_ios=100, iodepth=4)
    assert (line["job"], line["ios"], line["queues"][0]["socket"]) == ("test", 100, socket)


def test_each_job_has_its_line(disk: StartBackend, fio: Fio) -> None:
    lines = lines_of(fio, disk(queues=4).socket, number_ios=100, iodepth=4, numjobs=4)
    assert sorted(line["number"] for line in lines) == [1, 2, 3, 4]
    assert [line["ios"] for line in lines] == [100] * 4


def test_a_file_without_room_fails_the_job(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, rw="randread", number_ios=10, stats_file="/dev/full")
    assert run.status == 1
    assert "stats_file=/dev/full cannot be written: No space left on device" in run.stderr


def test_each_device_has_its_queue(qsd: StartBackend, fio: Fio) -> None:
    sockets = [qsd().socket, qsd().socket]
    (line,) = lines_of(fio, sockets[0], filename=":".join(sockets), size="1m")
    assert [queue["socket"] for queue in line["queues"]] == sockets


def test_every_request_is_kicked_or_spared_one(disk: StartBackend, fio: Fio) -> None:
    (line,) = lines_of(fio, disk().socket, number_ios=1000, iodepth=16)
    queue = line["queues"][0]
    assert 0 < queue["kicks"] + queue["kicks_suppressed"] <= queue["requests"]


@pytest.mark.parametrize("kind", ["qsd", "builtin"])
def test_on_one_cpu_a_kick_serves_many_requests(serve: StartBackend, fio: Fio, kind: str) -> None:
    """It is the scheduler's to say whether a kick lets the back-end run at once: if not, it is
    awake when the next requests come, and needs none."""
    cpu = max(os.sched_getaffinity(0))
    mode = ("serve=event",) if kind == "builtin" else ()
    socket = serve(kind, cpus=str(cpu), options=mode, size_bytes=64 << 20).socket
    told: dict[str, Option] = {"wait": "busy", "cpus_allowed": cpu}
    (line,) = lines_of(fio, socket, number_ios=5000, iodepth=32, **told)
    queue = line["queues"][0]
    assert queue["kicks"] < queue["requests"] / 2


def test_batches_are_counted(disk: StartBackend, fio: Fio) -> None:
    (line,) = lines_of(fio, disk().socket, number_ios=1000, iodepth=16)
    queue = line["queues"][0]
    assert 0 < sum(queue["batches"]) <= queue["requests"]


def test_empty_looks_are_among_the_looks(disk: StartBackend, fio: Fio) -> None:
    (line,) = lines_of(fio, disk().socket, number_ios=1000, wait="busy")
    assert 0 <= line["empty_looks"] <= line["looks"]


def test_time_overslept_is_part_of_the_time_slept(builtin: StartBackend, fio: Fio) -> None:
    disk = builtin(options=("latency=1ms",))
    (line,) = lines_of(fio, disk.socket, number_ios=100, wait="sleepy", sleepy_poll=100)
    assert line["sleeps"] > 0
    assert 0 <= line["oversleep_ns"] < line["sleep_ns"]


def test_a_second_run_replaces_the_first(qsd: StartBackend, fio: Fio) -> None:
    socket = qsd().socket
    lines_of(fio, socket, number_ios=100)
    (line,) = lines_of(fio, socket, number_ios=7)
    assert line["ios"] == 7


def test_a_job_in_a_process_writes_its_line(qsd: StartBackend, fio: Fio) -> None:
    (line,) = lines_of(fio, qsd().socket, number_ios=100, thread=None)
    assert line["ios"] == 100


def test_a_name_with_quotes_is_still_json(qsd: StartBackend, fio: Fio, private: Path) -> None:
    stats = private / "stats.json"
    text = f'[a "b" \\c]\nioengine=fio_virtio\nfilename={qsd().socket}\nstats_file={stats}\n'
    run = fio.job(text + "rw=read\nnumber_ios=3\n")
    assert run.status == 0, run.stderr
    assert json.loads(stats.read_text())["job"] == 'a "b" \\c'


def test_cpu_time_of_the_job_is_told(qsd: StartBackend, fio: Fio) -> None:
    (line,) = lines_of(fio, qsd().socket, number_ios=1000)
    assert line["cpu_ns"] > 0


@pytest.mark.parametrize("thread", ["1", None])
def test_the_process_that_serves_each_disk_is_told(
    qsd: StartBackend, fio: Fio, thread: str | None
) -> None:
    disks = [qsd(), qsd()]
    sockets = ":".join(disk.socket for disk in disks)
    (line,) = lines_of(fio, disks[0].socket, filename=sockets, number_ios=1000, thread=thread)
    assert [queue["backend_pid"] for queue in line["queues"]] == [
        each.process.pid for each in disks
    ]
    assert all(q["backend_cpu_begun_ns"] < q["backend_cpu_ended_ns"] for q in line["queues"])


PLACES = {
    "threads": "thread=1",
    "processes": "thread=0",
    "threads-without-setup": "thread=1\ncreate_serialize=0",
    "processes-without-setup": "thread=0\ncreate_serialize=0",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_file_of_each_job_is_emptied_once(
    qsd: StartBackend, fio: Fio, private: Path, place: str
) -> None:
    text = f"[global]\nioengine=fio_virtio\nfilename={qsd(queues=4).socket}\n"
    text += f"rw=read\nnumber_ios=3\n{place.replace('thread=0', '')}\n"
    for job, name in (("a", "one"), ("b", "two"), ("c\nstonewall", "two"), ("d", "three")):
        head, _, more = job.partition("\n")
        text += f"[{head}]\n{more}\nstats_file={private / name}\n"
    for name in ("one", "two", "three"):
        (private / name).write_text("of another run\n")
    run = fio.job(text)
    assert run.status == 0, run.stderr
    jobs = {
        name: sorted(json.loads(line)["job"] for line in (private / name).read_text().splitlines())
        for name in ("one", "two", "three")
    }
    assert jobs == {"one": ["a"], "two": ["b", "c"], "three": ["d"]}


@pytest.mark.parametrize("device", ["blk", "scsi"])
def test_the_counters_of_a_queue_are_those_of_its_job(
    builtin: StartBackend, fio: Fio, private: Path, device: str
) -> None:
    stats = private / "stats.json"
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={builtin(options=(f"device={device}",)).socket}
rw=randread
stats_file={stats}
[first]
number_ios=100
[second]
stonewall
number_ios=7
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert [line["queues"][0]["requests"] for line in lines] == [100, 7]
    assert all(sum(line["queues"][0]["batches"]) <= line["ios"] for line in lines)
