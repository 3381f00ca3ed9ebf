# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests in, requests out: device/queue.c, disk/request.c and the I/O path of disk/blk.c.

The device is started on a scripted back-end; its ring is then served by the test itself, in one
thread with the front-end.
"""

import errno
import os
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.blk_backend import (
    BLK_FEATURES,
    DISCARD,
    EVENT_IDX,
    INDIRECT,
    RO,
    BlkBackend,
    BlkConfig,
    describe,
    started,
)
from tests.engine.ring_device import DESC_WRITE, Descriptor, RingDevice
from tests.engine.shared_object import CData, ffi, lib, sentence

MIB = 1 << 20
IN, OUT, FLUSH, GET_ID, DISCARD_TYPE, WRITE_ZEROES_TYPE = 0, 1, 4, 8, 11, 13  # 5.2.6
OK, IOERR, UNSUPP = 0, 1, 2
OUTHDR = struct.Struct("<IIQ")  # type, reserved, sector
RANGE = struct.Struct("<QII")  # sector, sectors, flags


@dataclass(frozen=True)
class Seen:
    """A request as the device finds it."""

    head: int
    type: int
    sector: int
    data: list[Descriptor]
    status: Descriptor

    @property
    def data_bytes(self) -> int:
        return sum(part.length for part in self.data)


def bytes_at(part: Descriptor) -> memoryview:
    return memoryview(ffi.buffer(ffi.cast("char *", part.address), part.length)).cast("B")


class Served:
    """A claimed queue (`queue`) and the device's side of its ring (`ring`)."""

    def __init__(self, device: CData) -> None:
        self.device = device
        self.queue = lib.device_claim_queue(device)
        assert self.queue, sentence()
        info = describe(device)
        event_idx = bool(info.features & EVENT_IDX)
        self.ring = RingDevice(self.queue.vq, info.queue_size, event_idx=event_idx)
        self.buffer = lib.device_alloc(device, MIB, 4096)

    def request(self, type_: int, offset: int = 0, length: int = 0) -> CData:
        req = lib.queue_get(self.queue)
        assert req
        req.type, req.offset_bytes, req.left_bytes, req.buffer = type_, offset, length, self.buffer
        return req

    def submit(self, type_: int, offset: int = 0, length: int = 0) -> CData:
        req = self.request(type_, offset, length)
        assert lib.queue_submit(self.queue, req) == 0, sentence()
        lib.queue_commit(self.queue)
        return req

    def refused(self, type_: int, offset: int = 0, length: int = 0) -> int:
        req = self.request(type_, offset, length)
        code = int(lib.queue_submit(self.queue, req))
        lib.queue_put(self.queue, req)
        return code

    def take(self) -> list[Seen]:
        found = []
        for head in self.ring.take():
            first, *data, last = self.ring.chain(head)
            type_, _, sector = OUTHDR.unpack(bytes_at(first))
            found.append(Seen(head, type_, sector, data, last))
        return found

    def complete(self, seen: Seen, status: int | None = OK) -> None:
        if status is not None:
            bytes_at(seen.status)[0] = status
        self.ring.complete(seen.head)

    def reap(self, most: int = 64) -> list[CData]:
        done = ffi.new("struct request *[]", most)
        return list(done[0 : lib.queue_reap(self.queue, done, most)])


@pytest.fixture
def served(private: Path) -> Iterator[Served]:
    with started(private, BlkBackend()) as device:
        yield Served(device)


# ---- what the device finds ---------------------------------------------------


def test_a_request_has_a_header_of_its_own(served: Served) -> None:
    served.submit(lib.REQUEST_READ, 512, 4096)
    first = served.ring.chain(served.ring.take()[0])[0]
    assert (first.length, first.flags & DESC_WRITE) == (16, 0)


def test_a_request_has_a_status_byte_of_its_own(served: Served) -> None:
    served.submit(lib.REQUEST_READ, 512, 4096)
    status = served.take()[0].status
    assert (status.length, status.flags) == (1, DESC_WRITE)


@pytest.mark.parametrize(
    ("name", "type_", "flag"), [("READ", IN, DESC_WRITE), ("WRITE", OUT, 0)], ids=["read", "write"]
)
def test_reads_and_writes(served: Served, name: str, type_: int, flag: int) -> None:
    served.submit(getattr(lib, f"REQUEST_{name}"), 8 * 512, 4096)
    [seen] = served.take()
    assert (seen.type, seen.sector, seen.data_bytes) == (type_, 8, 4096)
    assert seen.data[0].address == int(ffi.cast("uintptr_t", served.buffer))
    assert {part.flags & DESC_WRITE for part in seen.data} == {flag}


def test_a_flush_has_no_data_and_sector_0(served: Served) -> None:
    served.submit(lib.REQUEST_FLUSH)
    [seen] = served.take()
    assert (seen.type, seen.sector, seen.data) == (FLUSH, 0, [])


def test_an_id_is_20_bytes_for_the_device_to_write(served: Served) -> None:
    served.submit(lib.REQUEST_GET_ID)
    [seen] = served.take()
    assert (seen.type, seen.data_bytes, seen.data[0].flags & DESC_WRITE) == (GET_ID, 20, DESC_WRITE)


@pytest.mark.parametrize(
    ("name", "type_", "flags"),
    [("DISCARD", DISCARD_TYPE, 0), ("WRITE_ZEROES", WRITE_ZEROES_TYPE, 1)],
)
def test_a_range_names_its_sectors(served: Served, name: str, type_: int, flags: int) -> None:
    served.submit(getattr(lib, f"REQUEST_{name}"), 16 * 512, 8 * 512)
    [seen] = served.take()
    assert (seen.type, seen.sector) == (type_, 0)
    assert RANGE.unpack(bytes_at(seen.data[0])) == (16, 8, flags)


def test_nothing_is_seen_before_commit(served: Served) -> None:
    lib.queue_submit(served.queue, served.request(lib.REQUEST_FLUSH))
    assert served.take() == []


# ---- completion --------------------------------------------------------------


def finish(served: Served, status: int | None) -> int:
    """The error of a read that came back with this status; None: untouched."""
    served.submit(lib.REQUEST_READ, 8192, 4096)
    served.complete(served.take()[0], status)
    [req] = served.reap()
    return int(req.error)


def test_a_good_request_has_no_error(served: Served) -> None:
    assert finish(served, OK) == 0


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (IOERR, errno.EIO, "reports an I/O error for a read of 4096 bytes at 8192"),
        (UNSUPP, errno.EOPNOTSUPP, "does not support a read of 4096 bytes at 8192"),
        (None, errno.EIO, "returned a read of 4096 bytes at 8192 without a status"),
        (0xFF, errno.EIO, "without a status"),
        (3, errno.EIO, "with the unknown status 3"),
    ],
    ids=["ioerr", "unsupp", "untouched", "255", "unknown"],
)
def test_a_failure_is_told(served: Served, status: int | None, code: int, words: str) -> None:
    assert finish(served, status) == code
    assert words in sentence()


def explain(served: Served, req: CData) -> str:
    return str(ffi.string(lib.queue_explain(served.queue, req)).decode())


def test_each_failure_of_a_batch_has_its_own_sentence(served: Served) -> None:
    for block in range(4):
        served.submit(lib.REQUEST_READ, 4096 * block, 4096)
    for seen, status in zip(served.take(), (IOERR, OK, UNSUPP, None), strict=True):
        served.complete(seen, status)
    told = [explain(served, req) for req in served.reap() if req.error]
    words = ["I/O error for a read of 4096 bytes at 0 ", "at 8192", "at 12288 without a status"]
    assert [each in one for each, one in zip(words, told, strict=True)] == [True] * 3


def test_a_status_that_changes_later_does_not_undo_a_failure(served: Served) -> None:
    req = served.submit(lib.REQUEST_READ, 0, 4096)
    [seen] = served.take()
    served.complete(seen, IOERR)
    served.reap()
    bytes_at(seen.status)[0] = OK
    assert explain(served, req) == (
        "the back-end reported that a read failed, and then that it did not"
    )
    assert req.error == errno.EIO


def test_the_status_of_an_earlier_request_is_not_taken_again(served: Served) -> None:
    assert [finish(served, OK), finish(served, None)] == [0, errno.EIO]


def test_a_queue_has_as_many_requests_as_chains(served: Served) -> None:
    count = served.queue.vq.in_flight + served.queue.num_free
    taken = [lib.queue_get(served.queue) for _ in range(count)]
    assert ffi.NULL not in taken
    assert lib.queue_get(served.queue) == ffi.NULL


def test_a_request_that_was_put_back_is_got_again(served: Served) -> None:
    req = lib.queue_get(served.queue)
    lib.queue_put(served.queue, req)
    assert lib.queue_get(served.queue) == req


# ---- refused before the device sees it ---------------------------------------


@pytest.mark.parametrize(("offset", "length"), [(1, 512), (512, 1), (511, 513)])
def test_broken_blocks_are_refused(served: Served, offset: int, length: int) -> None:
    assert served.refused(lib.REQUEST_READ, offset, length) == -errno.EINVAL
    assert "is not made of whole 512 byte blocks" in sentence()


@pytest.mark.parametrize(
    ("offset", "length"),
    [(1 << 30, 512), ((1 << 30) - 512, 1024), (0, (1 << 30) + 512), ((1 << 64) - 512, 1024)],
)
def test_what_lies_beyond_the_disk_is_refused(served: Served, offset: int, length: int) -> None:
    assert served.refused(lib.REQUEST_READ, offset, length) == -errno.ENOSPC
    assert "lies beyond the device's 1073741824 bytes" in sentence()


def test_the_last_block_is_not_beyond_the_disk(served: Served) -> None:
    assert served.refused(lib.REQUEST_READ, (1 << 30) - 512, 512) == 0


@pytest.mark.parametrize(
    ("features", "name"),
    [(BLK_FEATURES & ~DISCARD, "DISCARD"), (BLK_FEATURES | RO, "WRITE")],
    ids=["discard", "read-only"],
)
def test_what_the_device_cannot_do_is_refused(private: Path, features: int, name: str) -> None:
    with started(private, BlkBackend(features=features)) as device:
        served = Served(device)
        code = served.refused(getattr(lib, f"REQUEST_{name}"), 0, 512)
        assert code in (-errno.EOPNOTSUPP, -errno.EROFS)
        assert sentence()


# ---- parts -------------------------------------------------------------------


@st.composite
def limits(draw: st.DrawFn) -> BlkConfig:
    block = draw(st.sampled_from([512, 4096]))
    size_max = draw(st.sampled_from([0, 512, 4096, 65536]) | st.integers(1, 70_000))
    least = -(-block // size_max) if size_max else 1
    seg_max = draw(st.integers(least, least + 300) | st.just(1 << 20))
    discard = draw(st.integers(8, 100))
    return BlkConfig(
        size_max=size_max, seg_max=seg_max, blk_size=block, max_discard_sectors=discard
    )


@given(
    config=limits(),
    indirect=st.booleans(),
    queue_size=st.sampled_from([0, 4, 16, 256]),
    max_request=st.sampled_from([0, 4096, 65536]),
    blocks=st.integers(1, 100),
)
@settings(deadline=None, max_examples=60)
def test_a_large_request_goes_in_parts_that_the_device_takes(
    config: BlkConfig, indirect: bool, queue_size: int, max_request: int, blocks: int
) -> None:
    features = BLK_FEATURES if indirect else BLK_FEATURES & ~INDIRECT
    backend = BlkBackend(features=features, config=config)
    settings_ = {"queue_size": queue_size, "max_request_bytes": max_request}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pv-")))
        try:
            device = stack.enter_context(started(folder, backend, **settings_))
        except AssertionError:
            assert "leave no room for one block" in sentence()
            return
        served = Served(device)
        length = blocks * config.blk_size
        req = served.submit(lib.REQUEST_READ, config.blk_size, length)
        check_parts(served, req, config, length)


def check_parts(served: Served, req: CData, config: BlkConfig, length: int) -> None:
    """Serves the request to its end; it is to be covered once, in order, by whole blocks."""
    offset, address, left = config.blk_size, int(ffi.cast("uintptr_t", served.buffer)), length
    while left:
        assert served.reap() == []
        [seen] = served.take()
        assert seen.sector * 512 == offset
        assert 0 < seen.data_bytes <= left
        assert seen.data_bytes % config.blk_size == 0
        assert len(seen.data) <= config.seg_max
        assert len(seen.data) + 2 <= served.ring.size
        for part in seen.data:
            assert part.address == address
            assert 0 < part.length <= (config.size_max or length)
            address += part.length
        offset, left = offset + seen.data_bytes, left - seen.data_bytes
        served.complete(seen)
    assert served.reap() == [req]
    assert req.error == 0


def test_segments_of_a_byte_do_not_overrun_their_chain(private: Path) -> None:
    """1 MiB in segments of 16 bytes is 65,536 of them: 0 in 16 bits."""
    config = BlkConfig(size_max=16, seg_max=1 << 20)
    with started(private, BlkBackend(config=config), queue_size=256) as device:
        served = Served(device)
        req = served.submit(lib.REQUEST_READ, 512, 8 * 512)
        check_parts(served, req, config, 8 * 512)


def test_a_large_discard_goes_in_parts(private: Path) -> None:
    config = BlkConfig(max_discard_sectors=20, blk_size=4096)
    with started(private, BlkBackend(config=config)) as device:
        served = Served(device)
        req = served.submit(lib.REQUEST_DISCARD, 4096, 5 * 4096)
        ranges = []
        for _ in range(3):
            [seen] = served.take()
            ranges.append(RANGE.unpack(bytes_at(seen.data[0]))[:2])
            served.complete(seen)
            done = served.reap()
        assert ranges == [(8, 16), (24, 16), (40, 8)]
        assert done == [req]


def test_a_failed_part_ends_the_request(private: Path) -> None:
    config = BlkConfig(size_max=4096, seg_max=1)
    with started(private, BlkBackend(config=config)) as device:
        served = Served(device)
        served.submit(lib.REQUEST_READ, 0, 3 * 4096)
        served.complete(served.take()[0])
        assert served.reap() == []
        served.complete(served.take()[0], IOERR)
        [req] = served.reap()
        assert (req.error, served.take()) == (errno.EIO, [])


# ---- kicks -------------------------------------------------------------------


def kicks(served: Served) -> int:
    try:
        return os.eventfd_read(served.queue.kick_fd)
    except BlockingIOError:
        return 0


def test_a_wanted_kick_is_sent(served: Served) -> None:
    kicks(served)
    served.submit(lib.REQUEST_FLUSH)
    assert kicks(served) == 1


def test_an_unwanted_kick_is_not_sent(served: Served) -> None:
    kicks(served)
    served.ring.set_avail_event(100)
    served.submit(lib.REQUEST_FLUSH)
    assert kicks(served) == 0


def test_a_commit_of_nothing_kicks_nobody(served: Served) -> None:
    kicks(served)
    lib.queue_commit(served.queue)
    assert kicks(served) == 0


def test_a_full_kick_counter_is_a_kick_that_is_pending(served: Served) -> None:
    kicks(served)
    os.eventfd_write(served.queue.kick_fd, (1 << 64) - 2)
    served.submit(lib.REQUEST_FLUSH)
    assert served.queue.abandoned == 0


@contextmanager
def slow_kick(served: Served, *, is_drained: bool) -> Iterator[None]:
    """The next kick returns once the device ran: it took all, and asks for a kick or does not."""
    fd, before = served.queue.kick_fd, served.ring.avail[1]
    kicks(served)
    lib.full_eventfds_forget(fd)  # it would end the write
    os.set_blocking(fd, True)
    served.ring.set_avail_event(before)  # asks for this one
    os.eventfd_write(fd, 2**64 - 2)

    def run() -> None:
        while served.ring.avail[1] == before:
            time.sleep(0.001)
        time.sleep(0.05)
        if is_drained:
            served.ring.set_avail_event(served.ring.avail[1])
        os.eventfd_read(fd)

    device = threading.Thread(target=run)
    device.start()
    yield
    device.join()


@pytest.fixture
def sharing(served: Served) -> Served:
    """Its device runs on our CPU, as a kick with two requests in flight showed."""
    served.submit(lib.REQUEST_READ, 0, 4096)
    with slow_kick(served, is_drained=True):
        served.submit(lib.REQUEST_READ, 0, 4096)
    return served


def test_a_device_that_ran_during_the_kick_shares_our_cpu(sharing: Served) -> None:
    assert sharing.queue.shares_cpu
    assert lib.queue_saves_kick(sharing.queue)


def test_a_slow_kick_alone_shows_nothing(served: Served) -> None:
    served.submit(lib.REQUEST_READ, 0, 4096)
    with slow_kick(served, is_drained=False):
        served.submit(lib.REQUEST_READ, 0, 4096)
    assert not served.queue.shares_cpu


def test_nothing_is_learnt_from_the_kick_of_a_lone_request(served: Served) -> None:
    with slow_kick(served, is_drained=True):
        served.submit(lib.REQUEST_READ, 0, 4096)
    assert not lib.queue_saves_kick(served.queue)


def test_no_kick_is_saved_once_the_device_is_awake(sharing: Served) -> None:
    sharing.ring.set_avail_event(sharing.ring.avail[1] - 1)
    assert not lib.queue_saves_kick(sharing.queue)


def test_patience_with_kicks_ends(sharing: Served) -> None:
    assert lib.queue_saves_kick(sharing.queue)
    time.sleep(0.001)
    assert not lib.queue_saves_kick(sharing.queue)


def test_patience_begins_anew_with_what_is_published(sharing: Served) -> None:
    lib.queue_saves_kick(sharing.queue)
    time.sleep(0.001)
    with slow_kick(sharing, is_drained=True):
        sharing.submit(lib.REQUEST_READ, 0, 4096)
    assert lib.queue_saves_kick(sharing.queue)


# ---- a back-end that lies ----------------------------------------------------


def test_a_broken_ring_fails_all_that_is_in_flight_once(served: Served) -> None:
    sent = [served.submit(lib.REQUEST_READ, 0, 512) for _ in range(3)]
    served.ring.used_idx += 9
    done = [req for _ in range(4) for req in served.reap(2)]
    assert {int(ffi.cast("uintptr_t", req)) for req in done} == {
        int(ffi.cast("uintptr_t", req)) for req in sent
    }
    assert len(done) == 3
    assert {req.error for req in done} == {errno.EIO}


def test_what_a_broken_ring_fails_has_its_reason(served: Served) -> None:
    req = served.submit(lib.REQUEST_READ, 0, 512)
    served.ring.used_idx += 9
    served.reap()
    served.reap()
    assert "used ring holds more elements" in explain(served, req)


def test_chains_that_a_lying_device_holds_are_not_used_again(served: Served) -> None:
    served.submit(lib.REQUEST_READ, 0, 512)
    free = served.queue.num_free
    served.ring.used_idx += 9
    for req in [req for _ in range(3) for req in served.reap()]:
        lib.queue_put(served.queue, req)
    assert served.queue.num_free == free


def test_an_abandoned_queue_refuses_requests(served: Served) -> None:
    served.submit(lib.REQUEST_READ, 0, 512)
    served.ring.used_idx += 9
    served.reap()
    assert served.refused(lib.REQUEST_READ, 0, 512) == -errno.EIO


def test_all_queues_can_be_claimed_once(served: Served) -> None:
    assert lib.device_claim_queue(served.device) == ffi.NULL
    assert "all 1 queues are in use" in sentence()


def test_a_released_queue_can_be_claimed_again(served: Served) -> None:
    lib.device_release_queue(served.device, served.queue)
    assert lib.device_claim_queue(served.device) == served.queue
