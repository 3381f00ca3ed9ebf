# SPDX-License-Identifier: GPL-2.0-or-later
"""A back-end on a real Unix socket that does what a test tells it, byte by byte.

Written from QEMU's docs/interop/vhost-user.rst alone: numbers and layouts are stated here anew,
so that a mistake in the engine's header is found.

`Connection` sends and receives messages; a script is a function of one. `ScriptedBackend` listens,
accepts one client in a thread of its own and runs the script; what the script raises fails the
test. The script runs to its end, until the client hangs up, or until `hang_up()`.
"""

import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VERSION = 1
REPLY = 4
NEED_REPLY = 8
HEADER = struct.Struct("=III")  # request, flags, bytes of payload
U64 = struct.Struct("=Q")
STATE = struct.Struct("=II")  # queue, number
MAX_FDS = 8
# Ample for any test; it only bounds a hang.
TIMEOUT_S = 30.0


class HungUpError(Exception):
    """The client closed the connection."""


@dataclass(frozen=True)
class Message:
    request: int
    flags: int
    payload: bytes
    fds: tuple[int, ...] = ()

    @property
    def number(self) -> int:
        """The payload of the requests that carry one 64-bit number."""
        return int(U64.unpack(self.payload)[0])

    @property
    def state(self) -> tuple[int, int]:
        index, number = STATE.unpack(self.payload)
        return index, number

    @property
    def needs_reply(self) -> bool:
        return bool(self.flags & NEED_REPLY)


@dataclass
class Connection:
    """Our end of the socket. Descriptors that arrive belong to it."""

    stream: socket.socket
    fds: list[int] = field(default_factory=list)

    def receive(self) -> Message:
        header, fds = self._receive_exactly(HEADER.size)
        request, flags, size = HEADER.unpack(header)
        payload, more = self._receive_exactly(size)
        return Message(request, flags, payload, tuple(fds + more))

    def _receive_exactly(self, size: int) -> tuple[bytes, list[int]]:
        data, fds = b"", list[int]()
        while len(data) < size:
            part, new, _, _ = socket.recv_fds(self.stream, size - len(data), MAX_FDS)
            if not part:
                raise HungUpError
            data += part
            fds += new
            self.fds += new
        return data, fds

    def answer(self, to: Message, payload: bytes = U64.pack(0), fds: Sequence[int] = ()) -> None:
        self.send(HEADER.pack(to.request, VERSION | REPLY, len(payload)) + payload, fds)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        if fds:
            socket.send_fds(self.stream, [data], list(fds))
        else:
            self.stream.sendall(data)

    def close(self) -> None:
        self.stream.close()
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


Script = Callable[[Connection], None]


def wait_for_hang_up(connection: Connection) -> None:
    """Takes what the client still sends, and answers nothing."""
    while connection.stream.recv(4096):
        pass


class ScriptedBackend:
    """Serves the first client that comes, by `script`; use it as a context."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = str(path)
        self._script = script
        self._failure: BaseException | None = None
        self._stream: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="scripted back-end")

    def __enter__(self) -> "ScriptedBackend":
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(TIMEOUT_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()
        Path(self.path).unlink()
        if self._failure:
            raise AssertionError("the scripted back-end failed") from self._failure

    def hang_up(self) -> None:
        """Ends the connection to the client, as the death of a back-end does."""
        assert self._stream, "no client has come"
        self._stream.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        try:
            stream, _ = self._listener.accept()
            self._stream = stream
            stream.settimeout(TIMEOUT_S)
            connection = Connection(stream)
            try:
                self._script(connection)
            finally:
                connection.close()
        except (HungUpError, ConnectionError):
            pass  # the client is done with us
        except BaseException as failure:  # a failed assertion, too, belongs to the test
            self._failure = failure
