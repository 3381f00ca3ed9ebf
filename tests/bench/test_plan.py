# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/plan.py: comparisons that are fair."""

import pytest

from bench.plan import GROUPS, SLEEPS_US, Comparison, load

COMPARISONS = [each for group in GROUPS.values() for each in group.comparisons]
LOAD = (*load(1), "number_ios")


def name_of(each: Comparison) -> str:
    return f"{each.title}, {each.base.name}"


@pytest.mark.parametrize("each", COMPARISONS, ids=name_of)
def test_all_sides_have_the_same_load(each: Comparison) -> None:
    loads = {tuple(side.options.get(key) for key in LOAD) for side in each.sides}
    assert len(loads) == 1


@pytest.mark.parametrize("each", COMPARISONS, ids=name_of)
def test_sides_can_be_told_apart(each: Comparison) -> None:
    assert len({side.name for side in each.sides}) == len(each.sides)


@pytest.mark.parametrize("each", COMPARISONS, ids=name_of)
def test_the_title_names_the_depth(each: Comparison) -> None:
    depth = each.base.options["iodepth"]
    assert f"iodepth {depth}," in each.title or each.metric == "wall_ms"


@pytest.mark.parametrize("group", GROUPS)
def test_no_two_comparisons_of_a_group_are_taken_for_one(group: str) -> None:
    titles = [each.full_title for each in GROUPS[group].comparisons]
    assert len(set(titles)) == len(titles)


def test_every_sleep_meets_the_eventfd_on_separate_and_shared_cores() -> None:
    for each in GROUPS["sleepy"].comparisons:
        assert each.base.options["wait"] == "event"
        naive, *sleepers = each.others
        assert naive.options["call_suppression"] == "off"
        assert [int(side.options["sleepy_poll"]) for side in sleepers] == list(SLEEPS_US)
    assert {each.shares_core for each in GROUPS["sleepy"].comparisons} == {True, False}
