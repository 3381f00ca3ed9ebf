# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end-to-end tests add: every kind of disk, a running fio, a tampering relay.

- `disk(**spec)` starts a back-end of each kind in BACKENDS in turn: a test that takes it runs once
  a kind. Without arguments: 64 MiB in memory, one queue. Tests that need one certain back-end take
  `qsd` or `builtin` instead.
- `qsd_with(*arguments)` starts a qemu-storage-daemon on block nodes of one's own.
- `start_fio(socket, **options)` starts fio and returns at once.
- `relay(socket, tamper)` stands between fio and a back-end; see relay.py.
fio runs in the test's private folder, so that what it writes goes with it; after each test nothing
may run any more that was started on a socket in that folder.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyfio_virtio.backends import backends, unix_sockets
from pyfio_virtio.machine import process
from tests.conftest import Fio, Option, StartBackend, as_arguments, defaults
from tests.end_to_end.relay import Relay, Tamper
from tests.end_to_end.running_fio import RunningFio
from tests.waiting import wait_until

DISK_BYTES = 64 << 20
WAITS = ("event", "busy", "sleepy", "adaptive")

# Name in a test's id: kind of back-end and its options.
BACKENDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "qsd": ("qsd", ()),
    "builtin-blk": ("builtin", ("device=blk",)),
    "builtin-scsi": ("builtin", ("device=scsi",)),
}

StartFio = Callable[..., RunningFio]
StartRelay = Callable[[str, Tamper], str]


@pytest.fixture(autouse=True)
def nothing_left(private: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """fio works in the private folder, and no process of the test outlives it."""
    monkeypatch.chdir(private)
    yield
    left = [found for found in psutil.process_iter(["cmdline"]) if _mentions(found, private)]
    for found in left:
        with suppress(psutil.NoSuchProcess):
            found.kill()
    assert not left, f"still running: {left}"


def _mentions(found: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in found.info["cmdline"] or ())


@pytest.fixture(params=list(BACKENDS))
def disk(request: pytest.FixtureRequest, serve: StartBackend) -> StartBackend:
    kind, kind_options = BACKENDS[request.param]

    def start(*, options: tuple[str, ...] = (), **spec: Any) -> backends.Backend:  # noqa: ANN401
        wanted = {"size_bytes": DISK_BYTES, **spec}
        return serve(kind, options=(*kind_options, *options), **wanted)

    return start


@pytest.fixture
def qsd_with(private: Path) -> Iterator[Callable[..., str]]:
    running: list[process.Process] = []

    def start(*nodes: str, export: str = "", options: tuple[str, ...] = ()) -> str:
        """Serves the node called "disk"; returns the socket."""
        socket = private / f"own{len(running)}.sock"
        line = ["qemu-storage-daemon"]
        for node in nodes:
            line += ["--blockdev", node]
        line += ["--export", f"type=vhost-user-blk,id=export,node-name=disk,writable=on{export}"]
        line[-1] += f",addr.type=unix,addr.path={socket}"
        line += options
        running.append(process.start(line, death_signal=signal.SIGKILL))
        wait_until(lambda: unix_sockets.accepts(str(socket)) or not running[-1].is_running())
        assert running[-1].is_running(), f"did not start: {line}"
        return str(socket)

    yield start
    for each in running:
        each.end(grace_s=0.3)  # see KINDS of backends/kinds.py


@pytest.fixture
def start_fio(fio: Fio) -> Iterator[StartFio]:
    running: list[RunningFio] = []

    def start(socket: str, **options: Option) -> RunningFio:
        arguments = as_arguments({**defaults(socket), **options})
        running.append(RunningFio(fio, "--name=test", *arguments))
        return running[-1]

    yield start
    for each in running:
        each.kill()


@pytest.fixture
def relay(private: Path) -> Iterator[StartRelay]:
    running: list[Relay] = []

    def start(socket: str, tamper: Tamper) -> str:
        running.append(Relay(private / f"relay{len(running)}.sock", socket, tamper))
        return str(running[-1].path)

    yield start
    for each in running:
        each.close()
