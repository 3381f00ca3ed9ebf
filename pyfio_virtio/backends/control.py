# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands to a built-in back-end that runs, over its control socket.

A command is a line, and so is its answer; engine/backend/server/control.c has the other side. The
process that listens must be the back-end, and its answers must come in time and be short, so that
no other process can make us wait or print without end. Any thread may call. Nothing is printed.
"""

import socket
import stat
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine import process

LIMIT_S = 5.0
_LINE_BYTES = 511  # CONTROL_LINE_BYTES without the newline
_ANSWER_BYTES = 1 << 16
_ERROR = "error: "


class RefusedError(UsageError):
    """The back-end does not accept the command; `why` is its sentence."""


def ask(path: str, pid: int, name: str, lines: Sequence[str]) -> list[str]:
    """Sends the lines to process `pid`, which serves `path`, and returns its answers. `name` is
    the name of the back-end in sentences."""
    for line in lines:
        _check(line)
    deadline = time.monotonic() + LIMIT_S
    try:
        with unix_sockets.connect(path) as connection:
            _check_peer(connection, path, pid, name)
            return [_answer(connection, line, deadline, name) for line in lines]
    except (TimeoutError, BlockingIOError) as error:
        raise PyfioVirtioError(
            f"{name} does not answer on its control socket", *_why_silent(pid)
        ) from error
    except OSError as error:
        raise PyfioVirtioError(
            f"{name} cannot be given commands", f"{path}: {error.strerror or error}", _again(name)
        ) from error


def _again(name: str) -> str:
    return f"stop it and start it again: pyfio-virtio backend stop {name}"


def _check(line: str) -> None:
    if not line.isprintable():
        raise UsageError(f"cannot send {line!r}", "it cannot be printed")
    if len(line.encode(errors="surrogateescape")) > _LINE_BYTES:
        raise UsageError(
            f"cannot send {line[:40]}...",
            f"it has more than {_LINE_BYTES} bytes",
            "use fewer words in one command",
        )


def _check_peer(connection: socket.socket, path: str, pid: int, name: str) -> None:
    """Refuses a process that is not the back-end, as the kernel tells (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    peer, user, _ = struct.unpack("3i", found)
    if peer != pid:
        raise PyfioVirtioError(
            f"will not give commands to {name}",
            f"{path} is served by process {peer} of user {user}, and {name} is process {pid}",
        )


def _answer(connection: socket.socket, line: str, deadline: float, name: str) -> str:
    _limit(connection, deadline)
    connection.sendall(line.encode(errors="surrogateescape") + b"\n")
    received = b""
    while b"\n" not in received:
        _limit(connection, deadline)
        part = connection.recv(_ANSWER_BYTES)
        received += part
        if not part or len(received) > _ANSWER_BYTES:
            what = "a longer answer than any command has" if part else "no answer and hung up"
            raise PyfioVirtioError(f"{name} gave {what}", "", _again(name))
    text = printable(received.partition(b"\n")[0].decode(errors="replace"))
    if text.startswith(_ERROR):
        raise RefusedError(f"{name} does not accept {line!r}", text.removeprefix(_ERROR))
    return text


def printable(text: str) -> str:
    """The text without characters that change how a terminal shows other text."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def _limit(connection: socket.socket, deadline: float) -> None:
    connection.settimeout(max(0.001, deadline - time.monotonic()))


def _why_silent(pid: int) -> tuple[str, str]:
    if process.is_paused(pid):
        return f"a signal stopped its process {pid}", f"continue it: kill -CONT {pid}"
    return f"{LIMIT_S:g} s have passed", f"see what its process {pid} does, or try again"


def absolute_trace(words: str) -> str:
    """A latency of which the trace's file has an absolute path, because the back-end may run in
    another folder. Other latencies are returned as they are."""
    kind, _, name = words.partition(":")
    if kind != "trace":
        return words
    try:
        mode = Path(name).stat().st_mode
    except OSError as error:
        raise UsageError(f"cannot use trace:{name[:80]}", error.strerror or str(error)) from error
    # The back-end reads the file at once, so another kind of file could block it.
    if not stat.S_ISREG(mode):
        raise UsageError(f"cannot use {words}", "it is not a regular file")
    return f"trace:{Path(name).absolute()}"
