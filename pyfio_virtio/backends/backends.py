# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that run: how one is started on a socket, waited for and stopped.

A BackendSpec (spec.py) says which back-end is wanted, command_lines.py turns it into a command
line, and start() runs it as a Backend that serves a socket. Called from the main thread. This file
never replaces a file at the path of a socket. It keeps no records, because records.py does.
"""

import os
import signal
import socket as socket_module
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.backends.command_lines import command
from pyfio_virtio.backends.kinds import KINDS, check_program
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.backends.storage import Storage, open_storage
from pyfio_virtio.backends.unix_sockets import SocketFile, bind, listener, socket_file
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.machine import process
from pyfio_virtio.machine.folders import check_socket_path, open_plain

_LAST_BYTES = 4096  # at the end of a log, where last_words() looks for the last line


@dataclass(frozen=True)
class Backend:
    """A back-end that serves `socket`. Its log holds what it wrote to stdout and stderr."""

    spec: BackendSpec
    socket: str
    log: str
    command: tuple[str, ...]  # as a user would type it
    process: process.Process
    socket_file: SocketFile | None = None  # the file that we made at `socket`

    def is_running(self) -> bool:
        return self.process.is_running()

    def has_died(self) -> bool:
        """Whether it ended with an error. After its last client it ends without one."""
        child = self.process.child  # None: another process started it and knows its status
        return not self.is_running() and (child is None or child.returncode != 0)

    def has_its_socket(self) -> bool:
        """Whether `socket` is still the file that we made."""
        return self.socket_file is not None and socket_file(self.socket) == self.socket_file

    def last_words(self) -> str:
        """The last line of its log, where programs say why they ended."""
        lines = _end_of_file(self.log).decode(errors="replace").strip().splitlines()
        return "".join(each if each.isprintable() else " " for each in lines[-1]) if lines else ""

    def end(self) -> None:
        """Ends the process."""
        # When qemu-storage-daemon ends, it removes any file at its path. So if that file is not our
        # socket, the daemon is killed at once.
        self.process.end(KINDS[self.spec.kind].grace_s if self.has_its_socket() else 0)

    def stop(self) -> None:
        """Ends the process, and removes the socket if it is still the one that we made."""
        self.end()
        if self.has_its_socket():
            Path(self.socket).unlink(missing_ok=True)


def _end_of_file(path: str) -> bytes:
    """The last bytes of a plain file; nothing if another kind of file is there."""
    try:
        with open_plain(Path(path)) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
            return file.read(_LAST_BYTES)
    except OSError:
        return b""


def start(
    spec: BackendSpec,
    socket: str,
    log: str,
    *,
    outlives_us: bool = False,
    environment: Mapping[str, str] | None = None,
    before: Callable[[Backend], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Backend:
    """Starts a back-end and waits until its socket accepts connections.

    With `outlives_us` the back-end keeps running when this process ends; otherwise the kernel kills
    it then. `before` is called with it, as process.start() says. `tell` gets the note of the
    specification before the disk is made. If the start fails, what it made is removed.
    """
    spec.check()
    check_socket_path(socket)
    check_program(spec.kind)
    bound = bind(socket)
    made = socket_file(socket)
    backend = storage = None
    try:
        # Our copy is closed before we wait: it would accept connections after the back-end died.
        with bound:
            storage = open_storage(spec, tell)
            backend = _launch(spec, socket, log, bound, storage, outlives_us, environment, before)
        _wait_until_it_serves(backend)
    except BaseException:  # ^C too: everything that was started here is stopped
        if backend:
            backend.stop()
        if made and socket_file(socket) == made:
            Path(socket).unlink()
        if storage:
            storage.remove_made()
        Path(log).unlink(missing_ok=True)
        raise
    return backend


def _launch(
    spec: BackendSpec,
    socket: str,
    log: str,
    bound: socket_module.socket,
    storage: Storage,
    outlives_us: bool,
    environment: Mapping[str, str] | None,
    before: Callable[[Backend], None] | None,
) -> Backend:
    made, typed = socket_file(socket), tuple(command(spec, socket, storage))

    def known(started: process.Process) -> Backend:
        return Backend(spec, socket, log, typed, started, made)

    try:
        with Path(log).open("wb") as output:
            started = process.start(
                command(spec, socket, storage, bound.fileno()),
                death_signal=None if outlives_us else signal.SIGKILL,
                output=output,
                errors=subprocess.STDOUT,
                environment=environment,
                keep_fds=(*storage.fds, bound.fileno()),
                session=True,
                before=None if before is None else lambda child: before(known(child)),
            )
    finally:
        for fd in storage.fds:
            os.close(fd)
    return known(started)


def _wait_until_it_serves(backend: Backend) -> None:
    what = f"{KINDS[backend.spec.kind].program} did not start"
    timeout_s = backend.spec.start_timeout_s()
    deadline = time.monotonic() + timeout_s
    while (pid := listener(backend.socket)) is None:
        if not backend.is_running():
            raise PyfioVirtioError(what, backend.last_words())
        if time.monotonic() >= deadline:
            why = f"nobody listens on {backend.socket} after {timeout_s:g} s"
            raise PyfioVirtioError(what, why)
        time.sleep(0.005)
    if pid != backend.process.pid:
        raise PyfioVirtioError(what, f"process {pid} serves {backend.socket} in its place")
