# SPDX-License-Identifier: GPL-2.0-or-later
"""create_serialize=0: fio calls init before setup; jobs run or are refused as they are without."""

import json
from pathlib import Path

import pytest

from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.conftest import StartFio
from tests.end_to_end.refusal import refusal, sentences

MIB = 1 << 20
THREADS = pytest.mark.parametrize("thread", [None, 1])


def unserialized(fio: Fio, socket: str, **options: Option) -> FioRun:
    return fio(socket, create_serialize=0, **options)


def ended_well(run: FioRun) -> FioRun:
    assert run.status == 0, run.stderr
    return run


# ---- jobs that run ---------------------------------------------------------------------------


@THREADS
def test_what_is_written_is_read_back(disk: StartBackend, fio: Fio, thread: int | None) -> None:
    run = unserialized(
        fio, disk().socket, thread=thread, rw="randwrite", size="4m", iodepth=16, verify="crc32c"
    )
    assert ended_well(run).first["read"]["total_ios"] == 1024


@THREADS
def test_without_size_the_whole_device_is_read(
    disk: StartBackend, fio: Fio, thread: int | None
) -> None:
    run = unserialized(fio, disk().socket, thread=thread, rw="read", bs="1m", iodepth=4)
    assert ended_well(run).first["read"]["total_ios"] == 64


@THREADS
def test_several_jobs_share_a_device(builtin: StartBackend, fio: Fio, thread: int | None) -> None:
    run = unserialized(
        fio,
        builtin(queues=4).socket,
        thread=thread,
        numjobs=4,
        rw="randwrite",
        size="1m",
        offset_increment="1m",
        iodepth=8,
        verify="crc32c",
    )
    assert [job["read"]["total_ios"] for job in ended_well(run).jobs] == [256] * 4


def test_threads_share_the_one_connection_that_a_daemon_takes(qsd: StartBackend, fio: Fio) -> None:
    run = unserialized(fio, qsd(queues=3).socket, numjobs=3, rw="randread", number_ios=100)
    assert [job["read"]["total_ios"] for job in ended_well(run).jobs] == [100] * 3


def test_threads_share_a_scsi_disk(builtin: StartBackend, fio: Fio) -> None:
    socket = builtin(queues=3, options=("device=scsi",)).socket
    run = unserialized(fio, socket, numjobs=3, rw="randread", number_ios=100)
    assert [job["read"]["total_ios"] for job in ended_well(run).jobs] == [100] * 3


@THREADS
def test_a_device_named_twice_in_a_job(builtin: StartBackend, fio: Fio, thread: int | None) -> None:
    socket = builtin(queues=2).socket
    both = f"{socket}:{socket}"
    ended_well(
        unserialized(fio, socket, filename=both, thread=thread, rw="randread", number_ios=100)
    )


@THREADS
def test_phases(qsd: StartBackend, fio: Fio, thread: int | None) -> None:
    socket = qsd().socket
    text = f"""
[global]
ioengine=fio_virtio
create_serialize=0
filename={socket}
number_ios=100
stonewall
{"thread=1" if thread else ""}
[one]
rw=randread
[two]
rw=randwrite
iodepth=32
"""
    assert len(ended_well(fio.job(text)).jobs) == 2


def test_jobs_of_different_depths_share_a_device(builtin: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
create_serialize=0
filename={builtin(queues=2, options=("latency=1ms",)).socket}
rw=randread
number_ios=200
[shallow]
iodepth=1
[deep]
iodepth=64
"""
    run = ended_well(fio.job(text))
    assert [job["read"]["total_ios"] for job in run.jobs] == [200, 200]


def test_a_job_that_comes_to_queues_too_short_for_it_is_refused(
    builtin: StartBackend, fio: Fio
) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={builtin(queues=2).socket}
num_queues=2
rw=randread
[shallow]
time_based
runtime=3
[deep]
create_serialize=0
startdelay=1
iodepth=64
number_ios=10
"""
    assert "made for iodepth=1, not 64" in refusal(fio.job(text))


@THREADS
def test_each_job_has_its_counters(
    builtin: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    stats = private / "stats.json"
    options: dict[str, Option] = {"rw": "randread", "number_ios": 50, "numjobs": 3}
    socket = builtin(queues=3).socket
    ended_well(unserialized(fio, socket, thread=thread, stats_file=str(stats), **options))
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == [1, 2, 3]


@THREADS
def test_create_only_does_nothing(qsd: StartBackend, fio: Fio, thread: int | None) -> None:
    run = unserialized(fio, qsd().socket, thread=thread, rw="write", create_only=1)
    assert ended_well(run).first["write"]["total_ios"] == 0


# ---- jobs that are refused -------------------------------------------------------------------


@THREADS
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bs": "700"}, "bs="),
        ({"offset": "100"}, "offset="),
        ({"device": "scsi"}, "device=scsi"),
        ({"wait": "busy", "sleepy_poll": 3}, "sleepy_poll=3"),
        ({"mem": "mmap"}, "mem="),
        ({"queue_size": 3}, "queue_size=3"),
    ],
)
def test_a_job_that_does_not_fit_is_refused(
    qsd: StartBackend,
    fio: Fio,
    private: Path,
    options: dict[str, Option],
    said: str,
    thread: int | None,
) -> None:
    socket = qsd(size_bytes=64 * MIB).socket
    run = unserialized(fio, socket, thread=thread, rw="randwrite", unlink=1, **options)
    assert said in refusal(run)
    # unlink=1 is about files that fio made.
    assert Path(socket).is_socket()


@THREADS
def test_a_read_only_device_refuses_writes(
    disk: StartBackend, fio: Fio, thread: int | None
) -> None:
    run = unserialized(fio, disk(read_only=True).socket, thread=thread, rw="write")
    assert "read-only" in refusal(run)


@THREADS
def test_a_socket_that_is_not_there_is_named(fio: Fio, private: Path, thread: int | None) -> None:
    socket = str(private / "not-there")
    assert socket in refusal(unserialized(fio, socket, thread=thread, rw="read"))


@THREADS
@pytest.mark.parametrize("missing", [0, 1])
def test_a_job_that_begins_half_way_gives_back_what_it_had(
    qsd: StartBackend, fio: Fio, private: Path, missing: int, thread: int | None
) -> None:
    socket, not_there = qsd().socket, str(private / "not-there")
    files = [socket]
    files.insert(missing, not_there)
    text = f"""
[global]
ioengine=fio_virtio
create_serialize=0
rw=randread
number_ios=100
{"thread=1" if thread else ""}
[broken]
filename={":".join(files)}
[whole]
stonewall
filename={socket}
"""
    run = fio.job(text)
    assert run.status == 1
    assert [not_there in said for said in sentences(run)] == [True]
    assert [job["read"]["total_ios"] for job in run.jobs] == [0, 100]


def test_more_threads_than_queues_are_refused(builtin: StartBackend, fio: Fio) -> None:
    # Those that got a queue run until the others have failed.
    run = unserialized(
        fio, builtin(queues=2).socket, numjobs=4, rw="randread", time_based=True, runtime=10
    )
    assert run.status > 0
    assert any("all 2 queues are in use" in said for said in sentences(run))


def test_jobs_of_one_device_in_two_ways_are_refused(disk: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
create_serialize=0
filename={disk(queues=2).socket}
rw=randread
time_based
runtime=1
[one]
event_idx=on
[two]
event_idx=off
"""
    run = fio.job(text)
    assert run.status == 1
    assert any("must agree on event_idx" in said for said in sentences(run))


@THREADS
def test_a_backend_that_dies_ends_the_job(
    qsd: StartBackend, start_fio: StartFio, thread: int | None
) -> None:
    disk = qsd()
    running = start_fio(
        disk.socket, thread=thread, create_serialize=0, rw="randread", time_based=True, runtime=30
    )
    running.wait_until_served(disk.process.pid)
    disk.stop()
    run = running.finish()
    assert run.status > 0
    assert any("hung up" in said for said in sentences(run))
