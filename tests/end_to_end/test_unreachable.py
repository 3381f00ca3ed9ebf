# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets behind which there is no back-end for us: one sentence each, and no hang."""

import os
import pwd
import shutil
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import Fio, StartBackend, run_to_end
from tests.end_to_end.conftest import StartFio, StartRelay
from tests.end_to_end.refusal import refusal
from tests.end_to_end.relay import Message
from tests.vhost_numbers import Request


@contextmanager
def listener(path: Path) -> Iterator[sockets.socket]:
    """Listens, and never accepts: the kernel completes connections all the same."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as held:
        held.bind(str(path))
        held.listen(0)
        yield held


@pytest.mark.parametrize("thread", [None, 1])
def test_no_such_path(fio: Fio, private: Path, thread: int | None) -> None:
    path = private / "nothing"
    said = refusal(fio(str(path), rw="read", thread=thread))
    assert f"{path}: no such socket" in said


def test_a_folder_that_does_not_exist(fio: Fio, private: Path) -> None:
    assert "no such socket" in refusal(fio(str(private / "no" / "socket"), rw="read"))


def test_a_plain_file(fio: Fio, private: Path) -> None:
    path = private / "file"
    path.write_text("content")
    assert "is not a socket" in refusal(fio(str(path), rw="write"))
    assert path.read_text() == "content"


def test_a_folder(fio: Fio, private: Path) -> None:
    assert "is not a socket" in refusal(fio(str(private), rw="read"))


def test_nobody_listens(fio: Fio, private: Path) -> None:
    path = private / "socket"
    with listener(path):
        pass
    assert "nobody listens" in refusal(fio(str(path), rw="read"))


def test_a_datagram_socket(fio: Fio, private: Path) -> None:
    path = private / "socket"
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as held:
        held.bind(str(path))
        assert str(path) in refusal(fio(str(path), rw="read"))


def test_no_filename(fio: Fio, private: Path) -> None:
    # fio then makes one up, from the job's name.
    run = fio(str(private / "unused"), filename=None, rw="read", size="1m")
    assert "test.0.0: no such socket" in refusal(run)


def test_a_path_longer_than_sockets_allow(fio: Fio) -> None:
    assert "at most 107 characters" in refusal(fio("/tmp/" + "x" * 110, rw="read"))  # noqa: S108


def test_a_socket_path_with_a_colon_is_named_whole(fio: Fio, private: Path) -> None:
    path = private / "a:b"
    assert f"{path}: no such socket" in refusal(fio(str(path), rw="read"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_permission_denied(qsd: StartBackend, fio: Fio, private: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    socket = qsd().socket
    # All that nobody needs to load the engine, and no more of the socket than its path.
    private.chmod(0o755)
    Path(socket).chmod(0o600)
    library = private / "lib"
    library.mkdir(mode=0o755)
    shutil.copy(engine.folder() / engine.NAME, library)
    run = run_to_end(
        [
            *("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
            *("fio", "--name=test", f"--ioengine={engine.NAME}", f"--filename={socket}"),
            *("--thread", "--rw=read"),
        ],
        {**fio.environment(), "LD_LIBRARY_PATH": str(library)},
    )
    assert f"{socket}: permission denied: this user may not connect to the socket" in refusal(run)
    assert "..." not in refusal(run)


def test_a_listener_that_never_answers(fio: Fio, private: Path) -> None:
    path = private / "socket"
    with listener(path):
        said = refusal(fio(str(path), rw="read", connect_timeout=1))
    assert "did not answer GET_FEATURES in time" in said


def test_a_listener_with_a_full_backlog(fio: Fio, private: Path) -> None:
    path = private / "socket"
    with listener(path), sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as other:
        other.connect(str(path))
        said = refusal(fio(str(path), rw="read", connect_timeout=1))
    assert "does not accept connections" in said


def test_a_back_end_that_has_a_client_already(
    qsd: StartBackend, fio: Fio, start_fio: StartFio
) -> None:
    disk = qsd(storage="null")
    first = start_fio(disk.socket, rw="randread", iodepth=32, time_based=True, runtime=60)
    first.wait_until_served(disk.process.pid)
    said = refusal(fio(disk.socket, rw="read", connect_timeout=1))
    assert "one client at a time" in said
    assert "thread=1" in said
    assert first.child.poll() is None


def test_two_processes_where_one_client_is_served(
    qsd: StartBackend, fio: Fio, start_fio: StartFio
) -> None:
    disk = qsd(storage="null", queues=2)
    run = start_fio(
        disk.socket,
        thread=None,
        numjobs=2,
        rw="randread",
        time_based=True,
        runtime=4,
        connect_timeout=1,
    ).finish()
    assert "one client at a time" in refusal(run)


def test_a_job_waits_for_its_own_connect_timeout(
    builtin: StartBackend, fio: Fio, relay: StartRelay
) -> None:
    """Not for that of another job, which was planned first and begins later."""
    swallowed: list[Message] = []

    def tamper(message: Message) -> Message | None:
        if swallowed or message.request != Request.ADD_MEM_REG:
            return message
        swallowed.append(message)
        return None

    run = fio.job(f"""
[global]
ioengine=fio_virtio
filename={relay(builtin(queues=2).socket, tamper)}
rw=read
number_ios=10
thread=1
[patient]
startdelay=1
connect_timeout=1000
[hasty]
connect_timeout=1
""")
    assert "did not answer ADD_MEM_REG in time" in refusal(run)
    assert [job["read"]["total_ios"] for job in run.jobs] == [10, 0]


def test_one_bad_device_among_several(qsd: StartBackend, fio: Fio, private: Path) -> None:
    good = qsd().socket
    run = fio(good, filename=f"{good}:{private}/nothing", rw="read")
    assert "nothing: no such socket" in refusal(run)
