# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that is right in all but one thing, and what the built-in back-end makes of it.

A `Lie` is a row of the table. It is told to a back-end that serves a neighbour, which breaks no
rule, as well; `tell()` returns what became of it.
"""

import select
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.backend import frontend as fe
from tests.backend.disk_requests import BLK_OK, BLK_READ, GOOD, SCSI_REQUEST, UNTOUCHED, blk, scsi
from tests.backend.file_kinds import KINDS
from tests.backend.frontend import GUEST_BASE, TIMEOUT_S, BackendGoneError, Frontend
from tests.waiting import wait_until

GUARD = 0xC7


class Then(Enum):
    """What becomes of a lie."""

    TAKEN = "the message is carried out"
    REFUSED = "the message is refused, and the next one is served"
    CLOSED = "the connection ends"
    BROKEN = "the ring is not served any more, and its error eventfd says so"
    IOERR = "the request fails: an I/O error"
    UNSUPP = "the request fails: it is not supported"
    OK = "the request succeeds"
    NO_STATUS = "the request comes back, and nothing was written"
    WAITED_FOR = "the back-end waits for more"


# Of virtio-blk.
STATUS = {0: Then.OK, 1: Then.IOERR, 2: Then.UNSUPP, UNTOUCHED: Then.NO_STATUS}


@dataclass(frozen=True)
class Desc:
    """A descriptor, as the client writes it. The address is one of PLACES, or a number."""

    at: str | int
    size: int
    flags: int = 0
    next: int = 0


# Where the parts of a request lie in the client's memory. Around them are guards.
PLACES = {"header": 0x8000, "data": 0x9000, "status": 0xB000, "table": 0xC000, "table 2": 0xD000}
MEMORY_BYTES = 1 << 17
TEST_UNIT_READY = bytes(6)
INQUIRY = bytes([0x12, 0, 0, 0, 36, 0])


@dataclass(frozen=True)
class Served:
    """A process that runs the back-end, and its neighbour."""

    process: subprocess.Popen[str]
    path: str
    neighbour: Frontend

    def fds(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def serves_neighbour(self) -> bool:
        if len(self.neighbour.queues) == 1:
            return blk(self.neighbour, BLK_READ, 0, in_bytes=4096).status == BLK_OK
        return scsi(self.neighbour, INQUIRY, in_bytes=36).status == GOOD

    def check(self, fds: int) -> None:
        """Nobody was harmed, and nothing is left of the client."""
        assert self.process.poll() is None
        assert self.serves_neighbour()
        wait_until(lambda: self.fds() == fds, f"{fds} open files instead of {self.fds()}")


# It tells the back-end a lie by way of a client whose ring runs, and returns what came of it.
Act = Callable[[Frontend], Then]


@dataclass(frozen=True)
class Lie:
    about: str  # the message or the shared field
    says: str  # what is wrong with it
    then: Then
    act: Act
    scsi: bool = False

    @property
    def name(self) -> str:
        return f"{self.about}: {self.says}"


def tell(served: Served, lie: Lie) -> Then:
    memory = fe.Memory(MEMORY_BYTES)
    queues = 3 if lie.scsi else 1
    with Frontend(served.path, queues=queues, indirect=True, memory=memory) as client:
        client.connection.socket.settimeout(TIMEOUT_S)
        if lie.scsi:
            scsi(client, TEST_UNIT_READY)  # the first command is answered by a unit attention
        try:
            return lie.act(client)
        except BackendGoneError:
            return Then.CLOSED


# ---- messages ------------------------------------------------------------------------------------


def says(request: int, payload: bytes = b"", *kinds: str) -> Act:
    """A message, with a file of each of the kinds."""

    def act(client: Frontend) -> Then:
        with ExitStack() as stack:
            code = client.tell(request, payload, [KINDS[kind](stack) for kind in kinds])
            if code and client.connection.ask_u64(fe.GET_FEATURES):
                return Then.REFUSED
            return Then.TAKEN

    return act


def sends(data: bytes, *kinds: str) -> Act:
    """Bytes that are no message. If the back-end waits for more, the client leaves."""

    def act(client: Frontend) -> Then:
        with ExitStack() as stack:
            fds = [KINDS[kind](stack) for kind in kinds]
            client.connection.send_raw(data, fds)
            if select.select([client.connection.socket], [], [], 0.02)[0]:
                client.connection.receive()
            return Then.WAITED_FOR

    return act


# ---- requests ------------------------------------------------------------------------------------


def address(place: str | int) -> int:
    return GUEST_BASE + PLACES[place] if isinstance(place, str) else place


def write_chain(client: Frontend, table: int, chain: Sequence[Desc]) -> None:
    for index, each in enumerate(chain):
        client.queues[0].write_descriptor(
            table, index, address(each.at), each.size, each.flags, each.next
        )


def requests(
    *chain: Desc,
    kind: int = BLK_READ,
    sector: int = 0,
    table: Sequence[Desc] = (),
    data: bytes = b"",
    header: bytes = b"",
    queue: int = 0,
) -> Act:
    """A request whose chain begins with the ring's first descriptor, which may lead to a table."""

    def act(client: Frontend) -> Then:
        memory, ring = client.memory, client.queues[queue]
        memory.map[PLACES["header"] :] = bytes([GUARD]) * (memory.size - PLACES["header"])
        place(client, "header", header or struct.pack("<IIQ", kind, 0, sector))
        place(client, "status", bytes([UNTOUCHED]) * 16)
        place(client, "data", data)
        write_chain(client, ring.descriptors, chain)
        write_chain(client, PLACES["table"], table)
        before = memory.map[PLACES["header"] :]
        ring.offer(0)
        then = outcome(client, queue)
        check_guards(client, before, [*chain, *table])
        return then

    return act


def place(client: Frontend, where: str, data: bytes) -> None:
    client.memory.map[PLACES[where] : PLACES[where] + len(data)] = data


def outcome(client: Frontend, queue: int = 0) -> Then:
    """Publishes what was offered, and waits until the ring is broken or one request comes back."""
    ring = client.queues[queue]
    ring.publish()
    ring.kick()
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if select.select([ring.err_fd], [], [], 0.0005)[0]:
            return Then.BROKEN
        if ring.used_index() != ring.seen_index:
            return judge(client, queue)
    raise AssertionError("the back-end neither answered nor broke the ring")


def judge(client: Frontend, queue: int) -> Then:
    """By the status of virtio-blk, by the response of virtio-scsi and the status of its disk, or by
    whether a request to the control queue was answered."""
    answer = client.memory.map[PLACES["status"] : PLACES["status"] + 12]
    if len(client.queues) == 1:
        return STATUS[answer[0]]
    *_, status, response = answer if queue == SCSI_REQUEST else bytes([0, answer[0]])
    if response == UNTOUCHED:
        return Then.NO_STATUS
    return Then.IOERR if queue == SCSI_REQUEST and status | response else Then.OK


def check_guards(client: Frontend, before: bytes, chain: Sequence[Desc]) -> None:
    """Nothing but what the device may write has changed."""
    first = PLACES["header"]
    after = bytearray(client.memory.map[first:])
    for each in chain:
        if each.flags & fe.DESC_WRITE:
            start = address(each.at) - GUEST_BASE - first
            if 0 <= start < len(after):
                end = start + each.size
                after[start:end] = before[start:end]
    assert bytes(after) == before
