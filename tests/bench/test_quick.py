# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/quick.py: five minutes, and still intervals."""

from bench import quick
from bench.plan import GROUPS
from pyfio_virtio.analysis.family import FEWEST_ROUNDS


def test_the_quick_bench_takes_five_minutes() -> None:
    """Leave a group out (in_quick of bench/plan.py) where too few rounds are left."""
    assert FEWEST_ROUNDS <= quick.ROUNDS
    assert 240 <= quick.ROUNDS * quick.round_s() <= 300


def test_it_covers_each_peer() -> None:
    assert {name for name, group in GROUPS.items() if group.has_peers} <= set(quick.NAMES)


def test_its_runs_are_short() -> None:
    shortened = quick.shortened(GROUPS["peers"].comparisons)
    assert {each.runtime_s for each in shortened} == {quick.RUNTIME_S}
