# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/library/poller.c: its protocol, in every order in which threads can make their steps."""

import re
from pathlib import Path

import pytest

from tests.engine.library import turns
from tests.engine.library.turns import Protocol, Thread, explore, is_finished

POLLER = Path(__file__).resolve().parents[3] / "engine" / "library" / "poller.c"
PATIENT, HURRIED = Thread(), Thread(has_deadline=True)


@pytest.mark.parametrize(
    "threads", [(PATIENT,) * 3, (PATIENT, HURRIED), (HURRIED,) * 2], ids=lambda each: str(len(each))
)
def test_every_wait_ends_in_every_order(threads: tuple[Thread, ...]) -> None:
    states, ends = explore(Protocol(), *threads)
    assert states > 1000
    assert all(is_finished(each) for each in ends)


@pytest.mark.parametrize(
    "wrong", ["opens_before_counting", "last_looks_at_turn", "poller_checks_again"]
)
def test_the_model_finds_a_lost_wake_up(wrong: str) -> None:
    _, ends = explore(Protocol(**{wrong: False}), PATIENT, PATIENT)
    assert not all(is_finished(each) for each in ends)


def test_the_model_has_the_states_of_the_source() -> None:
    source = POLLER.read_text()
    for prefix, states in (("WAITER", turns.WAITER_STATES), ("TURN", turns.TURNS)):
        named = re.findall(rf"^\t{prefix}_(\w+),", source, re.MULTILINE)
        assert tuple(named) == states


def test_the_model_changes_states_as_the_source_does() -> None:
    found = re.findall(r"\bchange\(waiter, WAITER_(\w+), WAITER_(\w+)\)", POLLER.read_text())
    assert set(found) == turns.CHANGES
