# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that is restarted, and that loses what it is told to lose, for a Client in this thread.

It carries out operations in any order. At a restart, each operation in flight was answered before
it, or was carried out, in part or not at all, and is carried out again. Some operations fail, and a
write that fails was carried out, in part or not at all. All this is correct. A Fault is not: it
changes a block for which no operation is in flight.
"""

import enum
import errno
import random
from collections.abc import Sequence

from pyfio_virtio.disk.operation import Operation, Read, Write
from pyfio_virtio.errors import DiskError
from pyfio_virtio.restarts.clients import Client, Load, Share, Stage
from pyfio_virtio.restarts.versions import Content, Record, Verdict

SECTOR_BYTES = 512
BLOCKS = 24
# Operations between two restarts.
STEPS = 40


class Fault(enum.Enum):
    """What a restart does to a block."""

    FORGET = "it holds zeroes"
    MISPLACE = "it holds a write of another block"
    KEEP_OTHERS = "it holds a block of another run"
    GO_BACK = "it holds an earlier write: one was lost, or one was repeated later"
    TEAR = "some of its sectors hold an earlier write"
    SWAP = "two of its sectors have changed places"
    INVENT = "it holds a write that was not submitted"


VERDICTS = {
    Fault.FORGET: Verdict.LOST,
    Fault.MISPLACE: Verdict.LOST,
    Fault.KEEP_OTHERS: Verdict.LOST,
    Fault.GO_BACK: Verdict.OLDER,
    Fault.TEAR: Verdict.TORN,
    Fault.SWAP: Verdict.TORN,
    Fault.INVENT: Verdict.NEWER,
}


class SimulatedDisk:
    """Also its Operations. `plan` has the faults of each restart."""

    def __init__(
        self, seed: int, plan: Sequence[Sequence[Fault]], block_bytes: int, error_percent: float
    ) -> None:
        self._draw = random.Random(seed)
        self._plan, self._error_percent = plan, error_percent
        self.content = Content(b"this run", block_bytes, SECTOR_BYTES)
        self._data = [self._draw.randbytes(block_bytes) for _ in range(BLOCKS)]
        self._acknowledged: list[list[bytes]] = [[] for _ in range(BLOCKS)]
        self._in_flight: list[Operation] = []
        self._answered: list[Operation] = []  # of these, before the back-end died
        self._steps = 0
        self._is_dying = False
        self.count = 0  # of reconnects
        self.stage = Stage()
        self.injected: list[list[Verdict]] = [[]]
        load = Load(self.content, 0, 4, 40, str(seed))
        self.record = Record(BLOCKS)
        self.client = Client(self, load, Share(0, self.record), self.stage)

    def run(self) -> Client:
        self.client.run(self)
        if self.client.failure:
            raise self.client.failure
        return self.client

    # ---- what the client uses ------------------------------------------------------------------

    def alloc(self, size: int) -> memoryview:
        return memoryview(bytearray(size))

    @property
    def reconnects(self) -> "SimulatedDisk":
        return self

    def __len__(self) -> int:
        return len(self._in_flight)

    def submit(self, operations: Sequence[Operation]) -> None:
        places = [self._place(each) for each in (*self._in_flight, *operations)]
        assert len(set(places)) == len(places), "two operations in flight on one block"
        self._in_flight += operations

    def completed(self, minimum: int = 1) -> list[Operation]:
        self._steps += 1
        if self._is_dying and self._draw.random() < 0.2:
            self._die()
        elif self.client.settled == self.stage.restart and self._steps > STEPS:
            self._steps = 0
            self._go_on()
        some = self._draw.sample(self._in_flight, self._draw.randint(1, len(self._in_flight)))
        self._in_flight = [each for each in self._in_flight if each not in some]
        for each in some:
            if each in self._answered:
                self._answered.remove(each)
            else:
                self._carry_out(each)
        return some

    # ---- what happens to it --------------------------------------------------------------------

    def _place(self, operation: Operation) -> int:
        return operation.offset // self.content.block_bytes

    def _carry_out(self, operation: Operation) -> None:
        place = self._place(operation)
        assert isinstance(operation.buffer, memoryview)
        operation.error = None
        if self._draw.random() * 100 < self._error_percent:
            operation.error = DiskError(errno.EIO, "a failure")
            self._carry_out_perhaps(operation)
        elif isinstance(operation, Write):
            self._data[place] = bytes(operation.buffer)
            self._acknowledged[place].append(self._data[place])
        else:
            operation.buffer[:] = self._data[place]

    def _carry_out_perhaps(self, operation: Operation) -> None:
        if isinstance(operation, Write):
            assert isinstance(operation.buffer, memoryview)
            place = self._place(operation)
            end = self._draw.choice(range(0, self.content.block_bytes + 1, SECTOR_BYTES))
            self._data[place] = bytes(operation.buffer[:end]) + self._data[place][end:]

    def _go_on(self) -> None:
        number = self.stage.restart + 1
        if number > len(self._plan):
            self.stage.is_over = True
            return
        self.stage.restart = number
        self.stage.reconnects = self.count
        self._is_dying = True

    def _die(self) -> None:
        self._is_dying = False
        self.count += 1
        for each in self._in_flight:
            if self._draw.random() < 0.3:
                self._carry_out(each)
                self._answered.append(each)
            else:
                self._carry_out_perhaps(each)
        # A read that was answered does not show what happens to its block now.
        read = [each for each in self._answered if isinstance(each, Read)]
        busy = {self._place(each) for each in self._in_flight if each not in read}
        idle = [place for place in range(BLOCKS) if place not in busy]
        self._draw.shuffle(idle)
        idle.sort(key=[self._place(each) for each in read].__contains__)  # those come last
        self.injected.append([])
        for fault in self._plan[self.stage.restart - 1]:
            place = idle.pop()
            found = self._damaged(place, fault)
            if found is not None:
                self._data[place] = found
                self.injected[-1].append(VERDICTS[fault])

    def _damaged(self, place: int, fault: Fault) -> bytes | None:
        """None if the block is too small, or was not written often enough for this."""
        size, written = self.content.block_bytes, self._acknowledged[place]
        if fault is Fault.FORGET:
            return bytes(size)
        if fault is Fault.MISPLACE:
            return self.content.make((place + 1) % BLOCKS, 1)
        if fault is Fault.KEEP_OTHERS:
            return Content(b"last run", size, SECTOR_BYTES).make(place, 1)
        if fault is Fault.INVENT:
            return self.content.make(place, self.record.window(place).submitted + 1)
        if fault is Fault.GO_BACK:
            return self._draw.choice(written[:-1]) if len(written) > 1 else None
        if size == SECTOR_BYTES:
            return None
        first, second = written[-1][:SECTOR_BYTES], written[-1][SECTOR_BYTES : 2 * SECTOR_BYTES]
        rest = written[-1][2 * SECTOR_BYTES :]
        if fault is Fault.SWAP:
            return second + first + rest
        return written[-2][:SECTOR_BYTES] + second + rest if len(written) > 1 else None
