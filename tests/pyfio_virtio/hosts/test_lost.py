# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever is lost while a job runs, the host is as before: no process, no socket, no file."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from pyfio_virtio.hosts import wire
from pyfio_virtio.machine.process import start_ticks
from tests import waiting
from tests.pyfio_virtio.hosts.conftest import LONG_JOB, BeginJob, Client, Serve, Served
from tests.waiting import wait_until

# Such jobs are processes, which leave fio's group and session.
FORKS = LONG_JOB.replace("thread=1\n", "")


def run_until_forked(here: Served, client: Client, begin_job: BeginJob) -> dict[int, int | None]:
    """Runs a job. Returns all processes of the session, with the times at which they began."""
    disk = client.prepare().fields
    job = begin_job(client, FORKS, disk["disk"])
    job.turn_until(lambda: any(map(is_job, here.processes())))
    found = {pid: start_ticks(pid) for pid in here.processes()}
    # The session, its back-end, fio's server, its fork for the connection, and the job's processes.
    assert len(found) >= 5
    assert disk["pid"] in found
    return found


def is_job(pid: int) -> bool:
    """Whether it is a process of a job, which is the leader of a session of fio's."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return name == "fio" and os.getsid(pid) == pid
    except OSError:
        return False


def have_ended(found: dict[int, int | None]) -> bool:
    return all(start_ticks(pid) != since for pid, since in found.items())


def test_a_client_that_leaves(here: Served, begin_job: BeginJob) -> None:
    with Client(here.socket) as client:
        found = run_until_forked(here, client, begin_job)
        assert len(here.sessions()) == 1
        # ^C in the terminal of serve does not reach its sessions.
        session = next(pid for pid in found if _parent(pid) == here.pid)
        assert os.getpgid(session) == session
    wait_until(lambda: have_ended(found), "the end of its processes")
    here.wait_until_idle()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_session_that_is_killed(here: Served, begin_job: BeginJob, number: int) -> None:
    with Client(here.socket) as client:
        found = run_until_forked(here, client, begin_job)
        (session,) = (pid for pid in found if _parent(pid) == here.pid)
        os.kill(session, number)
        wait_until(lambda: have_ended(found), "the end of its processes")
        here.wait_until_idle()
        with Client(here.socket) as another:
            another.prepare()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_serve_is_ended(served: Serve, begin_job: BeginJob, number: int) -> None:
    here = served()
    with Client(here.socket) as client:
        found = run_until_forked(here, client, begin_job)
        here.process.send_signal(number)
        wait_until(lambda: have_ended(found), "the end of its processes")
        wait_until(lambda: not here.sessions(), "the end of its folders")
        assert here.process.wait(30) == (-9 if number == signal.SIGKILL else 128 + number)
    assert number == signal.SIGKILL or not Path(here.socket).exists()
    # Another one serves at the same address.
    assert served().address == here.address


def test_a_silent_client(served: Serve, begin_job: BeginJob) -> None:
    here = served(limits={"wire.SILENCE_S": 5.0, "wire.BEAT_S": 0.2})
    with Client(here.socket) as client:
        found = run_until_forked(here, client, begin_job)
        wait_until(lambda: have_ended(found), "the end of its processes")
        here.wait_until_idle()
    assert "a client was lost" in here.errors()


def test_a_client_that_takes_nothing(served: Serve) -> None:
    here = served(limits={"wire.SILENCE_S": 1.0})
    with Client(here.socket) as client:
        client.connection.settimeout(0.1)
        with suppress(OSError):  # serve reads no more
            while True:
                client.send("hello", version=wire.VERSION)
        here.wait_until_idle()


def test_a_client_that_leaves_while_its_disk_is_made(here: Served) -> None:
    with Client(here.socket) as client:
        client.send("prepare", backend={"size_bytes": 4 << 20})
        wait_until(lambda: len(here.processes()) == 2, "the process of its back-end")
        for pid in here.processes():
            if _parent(pid) != here.pid:
                waiting.stop(pid)
    here.wait_until_idle()


def test_a_back_end_that_dies_is_told(here: Served, begin_job: BeginJob) -> None:
    with Client(here.socket) as client:
        disk = client.prepare().fields
        job = begin_job(client, LONG_JOB, disk["disk"])
        job.turn_until(lambda: len(here.processes()) >= 5)
        waiting.kill(disk["pid"])
        ran = job.run()
        assert "error" in ran.stdout
        assert client.ask("collect", "collected").fields["died"]


def test_the_files_of_the_last_stream_are_gone(here: Served, begin_job: BeginJob) -> None:
    text = "[a]\nioengine=null\nsize=4k\nwrite_bw_log=log\nexec_prerun=touch mine\n"
    with Client(here.socket) as client:
        client.ask("prepare", "prepared")
        begin_job(client, text).run()
        assert list(here.sessions()[0].glob("fio/mine"))
        begin_job(client, text.replace("mine", "other")).run()
        assert list(here.sessions()[0].glob("fio/other"))
        assert not list(here.sessions()[0].glob("fio/mine"))


def test_what_a_job_starts_ends_with_it(here: Served, begin_job: BeginJob) -> None:
    text = "[a]\nioengine=null\nsize=4k\nexec_prerun=setsid sleep 1000 &\n"
    with Client(here.socket) as client:
        client.ask("prepare", "prepared")
        begin_job(client, text).run()
        assert len(here.processes()) == 1
    here.wait_until_idle()
