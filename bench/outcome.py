# SPDX-License-Identifier: GPL-2.0-or-later
"""The outcome of a comparison: ratios with their intervals, and the table in Markdown.

All functions are pure. The statistics come from pyfio_virtio.analysis.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.page import Row
from bench.plan import Comparison, Side
from bench.run import Run
from pyfio_virtio.analysis import family, stats
from pyfio_virtio.analysis.family import Floats
from pyfio_virtio.analysis.stats import Estimate


@dataclass(frozen=True)
class Outcome:
    """All runs of one comparison: a tuple for each side, in the order of its sides."""

    comparison: Comparison
    runs: tuple[tuple[Run, ...], ...]

    def logs(self) -> Floats:
        """The logarithms of the metric, one row for each round and one column for each side."""
        metric = self.comparison.metric
        return np.column_stack(
            [stats.logs([getattr(r, metric) for r in side]) for side in self.runs]
        )


def ratios(outcomes: Sequence[Outcome]) -> list[list[Estimate]]:
    """For each outcome, the ratio of each other side to the base, paired by rounds.

    The intervals hold for all ratios together, because a table is read as a whole.
    """
    pairs = family.all_pairs([each.logs() for each in outcomes])
    return [
        [stats.Comparison.of(found[0, side], True).ratio for side in range(1, len(each.runs))]
        for each, found in zip(outcomes, pairs, strict=True)
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
    """A ratio with its interval, if there are enough rounds for one."""
    if ratio.n < family.FEWEST_ROUNDS:
        return f"{ratio.value:.2f} ({ratio.n} rounds)"
    return f"{ratio.value:.2f} ({ratio.interval.low:.2f} to {ratio.interval.high:.2f})"


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
    """A table in Markdown, one line for each side; each other figure is a median over the runs."""
    metric_is_time = any(each.comparison.metric == "wall_ms" for each in outcomes)
    columns = (*_COLUMNS, "wall ms") if metric_is_time else _COLUMNS
    lines = [columns, ["---"] * len(columns)]
    for each, found in zip(outcomes, ratios(outcomes), strict=True):
        lines += [row[: len(columns)] for row in _rows(each, found)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Each other side beside its base, for the table at the page's head."""
    return [
        Row(each.comparison.title, side.name, each.comparison.base.name, ratio_text(ratio))
        for each, found in zip(outcomes, ratios(outcomes), strict=True)
        for side, ratio in zip(each.comparison.others, found, strict=True)
    ]


def _rows(each: Outcome, found: Sequence[Estimate]) -> Iterator[list[str]]:
    texts = ["1", *(ratio_text(ratio) for ratio in found)]
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
