# SPDX-License-Identifier: GPL-2.0-or-later
"""The outcome of a comparison: ratios with their intervals, and the table in Markdown.

All functions are pure. The statistics come from pyfio_virtio.analysis.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.plan import Comparison, Side
from bench.run import Run
from pyfio_virtio.analysis import stats
from pyfio_virtio.analysis.stats import Estimate


@dataclass(frozen=True)
class Outcome:
    """All runs of one comparison: a tuple for each side, in the order of its sides."""

    comparison: Comparison
    runs: tuple[tuple[Run, ...], ...]

    def ratios(self) -> list[Estimate]:
        """For each other side, the median of its ratios to the base in the same round."""
        metric = self.comparison.metric
        base, *others = ([getattr(run, metric) for run in side] for side in self.runs)
        return [
            stats.median([b / a for a, b in zip(base, values, strict=True) if a and b is not None])
            for values in others
        ]


def p50_added_ns(each: Outcome) -> Estimate:
    """The median over the rounds of p50 of the first other side minus p50 of the base, in ns."""
    base, other = each.runs[:2]
    pairs = [(first.p50_us, second.p50_us) for first, second in zip(base, other, strict=True)]
    return stats.median([1000 * (b - a) for a, b in pairs if a is not None and b is not None])


def outcome(comparison: Comparison, rounds: Sequence[Sequence[Run]]) -> Outcome:
    """Groups the runs of all rounds by side."""
    return Outcome(comparison, tuple(tuple(side) for side in zip(*rounds, strict=True)))


def ratio_text(ratio: Estimate) -> str:
    """The median of the ratios, with its interval and confidence."""
    interval = ratio.interval
    between = f"{interval.low:.2f} to {interval.high:.2f}"
    return f"{ratio.value:.2f} ({between}, {interval.confidence:.0%})"


_COLUMNS = (
    "conditions",
    "side",
    "ratio to the first",
    "aim",
    "IOPS",
    "p50 µs",
    "p99 µs",
    "front-end's CPU µs/I/O",
    "back-end's",
)


def table(outcomes: Sequence[Outcome]) -> str:
    """A table in Markdown, one line for each side; each figure is a median over the runs."""
    metric_is_time = any(each.comparison.metric == "wall_ms" for each in outcomes)
    columns = (*_COLUMNS, "wall ms") if metric_is_time else _COLUMNS
    lines = [columns, ["---"] * len(columns)]
    lines += [row[: len(columns)] for each in outcomes for row in _rows(each)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(each: Outcome) -> Iterator[list[str]]:
    texts = ["1", *(ratio_text(ratio) for ratio in each.ratios())]
    title = each.comparison.title
    for number, (side, runs) in enumerate(zip(each.comparison.sides, each.runs, strict=True)):
        aim = f"{each.comparison.aim:.2f}" if each.comparison.aim and number else ""
        yield [title if number == 0 else "", *_cells(side, runs, texts[number], aim)]


def _cells(side: Side, runs: Sequence[Run], ratio: str, aim: str) -> list[str]:
    return [
        side.name,
        ratio,
        aim,
        f"{middle(runs, lambda run: run.iops):,.0f}",
        _figure(runs, lambda run: run.p50_us),
        _figure(runs, lambda run: run.p99_us),
        _figure(runs, lambda run: run.front_end_cpu_us),
        _figure(runs, lambda run: run.backend_cpu_us),
        _figure(runs, lambda run: run.wall_ms),
    ]


def _figure(runs: Sequence[Run], value: Callable[[Run], float | None]) -> str:
    known = [found for found in map(value, runs) if found is not None]
    return f"{median(known):.3g}" if known else "-"


def middle(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return median(map(value, runs))
