# SPDX-License-Identifier: GPL-2.0-or-later
"""A back-end that is right in all but one thing, and what a program sees of it.

A `Lie` is a row of the table: what a back-end says or writes, and what follows. `Disk` is the
back-end of one row, and `live()` is the life of a device on it: a program attaches the disk, reads,
writes, flushes, discards, wants more memory and detaches it. All runs in this process, so the
back-end reaches the rings at the addresses that the front-end names.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.backend.file_kinds import send_lingering
from tests.engine.blk_backend import BLK_FEATURES, PROTOCOL
from tests.engine.ring_device import DESC_WRITE, RingDevice
from tests.engine.scripted_backend import (
    HEADER,
    REPLY,
    U64,
    VERSION,
    Connection,
    Message,
    ScriptedBackend,
)
from tests.engine.scsi_backend import (
    BLOCK_LIMITS,
    INQUIRY,
    PROVISIONING,
    READ_10,
    READ_CAPACITY_16,
    Command,
    Reply,
    ScsiBackend,
    block_limits,
    capacity_16,
    inquiry,
    memory,
)
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.vhost_numbers import Request

# Long enough for a busy machine, where something must come; where nothing comes it is waited for.
PATIENT_MS, IMPATIENT_MS = 20_000, 400
# What is read: no whole blocks, so that the engine copies it. The guard is on both of its sides.
OFFSET, LENGTH, GUARD = 700, 5000, 4096
# This does not fit into the first region, so the back-end is told of another one.
MORE_MEMORY = 6 << 20
GUARD_BYTE, DATA_BYTE = 0xA5, 0x3C

SCSI_DISK: Mapping[Command, bytes | Reply] = {
    (INQUIRY, 0): inquiry(),
    (READ_CAPACITY_16, 0): capacity_16(1023, 512, thin=True),
    (INQUIRY, BLOCK_LIMITS): block_limits(),
    (INQUIRY, PROVISIONING): bytes([0, PROVISIONING, 0, 4, 0, 0x80, 0, 0]),
}


@dataclass(frozen=True)
class Reach:
    """What a lie about a request can get hold of."""

    disk: "Disk"
    ring: RingDevice
    head: int

    def put(self, head: int | None = None, length: int = 0) -> None:
        self.ring.complete(self.head if head is None else head, length)

    def status(self, value: int) -> None:
        """The byte that ends a request of virtio-blk."""
        last = self.ring.chain(self.head)[-1]
        memory(last.address, 1)[0] = value


# It answers instead of the disk. The bytes are the right answer, without the header.
ReplyLie = Callable[["Disk", Connection, Message, bytes], None]
# It returns whether the disk is to complete the request in addition.
RingLie = Callable[[Reach], bool | None]


@dataclass(frozen=True)
class Lie:
    about: str  # the message or the shared field
    says: str  # what is wrong with it
    then: str = ""  # of the sentence that the program reads; nothing: everything works
    at: str = "attach"  # the call of the program that fails
    reply: tuple[Request, ReplyLie] | None = None
    nth: int = 1  # of these messages
    ring: RingLie | None = None  # at the first read
    told: Mapping[str, Any] = field(default_factory=dict)  # attributes of the back-end
    scsi: bool = False
    is_awaited: bool = False  # only a time-out ends it

    @property
    def has_record(self) -> bool:
        return self.about.endswith("_INFLIGHT_FD")

    @property
    def name(self) -> str:
        return f"{self.about}: {self.says}"


class Disk(ScsiBackend):
    """Serves virtio-scsi as ScsiBackend does, and virtio-blk on queue 0."""

    def __init__(self, lie: Lie) -> None:
        super().__init__(answers=SCSI_DISK)
        if not lie.scsi:
            self.features, self.protocol, self.queue_num = BLK_FEATURES, PROTOCOL, 1
            self.ring = 0
        for name, value in lie.told.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self.lie = lie
        self.has_lied = False
        self.connection: Connection | None = None

    def __call__(self, connection: Connection) -> None:
        self.connection = connection
        super().__call__(connection)

    # ---- messages ----

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        wanted = self.lie.reply and self.lie.reply[0]
        if request != wanted or self.has_lied or len(self.all_of(request)) < self.lie.nth:
            super()._serve(connection, request, message)
            return
        self._take_note(request, message)
        self.has_lied = True
        self.stop()
        if request == Request.SET_PROTOCOL_FEATURES:
            self.agreed = message.number
        self._learn_memory(request, message)
        answer = self._answer(request, message) or U64.pack(0)
        assert self.lie.reply
        self.lie.reply[1](self, connection, message, answer)

    def _take_note(self, request: Request, message: Message) -> None:
        # A program that has seen the lie may have taken the memory of its rings back.
        if request != Request.SET_VRING_KICK or not (self.has_lied and self.lie.then):
            super()._take_note(request, message)

    # ---- for lies about requests, in the thread that serves the ring ----

    def end(self) -> None:
        """Serves no further request: the ring's memory holds nonsense, or is gone soon."""
        self._is_over.set()

    @property
    def is_over(self) -> bool:
        return self._is_over.is_set()

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        assert self.connection
        self.connection.send(data, fds)

    def send_lingering(self, data: bytes) -> None:
        """With a socket whose last close waits."""
        assert self.connection
        send_lingering(self.connection.stream, data)

    def hang_up(self) -> None:
        self.end()
        assert self.connection
        self.connection.stream.shutdown(socket.SHUT_RDWR)

    @property
    def addresses(self) -> tuple[int, ...]:
        """Of the descriptors, the used ring and the avail ring."""
        return self._addresses

    @property
    def kick_fd(self) -> int:
        return self.all_of(Request.SET_VRING_KICK)[-1].fds[0]

    @property
    def call_fd(self) -> int:
        return self._call_fd

    # ---- requests ----

    def _complete(self, device: RingDevice, head: int) -> None:
        if self.lie.ring and not self.has_lied and self._is_read(device, head):
            self.has_lied = True
            if not self.lie.ring(Reach(self, device, head)):
                return
        super()._complete(device, head)

    def _is_read(self, device: RingDevice, head: int) -> bool:
        first = device.chain(head)[0]
        bytes_ = memory(first.address, first.length)
        if self.lie.scsi:
            return bool(bytes_[19] == READ_10)
        return int.from_bytes(bytes_[:4], "little") == 0

    def _answer_command(self, device: RingDevice, head: int) -> None:
        if self.lie.scsi:
            super()._answer_command(device, head)
            return
        _, *data, status = device.chain(head)
        for part in data:
            if part.flags & DESC_WRITE:
                memory(part.address, part.length)[:] = bytes([DATA_BYTE]) * part.length
        memory(status.address, 1)[0] = 0


# ---- ways to answer ------------------------------------------------------------------------------


def framed(
    asked: Message, payload: bytes, *, flags: int = VERSION | REPLY, size: int | None = None
) -> bytes:
    return HEADER.pack(asked.request, flags, len(payload) if size is None else size) + payload


# ---- the life of a device ------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    failures: Mapping[str, str]  # the sentence of each call that failed
    data: bytes  # what was read, with the guards

    @property
    def guards(self) -> set[int]:
        return set(self.data[:GUARD] + self.data[-GUARD:])

    @property
    def read(self) -> set[int]:
        return set(self.data[GUARD:-GUARD])


def live(folder: Path, lie: Lie) -> Outcome:
    disk = Disk(lie)
    buffer = ffi.new("char[]", LENGTH + 2 * GUARD)
    ffi.memmove(buffer, bytes([GUARD_BYTE]) * len(buffer), len(buffer))
    failures: dict[str, str] = {}
    with ScriptedBackend(folder / "disk.sock", disk) as served:
        device = ffi.new("struct device **")
        try:
            _note(failures, "attach", _attach(device, served.path, lie))
            if not failures:
                _use(device[0], buffer, failures)
        finally:
            disk.stop()  # where the connection has ended, nothing tells it to
            lib.device_detach(device[0])
    return Outcome(failures, bytes(ffi.buffer(buffer)))


def _attach(device: CData, path: str, lie: Lie) -> int:
    timeout_ms = IMPATIENT_MS if lie.is_awaited else PATIENT_MS
    connect_timeout_ms = timeout_ms if lie.reply else PATIENT_MS
    socket_path = ffi.new("char[]", path.encode())
    config = {
        "socket": socket_path,
        "type": lib.DEVICE_SCSI if lie.scsi else lib.DEVICE_BLK,
        "connect_timeout_ms": connect_timeout_ms,
        "scsi_address_set": lie.scsi,
        "depth": 8,
        # Only a device that reconnects asks for the record of requests in flight.
        "reconnect_timeout_ms": timeout_ms if lie.has_record else 0,
    }
    options = {"wait": lib.WAIT_EVENT, "request_timeout_ms": timeout_ms}
    return int(
        lib.device_attach(
            device,
            ffi.new("struct device_config *", config),
            ffi.new("struct attach_options *", options),
        )
    )


def _use(device: CData, buffer: CData, failures: dict[str, str]) -> None:
    block = ffi.new("char[]", 4096)
    _note(failures, "read", lib.device_read(device, buffer + GUARD, LENGTH, OFFSET))
    _note(failures, "write", lib.device_write(device, block, 4096, 8192))
    _note(failures, "flush", lib.device_flush(device))
    _note(failures, "discard", lib.device_discard(device, 0, 4096))
    _note(failures, "alloc", 0 if lib.device_alloc(device, MORE_MEMORY, 0) else -1)


def _note(failures: dict[str, str], call: str, code: int) -> None:
    if code < 0:
        failures[call] = sentence()
