# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-scsi: commands, sense data, task management, events."""

import json
import struct
from collections.abc import Iterator

import pytest

from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import (
    CHECK_CONDITION,
    GOOD,
    RESPONSE_ABORTED,
    RESPONSE_BAD_TARGET,
    RESPONSE_OK,
    RESPONSE_OVERRUN,
    RESPONSE_RESET,
    SCSI_EVENT,
    SCSI_REQUEST,
    UNTOUCHED,
    ScsiRequest,
    manage_task,
    scsi,
)
from tests.backend.frontend import Frontend

NO_SENSE, MEDIUM_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION, DATA_PROTECT = 0, 3, 5, 6, 7
TEST_UNIT_READY = bytes(6)
BLOCKS = 2048  # of the 1 MiB disk

ABORT_TASK, ABORT_TASK_SET, RESET_LUN, QUERY_TASK = 0, 1, 5, 6
FUNCTION_COMPLETE, FUNCTION_SUCCEEDED, FUNCTION_REJECTED, INCORRECT_LUN = 0, 10, 11, 12


def inquiry(page: int | None = None, most: int = 255) -> bytes:
    return struct.pack(">BBBHB", 0x12, page is not None, page or 0, most, 0)


def read_10(lba: int, blocks: int) -> bytes:
    return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)


def write_10(lba: int, blocks: int, flags: int = 0) -> bytes:
    return struct.pack(">BBIBHB", 0x2A, flags, lba, 0, blocks, 0)


@pytest.fixture
def disk(backend: StartBuiltin) -> Iterator[Frontend]:
    """A controller of two targets with two LUNs each, the first of them past its power-on."""
    started = backend(device="scsi", target_count=2, lun_count=2)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        yield frontend


def test_the_first_command_is_answered_by_a_unit_attention(backend: StartBuiltin) -> None:
    started = backend(device="scsi")
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        assert scsi(frontend, inquiry(), in_bytes=36).status == GOOD
        first = scsi(frontend, TEST_UNIT_READY)
        assert (first.status, first.key, first.asc) == (CHECK_CONDITION, UNIT_ATTENTION, 0x2900)
        assert scsi(frontend, TEST_UNIT_READY).status == GOOD


def test_inquiry_names_the_disk(disk: Frontend) -> None:
    data = scsi(disk, inquiry(), in_bytes=36).data
    assert (data[0], data[4], data[7]) == (0, 31, 2)
    assert data[8:36] == b"PYFIO   VIRTIO DISK     1   "


def test_inquiry_of_a_missing_lun_says_so(disk: Frontend) -> None:
    assert scsi(disk, inquiry(), in_bytes=36, lun=5).data[0] == 0x7F


@pytest.mark.parametrize("page", [0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2])
def test_every_vpd_page_that_is_listed_is_there(disk: Frontend, page: int) -> None:
    listed = scsi(disk, inquiry(0), in_bytes=255).data
    assert page in listed[4 : 4 + listed[3]]
    done = scsi(disk, inquiry(page), in_bytes=255)
    length = struct.unpack_from(">H", done.data, 2)[0]
    assert (done.status, done.data[1], done.residual) == (GOOD, page, 255 - 4 - length)


def test_the_designators_are_well_formed(disk: Frontend) -> None:
    data = scsi(disk, inquiry(0x83), in_bytes=255, target=1, lun=1).data
    end = 4 + struct.unpack_from(">H", data, 2)[0]
    at, kinds = 4, []
    while at < end:
        kinds.append((data[at] & 0xF, data[at + 1] & 0xF))
        at += 4 + data[at + 3]
    assert at == end
    assert kinds == [(2, 1), (1, 3)]


def test_unmap_limits_stand_in_page_b0(backend: StartBuiltin) -> None:
    started = backend(device="scsi", discard_sectors_max=64, discard_segments_max=2)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        data = scsi(frontend, inquiry(0xB0), in_bytes=64).data
        assert struct.unpack_from(">II", data, 20) == (64, 2)


def test_an_unknown_vpd_page_is_an_invalid_field(disk: Frontend) -> None:
    done = scsi(disk, inquiry(0x99), in_bytes=255)
    assert (done.status, done.key, done.asc) == (CHECK_CONDITION, ILLEGAL_REQUEST, 0x2400)


def test_report_luns_lists_those_of_the_target(disk: Frontend) -> None:
    done = scsi(disk, struct.pack(">B5xIxx", 0xA0, 64), in_bytes=64)
    assert struct.unpack_from(">I", done.data) == (16,)
    assert done.data[8:24] == bytes(8) + b"\0\1" + bytes(6)
    assert done.residual == 64 - 24


def test_read_capacity(disk: Frontend) -> None:
    short = scsi(disk, struct.pack(">B9x", 0x25), in_bytes=8)
    assert struct.unpack(">II", short.data) == (BLOCKS - 1, 512)
    long = scsi(disk, struct.pack(">BB8xI2x", 0x9E, 0x10, 32), in_bytes=32)
    assert struct.unpack_from(">QI", long.data) == (BLOCKS - 1, 512)
    assert long.data[14] & 0x80


def test_read_capacity_10_of_a_large_disk_is_all_ones(backend: StartBuiltin) -> None:
    started = backend(device="scsi", storage="null", size_bytes=1 << 42)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        short = scsi(frontend, struct.pack(">B9x", 0x25), in_bytes=8)
        assert struct.unpack(">II", short.data) == (0xFFFFFFFF, 512)
        last = (1 << 42) // 512 - 1
        cdb = struct.pack(">BBQIBB", 0x88, 0, last, 1, 0, 0)
        assert scsi(frontend, cdb, in_bytes=512).status == GOOD


OPCODES = {6: (0x08, 0x0A), 10: (0x28, 0x2A), 12: (0xA8, 0xAA), 16: (0x88, 0x8A)}


def transfer(length: int, lba: int, blocks: int, *, write: bool = False) -> bytes:
    """A READ or WRITE of that many bytes of CDB."""
    opcode = OPCODES[length][write]
    if length == 6:
        return struct.pack(">BBHBB", opcode, lba >> 16, lba & 0xFFFF, blocks, 0)
    if length == 10:
        return struct.pack(">BBIBHB", opcode, 0, lba, 0, blocks, 0)
    if length == 12:
        return struct.pack(">BBIIBB", opcode, 0, lba, blocks, 0, 0)
    return struct.pack(">BBQIBB", opcode, 0, lba, blocks, 0, 0)


@pytest.mark.parametrize("length", sorted(OPCODES))
def test_what_is_written_is_read(disk: Frontend, length: int) -> None:
    data = bytes([length]) * 1024
    done = scsi(disk, transfer(length, 7, 2, write=True), out=data)
    assert (done.response, done.status, done.residual) == (RESPONSE_OK, GOOD, 0)
    done = scsi(disk, transfer(length, 7, 2), in_bytes=1024)
    assert (done.status, done.residual, done.data) == (GOOD, 0, data)
    assert done.used_bytes == 12 + 96 + 1024


def test_six_byte_reads_of_zero_blocks_read_256(disk: Frontend) -> None:
    done = scsi(disk, transfer(6, 0, 0), in_bytes=256 * 512)
    assert (done.status, done.residual) == (GOOD, 0)


def test_luns_are_disks_of_their_own(disk: Frontend) -> None:
    for target in (0, 1):
        for lun in (0, 1):
            scsi(disk, TEST_UNIT_READY, target=target, lun=lun)
            data = bytes([16 * target + lun + 1]) * 512
            assert scsi(disk, write_10(0, 1), out=data, target=target, lun=lun).status == GOOD
    for target in (0, 1):
        for lun in (0, 1):
            data = bytes([16 * target + lun + 1]) * 512
            done = scsi(disk, read_10(0, 1), in_bytes=512, target=target, lun=lun)
            assert done.data == data


def test_a_buffer_larger_than_the_data_leaves_a_residual(disk: Frontend) -> None:
    assert scsi(disk, read_10(0, 1), in_bytes=4096).residual == 4096 - 512
    assert scsi(disk, write_10(0, 1), out=bytes(4096)).residual == 4096 - 512


def test_a_buffer_smaller_than_the_data_is_an_overrun(disk: Frontend) -> None:
    assert scsi(disk, read_10(0, 8), in_bytes=512).response == RESPONSE_OVERRUN
    assert scsi(disk, write_10(0, 8), out=bytes(512)).response == RESPONSE_OVERRUN


@pytest.mark.parametrize("lba", [BLOCKS, BLOCKS - 1, 0xFFFFFFFF])
def test_beyond_the_end_is_lba_out_of_range(disk: Frontend, lba: int) -> None:
    done = scsi(disk, read_10(lba, 2), in_bytes=1024)
    assert (done.key, done.asc, done.residual) == (ILLEGAL_REQUEST, 0x2100, 1024)
    cdb = struct.pack(">BBIBHB", 0x35, 0, lba, 0, 2, 0)
    assert scsi(disk, cdb).asc == 0x2100


def test_a_read_only_disk_is_write_protected(backend: StartBuiltin) -> None:
    started = backend(device="scsi", read_only=True)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        done = scsi(frontend, write_10(0, 1), out=bytes(512))
        assert (done.key, done.asc) == (DATA_PROTECT, 0x2700)
        assert (
            scsi(frontend, struct.pack(">BBBBBB", 0x1A, 0, 0x3F, 0, 255, 0), in_bytes=64).data[2]
            & 0x80
        )


UNMAP = struct.pack(">BB5xHB", 0x42, 0, 24, 0)


def unmap_list(lba: int, blocks: int) -> bytes:
    """UNMAP's parameter list with one range."""
    return struct.pack(">HH4x", 22, 16) + struct.pack(">QI4x", lba, blocks)


def test_unmap_clears_its_ranges(disk: Frontend) -> None:
    scsi(disk, write_10(0, 4), out=b"x" * 2048)
    assert scsi(disk, UNMAP, out=unmap_list(1, 2)).status == GOOD
    assert scsi(disk, read_10(0, 4), in_bytes=2048).data == b"x" * 512 + bytes(1024) + b"x" * 512


@pytest.mark.parametrize(
    ("cdb", "in_bytes"),
    [
        (struct.pack(">BBIBHB", 0x35, 0, 0, 0, 0, 0), 0),
        (struct.pack(">BBQIBB", 0x91, 0, 0, 0, 0, 0), 0),
        (struct.pack(">BBBBBB", 0x1A, 0, 0x08, 0, 64, 0), 64),
        (struct.pack(">BBBB3xHB", 0x5A, 0, 0x3F, 0, 64, 0), 64),
        (struct.pack(">B3xBB", 0x03, 18, 0), 18),
    ],
    ids=["sync-10", "sync-16", "mode-sense-6", "mode-sense-10", "request-sense"],
)
def test_these_commands_are_good(disk: Frontend, cdb: bytes, in_bytes: int) -> None:
    assert scsi(disk, cdb, in_bytes=in_bytes).status == GOOD


def test_request_sense_takes_a_pending_attention(disk: Frontend) -> None:
    request_sense = struct.pack(">B3xBB", 0x03, 18, 0)
    data = scsi(disk, request_sense, in_bytes=18, lun=1).data
    assert (data[2] & 0xF, data[12]) == (UNIT_ATTENTION, 0x29)
    assert scsi(disk, TEST_UNIT_READY, lun=1).status == GOOD


def test_an_unknown_opcode_is_named_as_such(disk: Frontend) -> None:
    done = scsi(disk, bytes([0xEE]) + bytes(15))
    assert (done.key, done.asc) == (ILLEGAL_REQUEST, 0x2000)


def test_addresses_that_lead_nowhere(disk: Frontend) -> None:
    assert scsi(disk, TEST_UNIT_READY, target=2).response == RESPONSE_BAD_TARGET
    done = scsi(disk, TEST_UNIT_READY, lun=2)
    assert (done.response, done.key, done.asc) == (RESPONSE_OK, ILLEGAL_REQUEST, 0x2500)


def submit(frontend: Frontend, request: ScsiRequest) -> None:
    queue = frontend.queues[SCSI_REQUEST]
    queue.offer(queue.add(request.chain()))
    queue.publish()
    queue.kick()


@pytest.fixture
def slow(backend: StartBuiltin) -> Iterator[Frontend]:
    """A disk that never completes reads."""
    started = backend(device="scsi", fault="lose:type=read")
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        yield frontend


def test_a_task_can_be_aborted(slow: Frontend) -> None:
    request = ScsiRequest(slow.memory, read_10(0, 1), in_bytes=512, tag=77)
    submit(slow, request)
    while manage_task(slow, QUERY_TASK, 0, 0, 77) != FUNCTION_SUCCEEDED:
        pass
    assert manage_task(slow, ABORT_TASK, 0, 0, 78) == FUNCTION_COMPLETE
    assert manage_task(slow, QUERY_TASK, 0, 0, 77) == FUNCTION_SUCCEEDED
    assert manage_task(slow, ABORT_TASK, 0, 0, 77) == FUNCTION_COMPLETE
    assert slow.queues[SCSI_REQUEST].wait()
    assert request.done(0).response == RESPONSE_ABORTED


def test_a_lun_reset_ends_its_tasks_and_is_reported(slow: Frontend) -> None:
    requests = [
        ScsiRequest(slow.memory, read_10(lba, 1), in_bytes=512, tag=lba) for lba in range(5)
    ]
    for request in requests:
        submit(slow, request)
    while manage_task(slow, QUERY_TASK, 0, 0, 4) != FUNCTION_SUCCEEDED:
        pass
    assert manage_task(slow, RESET_LUN, 0, 0, 0) == FUNCTION_COMPLETE
    assert len(slow.queues[SCSI_REQUEST].wait(5)) == 5
    assert {request.done(0).response for request in requests} == {RESPONSE_RESET}
    done = scsi(slow, TEST_UNIT_READY)
    assert (done.key, done.asc) == (UNIT_ATTENTION, 0x2903)


def test_task_management_checks_its_request(disk: Frontend) -> None:
    assert manage_task(disk, 99, 0, 0, 0) == FUNCTION_REJECTED
    assert manage_task(disk, ABORT_TASK, 0, 9, 0) == INCORRECT_LUN
    assert manage_task(disk, ABORT_TASK, 9, 0, 0) == RESPONSE_BAD_TARGET


def test_a_change_of_size_is_an_event_and_an_attention(backend: StartBuiltin) -> None:
    started = backend(device="scsi", lun_count=2)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY, lun=1)
        buffer = frontend.memory.place(bytes([UNTOUCHED]) * 16, device_writes=True)
        events = frontend.queues[SCSI_EVENT]
        events.offer(events.add([buffer]))
        events.publish()
        answer = json.loads(started.command("resize 512KiB 1"))
        assert answer == {"bytes": 512 << 10, "clients": 1, "told": 1}
        assert events.wait() == [(0, 16)]
        assert events.called()
        event, lun, reason = struct.unpack("<I8sI", frontend.memory.read(buffer))
        assert (event, lun[:4], reason) == (3, b"\1\0\x40\1", 0x2A | 0x09 << 8)
        done = scsi(frontend, TEST_UNIT_READY, lun=1)
        assert (done.key, done.asc) == (UNIT_ATTENTION, 0x2A09)
        assert scsi(frontend, read_10(1024, 1), in_bytes=512, lun=1).asc == 0x2100


def test_a_medium_error_on_demand(backend: StartBuiltin) -> None:
    started = backend(device="scsi", fault="error:sectors=8-9,type=read")
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        done = scsi(frontend, read_10(9, 1), in_bytes=512)
        assert (done.key, done.asc) == (MEDIUM_ERROR, 0x1100)
        assert scsi(frontend, read_10(10, 1), in_bytes=512).status == GOOD


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_a_fault_of_an_unmap_strikes_its_range(backend: StartBuiltin, block_bytes: int) -> None:
    sectors = block_bytes // 512
    fault = f"error:sectors={8 * sectors}-{9 * sectors - 1},type=discard"
    started = backend(device="scsi", block_bytes=block_bytes, fault=fault)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        for lba, blocks, is_struck in ((0, 8, False), (9, 1, False), (8, 1, True), (6, 4, True)):
            done = scsi(frontend, UNMAP, out=unmap_list(lba, blocks))
            assert (done.status != GOOD) == is_struck, lba


def test_blocks_of_4096(backend: StartBuiltin) -> None:
    started = backend(device="scsi", block_bytes=4096)
    with Frontend(started.settings.socket_path, queues=3) as frontend:
        scsi(frontend, TEST_UNIT_READY)
        capacity = scsi(frontend, struct.pack(">B9x", 0x25), in_bytes=8).data
        assert struct.unpack(">II", capacity) == (255, 4096)
        assert scsi(frontend, write_10(255, 1), out=b"y" * 4096).status == GOOD
        assert scsi(frontend, read_10(255, 1), in_bytes=4096).data == b"y" * 4096
