# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs that are cut off: a back-end that dies or stops, a fio that is interrupted.

Each run ends by itself; none waits for the back-end for ever.
"""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pyfio_virtio.backends.backends import Backend
from tests.conftest import Fio, Option, StartBackend
from tests.end_to_end.conftest import BACKENDS, WAITS, StartFio
from tests.end_to_end.refusal import refusal, sentences
from tests.waiting import go_on, kill, stop

# The engine gives up within about a second; this is what a busy machine may add.
SOON_S = 10.0
LONG: dict[str, Option] = {"rw": "randread", "bs": "4k", "time_based": True, "runtime": 60}
# Each wait on one back-end, and one wait on each of the others: they take seconds.
over_backends_and_waits = pytest.mark.parametrize(
    ("disk", "wait"),
    [("qsd", wait) for wait in WAITS] + [(kind, "event") for kind in BACKENDS if kind != "qsd"],
    indirect=["disk"],
)


@contextmanager
def stopped(backend: Backend) -> Iterator[None]:
    """The back-end answers nothing; then it is killed, since a stopped one would not end."""
    stop(backend.process.pid)
    try:
        yield
    finally:
        kill(backend.process.pid)


# ---- a back-end that dies --------------------------------------------------------------------


@over_backends_and_waits
def test_a_killed_back_end_ends_the_run(disk: StartBackend, start_fio: StartFio, wait: str) -> None:
    backend = disk(storage="null")
    running = start_fio(backend.socket, wait=wait, iodepth=16, **LONG)
    running.wait_until_served(backend.process.pid)
    kill(backend.process.pid)
    run = running.finish(SOON_S)
    said = refusal(run)
    assert backend.socket in said
    assert "hung up" in said
    assert run.first["error"] == 5  # EIO


def test_a_killed_back_end_ends_all_jobs_on_it(qsd: StartBackend, start_fio: StartFio) -> None:
    backend = qsd(storage="null", queues=4)
    running = start_fio(backend.socket, numjobs=4, iodepth=16, **LONG)
    running.wait_until_served(backend.process.pid)
    kill(backend.process.pid)
    run = running.finish(SOON_S)
    assert run.status > 0
    assert [job["error"] for job in run.jobs] == [5] * 4


def test_a_killed_back_end_ends_a_job_in_a_process(qsd: StartBackend, start_fio: StartFio) -> None:
    backend = qsd(storage="null")
    running = start_fio(backend.socket, thread=None, iodepth=16, **LONG)
    running.wait_until_served(backend.process.pid)
    kill(backend.process.pid)
    assert "hung up" in refusal(running.finish(SOON_S))


@pytest.mark.parametrize("rw", ["randwrite", "randtrim", "randrw"])
def test_a_killed_back_end_ends_every_direction(
    qsd: StartBackend, start_fio: StartFio, rw: str
) -> None:
    backend = qsd(storage="null")
    running = start_fio(backend.socket, iodepth=32, **{**LONG, "rw": rw})
    running.wait_until_served(backend.process.pid)
    kill(backend.process.pid)
    assert "hung up" in refusal(running.finish(SOON_S))


def test_a_killed_back_end_does_not_end_a_job_on_another(
    qsd: StartBackend, fio: Fio, start_fio: StartFio
) -> None:
    killed, kept = qsd(storage="null"), qsd(storage="null")
    running = start_fio(killed.socket, iodepth=16, **LONG)
    other = start_fio(kept.socket, rw="randread", iodepth=16, time_based=True, runtime=2)
    running.wait_until_served(killed.process.pid)
    kill(killed.process.pid)
    assert refusal(running.finish(SOON_S))
    assert other.finish().status == 0


def test_one_of_a_jobs_devices_dies(qsd: StartBackend, start_fio: StartFio) -> None:
    backends = [qsd(storage="null"), qsd(storage="null")]
    sockets = [backend.socket for backend in backends]
    running = start_fio(sockets[0], **{**LONG, "filename": ":".join(sockets), "iodepth": 16})
    running.wait_until_served(backends[1].process.pid)
    kill(backends[1].process.pid)
    assert sockets[1] in refusal(running.finish(SOON_S))


def test_continue_on_error_does_not_outlive_the_back_end(
    qsd: StartBackend, start_fio: StartFio
) -> None:
    backend = qsd(storage="null")
    running = start_fio(
        backend.socket, iodepth=16, continue_on_error="all", **{**LONG, "runtime": 3}
    )
    running.wait_until_served(backend.process.pid)
    kill(backend.process.pid)
    run = running.finish()
    assert "hung up" in " ".join(sentences(run))
    assert run.first["total_err"] > 0


# ---- a back-end that stops -------------------------------------------------------------------


@over_backends_and_waits
def test_runtime_holds_with_a_stopped_back_end(
    disk: StartBackend, start_fio: StartFio, wait: str
) -> None:
    backend = disk(storage="null")
    # On a busy machine the back-end does not get much CPU time within one second.
    options = {**LONG, "runtime": 2}
    running = start_fio(backend.socket, wait=wait, iodepth=16, **options)
    running.wait_until_served(backend.process.pid)
    with stopped(backend):
        # The end lasts up to five times as long as the back-end was stopped during the run.
        said = refusal(running.finish(3 * SOON_S))
    assert "the run is over and the back-end completed nothing" in said


def test_a_run_ends_as_late_as_its_slowest_request_needs(builtin: StartBackend, fio: Fio) -> None:
    late, lost = "fault=delay:for=450ms,after=5,count=1", "fault=lose:after=85"
    backend = builtin(storage="null", options=(late, lost))
    said = refusal(fio(backend.socket, rw="randread", rate_iops=100, time_based=True, runtime=1))
    found = re.search(r"the run is over and the back-end completed nothing for (\d+) s", said)
    assert found
    assert int(found[1]) >= 3  # five times 450 ms; else it would be one


@over_backends_and_waits
def test_request_timeout_ends_a_run_with_a_stopped_back_end(
    disk: StartBackend, start_fio: StartFio, wait: str
) -> None:
    backend = disk(storage="null")
    running = start_fio(backend.socket, wait=wait, iodepth=16, request_timeout=1, **LONG)
    running.wait_until_served(backend.process.pid)
    with stopped(backend):
        said = refusal(running.finish(SOON_S))
    assert "completed nothing for 1 s (request_timeout)" in said


def test_request_timeout_ends_a_run_without_runtime(qsd: StartBackend, start_fio: StartFio) -> None:
    backend = qsd(storage="null", size_bytes=1 << 40)
    running = start_fio(backend.socket, rw="read", bs="4k", iodepth=16, request_timeout=1)
    running.wait_until_served(backend.process.pid)
    with stopped(backend):
        assert "request_timeout" in refusal(running.finish(SOON_S))


def test_a_pause_shorter_than_request_timeout_does_no_harm(
    qsd: StartBackend, start_fio: StartFio
) -> None:
    backend = qsd(storage="null")
    running = start_fio(backend.socket, rw="randread", iodepth=16, time_based=True, runtime=2)
    running.wait_until_served(backend.process.pid)
    stop(backend.process.pid)
    go_on(backend.process.pid)
    assert running.finish().status == 0


# ---- an interrupted fio ----------------------------------------------------------------------


@over_backends_and_waits
def test_an_interrupt_ends_a_run_in_order(
    disk: StartBackend, start_fio: StartFio, wait: str
) -> None:
    backend = disk(storage="null")
    running = start_fio(backend.socket, wait=wait, iodepth=16, **LONG)
    running.wait_until_served(backend.process.pid)
    running.signal(signal.SIGINT)
    run = running.finish(SOON_S)
    # fio's own status after an interrupt; what was done by then is reported.
    assert (run.status, sentences(run)) == (128, [])
    assert run.first["read"]["total_ios"] > 0


@over_backends_and_waits
def test_an_interrupt_ends_a_run_with_a_stopped_back_end(
    disk: StartBackend, start_fio: StartFio, wait: str
) -> None:
    backend = disk(storage="null")
    running = start_fio(backend.socket, wait=wait, iodepth=16, **LONG)
    running.wait_until_served(backend.process.pid)
    with stopped(backend):
        time.sleep(0.2)  # what fio has in flight by then stays there
        running.signal(signal.SIGINT)
        run = running.finish(SOON_S)
    assert run.status > 0
    assert len(sentences(run)) == 1


def test_an_interrupt_ends_jobs_in_processes(builtin: StartBackend, start_fio: StartFio) -> None:
    backend = builtin(storage="null", queues=2)
    running = start_fio(backend.socket, thread=None, numjobs=2, iodepth=16, **LONG)
    running.wait_until_served(backend.process.pid)
    running.signal(signal.SIGINT)
    assert running.finish(SOON_S).status == 128


def test_the_back_end_serves_the_next_after_a_killed_fio(
    qsd: StartBackend, fio: Fio, start_fio: StartFio
) -> None:
    backend = qsd(storage="null")
    running = start_fio(backend.socket, iodepth=64, **LONG)
    running.wait_until_served(backend.process.pid)
    running.kill()
    assert fio(backend.socket, rw="randread", number_ios=10).status == 0
