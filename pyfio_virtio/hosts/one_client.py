# SPDX-License-Identifier: GPL-2.0-or-later
"""One host's part of a run: a `fio --client` here, and its stream to the host over the link.

Owns that client from its start to its end, and the Unix socket to which it connects. If the host
fails, hangs or vanishes, this client is killed alone, so the other hosts' go on. Called in the main
thread, because the kernel kills a client when the thread that started it ends. It does not judge
results.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket as socket_module
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyfio_virtio import files
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.barrier import Barrier
from pyfio_virtio.hosts.fio_stream import Answers, Whole
from pyfio_virtio.hosts.link import Clock, Link
from pyfio_virtio.hosts.wire import Frame
from pyfio_virtio.machine import process
from pyfio_virtio.results.results import FIO_JSON, JOB

ERRORS = "fio.log"
DISK_VARIABLE = "DISK"
# From the start of fio's client until it wants to run: it connects, and the host reads the job.
START_S = 60.0
# fio's client ends by itself when the connection does.
_GRACE_S = 5.0
_END_S = 30.0  # the host ends fio, which may hang
_PIECE_BYTES = 1 << 16
_LARGEST_PIECE = 1 << 18
_DELIVER_S = wire.SILENCE_S / 2
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Task:
    """What one host runs."""

    job: bytes  # the job file
    folder: Path  # a folder of this user, in which fio's client runs and writes
    disk: str  # the value of ${DISK}
    limit_s: float | None  # from the start of its jobs; None: they may run for ever


@dataclass(frozen=True)
class Ran:
    """How the client ended."""

    status: int | None = None  # its exit status; if negative, a signal; None: it was not started
    error: str | None = None  # why it was ended
    said: str = ""  # the last words of fio's server
    wall_s: float = 0.0  # from the client's start to its end


def command(program: fio.Fio, name: str) -> list[str]:
    """fio takes the socket's path for the host's name, also in the names of logs."""
    return [
        *(program.path, "--eta=never", f"--client=sock:{name}.sock", JOB),
        *("--output-format=json+", f"--output={FIO_JSON}"),
    ]


async def run(link: Link, clock: Clock, task: Task, program: fio.Fio, barrier: Barrier) -> Ran:
    """Runs the job on the host to its end, or kills the client. Raises nothing that is about the
    host.
    """
    name = link.host.name
    begun_s = time.monotonic()
    ran = Ran()
    try:
        if link.failure:
            raise link.failure
        files.write(task.folder / JOB, task.job)
        with _listening(task.folder, name) as listener, (task.folder / ERRORS).open("wb") as log:
            link_run = _Run(link, clock, task, barrier, listener)
            ran = await link_run.carried_out(command(program, name), log.fileno())
        said = await link.end_stream(_END_S) if ran.status is not None else ""
        return replace(ran, said=said, wall_s=time.monotonic() - begun_s)
    except PyfioVirtioError as error:
        return replace(ran, error=ran.error or error.why or str(error))
    finally:
        barrier.leave(name)


class _Run:
    def __init__(
        self,
        link: Link,
        clock: Clock,
        task: Task,
        barrier: Barrier,
        listener: socket_module.socket,
    ) -> None:
        self._link, self._clock, self._task = link, clock, task
        self._barrier, self._listener = barrier, listener
        self._answers = Answers()
        self._writer: asyncio.StreamWriter | None = None
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._wants_to_run = asyncio.Event()
        self._runs = asyncio.Event()

    async def carried_out(self, command: list[str], errors: int) -> Ran:
        begun_s = time.monotonic()
        client = process.start(
            command,
            death_signal=signal.SIGKILL,
            output=subprocess.DEVNULL,
            errors=errors,
            environment={**os.environ, DISK_VARIABLE: self._task.disk},
            folder=self._task.folder,
        )
        parts = (self._pass_on(client), self._watch_time(), self._watch_link())
        work = [asyncio.create_task(each) for each in parts]
        try:
            why = await self._end(client)
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            if self._writer is not None:
                self._writer.transport.abort()
            fio.send_signal(client, signal.SIGKILL)
            status = process.finish(client)
        return Ran(status, why, wall_s=time.monotonic() - begun_s)

    async def _end(self, client: process.Process) -> str | None:
        """Waits until the client ends, or must be ended; then it says why."""
        ended = asyncio.create_task(_ended(client.pid))
        try:
            either: list[asyncio.Future[Any]] = [ended, self._over]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._over.done():
                return None
            why = self._over.result()
            if why == _BY_ITSELF:
                await asyncio.wait([ended], timeout=_GRACE_S)
                return None if ended.done() else "fio ended there, but not here"
            return why
        finally:
            ended.cancel()

    def _stop(self, why: str) -> None:
        if not self._over.done():
            self._over.set_result(why)

    async def _watch_time(self) -> None:
        try:
            async with asyncio.timeout(START_S):
                await self._wants_to_run.wait()
        except TimeoutError:
            self._stop(f"fio was not ready to run the job within {START_S:g} s")
        await self._runs.wait()
        if self._task.limit_s is not None:
            await asyncio.sleep(self._task.limit_s)
            self._stop(f"it hung: fio had not ended {self._task.limit_s:g} s after its start")

    async def _watch_link(self) -> None:
        failure = await self._link.lost()
        self._stop(failure.why)

    # ---- the stream -----------------------------------------------------------------------------

    async def _pass_on(self, client: process.Process) -> None:
        """Passes on what the client sends, and holds RUN at the barrier."""
        try:
            reader, self._writer = await self._accepted(client)
            self._link.begin_stream(self._deliver)
            whole = Whole()
            while piece := await reader.read(_PIECE_BYTES):
                for frame, data in whole.feed(piece):
                    await self._pass_frame(frame, data)
        except OSError:
            pass  # the client has ended, which _end() notices
        except PyfioVirtioError as error:
            self._stop(error.why or str(error))

    async def _pass_frame(self, frame: Frame, data: bytes) -> None:
        if self._over.done():
            return  # a client that cannot write would be ended by a signal, without its words
        if frame.opcode == wire.OPCODE_RUN and not self._runs.is_set():
            self._wants_to_run.set()
            await self._barrier.come(self._link.host.name, self._clock.round_trip_ns)
            self._runs.set()
            if self._over.done():
                return
        for start in range(0, len(data), _LARGEST_PIECE):
            await self._link.pass_on(data[start : start + _LARGEST_PIECE])

    async def _accepted(
        self, client: process.Process
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection of our client. Another process that connects is sent away."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            if _peer(connection) == client.pid:
                return await asyncio.open_unix_connection(sock=connection)
            connection.close()

    async def _deliver(self, data: bytes | None) -> None:
        """Gives the client what the host's fio sends; None: no more comes."""
        writer = self._writer
        if writer is None:
            return
        try:
            if data is None:
                self._stop(_BY_ITSELF)
                writer.write_eof()  # what the client sends is still read
                return
            writer.write(self._answers.feed(data))
            async with asyncio.timeout(_DELIVER_S):
                await writer.drain()
        except wire.WireError as error:
            self._stop(f"{error.what}: {error.why}" if error.why else error.what)
        except TimeoutError:
            self._stop("fio's client does not take what the host sends")
        except OSError:
            pass  # the client has ended, which _end() notices


# The stream was ended by the host, so the client ends by itself.
_BY_ITSELF = ""


async def _ended(pid: int) -> None:
    """Returns when a child of ours has ended. It can still be waited for."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


@contextmanager
def _listening(folder: Path, name: str) -> Iterator[socket_module.socket]:
    """A Unix socket in the folder. Its path may be longer than that of a socket can be."""
    path = folder / f"{name}.sock"
    path.unlink(missing_ok=True)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    listener = socket_module.socket(socket_module.AF_UNIX, socket_module.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(f"/proc/self/fd/{place}/{path.name}")
        path.chmod(0o600)
        listener.listen(1)
        yield listener
    finally:
        listener.close()
        os.close(place)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _peer(connection: socket_module.socket) -> int:
    """The process on the other side."""
    size = _CREDENTIALS.size
    found = connection.getsockopt(socket_module.SOL_SOCKET, socket_module.SO_PEERCRED, size)
    pid: int
    pid, _, _ = _CREDENTIALS.unpack(found)
    return pid
