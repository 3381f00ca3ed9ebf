# SPDX-License-Identifier: GPL-2.0-or-later
"""A device whose back-end hangs up and comes back: device/reconnect.c and device/same_disk.c.

The back-ends are scripted; the test serves the rings itself. What becomes of data is tested in
tests/end_to_end/test_reconnect.py.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.blk_backend import (
    BLK_FEATURES,
    DISCARD,
    MEM_SLOTS,
    PROTOCOL,
    REPLY_ACK,
    RO,
    STATUS,
    BlkBackend,
    BlkConfig,
    open_device,
)
from tests.engine.device.test_inflight import Tracking
from tests.engine.ring_device import RingDevice
from tests.engine.scripted_backend import ScriptedBackend
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.vhost_numbers import Request
from tests.waiting import wait_until

ENTRIES = 128
UNTOUCHED = 0xFF  # the status byte of a request without an answer


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Restarted:
    """A started device with a claimed queue, whose back-ends come and go."""

    def __init__(self, path: Path, backend: BlkBackend | None = None, **config: object) -> None:
        self._path, self._stack = path, ExitStack()
        self.known = backend or BlkBackend()
        self._serving = self._stack.enter_context(ScriptedBackend(path, self.known))
        wanted = {"reconnect_timeout_ms": 20_000, "queue_size": ENTRIES, **config}
        code, self.device = open_device(str(path), **wanted)
        assert code == 0, sentence()
        assert lib.device_start(self.device) == 0, sentence()
        self.queue = lib.device_claim_queue(self.device)

    def close(self) -> None:
        lib.device_close(self.device)
        self._stack.close()

    def ring(self, queue: CData | None = None) -> RingDevice:
        """The ring, for a back-end that looks at it for the first time."""
        return RingDevice((queue or self.queue).vq, ENTRIES, event_idx=True)

    def submit(self, *sectors: int) -> None:
        for sector in sectors:
            req = lib.queue_get(self.queue)
            req.type, req.offset_bytes, req.left_bytes = lib.REQUEST_WRITE, sector * 512, 512
            req.buffer = lib.device_alloc(self.device, 512, 512)
            assert lib.queue_submit(self.queue, req) == 0, sentence()
        lib.queue_commit(self.queue)

    def sectors(self, ring: RingDevice) -> list[int]:
        """Those of the requests that the ring holds."""
        headers = [ring.chain(head)[0].address for head in ring.take()]
        return [ffi.cast("uint64_t *", address)[1] for address in headers]

    def reap(self) -> int:
        done = ffi.new("struct request *[]", 64)
        count = int(lib.queue_reap(self.queue, done, 64))
        for req in done[0:count]:
            lib.queue_put(self.queue, req)
        return count

    def hang_up(self) -> None:
        self._serving.hang_up()
        self._stack.close()

    def serve(self, backend: BlkBackend) -> BlkBackend:
        self._serving = self._stack.enter_context(ScriptedBackend(self._path, backend))
        return backend

    def serve_until_it_fails(self, backend: BlkBackend) -> None:
        """Serves one connection, which does not hold."""
        self.serve(backend)
        while not backend.messages:
            assert self.keep() == lib.CONNECTION_AWAY
        self._stack.close()

    def fails_to_come_back(self, backend: BlkBackend) -> bool:
        """Serves one connection, which does not hold. False if the device is given up first."""
        self.serve(backend)
        while not backend.messages and self.keep() >= 0:
            pass
        if not backend.messages:
            self.expect_nobody()
        self._stack.close()
        return bool(backend.messages)

    def expect_nobody(self) -> None:
        """Ends a back-end to which the device has not come."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._path))

    def keep(self, queue: CData | None = None) -> int:
        return int(lib.device_keep_connected(self.device, queue or self.queue))

    def come_back(self, queue: CData | None = None) -> None:
        wait_until(lambda: self.keep(queue) == lib.CONNECTION_IS_BACK)

    def restart(self, backend: BlkBackend | None = None) -> BlkBackend:
        self.hang_up()
        after = self.serve(backend or BlkBackend())
        self.come_back()
        return after

    def given_up(self) -> str:
        """Waits until the device is given up; returns the sentence."""
        wait_until(lambda: self.keep() < 0)
        assert self.keep() == -errno.EIO
        return sentence()


Start = Callable[..., Restarted]


@pytest.fixture
def start(private: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(backend: BlkBackend | None = None, **config: object) -> Restarted:
            made = Restarted(private / "blk.sock", backend, **config)
            stack.callback(made.close)
            return made

        yield begin


# ---- what comes back --------------------------------------------------------------------------


def test_a_connection_that_holds_is_left_alone(start: Start) -> None:
    disk = start()
    assert disk.keep() == lib.CONNECTION_RUNS
    assert disk.queue.counters.reconnects == 0


@pytest.mark.parametrize("protocol", [PROTOCOL, PROTOCOL & ~MEM_SLOTS & ~REPLY_ACK])
def test_requests_in_flight_are_published_again_in_their_order(start: Start, protocol: int) -> None:
    disk = start(BlkBackend(protocol=protocol))
    disk.submit(5, 3, 8, 1)
    ring = disk.ring()
    ring.complete(ring.take()[1])
    assert disk.reap() == 1
    disk.submit(2)
    disk.restart(BlkBackend(protocol=protocol))
    assert disk.sectors(disk.ring()) == [5, 8, 1, 2]
    assert disk.queue.counters.replayed == 4


def test_requests_complete_on_the_new_connection(start: Start) -> None:
    disk = start()
    disk.submit(1, 2)
    disk.restart()
    ring = disk.ring()
    for head in ring.take():
        ring.complete(head)
    assert disk.reap() == 2


def test_the_ring_begins_at_0(start: Start) -> None:
    disk = start()
    disk.submit(1)
    after = disk.restart()
    assert [message.state for message in after.all_of(Request.SET_VRING_BASE)] == [(0, 0)]


def test_the_new_back_end_knows_the_same_memory(start: Start) -> None:
    disk = start()
    assert lib.device_alloc(disk.device, 64 << 20, 4096)
    assert disk.restart().known == disk.known.known


def test_exactly_the_features_in_use_are_set(start: Start) -> None:
    disk = start(BlkBackend(features=BLK_FEATURES & ~DISCARD, protocol=PROTOCOL & ~STATUS))
    after = disk.restart(BlkBackend())
    [features] = after.all_of(Request.SET_FEATURES)
    assert features.number == BLK_FEATURES & ~DISCARD
    assert after.agreed == PROTOCOL & ~STATUS


def test_an_answer_without_a_used_element_does_not_count(start: Start) -> None:
    disk = start()
    disk.submit(1)
    ring = disk.ring()
    status = ffi.cast("uint8_t *", ring.chain(ring.take()[0])[-1].address)
    status[0] = 0
    disk.restart()
    assert status[0] == UNTOUCHED


def test_what_was_completed_before_the_hang_up_is_not_sent_again(start: Start) -> None:
    disk = start()
    disk.submit(1, 2)
    ring = disk.ring()
    ring.complete(ring.take()[0])
    disk.hang_up()
    disk.serve(BlkBackend())
    assert disk.keep() == lib.CONNECTION_AWAY
    assert disk.reap() == 1
    disk.come_back()
    assert disk.sectors(disk.ring()) == [2]


def test_the_owner_of_each_queue_starts_its_own_ring(start: Start) -> None:
    wide = BlkConfig(num_queues=4)
    disk = start(BlkBackend(config=wide, queue_num=4), num_queues=3)
    other = lib.device_claim_queue(disk.device)
    after = disk.restart(BlkBackend(config=wide, queue_num=4))
    # The third queue has no owner, so it was started with the connection.
    assert {each.number for each in after.all_of(Request.SET_VRING_KICK)} == {0, 2}
    disk.come_back(other)
    assert {each.number for each in after.all_of(Request.SET_VRING_KICK)} == {0, 1, 2}


def test_a_second_restart_is_like_the_first(start: Start) -> None:
    disk = start()
    disk.submit(1, 2)
    disk.restart()
    disk.submit(3)
    disk.restart()
    assert disk.sectors(disk.ring()) == [1, 2, 3]
    assert disk.queue.counters.reconnects == 2
    assert 0 < disk.queue.counters.longest_away_ns < disk.queue.counters.away_ns


def test_a_restart_leaks_no_descriptor(start: Start) -> None:
    disk = start()
    disk.restart()
    before = count_descriptors()
    disk.restart()
    wait_until(lambda: count_descriptors() == before, f"{before} open files")


@pytest.mark.parametrize("request_", [Request.GET_FEATURES, Request.SET_VRING_KICK])
def test_a_back_end_that_hangs_up_as_it_starts_is_tried_again(
    start: Start, request_: Request
) -> None:
    disk = start()
    disk.submit(1)
    disk.hang_up()
    disk.serve_until_it_fails(BlkBackend(hang_up_at=request_))
    disk.serve(BlkBackend())
    disk.come_back()
    assert disk.sectors(disk.ring()) == [1]


def test_a_hang_up_is_not_put_down_to_pages_that_the_back_end_took_before(start: Start) -> None:
    disk = start(hugepages=lib.HUGEPAGES_OFF)
    disk.hang_up()
    assert not lib.device_alloc(disk.device, 64 << 20, 4096)
    assert "blk.sock: the back-end hung up at ADD_MEM_REG" in sentence()
    assert "ordinary pages" not in sentence()


# ---- with the back-end's record of requests in flight -------------------------------------------


def test_the_rings_stay_as_they_are_for_a_back_end_that_gets_the_record(start: Start) -> None:
    first, second = Tracking(), Tracking()
    disk = start(first)
    disk.submit(1, 2, 3)
    ring = disk.ring()
    ring.complete(ring.take()[1])
    assert disk.reap() == 1
    disk.restart(second)
    assert disk.sectors(disk.ring()) == [1, 2, 3]
    assert [message.state for message in second.all_of(Request.SET_VRING_BASE)] == [(0, 1)]
    assert (second.handed, second.made) == (first.made, [])


def test_the_record_comes_after_all_sizes_and_the_memory(start: Start) -> None:
    before, after = (Tracking(config=BlkConfig(num_queues=2), queue_num=2) for _ in range(2))
    start(before, num_queues=2).restart(after)
    at = after.requests.index(Request.SET_INFLIGHT_FD)
    assert after.requests[at - 2 : at] == [Request.SET_VRING_NUM] * 2
    assert Request.ADD_MEM_REG in after.requests[:at]
    assert Request.SET_VRING_BASE not in after.requests[:at]


def test_the_rings_begin_again_for_a_back_end_that_takes_no_record(start: Start) -> None:
    disk = start(Tracking())
    disk.submit(1, 2)
    ring = disk.ring()
    ring.complete(ring.take()[0])
    assert disk.reap() == 1
    disk.restart(BlkBackend())
    assert disk.sectors(disk.ring()) == [2]
    # The record tells nothing of these rings.
    last = Tracking()
    disk.restart(last)
    assert not last.handed + last.made
    assert disk.sectors(disk.ring()) == [2]


def cut_record() -> None:
    """As a back-end can do that has its file open."""
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(fd.readlink()).startswith("/memfd:area"):
                os.truncate(fd, 0)


def test_the_rings_begin_again_if_the_record_was_cut_short(start: Start) -> None:
    disk = start(Tracking())
    disk.submit(1, 2)
    ring = disk.ring()
    ring.complete(ring.take()[0])
    assert disk.reap() == 1
    cut_record()
    after = Tracking()
    disk.restart(after)
    assert not after.handed + after.made
    assert disk.sectors(disk.ring()) == [2]


# ---- what does not come back ---------------------------------------------------------------------


def test_without_a_timeout_a_hang_up_is_final(start: Start) -> None:
    disk = start(reconnect_timeout_ms=0)
    disk.hang_up()
    disk.serve(BlkBackend())
    assert disk.keep() == -errno.EIO
    assert sentence() == "the back-end hung up, so its requests in flight fail"
    disk.expect_nobody()


def test_nobody_comes_back(start: Start) -> None:
    disk = start(reconnect_timeout_ms=50)
    disk.hang_up()
    assert disk.given_up() == (
        "the back-end hung up and was not back within 0.05 s (reconnect_timeout), so its requests "
        "in flight fail: no such socket: start a back-end there, or name the socket of one that "
        "runs"
    )


def test_a_back_end_that_a_request_kills_is_given_up(start: Start) -> None:
    """Although each of them completes other requests."""
    disk = start(reconnect_timeout_ms=100)
    disk.submit(1)
    while disk.keep() >= 0:
        disk.submit(2)
        ring = disk.ring()
        ring.complete(ring.take()[-1])
        assert disk.reap() == 1
        disk.hang_up()
        disk.serve(BlkBackend())
        wait_until(lambda: disk.keep() != lib.CONNECTION_AWAY)
    disk.expect_nobody()
    assert "it has hung up each time before it had completed its oldest request" in sentence()


def test_a_queue_that_is_idle_does_not_excuse_one_whose_request_kills(start: Start) -> None:
    wide = BlkConfig(num_queues=2)
    disk = start(BlkBackend(config=wide, queue_num=2), num_queues=2, reconnect_timeout_ms=100)
    idle = lib.device_claim_queue(disk.device)
    disk.submit(1)
    wait_until(lambda: restarts_both(disk, idle, wide) < 0)
    disk.expect_nobody()
    assert "its oldest request" in sentence()


def restarts_both(disk: Restarted, other: CData, config: BlkConfig) -> int:
    """Restarts the back-end. A negative number says that the device was given up."""
    disk.hang_up()
    disk.serve(BlkBackend(config=config, queue_num=2))
    wait_until(lambda: disk.keep(other) != lib.CONNECTION_AWAY)
    wait_until(lambda: disk.keep() != lib.CONNECTION_AWAY)
    return disk.keep()


def test_the_pauses_grow_although_each_attempt_comes_to_the_rings(start: Start) -> None:
    disk = start(reconnect_timeout_ms=300)
    disk.hang_up()
    attempts = 0
    while disk.fails_to_come_back(BlkBackend(hang_up_at=Request.SET_VRING_KICK)):
        attempts += 1
    # One at once, and then after 10, 20, 40, 80 and 160 ms.
    assert attempts <= 6


BEFORE = BlkConfig()


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (
            BlkBackend(config=replace(BEFORE, capacity=1 << 20)),
            "its capacity in bytes is 536870912",
        ),
        (
            BlkBackend(config=replace(BEFORE, blk_size=4096)),
            "its block size is 4096 instead of 512",
        ),
        (BlkBackend(features=BLK_FEATURES | RO), "it is read-only"),
        (BlkBackend(features=BLK_FEATURES & ~DISCARD), "virtio features that are in use (0x2000)"),
        (BlkBackend(protocol=PROTOCOL & ~STATUS), "protocol features that are in use (0x10000)"),
        (BlkBackend(features=(BLK_FEATURES & ~0x7FFF) | 1), "virtio-scsi now, not virtio-blk"),
        (BlkBackend(max_mem_slots=1), "memory regions that it takes is 1 instead of 2"),
    ],
    ids=["smaller", "blocks", "read-only", "feature", "protocol", "type", "slots"],
)
def test_another_disk_is_refused_at_once(start: Start, after: BlkBackend, why: str) -> None:
    disk = start()
    assert lib.device_alloc(disk.device, 64 << 20, 4096)
    disk.submit(1)
    disk.hang_up()
    disk.serve(after)
    said = disk.given_up()
    assert said.startswith("the back-end hung up and the one that answers now cannot go on")
    assert why in said


def test_a_disk_that_has_grown_is_the_same(start: Start) -> None:
    start().restart(BlkBackend(config=replace(BEFORE, capacity=1 << 22)))
