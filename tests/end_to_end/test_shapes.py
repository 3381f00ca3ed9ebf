# SPDX-License-Identifier: GPL-2.0-or-later
"""Data stays right in every shape of load: sizes, depths, jobs, rings, blocks, limits."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.conftest import WAITS

VERIFIED: Mapping[str, Option] = {"rw": "randwrite", "verify": "crc32c", "verify_fatal": 1}


def assert_verified(run: FioRun, blocks: int) -> None:
    assert run.status == 0, run.stderr
    written = sum(job["write"]["total_ios"] for job in run.jobs)
    read = sum(job["read"]["total_ios"] for job in run.jobs)
    assert (written, read) == (blocks, blocks)


# ---- block sizes and depths ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bs", "size", "blocks"),
    [
        ("512", "512k", 1024),
        ("1536", "1536k", 1024),
        ("4k", "4m", 1024),
        ("64k", "16m", 256),
        ("192k", "12m", 64),
        ("1m", "32m", 32),
        ("4m", "64m", 16),
    ],
)
def test_a_block_size(disk: StartBackend, fio: Fio, bs: str, size: str, blocks: int) -> None:
    run = fio(disk().socket, bs=bs, size=size, iodepth=16, **VERIFIED)
    assert_verified(run, blocks)


@pytest.mark.parametrize("iodepth", [1, 2, 32, 128, 1024])
def test_a_depth(disk: StartBackend, fio: Fio, iodepth: int) -> None:
    run = fio(disk().socket, bs="4k", size="8m", iodepth=iodepth, **VERIFIED)
    assert_verified(run, 2048)


@pytest.mark.parametrize("wait", WAITS)
def test_a_depth_with_each_wait(qsd: StartBackend, fio: Fio, wait: str) -> None:
    run = fio(qsd().socket, bs="4k", size="8m", iodepth=64, wait=wait, **VERIFIED)
    assert_verified(run, 2048)


def test_large_blocks_at_a_large_depth(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, bs="1m", size="64m", iodepth=256, **VERIFIED)
    assert_verified(run, 64)


# ---- jobs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [2, 4, 8])
def test_threads_with_a_queue_each(disk: StartBackend, fio: Fio, jobs: int) -> None:
    run = fio(
        disk(queues=jobs).socket,
        bs="4k",
        size="2m",
        offset_increment="2m",
        numjobs=jobs,
        iodepth=32,
        **VERIFIED,
    )
    assert_verified(run, jobs * 512)


def test_threads_share_one_connection(qsd: StartBackend, fio: Fio) -> None:
    # qemu-storage-daemon serves one connection at a time: a second one would wait in vain.
    timing: Mapping[str, Option] = {"time_based": True, "runtime": 1}
    run = fio(qsd(queues=4).socket, rw="randread", numjobs=4, **timing)
    assert run.status == 0, run.stderr
    assert all(job["read"]["total_ios"] > 0 for job in run.jobs)


def test_a_job_in_a_process_of_its_own(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, thread=None, bs="4k", size="4m", iodepth=32, **VERIFIED)
    assert_verified(run, 1024)


@pytest.mark.parametrize("device", ["blk", "scsi"])
def test_processes_where_the_backend_takes_several_clients(
    builtin: StartBackend, fio: Fio, device: str
) -> None:
    run = fio(
        builtin(options=(f"device={device}",), queues=2).socket,
        thread=None,
        bs="4k",
        size="2m",
        offset_increment="2m",
        numjobs=2,
        iodepth=32,
        **VERIFIED,
    )
    assert_verified(run, 1024)


def test_processes_one_after_another(disk: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
filename={disk().socket}
bs=4k
size=2m
iodepth=16
[write]
rw=randwrite
verify=crc32c
do_verify=0
[read]
stonewall
rw=randread
verify=crc32c
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert [job["read"]["total_ios"] for job in run.jobs] == [0, 512]


# ---- rings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("indirect", ["on", "off"])
@pytest.mark.parametrize("queue_size", [4, 16, 128])
def test_more_requests_than_the_ring_holds(
    disk: StartBackend, fio: Fio, queue_size: int, indirect: str
) -> None:
    run = fio(
        disk().socket,
        bs="4k",
        size="4m",
        iodepth=256,
        queue_size=queue_size,
        indirect=indirect,
        **VERIFIED,
    )
    assert_verified(run, 1024)


@pytest.mark.parametrize("indirect", ["on", "off"])
def test_large_blocks_in_a_small_ring(disk: StartBackend, fio: Fio, indirect: str) -> None:
    run = fio(
        disk().socket, bs="4m", size="64m", iodepth=16, queue_size=4, indirect=indirect, **VERIFIED
    )
    assert_verified(run, 16)


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("event_idx", ["on", "off"])
@pytest.mark.parametrize("indirect", ["on", "off"])
def test_ring_features(
    qsd: StartBackend, fio: Fio, wait: str, event_idx: str, indirect: str
) -> None:
    run = fio(
        qsd().socket,
        bs="4k",
        size="4m",
        iodepth=32,
        wait=wait,
        event_idx=event_idx,
        indirect=indirect,
        **VERIFIED,
    )
    assert_verified(run, 1024)


@pytest.mark.parametrize("event_idx", ["on", "off"])
def test_indices_wrap_around(disk: StartBackend, fio: Fio, event_idx: str) -> None:
    # More than 65,536 requests: the ring's indices have 16 bits.
    run = fio(
        disk(storage="null").socket,
        rw="randread",
        number_ios=150000,
        iodepth=32,
        event_idx=event_idx,
        norandommap=1,
        io_size="1g",
    )
    assert (run.status, run.first["read"]["total_ios"]) == (0, 150000), run.stderr


# ---- what the device allows ------------------------------------------------------------------


@pytest.mark.parametrize("bs", ["4k", "12k", "1m"])
def test_a_device_with_4096_byte_blocks(disk: StartBackend, fio: Fio, bs: str) -> None:
    run = fio(disk(block_size=4096).socket, bs=bs, size="12m", iodepth=16, **VERIFIED)
    assert run.status == 0, run.stderr
    assert run.first["read"]["total_ios"] == run.first["write"]["total_ios"] > 0


def test_a_device_with_4096_byte_blocks_has_its_whole_size(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk(block_size=4096).socket, rw="read", bs="1m", iodepth=4)
    assert (run.status, run.first["read"]["total_ios"]) == (0, 64), run.stderr


def test_a_read_only_device_is_read(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk(read_only=True).socket, rw="randread", number_ios=100, iodepth=8)
    assert (run.status, run.first["read"]["total_ios"]) == (0, 100), run.stderr


@pytest.mark.parametrize("device", ["blk", "scsi"])
@pytest.mark.parametrize("indirect", ["on", "off"])
def test_requests_are_split_to_the_devices_limits(
    builtin: StartBackend, fio: Fio, device: str, indirect: str
) -> None:
    limits = (f"device={device}", "size-max=8192", "seg-max=3")
    run = fio(
        builtin(options=limits).socket,
        bs="256k",
        size="8m",
        iodepth=8,
        indirect=indirect,
        **VERIFIED,
    )
    assert_verified(run, 32)


@pytest.mark.parametrize("device", ["blk", "scsi"])
def test_trims_are_split_to_the_devices_limits(
    builtin: StartBackend, fio: Fio, private: Path, device: str
) -> None:
    image = private / "image"
    image.write_bytes(b"\xff" * (4 << 20))
    limits = (f"device={device}", "discard-sectors-max=64", "discard-segments-max=1")
    disk = builtin(storage=f"file:{image}", options=limits)
    run = fio(disk.socket, rw="trim", bs="1m", size="2m")
    assert run.status == 0, run.stderr
    assert not any(image.read_bytes()[: 2 << 20])
    assert image.read_bytes()[2 << 20 :] == b"\xff" * (2 << 20)
