# SPDX-License-Identifier: GPL-2.0-or-later
"""The restart test: clients work on a disk while its back-end is restarted again and again.

run() opens the disk, lets the clients write every block, and restarts the back-end at random
moments. It waits after each restart until the clients have read every block, so that what is
missing is known to be missing since this restart. At the end it reads all of them over a new
connection. Called from the main thread. If that is interrupted, the disk is closed and everything
ends. Nothing is printed here.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from pyfio_virtio.disk.disk import MAX_DEPTH, Disk
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine import signals
from pyfio_virtio.restarts import outcome, stalls
from pyfio_virtio.restarts.clients import SAMPLE_NS, Client, Load, Share, Stage
from pyfio_virtio.restarts.outcome import Connection, Outcome, Restart
from pyfio_virtio.restarts.restarting import Way
from pyfio_virtio.restarts.versions import Content, Record
from pyfio_virtio.sizes import format_size

DEFAULT_SIZE_BYTES = 64 << 20
# A client chooses among at least so many blocks for each operation in flight.
_BLOCKS_FOR_EACH = 2
MOST_MEMORY_BYTES = 256 << 20
_PAGE_BYTES = 4096
_TICK_S = 0.005
_MOST_FINDINGS = 8
_RUN_BYTES = 8

# It is called with the number of restarts that are done.
Progress = Callable[[int], None]
Connect = Callable[[], Disk]


@dataclass(frozen=True)
class Plan:
    """`size_bytes` is the part of the disk that is used; None: all of it, but at most 64 MiB."""

    restarts: int
    every_s: tuple[float, float]  # the shortest and the longest time before a restart
    offset: int
    size_bytes: int | None
    block_bytes: int
    iodepth: int
    threads: int
    read_percent: float
    seed: int
    reconnect_timeout_s: float

    @property
    def memory_bytes(self) -> int:
        """Of all buffers; 0 if they are too large to be shared with the back-end."""
        each = -(-self.block_bytes // _PAGE_BYTES) * _PAGE_BYTES
        every = each * self.iodepth * self.threads
        return every if every <= MOST_MEMORY_BYTES else 0

    def depth(self, queues: int) -> int:
        """The operations in flight on each queue; the threads are given to the queues in turn."""
        return min(MAX_DEPTH, self.iodepth * -(-self.threads // queues))

    def blocks_on(self, disk: Disk) -> int:
        """The number of blocks. Refuses a disk that does not fit the plan."""
        if disk.info.read_only:
            raise UsageError("cannot test a disk that is read-only", "the test writes to it")
        for name, value in (("--bs", self.block_bytes), ("--offset", self.offset)):
            if value % disk.block_size:
                raise UsageError(
                    f"unusable {name} {value}",
                    f"the blocks of the disk have {disk.block_size} bytes",
                    "use a multiple of that",
                )
        room = max(0, disk.size - self.offset)
        size = min(room, DEFAULT_SIZE_BYTES) if self.size_bytes is None else self.size_bytes
        if size > room:
            raise UsageError(
                f"{size} bytes at {self.offset} do not fit",
                f"the disk has {disk.size} ({format_size(disk.size)})",
                "use a smaller --size",
            )
        blocks = size // self.block_bytes
        if blocks < (least := _BLOCKS_FOR_EACH * self.iodepth * self.threads):
            raise UsageError(
                f"{format_size(size)} are too few to test",
                f"{self.threads} x {self.iodepth} operations in flight need {least} blocks",
                "use a larger --size, or a smaller --bs or --iodepth",
            )
        return blocks


class _Trial:
    """The state of one run."""

    def __init__(self, plan: Plan, way: Way, disk: Disk, blocks: int) -> None:
        self.plan, self.way, self.disk, self.blocks = plan, way, disk, blocks
        self.stage = Stage()
        content = Content(os.urandom(_RUN_BYTES), plan.block_bytes, disk.block_size)
        self.load = Load(content, plan.offset, plan.iodepth, plan.read_percent, str(plan.seed))
        self.shares = list(_shares(blocks, plan.threads))
        self.clients = [Client(disk, self.load, each, self.stage) for each in self.shares]
        self.begun_ns = time.monotonic_ns()
        self.took: list[tuple[int, float | None]] = []  # when each restart began, how long it took
        self.connections: list[Connection] = []

    def restarts(self, progress: Progress) -> None:
        """Everything between the first write and the last restart. Raises if it ends early."""
        draw = random.Random(self.plan.seed)  # noqa: S311
        self._until(lambda: self._settled() >= 0)
        for number in range(1, self.plan.restarts + 1):
            self._pause(draw.uniform(*self.plan.every_s))
            self._restart(number)
            progress(number)
        self._pause(self.plan.every_s[0])

    def _restart(self, number: int) -> None:
        before = connection_of(self.disk)
        self.stage.reconnects = before.reconnects
        self.stage.restart = number
        began = time.monotonic_ns()
        self.took.append((began, None))
        try:
            self.way.restart()
            self.took[-1] = (began, (time.monotonic_ns() - began) / 1e9)
            self._until_reconnected(before)
            self._until(lambda: self._settled() >= number)
        finally:
            self.connections.append(connection_of(self.disk).since(before))

    def _until_reconnected(self, before: Connection) -> None:
        # It may hang up so late, and come back so late after that.
        limit_s = 2 * self.plan.reconnect_timeout_s
        deadline = time.monotonic() + limit_s

        def is_back() -> bool:
            return connection_of(self.disk).reconnects > before.reconnects

        self._until(lambda: is_back() or time.monotonic() > deadline)
        if not is_back():
            raise PyfioVirtioError(
                f"the back-end at {self.way.socket} was not restarted",
                f"it did not hang up within {limit_s:g} s",
                "check that --restart-with restarts what serves this socket",
            )

    def _settled(self) -> int:
        return min(client.settled for client in self.clients)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._until(lambda: time.monotonic() >= deadline)

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            _raise_failure(self.clients)
            time.sleep(_TICK_S)

    # ---- what was found ------------------------------------------------------------------------

    def outcome(self, checkers: Sequence[Client], failure: str) -> Outcome:
        every = [*self.clients, *checkers]
        tallies = [tally for client in every for tally in client.tallies]
        return Outcome(
            planned=self.plan.restarts,
            done=max(0, self._settled()),
            blocks=self.blocks,
            before=outcome.found(client.tallies[0] for client in self.clients),
            restarts=[self._one(number) for number in range(1, len(self.took) + 1)],
            last=outcome.found(tally for client in checkers for tally in client.tallies),
            samples=self._samples(),
            findings=[each for tally in tallies for each in tally.findings][:_MOST_FINDINGS],
            first_error=next((each.first_error for each in tallies if each.first_error), ""),
            failure=failure,
        )

    def _one(self, number: int) -> Restart:
        began, took_s = self.took[number - 1]
        tallies = [each.tallies[number] for each in self.clients if len(each.tallies) > number]
        spans = [span for tally in tallies for span in tally.spans]
        connection = self.connections[number - 1]
        return Restart(
            number=number,
            began_s=(began - self.begun_ns) / 1e9,
            took_s=took_s,
            stall=stalls.find(began, spans, self.begun_ns) if connection.reconnects else None,
            connection=connection,
            found=outcome.found(tallies),
        )

    def _samples(self) -> list[int]:
        counts = sum((client.samples for client in self.clients), Counter[int]())
        first = self.begun_ns // SAMPLE_NS
        return [counts[place] for place in range(first, max(counts, default=first) + 1)]


def run(plan: Plan, way: Way, connect: Connect, progress: Progress) -> Outcome:
    """`connect` opens the disk that `way` restarts."""
    with connect() as disk:
        trial = _Trial(plan, way, disk, plan.blocks_on(disk))
        failure = _carry_out(trial, progress)
    checkers = list[Client]()
    if not failure:
        try:
            checkers = _read_all(trial, connect)
        except PyfioVirtioError as error:
            failure = f"the blocks could not be read at the end: {error}"
    return trial.outcome(checkers, failure)


def _carry_out(trial: _Trial, progress: Progress) -> str:
    """Returns why it ended early, or an empty text."""
    try:
        with _working(trial.disk, trial.clients, trial.stage):
            trial.restarts(progress)
        _raise_failure(trial.clients)
    except PyfioVirtioError as error:
        return str(error)
    return ""


def _read_all(trial: _Trial, connect: Connect) -> list[Client]:
    load, stage = replace(trial.load, only_checks=True), Stage()
    with connect() as disk:
        checkers = [Client(disk, load, share, stage) for share in trial.shares]
        with _working(disk, checkers, stage):
            while any(checker.settled < 0 for checker in checkers):
                _raise_failure(checkers)
                time.sleep(_TICK_S)
    return checkers


@contextmanager
def _working(disk: Disk, clients: Sequence[Client], stage: Stage) -> Iterator[None]:
    """The clients work in their threads during the block. If it fails, the disk is closed, which
    ends the calls that wait."""
    with ExitStack() as stack:
        opened = [stack.enter_context(disk.operations()) for _ in clients]
        threads = [
            threading.Thread(target=client.run, args=(operations,), daemon=True)
            for client, operations in zip(clients, opened, strict=True)
        ]
        try:
            with signals.held_from_threads():
                for thread in threads:
                    thread.start()
            yield
            _end(threads, stage)
        except BaseException:
            stage.is_given_up = stage.is_over = True
            disk.close()
            _end(threads, stage)
            raise


def _end(threads: Sequence[threading.Thread], stage: Stage) -> None:
    stage.is_over = True
    for thread in threads:
        while thread.is_alive():
            thread.join(_TICK_S)


def _raise_failure(clients: Sequence[Client]) -> None:
    for client in clients:
        if client.failure is not None:
            raise client.failure


def _shares(blocks: int, threads: int) -> Iterator[Share]:
    for thread in range(threads):
        first, end = (blocks * each // threads for each in (thread, thread + 1))
        yield Share(first, Record(end - first))


def connection_of(disk: Disk) -> Connection:
    """What the engine counted since the disk was opened."""
    counted = disk.reconnects
    return Connection(counted.count, counted.replayed, counted.away_ns)
