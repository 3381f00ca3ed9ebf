# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller's connection to one host: questions with answers, beats, and a stream of fio.

Owns the socket of one host, from connect to close, and what is believed of what comes out of it. A
host may be slow, stopped, or lie. So each wait has a limit, each field is checked, and a failure is
a HostError, after which the link is lost and says the same to everybody who uses it. All functions
run in one event loop. It starts no process and writes no file.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.hosts import addresses, wire
from pyfio_virtio.hosts.host_errors import HostError, printable
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.wire import Message

CONNECT_S = 10.0
ANSWER_S = 20.0
# Several are measured, because only the quickest says much about the clock.
_ROUND_TRIPS = 7
_PIECE_BYTES = 1 << 16
_LONGEST_SAID = 1 << 16
# Enough for messages that wait; a host that reads nothing may not fill our memory.
_SEND_LIMIT_BYTES = 4 << 20
_CLOCK_LIMIT_NS = 1 << 62
_CLOSED = "it closed the connection"

# Gets the bytes of fio's server; None at the end of the stream.
Deliver = Callable[[bytes | None], Awaitable[None]]


@dataclass(frozen=True)
class Clock:
    """How a host's clock differs from ours."""

    offset_ns: int  # what its clock shows more than ours
    error_ns: int  # how wrong that may be
    round_trip_ns: int


class Link:
    """One connection. open() makes one."""

    def __init__(
        self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.host = host
        self._reader, self._writer = reader, writer
        self._decoder = wire.Decoder()
        self._heard_s = time.monotonic()
        self._failure: HostError | None = None
        self._answer: asyncio.Future[Message] | None = None
        self._deliver: Deliver | None = None
        self._said = ""
        self._ended = asyncio.Event()  # the host has sent its fio-end
        self._ended.set()
        self._sent_end = True
        self._lost = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._beat())]

    # ---- questions ------------------------------------------------------------------------------

    async def ask(self, question: Message, kind: str, more_s: float = 0.0) -> Message:
        """Sends a question and waits for the answer of this kind, for ANSWER_S and `more_s`."""
        if self._failure:
            raise self._failure
        limit_s = ANSWER_S + more_s
        waited: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answer = waited
        try:
            await self.send(question)
            async with asyncio.timeout(limit_s):
                answer = await waited
        except TimeoutError:
            raise self.lose(f"it did not answer {question.kind} within {limit_s:g} s") from None
        finally:
            self._answer = None
            waited.cancel()
            if not waited.cancelled():
                waited.exception()  # otherwise asyncio prints what nobody awaited
        if answer.kind != kind:
            raise self.lose(f"it answered {question.kind} with {answer.kind!r:.40}")
        return answer

    async def clock(self) -> Clock:
        """Compares its clock with ours. The quickest of several round trips counts."""
        found = []
        for number in range(_ROUND_TRIPS):
            sent_ns, sent = time.time_ns(), time.monotonic_ns()
            answer = await self.ask(Message("clock", {"n": number}), "clock")
            took_ns = time.monotonic_ns() - sent
            if self.number(answer, "n", 0, _ROUND_TRIPS) != number:
                raise self.lose("it answered a clock question with another number")
            theirs = self.number(answer, "ns", 0, _CLOCK_LIMIT_NS)
            found.append((took_ns, theirs - sent_ns - took_ns // 2))
        took_ns, offset_ns = min(found)
        return Clock(offset_ns, took_ns // 2, took_ns)

    def number(self, message: Message, name: str, least: int, most: int) -> int:
        """A number that the host sent; otherwise the link is lost."""
        try:
            return message.number(name, least, most)
        except wire.WireError as error:
            raise self.lose(str(error)) from error

    def text(self, message: Message, name: str) -> str:
        """A text that the host sent, which can be printed; otherwise the link is lost."""
        try:
            return printable(message.text(name, _LONGEST_SAID))
        except wire.WireError as error:
            raise self.lose(str(error)) from error

    # ---- a stream of fio ------------------------------------------------------------------------

    def begin_stream(self, deliver: Deliver) -> None:
        """`deliver` gets the bytes that fio's server sends from now on."""
        if self._failure:
            raise self._failure
        self._deliver, self._said = deliver, ""

    async def pass_on(self, data: bytes) -> None:
        """Sends a part of what fio's client says. The first part begins the stream there."""
        if self._deliver and self._sent_end:
            self._sent_end = False
            self._ended.clear()
        await self.send(Message("fio", data=data))

    async def end_stream(self, limit_s: float) -> str:
        """Says that fio's client has ended, and returns what fio's server printed at the end."""
        self._deliver = None
        await self._send_end()
        try:
            async with asyncio.timeout(limit_s):
                await self._ended.wait()
        except TimeoutError:
            raise self.lose(f"fio did not end there within {limit_s:g} s") from None
        if self._failure:
            raise self._failure
        return self._said

    async def _send_end(self) -> None:
        if not self._sent_end:
            self._sent_end = True
            await self.send(Message("fio-end"))

    async def send(self, message: Message) -> None:
        """Sends a message; waits while the host does not read."""
        if self._failure:
            raise self._failure
        self._writer.write(message.encoded())
        if self._writer.transport.get_write_buffer_size() > _SEND_LIMIT_BYTES:
            raise self.lose("it does not read what is sent to it")
        try:
            async with asyncio.timeout(wire.SILENCE_S):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise self.lose(_reason(error)) from error

    # ---- what comes in --------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while piece := await self._reader.read(_PIECE_BYTES):
                self._heard_s = time.monotonic()
                for message in self._decoder.feed(piece):
                    await self._take(message)
                self._heard_s = time.monotonic()
            self.lose(_CLOSED)
        except (OSError, PyfioVirtioError) as error:
            self.lose(_reason(error))

    async def _take(self, message: Message) -> None:
        if message.kind == "beat":
            return
        if message.kind == "fio":
            if self._ended.is_set():
                raise wire.WireError("it sent a part of a stream that does not exist")
            if self._deliver:
                await self._deliver(message.data)
        elif message.kind == "fio-end":
            await self._take_end(message)
        elif self._answer is not None and not self._answer.done():
            if message.kind == "refused":
                said = message.refusal()
                words = f"{said.what}: {said.why}" if said.why else said.what
                self._answer.set_exception(HostError(self.host, words, said.next_step))
            else:
                self._answer.set_result(message)
        elif message.kind == "refused":
            raise message.refusal()
        else:
            raise wire.WireError(f"it sent {message.kind!r:.40} without being asked")

    async def _take_end(self, message: Message) -> None:
        if self._ended.is_set():
            raise wire.WireError("it ended a stream that does not exist")
        self._said = printable(message.text("said", _LONGEST_SAID))
        self._ended.set()
        deliver, self._deliver = self._deliver, None
        if deliver:
            await deliver(None)

    async def _beat(self) -> None:
        """Beats, and notices silence. If this process itself was paused, that is no silence."""
        with suppress(HostError):
            while True:
                before = time.monotonic()
                await asyncio.sleep(wire.BEAT_S)
                if time.monotonic() - before > wire.BEAT_S + wire.SILENCE_S / 2:
                    self._heard_s = time.monotonic()
                if time.monotonic() - self._heard_s > wire.SILENCE_S:
                    self.lose(f"it said nothing for {wire.SILENCE_S:g} s")
                await self.send(Message("beat"))

    # ---- the end --------------------------------------------------------------------------------

    @property
    def failure(self) -> HostError | None:
        """Why the link is lost; None if it is not."""
        return self._failure

    async def lost(self) -> HostError:
        """Returns when the link is lost, with the reason."""
        await self._lost.wait()
        return self._failure or HostError(self.host, "the connection was closed")

    def lose(self, why: str, next_step: str = "") -> HostError:
        """Closes the connection because of a failure. The first reason counts."""
        if self._failure is None:
            self._failure = HostError(self.host, why, next_step)
            self._shut()
        return self._failure

    def _shut(self) -> None:
        self._writer.transport.abort()
        self._lost.set()
        self._ended.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._failure or HostError(self.host, "it was closed"))

    async def close(self) -> None:
        """Closes the connection, so the host ends what it started for it."""
        if self._failure is None:
            self._failure = HostError(self.host, "the connection was closed")
            self._shut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it does not read what is sent to it"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return _CLOSED
    if isinstance(error, OSError):
        if error.errno and error.errno > 0:  # asyncio's words are those of a programmer
            return os.strerror(error.errno)
        return error.strerror or str(error) or "the connection broke"
    return str(error)


async def open(host: Host, tunnel: Path | None = None) -> Link:  # noqa: A001 - link.open()
    """Connects to a host, directly or through the socket of a tunnel, and greets it."""
    address = host.address
    path = str(tunnel) if tunnel else address.path
    start = "start there: pyfio-virtio serve"
    try:
        async with asyncio.timeout(CONNECT_S):
            if path:
                reader, writer = await asyncio.open_unix_connection(path)
            else:
                reader, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        raise HostError(host, f"it did not answer within {CONNECT_S:g} s", start) from None
    except OSError as error:
        raise HostError(host, f"cannot connect: {_reason(error)}", start) from error
    addresses.keep_alive(writer.get_extra_info("socket"))
    writer.write(wire.GREETING)
    return Link(host, reader, writer)
