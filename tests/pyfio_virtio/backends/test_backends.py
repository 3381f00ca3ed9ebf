# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/backends.py: real back-ends started, waited for and stopped."""

import os
import socket as sockets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.backends import backends, command_lines, kinds, unix_sockets
from pyfio_virtio.backends.kinds import VHOST_USER_KINDS
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.backends.storage import Storage
from pyfio_virtio.disk.disk import open_disk
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError, UsageError
from tests.conftest import StartBackend
from tests.waiting import kill, wait_until

KINDS = tuple(kinds.KINDS)


def test_each_kind_has_a_command() -> None:
    assert tuple(command_lines.COMMANDS) == KINDS


def test_a_started_back_end_takes_connections(qsd: StartBackend) -> None:
    assert unix_sockets.accepts(qsd().socket)


def test_a_stopped_one_is_gone_with_its_socket(qsd: StartBackend) -> None:
    disk = qsd()
    disk.stop()
    assert not disk.is_running()
    assert not Path(disk.socket).exists()


def test_one_that_ends_after_its_last_client_has_not_died(builtin: StartBackend) -> None:
    disk = builtin(options=("clients=1",))
    open_disk(disk.socket).close()
    wait_until(lambda: not disk.is_running())
    assert not disk.has_died()


def test_one_that_was_killed_has_died(builtin: StartBackend) -> None:
    disk = builtin()
    assert not disk.has_died()
    kill(disk.process.pid)
    wait_until(lambda: not disk.is_running())
    assert disk.has_died()


@pytest.mark.parametrize(
    "spec",
    [
        {"storage": "null"},
        {"storage": "memory", "size_bytes": 1 << 20},
        {"queues": 8},
        {"block_size": 4096},
        {"read_only": True},
        {"poll_max_ns": 0},
        {"cpus": "0"},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_each_wish_makes_a_back_end_that_serves(qsd: StartBackend, spec: dict[str, Any]) -> None:
    assert unix_sockets.accepts(qsd(**spec).socket)


def test_cpus_are_those_it_runs_on(qsd: StartBackend) -> None:
    assert os.sched_getaffinity(qsd(cpus="0").process.pid) == {0}


def test_memory_leaves_no_file(qsd: StartBackend, private: Path) -> None:
    disk = qsd(storage="memory")
    disk.stop()
    assert [path.name for path in private.iterdir()] == ["disk0.log"]


def test_a_file_is_made_in_the_size_asked_for(qsd: StartBackend, private: Path) -> None:
    path = private / "disk,img"  # a comma is qemu's separator
    qsd(storage=f"file:{path}", size_bytes=1 << 20)
    assert path.stat().st_size == 1 << 20


def test_a_file_that_is_there_keeps_its_size(qsd: StartBackend, private: Path) -> None:
    path = private / "disk"
    path.write_bytes(bytes(4096))
    qsd(storage=f"file:{path}", size_bytes=1 << 20)
    assert path.stat().st_size == 4096


def test_a_socket_in_use_is_refused(qsd: StartBackend, private: Path) -> None:
    socket = qsd().socket
    with pytest.raises(UsageError, match="in use"):
        backends.start(BackendSpec(), socket, str(private / "log"))


def _identity(path: Path) -> tuple[int, ...]:
    """What stays the same unless the file is changed; connecting to a socket counts as reading."""
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_mode, status.st_mtime_ns, status.st_ctime_ns


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("dead socket", "nobody listens on it; if no program is about to serve it: rm "),
        ("socket", "in use"),
        ("file", "not a socket"),
        ("folder", "not a socket"),
        ("link", "not a socket"),
        ("dead link", "not a socket"),
    ],
)
def test_whatever_lies_in_the_sockets_place_is_left_alone(
    private: Path, kind: str, place: str, why: str
) -> None:
    path = private / "s"
    with sockets.socket(sockets.AF_UNIX) as theirs:
        if place.endswith("socket"):
            theirs.bind(str(path))
            if place == "socket":
                theirs.listen()
        elif place == "file":
            path.touch()
        elif place == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/null" if place == "link" else private / "none")
        before = _identity(path)
        with pytest.raises(UsageError, match=why):
            backends.start(BackendSpec(kind=kind), str(path), str(private / "log"))
    assert _identity(path) == before
    assert [each.name for each in private.iterdir()] == ["s"]


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_at_one_socket_one_is_refused(private: Path, kind: str) -> None:
    def start(number: int) -> backends.Backend | str:
        spec, log = BackendSpec(kind=kind, storage="null"), str(private / str(number))
        try:  # it outlives the thread
            return backends.start(spec, str(private / "s"), log, outlives_us=True)
        except UsageError as error:
            return error.why

    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(start, range(4)))
    [served] = [each for each in started if isinstance(each, backends.Backend)]
    assert unix_sockets.listener(served.socket) == served.process.pid
    served.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_who_listens_is_the_process_that_was_started(serve: StartBackend, kind: str) -> None:
    disk = serve(kind)
    assert unix_sockets.listener(disk.socket) == disk.process.pid


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_that_took_its_place_stays(serve: StartBackend, kind: str) -> None:
    disk = serve(kind)
    Path(disk.socket).unlink()
    with sockets.socket(sockets.AF_UNIX) as theirs:
        theirs.bind(disk.socket)
        theirs.listen()
        disk.stop()
        assert unix_sockets.accepts(disk.socket)


def test_a_back_end_whose_socket_another_serves_is_not_taken_for_started(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private / "s"
    taken = sockets.socket(sockets.AF_UNIX)

    def take(socket: str) -> int | None:
        if path.exists():
            path.unlink()
            taken.bind(socket)
            taken.listen()
        return listener(socket)

    listener = unix_sockets.listener
    monkeypatch.setattr(backends, "listener", take)
    with taken, pytest.raises(PyfioVirtioError, match="in its place"):
        backends.start(BackendSpec(storage="null"), str(path), str(private / "log"))
    assert path.is_socket()


def test_a_pipe_as_storage_is_not_waited_for(private: Path) -> None:
    os.mkfifo(private / "pipe")
    spec = BackendSpec(storage=f"file:{private / 'pipe'}", read_only=True)
    with pytest.raises(PyfioVirtioError):
        backends.start(spec, str(private / "s"), str(private / "log"))


@pytest.mark.parametrize(
    "option", ["storage=file:x", "sto=file:x", "socket=x", "export=x", "blockdev=x"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_would_serve_another_disk_is_refused(kind: str, option: str) -> None:
    with pytest.raises(UsageError, match="another disk"):
        BackendSpec(kind=kind, options=(option,)).check()


@pytest.mark.parametrize("place", ["link", "pipe", "folder", "none"])
def test_last_words_come_from_a_plain_file_only(
    serve: StartBackend, private: Path, place: str
) -> None:
    disk = serve("qsd")
    log = Path(disk.log)
    log.unlink()
    (private / "secret").write_text("secret")
    if place == "link":
        log.symlink_to(private / "secret")
    elif place == "pipe":
        os.mkfifo(log)
    elif place == "folder":
        log.mkdir()
    assert disk.last_words() == ""


def test_a_refusal_is_told_in_the_back_ends_words(private: Path) -> None:
    with pytest.raises(PyfioVirtioError, match="num-queues"):
        backends.start(
            BackendSpec(kind="qsd", queues=1 << 20), str(private / "s"), str(private / "log")
        )


def test_a_failed_start_leaves_nothing(private: Path) -> None:
    with pytest.raises(PyfioVirtioError):
        backends.start(
            BackendSpec(options=("latency=9999s",)), str(private / "s"), str(private / "log")
        )
    assert list(private.iterdir()) == []


def test_a_missing_program_is_named_with_its_package(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(private))
    with pytest.raises(MachineError, match="apt install"):
        backends.start(BackendSpec(kind="qsd"), str(private / "s"), str(private / "log"))


@pytest.mark.parametrize(
    "spec",
    [
        {"storage": "tape"},
        {"storage": "file"},
        {"storage": "file:"},
        {"storage": "null:x"},
        {"storage": "memory:"},
        {"kind": "qsd", "storage": "memory:/x"},
        {"block_size": 513},
        {"block_size": 256},
        {"size_bytes": 1000},
        {"size_bytes": 0},
        {"queues": 0},
        {"queues": 1 << 63},
        {"size_bytes": 1 << 63},
        {"kind": "qsd", "poll_max_ns": 1 << 63},
        {"kind": "qds"},
        {"kind": "builtin", "poll_max_ns": 0},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_starts(spec: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BackendSpec(**spec).check()


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_no_path_escapes_from_its_place_in_the_command(path: str) -> None:
    command = command_lines.qsd_command(BackendSpec(), "/s", Storage(path))
    node = command[command.index("--blockdev") + 1]
    escaped = node.partition("file.filename=")[2]
    assert escaped.count(",") == 2 * path.count(",")
    assert escaped.replace(",,", ",") == path


def test_a_dry_command_can_be_typed(private: Path) -> None:
    assert command_lines.dry_command(
        BackendSpec(kind="qsd", storage="null", cpus="0"), "/s"
    ).startswith("taskset -c 0 qemu-storage-daemon --blockdev driver=null-co")


@pytest.mark.parametrize("kind", VHOST_USER_KINDS)
@pytest.mark.parametrize("storage", ["null", "memory", "file"])
def test_each_kind_serves_each_storage(private: Path, kind: str, storage: str) -> None:
    where = f"file:{private / 'disk'}" if storage == "file" else storage
    wish = BackendSpec(kind, where, 1 << 20, queues=3, block_size=4096, read_only=True)
    disk = backends.start(wish, str(private / "s"), str(private / "log"))
    try:
        info = engine.describe(disk.socket, timeout_s=5)
    finally:
        disk.stop()
    assert (info.capacity_bytes, info.max_queues, info.block_size) == (1 << 20, 3, 4096)
    assert info.read_only


def test_kept_memory_outlives_a_back_end_that_is_killed(private: Path) -> None:
    wish = BackendSpec("builtin", f"memory:{private / 'disk'}", 1 << 20)
    socket, log = str(private / "s"), str(private / "log")
    first = backends.start(wish, socket, log)
    with open_disk(socket) as disk:
        disk.pwrite(b"kept" * 128, 0)
    kill(first.process.pid)
    first.stop()
    second = backends.start(wish, socket, log)
    try:
        with open_disk(socket) as disk:
            assert disk.pread(512, 0) == b"kept" * 128
    finally:
        second.stop()
    assert (private / "disk").stat().st_size == 1 << 20


def test_an_option_of_its_own_reaches_the_back_end() -> None:
    spec = BackendSpec(kind="builtin", options=("latency=20us",))
    assert command_lines.command(spec, "/s", Storage())[-1] == "--latency=20us"


def test_an_option_that_it_does_not_know_is_told(private: Path) -> None:
    spec = BackendSpec(kind="builtin", options=("color=blue",))
    with pytest.raises(PyfioVirtioError, match="color"):
        backends.start(spec, str(private / "s"), str(private / "log"))
