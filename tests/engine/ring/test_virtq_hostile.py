# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtqueues whose other side lies, and any sequence of calls: engine/ring/split.c.

Whatever a device writes, the driver's own counts hold (virtq_check), no chain comes back that was
not in flight, and what came back before the lie still comes back.
"""

import errno
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.ring_device import U16, Ring, Shape
from tests.engine.shared_object import ffi, lib, sentence

DIRECT = Shape(size=16, num_chains=5, chain_length=3)
INDIRECT = Shape(size=16, num_chains=9, chain_length=4, indirect=True)


@pytest.fixture(params=[DIRECT, INDIRECT], ids=["direct", "indirect"])
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    with Ring(request.param) as made:
        yield made
        made.check()


def skip_ahead(ring: Ring) -> None:
    ring.device.used_idx += 4


def step_back(ring: Ring) -> None:
    ring.device.used_idx -= 1


def half_a_circle(ring: Ring) -> None:
    ring.device.used_idx += 0x8000


def name_a_chain_that_is_not_in_flight(ring: Ring) -> None:
    ring.device.complete(ring.head(4))


def name_the_first_after_the_last(ring: Ring) -> None:
    ring.device.complete(ring.head(ring.shape.num_chains))


def name_the_highest_number(ring: Ring) -> None:
    ring.device.complete(0xFFFFFFFF)


def name_a_chain_in_the_low_half_only(ring: Ring) -> None:
    ring.device.complete(ring.head(1) + 0x10000)


def complete_twice(ring: Ring) -> None:
    ring.device.complete(ring.head(0))
    ring.device.complete(ring.head(0))


LIES = [
    skip_ahead,
    step_back,
    half_a_circle,
    name_a_chain_that_is_not_in_flight,
    name_the_first_after_the_last,
    name_the_highest_number,
    name_a_chain_in_the_low_half_only,
    complete_twice,
]
ELEMENT_LIES = LIES[3:7]
every_lie = pytest.mark.parametrize("lie", LIES)


def reap_until_broken(ring: Ring) -> list[int]:
    """All that comes back before the ring breaks; -EPROTO comes within a few calls."""
    found: list[int] = []
    for _ in range(ring.shape.num_chains + 1):
        some = ring.reap()
        if isinstance(some, int):
            assert some == -errno.EPROTO
            return found
        found += some
    pytest.fail("the lie was believed")


@every_lie
def test_a_lie_breaks_the_ring(ring: Ring, lie: Callable[[Ring], None]) -> None:
    ring.publish(0, 1, 2)
    lie(ring)
    reap_until_broken(ring)
    assert ring.vq.is_broken


@every_lie
def test_a_lie_is_told_in_a_sentence(ring: Ring, lie: Callable[[Ring], None]) -> None:
    ring.publish(0, 1, 2)
    lie(ring)
    reap_until_broken(ring)
    assert sentence().startswith("the back-end's used ring ")


@pytest.mark.parametrize(("lie", "ready"), [(skip_ahead, 4), (step_back, 65535)])
def test_an_index_that_cannot_be_is_told_before_any_element_is_read(
    ring: Ring, lie: Callable[[Ring], None], ready: int
) -> None:
    ring.publish(0, 1, 2)
    for chain in (0, 1, 2):  # elements that could be, behind an index that cannot
        ring.device.complete(ring.head(chain))
    ring.device.used_idx -= 3
    lie(ring)
    assert ring.reap() == -errno.EPROTO
    assert f"holds more elements than were submitted ({ready})" in sentence()


@every_lie
def test_a_broken_ring_stays_broken(ring: Ring, lie: Callable[[Ring], None]) -> None:
    ring.publish(0, 1, 2)
    lie(ring)
    reap_until_broken(ring)
    ring.device.used_idx = ring.vq.used_next
    ring.device.complete(ring.head(1))
    assert ring.reap() == -errno.EPROTO


@every_lie
def test_a_broken_ring_can_still_be_used_without_harm(
    ring: Ring, lie: Callable[[Ring], None]
) -> None:
    ring.publish(0, 1, 2)
    lie(ring)
    reap_until_broken(ring)
    ring.publish(3)
    lib.virtq_needs_kick(ring.vq)
    lib.virtq_ask_calls(ring.vq)
    lib.virtq_refuse_calls(ring.vq)
    assert ring.reap() == -errno.EPROTO


@pytest.mark.parametrize("lie", ELEMENT_LIES)
def test_what_came_before_the_lie_comes_back(ring: Ring, lie: Callable[[Ring], None]) -> None:
    ring.publish(0, 1, 2)
    ring.device.complete(ring.head(2))
    ring.device.complete(ring.head(0))
    lie(ring)
    assert ring.reap() == [2, 0]
    assert ring.reap() == -errno.EPROTO


def test_a_chain_completed_twice_comes_back_once(ring: Ring) -> None:
    ring.publish(0, 1, 2)
    complete_twice(ring)
    assert reap_until_broken(ring) == [0]


@pytest.mark.parametrize("inside", [1, 2])
def test_a_number_inside_a_chain_is_not_its_head(inside: int) -> None:
    with Ring(DIRECT) as ring:
        ring.publish(0, 1, 2)
        ring.device.complete(ring.head(1) + inside)
        assert ring.reap() == -errno.EPROTO


def test_a_look_at_a_broken_ring_finds_that_out(ring: Ring) -> None:
    ring.publish(0)
    skip_ahead(ring)
    ring.reap()
    ring.device.used_idx = ring.vq.used_next
    assert lib.virtq_has_used(ring.vq)


@given(
    indirect=st.booleans(),
    in_flight=st.integers(0, 5),
    idx=st.integers(0, U16) | st.integers(0, 6),
    elements=st.lists(st.integers(0, 20) | st.integers(0, 0xFFFFFFFF), max_size=16),
)
@settings(deadline=None)
def test_any_used_ring_returns_only_what_was_in_flight(
    indirect: bool, in_flight: int, idx: int, elements: list[int]
) -> None:
    with Ring(INDIRECT if indirect else DIRECT) as ring:
        ring.publish(*range(in_flight))
        for head in elements:
            ring.device.complete(head)
        ring.device.used_idx = idx
        for _ in range(8):
            found = ring.reap(3)
            ring.check()
            if isinstance(found, int):
                break
            assert set(found) < set(range(in_flight + 1))


@given(
    garbage=st.binary(min_size=64, max_size=64),
    offsets=st.lists(st.integers(0, U16), min_size=9, max_size=9),
)
@settings(deadline=None)
def test_garbage_over_all_shared_memory_is_survived(garbage: bytes, offsets: list[int]) -> None:
    with Ring(INDIRECT) as ring:
        for chain in range(9):
            ring.publish(chain)
            offset = offsets[chain] % (len(ring.memory) - len(garbage))
            ffi.memmove(ffi.cast("char *", ring.memory) + offset, garbage, len(garbage))
            lib.virtq_needs_kick(ring.vq)
            lib.virtq_ask_calls(ring.vq)
            ring.reap(2)
            ring.check()


# ---- any sequence of calls ---------------------------------------------------


@settings(max_examples=80, stateful_step_count=60, deadline=None)
class AnySequence(RuleBasedStateMachine):
    """A well-behaved device that completes in any order, and a model of who holds what."""

    @initialize(
        indirect=st.booleans(), event_idx=st.booleans(), start=st.sampled_from([0, 65530, 32760])
    )
    def make_ring(self, indirect: bool, event_idx: bool, start: int) -> None:
        self.ring = Ring(
            Shape(
                size=16,
                num_chains=7 if indirect else 5,
                chain_length=3,
                indirect=indirect,
                event_idx=event_idx,
            )
        )
        self.ring.start_at(start)
        self.free = set(range(self.ring.shape.num_chains))
        self.submitted: list[int] = []  # not published
        self.published: list[int] = []  # not taken by the device
        self.held: list[int] = []  # by the device
        self.completed: list[int] = []  # not reaped

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            lib.virtq_close(self.ring.vq)

    @precondition(lambda self: self.free)
    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        chain = data.draw(st.sampled_from(sorted(self.free)))
        self.ring.submit(chain)
        self.free.remove(chain)
        self.submitted.append(chain)

    @rule()
    def publish(self) -> None:
        lib.virtq_publish(self.ring.vq)
        lib.virtq_needs_kick(self.ring.vq)
        self.published += self.submitted
        self.submitted = []

    @rule()
    def device_takes(self) -> None:
        chains = [self.ring.chain_of(head) for head in self.ring.device.take()]
        assert chains == self.published
        self.held += chains
        self.published = []

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def device_completes(self, data: st.DataObject) -> None:
        chain = data.draw(st.sampled_from(self.held))
        self.ring.device.complete(self.ring.head(chain), chain)
        self.held.remove(chain)
        self.completed.append(chain)

    @rule(most=st.integers(0, 8))
    def reap(self, most: int) -> None:
        expected = self.completed[:most]
        assert self.ring.reap(most) == expected
        self.completed = self.completed[most:]
        self.free.update(expected)

    @rule()
    def ask_for_calls(self) -> None:
        assert lib.virtq_ask_calls(self.ring.vq) == bool(self.completed)

    @rule()
    def refuse_calls(self) -> None:
        lib.virtq_refuse_calls(self.ring.vq)

    @invariant()
    def counts_hold(self) -> None:
        self.ring.check()
        away = self.submitted + self.published + self.held + self.completed
        assert self.ring.vq.in_flight == len(away)

    @invariant()
    def a_look_tells_the_truth(self) -> None:
        assert lib.virtq_has_used(self.ring.vq) == bool(self.completed)


TestAnySequence = AnySequence.TestCase
