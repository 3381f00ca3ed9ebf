# SPDX-License-Identifier: GPL-2.0-or-later
"""The private `fio --server` of a session, and the version of fio's protocol.

Owns how that server is started in its own folder, and how it is ended with its jobs. fio forks for
each connection and again for each run, and a job that is a process leaves fio's group, so its end
is that of all processes below it. Called from the thread of the session.
"""

from __future__ import annotations

import signal
import socket as socket_module
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.errors import MachineError, PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.hosts import wire
from pyfio_virtio.machine import descendants, process
from pyfio_virtio.machine.folders import SOCKET_PATH_BYTES

_SOCKET, _LOG = "fio.sock", "fio.log"
_START_S = 10.0
_LAST_BYTES = 2000


class FioServer:
    """A server that serves one connection, in `folder`, which is empty."""

    def __init__(self, program: Fio, folder: Path, environment: Mapping[str, str]) -> None:
        self._socket, self._log = folder / _SOCKET, folder / _LOG
        self._deadline = time.monotonic() + _START_S
        with self._log.open("wb") as log:
            self._process = fio.start(
                [program.path, f"--server=sock:{_SOCKET}"],
                environment,
                signal.SIGKILL,
                subprocess.DEVNULL,
                log,
                folder,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def connected(self) -> socket_module.socket | None:
        """A connection, or None as long as it does not listen yet."""
        link = socket_module.socket(socket_module.AF_UNIX)
        try:
            link.connect(str(self._socket))
        except OSError:
            link.close()
        else:
            return link
        if process.has_ended(self.pid):
            raise PyfioVirtioError("fio --server did not start", self.said() or "it said nothing")
        if time.monotonic() >= self._deadline:
            raise PyfioVirtioError("fio --server did not start", f"it took {_START_S:g} s")
        return None

    def said(self) -> str:
        """The end of what it wrote to stderr."""
        with suppress(OSError):
            text = files.read_text(self._log)[-_LAST_BYTES:]
            return "".join(each if each.isprintable() else " " for each in text).strip()
        return ""

    def end(self, kept: Collection[int]) -> None:
        """Kills it and all of its jobs, and so all of our children but those that are kept."""
        descendants.end_all(kept)


def check_path(folder: Path) -> None:
    """Refuses a folder whose path is too long for the sockets in it."""
    longest = len(bytes(folder / "fio" / _SOCKET))
    if longest > SOCKET_PATH_BYTES:
        raise MachineError(
            f"cannot make sockets in {folder}",
            f"their paths have {longest} bytes, and Unix sockets allow {SOCKET_PATH_BYTES}",
            "set XDG_RUNTIME_DIR to a folder of yours with a shorter path",
        )


def protocol_of(program: Fio, folder: Path) -> int:
    """The version of the protocol that this fio speaks: its own client begins with it."""
    what = f"cannot learn the protocol of {program.path}"
    path, job = folder / "probe.sock", folder / "probe.fio"
    files.write(job, "[probe]\nioengine=null\nsize=4k\n")
    with socket_module.socket(socket_module.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        listening.settimeout(_START_S)
        client = fio.start(
            [program.path, f"--client=sock:{path}", str(job)],
            {},
            signal.SIGKILL,
            subprocess.DEVNULL,
            folder=folder,
        )
        try:
            with listening.accept()[0] as connection:
                connection.settimeout(_START_S)
                header = connection.recv(wire.FRAME_BYTES, socket_module.MSG_WAITALL)
            return wire.frame_of(header).version
        except (OSError, PyfioVirtioError) as error:
            why = f"its client did not say it: {error}"
            raise MachineError(what, why, "name another one with --fio") from error
        finally:
            client.end(0)
