# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs that outlive their back-end: it is killed and started again, and fio goes on.

The data are checked by fio while the back-ends come and go (verify_backlog).
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends import backends
from pyfio_virtio.backends.spec import BackendSpec
from tests.conftest import FioRun, Option
from tests.end_to_end.conftest import StartFio
from tests.end_to_end.refusal import refusal, sentences
from tests.end_to_end.running_fio import RunningFio
from tests.waiting import kill, stop

MIB = 1 << 20
DISK_BYTES = 16 * MIB
# Ample for a back-end that is started again on a busy machine.
RECONNECT_S = 30
SOON_S = 15.0
LOAD: dict[str, Option] = {
    "rw": "randrw",
    "bs": "4k",
    "iodepth": 64,
    "verify": "crc32c",
    "verify_fatal": 1,
    "verify_backlog": 64,
    "size": "4M",
    "offset_increment": "4M",
    "time_based": True,
    "runtime": 60,
    "reconnect_timeout": RECONNECT_S,
    "stats_file": "stats",
}


class Restarting:
    """A back-end on a file, which is killed and started again on the same socket."""

    def __init__(self, kind: str, folder: Path, name: str, **spec: Any) -> None:  # noqa: ANN401
        self.file = folder / f"{name}.img"
        self.file.touch()
        self.socket, self._log = str(folder / f"{name}.sock"), str(folder / f"{name}.log")
        self._kind, self._spec = kind, {"storage": f"file:{self.file}", **spec}
        self.start()

    def start(self, size: int = DISK_BYTES, **changes: Any) -> None:  # noqa: ANN401
        os.truncate(self.file, size)
        spec = BackendSpec(kind=self._kind, **{**self._spec, **changes})
        self.backend = backends.start(spec, self.socket, self._log)

    def kill(self) -> None:
        kill(self.backend.process.pid)
        self.backend.stop()

    def restart(self, running: RunningFio) -> None:
        running.wait_until_served(self.backend.process.pid)
        self.kill()
        self.start()


Restartable = Callable[..., Restarting]


@pytest.fixture
def restartable(private: Path) -> Iterator[Restartable]:
    started: list[Restarting] = []

    def start(kind: str, **spec: Any) -> Restarting:  # noqa: ANN401
        started.append(Restarting(kind, private, f"disk{len(started)}", **spec))
        return started[-1]

    yield start
    for each in started:
        each.backend.stop()


def queues_of(run: FioRun) -> list[dict[str, Any]]:
    """What the engine counted for each queue."""
    assert run.jobs
    lines = Path("stats").read_text().splitlines()
    return [queue for line in lines for queue in json.loads(line)["queues"]]


def interrupted(running: RunningFio) -> FioRun:
    """Ends the run by a signal; nothing went wrong."""
    running.signal(signal.SIGINT)
    run = running.finish(SOON_S)
    assert (run.status, sentences(run)) == (128, [])
    assert [job["error"] for job in run.jobs] == [0] * len(run.jobs)
    return run


# ---- nothing is lost ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "queues", "wait"),
    [
        ("builtin", ("device=blk",), 1, "event"),
        ("builtin", ("device=blk", "profile=qemu"), 4, "adaptive"),  # without INFLIGHT
        ("builtin", ("device=scsi",), 4, "event"),
        ("builtin", ("device=scsi", "profile=qemu"), 1, "busy"),
        ("qsd", (), 1, "adaptive"),
    ],
)
def test_a_killed_back_end_is_gone_on_with(
    restartable: Restartable,
    start_fio: StartFio,
    kind: str,
    options: tuple[str, ...],
    queues: int,
    wait: str,
) -> None:
    disk = restartable(kind, options=options, queues=queues)
    running = start_fio(disk.socket, **{**LOAD, "wait": wait, "numjobs": queues})
    for _ in range(2):
        disk.restart(running)
    running.wait_until_served(disk.backend.process.pid)
    served = queues_of(interrupted(running))
    for queue in served:
        # A queue that is not back when the back-end dies again is away once for both deaths.
        assert (queue["reconnects"], queue["errors"]) in ((1, 0), (2, 0))
        assert 0 < queue["longest_away_ns"] <= queue["away_ns"]
        times = [time for absence in queue["absences"] for time in absence]
        assert (len(times), times) == (2 * queue["reconnects"], sorted(times))
    assert len(served) == queues
    assert max(queue["reconnects"] for queue in served) == 2


def test_one_of_a_jobs_disks_restarts(restartable: Restartable, start_fio: StartFio) -> None:
    disks = [restartable("qsd"), restartable("builtin")]
    both = ":".join(disk.socket for disk in disks)
    running = start_fio(
        disks[0].socket, **{**LOAD, "filename": both, "size": "8M", "offset_increment": None}
    )
    for disk in disks:
        disk.restart(running)
        running.wait_until_served(disk.backend.process.pid)
    assert [queue["reconnects"] for queue in queues_of(interrupted(running))] == [1, 1]


def test_jobs_in_processes_connect_again_each_by_itself(
    restartable: Restartable, start_fio: StartFio
) -> None:
    disk = restartable("builtin")
    running = start_fio(disk.socket, **{**LOAD, "thread": None, "numjobs": 2})
    disk.restart(running)
    running.wait_until_served(disk.backend.process.pid)
    run = interrupted(running)
    assert [queue["errors"] for queue in queues_of(run)] == [0, 0]


def test_request_timeout_does_not_run_while_the_back_end_is_away(
    restartable: Restartable, start_fio: StartFio
) -> None:
    disk = restartable("qsd")
    running = start_fio(disk.socket, **{**LOAD, "request_timeout": 1})
    running.wait_until_served(disk.backend.process.pid)
    disk.kill()
    time.sleep(1.3)
    disk.start()
    running.wait_until_served(disk.backend.process.pid)
    [queue] = queues_of(interrupted(running))
    assert queue["longest_away_ns"] > 1.2e9


# ---- what cannot go on --------------------------------------------------------------------------


def test_nobody_comes_back(restartable: Restartable, start_fio: StartFio) -> None:
    disk = restartable("qsd")
    running = start_fio(disk.socket, **{**LOAD, "reconnect_timeout": 1})
    running.wait_until_served(disk.backend.process.pid)
    disk.kill()
    run = running.finish(SOON_S)
    said = refusal(run)
    assert f"{disk.socket}: the back-end hung up and was not back within 1 s" in said
    assert run.first["error"] == 5  # EIO


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"size": 8 * MIB}, "its capacity in bytes is 8388608 instead of 16777216"),
        ({"read_only": True}, "it is read-only"),
        ({"options": ("device=blk",)}, "virtio-blk now, not virtio-scsi"),
    ],
    ids=["smaller", "read-only", "type"],
)
def test_another_disk_ends_the_run(
    restartable: Restartable, start_fio: StartFio, changes: dict[str, Any], why: str
) -> None:
    disk = restartable("builtin", options=("device=scsi",))
    running = start_fio(disk.socket, **LOAD)
    running.wait_until_served(disk.backend.process.pid)
    disk.kill()
    disk.start(**changes)
    run = running.finish(SOON_S)
    assert why in refusal(run)
    assert run.first["error"] == 5  # EIO


def test_an_interrupt_ends_a_run_whose_back_end_is_away(
    restartable: Restartable, start_fio: StartFio
) -> None:
    disk = restartable("qsd")
    running = start_fio(disk.socket, **LOAD)
    running.wait_until_served(disk.backend.process.pid)
    disk.kill()
    running.signal(signal.SIGINT)
    assert "the run is over" in refusal(running.finish(SOON_S))


def test_a_stopped_back_end_is_not_away(restartable: Restartable, start_fio: StartFio) -> None:
    disk = restartable("qsd")
    running = start_fio(disk.socket, **{**LOAD, "request_timeout": 1})
    running.wait_until_served(disk.backend.process.pid)
    stop(disk.backend.process.pid)
    try:
        assert "completed nothing for 1 s (request_timeout)" in refusal(running.finish(SOON_S))
    finally:
        kill(disk.backend.process.pid)
