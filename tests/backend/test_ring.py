# SPDX-License-Identifier: GPL-2.0-or-later
"""Split rings: start and stop, chains, suppression, and clients that break the rules."""

import itertools
import select
import struct
import time

import pytest

from tests.backend import frontend as fe
from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import BLK_OK, BLK_READ, BLK_WRITE, BlkRequest, blk
from tests.backend.frontend import (
    DESC_INDIRECT,
    GUEST_BASE,
    Buffer,
    Frontend,
)
from tests.waiting import wait_until

MODES = ["poll", "event", "adaptive"]


@pytest.mark.parametrize("serve", MODES)
@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("event_idx", [False, True])
def test_many_requests_in_flight(
    backend: StartBuiltin, serve: str, indirect: bool, event_idx: bool
) -> None:
    started = backend(serve=serve)
    path = started.settings.socket_path
    with Frontend(path, size=64, indirect=indirect, event_idx=event_idx) as frontend:
        queue, memory = frontend.queues[0], frontend.memory
        mark = memory.mark
        for turn in range(20):
            requests = {}
            for sector in range(16):
                data = bytes([turn ^ sector]) * 512
                request = BlkRequest(memory, BLK_WRITE, sector, data)
                requests[queue.add(request.chain())] = request
                queue.offer(next(reversed(requests)))
            queue.publish()
            if queue.wants_kick():
                queue.kick()
            done = dict(queue.wait(16))
            assert set(done) == set(requests)
            assert {requests[head].done(size).status for head, size in done.items()} == {BLK_OK}
            memory.rewind(mark)
        assert blk(frontend, BLK_READ, 5, in_bytes=512).data == bytes([19 ^ 5]) * 512


@pytest.mark.parametrize("serve", MODES)
@pytest.mark.parametrize("event_idx", [False, True])
def test_a_call_comes_when_it_is_wanted(backend: StartBuiltin, serve: str, event_idx: bool) -> None:
    with Frontend(backend(serve=serve).settings.socket_path, event_idx=event_idx) as frontend:
        for _ in range(50):
            blk(frontend, BLK_READ, 0, in_bytes=512)
            assert frontend.queues[0].called()


def test_no_call_when_it_is_not_wanted(backend: StartBuiltin) -> None:
    started = backend()
    with Frontend(started.settings.socket_path) as frontend:
        frontend.memory.words[frontend.queues[0].avail // 2] = 1  # NO_INTERRUPT
        blk(frontend, BLK_READ, 0, in_bytes=512)
        assert started.statistics()["calls_sent"] == 0
        assert not select.select([frontend.queues[0].call_fd], [], [], 0)[0]


@pytest.mark.parametrize("event_idx", [False, True])
def test_no_kick_is_lost_in_event_mode(backend: StartBuiltin, event_idx: bool) -> None:
    """Kicks only where they are asked for: the driver looks after it published."""
    started = backend(serve="event")
    with Frontend(started.settings.socket_path, event_idx=event_idx) as frontend:
        queue, mark = frontend.queues[0], frontend.memory.mark
        for turn in range(500):
            request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
            queue.offer(queue.add(request.chain()))
            queue.publish()
            if event_idx:
                avail_event = frontend.memory.words[queue.used // 2 + 2 + 4 * queue.size]
                wanted = avail_event == turn
            else:
                wanted = queue.wants_kick()
            if wanted:
                queue.kick()
            assert queue.wait(), f"request {turn} was not seen"
            frontend.memory.rewind(mark)
        assert int(started.statistics()["kicks_taken"]) > 0


def test_polling_refuses_kicks(backend: StartBuiltin) -> None:
    with Frontend(backend(serve="poll").settings.socket_path) as frontend:
        blk(frontend, BLK_READ, 0, in_bytes=512)
        assert not frontend.queues[0].wants_kick()


def test_a_ring_without_a_kick_is_polled(backend: StartBuiltin) -> None:
    with Frontend(backend(serve="event").settings.socket_path) as frontend:
        assert frontend.tell(fe.SET_VRING_KICK, struct.pack("<Q", 0x100)) == 0
        queue = frontend.queues[0]
        request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
        queue.offer(queue.add(request.chain()))
        queue.publish()
        assert queue.wait()


def test_indices_wrap(backend: StartBuiltin) -> None:
    with Frontend(backend(storage="null").settings.socket_path, setup=False) as frontend:
        frontend.negotiate()
        frontend.share_memory()
        queue = frontend.queues[0]
        queue.avail_index = queue.seen_index = 65530
        frontend.memory.put("<HH", queue.avail, 0, 65530)
        frontend.memory.put("<HH", queue.used, 0, 65530)
        frontend.start_queue(0, base=65530)
        for _ in range(20):
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
        assert frontend.stop_queue(0) == (65530 + 20) % 65536


def test_stopping_a_ring_completes_what_it_holds(backend: StartBuiltin) -> None:
    started = backend(latency="10s")
    with Frontend(started.settings.socket_path) as frontend:
        queue = frontend.queues[0]
        for _ in range(5):
            request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
            queue.offer(queue.add(request.chain()))
        queue.publish()
        queue.kick()
        while started.statistics()["reads"] != 5:
            pass
        assert frontend.stop_queue(0) == 5
        assert len(queue.wait(5)) == 5


def test_a_stopped_ring_starts_again(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        for turn in range(5):
            blk(frontend, BLK_READ, 0, in_bytes=512)
            base = frontend.stop_queue(0)
            assert base == turn + 1
            frontend.start_queue(0, base=base)


def test_a_disabled_ring_is_not_served(backend: StartBuiltin) -> None:
    started = backend()
    with Frontend(started.settings.socket_path) as frontend:
        frontend.tell(fe.SET_VRING_ENABLE, struct.pack("<II", 0, 0))
        queue = frontend.queues[0]
        request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
        queue.offer(queue.add(request.chain()))
        queue.publish()
        queue.kick()
        assert queue.wait(timeout_s=0.05) == []
        frontend.tell(fe.SET_VRING_ENABLE, struct.pack("<II", 0, 1))
        assert queue.wait()


def test_queues_are_served_side_by_side(backend: StartBuiltin) -> None:
    started = backend(queue_count=4, thread_count=2)
    with Frontend(started.settings.socket_path, queues=4) as frontend:
        for _, queue in itertools.product(range(5), frontend.queues):
            request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
            queue.run(request.chain())
            assert request.done(0).status == BLK_OK


def test_a_buffer_may_be_in_many_pieces(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path) as frontend:
        memory, data = frontend.memory, bytes(range(256)) * 4
        header = struct.pack("<IIQ", BLK_WRITE, 0, 0)
        pieces = [memory.place(header[i : i + 5]) for i in range(0, 16, 5)]
        pieces += [memory.place(data[i : i + 100]) for i in range(0, 1024, 100)]
        status = memory.place(b"\xa5", device_writes=True)
        frontend.queues[0].run([*pieces, status])
        assert memory.read(status) == b"\0"
        assert blk(frontend, BLK_READ, 0, in_bytes=1024).data == data


def test_a_buffer_may_lie_over_two_regions(backend: StartBuiltin) -> None:
    """Two regions that touch in guest addresses: one buffer crosses from one into the other."""
    with Frontend(backend().settings.socket_path) as frontend:
        memory = frontend.memory
        more = fe.Memory(1 << 16)
        region = struct.pack("<QQQQ", GUEST_BASE + memory.size, more.size, 1 << 40, 0)
        assert frontend.tell(fe.ADD_MEM_REG, struct.pack("<Q", 0) + region, [more.fd]) == 0
        memory.map[memory.size - 256 :] = b"1" * 256
        more.map[:256] = b"2" * 256
        header = memory.place(struct.pack("<IIQ", BLK_WRITE, 0, 0))
        status = memory.place(b"\xa5", device_writes=True)
        frontend.queues[0].run([header, Buffer(memory.size - 256, 512), status])
        assert memory.read(status) == b"\0"
        assert blk(frontend, BLK_READ, 0, in_bytes=512).data == b"1" * 256 + b"2" * 256
        more.close()


def test_an_indirect_descriptor_needs_its_feature(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path, indirect=False) as frontend:
        queue = frontend.queues[0]
        queue.write_descriptor(queue.descriptors, 0, GUEST_BASE, 32, DESC_INDIRECT, 0)
        queue.offer(0)
        queue.publish()
        queue.kick()
        assert select.select([queue.err_fd], [], [], fe.TIMEOUT_S)[0]


def test_a_broken_ring_serves_again_after_a_restart(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path, size=64) as frontend:
        queue = frontend.queues[0]
        queue.offer(64)
        queue.publish()
        queue.kick()
        assert select.select([queue.err_fd], [], [], fe.TIMEOUT_S)[0]
        frontend.stop_queue(0)
        frontend.start_queue(0, base=queue.avail_index)
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK


def test_a_head_offered_again_and_again_is_no_flood(backend: StartBuiltin) -> None:
    """A held request keeps its place: no more of them are taken than the ring has room for."""
    started = backend(latency="10s")
    with Frontend(started.settings.socket_path, size=16) as frontend:
        queue = frontend.queues[0]
        head = queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain())
        for _ in range(10):
            for _ in range(16):
                queue.offer(head)
            queue.publish()
            queue.kick()
            time.sleep(0.005)
        wait_until(lambda: started.statistics()["reads"] >= 16)
        assert started.statistics()["reads"] == 16
