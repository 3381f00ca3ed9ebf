# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection that never blocks: bytes that came, and bytes that wait until the peer takes them.

Used by the loop of a session, in one thread.
"""

from __future__ import annotations

import select
import socket as socket_module
import time
from contextlib import suppress

# So many bytes wait for a peer before those who make them are not read any more.
HIGH = 1 << 20
_PIECE_BYTES = 256 << 10


class Over(Exception):  # noqa: N818 - it is no error
    """The conversation ends, because the peer has left or all is said."""


class Channel:
    """One connected socket."""

    def __init__(self, connected: socket_module.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._waiting = bytearray()
        self.read_at = self.written_at = time.monotonic()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def waiting(self) -> int:
        """The bytes that the peer has not taken yet."""
        return len(self._waiting)

    def push(self, data: bytes) -> None:
        """Sends what the peer takes now; the rest waits for write()."""
        if not self._waiting:
            self.written_at = time.monotonic()
        self._waiting += data
        self.write()

    def write(self) -> None:
        """Sends what waits. If the peer is gone, it is dropped: read() then tells the end."""
        try:
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting[:_PIECE_BYTES])]
                self.written_at = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            self._waiting.clear()

    def read(self) -> bytes | None:
        """What has come; b"" at the end, also if the connection was reset; None if nothing came."""
        try:
            data = self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        self.read_at = time.monotonic()
        return data

    def farewell(self, limit_s: float) -> None:
        """Closes it when the peer has taken all and has closed it too, or after `limit_s`.

        With bytes that nobody has read, close(2) would take back the last words.
        """
        deadline = time.monotonic() + limit_s
        is_said = False
        poll = select.poll()
        while (left_s := deadline - time.monotonic()) > 0:
            if not self._waiting and not is_said:
                is_said = True
                with suppress(OSError):
                    self._socket.shutdown(socket_module.SHUT_WR)
            poll.register(self, select.POLLIN if is_said else select.POLLIN | select.POLLOUT)
            if poll.poll(left_s * 1000):
                self.write()
                if self.read() == b"":
                    break
        self.close()

    def close(self) -> None:
        self._socket.close()
