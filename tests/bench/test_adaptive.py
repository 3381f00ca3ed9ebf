# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/adaptive.py: fifty points, the winner among the fixed ways, and how points are judged."""

from dataclasses import replace

from bench import adaptive, outcome
from bench.adaptive import POINTS
from bench.outcome import Outcome
from bench.plan import Comparison
from bench.run import Run

RUN = Run(
    iops=100.0, p50_us=1.0, p99_us=2.0, front_end_cpu_us=3.0, backend_cpu_us=1.0, wall_ms=10.0
)


def test_there_are_fifty_points() -> None:
    assert len({point.title for point in POINTS}) == 50


def test_every_fixed_way_is_screened() -> None:
    ways = POINTS[0].ways()
    assert [side.options["wait"] for side in ways] == ["event", "busy", *["sleepy"] * 6]


def test_of_the_forty_a_polling_back_end_has_a_core_of_its_own() -> None:
    for point in POINTS[:40]:
        served = "serve=event" if point.shares_core else "serve=poll"
        disk = point.side({"wait": "busy"}).disk
        assert served in getattr(disk, "options", ())


def test_the_winner_has_the_best_median() -> None:
    sides = POINTS[0].ways()[:2]
    lucky = [replace(RUN, iops=iops) for iops in (1, 1, 1000)]
    steady = [replace(RUN, iops=iops) for iops in (90, 100, 110)]
    assert adaptive.winner(sides, [lucky, steady]) == sides[1]


def of(ratio: float) -> Outcome:
    base, other = POINTS[0].ways()[:2]
    rounds = [[RUN, replace(RUN, iops=RUN.iops * ratio)]] * 12
    return outcome.outcome(Comparison(f"at {ratio}", base, (other,)), rounds)


def test_points_that_fall_short_are_named() -> None:
    middle, count, *short = adaptive.summary([of(0.8), of(0.96), of(1.1)])
    assert middle == "Median of 3 ratios: 0.960."
    assert count.endswith(": 1.")
    assert len(short) == 1
    assert short[0].startswith("- at 0.8: ")
