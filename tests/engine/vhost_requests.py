# SPDX-License-Identifier: GPL-2.0-or-later
"""Every request of the front-end: how a test makes it, and the bytes that it is to be.

A `Question` is always answered; an `Order` only where REPLY_ACK was agreed on. Layouts are stated
from QEMU's docs/interop/vhost-user.rst; data only, the tests are in test_vhost_user.py and
test_vhost_wire.py.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.engine.scripted_backend import STATE, U64, Script
from tests.engine.shared_object import CData, ffi, lib
from tests.vhost_numbers import Request

REPLY_ACK = 1 << 3  # protocol feature
# Ample: a test that is to time out sets its own.
TIMEOUT_MS = 20_000

# The fixture of that name: connects to a back-end that runs the script.
Connect = Callable[[Script], CData]


@contextmanager
def spare_fd() -> Iterator[int]:
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Question:
    """A request that is always answered."""

    request: Request
    ask: Callable[[CData], int]
    sent: bytes
    answer: bytes


@dataclass(frozen=True)
class Order:
    """A request that is answered only if REPLY_ACK was agreed on."""

    request: Request
    give: Callable[[CData], int]
    sent: bytes
    fds: int = 0


def ask_number(function: str) -> Callable[[CData], int]:
    return lambda vu: int(getattr(lib, function)(vu, ffi.new("uint64_t *")))


def get_status(vu: CData) -> int:
    return int(lib.vhost_user_get_status(vu, ffi.new("uint8_t *")))


def get_config(vu: CData) -> int:
    return int(lib.vhost_user_get_config(vu, ffi.new("char[8]"), 8))


def get_vring_base(vu: CData) -> int:
    return int(lib.vhost_user_get_vring_base(vu, 3, ffi.new("uint32_t *")))


def with_fd(function: str) -> Callable[[CData], int]:
    def give(vu: CData) -> int:
        with spare_fd() as fd:
            return int(getattr(lib, function)(vu, 2, fd))

    return give


def set_backend_req_fd(vu: CData) -> int:
    with spare_fd() as fd:
        return int(lib.vhost_user_set_backend_req_fd(vu, fd))


def set_vring_addr(vu: CData) -> int:
    addr = ffi.new(
        "struct vhost_user_vring_addr *",
        {"index": 1, "descriptor": 0x1000, "used": 0x3000, "available": 0x2000},
    )
    return int(lib.vhost_user_set_vring_addr(vu, addr))


REGION = {"guest_address": 0x1000, "size": 0x2000, "user_address": 0x3000, "mmap_offset": 0x4000}
REGION_BYTES = struct.pack("=QQQQ", 0x1000, 0x2000, 0x3000, 0x4000)


def add_mem_reg(vu: CData) -> int:
    with spare_fd() as fd:
        return int(
            lib.vhost_user_add_mem_reg(vu, ffi.new("struct vhost_user_region *", REGION), fd)
        )


def set_mem_table(vu: CData) -> int:
    table = ffi.new("struct vhost_user_mem_table *")
    table.num_regions = 2
    table.regions[0] = table.regions[1] = REGION
    with spare_fd() as one, spare_fd() as two:
        return int(lib.vhost_user_set_mem_table(vu, table, [one, two]))


QUESTIONS = [
    Question(Request.GET_FEATURES, ask_number("vhost_user_get_features"), b"", U64.pack(5)),
    Question(
        Request.GET_PROTOCOL_FEATURES,
        ask_number("vhost_user_get_protocol_features"),
        b"",
        U64.pack(5),
    ),
    Question(Request.GET_QUEUE_NUM, ask_number("vhost_user_get_queue_num"), b"", U64.pack(5)),
    Question(
        Request.GET_MAX_MEM_SLOTS, ask_number("vhost_user_get_max_mem_slots"), b"", U64.pack(5)
    ),
    Question(Request.GET_STATUS, get_status, b"", U64.pack(5)),
    Question(
        Request.GET_CONFIG,
        get_config,
        struct.pack("=III8x", 0, 8, 0),
        struct.pack("=III8s", 0, 8, 0, b"12345678"),
    ),
    Question(Request.GET_VRING_BASE, get_vring_base, STATE.pack(3, 0), STATE.pack(3, 77)),
]
ORDERS = [
    Order(
        Request.SET_FEATURES,
        lambda vu: int(lib.vhost_user_set_features(vu, 1 << 63 | 7)),
        U64.pack(1 << 63 | 7),
    ),
    Order(Request.SET_OWNER, lambda vu: int(lib.vhost_user_set_owner(vu)), b""),
    Order(Request.SET_STATUS, lambda vu: int(lib.vhost_user_set_status(vu, 0x8F)), U64.pack(0x8F)),
    Order(
        Request.SET_VRING_NUM,
        lambda vu: int(lib.vhost_user_set_vring_num(vu, 2, 256)),
        STATE.pack(2, 256),
    ),
    Order(
        Request.SET_VRING_BASE,
        lambda vu: int(lib.vhost_user_set_vring_base(vu, 2, 9)),
        STATE.pack(2, 9),
    ),
    Order(
        Request.SET_VRING_ENABLE,
        lambda vu: int(lib.vhost_user_set_vring_enable(vu, 2, True)),
        STATE.pack(2, 1),
    ),
    Order(
        Request.SET_VRING_ADDR,
        set_vring_addr,
        struct.pack("=IIQQQQ", 1, 0, 0x1000, 0x3000, 0x2000, 0),
    ),
    Order(Request.SET_BACKEND_REQ_FD, set_backend_req_fd, b"", 1),
    Order(Request.SET_VRING_CALL, with_fd("vhost_user_set_vring_call"), U64.pack(2), 1),
    Order(Request.SET_VRING_KICK, with_fd("vhost_user_set_vring_kick"), U64.pack(2), 1),
    Order(Request.ADD_MEM_REG, add_mem_reg, U64.pack(0) + REGION_BYTES, 1),
    Order(Request.SET_MEM_TABLE, set_mem_table, STATE.pack(2, 0) + 2 * REGION_BYTES, 2),
]
every_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.request.name)
every_order = pytest.mark.parametrize("order", ORDERS, ids=lambda o: o.request.name)
