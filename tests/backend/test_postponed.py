# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that wait for a file while others are served: by io_uring and by threads.

The file is that of a FUSE server, which answers reads when the test wants it.
"""

import json
import os
import random
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyfio_virtio.errors import PyfioVirtioError
from tests.backend import fuse
from tests.backend.conftest import Start, StartBuiltin
from tests.backend.disk_requests import (
    BLK_GET_ID,
    BLK_OK,
    BLK_READ,
    BLK_WRITE,
    GOOD,
    RESPONSE_OK,
    SCSI_REQUEST,
    BlkRequest,
    ScsiRequest,
    blk,
    manage_task,
    scsi,
)
from tests.backend.frontend import TIMEOUT_S, Frontend
from tests.waiting import wait_until

WAYS = ("io_uring", "threads")
READS = 8


@pytest.fixture(params=WAYS)
def aio(request: pytest.FixtureRequest, short_folder: Path, backend: StartBuiltin) -> str:
    """The ways that are possible here."""
    way = str(request.param)
    try:
        backend(storage=f"file:{short_folder}/probe", aio=way).stop()
    except PyfioVirtioError as error:
        pytest.skip(f"no {way} here: {error}")
    return way


@pytest.fixture
def device(short_folder: Path) -> Iterator[fuse.Server]:
    """It keeps reads waiting."""
    try:
        with fuse.serving(short_folder / "fuse") as server:
            server.answered = {*fuse.TO_OPEN, fuse.FLUSH, fuse.FSYNC}
            server.is_silent = False
            server.holds_reads = True
            yield server
    except fuse.NoFuseError as error:
        pytest.skip(f"no FUSE here: {error}")


def offer_reads(frontend: Frontend, count: int = READS, queue: int = 0) -> dict[int, BlkRequest]:
    """Reads of 4 KiB, far apart, by their heads."""
    ring = frontend.queues[queue]
    offered = {}
    for number in range(count):
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


@pytest.mark.parametrize("serve", ["poll", "event"])
def test_reads_wait_for_a_file_at_the_same_time(
    backend: StartBuiltin, short_folder: Path, device: fuse.Server, aio: str, serve: str
) -> None:
    started = backend(storage=f"file:{short_folder}/fuse/file", size_bytes=0, aio=aio, serve=serve)
    with Frontend(started.settings.socket_path) as frontend:
        offered = offer_reads(frontend)
        wait_for_held(device)
        assert blk(frontend, BLK_GET_ID, in_bytes=20).status == BLK_OK
        device.let_go()
        check_reads(offered, frontend.queues[0].wait(READS))
    assert started.statistics()["aio"] == aio
    assert started.statistics()["postponed"] == READS


def test_a_ring_stops_when_its_reads_are_done(
    backend: StartBuiltin, short_folder: Path, device: fuse.Server, aio: str
) -> None:
    """GET_VRING_BASE is answered afterwards."""
    started = backend(storage=f"file:{short_folder}/fuse/file", size_bytes=0, aio=aio)
    with Frontend(started.settings.socket_path) as frontend, ThreadPoolExecutor(1) as pool:
        offered = offer_reads(frontend)
        wait_for_held(device)
        stopped = pool.submit(frontend.stop_queue, 0)
        assert not stopped.done()
        device.let_go()
        assert stopped.result() == READS
        assert frontend.queues[0].used_index() == READS
        check_reads(offered, frontend.queues[0].wait(READS))


def test_a_client_that_leaves_is_forgotten_when_its_reads_are_done(
    backend: StartBuiltin, short_folder: Path, device: fuse.Server, aio: str
) -> None:
    """Its memory is in use until then."""
    started = backend(storage=f"file:{short_folder}/fuse/file", size_bytes=0, aio=aio)
    with Frontend(started.settings.socket_path) as frontend:
        offer_reads(frontend)
        wait_for_held(device)
    device.let_go()
    with Frontend(started.settings.socket_path) as frontend:
        done = blk(frontend, BLK_READ, 256, in_bytes=4096)
        assert (done.status, done.data) == (BLK_OK, fuse.data_at(256 * 512, 4096))
    wait_until(lambda: started.statistics()["clients"] == 0, "the end of both clients")
    assert started.statistics()["reads"] == READS + 1


def test_a_task_is_managed_when_the_reads_are_done(
    backend: StartBuiltin, short_folder: Path, device: fuse.Server, aio: str
) -> None:
    """So an aborted command cannot write to memory that the driver uses again."""
    started = backend(
        storage=f"file:{short_folder}/fuse/file", size_bytes=0, aio=aio, device="scsi"
    )
    read = bytes([0x28, 0, 0, 0, 0, 8, 0, 0, 8, 0])
    with (
        Frontend(started.settings.socket_path, queues=3) as frontend,
        ThreadPoolExecutor(1) as pool,
    ):
        scsi(frontend, bytes(6))  # is told of the unit attention
        ring = frontend.queues[SCSI_REQUEST]
        request = ScsiRequest(frontend.memory, read, in_bytes=4096, tag=5)
        ring.offer(ring.add(request.chain()))
        ring.publish()
        ring.kick()
        wait_for_held(device, 1)
        aborted = pool.submit(manage_task, frontend, 0, 0, 0, 5)
        assert not aborted.done()
        device.let_go()
        assert aborted.result() == 0  # FUNCTION COMPLETE
        ((_, used_bytes),) = ring.wait()
        done = request.done(used_bytes)
        assert (done.response, done.status, done.residual) == (RESPONSE_OK, GOOD, 0)
        assert done.data == fuse.data_at(4096, 4096)


def test_data_is_that_of_the_file_where_it_is_not_cached(
    backend: StartBuiltin, short_folder: Path, aio: str
) -> None:
    """Writes and reads of several segments and of one, in any order, with a latency."""
    disk = short_folder / "disk"
    data = random.Random(1).randbytes(1 << 20)
    disk.write_bytes(data)
    with disk.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = backend(storage=f"file:{disk}", aio=aio, latency="10us", queue_count=2)
    with Frontend(started.settings.socket_path, queues=2) as frontend:
        new = struct.pack("<Q", 7) * 64
        assert blk(frontend, BLK_WRITE, 8, new).status == BLK_OK
        data = data[:4096] + new + data[4608:]
        offered = [offer_reads(frontend, queue=queue) for queue in (0, 1)]
        for queue, requests in enumerate(offered):
            used = dict(frontend.queues[queue].wait(READS))
            for number, (head, request) in enumerate(requests.items()):
                at = 256 * 512 * number
                assert request.done(used[head]).data == data[at : at + 4096]
        assert blk(frontend, BLK_READ, 0, in_bytes=65536).data == data[:65536]


# Installs a seccomp filter that answers EPERM to io_uring_setup(2), and becomes another program.
FORBID = """
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *rule) for rule in rules))
program = struct.pack("<H6xQ", len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(("way", "used"), [("auto", "threads"), ("io_uring", "")])
def test_threads_serve_where_io_uring_is_forbidden(
    start: Start, path: str, short_folder: Path, way: str, used: str
) -> None:
    (short_folder / "disk").write_bytes(b"x" * 65536)
    options = (f"--storage=file:{short_folder}/disk", f"--aio={way}")
    stats = short_folder / "stats"
    process = start(*options, f"--stats-file={stats}", prefix=[sys.executable, "-c", FORBID])
    if used:
        with Frontend(path) as frontend:
            assert blk(frontend, BLK_READ, 0, in_bytes=4096).data == b"x" * 4096
        process.terminate()
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == (0 if used else 1)
    if used:
        assert json.loads(stats.read_text())["aio"] == used
    else:
        assert "io_uring_setup: Operation not permitted (the sysctl" in said
        assert "use aio=threads" in said
