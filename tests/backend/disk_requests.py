# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests of virtio-blk and virtio-scsi, built by hand for the front-end of the tests."""

import struct
from dataclasses import dataclass

from tests.backend.frontend import Buffer, Frontend, Memory

# ---- virtio-blk ----

BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_GET_ID, BLK_DISCARD, BLK_WRITE_ZEROES = 0, 1, 4, 8, 11, 13
BLK_OK, BLK_IOERR, BLK_UNSUPP = 0, 1, 2
# What a status byte holds until the device writes it.
UNTOUCHED = 0xA5


@dataclass(frozen=True)
class BlkDone:
    status: int
    used_bytes: int
    data: bytes


class BlkRequest:
    """The buffers of one request, and what came of it."""

    def __init__(
        self, memory: Memory, kind: int, sector: int, out: bytes = b"", in_bytes: int = 0
    ) -> None:
        self.memory = memory
        self.header = memory.place(struct.pack("<IIQ", kind, 0, sector))
        self.out = memory.place(out) if out else None
        self.data = memory.place(bytes(in_bytes), device_writes=True) if in_bytes else None
        self.status = memory.place(bytes([UNTOUCHED]), device_writes=True)

    def chain(self) -> list[Buffer]:
        pieces = (self.header, self.out, self.data, self.status)
        return [piece for piece in pieces if piece]

    def done(self, used_bytes: int) -> BlkDone:
        data = self.memory.read(self.data) if self.data else b""
        return BlkDone(self.memory.read(self.status)[0], used_bytes, data)


def blk(
    frontend: Frontend, kind: int, sector: int = 0, out: bytes = b"", in_bytes: int = 0
) -> BlkDone:
    """One request on the first queue, from beginning to end."""
    mark = frontend.memory.mark
    request = BlkRequest(frontend.memory, kind, sector, out, in_bytes)
    _, used_bytes = frontend.queues[0].run(request.chain())
    done = request.done(used_bytes)
    frontend.memory.rewind(mark)
    return done


# ---- virtio-scsi ----

RESPONSE_OK, RESPONSE_OVERRUN, RESPONSE_ABORTED, RESPONSE_BAD_TARGET, RESPONSE_RESET = 0, 1, 2, 3, 4
SENSE_BYTES = 96
GOOD, CHECK_CONDITION = 0, 2


@dataclass(frozen=True)
class ScsiDone:
    response: int
    status: int
    residual: int
    sense: bytes
    data: bytes
    used_bytes: int

    @property
    def key(self) -> int:
        return self.sense[2] & 0xF if self.sense else 0

    @property
    def asc(self) -> int:
        """ASC << 8 | ASCQ."""
        return self.sense[12] << 8 | self.sense[13] if self.sense else 0


def lun_address(target: int, lun: int) -> bytes:
    return struct.pack(">BBHI", 1, target, 0x4000 | lun, 0)


class ScsiRequest:
    def __init__(
        self,
        memory: Memory,
        cdb: bytes,
        *,
        out: bytes = b"",
        in_bytes: int = 0,
        target: int = 0,
        lun: int = 0,
        tag: int = 1,
    ) -> None:
        self.memory = memory
        header = lun_address(target, lun) + struct.pack("<QBBB", tag, 0, 0, 0)
        self.header = memory.place(header + cdb.ljust(32, b"\0"))
        self.out = memory.place(out) if out else None
        preset = bytes(11) + bytes([UNTOUCHED]) + bytes(SENSE_BYTES)
        self.response = memory.place(preset, device_writes=True)
        self.data = memory.place(bytes(in_bytes), device_writes=True) if in_bytes else None

    def chain(self) -> list[Buffer]:
        pieces = (self.header, self.out, self.response, self.data)
        return [piece for piece in pieces if piece]

    def done(self, used_bytes: int) -> ScsiDone:
        raw = self.memory.read(self.response)
        sense_bytes, residual, _, status, response = struct.unpack_from("<IIHBB", raw)
        data = self.memory.read(self.data) if self.data else b""
        return ScsiDone(response, status, residual, raw[12 : 12 + sense_bytes], data, used_bytes)


SCSI_CONTROL, SCSI_EVENT, SCSI_REQUEST = 0, 1, 2


def scsi(
    frontend: Frontend,
    cdb: bytes,
    *,
    out: bytes = b"",
    in_bytes: int = 0,
    target: int = 0,
    lun: int = 0,
) -> ScsiDone:
    mark = frontend.memory.mark
    request = ScsiRequest(frontend.memory, cdb, out=out, in_bytes=in_bytes, target=target, lun=lun)
    _, used_bytes = frontend.queues[SCSI_REQUEST].run(request.chain())
    done = request.done(used_bytes)
    frontend.memory.rewind(mark)
    return done


def manage_task(frontend: Frontend, subtype: int, target: int, lun: int, tag: int) -> int:
    """A task management request; returns the response byte."""
    memory = frontend.memory
    request = struct.pack("<II", 0, subtype) + lun_address(target, lun) + struct.pack("<Q", tag)
    response = memory.place(bytes([UNTOUCHED]), device_writes=True)
    frontend.queues[SCSI_CONTROL].run([memory.place(request), response])
    return memory.read(response)[0]
