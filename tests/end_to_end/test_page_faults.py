# SPDX-License-Identifier: GPL-2.0-or-later
"""Once I/O flows, the threads that carry it out have no page faults.

A page fault takes several times as long as a request, so the part of a run in which many of them
happen is slower than the rest. The number of faults does not depend on how busy the machine is.
"""

import json
import signal
from pathlib import Path

import pytest

from pyfio_virtio.backends import control
from pyfio_virtio.backends.backends import Backend
from tests.conftest import StartBackend
from tests.end_to_end.conftest import WAITS, StartFio
from tests.waiting import wait_until

BLOCK_BYTES = 4096
# Not counted is the first use of what a job allocated, such as the last of its buffers.
WARM_UP = 500_000
MEASURED = 50_000


def requests(backend: Backend, path: Path) -> int:
    (answer,) = control.ask(str(path), backend.process.pid, "disk", ["stats"])
    counts = json.loads(answer)
    return int(counts["bytes_read"] + counts["bytes_written"]) // BLOCK_BYTES


def fields(task: Path) -> list[str]:
    """Those of proc(5) that come after the name, so that minflt is the eighth."""
    return (task / "stat").read_text().rpartition(") ")[2].split()


def faults(task: Path) -> int:
    minor, major = fields(task)[7], fields(task)[9]
    return int(minor) + int(major)


def busiest(pid: int) -> Path:
    """Of the threads that were started, the one with the most CPU time: the job's in fio, and the
    worker in a back-end. The start itself may have taken the first thread longer."""
    tasks = [each for each in Path(f"/proc/{pid}/task").iterdir() if each.name != str(pid)]
    return max(tasks, key=lambda task: int((task / "schedstat").read_text().split()[0]))


@pytest.mark.parametrize("wait", WAITS)
def test_io_takes_no_page_fault(
    builtin: StartBackend, start_fio: StartFio, private: Path, wait: str
) -> None:
    path = private / "control"
    # Without populate, a page that was only read has another fault when it is written at last.
    backend = builtin(options=(f"control={path}", "populate=on"))
    running = start_fio(
        backend.socket,
        rw="randrw",
        bs=BLOCK_BYTES,
        iodepth=128,
        wait=wait,
        time_based=True,
        runtime=20,
    )
    wait_until(lambda: requests(backend, path) >= WARM_UP, "the warm-up")
    threads = [busiest(pid) for pid in (running.child.pid, backend.process.pid)]
    before = [faults(thread) for thread in threads]
    until = requests(backend, path) + MEASURED
    wait_until(lambda: requests(backend, path) >= until, "the I/O that is measured")
    assert [faults(thread) for thread in threads] == before
    running.signal(signal.SIGINT)
    assert running.finish().status in (0, 128)
