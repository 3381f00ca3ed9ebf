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
from tests.engine.ring_device import RingDevice
from tests.engine.scripted_backend import Connection, Message, Request, ScriptedBackend
from tests.engine.shared_object import CData, ffi, lib

INOUT = 1 << 0
REQUEST_QUEUE = 2  # after control and events
CDB_OFFSET, CDB_BYTES = 19, 32  # in struct virtio_scsi_cmd_req
RESPONSE = struct.Struct("<IIHBB")  # sense_len, resid, status_qualifier, status, response
CHECK_CONDITION = 2
ILLEGAL_REQUEST = bytes([0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0])

INQUIRY, READ_CAPACITY_10, READ_CAPACITY_16, REPORT_LUNS = 0x12, 0x25, 0x9E, 0xA0
BLOCK_LIMITS, PROVISIONING = 0xB0, 0xB2

# What a command is known by: its operation code, and the page of an INQUIRY (0: none).
Command = tuple[int, int]


def inquiry() -> bytes:
    return bytes(8) + b"vendor  product         1   "


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
    answers: Mapping[Command, bytes] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)  # that came
    _size: int = 0
    _addresses: tuple[int, ...] = ()
    _call_fd: int = -1
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        self._take_note(request, message)
        super()._serve(connection, request, message)

    def _take_note(self, request: Request, message: Message) -> None:
        if message.payload[:1] != bytes([REQUEST_QUEUE]):
            return
        if request == Request.SET_VRING_NUM:
            self._size = message.state[1]
        elif request == Request.SET_VRING_ADDR:
            self._addresses = struct.unpack_from("=QQQ", message.payload, 8)
        elif request == Request.SET_VRING_CALL:
            self._call_fd = message.fds[0]
        elif request == Request.SET_VRING_KICK:
            self._thread = threading.Thread(target=self._serve_ring, name="scripted disk")
            self._thread.start()
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
                device.complete(head)
                os.eventfd_write(self._call_fd, 1)
            time.sleep(0.0002)

    def _answer_command(self, device: RingDevice, head: int) -> None:
        request, response, *data = device.chain(head)
        cdb = memory(request.address, request.length)[CDB_OFFSET : CDB_OFFSET + CDB_BYTES]
        command = (cdb[0], cdb[2] if cdb[0] == INQUIRY and cdb[1] & 1 else 0)
        self.commands.append(command)
        to = memory(response.address, response.length)
        answer = self.answers.get(command)
        room = sum(segment.length for segment in data)
        if answer is None:
            to[: RESPONSE.size] = RESPONSE.pack(len(ILLEGAL_REQUEST), room, 0, CHECK_CONDITION, 0)
            to[RESPONSE.size : RESPONSE.size + len(ILLEGAL_REQUEST)] = ILLEGAL_REQUEST
            return
        answer = answer[:room]
        for segment in data:
            part, answer = answer[: segment.length], answer[segment.length :]
            memory(segment.address, segment.length)[: len(part)] = part
            room -= len(part)
        to[: RESPONSE.size] = RESPONSE.pack(0, room, 0, 0, 0)


def memory(address: int, size: int) -> memoryview:
    return memoryview(ffi.buffer(ffi.cast("char *", address), size)).cast("B")


@contextmanager
def discovered(
    folder: Path, answers: Mapping[Command, bytes], **config: object
) -> Iterator[tuple[int, CData, ScsiBackend]]:
    """The code of device_start(), which looks for the disk; the device; and the back-end."""
    backend = ScsiBackend(answers=answers)
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
