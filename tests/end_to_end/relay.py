# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay between fio and a real back-end that can change, drop or cut what passes.

Owns one thread, which takes one connection at a time and passes vhost-user messages both ways,
with their file descriptors. A Tamper sees every message and says what goes on instead; data
does not pass here (it is in shared memory): the real back-end carries requests out. Layout of
messages: vhost-user specification, "Message specification".
"""

import array
import select
import socket as sockets
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

_HEADER = struct.Struct("<III")
_MAX_FDS = 16
FLAG_REPLY = 4


@dataclass(frozen=True)
class Message:
    request: int
    flags: int
    payload: bytes
    fds: tuple[int, ...] = field(default=())

    @property
    def is_reply(self) -> bool:
        return bool(self.flags & FLAG_REPLY)

    @property
    def u64(self) -> int:
        return int.from_bytes(self.payload[:8], "little")

    def with_u64(self, value: int) -> "Message":
        return replace(self, payload=value.to_bytes(8, "little"))

    def encoded(self) -> bytes:
        return _HEADER.pack(self.request, self.flags, len(self.payload)) + self.payload


class HangUp(Exception):  # noqa: N818 - what to do, not what went wrong
    """Raised by a Tamper: the relay sends `last` to fio and closes the connection."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


# What passes instead of a message: another message, raw bytes, or nothing.
Tamper = Callable[[Message], "Message | bytes | None"]


def _receive(link: sockets.socket) -> Message | None:
    """The next message; None when the other side hung up."""
    data, ancillary, _, _ = link.recvmsg(_HEADER.size, sockets.CMSG_SPACE(4 * _MAX_FDS))
    if len(data) < _HEADER.size:
        return None
    fds = array.array("i")
    for _, _, held in ancillary:
        fds.frombytes(held[: len(held) - len(held) % fds.itemsize])
    request, flags, size = _HEADER.unpack(data)
    payload = link.recv(size, sockets.MSG_WAITALL) if size else b""
    return Message(request, flags, payload, tuple(fds))


class Relay:
    """Listens on `path` until closed; connects each caller to `target`."""

    def __init__(self, path: Path, target: str, tamper: Tamper) -> None:
        self.path = path
        self._target = target
        self._tamper = tamper
        self._listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ended, self._end = sockets.socketpair()  # readable: the test is over
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.send(b"x")
        self._thread.join()
        for each in (self._listener, self._ended, self._end):
            each.close()

    def _serve(self) -> None:
        while self._ended not in select.select([self._listener, self._ended], [], [])[0]:
            front, _ = self._listener.accept()
            back = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
            with front, back:
                back.connect(self._target)
                try:
                    self._pass_messages(front, back)
                except HangUp as cut:
                    front.sendall(cut.last)
                except OSError:
                    continue  # one side is gone: so is the connection

    def _pass_messages(self, front: sockets.socket, back: sockets.socket) -> None:
        others = {front: back, back: front}
        while True:
            ready, _, _ = select.select([front, back, self._ended], [], [])
            if self._ended in ready:
                return
            for link in ready:
                message = _receive(link)
                if message is None:
                    return
                self._pass_on(message, others[link])

    def _pass_on(self, message: Message, link: sockets.socket) -> None:
        try:
            passed = self._tamper(message)
            if isinstance(passed, Message):
                sockets.send_fds(link, [passed.encoded()], list(passed.fds))
            elif passed:
                link.sendall(passed)
        finally:
            for fd in message.fds:
                sockets.close(fd)
