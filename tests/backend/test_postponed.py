# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that wait for a file while others are served: by io_uring and by threads.

The file is that of a FUSE server, which answers reads when the test wants it.
"""

import json
import os
import random
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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
    ScsiRequest,
    blk,
    manage_task,
    scsi,
)
from tests.backend.file_reads import READS, check_reads, offer_reads, wait_for_held
from tests.backend.frontend import TIMEOUT_S, Frontend
from tests.waiting import wait_until


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


SETUP, ENTER = 425, 426  # io_uring_setup(2), io_uring_enter(2)
IF_EQUAL, FAIL, ALLOW = 0x15, (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)  # by EPERM
NUMBER, SECOND_ARGUMENT = (0x20, 0, 0, 0), (0x20, 0, 0, 24)
# Installs a seccomp filter, and becomes another program.
FORBID = """
import ctypes, os, struct, sys
rules = RULES
code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *rule) for rule in rules))
program = struct.pack("<H6xQ", len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"""


def forbidding(*rules: tuple[int, int, int, int]) -> list[str]:
    """A prefix of a command."""
    return [sys.executable, "-c", FORBID.replace("RULES", repr(rules))]


@pytest.mark.parametrize(("way", "used"), [("auto", "threads"), ("io_uring", "")])
def test_threads_serve_where_io_uring_is_forbidden(
    start: Start, path: str, short_folder: Path, way: str, used: str
) -> None:
    (short_folder / "disk").write_bytes(b"x" * 65536)
    options = (f"--storage=file:{short_folder}/disk", f"--aio={way}")
    stats = short_folder / "stats"
    process = start(
        *options,
        f"--stats-file={stats}",
        prefix=forbidding(NUMBER, (IF_EQUAL, 0, 1, SETUP), FAIL, ALLOW),
    )
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


def test_threads_go_on_when_io_uring_takes_nothing_more(
    start: Start, path: str, short_folder: Path, device: fuse.Server
) -> None:
    """The kernel refuses a submission of three reads while it has eight others in flight."""
    options = (f"--storage=file:{short_folder}/fuse/file", "--aio=io_uring")
    rules = NUMBER, (IF_EQUAL, 0, 3, ENTER), SECOND_ARGUMENT, (IF_EQUAL, 0, 1, 3), FAIL, ALLOW
    stats = short_folder / "stats"
    process = start(*options, f"--stats-file={stats}", prefix=forbidding(*rules))
    if process.poll():
        pytest.skip(f"no io_uring here: {process.communicate()[1]}")
    with Frontend(path, queues=2) as frontend:
        ring = frontend.queues[0]
        offered = offer_reads(frontend)
        wait_for_held(device)
        later = offer_reads(frontend, 3, first=READS)
        wait_for_held(device, READS + 3)
        device.let_go()
        check_reads({**offered, **later}, ring.wait(READS + 3))
    process.terminate()
    _, said = process.communicate(timeout=TIMEOUT_S)
    counted = json.loads(stats.read_text())
    assert (process.returncode, counted["aio"], counted["reads"]) == (0, "threads", READS + 3)
    assert said.count("io_uring_enter: Operation not permitted: threads serve the file") == 1
