# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about what a back-end says of itself: features, numbers, configuration, status."""

import struct
from dataclasses import replace
from typing import Any

from tests.engine.blk_backend import (
    BLK_FEATURES,
    BLK_MQ,
    CONFIG,
    FEATURES_OK,
    FLUSH,
    PROTOCOL,
    RO,
    VERSION_1,
    BlkConfig,
)
from tests.engine.lies.disk import Disk, Lie, ReplyLie, framed
from tests.engine.scripted_backend import STATE, U64, Connection, Message
from tests.vhost_numbers import Request

ALL = (1 << 64) - 1
TOO_LARGE = "a disk has at most 9223372036854775807 bytes"
# A read beyond the end of a disk reads nothing, and a write fails.
EMPTY = "begins at or beyond the end of the device (0 bytes)"
NO_ROOM = "leave no room for one block"


def told(about: str, says: str, then: str = "", at: str = "attach", **attributes: Any) -> Lie:  # noqa: ANN401
    return Lie(about, says, then, at, told=attributes)


def config(field: str, value: int, then: str = "", at: str = "attach", **others: int) -> Lie:
    """The configuration space of virtio-blk (virtio 1.2, 5.2.4) with this value."""
    says = ", ".join(f"{name} {number}" for name, number in {field: value, **others}.items())
    return told(
        "configuration", says, then, at, config=replace(BlkConfig(), **{field: value}, **others)
    )


def odd(size: int) -> str:
    return f"blocks have {size} bytes, which is not a power of two from 512"


class Raw(BlkConfig):
    """All bytes the same."""

    byte = 0

    def pack(self) -> bytes:
        return bytes([self.byte]) * 60


class Ones(Raw):
    byte = 0xFF


def answers(payload: bytes) -> ReplyLie:
    def answer(_: Disk, connection: Connection, asked: Message, __: bytes) -> None:
        connection.send(framed(asked, payload))

    return answer


def space(offset: int, size: int, length: int = 60) -> bytes:
    return struct.pack("=III", offset, size, 0) + bytes(length)


def answered(request: Request, says: str, payload: bytes, then: str = "") -> Lie:
    return Lie(request.name, says, then, reply=(request, answers(payload)))


FEATURE_LIES = [
    told("GET_FEATURES", "all bits but RO", features=ALL & ~RO & ~1),
    told(
        "GET_FEATURES", "all bits but INOUT", "device that is read-only", "write", features=ALL & ~1
    ),
    told("GET_FEATURES", "no bit at all", EMPTY, "write", features=0),
    told("GET_FEATURES", "only VERSION_1", EMPTY, "write", features=VERSION_1),
    told("GET_FEATURES", "no VERSION_1", features=BLK_FEATURES & ~VERSION_1),
    told("GET_FEATURES", "no FLUSH", features=BLK_FEATURES & ~FLUSH),
    told("GET_FEATURES", "virtio-scsi's", "device=blk does not fit", features=1 | VERSION_1),
    told("GET_FEATURES", "those of both types", features=BLK_FEATURES | 1),
    told("GET_FEATURES", "several queues, but no MQ", features=BLK_FEATURES & ~BLK_MQ),
    told("GET_PROTOCOL_FEATURES", "all 64 bits", protocol=ALL),
    told("GET_PROTOCOL_FEATURES", "no bit at all", EMPTY, "write", protocol=0),
    told("GET_PROTOCOL_FEATURES", "unknown bits", EMPTY, "write", protocol=ALL << 40 & ALL),
    told("GET_STATUS", "FEATURES_OK is lost", "does not accept", status_lost=FEATURES_OK),
]
NUMBER_LIES = [
    told("GET_QUEUE_NUM", "0", "0 queues, none of them for requests", queue_num=0),
    told("GET_QUEUE_NUM", "2^16", queue_num=1 << 16),
    told("GET_QUEUE_NUM", "2^32", queue_num=1 << 32),
    told("GET_QUEUE_NUM", "2^63", queue_num=1 << 63),
    told("GET_QUEUE_NUM", "2^64 - 1", queue_num=ALL),
    told("GET_MAX_MEM_SLOTS", "0", "takes no memory region", max_mem_slots=0),
    told("GET_MAX_MEM_SLOTS", "1", "all 1 regions that", "alloc", max_mem_slots=1),
    told("GET_MAX_MEM_SLOTS", "2^32", max_mem_slots=1 << 32),
    told("GET_MAX_MEM_SLOTS", "2^64 - 1", max_mem_slots=ALL),
    answered(Request.GET_STATUS, "0", U64.pack(0), "does not accept features"),
    answered(Request.GET_STATUS, "FAILED", U64.pack(0x8B), "the device has failed (status 0x8b)"),
    answered(Request.GET_STATUS, "NEEDS_RESET", U64.pack(0x4B), "has failed (status 0x4b)"),
    answered(Request.GET_STATUS, "2^8 more", U64.pack(0x10B), "with 0x10b, which is no status"),
    answered(Request.GET_STATUS, "2^64 - 1", U64.pack(ALL), "which is no status of 8 bits"),
    answered(Request.GET_VRING_BASE, "the base of queue 1", STATE.pack(1, 0)),
    answered(Request.GET_VRING_BASE, "the base of queue 2^32 - 1", STATE.pack(ALL >> 32, 0)),
    answered(Request.GET_VRING_BASE, "a base of 2^32 - 1", STATE.pack(0, ALL >> 32)),
    answered(Request.GET_CONFIG, "another offset", space(4, 60), "at offset 4 instead of 60 at 0"),
    answered(Request.GET_CONFIG, "no bytes", space(0, 0), "GET_CONFIG with 0 bytes at offset 0"),
    answered(Request.GET_CONFIG, "a byte less", space(0, 59), "with 59 bytes at offset 0"),
    answered(Request.GET_CONFIG, "a byte more", space(0, 61), "with 61 bytes at offset 0"),
    answered(Request.GET_CONFIG, "4 GiB", space(0, ALL >> 32), "with 4294967295 bytes at offset"),
    answered(Request.GET_CONFIG, "a space of 59 bytes", space(0, 60, 59), "71 bytes instead of"),
]
CONFIG_LIES = [
    *(config("blk_size", size, odd(size)) for size in (0, 1, 3, 511, 513, 520, 3 * 512, 1 << 21)),
    *(config("blk_size", size, odd(size)) for size in (1 << 31, ALL >> 32)),
    config("blk_size", 0, "there is no disk behind it any more", capacity=0),
    config("blk_size", 4096, "is not a multiple of its 4096 byte blocks", capacity=7),
    config("capacity", 0, EMPTY, "write"),
    config("capacity", 1, "beyond the end of the device (512 bytes)", "write"),
    config("capacity", 1 << 54, TOO_LARGE),
    config("capacity", 1 << 55, TOO_LARGE),
    config("capacity", 1 << 63, TOO_LARGE),
    config("capacity", ALL, TOO_LARGE),
    config("capacity", (1 << 54) - 1),
    config("num_queues", 0),
    config("num_queues", 65535),
    config("seg_max", 0),
    config("seg_max", 1),
    config("seg_max", ALL >> 32),
    config("size_max", 511, NO_ROOM, seg_max=1),
    config("size_max", 1, NO_ROOM),
    config("size_max", 513),
    config("size_max", ALL >> 32),
    config("size_max", 0, seg_max=0),
    config("physical_block_exp", 255),
    config("physical_block_exp", 31),
    config("opt_io_size", ALL >> 32),
    config("wce", 255),
    config("max_discard_sectors", 0, "does not offer it", "discard"),
    config("max_discard_sectors", 1),
    config("max_discard_sectors", ALL >> 32),
    config("max_discard_sectors", 7, "does not offer it", "discard", blk_size=4096),
    config("max_discard_seg", 0),
    config("max_discard_seg", ALL >> 32),
    config("discard_sector_alignment", 0),
    config("discard_sector_alignment", 3),
    config("discard_sector_alignment", ALL >> 32, "does not offer it", "discard"),
    config("max_write_zeroes_sectors", 0),
    config("max_write_zeroes_sectors", ALL >> 32, max_write_zeroes_seg=0),
    told("configuration", "all zeroes", "no disk behind it any more", config=Raw()),
    told("configuration", "all ones", "a disk has at most", config=Ones()),
    told("configuration", "not offered", EMPTY, "write", protocol=PROTOCOL & ~CONFIG),
]
LIES = [*FEATURE_LIES, *NUMBER_LIES, *CONFIG_LIES]
