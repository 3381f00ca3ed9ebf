# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that lies: it answers as a real one does, except where it was told to lie.

Only what a real `pyfio-virtio serve` cannot be made to say is tested with it.
"""

from __future__ import annotations

import socket as socket_module
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pyfio_virtio.engine import engine
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.wire import Message

# What the liar does instead of its answer to a message of this kind. It gets the liar, and the
# message; what it returns is sent.
Lie = Callable[["Liar", Message], bytes]
Lies = Mapping[str, Lie]


def honest(message: Message) -> bytes:
    """What a real host answers to a question."""
    now = time.time_ns()
    answers: dict[str, dict[str, Any]] = {
        "hello": {
            "version": wire.VERSION,
            "fio": engine.fio_release(),
            "engine": engine.version(),
            "problem": "",
            "memory": 1 << 40,
            "facts": {"cpus": 2},
            "ns": now,
        },
        "clock": {"n": message.fields.get("n"), "ns": now},
        "prepare": {"disk": "/disk.sock", "command": "", "pid": 0},
        "fio-end": {"said": ""},
        "collect": {"run_ns": now, "start_ns": now, "end_ns": now, "died": "", "moments": []},
        "release": {},
    }
    if message.kind not in answers:
        return b""
    kinds = {"prepare": "prepared", "collect": "collected", "release": "released"}
    kind = kinds.get(message.kind, message.kind)
    return Message(kind, answers[message.kind]).encoded()


class Liar:
    """Serves connections at a Unix socket until the end of the block."""

    def __init__(self, path: Path, lies: Lies) -> None:
        self.path, self.lies = path, lies
        self.is_silent = False
        self.seen = 0  # messages of fio's stream
        self._connection: socket_module.socket | None = None
        self._listener = socket_module.socket(socket_module.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=each) for each in (self._serve, self._beat)]
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._is_over.set()
        self._listener.shutdown(socket_module.SHUT_RDWR)
        self.close()
        for each in self._threads:
            each.join()
        self._listener.close()

    def close(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket_module.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self._connection = connection
                    self._converse(connection)
                self._connection = None

    def _converse(self, connection: socket_module.socket) -> None:
        decoder = wire.Decoder()
        left = len(wire.GREETING)
        while left and (piece := connection.recv(left)):
            left -= len(piece)
        while piece := connection.recv(1 << 16):
            for message in decoder.feed(piece):
                self.seen += message.kind == "fio"
                lie = self.lies.get(message.kind)
                connection.sendall(lie(self, message) if lie else honest(message))

    def _beat(self) -> None:
        while not self._is_over.wait(wire.BEAT_S):
            connection = self._connection
            if connection is not None and not self.is_silent:
                with suppress(OSError):
                    connection.sendall(Message("beat").encoded())


def says(kind: str, data: bytes = b"", **fields: Any) -> Lie:  # noqa: ANN401
    """Answers with this message."""
    return lambda liar, message: Message(kind, fields, data).encoded()


def sends(data: bytes) -> Lie:
    """Answers with these bytes."""
    return lambda liar, message: data


def but(**fields: Any) -> Lie:  # noqa: ANN401
    """Answers as a real host, but with these fields."""

    def lie(liar: Liar, message: Message) -> bytes:
        (answer,) = wire.Decoder().feed(honest(message))
        return Message(answer.kind, {**answer.fields, **fields}).encoded()

    return lie


def once(lie: Lie) -> Lie:
    """Lies only when the first part of fio's stream comes."""
    return lambda liar, message: b"" if liar.seen > 1 else lie(liar, message)


def closes(liar: Liar, message: Message) -> bytes:
    liar.close()
    return b""


def is_silent(liar: Liar, message: Message) -> bytes:
    """Never answers, but beats."""
    return b""


def is_gone(liar: Liar, message: Message) -> bytes:
    """Neither answers nor beats."""
    liar.is_silent = True
    return b""


def frame(opcode: int, payload: bytes) -> Lie:
    """Answers the first part of fio's stream with a frame of its protocol."""

    def lie(liar: Liar, message: Message) -> bytes:
        version = int.from_bytes(message.data[:2], "little")
        return Message("fio", data=wire.framed(version, opcode, payload)).encoded()

    return once(lie)
