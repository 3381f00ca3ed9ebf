# SPDX-License-Identifier: GPL-2.0-or-later
"""Claims on ranges of bytes: engine/library/range_lock.c."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.engine.shared_object import CData, ffi, lib

STRETCH_BYTES = 4 << 20
ALONE, TOGETHER = True, False


class Ranges:
    """A range lock whose claims are kept alive as long as it is."""

    def __init__(self) -> None:
        self.lock = ffi.new("struct range_lock *")
        lib.range_lock_init(self.lock)
        self.claims: list[CData] = []

    def close(self) -> None:
        lib.range_lock_close(self.lock)

    def take(self, first: int, end: int, is_alone: bool) -> CData:
        claim = ffi.new("struct claim *")
        claim.first_byte, claim.end_byte, claim.is_alone = first, end, is_alone
        self.claims.append(claim)
        assert lib.range_lock_take(self.lock, claim) == (not claim.is_waiting)
        return claim

    def give(self, claim: CData) -> int:
        """How many others are granted."""
        return self._after(lib.range_lock_give, claim)

    def withdraw(self, claim: CData) -> int:
        return self._after(lib.range_lock_withdraw, claim)

    def _after(self, call: CData, claim: CData) -> int:
        waiting = sum(each.is_waiting for each in self.claims if each != claim)
        granted = ffi.new("struct claim_list *")
        # An empty list points to its own beginning: its first field.
        ffi.cast("void **", granted)[1] = granted
        call(self.lock, claim, granted)
        self.claims.remove(claim)
        return int(waiting - sum(each.is_waiting for each in self.claims))


@pytest.fixture
def ranges() -> Iterator[Ranges]:
    made = Ranges()
    yield made
    made.close()


def test_whole_blocks_are_written_together(ranges: Ranges) -> None:
    assert not ranges.take(0, 512, TOGETHER).is_waiting
    assert not ranges.take(0, 512, TOGETHER).is_waiting


@pytest.mark.parametrize(
    ("first", "second"), [(ALONE, ALONE), (ALONE, TOGETHER), (TOGETHER, ALONE)]
)
def test_a_change_of_a_part_has_its_block_alone(ranges: Ranges, first: bool, second: bool) -> None:
    held = ranges.take(0, 512, first)
    waiting = ranges.take(0, 1024, second)
    assert waiting.is_waiting
    assert ranges.give(held) == 1
    assert not waiting.is_waiting


def test_other_blocks_are_free(ranges: Ranges) -> None:
    ranges.take(512, 1024, ALONE)
    assert not ranges.take(0, 512, ALONE).is_waiting
    assert not ranges.take(1024, 2048, ALONE).is_waiting


def test_other_stretches_with_the_same_lock_are_free(ranges: Ranges) -> None:
    ranges.take(0, 512, ALONE)
    far = 64 * STRETCH_BYTES
    assert not ranges.take(far, far + 512, ALONE).is_waiting


def test_nobody_overtakes_who_waits(ranges: Ranges) -> None:
    """A stream of whole blocks would keep a change of a part waiting for ever."""
    held = ranges.take(0, 512, TOGETHER)
    part = ranges.take(0, 512, ALONE)
    late = ranges.take(0, 512, TOGETHER)
    assert late.is_waiting
    assert ranges.give(held) == 1
    assert not part.is_waiting
    assert ranges.give(part) == 1
    assert not late.is_waiting


def test_who_gives_up_lets_others_pass(ranges: Ranges) -> None:
    ranges.take(0, 512, TOGETHER)
    part = ranges.take(0, 512, ALONE)
    late = ranges.take(0, 512, TOGETHER)
    assert ranges.withdraw(part) == 1
    assert not late.is_waiting


@settings(max_examples=50, stateful_step_count=60, deadline=None)
class Claims(RuleBasedStateMachine):
    """Any sequence of claims: those that are held never conflict, and nobody is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = Ranges()

    def teardown(self) -> None:
        self.ranges.close()

    @rule(first=st.integers(0, 15), count=st.integers(1, 6), is_alone=st.booleans())
    def take(self, first: int, count: int, is_alone: bool) -> None:
        self.ranges.take(first * 512, (first + count) * 512, is_alone)

    @rule(first=st.integers(0, 15), stretches=st.integers(1, 100))
    def take_wide(self, first: int, stretches: int) -> None:
        self.ranges.take(first * 512, stretches * STRETCH_BYTES + 512, TOGETHER)

    @rule(stretch=st.integers(1, 100))
    def take_far(self, stretch: int) -> None:
        self.ranges.take(stretch * STRETCH_BYTES, stretch * STRETCH_BYTES + 1024, ALONE)

    @rule(chance=st.randoms())
    def end(self, chance: CData) -> None:
        if self.ranges.claims:
            claim = chance.choice(self.ranges.claims)
            (self.ranges.withdraw if claim.is_waiting else self.ranges.give)(claim)

    @invariant()
    def a_claim_waits_if_and_only_if_one_before_it_conflicts(self) -> None:
        for index, claim in enumerate(self.ranges.claims):
            before = self.ranges.claims[:index]
            assert claim.is_waiting == any(conflict(claim, other) for other in before)


def conflict(one: CData, other: CData) -> bool:
    overlap = one.first_byte < other.end_byte and other.first_byte < one.end_byte
    return bool(overlap and (one.is_alone or other.is_alone))


TestClaims = Claims.TestCase
