# SPDX-License-Identifier: GPL-2.0-or-later
"""File descriptors of many kinds, as a client may send them: KINDS[name](stack) makes one.

The stack closes it. A write, read or close of most of these can wait.
"""

import contextlib
import fcntl
import os
import pty
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

FULL = 2**64 - 2  # an eventfd's counter that takes no more


def make_blocking(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)


def fill(fd: int) -> None:
    """Makes a write to an eventfd wait."""
    os.eventfd_write(fd, FULL)
    make_blocking(fd)


def full_pipe(stack: ExitStack) -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    return writer


def empty_pipe(stack: ExitStack) -> int:
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    return reader


def stream_socket(stack: ExitStack) -> int:
    """Full, and nobody reads."""
    one, other = socket.socketpair()
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            one.send(bytes(4096))
    one.setblocking(True)
    stack.callback(one.close)
    stack.callback(other.close)
    return one.fileno()


# A close that does not wait takes less.
SOON_S = 0.5
# The other ends of sockets that linger. They read nothing, and last until end_lingering().
_peers: list[socket.socket] = []


def lingering_socket(stack: ExitStack) -> int:
    """Its last close waits until its peer has read everything, which it never does."""
    fd = _make_lingering(stack)
    stack.callback(end_lingering)  # or else the stack might wait
    return fd


def _make_lingering(stack: ExitStack) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = stack.enter_context(socket.create_connection(listener.getsockname()))
        _peers.append(listener.accept()[0])
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            one.send(bytes(65536))
    one.setblocking(True)
    return one.fileno()


def send_lingering(over: socket.socket, data: bytes = b"x", count: int = 1) -> None:
    """Sends sockets that linger, and keeps none of them. The receiver, which must not receive them
    at once, has their last close. If it was quicker, it is our thread that waits."""
    stack = ExitStack()
    sockets = [_make_lingering(stack) for _ in range(count)]
    socket.send_fds(over, [data], sockets)
    closing = threading.Thread(target=stack.close, daemon=True)
    closing.start()
    closing.join(SOON_S)


def end_lingering() -> None:
    """The closes that wait end."""
    while _peers:
        _peers.pop().close()


def epoll(stack: ExitStack) -> int:
    return stack.enter_context(select.epoll()).fileno()


def terminal(stack: ExitStack) -> int:
    ours, theirs = pty.openpty()
    stack.callback(os.close, ours)
    stack.callback(os.close, theirs)
    return theirs


def opened(path: str | Path, flags: int) -> Callable[[ExitStack], int]:
    def make(stack: ExitStack) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        return fd

    return make


def memory(stack: ExitStack) -> int:
    fd = os.memfd_create("given")
    os.ftruncate(fd, 1 << 22)
    stack.callback(os.close, fd)
    return fd


def read_only_memory(stack: ExitStack) -> int:
    return opened(f"/proc/self/fd/{memory(stack)}", os.O_RDONLY)(stack)


def sealed_memory(stack: ExitStack) -> int:
    fd = os.memfd_create("given", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 1 << 22)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    stack.callback(os.close, fd)
    return fd


def event(stack: ExitStack) -> int:
    fd = os.eventfd(0)
    fill(fd)
    stack.callback(os.close, fd)
    return fd


def disk_file(stack: ExitStack) -> int:
    """On whatever the sources lie."""
    return opened(__file__, os.O_RDONLY)(stack)


KINDS = {
    "full pipe": full_pipe,
    "empty pipe": empty_pipe,
    "stream socket": stream_socket,
    "lingering socket": lingering_socket,
    "epoll": epoll,
    "terminal": terminal,
    "/dev/null": opened("/dev/null", os.O_RDWR),
    "/dev/zero": opened("/dev/zero", os.O_RDWR),
    "folder": opened("/", os.O_RDONLY),
    "path": opened("/", os.O_PATH),
    "file": disk_file,
    "memory": memory,
    "read-only memory": read_only_memory,
    "sealed memory": sealed_memory,
    "eventfd": event,
}
