# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of messages in which memory and rings are handed over: engine/device/start.c."""

import errno
import os
import resource
import select
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engine.blk_backend import (
    BLK_FEATURES,
    DRIVER_OK,
    FEATURES_OK,
    MEM_SLOTS,
    PROTOCOL,
    PROTOCOL_FEATURES,
    REPLY_ACK,
    STATUS,
    BlkBackend,
    BlkConfig,
    describe,
    opened,
    started,
)
from tests.engine.scripted_backend import STATE, Connection, Message
from tests.engine.shared_object import ffi, lib, sentence
from tests.vhost_numbers import Request

ADDR = struct.Struct("=IIQQQQ")  # queue, flags, descriptors, used, available, log
REGION = struct.Struct("=QQQQ")  # guest address, size, user address, offset in the file
RING = [
    Request.SET_VRING_NUM,
    Request.SET_VRING_BASE,
    Request.SET_VRING_ADDR,
    Request.SET_VRING_CALL,
    Request.SET_VRING_KICK,
]


def run(folder: Path, backend: BlkBackend, **config: object) -> list[Request]:
    """Starts and closes a device: all requests from the first that start made."""
    with opened(folder, backend, **config) as device:
        at_open = len(backend.messages)
        assert lib.device_start(device) == 0, sentence()
    requests = backend.requests[at_open:]
    return requests[1:] if requests[0] == Request.SET_OWNER else requests


def two_queues(**changes: int) -> BlkBackend:
    backend = BlkBackend(config=BlkConfig(num_queues=2), queue_num=2)
    for name, value in changes.items():
        setattr(backend, name, value)
    return backend


# ---- order -------------------------------------------------------------------


def test_the_whole_order_with_all_features(private: Path) -> None:
    assert run(private, BlkBackend()) == [
        Request.SET_STATUS,
        Request.SET_FEATURES,
        Request.SET_STATUS,
        Request.GET_STATUS,
        Request.ADD_MEM_REG,
        *RING,
        Request.SET_VRING_ENABLE,
        Request.SET_STATUS,
        Request.GET_VRING_BASE,
    ]


def test_the_whole_order_without_protocol_features(private: Path) -> None:
    """Answered requests stand where acknowledgements are missing."""
    assert run(private, BlkBackend(features=BLK_FEATURES & ~PROTOCOL_FEATURES)) == [
        Request.SET_FEATURES,
        Request.SET_MEM_TABLE,
        Request.GET_FEATURES,
        *RING,
        Request.GET_FEATURES,
        Request.GET_VRING_BASE,
    ]


def test_every_ring_is_set_up_before_one_is_enabled(private: Path) -> None:
    requests = run(private, two_queues(), num_queues=2)
    at = requests.index(Request.SET_VRING_NUM)
    sizes, rings = [Request.SET_VRING_NUM] * 2, RING[1:] * 2
    assert requests[at : at + 12] == [*sizes, *rings, *[Request.SET_VRING_ENABLE] * 2]


def test_driver_ok_comes_last(private: Path) -> None:
    backend = two_queues()
    assert run(private, backend, num_queues=2)[-3:-2] == [Request.SET_STATUS]
    assert backend.all_of(Request.SET_STATUS)[-1].number & DRIVER_OK


def test_status_only_grows(private: Path) -> None:
    backend = BlkBackend()
    run(private, backend)
    values = [message.number for message in backend.all_of(Request.SET_STATUS)]
    assert values == [1 | 2, 1 | 2 | FEATURES_OK, 1 | 2 | FEATURES_OK | DRIVER_OK]


def test_without_status_none_is_set(private: Path) -> None:
    assert Request.SET_STATUS not in run(private, BlkBackend(protocol=PROTOCOL & ~STATUS))


def test_the_features_set_are_those_described(private: Path) -> None:
    backend = BlkBackend()
    with started(private, backend) as device:
        features = describe(device).features
    assert [message.number for message in backend.all_of(Request.SET_FEATURES)] == [features]


def test_close_stops_every_ring(private: Path) -> None:
    backend = two_queues()
    run(private, backend, num_queues=2)
    assert [m.state[0] for m in backend.all_of(Request.GET_VRING_BASE)] == [0, 1]


def test_a_device_that_was_not_started_has_no_ring_to_stop(private: Path) -> None:
    backend = BlkBackend()
    with opened(private, backend):
        pass
    assert Request.GET_VRING_BASE not in backend.requests


# ---- kicks and calls ---------------------------------------------------------


@dataclass
class Watching(BlkBackend):
    """Notes at each request whether a kick has come before it."""

    kicked: list[tuple[Request, bool]] = field(default_factory=list)

    def _serve(self, connection: Connection, request: Request, message: Message) -> None:
        kicks = [m.fds[0] for m in self.all_of(Request.SET_VRING_KICK)]
        self.kicked.append((request, bool(kicks and select.select(kicks, [], [], 0)[0])))
        super()._serve(connection, request, message)


@pytest.mark.parametrize("protocol", [PROTOCOL, PROTOCOL & ~REPLY_ACK, PROTOCOL & ~STATUS])
def test_no_kick_comes_before_the_last_message_took_effect(private: Path, protocol: int) -> None:
    backend = Watching(protocol=protocol)
    run(private, backend)
    kicked = [kicked for request, kicked in backend.kicked if request != Request.GET_VRING_BASE]
    assert not any(kicked)


def test_every_ring_is_kicked_once(private: Path) -> None:
    backend = two_queues()
    with started(private, backend, num_queues=2):
        kicks = [message.fds[0] for message in backend.all_of(Request.SET_VRING_KICK)]
        assert [os.eventfd_read(fd) for fd in kicks] == [1, 1]


@pytest.mark.parametrize("request_", [Request.SET_VRING_CALL, Request.SET_VRING_KICK])
def test_kick_and_call_are_eventfds_of_their_own(private: Path, request_: Request) -> None:
    backend = two_queues()
    with started(private, backend, num_queues=2):
        messages = backend.all_of(request_)
        assert [message.number for message in messages] == [0, 1]
        for message in messages:
            assert Path(f"/proc/self/fd/{message.fds[0]}").readlink().name == "anon_inode:[eventfd]"


# ---- memory ------------------------------------------------------------------


def regions(backend: BlkBackend) -> list[tuple[tuple[int, ...], int]]:
    """What the back-end was told: the four numbers of each region, and its descriptor."""
    found = []
    for message in backend.messages:
        if message.request == Request.ADD_MEM_REG:
            found.append((REGION.unpack(message.payload[8:]), message.fds[0]))
        elif message.request == Request.SET_MEM_TABLE:
            assert STATE.unpack(message.payload[:8])[0] == len(message.fds)
            found += zip(REGION.iter_unpack(message.payload[8:]), message.fds, strict=True)
    return found


@pytest.mark.parametrize(
    ("protocol", "used", "unused"),
    [
        (PROTOCOL, Request.ADD_MEM_REG, Request.SET_MEM_TABLE),
        (PROTOCOL & ~MEM_SLOTS, Request.SET_MEM_TABLE, Request.ADD_MEM_REG),
    ],
    ids=["slots", "table"],
)
def test_memory_is_shared_as_agreed(
    private: Path, protocol: int, used: Request, unused: Request
) -> None:
    requests = run(private, BlkBackend(protocol=protocol))
    assert requests.index(used) < requests.index(Request.SET_VRING_ADDR)
    assert unused not in requests


@pytest.mark.parametrize("protocol", [PROTOCOL, PROTOCOL & ~MEM_SLOTS], ids=["slots", "table"])
def test_one_region_holds_rings_and_buffers(private: Path, protocol: int) -> None:
    backend = BlkBackend(protocol=protocol)
    with started(private, backend, memory_bytes=5 << 20):
        [((guest, size, user, offset), fd)] = regions(backend)
        assert (guest, offset) == (user, 0)
        assert os.fstat(fd).st_size == size >= 5 << 20
        assert guest % (2 << 20) == 0


def test_rings_lie_in_shared_memory_aligned(private: Path) -> None:
    backend = two_queues()
    with started(private, backend, num_queues=2):
        [((start, size, _, _), _)] = regions(backend)
        for message in backend.all_of(Request.SET_VRING_ADDR):
            _, flags, descriptors, used, available, log = ADDR.unpack(message.payload)
            assert (flags, log) == (0, 0)
            assert (descriptors % 16, available % 2, used % 4) == (0, 0, 0)
            assert all(start <= part < start + size for part in (descriptors, used, available))


def test_the_back_end_sees_what_the_front_end_writes(private: Path) -> None:
    """The file that was handed over is the memory that the rings lie in."""
    backend = BlkBackend()
    with started(private, backend) as device:
        queue = lib.device_claim_queue(device)
        [((start, _, _, _), fd)] = regions(backend)
        _, _, _, _, available, _ = ADDR.unpack(backend.all_of(Request.SET_VRING_ADDR)[0].payload)
        req = lib.queue_get(queue)
        req.type = lib.REQUEST_FLUSH
        assert lib.queue_submit(queue, req) == 0
        lib.queue_commit(queue)
        assert os.pread(fd, 4, available - start + 2)[:2] == b"\x01\x00"


# ---- shapes ------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 256, 1024, 32768])
def test_the_queue_size_is_as_chosen(private: Path, size: int) -> None:
    backend = BlkBackend()
    run(private, backend, queue_size=size)
    assert backend.all_of(Request.SET_VRING_NUM)[0].state == (0, size)


@pytest.mark.parametrize("depth", [1, 128, 129, 1024, 4096, (1 << 32) - 1])
def test_a_queue_size_that_was_not_chosen_is_a_power_of_two_up_to_1024(
    private: Path, depth: int
) -> None:
    backend = BlkBackend()
    run(private, backend, depth=depth)
    _, size = backend.all_of(Request.SET_VRING_NUM)[0].state
    assert size & (size - 1) == 0
    assert 128 <= size <= 1024


def refused(folder: Path, backend: BlkBackend, **config: object) -> int:
    with opened(folder, backend, **config) as device:
        return int(lib.device_start(device))


@pytest.mark.parametrize("size", [1, 2, 3, 100, 65536, 65537, (1 << 32) - 1])
def test_a_queue_size_that_cannot_be_is_refused_in_words(private: Path, size: int) -> None:
    assert refused(private, BlkBackend(), queue_size=size) == -errno.EINVAL
    assert f"queue_size={size}: it must be a power of two from 4 to 32768" in sentence()


def test_more_queues_than_there_are_are_refused_in_words(private: Path) -> None:
    assert refused(private, two_queues(), num_queues=3) == -errno.EINVAL
    assert "3 queues are wanted and the back-end has 2" in sentence()


def test_more_memory_than_there_is_is_told(private: Path) -> None:
    assert refused(private, BlkBackend(), memory_bytes=1 << 50) == -errno.ENOMEM


# ---- failures (tests/engine/lies has those at each message) ------------------


def test_a_close_gives_up_on_a_back_end_that_does_not_answer(private: Path) -> None:
    backend = BlkBackend(ignore_from=Request.GET_VRING_BASE)
    with started(private, backend):
        pass
    assert len(backend.all_of(Request.GET_VRING_BASE)) == 1


# ---- failures whose usual reason is known ----------------------------------------------------

TAKEN_ONCE = PROTOCOL & ~MEM_SLOTS


@pytest.mark.parametrize("protocol", [PROTOCOL, PROTOCOL & ~REPLY_ACK])
@pytest.mark.parametrize("request_", RING, ids=lambda request: request.name)
def test_a_hang_up_at_a_large_queue_names_its_size(
    private: Path, protocol: int, request_: Request
) -> None:
    backend = BlkBackend(protocol=protocol, hang_up_at=request_)
    assert refused(private, backend, queue_size=2048) == -errno.ECONNRESET
    assert "does not seem to take queues of 2048 entries, because it hung up at" in sentence()
    assert "choose a smaller depth (in C also queue_size)" in sentence()


def test_a_refusal_of_a_large_queue_names_its_size(private: Path) -> None:
    backend = BlkBackend(refuse=Request.SET_VRING_NUM)
    assert refused(private, backend, depth=512) == -errno.EREMOTEIO
    assert "queues of 512 entries, because it refused SET_VRING_NUM" in sentence()


def test_a_small_queue_is_not_blamed(private: Path) -> None:
    assert refused(private, BlkBackend(refuse=Request.SET_VRING_NUM)) == -errno.EREMOTEIO
    assert "queues of" not in sentence()


# Without acknowledgements nothing is refused.
@pytest.mark.parametrize(
    ("protocol", "fault"),
    [
        (PROTOCOL, "hang_up_at"),
        (PROTOCOL, "refuse"),
        (TAKEN_ONCE, "hang_up_at"),
        (TAKEN_ONCE, "refuse"),
        (TAKEN_ONCE & ~REPLY_ACK, "hang_up_at"),
    ],
)
def test_ordinary_pages_that_a_back_end_does_not_take_are_told(
    private: Path, protocol: int, fault: str
) -> None:
    request = Request.ADD_MEM_REG if protocol & MEM_SLOTS else Request.SET_MEM_TABLE
    backend = BlkBackend(protocol=protocol)
    setattr(backend, fault, request)
    code = refused(private, backend, hugepages=lib.HUGEPAGES_OFF)
    assert code == -(errno.EREMOTEIO if fault == "refuse" else errno.ECONNRESET)
    word = "refused" if fault == "refuse" else "hung up at"
    assert f"the back-end {word} {request.name}" in sentence()
    assert "some back-ends take only huge pages" in sentence()
    assert "nr_hugepages (as root), and use hugepages=2m" in sentence()


def lowest_free_descriptor() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


def test_a_start_that_fails_leaves_no_ring_in_shared_memory(
    private: Path,
) -> None:
    memory = lib.memory_create(lib.HUGEPAGES_OFF)
    assert lib.memory_add_region(memory, 1 << 20) == 0
    room = lib.memory_alloc(memory, 2 << 20, 64)
    assert room != ffi.NULL
    lib.memory_free(memory, room)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with opened(private, BlkBackend(), memory=memory) as device:
        # The ring is made before its eventfds.
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_descriptor(), limits[1]))
        try:
            assert lib.device_start(device) == -errno.EMFILE
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert lib.memory_alloc(memory, 2 << 20, 64) == room
    lib.memory_destroy(memory)
