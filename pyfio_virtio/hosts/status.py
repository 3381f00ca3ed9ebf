# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks who serves at an address for its sessions.

Blocks, but not for ever. Called from the main thread.
"""

from __future__ import annotations

import os
import socket as socket_module
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.hosts import addresses, wire
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.hall import Note
from pyfio_virtio.hosts.wire import Message

_LIMIT_S = 10.0
_PIECE_BYTES = 1 << 16


def ask(address: Address) -> tuple[str, list[Note]]:
    """What fio serves there, and its sessions, without the one that answers."""
    with addresses.connect(address, _LIMIT_S) as connection:
        try:
            connection.sendall(wire.GREETING)
            answers = _answers(connection, address)
            wire.send(connection, Message("hello", {"version": wire.VERSION}))
            hello = _next(answers, "hello")
            wire.send(connection, Message("status"))
            listed = _next(answers, "status").fields.get("sessions")
        except OSError as error:
            why = error.strerror or str(error)
            raise PyfioVirtioError(f"{address} did not answer", why) from error
    release = hello.text("fio")
    engine = hello.text("engine")
    about = f"{release} with the engine {engine}" if engine else f"{release} without the engine"
    ours = os.getpid()
    notes = [_note(each) for each in listed] if isinstance(listed, list) else []
    return about, [each for each in notes if each.peer != f"process {ours}"]


def _answers(connection: socket_module.socket, address: Address) -> Iterator[Message]:
    decoder, deadline = wire.Decoder(), time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        piece = connection.recv(_PIECE_BYTES)
        if not piece:
            break
        yield from decoder.feed(piece)
    raise PyfioVirtioError(
        f"{address} did not answer", "it is no pyfio-virtio serve, or it is busy"
    )


def _next(answers: Iterator[Message], kind: str) -> Message:
    """The next message of this kind."""
    for message in answers:
        if message.kind == "refused":
            raise message.refusal()
        if message.kind == kind:
            return message
    raise AssertionError("_answers() raises at its end")


def _note(given: Any) -> Note:  # noqa: ANN401 - of JSON
    types = {each.name: type(each.default) for each in fields(Note)} | {
        "peer": str,
        "since_ns": int,
    }
    if not isinstance(given, dict) or any(
        not isinstance(given.get(name), kind) for name, kind in types.items()
    ):
        raise wire.WireError(f"a session is described by {given!r:.60}")
    return Note(**{name: given[name] for name in types})
