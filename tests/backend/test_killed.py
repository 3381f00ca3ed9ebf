# SPDX-License-Identifier: GPL-2.0-or-later
"""A back-end is killed under load and started again: no write is lost, forgotten or done twice.

The ring has writes of few blocks, so that several of one block are in flight together. What a
block holds in the end shows the order in which the last of them were carried out.
"""

import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backend.conftest import Start
from tests.backend.disk_requests import BLK_OK, BLK_READ, BLK_WRITE, UNTOUCHED, BlkRequest, blk
from tests.backend.frontend import Frontend
from tests.backend.test_inflight import SIZE, get_inflight, track
from tests.waiting import kill, wait_until

KILLS = 3
BLOCKS = 8
# Each request has three descriptors.
SLOTS = SIZE // 3


class Load:
    """Keeps the ring full of writes, each with a number of its own."""

    def __init__(self, frontend: Frontend) -> None:
        self.memory, self.queue = frontend.memory, frontend.queues[0]
        self.random = random.Random(1)
        self.slots = {}
        for _ in range(SLOTS):
            request = BlkRequest(self.memory, BLK_WRITE, 0, out=bytes(512))
            self.slots[self.queue.add(request.chain())] = request
        self.in_flight = set[int]()
        self.submitted = self.completed = 0
        self.last = [0] * BLOCKS  # the number of the last write of each block

    def submit(self) -> None:
        for head in self.slots.keys() - self.in_flight:
            block = self.random.randrange(BLOCKS)
            self.submitted += 1
            self.last[block] = self.submitted
            request = self.slots[head]
            assert request.out
            self.memory.put("<IIQ", request.header.offset, BLK_WRITE, 0, block)
            self.memory.put("<Q", request.out.offset, self.submitted)
            self.memory.put("<B", request.status.offset, UNTOUCHED)
            self.in_flight.add(head)
            self.queue.offer(head)
        self.queue.publish()
        self.queue.kick()

    def reap(self) -> None:
        while self.queue.seen_index != self.queue.used_index():
            head, _ = self.queue.used_entry(self.queue.seen_index)
            assert head in self.in_flight, "what is not in flight has come back"
            assert self.memory.read(self.slots[head].status) == bytes([BLK_OK])
            self.in_flight.remove(head)
            self.completed += 1
            self.queue.seen_index = (self.queue.seen_index + 1) & 0xFFFF

    def run_until(self, is_over: Callable[[], bool]) -> None:
        def step() -> bool:
            self.reap()
            if not is_over():
                self.submit()
            return is_over()

        wait_until(step, "the end of the load")

    def drain(self) -> None:
        def is_empty() -> bool:
            self.reap()
            return not self.in_flight

        wait_until(is_empty, "what was in flight")


@pytest.fixture
def kept() -> Iterator[list[int]]:
    """Descriptors that outlive the connections; closed at the end."""
    fds: list[int] = []
    yield fds
    for fd in fds:
        os.close(fd)


def test_killed_under_load_it_loses_nothing(
    start: Start, path: str, tmp_path: Path, kept: list[int]
) -> None:
    options = (f"--storage=memory:{tmp_path}/disk", "--size=1M", "--latency=1us,500us/2ms")
    process = start(*options)
    frontend = Frontend(path, setup=False, size=SIZE)
    record, bytes_ = get_inflight(frontend)
    kept.append(os.dup(record))
    track(frontend, kept[0], bytes_)
    load = Load(frontend)
    connected = frontend
    for _ in range(KILLS):
        enough = load.completed + load.random.randrange(200, 400)
        load.run_until(lambda enough=enough: load.completed >= enough)  # type: ignore[misc]
        kill(process.pid)
        load.reap()
        load.submit()
        Path(path).unlink()
        process = start(*options)
        connected = reconnect(path, connected, (kept[0], bytes_))
        load.queue.kick()
    load.drain()
    assert load.completed == load.submitted
    assert read_blocks(connected) == load.last
    connected.connection.close()
    frontend.close()


def reconnect(path: str, dead: Frontend, record: tuple[int, int]) -> Frontend:
    """The same rings, as they are."""
    dead.connection.close()
    dead.connection.reply_fds.clear()
    return Frontend(
        path,
        memory=dead.memory,
        rings=dead.queues,
        size=SIZE,
        inflight=(*record, 1),
        base=dead.queues[0].used_index(),
    )


def read_blocks(frontend: Frontend) -> list[int]:
    """The numbers of the writes that the blocks hold."""
    data = blk(frontend, BLK_READ, 0, in_bytes=512 * BLOCKS).data
    return [struct.unpack_from("<Q", data, 512 * block)[0] for block in range(BLOCKS)]
