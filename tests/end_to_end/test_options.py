# SPDX-License-Identifier: GPL-2.0-or-later
"""Each option of the engine: what it does, and what becomes of a value that it does not know."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.conftest import WAITS
from tests.end_to_end.refusal import refusal


def counted(fio: Fio, socket: str, **options: Option) -> dict[str, Any]:
    """Runs some reads, which must succeed; returns the job's line of stats_file."""
    stats = fio.folder / "stats.json"
    wanted: dict[str, Option] = {"rw": "randread", "number_ios": 200, "iodepth": 8}
    run = fio(socket, stats_file=str(stats), **(wanted | options))
    assert run.status == 0, run.stderr
    line: dict[str, Any] = json.loads(stats.read_text())
    return line


def refused(fio: Fio, socket: str, **options: Option) -> FioRun:
    return fio(socket, rw="randread", number_ios=1, **options)


# ---- wait and sleepy_poll --------------------------------------------------------------------


@pytest.mark.parametrize("wait", WAITS)
def test_each_wait_completes_all_requests(disk: StartBackend, fio: Fio, wait: str) -> None:
    stats = counted(fio, disk().socket, wait=wait)
    assert (stats["wait"], stats["ios"]) == (wait, 200)


def test_wait_is_adaptive_where_nothing_is_said(disk: StartBackend, fio: Fio) -> None:
    assert counted(fio, disk().socket)["wait"] == "adaptive"


def test_wait_sleepy_sleeps_50_microseconds_by_default(qsd: StartBackend, fio: Fio) -> None:
    assert counted(fio, qsd().socket, wait="sleepy")["sleepy_poll"] == 50


def test_sleepy_poll_alone_means_wait_sleepy(qsd: StartBackend, fio: Fio) -> None:
    stats = counted(fio, qsd().socket, sleepy_poll=20)
    assert (stats["wait"], stats["sleepy_poll"]) == ("sleepy", 20)


def test_sleepy_poll_0_means_wait_event(qsd: StartBackend, fio: Fio) -> None:
    assert counted(fio, qsd().socket, sleepy_poll=0)["wait"] == "event"


def test_wait_sleepy_sleeps(builtin: StartBackend, fio: Fio) -> None:
    disk = builtin(options=("latency=1ms",))
    stats = counted(fio, disk.socket, wait="sleepy", sleepy_poll=100)
    assert stats["sleeps"] > 0


def test_wait_event_takes_calls(builtin: StartBackend, fio: Fio) -> None:
    disk = builtin(options=("latency=1ms",))
    assert counted(fio, disk.socket, wait="event")["calls"] > 0


def test_wait_busy_never_blocks(qsd: StartBackend, fio: Fio) -> None:
    stats = counted(fio, qsd().socket, wait="busy")
    assert (stats["polls"], stats["sleeps"]) == (0, 0)


@pytest.mark.parametrize("wait", ["event", "busy", "adaptive"])
def test_sleepy_poll_is_refused_with_another_wait(qsd: StartBackend, fio: Fio, wait: str) -> None:
    said = refusal(refused(fio, qsd().socket, wait=wait, sleepy_poll=20))
    assert f"sleepy_poll=20 does not go with wait={wait}" in said


def test_sleepy_poll_0_is_refused_with_wait_sleepy(qsd: StartBackend, fio: Fio) -> None:
    said = refusal(refused(fio, qsd().socket, wait="sleepy", sleepy_poll=0))
    assert "sleepy_poll=0" in said


# ---- the ring --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 64, 1024])
def test_queue_size_is_used(qsd: StartBackend, fio: Fio, size: int) -> None:
    assert counted(fio, qsd().socket, queue_size=size)["queues"][0]["queue_size"] == size


@pytest.mark.parametrize("size", [1, 3, 100, 32767])
def test_queue_size_must_be_a_power_of_two(qsd: StartBackend, fio: Fio, size: int) -> None:
    said = refusal(refused(fio, qsd().socket, queue_size=size))
    assert f"queue_size={size}" in said
    assert "power of two" in said


@pytest.mark.parametrize("option", ["indirect", "event_idx"])
@pytest.mark.parametrize(
    ("value", "used"), [("auto", 1), ("on", 1), ("1", 1), ("off", 0), ("0", 0)]
)
def test_a_ring_feature_is_chosen(
    qsd: StartBackend, fio: Fio, option: str, value: str, used: int
) -> None:
    stats = counted(fio, qsd().socket, **{option: value})
    assert stats["queues"][0][option] == used


@pytest.mark.parametrize(("value", "used"), [("on", 1), ("1", 1), ("off", 0), ("0", 0)])
@pytest.mark.parametrize("event_idx", ["on", "off"])
def test_calls_are_suppressed_unless_told_otherwise(
    disk: StartBackend, fio: Fio, event_idx: str, value: str, used: int
) -> None:
    stats = counted(fio, disk().socket, wait="event", event_idx=event_idx, call_suppression=value)
    assert stats["queues"][0]["call_suppression"] == used
    assert stats["ios"] == 200


def test_num_queues_may_exceed_the_jobs(disk: StartBackend, fio: Fio) -> None:
    assert counted(fio, disk(queues=4).socket, num_queues=4)["ios"] == 200


def test_num_queues_beyond_the_backend_is_refused(disk: StartBackend, fio: Fio) -> None:
    said = refusal(refused(fio, disk(queues=2).socket, num_queues=3))
    assert "3 queues are wanted and the back-end has 2" in said


# ---- the device ------------------------------------------------------------------------------


def test_device_blk_takes_a_blk_device(qsd: StartBackend, fio: Fio) -> None:
    assert counted(fio, qsd().socket, device="blk")["ios"] == 200


def test_device_scsi_refuses_a_blk_device(qsd: StartBackend, fio: Fio) -> None:
    said = refusal(refused(fio, qsd().socket, device="scsi"))
    assert "device=scsi" in said


def test_device_blk_refuses_a_scsi_device(builtin: StartBackend, fio: Fio) -> None:
    disk = builtin(options=("device=scsi",))
    assert "device=scsi" in refusal(refused(fio, disk.socket, device="blk"))


def written_bytes(fio: Fio, socket: str, **options: Option) -> int:
    run = fio(socket, rw="write", bs="4k", size="64k", verify="crc32c", **options)
    assert run.status == 0, run.stderr
    return int(run.first["write"]["io_bytes"])


@pytest.mark.parametrize(("target", "lun"), [(0, 0), (1, 0), (1, 2)])
def test_scsi_target_and_lun_choose_a_disk(
    builtin: StartBackend, fio: Fio, target: int, lun: int
) -> None:
    disk = builtin(options=("device=scsi", "targets=2", "luns=3"))
    written = written_bytes(fio, disk.socket, scsi_target=target, scsi_lun=lun)
    assert written == 64 << 10


def test_several_scsi_disks_want_a_choice(builtin: StartBackend, fio: Fio) -> None:
    disk = builtin(options=("device=scsi", "targets=2"))
    said = refusal(refused(fio, disk.socket))
    assert "scsi_target" in said


@pytest.mark.parametrize(("target", "lun"), [(5, 0), (0, 9)])
def test_a_scsi_disk_that_is_not_there_is_refused(
    builtin: StartBackend, fio: Fio, target: int, lun: int
) -> None:
    disk = builtin(options=("device=scsi",))
    assert refusal(refused(fio, disk.socket, scsi_target=target, scsi_lun=lun))


@pytest.mark.parametrize("option", ["scsi_target", "scsi_lun"])
def test_a_scsi_address_is_refused_on_a_blk_device(
    qsd: StartBackend, fio: Fio, option: str
) -> None:
    assert option in refusal(refused(fio, qsd().socket, **{option: 1}))


# ---- memory and time -------------------------------------------------------------------------


def test_hugepage_mem_larger_than_needed_works(qsd: StartBackend, fio: Fio) -> None:
    assert counted(fio, qsd().socket, hugepage_mem=32)["ios"] == 200


def test_hugepage_mem_smaller_than_needed_works(disk: StartBackend, fio: Fio) -> None:
    stats = counted(fio, disk().socket, hugepage_mem=1, bs="1m", iodepth=16)
    assert stats["ios"] == 64


def test_connect_timeout_0_is_refused(qsd: StartBackend, fio: Fio) -> None:
    run = refused(fio, qsd().socket, connect_timeout=0)
    assert (run.status, "connect_timeout" in run.stderr) == (1, True)


def test_request_timeout_0_means_none(qsd: StartBackend, fio: Fio) -> None:
    assert counted(fio, qsd().socket, request_timeout=0)["ios"] == 200


def test_stats_file_that_cannot_be_written_is_refused(
    qsd: StartBackend, fio: Fio, private: Path
) -> None:
    path = private / "no-such-folder" / "stats.json"
    assert f"stats_file={path} cannot be written" in refusal(
        refused(fio, qsd().socket, stats_file=str(path))
    )


# ---- values that no option knows -------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("device", "nvme"),
        ("wait", "sometimes"),
        ("wait", ""),
        ("sleepy_poll", "1000001"),
        ("sleepy_poll", "often"),
        ("queue_size", "65536"),
        ("queue_size", "many"),
        ("num_queues", "65536"),
        ("event_idx", "2"),
        ("call_suppression", "seldom"),
        ("indirect", "perhaps"),
        ("hugepages", "4m"),
        ("connect_timeout", "3601"),
        ("request_timeout", "86401"),
    ],
)
def test_a_value_that_an_option_does_not_know_is_refused(
    fio: Fio, private: Path, option: str, value: str
) -> None:
    run = refused(fio, str(private / "socket"), **{option: value})
    assert run.status == 1
    assert option in run.stderr


# Not sleepy_poll, of whose -1 fio makes 1, nor connect_timeout, where fio complains and goes on.
@pytest.mark.parametrize("option", ["queue_size", "num_queues", "hugepage_mem", "request_timeout"])
def test_a_negative_number_is_refused(qsd: StartBackend, fio: Fio, option: str) -> None:
    run = refused(fio, qsd().socket, **{option: -1})
    assert (run.status, f"{option}=-1" in run.stderr) == (1, True)


def test_an_option_that_is_not_there_is_refused(fio: Fio, private: Path) -> None:
    run = refused(fio, str(private / "socket"), core_mask="0x1")
    assert (run.status, "core_mask" in run.stderr) == (1, True)
