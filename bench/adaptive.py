# SPDX-License-Identifier: GPL-2.0-or-later
"""wait=adaptive beside the best of the other ways, at fifty points.

Forty points are an iodepth, a latency that the built-in back-end adds, and a choice of CPUs. The
others are conditions in which one way or another does badly. Short runs
find the fastest fixed way at each point, and new interleaved runs compare it with adaptive. All
functions are pure except contest(), which runs in the main thread and prints nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from bench import plan
from bench.outcome import Outcome, middle, outcome, ratio_text, ratios
from bench.plan import (
    ADAPTIVE,
    BUILTIN_MEMORY,
    BUILTIN_NULL,
    BUILTIN_NULL_EVENT,
    BUSY,
    EVENT,
    SHORT_S,
    SLEEPS_US,
    Comparison,
    Options,
    Side,
)
from bench.run import Run, Turns
from pyfio_virtio.backends.spec import BackendSpec

DEPTHS = (1, 4, 16, 64, 128)
ALTERNATING = "10us,100us/1s"
LATENCIES = ("none", "20us", "100us", ALTERNATING)
SCREENING_RUNS = 3
# A point is too slow if its whole interval is below this ratio.
NEAR = 0.95


@dataclass(frozen=True)
class Point:
    depth: int
    latency: str = "none"
    shares_core: bool = False
    # What is different at the points beyond the forty.
    what: str = ""
    disk: BackendSpec | None = None
    load: Options = field(default_factory=dict)
    has_neighbour: bool = False

    @property
    def title(self) -> str:
        if self.what:
            return f"iodepth {self.depth}, {self.what}"
        where = "one shared core, serve=event" if self.shares_core else "separate, serve=poll"
        return f"iodepth {self.depth}, latency {self.latency}, {where}"

    def side(self, wait: Options) -> Side:
        """A way of waiting at this point."""
        disk = self.disk or (BUILTIN_NULL_EVENT if self.shares_core else BUILTIN_NULL)
        options = (*disk.options, f"latency={self.latency}")
        side = plan.virtio(replace(disk, options=options), self.depth, wait)
        return replace(
            side, options={**side.options, **self.load}, has_neighbour=self.has_neighbour
        )

    def ways(self) -> list[Side]:
        """All fixed ways of waiting."""
        return [self.side(wait) for wait in (EVENT, BUSY, *map(plan.sleepy, SLEEPS_US))]

    @property
    def runtime_s(self) -> float:
        # Two latencies alternate every second, and half a second would show only one of them.
        return 2.0 if self.latency == ALTERNATING else SHORT_S


def _others() -> Iterator[Point]:
    for depth in (1, 32):
        shared = "one shared core, serve=poll"
        yield Point(depth, what=shared, shares_core=True, disk=BUILTIN_NULL)
        jobs, queues = {"numjobs": "3"}, replace(BUILTIN_NULL, queues=3)
        yield Point(depth, what="three jobs on one core, serve=poll", disk=queues, load=jobs)
        yield Point(depth, what="a neighbour burns the back-end's core", has_neighbour=True)
        yield Point(depth, what="rate_iops=20000", load={"rate_iops": "20000"})
    batches = {"iodepth_batch": "16", "iodepth_batch_complete_min": "16"}
    yield Point(64, what="iodepth_batch_complete_min=16", load=batches)
    yield Point(128, what="reads and writes of memory", disk=BUILTIN_MEMORY, load={"rw": "randrw"})


POINTS = (
    *(
        Point(depth, latency, shares_core)
        for shares_core in (False, True)
        for latency in LATENCIES
        for depth in DEPTHS
    ),
    *_others(),
)


def contest(point: Point, turns: Turns, pairs: int) -> Outcome:
    """Finds the fastest fixed way by short runs, then compares adaptive with it."""
    best = winner(point.ways(), _screen(point, turns))
    comparison = Comparison(
        point.title,
        best,
        (point.side(ADAPTIVE),),
        point.shares_core,
        aim=NEAR,
        runtime_s=point.runtime_s,
    )
    return outcome(comparison, list(turns.rounds(comparison, pairs)))


def _screen(point: Point, turns: Turns) -> Sequence[Sequence[Run]]:
    base, *others = point.ways()
    title = f"screening of {point.title}"
    screening = Comparison(title, base, tuple(others), point.shares_core, runtime_s=point.runtime_s)
    return outcome(screening, list(turns.rounds(screening, SCREENING_RUNS))).runs


def winner(sides: Sequence[Side], runs: Sequence[Sequence[Run]]) -> Side:
    """The side with the highest median IOPS."""
    rates = [middle(each, lambda run: run.iops) for each in runs]
    return sides[rates.index(max(rates))]


def half_a_core() -> Comparison:
    """Compares the CPU time of adaptive_cpu=50 with that of busy, at iodepth 1 and 100 µs."""
    point = Point(1, "100us", shares_core=False)
    limited: Mapping[str, str] = {**ADAPTIVE, "adaptive_cpu": "50"}
    return Comparison(
        "iodepth 1, latency 100us, separate, serve=poll",
        point.side(BUSY),
        (point.side(limited),),
        metric="front_end_cpu_us",
    )


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The median over all points, and the name of each point that is too slow."""
    found = [others[0] for others in ratios(outcomes)]
    slow = [
        f"- {each.comparison.title}: {ratio_text(ratio)} of {each.comparison.base.name}"
        for each, ratio in zip(outcomes, found, strict=True)
        if ratio.interval.high < NEAR
    ]
    yield f"Median of {len(found)} ratios: {median(ratio.value for ratio in found):.3f}."
    yield f"Points whose interval lies wholly below {NEAR}: {len(slow)}."
    yield from slow
