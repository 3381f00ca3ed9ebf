# SPDX-License-Identifier: GPL-2.0-or-later
"""One stream: the bytes of a fio client, passed on to a fio server that was started for it.

Owns that server, and what is learned from the frames that pass: when the job was told to run, when
it began and when it ended. Used by the loop of a session, in one thread.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.channel import Channel
from pyfio_virtio.hosts.fio_server import FioServer
from pyfio_virtio.hosts.moments import Moments

# A client sends jobs of a few KiB. More than this waits only if fio takes nothing.
_MOST_WAITING = 8 << 20


class Stream:
    """Begins with a fio server that does not listen yet."""

    def __init__(self, server: FioServer, backend_pid: int | None) -> None:
        self.server = server
        self.link: Channel | None = None
        self.moments = Moments(server.pid, backend_pid)
        self.run_ns = self.start_ns = self.end_ns = 0
        self._early = bytearray()  # what came before the server listened
        self._to_fio, self._from_fio = wire.Frames(), wire.Frames()
        self._job_is_over = False

    def take(self, data: bytes) -> None:
        """Passes on what the client sent."""
        waiting = self.link.waiting if self.link else len(self._early)
        if waiting + len(data) > _MOST_WAITING:
            raise wire.WireError("a fio client sends more than fio takes", f"{waiting} bytes wait")
        is_run = any(frame.opcode == wire.OPCODE_RUN for frame, _ in self._to_fio.feed(data))
        if self.link is None:
            self._early += data
        else:
            self.link.push(data)
        if is_run and not self.run_ns:
            self.run_ns = time.time_ns()

    def turn(self) -> None:
        """Connects to the server when it listens, and looks at the processes while the job runs."""
        if self.link is None and (connected := self.server.connected()) is not None:
            self.link = Channel(connected)
            self.link.push(bytes(self._early))
            self._early.clear()
            if self.run_ns:
                self.run_ns = time.time_ns()
        if self.start_ns and not self._job_is_over:
            self.moments.look_if_due()

    def watch(self, data: bytes) -> None:
        """Looks at what the server sent: when the job begins and when it is over."""
        for frame, _ in self._from_fio.feed(data):
            if frame.opcode == wire.OPCODE_SERVER_START and not self.start_ns:
                self.start_ns = time.time_ns()
                self.moments.look()
            elif frame.opcode == wire.OPCODE_STOP and not self._job_is_over:
                self._job_is_over = True
                if self.start_ns:
                    self.moments.look()

    def end(self, kept: Collection[int]) -> str:
        """Ends the server and its jobs. Returns fio's last words."""
        self.end_ns = time.time_ns()
        said = self.server.said()
        if self.link:
            self.link.close()
            self.link = None
        self.server.end(kept)
        return said
