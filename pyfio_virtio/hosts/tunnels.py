# SPDX-License-Identifier: GPL-2.0-or-later
"""A tunnel to a host: `ssh -L` as a child process, whose local end is a Unix socket of ours.

Owns the ssh process from its start to its end. The socket lies in a private folder, so no other
user can connect to it. Called in the main thread, because the kernel ends ssh when the thread that
started it ends. ssh asks nothing: without a key that works it says so, and that is our error.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.hosts.host_errors import HostError
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.machine import folders, process

LIMIT_S = 20.0
_CONNECT_S = 10
_INTERVAL_S = 0.02
_LAST_BYTES = 4096
_OPTIONS = (
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    f"ConnectTimeout={_CONNECT_S}",
    "ServerAliveInterval=5",
    # Another ssh of this user would keep the tunnel after the end of ours.
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=no",
    "StreamLocalBindMask=0177",
    "LogLevel=ERROR",
)


class Tunnel:
    """One ssh process. `socket` leads to the address on the host."""

    def __init__(self, host: Host, folder: Path, number: int) -> None:
        self._host = host
        self._errors = folder / f"ssh-{number}.log"
        self.socket = folder / f"ssh-{number}.sock"
        folders.check_socket_path(str(self.socket))
        self._process: process.Process | None = None

    def command(self) -> list[str]:
        address = self._host.address
        options = [word for each in _OPTIONS for word in ("-o", each)]
        remote = address.path or str(address)
        return ["ssh", "-N", *options, "-L", f"{self.socket}:{remote}", "--", self._host.ssh or ""]

    async def open(self) -> None:
        """Starts ssh. Returns when its socket is there, which it makes after it has logged in."""
        self.socket.unlink(missing_ok=True)
        with self._errors.open("wb") as errors:
            self._process = process.start(
                self.command(),
                death_signal=signal.SIGTERM,
                output=subprocess.DEVNULL,
                errors=errors,
            )
        try:
            async with asyncio.timeout(LIMIT_S):
                while not self.socket.is_socket():
                    if not self._process.is_running():
                        raise self._failure("the ssh tunnel cannot be opened")
                    await asyncio.sleep(_INTERVAL_S)
        except TimeoutError:
            self.close()
            raise self._failure(f"the ssh tunnel was not open after {LIMIT_S:g} s") from None

    def said(self) -> str:
        """The last line that ssh printed; "" if it printed none."""
        with suppress(OSError):
            lines = files.read(self._errors)[-_LAST_BYTES:].decode(errors="replace").split("\n")
            return next((each.strip() for each in reversed(lines) if each.strip()), "")
        return ""

    def _failure(self, what: str) -> HostError:
        said = self.said()
        target = self._host.ssh or ""
        return HostError(
            self._host,
            f"{what}{f', ssh says: {said}' if said else ''}",
            f"try it: ssh -o BatchMode=yes {target} true",
        )

    def close(self) -> None:
        """Ends ssh, and removes its socket."""
        if self._process is not None:
            self._process.end()
        self.socket.unlink(missing_ok=True)
