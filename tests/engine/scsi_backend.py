# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-scsi controller whose answers a test chooses byte by byte.

The control side is that of BlkBackend, which also ends a test when something is sent that was not
agreed on. A thread serves the first request queue, in this process and so at the addresses that
the front-end names; it ends before the front-end may take the memory back (GET_VRING_BASE).
"""

import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.blk_backend import (
    MEM_SLOTS,
    MQ,
    PROTOCOL_FEATURES,
    REPLY_ACK,
    VERSION_1,
    BlkBackend,
    open_device,
)
from tests.engine.ring_device import DESC_WRITE, RingDevice
from tests.engine.scripted_backend import Connection, Message, ScriptedBackend
from tests.engine.shared_object import CData, ffi, lib
from tests.vhost_numbers import Request

INOUT = 1 << 0
REQUEST_QUEUE = 2  # after control and events
CDB_OFFSET, CDB_BYTES = 19, 32  # in struct virtio_scsi_cmd_req
RESPONSE = struct.Struct("<IIHBB")  # sense_len, resid, status_qualifier, status, response
CHECK_CONDITION = 2

INQUIRY, READ_CAPACITY_10, READ_CAPACITY_16, REPORT_LUNS = 0x12, 0x25, 0x9E, 0xA0
MODE_SENSE_6, MODE_SENSE_10 = 0x1A, 0x5A
READ_10, WRITE_10, READ_16, WRITE_16 = 0x28, 0x2A, 0x88, 0x8A
SYNCHRONIZE_10, SYNCHRONIZE_16, UNMAP = 0x35, 0x91, 0x42
# They succeed unless a test says otherwise, and move all that they are given.
MOVES_DATA = {READ_10, WRITE_10, READ_16, WRITE_16, SYNCHRONIZE_10, SYNCHRONIZE_16, UNMAP}
BLOCK_LIMITS, PROVISIONING = 0xB0, 0xB2

# What a command is known by: its operation code, and the page of INQUIRY or MODE SENSE (0: none).
Command = tuple[int, int]


def fixed_sense(key: int, asc: int = 0, ascq: int = 0, *, code: int = 0x70) -> bytes:
    """SPC-4, 4.5.3; 71h is a deferred error."""
    return bytes([code, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0])


def descriptor_sense(key: int, asc: int = 0, ascq: int = 0, *, code: int = 0x72) -> bytes:
    """SPC-4, 4.5.2, with no descriptors."""
    return bytes([code, key, asc, ascq, 0, 0, 0, 0])


@dataclass(frozen=True)
class Reply:
    """One answer to a command."""

    data: bytes = b""
    response: int = 0
    status: int = 0
    sense: bytes = b""
    residual: int | None = None  # None: what is left of the buffer after the data


def refused(sense: bytes) -> Reply:
    return Reply(status=CHECK_CONDITION, sense=sense)


INVALID_OPCODE = refused(fixed_sense(5, 0x20))


def inquiry(first: int = 0) -> bytes:
    """`first` is the peripheral qualifier and the device type."""
    return bytes([first, 0, 5, 2, 31, 0, 0, 0]) + b"vendor  product         1   "


def capacity_16(
    last_block: int, block_size: int, exponent: int = 0, *, thin: bool = False
) -> bytes:
    head = struct.pack(">QIBB", last_block, block_size, 0, exponent)
    return head + bytes([0x80 if thin else 0]) + bytes(17)


def capacity_10(last_block: int, block_size: int) -> bytes:
    return struct.pack(">II", last_block, block_size)


def block_limits(*, optimal: int = 0, unmap_alignment: int = 0) -> bytes:
    head = struct.pack(">BBHIII", 0, BLOCK_LIMITS, 60, 0, 0, optimal)
    return head + struct.pack(">IIII", 0, 1 << 20, 1, unmap_alignment) + bytes(32)


def luns(*numbers: int, claimed: int | None = None) -> bytes:
    count = len(numbers) if claimed is None else claimed
    entries = b"".join(struct.pack(">H6x", number) for number in numbers)
    return struct.pack(">I4x", 8 * count & 0xFFFFFFFF) + entries


@dataclass
class ScsiBackend(BlkBackend):
    features: int = INOUT | PROTOCOL_FEATURES | VERSION_1
    protocol: int = MQ | REPLY_ACK | MEM_SLOTS
    queue_num: int = REQUEST_QUEUE + 1
    answers: Mapping[Command, bytes | Reply] = field(default_factory=dict)
    # Given before those, one after the other.
    first_answers: dict[int, list[Reply]] = field(default_factory=dict)  # by operation code
    commands: list[Command] = field(default_factory=list)  # that came
    ring: int = REQUEST_QUEUE  # the only one that is served
    _size: int = 0
    _addresses: tuple[int, ...] = ()
    _call_fd: int = -1
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        self._take_note(request, message)
        super()._serve(connection, request, message)

    def _take_note(self, request: Request, message: Message) -> None:
        if message.payload[:1] != bytes([self.ring]):
            return
        if request == Request.SET_VRING_NUM:
            self._size = message.state[1]
        elif request == Request.SET_VRING_ADDR:
            self._addresses = struct.unpack_from("=QQQ", message.payload, 8)
        elif request == Request.SET_VRING_CALL:
            self._call_fd = message.fds[0]
        elif request == Request.SET_VRING_KICK:
            self._is_over = threading.Event()
            thread = threading.Thread(target=self._serve_ring, name="scripted disk")
            thread.start()
            self._thread = thread
        elif request == Request.GET_VRING_BASE:
            self.stop()

    def stop(self) -> None:
        self._is_over.set()
        if self._thread:
            self._thread.join()

    def _serve_ring(self) -> None:
        desc, used, avail = (ffi.cast("void *", address) for address in self._addresses)
        ring = ffi.new("struct virtq *", {"desc": desc, "avail": avail, "used": used})
        device = RingDevice(ring, self._size, event_idx=False)
        while not self._is_over.is_set():
            for head in device.take():
                self._answer_command(device, head)
                self._complete(device, head)
            time.sleep(0.0002)

    def _complete(self, device: RingDevice, head: int) -> None:
        device.complete(head)
        os.eventfd_write(self._call_fd, 1)

    def _answer_command(self, device: RingDevice, head: int) -> None:
        chain = device.chain(head)
        request, *sent = [each for each in chain if not each.flags & DESC_WRITE]
        response, *room = [each for each in chain if each.flags & DESC_WRITE]
        cdb = memory(request.address, request.length)[CDB_OFFSET : CDB_OFFSET + CDB_BYTES]
        command = (cdb[0], cdb[2] if has_page(cdb) else 0)
        self.commands.append(command)
        reply = self._choose(command)
        left = sum(segment.length for segment in (*sent, *room))
        data = reply.data[:left]
        if reply == Reply() and command[0] in MOVES_DATA:
            left = 0
        for segment in room:
            part, data = data[: segment.length], data[segment.length :]
            memory(segment.address, segment.length)[: len(part)] = part
            left -= len(part)
        residual = max(left, 0) if reply.residual is None else reply.residual
        to = memory(response.address, response.length)
        to[: RESPONSE.size] = RESPONSE.pack(
            len(reply.sense), residual, 0, reply.status, reply.response
        )
        to[RESPONSE.size : RESPONSE.size + len(reply.sense)] = reply.sense

    def _choose(self, command: Command) -> Reply:
        if first := self.first_answers.get(command[0]):
            return first.pop(0)
        answer = self.answers.get(command)
        if answer is None:
            return Reply() if command[0] in MOVES_DATA else INVALID_OPCODE
        return answer if isinstance(answer, Reply) else Reply(answer)


def has_page(cdb: memoryview) -> bool:
    return bool(cdb[0] == INQUIRY and cdb[1] & 1) or cdb[0] in (MODE_SENSE_6, MODE_SENSE_10)


def memory(address: int, size: int) -> memoryview:
    return memoryview(ffi.buffer(ffi.cast("char *", address), size)).cast("B")


def mode_pages(*pages: bytes, protected: bool = False) -> bytes:
    """The answer to MODE SENSE (6)."""
    body = bytes([0, 0x80 if protected else 0, 0]) + b"".join(pages)
    return bytes([len(body)]) + body


def caching_page(*, write_cache: bool) -> bytes:
    return bytes([8, 18, 4 if write_cache else 0]) + bytes(17)


@contextmanager
def discovered(
    folder: Path,
    answers: Mapping[Command, bytes | Reply],
    first_answers: dict[int, list[Reply]] | None = None,
    **config: object,
) -> Iterator[tuple[int, CData, ScsiBackend]]:
    """The code of device_start(), which looks for the disk; the device; and the back-end."""
    backend = ScsiBackend(answers=answers, first_answers=first_answers or {})
    chosen: dict[str, object] = {
        "type": lib.DEVICE_SCSI,
        "indirect": lib.CHOICE_OFF,
        "scsi_address_set": True,
    }
    with ScriptedBackend(folder / "scsi.sock", backend) as served:
        code, device = open_device(served.path, **{**chosen, **config})
        try:
            assert code == 0
            yield int(lib.device_start(device)), device, backend
        finally:
            lib.device_close(device)
            backend.stop()
