# SPDX-License-Identifier: GPL-2.0-or-later
"""What a comparison of two results shows as a whole: one sentence, a table, and the same as data.

This file owns the gate, which judges by a limit, and all words about more than one point. It
receives the points from compare.py and claims nothing else. All functions are pure, so any thread
may call them. cli/compare.py prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pyfio_virtio.analysis import markdown, stats
from pyfio_virtio.analysis.compare import Change
from pyfio_virtio.analysis.family import CONFIDENCE, FEWEST_ROUNDS
from pyfio_virtio.analysis.metrics import metric as declared
from pyfio_virtio.results.record import Row

MOST_NAMED = 5
Outcome = Literal["passed", "failed", "inconclusive"]
_JUDGED = {
    "worse": "surely worse by more than {}",
    "unsettled": "not settled",
    "missing": "missing",
    "passed": "surely not worse by more than {}",
}
_SHOWN = ("better", "worse", "higher", "lower")


@dataclass(frozen=True)
class Limit:
    """By how much a point may be worse, and which points are let pass without a judgement."""

    share: float
    text: str  # as the user wrote it
    allow_missing: bool = False
    allow_unsettled: bool = False


@dataclass(frozen=True)
class Verdict:
    """Two results, in the order of the points' values; without a limit, nothing is judged."""

    names: tuple[str, str]
    metric: str
    changes: Sequence[Change]
    limit: Limit | None = None
    warnings: tuple[str, ...] = ()  # whole sentences about the results

    @property
    def in_turns(self) -> bool:
        """Whether the runs of the two were measured in turns, in one sweep."""
        return any(change.comparison.paired for change in self.changes)

    # ---- the gate --------------------------------------------------------------------------

    def judged(self, kind: str) -> list[Change]:
        """The points that are passed, worse, unsettled or missing."""
        share = self.limit.share if self.limit else 0.0
        return [change for change in self.changes if change.judged(share) == kind]

    @property
    def outcome(self) -> Outcome | None:
        """None without a limit. Only what was judged and is not worse passes."""
        if self.limit is None:
            return None
        if self.judged("worse"):
            return "failed"
        missing, unsettled = self.judged("missing"), self.judged("unsettled")
        is_open = (missing and not self.limit.allow_missing) or (
            unsettled and not self.limit.allow_unsettled
        )
        return "inconclusive" if is_open or len(missing) == len(self.changes) else "passed"

    def reasons(self) -> str:
        """Why the gate did not pass, with the names of the points and what helps; on one line."""
        assert self.limit is not None, "there is no gate without a limit"  # noqa: S101
        parts = []
        if worse := self.judged("worse"):
            parts.append(f"surely worse by more than {self.limit.text}: {_named(worse)}")
        missing = self.judged("missing")
        if missing and not self.limit.allow_missing:
            parts.append(f"missing: {_named(missing)} (--allow-missing judges the others)")
        elif len(missing) == len(self.changes):
            parts.append("every point is missing, so none was judged")
        if (unsettled := self.judged("unsettled")) and not self.limit.allow_unsettled:
            parts.append(f"not settled: {_named(unsettled)} ({self._advice(unsettled)})")
        return ". ".join(part[:1].upper() + part[1:] for part in parts)

    def _advice(self, unsettled: Sequence[Change]) -> str:
        """More runs are advised only if they are feasible for all points that are not settled."""
        assert self.limit is not None, "there is no gate without a limit"  # noqa: S101
        wanted = [each.comparison.rounds_to_judge(self.limit.share) for each in unsettled]
        known = [each for each in wanted if each is not None]
        allow = "--allow-unsettled lets this pass"
        if len(known) < len(wanted):
            return f"too near to the limit, or too noisy, for any feasible number of runs; {allow}"
        return f"about {max(known)} runs of each may settle this; {allow}"

    # ---- one sentence ------------------------------------------------------------------------

    @property
    def summary(self) -> str:
        """All points in one sentence."""
        return self._summary_of_gate(self.limit) if self.limit else self._summary_of_points()

    def _summary_of_gate(self, limit: Limit) -> str:
        """What decided the outcome comes first."""
        kinds = [kind for kind in _JUDGED if self.judged(kind)]
        if self.outcome == "passed":
            kinds = ["passed", *(kind for kind in kinds if kind != "passed")]
        first, *rest = kinds
        count = len(self.judged(first))
        of = f"{count} of {_count(len(self.changes), 'point')} {'is' if count == 1 else 'are'}"
        parts = [f"{of} {_JUDGED[first].format(limit.text)}"]
        parts += [f"{len(self.judged(kind))} {_JUDGED[kind].split(' by ')[0]}" for kind in rest]
        return f"{', '.join(parts)}: {self.outcome}"

    def _summary_of_points(self) -> str:
        shown = [change.shown for change in self.changes]
        parts = [f"{shown.count(kind)} {kind}" for kind in _SHOWN if kind in shown]
        few = sum(_is_short(change) for change in self.changes)
        if unclear := shown.count("cannot tell") - few:
            parts.append(f"no difference shown at {unclear}")
        if few:
            parts.append(f"too few runs at {few} ({FEWEST_ROUNDS} of each are needed)")
        if missing := shown.count("missing"):
            parts.append(f"{missing} missing")
        bound = self._bound()
        return f"{_count(len(shown), 'point')}: {', '.join(parts)}{f'; {bound}' if bound else ''}"

    def _bound(self) -> str:
        """What holds of all points together; empty if a point or a tight interval is missing."""
        better = declared(self.metric).better
        if not better or not all(each.comparison.is_enough for each in self.changes):
            return ""
        ends = [each.comparison.ratio.interval for each in self.changes if not each.missing]
        if len(ends) < len(self.changes):
            return ""
        if better == "higher":
            worst = min(each.low for each in ends)
            is_tight, loss = 0.5 < worst < 1, 1 - worst
        else:
            worst = max(each.high for each in ends)
            is_tight, loss = 1 < worst < 2, worst - 1
        return f"surely none is worse by more than {stats.percent(loss)}" if is_tight else ""

    @property
    def caution(self) -> str:
        """What the comparison can exclude, and what it cannot."""
        first, second = self.names
        if self.in_turns:
            return (
                f"{first} and {second} were measured in turns. A ratio is the mean of those of the "
                "rounds, so it may differ from that of the medians."
            )
        return (
            f"{first} and {second} were not measured in turns, so a change of the machine between "
            "them looks like a difference too."
        )

    # ---- the points --------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """What is compared, which way the ratio goes, and which direction is better."""
        better = declared(self.metric).better
        first, second = self.names
        ratio = f"ratio: {second} / {first}"
        return f"{self.metric}, medians; {ratio}{f'; {better} is better' if better else ''}"

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Headings and rows; with a limit, each point is also judged."""
        limit, show = self.limit, declared(self.metric).show
        gate = (f"limit {limit.text}",) if limit else ()
        headings = ("point", *self.names, "ratio", "95% interval", *gate, "result")
        rows = [
            (
                change.name or "all runs",
                *(_shown(value, show) for value in (change.base, change.other)),
                *_ratio(change),
                *((change.judged(limit.share),) if limit else ()),
                change.sentence(
                    None if limit else stats.ADVISED
                ),  # reasons() has advice for a gate
            )
            for change in self.changes
        ]
        return headings, rows

    def markdown(self) -> str:
        """For a pull request: the summary, the table and the caution."""
        first, second = (markdown.escape(name) for name in self.names)
        return (
            f"### {second} compared with {first}\n\n"
            f"**{markdown.escape(self.summary)}**\n\n"
            f"{markdown.escape(self.title)}\n\n"
            f"{markdown.table(*self.table())}\n\n"
            f"{markdown.escape(' '.join([*self.warnings, self.caution]))}\n"
        )

    def as_dict(self) -> Row:
        """The same for programs; docs/reports.md describes it."""
        limit = self.limit
        return {
            "base": self.names[0],
            "other": self.names[1],
            "metric": self.metric,
            "better": declared(self.metric).better or None,
            "confidence": CONFIDENCE,
            "in_turns": self.in_turns,
            "max_regression": limit.share if limit else None,
            "verdict": self.outcome,
            "summary": self.summary,
            "warnings": list(self.warnings),
            "points": [_point(change, limit) for change in self.changes],
        }


def _point(change: Change, limit: Limit | None) -> Row:
    ratio = change.comparison.ratio
    is_known = not change.missing and change.comparison.is_enough
    ends = {"low": _number(ratio.interval.low), "high": _number(ratio.interval.high)}
    return {
        "point": change.name or "all runs",
        "keys": change.keys,
        "base": _number(change.base),
        "other": _number(change.other),
        "base_runs": change.runs[0],
        "other_runs": change.runs[1],
        "ratio": None if change.missing else _number(ratio.value),
        "interval": ends if is_known else None,
        "shown": change.shown,
        "verdict": change.judged(limit.share) if limit else None,
        "sentence": change.sentence(None),
    }


def _number(value: float) -> float | None:
    """None for a value that is not known, and for an interval without an end."""
    return value if math.isfinite(value) else None


def _is_short(change: Change) -> bool:
    return not change.missing and not change.comparison.is_enough


def _shown(value: float, show: Callable[[float], str]) -> str:
    return "" if math.isnan(value) else show(value)


def _ratio(change: Change) -> tuple[str, str]:
    ratio = change.comparison.ratio
    # Of too few runs, a ratio would be read as a result.
    if change.missing or not change.comparison.is_enough:
        return "", ""
    shown = [digits(value) for value in (ratio.value, ratio.interval.low, ratio.interval.high)]
    return shown[0], f"{shown[1]} to {shown[2]}"


def digits(ratio: float) -> str:
    """Three decimals, or three digits of a ratio that is far from 1."""
    if 0.1 <= ratio < 10:
        return f"{ratio:.3f}"
    return f"{ratio:,.0f}" if 100 <= ratio < 1e9 else f"{ratio:.3g}"


def _named(changes: Sequence[Change]) -> str:
    names = [change.name or "all runs" for change in changes]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{'; '.join(names[:MOST_NAMED])}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
