# SPDX-License-Identifier: GPL-2.0-or-later
"""Every answer that a SCSI disk or its controller may give, and what becomes of the command.

A scripted controller gives the answers once (or for ever), then it succeeds: so whether a command
that was not carried out is sent again shows in its result and in how often it came.
"""

import errno
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.scripted_backend import ScriptedBackend
from tests.engine.scsi_backend import (
    BLOCK_LIMITS,
    CHECK_CONDITION,
    INQUIRY,
    MODE_SENSE_6,
    PROVISIONING,
    READ_10,
    READ_16,
    READ_CAPACITY_16,
    SYNCHRONIZE_10,
    SYNCHRONIZE_16,
    UNMAP,
    WRITE_10,
    WRITE_16,
    Command,
    Reply,
    ScsiBackend,
    block_limits,
    caching_page,
    capacity_16,
    descriptor_sense,
    fixed_sense,
    inquiry,
    mode_pages,
    refused,
)
from tests.engine.shared_object import CData, ffi, lib, sentence

BLOCK = 512
PIECE = 4096
FAR = 1 << 42  # beyond what ten bytes of a command can address
TIMEOUT_MS = 20_000
DISK: Mapping[Command, bytes | Reply] = {
    (INQUIRY, 0): inquiry(),
    (INQUIRY, BLOCK_LIMITS): block_limits(),
    (INQUIRY, PROVISIONING): bytes([0, PROVISIONING, 0, 4, 0, 0x80, 0, 0]),
    (READ_CAPACITY_16, 0): capacity_16((1 << 50) // BLOCK - 1, BLOCK, thin=True),
    (MODE_SENSE_6, 8): mode_pages(caching_page(write_cache=True)),
}


@dataclass(frozen=True)
class Call:
    """One call of the library, by which the command is sent."""

    name: str
    opcode: int
    offset: int = 0

    def make(self, device: CData) -> int:
        buffer = ffi.new("char[]", PIECE)
        if self.name == "read":
            code = lib.device_read(device, buffer, PIECE, self.offset)
        elif self.name == "write":
            code = lib.device_write(device, buffer, PIECE, self.offset)
        elif self.name == "flush":
            code = lib.device_flush(device)
        else:
            code = lib.device_discard(device, self.offset, PIECE)
        return int(code) if code < 0 else 0


MOVING = (
    Call("read", READ_10),
    Call("write", WRITE_10),
    Call("read", READ_16, FAR),
    Call("write", WRITE_16, FAR),
)
OTHERS = (Call("flush", SYNCHRONIZE_16), Call("discard", UNMAP))
CALLS = (*MOVING, *OTHERS)


def calls(which: Sequence[Call]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("call", which, ids=lambda call: f"{call.name}-{call.opcode:02x}")


@contextmanager
def attached(
    folder: Path,
    answers: Mapping[Command, bytes | Reply],
    first: Mapping[int, Sequence[Reply]],
    timeout_ms: int = TIMEOUT_MS,
) -> Iterator[tuple[CData, ScsiBackend]]:
    backend = ScsiBackend(
        answers=answers, first_answers={code: list(replies) for code, replies in first.items()}
    )
    with ScriptedBackend(folder / "scsi.sock", backend) as served:
        path = ffi.new("char[]", served.path.encode())
        fields = {"socket": path, "connect_timeout_ms": TIMEOUT_MS, "type": lib.DEVICE_SCSI}
        config = ffi.new("struct device_config *", {**fields, "scsi_address_set": True})
        options = ffi.new("struct attach_options *", {"request_timeout_ms": timeout_ms})
        device = ffi.new("struct device **")
        assert lib.device_attach(device, config, options) == 0, sentence()
        try:
            yield device[0], backend
        finally:
            lib.device_detach(device[0])
            backend.stop()


def outcome(folder: Path, call: Call, *replies: Reply) -> tuple[int, int]:
    """The positive errno, and how often the command came."""
    with attached(folder, DISK, {call.opcode: replies}) as (device, backend):
        code = call.make(device)
        return -code, backend.commands.count((call.opcode, 0))


# ---- responses of the controller (virtio 1.2, 5.6.6.1) -----------------------------------------

OK, OVERRUN, ABORTED, BAD_TARGET, RESET, BUSY = range(6)
TRANSPORT_FAILURE, TARGET_FAILURE, NEXUS_FAILURE, FAILURE = range(6, 10)
INCORRECT_LUN = 12

RESPONSES = {
    OK: (0, 1),
    OVERRUN: (errno.EIO, 1),
    ABORTED: (0, 2),
    BAD_TARGET: (errno.ENXIO, 1),
    RESET: (0, 2),
    BUSY: (0, 2),
    TRANSPORT_FAILURE: (errno.EIO, 1),
    TARGET_FAILURE: (errno.EIO, 1),
    NEXUS_FAILURE: (errno.EIO, 1),
    FAILURE: (errno.EIO, 1),
    INCORRECT_LUN: (errno.ENXIO, 1),
    0xFF: (errno.EIO, 1),
}


@calls(CALLS)
@pytest.mark.parametrize(("response", "expected"), RESPONSES.items())
def test_a_response(private: Path, call: Call, response: int, expected: tuple[int, int]) -> None:
    assert outcome(private, call, Reply(response=response, residual=0)) == expected


# ---- status of the disk (SAM-5, 5.3.1) ---------------------------------------------------------

STATUS = {
    0x04: (0, 1),  # CONDITION MET
    0x08: (0, 2),  # BUSY
    0x18: (errno.EBADE, 1),  # RESERVATION CONFLICT
    0x22: (errno.EIO, 1),
    0x28: (0, 2),  # TASK SET FULL
    0x30: (0, 2),  # ACA ACTIVE
    0x40: (0, 2),  # TASK ABORTED
}


@calls(CALLS)
@pytest.mark.parametrize(("status", "expected"), STATUS.items())
def test_a_status(private: Path, call: Call, status: int, expected: tuple[int, int]) -> None:
    assert outcome(private, call, Reply(status=status, residual=0)) == expected


# ---- sense data (SPC-4) --------------------------------------------------------------------------

SENSE = {
    (0x0, 0x00, 0x00): (0, 2),
    (0x1, 0x17, 0x01): (0, 1),
    (0x2, 0x04, 0x01): (0, 2),
    (0x2, 0x3A, 0x00): (errno.ENOMEDIUM, 1),
    (0x3, 0x11, 0x00): (errno.EIO, 1),
    (0x4, 0x44, 0x00): (errno.EIO, 1),
    (0x5, 0x20, 0x00): (errno.EOPNOTSUPP, 1),
    (0x5, 0x21, 0x00): (errno.ENOSPC, 1),
    (0x5, 0x24, 0x00): (errno.EINVAL, 1),
    (0x5, 0x25, 0x00): (errno.ENXIO, 1),
    (0x6, 0x29, 0x00): (0, 2),
    (0x7, 0x27, 0x00): (errno.EROFS, 1),
    (0x7, 0x27, 0x07): (errno.ENOSPC, 1),
    (0xB, 0x00, 0x00): (0, 2),
    (0xB, 0x10, 0x01): (errno.EIO, 1),
    (0xF, 0x00, 0x00): (0, 1),
}


@calls(CALLS)
@pytest.mark.parametrize("make", [fixed_sense, descriptor_sense])
@pytest.mark.parametrize(("sense", "expected"), SENSE.items())
def test_check_condition(
    private: Path, call: Call, make: CData, sense: tuple[int, int, int], expected: tuple[int, int]
) -> None:
    reply = Reply(status=CHECK_CONDITION, sense=make(*sense), residual=0)
    assert outcome(private, call, reply) == expected


def test_check_condition_without_sense_data(private: Path) -> None:
    assert outcome(private, MOVING[0], refused(b"")) == (errno.EIO, 1)


@calls(CALLS)
def test_a_deferred_success_is_not_this_commands(private: Path, call: Call) -> None:
    reply = refused(fixed_sense(1, 0x17, 1, code=0x71))
    assert outcome(private, call, reply) == (0, 2)


def test_a_deferred_error_tells_of_the_earlier_command(private: Path) -> None:
    reply = refused(fixed_sense(3, 0x0C, 0, code=0x71))
    assert outcome(private, MOVING[1], reply) == (errno.EIO, 1)
    assert "an earlier command failed with MEDIUM ERROR" in sentence()


# ---- residuals -----------------------------------------------------------------------------------


@calls(MOVING)
@pytest.mark.parametrize("residual", [1, BLOCK, PIECE, PIECE + 1, (1 << 32) - 1])
@pytest.mark.parametrize("status", ["good", "recovered"])
def test_data_that_did_not_move_is_an_error(
    private: Path, call: Call, residual: int, status: str
) -> None:
    reply = Reply(residual=residual)
    if status == "recovered":
        reply = Reply(residual=residual, status=CHECK_CONDITION, sense=fixed_sense(1, 0x17, 1))
    assert outcome(private, call, reply) == (errno.EIO, 1)
    assert f"moved {residual} bytes less than the {PIECE}" in sentence()


@calls(OTHERS)
@pytest.mark.parametrize("residual", [1, 24, PIECE, (1 << 32) - 1])
@pytest.mark.parametrize("status", ["good", "recovered"])
def test_a_residual_of_a_parameter_list_means_nothing(
    private: Path, call: Call, residual: int, status: str
) -> None:
    reply = Reply(residual=residual)
    if status == "recovered":
        reply = Reply(residual=residual, status=CHECK_CONDITION, sense=fixed_sense(1, 0x17, 1))
    assert outcome(private, call, reply) == (0, 1)


# ---- flushes of disks without a cache ------------------------------------------------------------


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ({}, 0),
        ({(MODE_SENSE_6, 8): mode_pages(caching_page(write_cache=False))}, 0),
        ({(MODE_SENSE_6, 0x3F): mode_pages()}, 0),
        ({(MODE_SENSE_6, 8): mode_pages(caching_page(write_cache=True))}, errno.EOPNOTSUPP),
    ],
    ids=["no modes", "no write cache", "no caching page", "write cache"],
)
def test_a_disk_without_a_cache_need_not_know_how_to_flush_it(
    private: Path, modes: Mapping[Command, bytes], expected: int
) -> None:
    answers = {key: value for key, value in DISK.items() if key[0] != MODE_SENSE_6}
    reply = refused(fixed_sense(5, 0x20))
    first = dict.fromkeys((SYNCHRONIZE_10, SYNCHRONIZE_16), (reply,))
    with attached(private, {**answers, **modes}, first) as (device, _):
        assert -lib.device_flush(device) == expected


# ---- again and again -----------------------------------------------------------------------------

PASSING = (
    refused(fixed_sense(6, 0x29)),
    Reply(response=RESET),
    Reply(response=ABORTED),
    Reply(status=0x40),
)
LASTING = (Reply(status=0x08), Reply(status=0x28), Reply(response=BUSY))


@calls(CALLS)
def test_a_device_may_be_busy_for_a_while(private: Path, call: Call) -> None:
    replies = [*itertools.islice(itertools.cycle(LASTING), 9)]
    assert outcome(private, call, *replies) == (0, 10)


@pytest.mark.parametrize("reply", LASTING, ids=repr)
def test_a_device_that_is_busy_for_ever_is_given_up(private: Path, reply: Reply) -> None:
    answers = {**DISK, (READ_10, 0): reply}
    with attached(private, answers, {}, timeout_ms=300) as (device, backend):
        assert MOVING[0].make(device) == -errno.ETIMEDOUT
        # The pauses grow: 50 us, 100 us ... are a dozen in that time.
        assert 3 < backend.commands.count((READ_10, 0)) < 40


@pytest.mark.parametrize("reply", PASSING, ids=repr)
def test_what_should_have_passed_is_given_up_soon(private: Path, reply: Reply) -> None:
    with attached(private, {**DISK, (READ_10, 0): reply}, {}) as (device, backend):
        assert MOVING[0].make(device) == -errno.EIO
        assert backend.commands.count((READ_10, 0)) == 5


def test_a_mixture_is_sent_again_until_it_succeeds(private: Path) -> None:
    replies = [each for pair in zip(PASSING, LASTING * 2, strict=False) for each in pair]
    assert outcome(private, MOVING[0], *replies) == (0, len(replies) + 1)


def test_each_request_counts_for_itself(private: Path) -> None:
    reply = PASSING[0]
    with attached(private, DISK, {READ_10: [reply] * 4}) as (device, backend):
        assert MOVING[0].make(device) == 0
        backend.first_answers[READ_10] = [reply] * 4
        assert MOVING[0].make(device) == 0
