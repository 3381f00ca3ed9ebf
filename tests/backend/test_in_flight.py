# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client, its end or the user asks for while reads of a file are in flight.

The file is that of a FUSE server, which answers reads when the test wants it.
"""

import json
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pyfio_virtio.backends.builtin_engine import BuiltinBackend
from tests import waiting
from tests.backend import frontend as fe
from tests.backend import fuse
from tests.backend.conftest import Start, StartBuiltin
from tests.backend.disk_requests import BLK_OK, BLK_READ, blk
from tests.backend.file_reads import READS, check_reads, offer_reads, wait_for_held
from tests.backend.frontend import GUEST_BASE, TIMEOUT_S, Buffer, Frontend, Memory
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(
    backend: StartBuiltin, short_folder: Path, device: fuse.Server, aio: str
) -> BuiltinBackend:
    """A back-end with two queues on the file."""
    storage = f"file:{short_folder}/fuse/file"
    return backend(storage=storage, size_bytes=0, aio=aio, queue_count=2)


def added_region(frontend: Frontend, added: Memory) -> bytes:
    """The payload of a message about memory behind that of the front-end."""
    at = GUEST_BASE + frontend.memory.size
    return struct.pack("<QQQQQ", 0, at, added.size, 1 << 40, 0)


def test_statistics_do_not_wait(served: BuiltinBackend, device: fuse.Server) -> None:
    with Frontend(served.settings.socket_path) as frontend:
        offered = offer_reads(frontend)
        wait_for_held(device)
        counted = served.statistics()
        assert (counted["postponed"], counted["reads"]) == (READS, 0)
        device.let_go()
        check_reads(offered, frontend.queues[0].wait(READS))
    assert served.statistics()["reads"] == READS


@pytest.mark.parametrize("message", [fe.SET_MEM_TABLE, fe.ADD_MEM_REG])
def test_memory_is_given_when_the_reads_are_done(
    served: BuiltinBackend, device: fuse.Server, message: int
) -> None:
    added = Memory(1 << 16)
    with Frontend(served.settings.socket_path) as frontend, ThreadPoolExecutor(1) as pool:
        offered = offer_reads(frontend)
        wait_for_held(device)
        if message == fe.SET_MEM_TABLE:
            told = pool.submit(frontend.share_memory)
        else:
            told = pool.submit(frontend.tell, message, added_region(frontend, added), [added.fd])
        assert not told.done()
        device.let_go()
        assert told.result() == 0
        assert frontend.queues[0].used_index() == READS
        check_reads(offered, frontend.queues[0].wait(READS))
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
    added.close()


def test_removed_memory_is_not_written_any_more(
    served: BuiltinBackend, device: fuse.Server
) -> None:
    """The answer comes when the read's data is complete."""
    added = Memory(1 << 16)
    with Frontend(served.settings.socket_path) as frontend, ThreadPoolExecutor(1) as pool:
        memory, ring = frontend.memory, frontend.queues[0]
        payload = added_region(frontend, added)
        assert frontend.tell(fe.ADD_MEM_REG, payload, [added.fd]) == 0
        header = memory.place(struct.pack("<IIQ", BLK_READ, 0, 8))
        status = memory.place(b"\xa5", device_writes=True)
        ring.offer(ring.add([header, Buffer(memory.size, 4096, device_writes=True), status]))
        ring.publish()
        ring.kick()
        wait_for_held(device, 1)
        told = pool.submit(frontend.tell, fe.REM_MEM_REG, payload)
        assert not told.done()
        device.let_go()
        assert told.result() == 0
        assert added.map[:4096] == fuse.data_at(4096, 4096)
        assert (memory.read(status), ring.used_index()) == (b"\0", 1)
    added.close()


def test_a_ring_that_breaks_is_not_served_when_its_reads_are_done(
    served: BuiltinBackend, device: fuse.Server
) -> None:
    """Other rings are, and the reads are forgotten."""
    with Frontend(served.settings.socket_path, queues=2) as frontend:
        broken, other = frontend.queues
        offer_reads(frontend)
        wait_for_held(device)
        broken.avail_index += 1000
        broken.publish()
        broken.kick()
        wait_until(lambda: served.statistics()["broken_rings"] == 1, "a broken ring")
        offered = offer_reads(frontend, 1, queue=1)
        device.let_go()
        check_reads(offered, other.wait(1))
        frontend.stop_queue(0)  # nothing is postponed any more
        assert broken.used_index() == 0
    wait_until(lambda: served.statistics()["clients"] == 0, "the end of the client")
    assert served.statistics()["reads"] == 1


# ---- ends ----

# A client that offers reads and waits for ever.
CLIENT = """
import sys, time
from tests.backend.file_reads import offer_reads
from tests.backend.frontend import Frontend
frontend = Frontend(sys.argv[1])
offer_reads(frontend)
time.sleep(600)
"""


def files_of(pid: int) -> list[str]:
    """What the process has open."""
    files = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed
            files.append(str(file.readlink()))
    return files


def wait_for_no_client(pid: int) -> None:
    """Only the socket that listens is left, and no shared memory."""
    wait_until(
        lambda: (
            sum(file.startswith("socket:") for file in files_of(pid)) == 1
            and "memfd:" not in Path(f"/proc/{pid}/maps").read_text()
        ),
        "a back-end without clients",
    )


def test_a_client_that_is_killed_leaves_nothing(
    start: Start, path: str, short_folder: Path, device: fuse.Server, aio: str
) -> None:
    process = start(f"--storage=file:{short_folder}/fuse/file", f"--aio={aio}")
    wait_for_no_client(process.pid)
    before = len(files_of(process.pid))
    client = subprocess.Popen([sys.executable, "-c", CLIENT, path], cwd=ROOT)
    try:
        wait_for_held(device)
        assert len(files_of(process.pid)) > before
    finally:
        waiting.kill(client.pid)
        client.wait()
    device.let_go()
    wait_for_no_client(process.pid)
    wait_until(lambda: len(files_of(process.pid)) == before, "the end of all that it gave")
    with Frontend(path) as frontend:
        done = blk(frontend, BLK_READ, 256, in_bytes=4096)
        assert (done.status, done.data) == (BLK_OK, fuse.data_at(256 * 512, 4096))


def test_a_back_end_that_is_to_end_completes_its_reads(
    start: Start, path: str, short_folder: Path, device: fuse.Server, aio: str
) -> None:
    stats = short_folder / "stats"
    options = (f"--storage=file:{short_folder}/fuse/file", f"--aio={aio}")
    process = start(*options, f"--stats-file={stats}")
    with Frontend(path) as frontend:
        offered = offer_reads(frontend)
        wait_for_held(device)
        process.terminate()
        assert process.poll() is None
        device.let_go()
        _, said = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, said) == (0, "")
        check_reads(offered, frontend.queues[0].wait(READS))
    assert json.loads(stats.read_text())["postponed"] == READS
    assert not Path(path).exists()
