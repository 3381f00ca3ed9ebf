# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads of a file whose server (fuse.py) keeps them waiting."""

from tests.backend import fuse
from tests.backend.disk_requests import BLK_OK, BLK_READ, BlkRequest
from tests.backend.frontend import Frontend
from tests.waiting import wait_until

READS = 8


def offer_reads(
    frontend: Frontend, count: int = READS, queue: int = 0, first: int = 0
) -> dict[int, BlkRequest]:
    """Reads of 4 KiB, far apart, by their heads."""
    ring = frontend.queues[queue]
    offered = {}
    for number in range(first, first + count):
        request = BlkRequest(frontend.memory, BLK_READ, 256 * number, in_bytes=4096)
        head = ring.add(request.chain())
        ring.offer(head)
        offered[head] = request
    ring.publish()
    ring.kick()
    return offered


def wait_for_held(device: fuse.Server, count: int = READS) -> None:
    wait_until(lambda: len(device.held) == count, f"{count} reads at the device")


def check_reads(offered: dict[int, BlkRequest], used: list[tuple[int, int]]) -> None:
    assert {head for head, _ in used} == set(offered)
    for number, (head, request) in enumerate(offered.items()):
        done = request.done(dict(used)[head])
        assert (done.status, done.used_bytes) == (BLK_OK, 4097)
        assert done.data == fuse.data_at(256 * 512 * number, 4096)
