# SPDX-License-Identifier: GPL-2.0-or-later
"""The device's side of a split virtqueue, in Python, over the raw memory.

Written from virtio 1.2, 2.7 alone: it knows where the three parts of the ring lie, and nothing of
the engine's structures. Not for speed, and not for two threads: nothing here orders memory.
"""

import mmap
from dataclasses import dataclass

from tests.engine.shared_object import CData, ffi, lib, sentence

DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4
NO_NOTIFY = 1  # used.flags: the device wants no kicks
NO_INTERRUPT = 1  # avail.flags: the driver wants no calls
U16 = 0xFFFF


def needs_event(event: int, new: int, old: int) -> bool:
    """2.7.10: whether the index `event` was passed on the way from old to new."""
    return (new - event - 1) & U16 < (new - old) & U16


def words_at(pointer: CData, count: int) -> memoryview:
    """16-bit words of the ring, shared with the engine."""
    return memoryview(ffi.buffer(ffi.cast("uint16_t *", pointer), 2 * count)).cast("B").cast("H")


@dataclass(frozen=True)
class Descriptor:
    address: int
    length: int
    flags: int
    next: int


class RingDevice:
    def __init__(self, vq: CData, size: int, *, event_idx: bool) -> None:
        self.size, self.event_idx = size, event_idx
        self.desc = memoryview(ffi.buffer(vq.desc, 16 * size))
        self.avail = words_at(vq.avail, 3 + size)  # flags, idx, ring, used_event
        self.used = words_at(vq.used, 3 + 4 * size)  # flags, idx, ring, avail_event
        self.avail_next = 0  # the next avail entry to take

    @property
    def used_idx(self) -> int:
        return self.used[1]

    @used_idx.setter
    def used_idx(self, value: int) -> None:
        self.used[1] = value & U16

    @property
    def used_event(self) -> int:
        return self.avail[2 + self.size]

    def set_avail_event(self, value: int) -> None:
        self.used[2 + 4 * self.size] = value & U16

    def take(self) -> list[int]:
        """Heads of the chains that became available."""
        heads = []
        while self.avail_next != self.avail[1]:
            heads.append(self.avail[2 + self.avail_next % self.size])
            self.avail_next = (self.avail_next + 1) & U16
        return heads

    def put_used(self, head: int, length: int = 0) -> None:
        """Writes an element, without showing it."""
        at = 2 + 4 * (self.used_idx % self.size)
        words = (head & U16, head >> 16, length & U16, length >> 16)
        for offset, word in enumerate(words):
            self.used[at + offset] = word

    def complete(self, head: int, length: int = 0) -> None:
        self.put_used(head, length)
        self.used_idx += 1

    def wants_call(self, old: int) -> bool:
        """Whether the driver is to be called, now that used.idx has moved on from old."""
        if self.event_idx:
            return needs_event(self.used_event, self.used_idx, old)
        return not self.avail[0] & NO_INTERRUPT

    def descriptor(self, index: int) -> Descriptor:
        return self._descriptor_in(self.desc, index)

    def chain(self, head: int) -> list[Descriptor]:
        """Follows a chain to its end, into the indirect table if there is one."""
        first = self.descriptor(head)
        table, index = self.desc, head
        if first.flags & DESC_INDIRECT:
            table = memoryview(ffi.buffer(ffi.cast("char *", first.address), first.length))
            index = 0
        found = [self._descriptor_in(table, index)]
        while found[-1].flags & DESC_NEXT:
            found.append(self._descriptor_in(table, found[-1].next))
        return found

    @staticmethod
    def _descriptor_in(table: memoryview, index: int) -> Descriptor:
        entry = table[16 * index : 16 * index + 16].cast("B")
        return Descriptor(
            int.from_bytes(entry[:8], "little"),
            int.from_bytes(entry[8:12], "little"),
            int.from_bytes(entry[12:14], "little"),
            int.from_bytes(entry[14:16], "little"),
        )


@dataclass(frozen=True)
class Shape:
    """The fields of struct virtq_shape."""

    size: int = 8
    num_chains: int = 4
    chain_length: int = 2
    request_bytes: int = 16
    response_bytes: int = 1
    indirect: bool = False
    event_idx: bool = False

    def in_c(self) -> CData:
        return ffi.new("struct virtq_shape *", vars(self))


class Ring:
    """A virtqueue of the engine's (`vq`), its memory, and the device on the other side."""

    def __init__(self, shape: Shape | None = None) -> None:
        self.shape = shape or Shape()
        in_c = self.shape.in_c()
        # Anonymous maps begin on a page.
        self.memory = ffi.from_buffer(mmap.mmap(-1, lib.virtq_bytes(in_c)))
        self.vq = ffi.new("struct virtq *")
        assert lib.virtq_init(self.vq, in_c, self.memory) == 0, sentence()
        self.device = RingDevice(self.vq, self.shape.size, event_idx=self.shape.event_idx)

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        lib.virtq_close(self.vq)

    def head(self, chain: int) -> int:
        return chain if self.shape.indirect else chain * self.shape.chain_length

    def chain_of(self, head: int) -> int:
        return head if self.shape.indirect else head // self.shape.chain_length

    def start_at(self, index: int) -> None:
        """Moves all free-running indices of an idle ring, as many requests would have done."""
        vq = self.vq
        vq.avail_next = vq.avail_published = vq.avail_kicked = vq.used_next = index
        self.device.avail_next = self.device.avail[1] = self.device.used_idx = index

    def submit(self, *chains: int) -> None:
        for chain in chains:
            lib.virtq_submit(self.vq, chain, self.shape.chain_length)

    def publish(self, *chains: int) -> None:
        self.submit(*chains)
        lib.virtq_publish(self.vq)

    def reap(self, most: int = 64) -> list[int] | int:
        """The chains that came back, or the negative errno."""
        chains = ffi.new("uint16_t[]", most)
        count = lib.virtq_reap(self.vq, chains, most)
        return int(count) if count < 0 else list(chains[0:count])

    def check(self) -> None:
        assert lib.virtq_check(self.vq) == 0, sentence()
