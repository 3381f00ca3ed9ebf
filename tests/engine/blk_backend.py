# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-blk back-end's control side: what a test varies is a field, the rest is well-behaved.

It answers every request, records it, and fails the test when the front-end sends what was not
agreed on. It serves no ring: tests play that part themselves, in the same process.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.scripted_backend import (
    HEADER,
    STATE,
    U64,
    Connection,
    Message,
    ScriptedBackend,
    wait_for_hang_up,
)
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.vhost_numbers import Request

TIMEOUT_MS = 20_000
REGION = struct.Struct("=QQQQ")  # guest address, size, user address, offset in the file

# Virtio feature bits (virtio 1.2, 5.2.3 and 6).
SIZE_MAX, SEG_MAX, RO, BLK_SIZE, FLUSH = 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 9
TOPOLOGY, CONFIG_WCE, BLK_MQ, DISCARD, WRITE_ZEROES = 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14
INDIRECT, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1 = 1 << 28, 1 << 29, 1 << 30, 1 << 32
BLK_FEATURES = (
    SIZE_MAX
    | SEG_MAX
    | BLK_SIZE
    | FLUSH
    | TOPOLOGY
    | CONFIG_WCE
    | BLK_MQ
    | DISCARD
    | WRITE_ZEROES
    | INDIRECT
    | EVENT_IDX
    | PROTOCOL_FEATURES
    | VERSION_1
)
# Protocol feature bits.
MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT = 1 << 0, 1 << 3, 1 << 5, 1 << 9, 1 << 12
MEM_SLOTS, STATUS = 1 << 15, 1 << 16
PROTOCOL = MQ | REPLY_ACK | CONFIG | MEM_SLOTS | STATUS

DRIVER_OK, FEATURES_OK = 4, 8

# What may be sent only if this protocol feature was agreed on.
NEEDS = {
    Request.GET_QUEUE_NUM: MQ,
    Request.SET_BACKEND_REQ_FD: BACKEND_REQ,
    Request.GET_CONFIG: CONFIG,
    Request.GET_INFLIGHT_FD: INFLIGHT,
    Request.SET_INFLIGHT_FD: INFLIGHT,
    Request.GET_MAX_MEM_SLOTS: MEM_SLOTS,
    Request.ADD_MEM_REG: MEM_SLOTS,
    Request.REM_MEM_REG: MEM_SLOTS,
    Request.SET_STATUS: STATUS,
    Request.GET_STATUS: STATUS,
}


@dataclass(frozen=True)
class BlkConfig:
    """struct virtio_blk_config up to the limits of write-zeroes (5.2.4)."""

    capacity: int = 1 << 21  # sectors of 512 bytes: 1 GiB
    size_max: int = 0
    seg_max: int = 126
    blk_size: int = 512
    physical_block_exp: int = 0
    opt_io_size: int = 0
    wce: int = 1
    num_queues: int = 1
    max_discard_sectors: int = 1 << 16
    max_discard_seg: int = 1
    discard_sector_alignment: int = 1
    max_write_zeroes_sectors: int = 1 << 16
    max_write_zeroes_seg: int = 1

    def pack(self) -> bytes:
        return struct.pack(
            "<QII4xIBxHIBxHIIIII4x",
            *(self.capacity, self.size_max, self.seg_max, self.blk_size),
            *(self.physical_block_exp, 0, self.opt_io_size, self.wce, self.num_queues),
            *(self.max_discard_sectors, self.max_discard_seg, self.discard_sector_alignment),
            *(self.max_write_zeroes_sectors, self.max_write_zeroes_seg),
        )


@dataclass
class BlkBackend:
    features: int = BLK_FEATURES
    protocol: int = PROTOCOL
    config: BlkConfig = field(default_factory=BlkConfig)
    queue_num: int = 1
    max_mem_slots: int = 32
    status_lost: int = 0  # bits that SET_STATUS does not set
    refuse: Request | None = None  # acknowledged with 22
    hang_up_at: Request | None = None
    ignore_from: Request | None = None  # nothing is answered from this one on
    messages: list[Message] = field(default_factory=list)
    known: list[tuple[int, int]] = field(default_factory=list)  # regions: address and size
    agreed: int = 0  # protocol features
    status: int = 0

    @property
    def requests(self) -> list[Request]:
        return [Request(message.request) for message in self.messages]

    def all_of(self, request: Request) -> list[Message]:
        return [message for message in self.messages if message.request == request]

    def __call__(self, connection: Connection) -> None:
        while True:
            message = connection.receive()
            self.messages.append(message)
            request = Request(message.request)
            self._check(request)
            if request == self.hang_up_at:
                return
            if request == self.ignore_from:
                wait_for_hang_up(connection)
                return
            self._serve(connection, request, message)

    def _check(self, request: Request) -> None:
        needed = NEEDS.get(request, 0)
        assert self.agreed & needed == needed, f"{request.name} was not agreed on"
        if request in (Request.SET_VRING_ENABLE, Request.GET_PROTOCOL_FEATURES):
            assert self.features & PROTOCOL_FEATURES, f"{request.name} is a protocol extension"

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        if request == Request.SET_PROTOCOL_FEATURES:
            self.agreed = message.number
        if request == Request.SET_STATUS:
            self.status = message.number & ~self.status_lost
        if request != self.refuse:
            self._learn_memory(request, message)
        if answer := self._answer(request, message):
            connection.answer(message, answer)
        elif message.needs_reply:
            connection.answer(message, U64.pack(22 if request == self.refuse else 0))

    def _learn_memory(self, request: Request, message: Message) -> None:
        if request == Request.SET_MEM_TABLE:
            self.known = [entry[:2] for entry in REGION.iter_unpack(message.payload[8:])]
        elif request == Request.ADD_MEM_REG:
            self.known.append(REGION.unpack(message.payload[8:])[:2])
        elif request == Request.REM_MEM_REG:
            self.known.remove(REGION.unpack(message.payload[8:])[:2])

    def _answer(self, request: Request, message: Message) -> bytes:
        numbers = {
            Request.GET_FEATURES: self.features,
            Request.GET_PROTOCOL_FEATURES: self.protocol,
            Request.GET_QUEUE_NUM: self.queue_num,
            Request.GET_MAX_MEM_SLOTS: self.max_mem_slots,
            Request.GET_STATUS: self.status,
        }
        if request in numbers:
            return U64.pack(numbers[request])
        if request == Request.GET_CONFIG:
            head = message.payload[: HEADER.size]
            return head + self.config.pack()[: len(message.payload) - len(head)]
        if request == Request.GET_VRING_BASE:
            return STATE.pack(message.state[0], 0)
        return b""


def open_device(path: str, **config: object) -> tuple[int, CData]:
    """device_open() with these fields of struct device_config: the code and the device."""
    # struct device_config holds the path by pointer only.
    socket = ffi.new("char[]", path.encode())
    fields = {"socket": socket, "connect_timeout_ms": TIMEOUT_MS, "type": lib.DEVICE_BLK, **config}
    device = ffi.new("struct device **")
    code = int(lib.device_open(device, ffi.new("struct device_config *", fields)))
    return code, device[0]


@contextmanager
def opened(folder: Path, backend: BlkBackend, **config: object) -> Iterator[CData]:
    """A device that was opened on the back-end."""
    with ScriptedBackend(folder / "blk.sock", backend) as served:
        code, device = open_device(served.path, **config)
        try:
            assert code == 0, sentence()
            yield device
        finally:
            lib.device_close(device)


@contextmanager
def started(folder: Path, backend: BlkBackend, **config: object) -> Iterator[CData]:
    """A device whose rings run."""
    with opened(folder, backend, **config) as device:
        assert lib.device_start(device) == 0, sentence()
        yield device


def reaches(device: CData, address: CData, size: int) -> bool:
    """Whether the back-end knows this memory."""
    lent = ffi.new("uint32_t *")
    is_known = bool(lib.share_lend(device, address, size, lent))
    lib.device_return(device, lent[0])
    return is_known


def describe(device: CData) -> CData:
    info = ffi.new("struct device_info *")
    lib.device_describe(device, info)
    return info
