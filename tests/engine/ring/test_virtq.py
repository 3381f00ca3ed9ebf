# SPDX-License-Identifier: GPL-2.0-or-later
"""Split virtqueues as the driver sees them: engine/ring/virtq.c and engine/ring/split.c.

The device on the other side is RingDevice, written from the specification.
"""

import errno
import mmap
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.ring_device import (
    DESC_INDIRECT,
    NO_NOTIFY,
    U16,
    Descriptor,
    Ring,
    RingDevice,
    Shape,
)
from tests.engine.shared_object import CData, ffi, lib, sentence

DIRECT = Shape(chain_length=2)
INDIRECT = Shape(num_chains=8, chain_length=3, indirect=True)
SHAPES = [
    DIRECT,
    INDIRECT,
    Shape(event_idx=True),
    Shape(num_chains=8, chain_length=3, indirect=True, event_idx=True),
]
KINDS = [
    pytest.param(shape, id=name)
    for shape, name in zip(SHAPES, ("direct", "indirect", "direct-event_idx", "both"), strict=True)
]


@pytest.fixture(params=KINDS)
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    with Ring(request.param) as made:
        yield made
        made.check()


@pytest.fixture
def direct() -> Iterator[Ring]:
    with Ring(DIRECT) as made:
        yield made
        made.check()


@pytest.fixture
def indirect() -> Iterator[Ring]:
    with Ring(INDIRECT) as made:
        yield made
        made.check()


@pytest.fixture
def events() -> Iterator[Ring]:
    """With event_idx."""
    with Ring(Shape(event_idx=True)) as made:
        yield made
        made.check()


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    size = 1 << draw(st.integers(0, 10))
    indirect = draw(st.booleans())
    chain_length = draw(st.integers(1, min(size, 40)))
    most = size if indirect else size // chain_length
    return Shape(
        size,
        draw(st.integers(1, most)),
        chain_length,
        draw(st.integers(0, 100)),
        draw(st.integers(0, 100)),
        indirect,
        draw(st.booleans()),
    )


# ---- layout (2.7) ----------------------------------------------------------


@given(shapes())
@settings(deadline=None)
def test_nothing_in_the_memory_overlaps_or_sticks_out(shape: Shape) -> None:
    with Ring(shape) as ring:
        vq = ring.vq
        parts = [
            (vq.desc, 16 * shape.size),
            (vq.avail, 2 * (3 + shape.size)),
            (vq.used, 2 * 3 + 8 * shape.size),
        ]
        for chain in range(shape.num_chains):
            parts.append((lib.virtq_request(vq, chain), shape.request_bytes))
            parts.append((lib.virtq_response(vq, chain), shape.response_bytes))
            if shape.indirect:
                parts.append((lib.virtq_chain(vq, chain), 16 * shape.chain_length))
        start = int(ffi.cast("uintptr_t", ring.memory))
        taken = sorted((int(ffi.cast("uintptr_t", part)), length) for part, length in parts)
        for (address, length), (following, _) in pairwise(taken):
            assert address + length <= following
        assert taken[0][0] >= start
        assert taken[-1][0] + taken[-1][1] <= start + len(ring.memory)


@given(shapes())
@settings(deadline=None)
def test_the_parts_of_the_ring_are_aligned(shape: Shape) -> None:
    with Ring(shape) as ring:
        alignments = ((ring.vq.desc, 16), (ring.vq.avail, 2), (ring.vq.used, 4))
        for part, alignment in alignments:
            assert int(ffi.cast("uintptr_t", part)) % alignment == 0


def cache_line(part: CData) -> int:
    return int(ffi.cast("uintptr_t", part)) // 64


@pytest.mark.parametrize("is_indirect", [False, True])
def test_a_single_chain_lies_on_the_cache_lines_of_the_indices(is_indirect: bool) -> None:
    blk = Shape(128, 1, 3, request_bytes=16, response_bytes=40, indirect=is_indirect)
    with Ring(blk) as ring:
        vq = ring.vq
        assert cache_line(lib.virtq_request(vq, 0)) == cache_line(ffi.cast("char *", vq.avail) + 2)
        assert cache_line(lib.virtq_response(vq, 0)) == cache_line(ffi.cast("char *", vq.used) + 2)


@given(shapes())
@settings(deadline=None)
def test_the_two_sides_write_no_ring_on_the_same_cache_line(shape: Shape) -> None:
    with Ring(shape) as ring:
        assert cache_line(ring.vq.used_event) < cache_line(ring.vq.used)


def test_used_event_lies_behind_the_avail_ring(events: Ring) -> None:
    end = ffi.cast("uint16_t *", events.vq.avail) + 2 + events.shape.size
    assert events.vq.used_event == end


def test_avail_event_lies_behind_the_used_ring(events: Ring) -> None:
    end = ffi.cast("uint16_t *", events.vq.used) + 2 + 4 * events.shape.size
    assert events.vq.avail_event == end


@pytest.mark.parametrize(("chain_length", "is_indirect"), [(8, False), (258, True)])
def test_128_requests_take_less_than_a_mebibyte(chain_length: int, is_indirect: bool) -> None:
    shape = Shape(size=1024, num_chains=128, chain_length=chain_length, indirect=is_indirect)
    assert lib.virtq_bytes(shape.in_c()) < 1 << 20


def test_a_ring_of_its_own_memory_is_whole_pages(ring: Ring) -> None:
    assert lib.virtq_bytes(ring.shape.in_c()) % 4096 == 0


@pytest.mark.parametrize(
    ("size", "chain_length", "is_indirect", "chains"),
    [(128, 3, False, 42), (128, 3, True, 128), (4, 4, False, 1), (4, 5, False, 0)],
)
def test_max_chains(size: int, chain_length: int, is_indirect: bool, chains: int) -> None:
    assert lib.virtq_max_chains(size, chain_length, is_indirect) == chains


@pytest.mark.parametrize("size", [0, 3, 12, 32769, 65535])
def test_a_size_that_is_no_power_of_two_is_refused_in_words(size: int) -> None:
    memory = ffi.from_buffer(mmap.mmap(-1, 1 << 20))
    vq = ffi.new("struct virtq *")
    shape = Shape(size=size, num_chains=1, chain_length=1).in_c()
    assert lib.virtq_init(vq, shape, memory) == -errno.EINVAL
    assert sentence() == f"queue_size={size} is not a power of two from 1 to 32768"


@pytest.mark.parametrize(
    "shape",
    [
        Shape(num_chains=5, chain_length=2),
        Shape(num_chains=1, chain_length=9),
        Shape(num_chains=0),
        Shape(chain_length=0),
        Shape(num_chains=9, indirect=True),
    ],
)
def test_more_chains_than_fit_are_refused_in_words(shape: Shape) -> None:
    memory = ffi.from_buffer(mmap.mmap(-1, 1 << 20))
    vq = ffi.new("struct virtq *")
    assert lib.virtq_init(vq, shape.in_c(), memory) == -errno.EINVAL
    assert sentence().startswith(f"a ring of 8 entries cannot hold {shape.num_chains} chains")


def test_the_largest_ring_works_to_its_last_entry() -> None:
    with Ring(Shape(size=32768, num_chains=32768, chain_length=1)) as ring:
        ring.publish(*range(32768))
        for head in ring.device.take():
            ring.device.complete(head)
        assert ring.reap(40000) == list(range(32768))
        ring.check()


def test_closing_twice_is_harmless() -> None:
    with Ring() as ring:
        lib.virtq_close(ring.vq)


# ---- chains ------------------------------------------------------------------


def fill(ring: Ring, chain: int, count: int) -> list[Descriptor]:
    """Puts `count` made-up buffers into the chain; what a device is to find there."""
    expected = []
    first = ffi.cast("struct vring_desc *", lib.virtq_chain(ring.vq, chain))
    for i in range(count):
        last = i == count - 1
        first[i].addr, first[i].len, first[i].flags = 4096 * (i + 1), 100 + i, 0 if last else 1
        expected.append(Descriptor(4096 * (i + 1), 100 + i, 0 if last else 1, first[i].next))
    return expected


def test_a_device_finds_the_whole_chain(ring: Ring) -> None:
    for chain in range(ring.shape.num_chains):
        expected = fill(ring, chain, ring.shape.chain_length)
        ring.publish(chain)
        assert ring.device.chain(ring.device.take()[0]) == expected


def test_a_device_finds_a_short_chain(ring: Ring) -> None:
    expected = fill(ring, 1, 1)
    lib.virtq_submit(ring.vq, 1, 1)
    lib.virtq_publish(ring.vq)
    assert ring.device.chain(ring.device.take()[0]) == expected


def test_a_direct_chain_is_named_by_its_first_descriptor(direct: Ring) -> None:
    direct.publish(3)
    assert direct.device.take() == [3 * direct.shape.chain_length]


def test_an_indirect_chain_takes_one_entry(indirect: Ring) -> None:
    indirect.publish(3)
    assert indirect.device.take() == [3]


def test_an_indirect_descriptor_names_its_table(indirect: Ring) -> None:
    lib.virtq_submit(indirect.vq, 3, 2)
    entry = indirect.device.descriptor(3)
    table = int(ffi.cast("uintptr_t", lib.virtq_chain(indirect.vq, 3)))
    assert (entry.address, entry.length, entry.flags) == (table, 2 * 16, DESC_INDIRECT)


# ---- submit, publish, reap ---------------------------------------------------


def test_what_is_submitted_is_not_seen_before_it_is_published(ring: Ring) -> None:
    ring.submit(0, 1)
    assert ring.device.take() == []


def test_what_is_published_is_seen_in_the_order_of_submission(ring: Ring) -> None:
    ring.publish(2, 0, 3)
    assert ring.device.take() == [ring.head(chain) for chain in (2, 0, 3)]


def test_a_fresh_ring_has_nothing_to_reap(ring: Ring) -> None:
    assert ring.reap() == []


def test_chains_come_back_in_the_order_of_completion(ring: Ring) -> None:
    ring.publish(0, 1, 2)
    for chain in (1, 2, 0):
        ring.device.complete(ring.head(chain))
    assert ring.reap() == [1, 2, 0]


def test_an_element_is_not_taken_before_the_index_moves(ring: Ring) -> None:
    ring.publish(0)
    ring.device.put_used(ring.head(0))
    assert ring.reap() == []


def test_reap_takes_no_more_than_asked(ring: Ring) -> None:
    ring.publish(0, 1, 2)
    for chain in (0, 1, 2):
        ring.device.complete(ring.head(chain))
    assert [ring.reap(2), ring.reap(2), ring.reap(2)] == [[0, 1], [2], []]


def test_reap_of_nothing_takes_nothing(ring: Ring) -> None:
    ring.publish(0)
    ring.device.complete(ring.head(0))
    assert [ring.reap(0), ring.reap(1)] == [[], [0]]


def test_the_length_of_an_element_is_not_relied_on(ring: Ring) -> None:
    ring.publish(0)
    ring.device.complete(ring.head(0), 0xFFFFFFFF)
    assert ring.reap() == [0]


def test_indices_wrap(ring: Ring) -> None:
    batch = ring.shape.num_chains
    for _ in range(70_000 // batch):
        ring.publish(*range(batch))
        heads = ring.device.take()
        assert len(heads) == batch
        for head in reversed(heads):
            ring.device.complete(head)
        assert ring.reap() == list(reversed(range(batch)))


def test_has_used_is_true_from_completion_to_reaping(ring: Ring) -> None:
    ring.publish(0)
    before = lib.virtq_has_used(ring.vq)
    ring.device.complete(ring.head(0))
    completed = lib.virtq_has_used(ring.vq)
    ring.reap()
    assert (before, completed, lib.virtq_has_used(ring.vq)) == (False, True, False)


# ---- kicks -------------------------------------------------------------------


def test_a_kick_is_needed_as_long_as_it_is_not_refused(direct: Ring) -> None:
    direct.publish(0)
    assert lib.virtq_needs_kick(direct.vq)


def test_a_device_can_refuse_kicks(direct: Ring) -> None:
    direct.device.used[0] = NO_NOTIFY
    direct.publish(0)
    assert not lib.virtq_needs_kick(direct.vq)


def test_the_first_chain_of_a_fresh_ring_needs_a_kick_with_event_idx(events: Ring) -> None:
    events.publish(0)
    assert lib.virtq_needs_kick(events.vq)


def test_event_idx_overrules_the_flag(events: Ring) -> None:
    events.device.used[0] = NO_NOTIFY
    events.publish(0)
    assert lib.virtq_needs_kick(events.vq)


@given(start=st.integers(0, U16), count=st.integers(1, 4), event=st.integers(0, U16))
def test_a_kick_is_needed_if_the_event_is_among_what_was_published(
    start: int, count: int, event: int
) -> None:
    check_kick(start, count, event)


@given(start=st.integers(U16 - 5, U16 + 5), count=st.integers(1, 4), ahead=st.integers(-3, 6))
def test_a_kick_is_decided_rightly_around_the_wrap(start: int, count: int, ahead: int) -> None:
    check_kick(start & U16, count, (start + ahead) & U16)


def check_kick(start: int, count: int, event: int) -> None:
    with Ring(Shape(event_idx=True)) as ring:
        ring.start_at(start)
        ring.device.set_avail_event(event)
        ring.publish(*range(count))
        published = [(start + i) & U16 for i in range(count)]
        assert lib.virtq_needs_kick(ring.vq) == (event in published)


def test_a_kick_covers_all_that_was_published_since_the_last_one(events: Ring) -> None:
    events.device.set_avail_event(1)
    events.publish(0)
    events.publish(1)
    events.publish(2)
    assert lib.virtq_needs_kick(events.vq)


def test_a_kick_is_needed_once(events: Ring) -> None:
    events.publish(0)
    lib.virtq_needs_kick(events.vq)
    assert not lib.virtq_needs_kick(events.vq)


def test_a_ring_is_drained_once_all_was_taken_and_a_kick_is_asked_for(events: Ring) -> None:
    events.publish(0)
    assert not lib.virtq_is_drained(events.vq)
    events.device.set_avail_event(1)
    assert lib.virtq_is_drained(events.vq)


def test_of_a_device_without_event_idx_nobody_knows(direct: Ring) -> None:
    direct.publish(0)
    direct.device.set_avail_event(1)
    assert not lib.virtq_is_drained(direct.vq)


# ---- calls -------------------------------------------------------------------


def complete_one(ring: Ring) -> bool:
    """Submits and completes chain 0; whether the driver asks for a call for it."""
    ring.publish(0)
    old = ring.device.used_idx
    ring.device.complete(ring.head(0))
    return ring.device.wants_call(old)


def test_a_fresh_ring_refuses_calls(ring: Ring) -> None:
    assert not complete_one(ring)


def test_calls_can_be_asked_for(ring: Ring) -> None:
    assert not lib.virtq_ask_calls(ring.vq)
    assert complete_one(ring)


def test_calls_can_be_refused_again(ring: Ring) -> None:
    lib.virtq_ask_calls(ring.vq)
    lib.virtq_refuse_calls(ring.vq)
    assert not complete_one(ring)


def test_asking_says_if_something_is_there_already(ring: Ring) -> None:
    complete_one(ring)
    assert lib.virtq_ask_calls(ring.vq)


def test_event_idx_asks_once(events: Ring) -> None:
    lib.virtq_ask_calls(events.vq)
    calls = [complete_one(events)]
    events.reap()
    calls.append(complete_one(events))
    assert calls == [True, False]


def test_with_event_idx_the_flag_stays_0(events: Ring) -> None:
    lib.virtq_refuse_calls(events.vq)
    assert events.device.avail[0] == 0


def test_who_wants_all_calls_is_called_for_each_chain(ring: Ring) -> None:
    lib.virtq_want_all_calls(ring.vq, True)
    calls = []
    for _ in range(3):
        calls.append(complete_one(ring))
        ring.reap()
        lib.virtq_refuse_calls(ring.vq)
    assert calls == [True, True, True]


def test_who_wants_all_calls_no_longer_refuses_them_again(ring: Ring) -> None:
    lib.virtq_want_all_calls(ring.vq, True)
    lib.virtq_want_all_calls(ring.vq, False)
    assert not complete_one(ring)


@given(start=st.integers(0, U16), batch=st.integers(1, 32767))
def test_refused_calls_stay_away_for_32767_elements(start: int, batch: int) -> None:
    with Ring(Shape(event_idx=True)) as ring:
        ring.start_at(start)
        lib.virtq_refuse_calls(ring.vq)
        ring.device.used_idx = start + batch
        assert not ring.device.wants_call(start)


@given(start=st.integers(0, U16))
def test_a_call_is_asked_for_at_any_index(start: int) -> None:
    with Ring(Shape(event_idx=True)) as ring:
        ring.start_at(start)
        lib.virtq_ask_calls(ring.vq)
        assert complete_one(ring)


# ---- beginning again ---------------------------------------------------------------------------


@given(st.sampled_from(SHAPES), st.integers(0, U16), st.lists(st.integers(0, U16), max_size=60))
@settings(deadline=None, max_examples=60)
def test_what_is_in_flight_is_submitted_again_in_its_order(
    shape: Shape, start: int, draws: list[int]
) -> None:
    """Also where the ring has gone round while a chain was in flight."""
    with Ring(shape) as ring:
        ring.start_at(start)
        in_flight: list[int] = []
        free = list(range(ring.shape.num_chains))
        for drawn in draws:
            if free and drawn % 2:
                in_flight.append(free.pop(drawn % len(free)))
                ring.publish(in_flight[-1])
            elif in_flight:
                free.append(in_flight.pop(drawn % len(in_flight)))
                ring.device.complete(ring.head(free[-1]))
                assert ring.reap() == [free[-1]]
        lib.virtq_rewind(ring.vq)
        device = RingDevice(ring.vq, ring.shape.size, event_idx=ring.shape.event_idx)
        assert device.take() == [ring.head(chain) for chain in in_flight]
        assert (device.used_idx, ring.reap()) == (0, [])
        ring.check()


def test_chains_that_were_gathered_are_shown_after_a_rewind(ring: Ring) -> None:
    ring.publish(2)
    ring.submit(0)
    lib.virtq_rewind(ring.vq)
    device = RingDevice(ring.vq, ring.shape.size, event_idx=ring.shape.event_idx)
    assert device.take() == [ring.head(2), ring.head(0)]


def test_calls_are_wanted_after_a_rewind_as_before(events: Ring) -> None:
    lib.virtq_want_all_calls(events.vq, True)
    lib.virtq_rewind(events.vq)
    assert events.device.used_event == 0
