# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller: connects to several hosts, prepares their disks, and runs one job on all of them.

Owns the event loop in which everything about hosts happens, and the links and tunnels from the
first check to the end. Each host fails alone: what it does becomes a HostError or an entry of the
result, and the others go on. Called from the main thread, which starts all child processes. After
the block controller(), no process and no connection is left, whatever ended it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.hosts import checks, collected, link, one_client, open_files
from pyfio_virtio.hosts.barrier import Barrier
from pyfio_virtio.hosts.checks import Known, Versions
from pyfio_virtio.hosts.collected import Collected
from pyfio_virtio.hosts.host_errors import HostError
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.link import Clock, Link
from pyfio_virtio.hosts.one_client import Ran, Task
from pyfio_virtio.hosts.tunnels import Tunnel
from pyfio_virtio.hosts.wire import Message, WireError
from pyfio_virtio.machine import signals

T = TypeVar("T")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_LARGEST_PID = 1 << 31

# What a host needs: a back-end, the socket of one that runs there, or nothing.
Disk = BackendSpec | str | None


class HostsError(PyfioVirtioError):
    """Several hosts cannot take part. Each failure is a sentence of its own."""

    def __init__(self, failures: Sequence[PyfioVirtioError]) -> None:
        super().__init__("; ".join(map(str, failures)))
        self.failures = tuple(failures)


@dataclass(frozen=True)
class Served:
    """A disk that is ready on a host."""

    disk: str  # the value of ${DISK} there
    command: str  # of its back-end; "" if that is not known
    pid: int  # 0 if that is not known


@dataclass(frozen=True)
class HostResult:
    """What became of one host's part of a run."""

    host: Host
    ran: Ran
    clock: Clock | None  # None: the link was lost before
    collected: Collected | None  # None: the host could not tell


@dataclass
class _Place:
    """What we have of one host."""

    host: Host
    number: int
    tunnel: Tunnel | None = None
    link: Link | None = None
    known: Known | None = None
    clock: Clock | None = None
    served: Served | None = None

    def alive(self) -> Link:
        if self.link is None:
            raise HostError(self.host, "there is no connection to it")
        if self.link.failure:
            raise self.link.failure
        return self.link

    async def close(self) -> None:
        if self.link is not None:
            await self.link.close()
        if self.tunnel is not None:
            self.tunnel.close()
        self.link = self.tunnel = self.served = None


class Controller:
    """Several hosts. Its functions wait until all hosts have answered or have failed.

    It beats only inside of them. So the caller may spend less than wire.SILENCE_S between two of
    them, or the hosts end what they started; connect() connects to them again.
    """

    def __init__(self, hosts: Sequence[Host], folder: Path, program: fio.Fio) -> None:
        self._places = [_Place(host, number) for number, host in enumerate(hosts)]
        self._folder = folder
        self._program = program
        self._runner = asyncio.Runner()
        self._work: asyncio.Task[Any] | None = None
        self._is_closed = False

    # ---- before a run ---------------------------------------------------------------------------

    def connect(self, ours: Versions, names: Collection[str] | None = None) -> list[str]:
        """Connects to the hosts without a connection, and compares them with this machine. Returns
        warnings. Raises HostsError with every host that cannot take part. `names` are those that
        are meant; None: all.
        """

        async def greet(place: _Place) -> str:
            if place.link is None or place.link.failure:
                await place.close()
                await self._open(place)
            return await _greeted(place, ours)

        return [each for each in self._each(greet, names) if each]

    def prepare(self, disks: Mapping[str, Disk]) -> Mapping[str, Served]:
        """Lets the hosts of `disks` start or find them. Raises HostsError with each that cannot."""

        async def ready(place: _Place) -> tuple[str, Served]:
            return place.host.name, await _prepared(place, disks[place.host.name])

        return dict(self._each(ready, disks))

    def release(self) -> None:
        """Lets each host end its back-end. A host that fails loses its connection."""

        async def released(place: _Place) -> None:
            if place.link and not place.link.failure and place.served:
                place.served = None
                await place.link.ask(Message("release"), "released")

        self._do(_gathered([released(each) for each in self._places]))

    def known(self) -> Mapping[str, Known]:
        """What each host said about itself."""
        return {each.host.name: each.known for each in self._places if each.known}

    # ---- a run ----------------------------------------------------------------------------------

    def run(self, tasks: Mapping[str, Task]) -> list[HostResult]:
        """Runs the tasks on the hosts that have one, at the same time, and to their end."""
        chosen = [each for each in self._places if each.host.name in tasks]
        return self._do(self._run(chosen, tasks))

    async def _run(self, chosen: Sequence[_Place], tasks: Mapping[str, Task]) -> list[HostResult]:
        barrier = Barrier(each.host.name for each in chosen)
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._one(each, tasks[each.host.name], barrier))
                for each in chosen
            ]
        return [each.result() for each in running]

    async def _one(self, place: _Place, task: Task, barrier: Barrier) -> HostResult:
        clock = None
        try:
            connection = place.alive()
            clock = await connection.clock()
        except HostError as error:
            barrier.leave(place.host.name)
            return HostResult(place.host, Ran(error=error.why), clock, None)
        ran = await one_client.run(connection, clock, task, self._program, barrier)
        return HostResult(place.host, ran, clock, await _collect(connection, clock))

    # ---- the loop -------------------------------------------------------------------------------

    async def _open(self, place: _Place) -> None:
        if place.host.ssh:
            place.tunnel = Tunnel(place.host, self._folder, place.number)
            await place.tunnel.open()
        place.link = await link.open(place.host, place.tunnel.socket if place.tunnel else None)

    def _each(
        self,
        act: Callable[[_Place], Coroutine[Any, Any, T]],
        names: Collection[str] | None = None,
    ) -> list[T]:
        """Acts on the hosts with these names at once, or on all. Raises HostsError if one fails."""
        places = [each for each in self._places if names is None or each.host.name in names]
        found = self._do(_gathered([act(each) for each in places]))
        failures = [each for each in found if isinstance(each, PyfioVirtioError)]
        if failures:
            raise HostsError(failures)
        return [each for each in found if not isinstance(each, PyfioVirtioError)]

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work in the loop. ^C and the like cancel it, so that all its blocks end."""
        came: list[int] = []

        async def noted() -> T:
            self._work = asyncio.current_task()
            if came:
                raise asyncio.CancelledError
            return await work

        def interrupt(number: int, frame: FrameType | None) -> None:
            came.append(number)
            if self._work is not None:
                self._runner.get_loop().call_soon_threadsafe(self._work.cancel)

        self._work = None
        try:
            with signals.handled(dict.fromkeys(_ENDING, interrupt)):
                return self._runner.run(noted())
        except asyncio.CancelledError:
            raise signals.Interrupted(came[0] if came else _ENDING[0]) from None
        finally:
            work.close()

    def close(self) -> None:
        """Closes all connections, so the hosts end what they started. It may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True

        async def closed() -> None:
            for each in self._places:
                await each.close()

        with signals.handled(dict.fromkeys(_ENDING, _ignore)):
            self._runner.run(closed())
        self._runner.close()


def _ignore(number: int, frame: FrameType | None) -> None:
    """The end goes on: each of its steps has a limit."""


async def _greeted(place: _Place, ours: Versions) -> str:
    connection = place.alive()
    answer = await connection.ask(checks.hello(), "hello")
    try:
        known = checks.read(answer)
    except WireError as error:
        raise connection.lose(str(error)) from error
    if refusal := checks.refusal(place.host, known, ours):
        raise refusal
    place.known, place.clock = known, await connection.clock()
    return checks.warning(place.host, place.clock)


async def _prepared(place: _Place, disk: Disk) -> Served:
    connection = place.alive()
    if place.known and (short := checks.short_of_memory(place.host, place.known, disk)):
        raise short
    may_take_s = 0.0
    wanted: dict[str, Any] = {}
    if isinstance(disk, BackendSpec):
        wanted = {"backend": {**asdict(disk), "options": list(disk.options)}}
        may_take_s = disk.start_timeout_s()
    elif disk is not None:
        wanted = {"socket": disk}
    answer = await connection.ask(Message("prepare", wanted), "prepared", may_take_s)
    place.served = Served(
        connection.text(answer, "disk"),
        connection.text(answer, "command"),
        connection.number(answer, "pid", 0, _LARGEST_PID),
    )
    return place.served


async def _collect(connection: Link, clock: Clock) -> Collected | None:
    try:
        answer = await connection.ask(Message("collect"), "collected")
        return collected.read(answer, clock.offset_ns)
    except WireError as error:
        connection.lose(str(error))
    except HostError:
        pass  # the run's own result says more
    return None


async def _gathered(work: Sequence[Coroutine[Any, Any, T]]) -> list[T | PyfioVirtioError]:
    """Does everything at once; a failure of a host is among the results."""

    async def one(each: Coroutine[Any, Any, T]) -> T | PyfioVirtioError:
        try:
            return await each
        except PyfioVirtioError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each)) for each in work]
    return [each.result() for each in tasks]


@contextmanager
def controller(hosts: Sequence[Host], folder: Path, program: fio.Fio) -> Iterator[Controller]:
    """A controller of these hosts. `folder` is a private one, for the sockets of tunnels."""
    open_files.make_room(len(hosts))
    made = Controller(hosts, folder, program)
    try:
        yield made
    finally:
        made.close()
