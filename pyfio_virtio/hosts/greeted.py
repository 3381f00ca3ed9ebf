# SPDX-License-Identifier: GPL-2.0-or-later
"""A session whose client is a controller: its messages, one after the other, and their answers.

Owns which message is allowed when. wire.py has the messages. A message that cannot be carried out
is refused in words, and the session goes on; bytes that are no message end it. Used by the loop of
a session, in one thread.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.fio.job import escaped_filename
from pyfio_virtio.hosts import asked, hall, wire
from pyfio_virtio.hosts.channel import Channel
from pyfio_virtio.hosts.hall import Hall
from pyfio_virtio.hosts.wire import Message
from pyfio_virtio.hosts.work import Work
from pyfio_virtio.machine import host, memory

_MOST_COUNTERS = 900_000
_LARGEST = (1 << 63) - 1
_MOST_SESSIONS = 1000  # in the answer to status


class Greeted:
    def __init__(
        self, here: Hall, connection: Channel, work: Work, tell: Callable[[str, str], None]
    ) -> None:
        """`tell` gets what the session does, and the disk, whenever that changes."""
        self._hall, self._connection, self._work, self._tell = here, connection, work, tell
        self._decoder = wire.Decoder()
        self._owes_fio_end = False  # the client has not ended the last stream yet
        self._next_beat = 0.0
        self._handlers: Mapping[str, Callable[[Message], None]] = {
            "hello": self._hello,
            "clock": self._clock,
            "prepare": self._prepare,
            "fio": self._fio,
            "fio-end": self._fio_end,
            "collect": self._collect,
            "release": self._release,
            "status": self._status,
            "beat": lambda message: None,
        }

    def _send(self, kind: str, data: bytes = b"", **fields: object) -> None:
        self._connection.push(Message(kind, fields, data).encoded())

    def received(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            try:
                handler = self._handlers.get(message.kind)
                if handler is None:
                    raise UsageError(f"{message.kind!r:.40} is no message that serve knows")
                handler(message)
            except wire.WireError:
                raise
            except PyfioVirtioError as error:
                self._connection.push(wire.refused(error).encoded())

    def is_lost(self) -> bool:
        """Whether the client has been silent for too long."""
        return time.monotonic() - self._connection.read_at > wire.SILENCE_S

    def tick(self) -> None:
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + wire.BEAT_S
            # A beat says nothing to a client that has not taken what came before it.
            if not self._connection.waiting:
                self._send("beat")

    # ---- answers ----

    def _hello(self, message: Message) -> None:
        version = message.number("version", 0, _LARGEST)
        if version != wire.VERSION:
            raise PyfioVirtioError(
                f"this host serves version {wire.VERSION} of the messages",
                f"you speak version {version}",
                "install the same release of pyfio-virtio on both sides",
            )
        self._send(
            "hello",
            version=wire.VERSION,
            fio=self._hall.fio.release,
            engine=self._hall.engine,
            problem=self._hall.problem,
            memory=memory.free_bytes(),
            facts=host.describe().facts(),
            ns=time.time_ns(),
        )

    def _clock(self, message: Message) -> None:
        self._send("clock", n=message.number("n", 0, _LARGEST), ns=time.time_ns())

    def _prepare(self, message: Message) -> None:
        wanted = asked.of_message(message.fields)
        self._work.prepare(wanted)
        self._tell("makes its disk", wanted.describe())

    def prepared(self) -> None:
        """The disk is made, or not: this tells the client."""
        try:
            ready = self._work.take_ready()
        except PyfioVirtioError as error:
            self._tell("waits for its client", "")
            self._connection.push(wire.refused(error).encoded())
            return
        backend = ready.backend
        self._tell("waits for its client", ready.asked.describe())
        self._send(
            "prepared",
            disk=escaped_filename(ready.socket) if ready.socket else "",
            command=shlex.join(backend.command) if backend else "",
            pid=backend.process.pid if backend else 0,
        )

    def _fio(self, message: Message) -> None:
        if self._owes_fio_end:
            return  # it was on its way when the stream ended
        stream = self._work.stream
        if stream is None or stream.end_ns:
            stream = self._work.begin_stream()
            self._tell("runs a job", self._described())
        stream.take(message.data)

    def _described(self) -> str:
        return self._work.ready.asked.describe() if self._work.ready else ""

    def from_fio(self, data: bytes) -> None:
        self._send("fio", data)

    def fio_ended(self, said: str) -> None:
        """fio's server has closed the stream."""
        self._owes_fio_end = True
        self._tell("waits for its client", self._described())
        self._send("fio-end", said=said)

    def _fio_end(self, message: Message) -> None:
        if self._owes_fio_end:
            self._owes_fio_end = False
            return
        stream = self._work.stream
        if stream is None or stream.end_ns:
            raise UsageError("cannot end a stream of fio", "there is none")
        said = self._work.end_stream()
        self._tell("waits for its client", self._described())
        self._send("fio-end", said=said)

    def _collect(self, message: Message) -> None:
        stream = self._work.stream
        if stream is None or not stream.end_ns:
            why = "its job still runs" if stream else "no job has run"
            raise UsageError("cannot collect", why, "wait for the end of its stream")
        counters = self._work.counters(_MOST_COUNTERS)
        self._send(
            "collected",
            counters,
            run_ns=stream.run_ns,
            start_ns=stream.start_ns,
            end_ns=stream.end_ns,
            died=self._work.died(),
            moments=stream.moments.found,
        )

    def _release(self, message: Message) -> None:
        stream = self._work.stream
        if self._work.making.is_busy:
            raise UsageError("cannot release the disk", "it is still being made")
        if stream is not None and not stream.end_ns:
            self.fio_ended(self._work.end_stream())
        self._work.release()
        self._tell("waits for its client", "")
        self._send("released")

    def _status(self, message: Message) -> None:
        found = hall.notes(self._hall.folder, self._hall.pid)[:_MOST_SESSIONS]
        self._send("status", sessions=[asdict(each) for each in found])
