# SPDX-License-Identifier: GPL-2.0-or-later
"""The built-in back-end, in threads of the test's process or in another process.

- `backend(**settings)` starts it in threads. The settings are those of
  pyfio_virtio.backends.builtin_engine.Settings, without the socket.
- `start(*options)` runs the process on `path`, and waits until it listens or has ended.

All of them are stopped at the end of the test.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from pyfio_virtio.errors import PyfioVirtioError
from tests.backend import fuse
from tests.waiting import wait_until

StartBuiltin = Callable[..., BuiltinBackend]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="backend-") as folder:
        yield Path(folder)


@pytest.fixture
def backend(short_folder: Path) -> Iterator[StartBuiltin]:
    """Starts back-ends."""
    with ExitStack() as stack:
        count = 0

        def start(**settings: str | int) -> BuiltinBackend:
            nonlocal count
            count += 1
            chosen: dict[str, Any] = {"size_bytes": 1 << 20, **settings}
            path = f"{short_folder}/{count}.sock"
            return stack.enter_context(BuiltinBackend(Settings(path, **chosen)))

        yield start


@pytest.fixture(params=["io_uring", "threads"])
def aio(request: pytest.FixtureRequest, short_folder: Path, backend: StartBuiltin) -> str:
    """The ways to wait for a file that are possible here."""
    way = str(request.param)
    try:
        backend(storage=f"file:{short_folder}/probe", aio=way).stop()
    except PyfioVirtioError as error:
        if way == "threads":
            raise  # every machine has them
        pytest.skip(f"no {way} here: {error}")
    return way


@pytest.fixture
def device(short_folder: Path) -> Iterator[fuse.Server]:
    """The server of a file, fuse/file. It keeps reads waiting."""
    try:
        with fuse.serving(short_folder / "fuse") as server:
            server.answered = {*fuse.TO_OPEN, fuse.FLUSH, fuse.FSYNC}
            server.is_silent = False
            server.holds_reads = True
            yield server
    except fuse.NoFuseError as error:
        pytest.skip(f"no FUSE here: {error}")


@pytest.fixture
def path(short_folder: Path) -> str:
    return str(short_folder / "disk.sock")


@pytest.fixture
def start(path: str) -> Iterator[Start]:
    """`prefix`: a command that runs the process, as unshare(1) does; `fds`: what it inherits."""
    processes = []

    def run(
        *options: str, prefix: Sequence[str] = (), fds: Sequence[int] = ()
    ) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "pyfio_virtio.backends.builtin",
            "--socket",
            path,
            *options,
        ]
        process = subprocess.Popen(
            [*prefix, *command], stderr=subprocess.PIPE, text=True, pass_fds=fds
        )
        processes.append(process)
        wait_until_served(path, process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_until_served(path: str, process: subprocess.Popen[str]) -> None:
    """Or until the process has ended."""
    wait_until(lambda: process.poll() is not None or is_served(path), "a back-end that listens")


def is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
