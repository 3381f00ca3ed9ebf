# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio's users ask of any engine: rates, batches, ranges, phases, several devices."""

import json
from pathlib import Path

import pytest

from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.conftest import WAITS
from tests.end_to_end.refusal import refusal, sentences

MIB = 1 << 20


def reads(run: FioRun) -> int:
    assert run.status == 0, run.stderr
    return int(run.first["read"]["total_ios"])


# ---- sizes and ranges ------------------------------------------------------------------------


def test_without_size_the_whole_device_is_read(disk: StartBackend, fio: Fio) -> None:
    assert reads(fio(disk().socket, rw="read", bs="1m", iodepth=8)) == 64


@pytest.mark.parametrize(
    ("options", "first", "end"),
    [
        ({"size": "3m"}, 0, 3),
        ({"offset": "60m"}, 60, 64),
        ({"offset": "5m", "size": "2m"}, 5, 7),
        ({"size": "25%"}, 0, 16),
        ({"offset": "50%", "size": "25%"}, 32, 48),
    ],
)
def test_a_range_is_written_and_nothing_else(
    disk: StartBackend, fio: Fio, private: Path, options: dict[str, Option], first: int, end: int
) -> None:
    image = private / "image"
    run = fio(
        disk(storage=f"file:{image}").socket,
        rw="randwrite",
        bs="64k",
        iodepth=8,
        buffer_pattern="0x77",
        **options,
    )
    assert run.status == 0, run.stderr
    written = {index for index, byte in enumerate(image.read_bytes()[:: 64 << 10]) if byte == 0x77}
    assert written == set(range(first * 16, end * 16))


@pytest.mark.parametrize(
    ("options", "mebibytes"),
    [
        ({"rw": "read", "size": "65m"}, 64),
        ({"rw": "read", "size": "10g", "iodepth": 8}, 64),
        ({"rw": "read", "filesize": "80m"}, 64),
        ({"rw": "read", "offset": "60m", "size": "5m"}, 4),
        ({"rw": "read", "offset": "50%", "size": "40m"}, 32),
        ({"rw": "read", "offset": "70m", "size": "1m"}, 0),
        ({"rw": "randread", "size": "10g"}, 64),
        ({"rw": "randread", "size": "80m", "norandommap": 1}, 80),
    ],
)
def test_a_job_ends_at_the_end_of_the_device_with_a_sentence(
    disk: StartBackend, fio: Fio, options: dict[str, Option], mebibytes: int
) -> None:
    run = fio(disk().socket, bs="1m", **options)
    assert reads(run) == mebibytes
    (said,) = sentences(run)
    assert f"reach beyond the device's {64 << 20} bytes" in said


def test_several_jobs_beyond_the_device_say_it_once(disk: StartBackend, fio: Fio) -> None:
    socket = disk(queues=2).socket
    run = fio(socket, rw="read", bs="1m", size="80m", numjobs=2, thread=1)
    assert run.status == 0
    assert len(sentences(run)) == 1


def test_clones_beyond_the_device_do_nothing_and_say_so(disk: StartBackend, fio: Fio) -> None:
    socket = disk(queues=3).socket
    run = fio(socket, rw="read", bs="1m", size="16m", offset_increment="64m", numjobs=3, thread=1)
    assert run.status == 0
    assert [job["read"]["total_ios"] for job in run.jobs] == [16, 0, 0]
    (said,) = sentences(run)
    assert "and size=16777216 reach beyond the device" in said


def test_io_size_ends_a_run_early(qsd: StartBackend, fio: Fio) -> None:
    assert reads(fio(qsd().socket, rw="randread", bs="4k", io_size="1m", iodepth=8)) == 256


def test_loops_repeat_a_run(qsd: StartBackend, fio: Fio) -> None:
    assert reads(fio(qsd().socket, rw="read", bs="4k", size="1m", loops=3, iodepth=8)) == 768


def test_bssplit_mixes_sizes(disk: StartBackend, fio: Fio) -> None:
    run = fio(
        disk().socket,
        rw="randwrite",
        bssplit="512/20:4k/50:64k/30",
        size="16m",
        iodepth=16,
        verify="crc32c",
    )
    assert run.status == 0, run.stderr
    assert run.first["read"]["total_ios"] == run.first["write"]["total_ios"] > 0


def test_bs_may_differ_by_direction(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, rw="randrw", bs="4k,64k", size="16m", iodepth=16)
    assert run.status == 0, run.stderr
    assert run.first["write"]["io_bytes"] == run.first["write"]["total_ios"] << 16


# ---- pace ------------------------------------------------------------------------------------


def test_a_rate_is_kept(disk: StartBackend, fio: Fio) -> None:
    # Without the rate, every back-end does many times more in a second.
    run = fio(disk().socket, rw="randread", rate_iops=50, runtime=1, time_based=True, iodepth=8)
    assert 0 < reads(run) < 2000


@pytest.mark.parametrize(
    "options",
    [
        {"iodepth_batch": 8},
        {"iodepth_batch": 8, "iodepth_batch_complete_min": 4},
        {"iodepth_batch_complete_min": 16, "iodepth_batch_complete_max": 32},
        {"iodepth_batch_complete_min": 0},
        {"iodepth_batch": 32, "iodepth_low": 8},
    ],
)
@pytest.mark.parametrize("wait", WAITS)
def test_batches(qsd: StartBackend, fio: Fio, wait: str, options: dict[str, Option]) -> None:
    run = fio(
        qsd().socket,
        rw="randwrite",
        bs="4k",
        size="4m",
        iodepth=32,
        wait=wait,
        verify="crc32c",
        **options,
    )
    assert reads(run) == 1024


def test_thinktime(qsd: StartBackend, fio: Fio) -> None:
    run = fio(qsd().socket, rw="read", bs="4k", number_ios=20, thinktime=1000, iodepth=4)
    assert reads(run) == 20


def test_runtime_ends_a_time_based_run(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, rw="randread", time_based=True, runtime=1, iodepth=32, size="1m")
    assert reads(run) > 256


def test_ramp_time_is_not_counted(qsd: StartBackend, fio: Fio, private: Path) -> None:
    stats = private / "stats.json"
    run = fio(
        qsd().socket,
        rw="randread",
        time_based=True,
        runtime=1,
        ramp_time=1,
        iodepth=8,
        stats_file=str(stats),
    )
    assert reads(run) < json.loads(stats.read_text())["ios"]


# ---- memory ----------------------------------------------------------------------------------


def test_fios_own_choice_of_memory_is_refused(qsd: StartBackend, fio: Fio) -> None:
    run = fio(qsd().socket, rw="randwrite", size="1m", iodepth=16, mem="mmap", verify="crc32c")
    assert "mem=" in refusal(run)


def test_buffers_may_be_aligned_further(qsd: StartBackend, fio: Fio) -> None:
    run = fio(
        qsd().socket, rw="randwrite", bs="4k", size="1m", iodepth=16, mem_align="1m",
        verify="crc32c",
    )  # fmt: skip
    assert reads(run) == 256


# ---- phases ----------------------------------------------------------------------------------


def test_phases_follow_each_other_on_one_queue(disk: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={disk().socket}
bs=4k
size=2m
iodepth=16
[fill]
rw=write
verify=crc32c
do_verify=0
[check]
stonewall
rw=randread
verify=crc32c
[trim]
stonewall
rw=trim
[mix]
stonewall
rw=randrw
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert len(run.jobs) == 4


def test_phases_may_have_jobs_of_different_shape(disk: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={disk(queues=3).socket}
size=8m
[one]
rw=read
bs=4k
iodepth=4
[three]
stonewall
rw=randread
bs=64k
iodepth=64
numjobs=3
[again]
stonewall
rw=write
bs=1m
iodepth=2
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert [job["read"]["total_ios"] for job in run.jobs] == [2048, 128, 128, 128, 0]


def test_a_group_is_reported_as_one(disk: StartBackend, fio: Fio) -> None:
    run = fio(
        disk(queues=2).socket, rw="read", size="1m", numjobs=2, group_reporting=True, iodepth=8
    )
    assert (reads(run), len(run.jobs)) == (512, 1)


def test_verify_state_is_saved_and_loaded(qsd: StartBackend, fio: Fio) -> None:
    socket = qsd().socket
    job: dict[str, Option] = {"rw": "randwrite", "bs": "4k", "size": "4m", "iodepth": 16}
    written = fio(socket, verify="crc32c", do_verify=0, verify_state_save=1, number_ios=512, **job)
    checked = fio(socket, verify="crc32c", verify_only=True, verify_state_load=1, **job)
    assert (written.status, written.first["write"]["total_ios"]) == (0, 512), written.stderr
    assert reads(checked) == 512


# ---- several devices -------------------------------------------------------------------------


def test_a_job_for_each_device(disk: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
rw=randwrite
bs=4k
size=2m
iodepth=16
verify=crc32c
[first]
filename={disk().socket}
[second]
filename={disk().socket}
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert [job["read"]["total_ios"] for job in run.jobs] == [512, 512]


@pytest.mark.parametrize("thread", [None, 1])
def test_a_process_or_thread_with_several_devices(
    disk: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    images = [private / "image0", private / "image1"]
    sockets = [disk(storage=f"file:{image}").socket for image in images]
    run = fio(
        sockets[0],
        filename=":".join(sockets),
        thread=thread,
        rw="randwrite",
        bs="4k",
        size="4m",
        iodepth=16,
        buffer_pattern="0x77",
    )
    assert run.status == 0, run.stderr
    written = [image.read_bytes().count(b"\x77") for image in images]
    assert written == [2 * MIB, 2 * MIB]


@pytest.mark.parametrize("wait", WAITS)
def test_several_devices_verify(qsd: StartBackend, fio: Fio, wait: str) -> None:
    sockets = [qsd().socket for _ in range(3)]
    run = fio(
        sockets[0],
        filename=":".join(sockets),
        rw="randwrite",
        bs="4k",
        size="6m",
        iodepth=16,
        wait=wait,
        verify="crc32c",
    )
    assert reads(run) == 1536


def test_devices_of_different_block_sizes_in_one_job(qsd: StartBackend, fio: Fio) -> None:
    first, second = qsd().socket, qsd(block_size=4096).socket
    filename = f"{first}:{second}"
    run = fio(first, filename=filename, rw="randwrite", bs="4k", size="4m", verify="crc32c")
    assert reads(run) == 1024


# ---- the socket itself -----------------------------------------------------------------------


def test_a_socket_path_may_hold_a_colon(qsd: StartBackend, fio: Fio, private: Path) -> None:
    link = private / "a:b.sock"
    link.symlink_to(qsd().socket)
    assert reads(fio(str(link), rw="randread", number_ios=10)) == 10


def test_unlink_leaves_the_socket(qsd: StartBackend, fio: Fio) -> None:
    socket = qsd().socket
    run = fio(socket, rw="write", size="1m", unlink=1)
    assert (run.status, Path(socket).is_socket()) == (0, True), run.stderr
