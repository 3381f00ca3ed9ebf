# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that is taken away while it is used: the outcome depends on its owner."""

import contextlib
import mmap
import os
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.backend import frontend as fe
from tests.backend.conftest import Start, StartBuiltin
from tests.backend.disk_requests import BLK_OK, BLK_READ, BLK_WRITE, BlkRequest, blk
from tests.backend.frontend import TIMEOUT_S, Frontend, Memory

HUGE = 2 << 20


def offer(frontend: Frontend, request: BlkRequest) -> None:
    queue = frontend.queues[0]
    queue.offer(queue.add(request.chain()))
    queue.publish()


def test_a_client_that_cuts_its_memory_short_is_sent_away(start: Start, path: str) -> None:
    process = start("--serve", "event")
    with Frontend(path) as frontend, Frontend(path) as other:
        blk(frontend, BLK_READ, 0, in_bytes=512)
        os.ftruncate(frontend.memory.fd, 0)
        frontend.queues[0].kick()
        assert frontend.connection.is_closed_by_backend()
        assert blk(other, BLK_READ, 0, in_bytes=512).status == BLK_OK
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "client 2 is disconnected: its shared memory was cut short" in said


@pytest.mark.parametrize("kind", [BLK_READ, BLK_WRITE])
@pytest.mark.parametrize("storage", ["null", "memory", "memory:PATH", "file:PATH"])
def test_data_whose_memory_is_gone_harms_nobody_else(
    start: Start, path: str, short_folder: Path, storage: str, kind: int
) -> None:
    process = start(
        *("--storage", storage.replace("PATH", str(short_folder / "disk")), "--size", "1M")
    )
    with Frontend(path) as frontend, Frontend(path) as other:
        data = bytes(4096) if kind == BLK_WRITE else b""
        frontend.memory.take(0, 1 << 20)
        request = BlkRequest(frontend.memory, kind, 0, data, 4096 if kind == BLK_READ else 0)
        offer(frontend, request)
        os.ftruncate(frontend.memory.fd, 1 << 20)
        frontend.queues[0].kick()
        assert blk(other, BLK_READ, 0, in_bytes=512).status == BLK_OK
    assert process.poll() is None


def test_a_record_of_requests_that_is_cut_short_sends_its_client_away(
    start: Start, path: str
) -> None:
    start()
    with Frontend(path, setup=False) as frontend, Frontend(path) as other:
        payload = struct.pack("<QQHH4x", 0, 0, 1, 64)
        reply = frontend.connection.ask(fe.GET_INFLIGHT_FD, payload)
        bytes_ = struct.unpack("<QQHH4x", reply)[0]
        record = os.memfd_create("record")
        os.ftruncate(record, bytes_)
        frontend.negotiate()
        frontend.share_memory()
        frontend.tell(fe.SET_INFLIGHT_FD, struct.pack("<QQHH", bytes_, 0, 1, 64), [record])
        os.ftruncate(record, 0)
        with contextlib.suppress(fe.BackendGoneError):
            frontend.start_queue(0)
        assert frontend.connection.is_closed_by_backend()
        assert blk(other, BLK_READ, 0, in_bytes=512).status == BLK_OK
        os.close(record)


def test_the_record_that_the_back_end_makes_cannot_be_cut_short(start: Start, path: str) -> None:
    start()
    with Frontend(path, setup=False) as frontend:
        frontend.connection.ask(fe.GET_INFLIGHT_FD, struct.pack("<QQHH4x", 0, 0, 1, 64))
        with pytest.raises(PermissionError):
            os.ftruncate(frontend.connection.reply_fds[-1], 0)


class HugeMemory(Memory):
    """As Memory, on huge pages."""

    def __init__(self) -> None:
        self.size = 2 * HUGE
        self.fd = os.memfd_create("frontend", os.MFD_HUGETLB)
        try:
            os.ftruncate(self.fd, self.size)
            self.map = mmap.mmap(self.fd, self.size)
        except OSError:
            os.close(self.fd)
            pytest.skip("no two huge pages are free")
        self.words = memoryview(self.map).cast("H")
        self._next = 0


def test_huge_pages_can_be_taken_away_as_well(start: Start, path: str) -> None:
    start()
    with Frontend(path, memory=HugeMemory()) as frontend, Frontend(path) as other:
        blk(frontend, BLK_READ, 0, in_bytes=512)
        os.ftruncate(frontend.memory.fd, 0)
        frontend.queues[0].kick()
        assert frontend.connection.is_closed_by_backend()
        assert blk(other, BLK_READ, 0, in_bytes=512).status == BLK_OK


# ---- what is neither a client's memory nor storage -----------------------------------------------


FAULT_ELSEWHERE = """
    import mmap, os, sys
    from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
    with BuiltinBackend(Settings(sys.argv[1], own_process=True, size_bytes=1 << 20)):
        fd = os.memfd_create("elsewhere")
        os.ftruncate(fd, 4096)
        with mmap.mmap(fd, 4096) as memory:
            os.ftruncate(fd, 0)
            memory[0]
"""


def test_a_fault_elsewhere_ends_the_process_and_is_told(path: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FAULT_ELSEWHERE), path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == -signal.SIGBUS
    assert done.stderr == ("the back-end ends: SIGBUS outside of clients' memory and storage\n")


def test_a_signal_that_somebody_sends_ends_the_process(start: Start) -> None:
    process = start()
    process.send_signal(signal.SIGBUS)
    assert process.wait(TIMEOUT_S) == -signal.SIGBUS


def caught_signals() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("SigCgt:")[1].split()[0], 16)


def test_in_another_program_no_handler_is_set(backend: StartBuiltin) -> None:
    before = caught_signals()
    backend()
    assert caught_signals() == before
