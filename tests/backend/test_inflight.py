# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of requests in flight: how a restarted back-end reads and uses it."""

import mmap
import os
import struct

from tests.backend import frontend as fe
from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import BLK_OK, BLK_READ, BLK_WRITE, BlkRequest, blk
from tests.backend.frontend import Frontend

SIZE = 64
HEADER, ENTRY = 16, 16


def get_inflight(frontend: Frontend, queues: int = 1) -> tuple[int, int]:
    """GET_INFLIGHT_FD: the fd, which the connection keeps, and its size."""
    payload = struct.pack("<QQHH4x", 0, 0, queues, SIZE)
    reply = frontend.connection.ask(fe.GET_INFLIGHT_FD, payload)
    bytes_, offset, count, size = struct.unpack("<QQHH4x", reply)
    assert (offset, count, size) == (0, queues, SIZE)
    return frontend.connection.reply_fds[-1], bytes_


def track(frontend: Frontend, fd: int, bytes_: int) -> None:
    frontend.negotiate()
    frontend.share_memory()
    payload = struct.pack("<QQHH", bytes_, 0, 1, SIZE)
    assert frontend.tell(fe.SET_INFLIGHT_FD, payload, [fd]) == 0
    frontend.start_queue(0)


def test_a_message_without_padding_is_answered_without(backend: StartBuiltin) -> None:
    with Frontend(backend().settings.socket_path, setup=False) as frontend:
        reply = frontend.connection.ask(fe.GET_INFLIGHT_FD, struct.pack("<QQHH", 0, 0, 1, SIZE))
        assert len(reply) == 20


def entries_in_flight(region: mmap.mmap) -> list[int]:
    return [head for head in range(SIZE) if region[HEADER + ENTRY * head]]


def test_a_request_is_in_flight_until_it_completes(backend: StartBuiltin) -> None:
    started = backend(fault="lose:type=read")
    with Frontend(started.settings.socket_path, setup=False) as frontend:
        fd, bytes_ = get_inflight(frontend)
        track(frontend, fd, bytes_)
        region = mmap.mmap(fd, bytes_)
        blk(frontend, BLK_WRITE, 0, bytes(512))
        while entries_in_flight(region):
            pass
        queue = frontend.queues[0]
        head = queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain())
        queue.offer(head)
        queue.publish()
        queue.kick()
        while entries_in_flight(region) != [head]:
            pass
        _, version, count, _, used = struct.unpack_from("<QHHHH", region)
        assert (version, count, used) == (1, SIZE, 1)
        region.close()


def test_what_a_dead_back_end_left_is_done_by_the_next(backend: StartBuiltin) -> None:
    first = backend(fault="lose:every=2")
    frontend = Frontend(first.settings.socket_path, setup=False, size=SIZE)
    fd, bytes_ = get_inflight(frontend)
    kept = os.dup(fd)
    track(frontend, kept, bytes_)
    queue = frontend.queues[0]
    requests = [BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512) for _ in range(8)]
    heads = [queue.add(request.chain()) for request in requests]
    for head in heads:
        queue.offer(head)
    queue.publish()
    queue.kick()
    assert [head for head, _ in queue.wait(4)] == heads[0::2]
    while first.statistics()["fault_lose"] != 4:
        pass
    first.command("fault die")
    late = queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain())
    queue.offer(late)
    queue.publish()
    queue.kick()
    frontend.connection.is_closed_by_backend()

    second = backend()
    again = Frontend(
        second.settings.socket_path, setup=False, memory=frontend.memory, rings=[queue]
    )
    track(again, kept, bytes_)
    queue.kick()
    done = [head for head, _ in queue.wait(5)]
    assert done == [*heads[1::2], late]
    assert blk(again, BLK_READ, 0, in_bytes=512).status == BLK_OK
    again.connection.close()
    os.close(kept)
    frontend.close()


def test_what_a_dead_back_end_published_without_a_call_is_called_for(
    backend: StartBuiltin,
) -> None:
    first = backend(fault="lost-call")
    frontend = Frontend(first.settings.socket_path, size=SIZE)
    queue = frontend.queues[0]
    blk(frontend, BLK_WRITE, 0, bytes(512))
    assert not queue.called(0)
    first.command("fault die")
    queue.kick()
    second = backend()
    again = Frontend(
        second.settings.socket_path, memory=frontend.memory, rings=[queue], base=queue.seen_index
    )
    assert queue.called()
    again.connection.close()
    frontend.close()


def test_a_batch_that_was_published_but_not_struck_off_is_not_done_again(
    backend: StartBuiltin,
) -> None:
    """The forerunner died between the used index and the record."""
    started = backend()
    with Frontend(started.settings.socket_path, setup=False, size=SIZE) as frontend:
        fd, bytes_ = get_inflight(frontend)
        with mmap.mmap(fd, bytes_) as region:
            struct.pack_into("<QHHHH", region, 0, 0, 1, SIZE, 5, 0)
            for head, following, counter in ((3, 0, 7), (5, 3, 8), (9, 0, 6)):
                struct.pack_into("<B5xHQ", region, HEADER + ENTRY * head, 1, following, counter)
            queue = frontend.queues[0]
            chain = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain()
            queue._write_chain(queue.descriptors, 9, SIZE, chain)
            # Heads 5 and 3 were used; 9 was taken and not done.
            frontend.memory.words[queue.used // 2 + 1] = 2
            queue.seen_index = 2
            queue.avail_index = 3
            queue.publish()
            track(frontend, fd, bytes_)
            queue.kick()
            assert queue.wait() == [(9, 513)]
            assert queue.wait(timeout_s=0.05) == []
