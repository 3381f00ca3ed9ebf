# SPDX-License-Identifier: GPL-2.0-or-later
"""One session: a process that serves one connection, from its first byte to the end of all that was
started for it.

Owns the loop that moves bytes between the client and fio, and the end, which comes when the client
leaves, is silent, or breaks the rules, or by SIGTERM. greeted.py and plain.py know the two kinds of
clients. The loop is one thread; only a disk is made in another one.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket as socket_module
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.hosts import addresses, hall, wire
from pyfio_virtio.hosts.channel import HIGH, Channel, Over
from pyfio_virtio.hosts.greeted import Greeted
from pyfio_virtio.hosts.hall import Hall
from pyfio_virtio.hosts.plain import Plain, RefusedError
from pyfio_virtio.hosts.work import Work
from pyfio_virtio.machine import descendants, folders

# From the connection to the greeting, or to the first whole frame of a fio client.
_GREETING_S = 10.0
# A client that is refused because there are too many gets less time.
_FULL_S = 2.0
_FAREWELL_S = 2.0
_TURN_S = 0.25
# While fio's server is about to listen.
_SOON_S = 0.01


def run(connected: socket_module.socket, here: Hall, *, is_full: bool) -> None:
    """Serves the connection in this process, which is a fork of serve, and of nothing else.

    With `is_full`, the client is told that there are too many sessions.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    reader, writer = socket_module.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # the loop reads the wake-up
    descendants.adopt()
    descendants.die_with(here.pid, signal.SIGTERM)
    with suppress(OSError):
        addresses.keep_alive(connected)
    folder = folders.run_folder_path(here.folder)
    with folders.run_folder(folder):
        Session(connected, here, folder, reader, is_full).serve()


class Session:
    def __init__(
        self,
        connected: socket_module.socket,
        here: Hall,
        folder: Path,
        ending: socket_module.socket,
        is_full: bool,
    ) -> None:
        self._hall, self._folder, self._ending, self._is_full = here, folder, ending, is_full
        self._connection = Channel(connected)
        self._work = Work(here.fio, here.allowed, folder)
        self._client: Greeted | Plain | None = None  # None: it has not said which
        self._first = b""
        self._begun = time.monotonic()
        self._note = hall.beginning(addresses.peer_of(connected), here.pid, os.getpid())
        hall.leave(self._note, folder)

    def serve(self) -> None:
        """Returns when everything that was started has ended."""
        try:
            while True:
                self._turn()
        except Over:
            pass
        except RefusedError as error:
            self._hall.tell(f"{self._note.peer} was refused: {error}")
        except PyfioVirtioError as error:
            self._hall.tell(f"{self._note.peer} was disconnected: {error}")
            self._say(error)
        finally:
            self._work.end()
            self._connection.farewell(_FAREWELL_S)

    def _say(self, error: PyfioVirtioError) -> None:
        if isinstance(self._client, Plain):
            self._client.refuse(error)
        else:
            self._connection.push(wire.refused(error).encoded())

    def _tell(self, doing: str, backend: str) -> None:
        """Leaves a note of what the session does, and prints the start of each job."""
        self._note = replace(self._note, doing=doing, backend=backend)
        hall.leave(self._note, self._folder)
        if doing == "runs a job":
            self._hall.tell(f"{self._note.peer} {doing} on {backend or 'no disk'}")

    # ---- the loop ----

    def _turn(self) -> None:
        stream = self._work.stream
        if self._connection.waiting >= HIGH:  # it is not read, so it is not silent
            self._connection.read_at = time.monotonic()
        with selectors.PollSelector() as selector:
            selector.register(self._ending, selectors.EVENT_READ, self._end)
            selector.register(self._connection, self._wanted(), self._on_client)
            if self._work.making.is_busy:
                selector.register(self._work.making, selectors.EVENT_READ, self._on_disk)
            if stream and stream.link:
                # What the client has not taken is not read from fio, which then waits.
                reads = self._connection.waiting < HIGH
                wanted = (selectors.EVENT_READ if reads else 0) | (
                    selectors.EVENT_WRITE if stream.link.waiting else 0
                )
                if wanted:
                    selector.register(stream.link, wanted, self._on_fio)
            is_starting = stream is not None and not stream.end_ns and stream.link is None
            for key, _ in selector.select(_SOON_S if is_starting else _TURN_S):
                key.data()
        self._look()

    def _wanted(self) -> int:
        """A client that takes nothing is not asked for more."""
        if self._connection.waiting >= HIGH:
            return selectors.EVENT_WRITE
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._connection.waiting else 0)

    def _end(self) -> None:
        raise Over

    def _on_client(self) -> None:
        self._connection.write()
        if self._connection.waiting >= HIGH:
            return
        data = self._connection.read()
        if data == b"":
            raise Over
        if data:
            self._received(data)

    def _received(self, data: bytes) -> None:
        if self._client is not None:
            self._client.received(data)
            return
        self._first += data
        if wire.GREETING.startswith(self._first):
            if self._first != wire.GREETING:
                return  # the rest of it may follow
        elif not self._first.startswith(wire.GREETING) and len(self._first) < wire.FRAME_BYTES:
            return
        is_greeted = self._first.startswith(wire.GREETING)
        kind = Greeted if is_greeted else Plain
        self._client = kind(self._hall, self._connection, self._work, self._tell)
        if self._is_full:
            raise PyfioVirtioError("this host has too many sessions", "", "try again later")
        if rest := self._first.removeprefix(wire.GREETING):
            self._client.received(rest)

    def _on_disk(self) -> None:
        if self._client:
            self._client.prepared()

    def _on_fio(self) -> None:
        stream = self._work.stream
        if stream is None or stream.link is None or self._client is None:
            return
        stream.link.write()
        data = stream.link.read()
        if data:
            stream.watch(data)
            self._client.from_fio(data)
        elif data == b"":
            self._client.fio_ended(self._work.end_stream())

    def _look(self) -> None:
        """What depends on the time."""
        if self._client is None:
            limit_s = _FULL_S if self._is_full else _GREETING_S
            if time.monotonic() - self._begun > limit_s:
                raise PyfioVirtioError("a client said nothing that serve knows", "", "")
            return
        if self._client.is_lost() or self._takes_nothing():
            raise PyfioVirtioError(
                "a client was lost", f"{wire.SILENCE_S:g} s without a sign of it"
            )
        self._client.tick()
        stream = self._work.stream
        if stream is not None and not stream.end_ns:
            stream.turn()

    def _takes_nothing(self) -> bool:
        waits_s = time.monotonic() - self._connection.written_at
        return self._connection.waiting > 0 and waits_s > wire.SILENCE_S
