# SPDX-License-Identifier: GPL-2.0-or-later
"""A small vhost-user front-end in Python, only for the tests of the built-in back-end.

It is written from the specifications with struct and mmap, and it shares no code with the engine.
It checks little, so tests can break the rules: it sends messages and descriptors as the test gives
them. One thread uses it.
"""

import array
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

# Requests and protocol features: vhost-user.
GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = 12, 13, 14
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18
SET_BACKEND_REQ_FD, GET_CONFIG, SET_CONFIG = 21, 24, 25
GET_INFLIGHT_FD, SET_INFLIGHT_FD, RESET_DEVICE = 31, 32, 34
GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG, SET_STATUS, GET_STATUS = 36, 37, 38, 39, 40
F_MQ, F_REPLY_ACK, F_BACKEND_REQ, F_CONFIG, F_INFLIGHT = 0, 3, 5, 9, 12
F_RESET_DEVICE, F_MEM_SLOTS, F_STATUS = 13, 15, 16

# Virtio feature bits.
INDIRECT, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1 = 28, 29, 30, 32

GUEST_BASE = 0x1000_0000
USER_BASE = 0x7F00_0000_0000
NEED_REPLY = 8
TIMEOUT_S = 20.0

DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4


class BackendGoneError(Exception):
    """The back-end closed the connection."""


@dataclass(frozen=True)
class Buffer:
    """A piece of memory for a descriptor: where in the shared memory, and who writes it."""

    offset: int
    size: int
    device_writes: bool = False


class Memory:
    """One memfd, shared whole as one region, from which buffers are taken and never returned."""

    def __init__(self, size: int = 1 << 22) -> None:
        self.size = size
        self.fd = os.memfd_create("frontend")
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        # Indices are read and written whole: struct would go byte by byte.
        self.words = memoryview(self.map).cast("H")
        self._next = 0

    def take(self, size: int, align: int = 64) -> int:
        offset = -(-self._next // align) * align
        self._next = offset + size
        assert self._next <= self.size, "the test wants more memory"
        return offset

    def rewind(self, offset: int) -> None:
        self._next = offset

    @property
    def mark(self) -> int:
        return self._next

    def place(self, data: bytes, *, device_writes: bool = False) -> Buffer:
        offset = self.take(len(data), 16)
        self.map[offset : offset + len(data)] = data
        return Buffer(offset, len(data), device_writes)

    def read(self, buffer: Buffer) -> bytes:
        return self.map[buffer.offset : buffer.offset + buffer.size]

    def get(self, form: str, offset: int) -> int:
        value: int = struct.unpack_from(form, self.map, offset)[0]
        return value

    def put(self, form: str, offset: int, *values: int) -> None:
        struct.pack_into(form, self.map, offset, *values)

    def region(self) -> bytes:
        return struct.pack("<QQQQ", GUEST_BASE, self.size, USER_BASE, 0)

    def close(self) -> None:
        self.words.release()
        self.map.close()
        os.close(self.fd)


def connect(path: str) -> socket.socket:
    """Waits, as a blocking connect() does, while others wait to be accepted."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            connected.connect(path)
        except BlockingIOError:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        except OSError:
            connected.close()
            raise
        else:
            return connected


class Connection:
    """Messages on the socket."""

    def __init__(self, path: str) -> None:
        self.socket = connect(path)
        self.reply_fds: list[int] = []

    def send(
        self, request: int, payload: bytes = b"", fds: Sequence[int] = (), flags: int = 1
    ) -> None:
        message = struct.pack("<III", request, flags, len(payload)) + payload
        self.send_raw(message, fds)

    def send_raw(self, message: bytes, fds: Sequence[int] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([message], rights)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise BackendGoneError from error

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, size - len(received), 8)
            except ConnectionResetError as error:
                raise BackendGoneError from error
            if not data:
                raise BackendGoneError
            received += data
            self.reply_fds += fds
        return received

    def receive(self) -> tuple[int, int, bytes]:
        """Request, flags and payload of what comes next."""
        request, flags, size = struct.unpack("<III", self._receive(12))
        return request, flags, self._receive(size)

    def ask(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        """Sends a request that has a reply of its own, and returns its payload."""
        self.send(request, payload, fds)
        answered, flags, reply = self.receive()
        assert (answered, flags) == (request, 5)
        return reply

    def ask_u64(self, request: int) -> int:
        (value,) = struct.unpack("<Q", self.ask(request))
        return int(value)

    def tell(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> int:
        """Sends a request with NEED_REPLY; returns the acknowledgement, 0 for success."""
        self.send(request, payload, fds, 1 | NEED_REPLY)
        answered, flags, reply = self.receive()
        assert (answered, flags) == (request, 5)
        (value,) = struct.unpack("<Q", reply)
        return int(value)

    def is_closed_by_backend(self) -> bool:
        """Waits until the back-end hangs up."""
        try:
            self.receive()
        except BackendGoneError:
            return True
        return False

    def close(self) -> None:
        for fd in self.reply_fds:
            os.close(fd)
        self.socket.close()


class Queue:
    """A split ring, from the driver's side: virtio 1.2, 2.7."""

    def __init__(
        self, memory: Memory, size: int, *, event_idx: bool = False, indirect: bool = False
    ) -> None:
        self.memory = memory
        self.size = size
        self.event_idx = event_idx
        self.indirect = indirect
        self.descriptors = memory.take(16 * size, 4096)
        self.avail = memory.take(6 + 2 * size, 2)
        self.used = memory.take(6 + 8 * size, 4096)
        self.kick_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.call_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.err_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.avail_index = 0
        self.seen_index = 0
        self._next_descriptor = 0

    def addresses(self) -> tuple[int, int, int]:
        return (USER_BASE + self.descriptors, USER_BASE + self.used, USER_BASE + self.avail)

    def write_descriptor(
        self, table: int, index: int, address: int, size: int, flags: int, following: int
    ) -> None:
        self.memory.put("<QIHH", table + 16 * index, address, size, flags, following)

    def _write_chain(self, table: int, first: int, count: int, chain: Sequence[Buffer]) -> None:
        for position, buffer in enumerate(chain):
            is_last = position == len(chain) - 1
            flags = (DESC_WRITE if buffer.device_writes else 0) | (0 if is_last else DESC_NEXT)
            index = (first + position) % count
            following = 0 if is_last else (first + position + 1) % count
            address = GUEST_BASE + buffer.offset
            self.write_descriptor(table, index, address, buffer.size, flags, following)

    def add(self, chain: Sequence[Buffer]) -> int:
        """Describes a chain; returns its head. The ring's descriptors are used in turn."""
        head = self._next_descriptor
        if self.indirect:
            table = self.memory.take(16 * len(chain), 16)
            self._write_chain(table, 0, len(chain), chain)
            self.write_descriptor(
                self.descriptors, head, GUEST_BASE + table, 16 * len(chain), DESC_INDIRECT, 0
            )
            self._next_descriptor = (head + 1) % self.size
        else:
            self._write_chain(self.descriptors, head, self.size, chain)
            self._next_descriptor = (head + len(chain)) % self.size
        return head

    def offer(self, head: int) -> None:
        """Puts a head in the avail ring; publish() shows it to the device."""
        self.memory.put("<H", self.avail + 4 + 2 * (self.avail_index % self.size), head)
        self.avail_index = (self.avail_index + 1) & 0xFFFF

    def publish(self) -> None:
        if self.event_idx:  # a call at the next completion
            self.memory.words[self.avail // 2 + 2 + self.size] = self.seen_index
        self.memory.words[self.avail // 2 + 1] = self.avail_index

    def wants_kick(self) -> bool:
        if self.event_idx:
            return True
        return not self.memory.words[self.used // 2] & 1

    def kick(self) -> None:
        os.eventfd_write(self.kick_fd, 1)

    def used_index(self) -> int:
        return self.memory.words[self.used // 2 + 1]

    def used_entry(self, index: int) -> tuple[int, int]:
        """Id and length of an entry of the used ring."""
        offset = self.used + 4 + 8 * (index % self.size)
        return self.memory.get("<I", offset), self.memory.get("<I", offset + 4)

    def wait(self, count: int = 1, timeout_s: float = TIMEOUT_S) -> list[tuple[int, int]]:
        """The next `count` used entries; fewer when the time is over."""
        deadline = time.monotonic() + timeout_s
        found: list[tuple[int, int]] = []
        while len(found) < count:
            if self.seen_index != self.used_index():
                found.append(self.used_entry(self.seen_index))
                self.seen_index = (self.seen_index + 1) & 0xFFFF
            elif time.monotonic() > deadline:
                break
            else:
                time.sleep(0.0002)
        return found

    def called(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Waits for a call and takes it."""
        if not select.select([self.call_fd], [], [], timeout_s)[0]:
            return False
        os.eventfd_read(self.call_fd)
        return True

    def run(self, chain: Sequence[Buffer]) -> tuple[int, int]:
        """Offers one chain and waits for its completion: id and used length."""
        self.offer(self.add(chain))
        self.publish()
        if self.wants_kick():
            self.kick()
        entries = self.wait()
        assert entries, "the back-end did not answer"
        return entries[0]

    def close(self) -> None:
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)


class Frontend:
    """A connection with its memory and rings, set up as the specification wants it."""

    def __init__(
        self,
        path: str,
        *,
        queues: int = 1,
        size: int = 64,
        event_idx: bool = False,
        indirect: bool = False,
        enable: bool = True,
        setup: bool = True,
        inflight: tuple[int, int, int] | None = None,  # fd, bytes, queues
        base: int = 0,
        memory: Memory | None = None,
        rings: Sequence[Queue] | None = None,
    ) -> None:
        self.connection = Connection(path)
        self.memory = memory or Memory()
        self.queues = list(
            rings
            or (
                Queue(self.memory, size, event_idx=event_idx, indirect=indirect)
                for _ in range(queues)
            )
        )
        self.offered = 0
        self.protocol = 0
        if not setup:
            return
        self.negotiate(event_idx=event_idx, indirect=indirect)
        self.share_memory()
        if inflight:
            fd, bytes_, count = inflight
            self.tell(SET_INFLIGHT_FD, struct.pack("<QQHH", bytes_, 0, count, size), [fd])
        for index in range(len(self.queues)):
            self.start_queue(index, base=base, enable=enable)

    def tell(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> int:
        """As Connection.tell(), where acknowledgements were negotiated; else only sends."""
        if self.protocol & (1 << F_REPLY_ACK):
            return self.connection.tell(request, payload, fds)
        self.connection.send(request, payload, fds)
        return 0

    def negotiate(self, *, event_idx: bool = False, indirect: bool = False) -> None:
        self.connection.send(SET_OWNER)
        self.offered = self.connection.ask_u64(GET_FEATURES)
        without = (0 if event_idx else 1 << EVENT_IDX) | (0 if indirect else 1 << INDIRECT)
        without |= 1 << 26  # logging, for migration
        features = self.offered & ~without
        if self.offered & 1 << PROTOCOL_FEATURES:
            offered = self.connection.ask_u64(GET_PROTOCOL_FEATURES)
            self.connection.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", offered))
            self.protocol = offered
        self.tell(SET_FEATURES, struct.pack("<Q", features))

    def share_memory(self) -> int:
        payload = struct.pack("<II", 1, 0) + self.memory.region()
        return self.tell(SET_MEM_TABLE, payload, [self.memory.fd])

    def start_queue(self, index: int, *, base: int = 0, enable: bool = True) -> None:
        queue = self.queues[index]
        descriptors, used, avail = queue.addresses()
        self.tell(SET_VRING_NUM, struct.pack("<II", index, queue.size))
        self.tell(SET_VRING_BASE, struct.pack("<II", index, base))
        address = struct.pack("<IIQQQQ", index, 0, descriptors, used, avail, 0)
        self.tell(SET_VRING_ADDR, address)
        self.tell(SET_VRING_CALL, struct.pack("<Q", index), [queue.call_fd])
        self.tell(SET_VRING_ERR, struct.pack("<Q", index), [queue.err_fd])
        self.tell(SET_VRING_KICK, struct.pack("<Q", index), [queue.kick_fd])
        if enable and self.offered & 1 << PROTOCOL_FEATURES:
            self.tell(SET_VRING_ENABLE, struct.pack("<II", index, 1))

    def stop_queue(self, index: int) -> int:
        """GET_VRING_BASE; returns the base."""
        reply = self.connection.ask(GET_VRING_BASE, struct.pack("<II", index, 0))
        answered, base = struct.unpack("<II", reply)
        assert answered == index
        return int(base)

    def config(self, offset: int = 0, size: int = 60) -> bytes:
        payload = struct.pack("<III", offset, size, 0) + bytes(size)
        reply = self.connection.ask(GET_CONFIG, payload)
        assert struct.unpack_from("<III", reply) == (offset, size, 0)
        return reply[12:]

    def close(self) -> None:
        self.connection.close()
        for queue in self.queues:
            queue.close()
        self.memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
