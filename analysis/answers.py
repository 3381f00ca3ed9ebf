# SPDX-License-Identifier: GPL-2.0-or-later
"""What was shown at one combination of axes: which alternative is better, and how efficient.

This file owns the sentence about one place, and the words that such sentences share. All functions
are pure, so any thread may call them. claims.py makes the answers and speaks of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyfio_virtio.analysis import checks, stats
from pyfio_virtio.analysis.names import listed
from pyfio_virtio.analysis.style import capital, short
from pyfio_virtio.results import values
from pyfio_virtio.results.record import Row

BASELINE = "event"
# A way is mentioned beside the best one if it was shown to take at most CHEAPER of its CPU time for
# each I/O, and to have at least NEARLY of its IOPS.
NEARLY = 0.90
CHEAPER = 0.90


@dataclass(frozen=True)
class Answer:
    """What was shown about the alternatives at one combination of the other axes."""

    where: Row
    names: tuple[str, ...]  # of the alternatives, in their order
    medians: Mapping[str, stats.Estimate]  # IOPS, over all runs
    iops: Mapping[tuple[str, str], stats.Comparison]  # other / base, by (base, other)
    per_core: Mapping[tuple[str, str], stats.Comparison]  # the same of IOPS per core
    iops_per_core: Mapping[str, float]
    # In how many rounds base had more IOPS than other, and of how many, by (base, other)
    against: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    @property
    def top(self) -> str:
        """Of the alternatives that none was shown to beat, the one with the highest median."""
        unbeaten = self.unbeaten
        return max(unbeaten or self.names, key=lambda name: self.medians[name].value)

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """The alternatives that no other was shown to be better than."""
        return tuple(n for n in self.names if not any(self.beats(m, n) for m in self.names))

    @property
    def is_clear(self) -> bool:
        """Whether the top was shown to be better than each of the others."""
        return all(self.beats(self.top, name) for name in self.names if name != self.top)

    @property
    def claims(self) -> int:
        """The number of pairs with a difference in IOPS."""
        return sum(each.differs for each in self.iops.values()) // 2

    @property
    def baseline(self) -> str:
        """The alternative that the top is compared with: the usual one, or if that is the top, the
        best of those that it beats."""
        usual = BASELINE if BASELINE in self.names else self.names[0]
        beaten = [name for name in self.names if self.beats(self.top, name)]
        if usual != self.top or not beaten:
            return usual
        return max(beaten, key=lambda name: self.medians[name].value)

    def beats(self, name: str, other: str) -> bool:
        """Whether name was shown to give more IOPS than other."""
        found = self.iops.get((other, name))
        return found is not None and found.verdict == "better"

    def gain(self) -> stats.Comparison | None:
        """The top beside the baseline, if it was shown to be better."""
        return self.iops[self.baseline, self.top] if self.beats(self.top, self.baseline) else None

    def thrifty(self) -> str | None:
        """The alternative with the lowest CPU cost of those that were shown to be nearly as good
        as the top and cheaper; None if there is none."""
        saving = [
            name
            for name in self.names
            if (self.top, name) in self.per_core
            and self.iops[self.top, name].surely_within(1 - NEARLY)
            and self.per_core[self.top, name].ratio.interval.low > 1 / CHEAPER
        ]
        return max(saving, key=lambda name: self.iops_per_core[name], default=None)

    @property
    def sentence(self) -> str:
        """The answer, as precise as the runs allow."""
        if not self.claims:
            none = f"{place(self.where)}no difference in IOPS was shown{self._room()}."
            return f"{capital(none)}{self._most_efficient()}"
        verb = "has the most IOPS" if self.is_clear else "has the highest median of IOPS"
        parts = [f"{self.top} {verb}: {short(self.medians[self.top].value)}"]
        gain = self.gain()
        if gain:
            parts.append(f"{times(gain)} those of {self.baseline}{self._contrary()}")
            parts += self._efficiency()
        rest = f"{self._rivals()}{self._thrift()}"
        return capital(f"{place(self.where)}{', '.join(parts)}.{rest}")

    def _contrary(self) -> str:
        """The rounds that say the opposite: an interval does not show that there were some."""
        contrary, rounds = self.against.get((self.baseline, self.top), (0, 0))
        return f" (which had more in {contrary} of {rounds} rounds)" if contrary else ""

    def _room(self) -> str:
        """How large a difference of two alternatives may be, although none was shown."""
        return f"; {self.iops[self.names].rest()}" if len(self.names) == 2 else ""

    def _rivals(self) -> str:
        rivals = [n for n in self.names if n != self.top and not self.beats(self.top, n)]
        if not rivals:
            return ""
        # The others were beaten; without a word, a reader would look for them.
        told = (self.top, *rivals, *((self.baseline,) if self.gain() else ()))
        beaten = [n for n in self.names if n not in told]
        more = f" It was shown to have more than {listed(beaten)}." if beaten else ""
        return f"{more} No difference from {listed(rivals, 'or')} was shown."

    def _efficiency(self) -> list[str]:
        found = self.per_core.get((self.baseline, self.top))
        if found is None or not found.differs:
            return []
        figures = (short(self.iops_per_core[name]) for name in (self.top, self.baseline))
        return ["with {} IOPS per core instead of {}".format(*figures)]

    def _most_efficient(self) -> str:
        """Which alternative was shown to have more IOPS per core than which others."""
        if not self.per_core:
            return ""
        name = max(self.names, key=lambda each: self.iops_per_core[each])
        others = [n for n in self.names if n != name and self.per_core[n, name].verdict == "better"]
        if not others:
            return ""
        figures = [self.iops_per_core[n] for n in others]
        instead = " to ".join(dict.fromkeys(short(each) for each in (min(figures), max(figures))))
        has = f"{capital(name)} has more IOPS per core than {listed(others)}"
        return f" {has}: {short(self.iops_per_core[name])} instead of {instead}."

    def _thrift(self) -> str:
        name = self.thrifty()
        if name is None:
            return ""
        least = self.iops[self.top, name].ratio.interval.low
        more = self.per_core[self.top, name].ratio.interval.low
        return (
            f" {capital(name)} reaches at least {least:.0%} of that, with at least "
            f"{more:.2f} times the IOPS per core."
        )


# ---- words of sentences --------------------------------------------------------------------


def times(gain: stats.Comparison) -> str:
    ratio, interval = gain.ratio.value, gain.ratio.interval
    digits = 2 if ratio < 10 else 1
    shown = (f"{value:.{digits}f}" for value in (ratio, interval.low, interval.high))
    return "{} ({} to {}) times".format(*shown)


def place(where: Row, leading: bool = True) -> str:
    if not where:
        return ""
    words = listed([_value(name, value) for name, value in where.items()])
    return f"At {words}, " if leading else f"at {words}"


def _value(name: str, value: object) -> str:
    return f"no {name}" if values.is_missing(value) else checks.label(name, value)
