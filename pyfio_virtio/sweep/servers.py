# SPDX-License-Identifier: GPL-2.0-or-later
"""The disks of a sweep: back-ends, a scratch file, or a socket that somebody else serves.

Owns the running back-end and the scratch file during the sweep. Both are in the sweep's private
folder. Called from the main thread. It does not know points or results.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.backends import backends, filling, unix_sockets
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.job import escaped_filename
from pyfio_virtio.machine import process
from pyfio_virtio.sweep.job import DISK_VARIABLE, NBD, Wanted, at

SOCKET, LOG, DISK = "disk.sock", "backend.log", "disk.img"


@dataclass(frozen=True)
class Served:
    """A disk for fio: the value of ${DISK}, and the process that serves it."""

    disk: str
    command: str = ""
    pid: int | None = None
    backend: Backend | None = None

    def environment(self, engine_folder: Path) -> dict[str, str]:
        """The variables that fio's environment needs in addition to ours."""
        return {DISK_VARIABLE: self.disk, "LD_LIBRARY_PATH": fio.library_path(engine_folder)}

    def shell_line(self, command: Sequence[str], engine_folder: Path) -> str:
        """The command with these variables, for a shell."""
        needed = self.environment(engine_folder)
        variables = [f"{name}={shlex.quote(value)}" for name, value in needed.items()]
        return " ".join([*variables, shlex.join(command)])

    def death(self) -> str | None:
        """How a back-end of ours ended; None if it runs or is not ours."""
        if self.backend is None or self.backend.is_running():
            return None
        return self.backend.last_words() or "it printed nothing"


class Servers:
    """Provides the disk that each point needs, one after the other."""

    def __init__(self, folder: Path, keep: bool) -> None:
        self._folder = folder
        self._keep = keep
        self._wanted: Wanted | None = None
        self._backend: Backend | None = None

    def serve(self, wanted: Wanted) -> Served:
        """The disk for a point. It starts a back-end if the running one cannot be used."""
        if wanted.socket:
            pid = unix_sockets.listener(wanted.socket) or None
            command = process.command_line(pid) if pid else ""
            return Served(escaped_filename(wanted.socket), command, pid)
        placed = at(wanted, self._folder / DISK)
        self._make_file(placed)
        if placed.spec is None:
            return Served(escaped_filename(placed.file) if placed.file else "")
        return _served(self._running(wanted, placed.spec))

    def _running(self, wanted: Wanted, spec: BackendSpec) -> Backend:
        if self._backend is None or self._wanted != wanted or not self._backend.is_running():
            self.stop()
            self._backend = backends.start(spec, str(self._folder / SOCKET), str(self.log))
            self._wanted = wanted
        return self._backend

    @property
    def log(self) -> Path:
        return self._folder / LOG

    def leave(self, run: Path, failed: bool) -> None:
        """Ends a run: copies the log to the run's folder, and stops a back-end that is not kept."""
        if self._backend and self.log.exists():
            shutil.copyfile(self.log, run / LOG)
        if failed or not self._keep:
            self.stop()

    def stop(self) -> None:
        if self._backend:
            self._backend.stop()
        self._backend = None

    def _make_file(self, placed: Wanted) -> None:
        """Makes the scratch file and fills it, because reading holes is not like reading data."""
        path = self._folder / DISK
        used = placed.spec.file if placed.spec else placed.file
        if str(used) != str(path) or path.exists():
            return
        try:
            with path.open("wb") as file:
                filling.fill_file(file.fileno(), placed.size_bytes)
        except OSError as error:
            path.unlink(missing_ok=True)
            why = error.strerror or str(error)
            raise PyfioVirtioError(
                f"cannot make the scratch file {path}", why, "use a smaller --disk-size"
            ) from error


def _served(backend: Backend) -> Served:
    disk = escaped_filename(backend.socket)
    if backend.spec.kind == NBD:
        disk = f"nbd+unix:///disk?socket={backend.socket}"
    return Served(disk, shlex.join(backend.command), backend.process.pid, backend)


@contextmanager
def servers(folder: Path, keep: bool) -> Iterator[Servers]:
    """Makes a Servers object, and stops its back-end at the end of the block."""
    made = Servers(folder, keep)
    try:
        yield made
    finally:
        made.stop()
