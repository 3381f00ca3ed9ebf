# SPDX-License-Identifier: GPL-2.0-or-later
"""The load: clients that read and write their own blocks of a disk, and check all that they read.

Each Client is a thread. It keeps `iodepth` operations in flight, and a block has at most one of
them. It writes all of its blocks once, and after that it reads and writes at random. After a
restart it reads each block before it writes it again. So it finds every acknowledged write that was
lost. A block that was lost is reported once and then written again. The main thread tells the
clients by a Stage what happens. It reads what they found, and changes none of it.
"""

import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pyfio_virtio.disk.operation import Operation, Read, Write
from pyfio_virtio.errors import DiskError
from pyfio_virtio.restarts.stalls import Span
from pyfio_virtio.restarts.versions import Content, Record, Verdict, Window

# The width of a sample of the IOPS.
SAMPLE_NS = 10_000_000
# This part of the operations reads blocks that were not read since the last restart.
_CHECKS = 0.5
# The disk counts as lost after so many failures without a success.
_MOST_FAILURES = 1000
# Of each client, for each restart.
_MOST_FINDINGS = 3
_IDLE_S = 0.001


class Operations(Protocol):
    """What is used of disk.operations.Operations."""

    def submit(self, operations: Sequence[Operation]) -> None: ...

    def completed(self, minimum: int = 1) -> list[Operation]: ...

    def __len__(self) -> int: ...


class Reconnects(Protocol):
    @property
    def count(self) -> int: ...


class Disk(Protocol):
    """What is used of disk.disk.Disk."""

    def alloc(self, size: int) -> memoryview: ...

    @property
    def reconnects(self) -> Reconnects: ...


@dataclass
class Tally:
    """What a client saw from the beginning of a restart to the beginning of the next one."""

    reads: int = 0
    writes: int = 0
    errors: int = 0
    first_error: str = ""
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)  # the first ones, in words
    spans: list[Span] = field(default_factory=list)  # those before every block was read


@dataclass
class Stage:
    """What the main thread tells the clients. It sets `reconnects` before `restart`."""

    restart: int = 0  # the number of the last restart that began
    reconnects: int = 0  # of the disk, when that began
    is_over: bool = False
    is_given_up: bool = False  # the disk is closed, so failures from now on say nothing about it


@dataclass(frozen=True)
class Share:
    """The blocks of one client, and what is known about them."""

    first: int  # the number of its first block
    record: Record


@dataclass(frozen=True)
class Load:
    """How all clients work."""

    content: Content
    offset: int  # of block 0 on the disk, in bytes
    iodepth: int
    read_percent: float
    seed: str
    only_checks: bool = False  # read every block once, and nothing else


class Slot:
    """One of the operations that a client keeps in flight, and its buffer."""

    def __init__(self, buffer: memoryview) -> None:
        self.block = 0
        self.is_write = False
        self.is_needed = False  # a write of a block that has to be written
        self.restart = 0  # the last one before it was submitted
        self.window = Window(0, 0)  # of a read
        self.submitted_ns = 0
        self.use(buffer)

    def use(self, buffer: memoryview) -> None:
        self.buffer = buffer
        self._read, self._write = Read(buffer, 0, self), Write(buffer, 0, self)

    @property
    def operation(self) -> Operation:
        return self._write if self.is_write else self._read


class Client:
    """`failure` is why it ended early. `settled` is the last restart after which each block was
    read, or was written because it was not there."""

    def __init__(self, disk: Disk, load: Load, share: Share, stage: Stage) -> None:
        self.tallies = [Tally()]  # by the number of the restart
        self.samples: Counter[int] = Counter()  # completed operations, by the time in SAMPLE_NS
        self.settled = -1
        self.failure: BaseException | None = None
        self._disk, self._load, self._share, self._stage = disk, load, share, stage
        self._record = share.record
        self._draw = random.Random(f"{load.seed} {share.first}")  # noqa: S311
        self._restart = -1  # the last one that is over
        self._busy = set[int]()
        # What has to be written next, because it was never written or was lost.
        every = () if load.only_checks else range(len(self._record))
        self._unwritten = [block for block in every if not self._record.window(block).submitted]
        self._unsettled = set[int]()  # not found since the last restart
        self._to_read = deque[int]()  # has all of these that are not in flight
        self._failures = 0  # since the last success
        self._slots = [Slot(self._buffer()) for _ in range(load.iodepth)]

    def _buffer(self) -> memoryview:
        size = self._load.content.block_bytes
        with contextlib.suppress(DiskError):
            return self._disk.alloc(size)
        return memoryview(bytearray(size))

    def run(self, operations: Operations) -> None:
        """Works until the stage says that it is over, or until the disk is lost."""
        try:
            self._work(operations)
        except BaseException as failure:  # the main thread raises or tells it
            self.failure = failure

    def _work(self, operations: Operations) -> None:
        free = self._slots
        while not self._stage.is_over:
            self._look_at_stage()
            begun, idle = list[Slot](), list[Slot]()
            for slot in free:
                (begun if self._prepare(slot) else idle).append(slot)
            operations.submit([slot.operation for slot in begun])
            free = idle
            if len(operations):
                free += self._collect(operations)
            else:
                time.sleep(_IDLE_S)
        while len(operations):
            self._collect(operations)

    def _look_at_stage(self) -> None:
        """As soon as a restart is over, no block is written before it was read. What was submitted
        earlier does not count. The engine counts a reconnect before the new back-end can answer.
        """
        restart = self._stage.restart
        if self._restart == restart:
            return
        if restart and self._disk.reconnects.count <= self._stage.reconnects:
            return
        self._restart = restart
        every = range(len(self._record))
        self._unsettled = set(every)
        self._to_read = deque(self._draw.sample(every, len(every)))

    # ---- choosing ------------------------------------------------------------------------------

    def _prepare(self, slot: Slot) -> bool:
        """Chooses what the slot does next; False: there is nothing to do now."""
        slot.is_needed = bool(self._unwritten)
        chosen = self._choose()
        if chosen is None:
            return False
        block, slot.is_write = chosen
        number = self._share.first + block
        if slot.is_write:
            slot.buffer[:] = self._load.content.make(number, self._record.begin_write(block))
        else:
            slot.buffer[:] = bytes(len(slot.buffer))  # no earlier data is taken for what is read
            slot.window = self._record.window(block)
        slot.block, slot.restart = block, self._restart
        slot.operation.offset = self._load.offset + number * len(slot.buffer)
        self._busy.add(block)
        slot.submitted_ns = time.monotonic_ns()
        return True

    def _choose(self) -> tuple[int, bool] | None:
        """A block that is not in flight, and whether it is written."""
        if self._unwritten:
            return self._unwritten.pop(), True
        only_checks = self._load.only_checks
        if self._to_read and (only_checks or self._draw.random() < _CHECKS):
            block = self._next_to_read()
            if block is not None:
                return block, False
        if only_checks:
            return None
        block = self._draw.randrange(len(self._record))
        while block in self._busy:
            block = self._draw.randrange(len(self._record))
        may_write = block not in self._unsettled
        return block, may_write and self._draw.random() * 100 >= self._load.read_percent

    def _next_to_read(self) -> int | None:
        for _ in range(len(self._to_read)):
            block = self._to_read.popleft()
            if block in self._busy:
                self._to_read.append(block)
            elif block in self._unsettled:
                return block
        return None

    # ---- collecting ----------------------------------------------------------------------------

    def _collect(self, operations: Operations) -> list[Slot]:
        done = operations.completed()
        now = time.monotonic_ns()
        while len(self.tallies) <= self._stage.restart:
            self.tallies.append(Tally())
        tally = self.tallies[-1]
        slots: list[Slot] = [each.key for each in done]
        for slot in slots:
            self._end(slot, tally)
        if self.settled < self._stage.restart != 0:
            tally.spans += (Span(slot.submitted_ns, now) for slot in slots)
        self.samples[now // SAMPLE_NS] += len(slots)
        if not self._unsettled:
            self.settled = self._restart
        return slots

    def _end(self, slot: Slot, tally: Tally) -> None:
        self._busy.discard(slot.block)
        error = slot.operation.error
        if error is not None:
            if self._stage.is_given_up:
                return
            self._note_error(slot, tally, error)
            return
        self._failures = 0
        if slot.is_write:
            tally.writes += 1
            self._record.acknowledge(slot.block)
            is_there = True
        else:
            tally.reads += 1
            is_there = self._check(slot, tally)
        if is_there and slot.restart == self._restart:
            self._unsettled.discard(slot.block)

    def _check(self, slot: Slot, tally: Tally) -> bool:
        """Whether the block is there. Otherwise it is reported, and is written next."""
        number, data = self._share.first + slot.block, bytes(slot.buffer)
        verdict = self._load.content.judge(number, data, slot.window)
        tally.verdicts[verdict] += 1
        if verdict is Verdict.RIGHT:
            return True
        if len(tally.findings) < _MOST_FINDINGS:
            words = self._load.content.describe(number, data, slot.window)
            tally.findings.append(f"block {number} at {slot.operation.offset}: {words}")
        if self._load.only_checks:
            return True
        self._unwritten.append(slot.block)
        return False

    def _note_error(self, slot: Slot, tally: Tally, error: DiskError) -> None:
        tally.errors += 1
        tally.first_error = tally.first_error or str(error)
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            raise error
        if slot.is_needed:
            self._unwritten.append(slot.block)
        elif not slot.is_write:
            self._to_read.append(slot.block)
        slot.use(self._buffer())  # the back-end may still change the other one
