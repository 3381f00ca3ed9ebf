# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a program about itself, and waits for its answer only so long.

The program may be a script of the user that prints without end, or whose children keep its output
open. All of them have ended, or are killed, when ask() returns. Any thread may call. It knows
neither fio nor a back-end.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from pyfio_virtio.errors import MachineError
from pyfio_virtio.machine import process, signals

_PIECE_BYTES = 1 << 16
_MOST_BYTES = 64 << 20  # fio's own answers have less than 1 MiB
# What leads the group of a program that must not outlive us. It gets SIGTERM when we end, even by
# SIGKILL, and ends the group. If we had ended before, it has another parent already.
_LEADER = '[ "$PPID" = "$1" ] || exit 1; shift; trap "kill -9 0" TERM; "$@" & wait $!'
_LOOK_S = 0.05  # between two looks whether the program has ended


@dataclass(frozen=True)
class Answer:
    status: int  # negative: the signal that ended it
    stdout: bytes
    stderr: bytes


def ask(
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout_s: float,
    advice: str,
    text: bytes = b"",
    ends_with_us: bool = False,
) -> Answer:
    """Runs the command with `environment` added to ours, and `text` as its standard input.

    If it `ends_with_us`, it and what it has started end even if we are killed. It has no input
    then, and the main thread calls.
    """
    what = f"cannot run {' '.join(command)}"
    leader = _leader() if ends_with_us else []
    try:
        with signals.held(), _file(text) as given:
            child = subprocess.Popen(
                [*leader, *command],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
                process_group=0,
            )
    except OSError as error:
        raise MachineError(what, error.strerror or str(error), advice) from error
    with child:
        try:
            why, texts = _listen(child, time.monotonic() + timeout_s)
        finally:
            # With it ends what it started and left behind. It is waited for afterwards, because
            # its number may be given to another process group then.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if why:
        raise MachineError(what, why, advice)
    return Answer(child.returncode, *texts)


def _leader() -> list[str]:
    """The words before a command that ends with us."""
    return [*process.dying_with_parent(signal.SIGTERM), "sh", "-c", _LEADER, "sh", str(os.getpid())]


def _file(text: bytes) -> IO[bytes]:
    """A file in memory with this text, so that nobody has to write it while the program runs."""
    file = os.fdopen(os.memfd_create("question"), "w+b")
    file.write(text)
    file.seek(0)
    return file


def _listen(child: "subprocess.Popen[bytes]", deadline: float) -> tuple[str, tuple[bytes, bytes]]:
    """Why it is not listened to any longer; "" if it has ended. And what it has said."""
    streams = [each for each in (child.stdout, child.stderr) if each]
    said = {each.fileno(): bytearray() for each in streams}
    why = ""
    with selectors.DefaultSelector() as selector:
        for each in streams:
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map() and not why:
            had_ended = process.has_ended(child.pid)
            ready = selector.select(_LOOK_S)
            if not ready and had_ended:
                break  # a child of it keeps its output open
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE_BYTES)
                said[key.fd] += piece
                if not piece:
                    selector.unregister(key.fileobj)
            why = _patience(sum(map(len, said.values())), deadline)
    while not why and not process.has_ended(child.pid):
        time.sleep(_LOOK_S / 10)
        why = _patience(0, deadline)
    stdout, stderr = (bytes(said[each.fileno()]) for each in streams)
    return why, (stdout, stderr)


def _patience(size: int, deadline: float) -> str:
    if size > _MOST_BYTES:
        return f"it printed more than {_MOST_BYTES >> 20} MiB"
    return "it did not end in time" if time.monotonic() >= deadline else ""
