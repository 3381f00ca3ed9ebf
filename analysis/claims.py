# SPDX-License-Identifier: GPL-2.0-or-later
"""Says in sentences what a sweep found; every claim in them was tested on its runs.

This file owns the claims: which way of waiting gives more IOPS than which at which place, by how
much, and at which CPU cost. All functions are pure functions of frames, so any thread may call
them. study() is the only source of claims. Headlines, titles and answers receive its result
and nothing else, so they agree, and they cannot say what was not tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import checks, family, stats
from pyfio_virtio.analysis.family import FEWEST_ROUNDS, Floats
from pyfio_virtio.analysis.findings import unrated
from pyfio_virtio.analysis.frame import axes, grouped, in_order, in_turns_axes
from pyfio_virtio.analysis.names import SUBJECTS, listed
from pyfio_virtio.analysis.style import number, short
from pyfio_virtio.results import values
from pyfio_virtio.results.record import Row

BASELINE = "event"
# A way is mentioned beside the best one if it was shown to cost at most CHEAPER of its CPU time,
# and to have at least NEARLY of its IOPS.
NEARLY = 0.90
CHEAPER = 0.90
# With so many rounds, 10% at 3% noise is found nearly always (bench/README.md).
USUAL_ROUNDS = 12
# The pairs of more alternatives than these are too many to be compared.
MOST_ALTERNATIVES = 40
_TESTED = ("iops", "cpu_us")


@dataclass(frozen=True)
class Answer:
    """What was shown about the alternatives at one combination of the other axes."""

    where: Row
    names: tuple[str, ...]  # of the alternatives, in their order
    medians: Mapping[str, stats.Estimate]  # IOPS, over all runs
    iops: Mapping[tuple[str, str], stats.Comparison]  # other / base, by (base, other)
    cpu: Mapping[tuple[str, str], stats.Comparison]
    cpu_us: Mapping[str, float]

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
            if (self.top, name) in self.cpu
            and self.iops[self.top, name].surely_within(1 - NEARLY)
            and self.cpu[self.top, name].ratio.interval.high < CHEAPER
        ]
        return min(saving, key=lambda name: self.cpu_us[name], default=None)

    @property
    def sentence(self) -> str:
        """The answer, as precise as the runs allow."""
        if not self.claims:
            none = _capital(f"{_place(self.where)}no difference in IOPS was shown.")
            return f"{none}{self._cheapest()}"
        verb = "has the most IOPS" if self.is_clear else "has the highest median of IOPS"
        parts = [f"{self.top} {verb}: {short(self.medians[self.top].value)}"]
        gain = self.gain()
        if gain:
            parts.append(f"{_times(gain)} those of {self.baseline}")
            parts += self._costs()
        rest = f"{self._rivals()}{self._thrift()}"
        return _capital(f"{_place(self.where)}{', '.join(parts)}.{rest}")

    def _rivals(self) -> str:
        rivals = [n for n in self.names if n != self.top and not self.beats(self.top, n)]
        return f" No difference from {listed(rivals, 'or')} was shown." if rivals else ""

    def _costs(self) -> list[str]:
        found = self.cpu.get((self.baseline, self.top))
        if found is None or not found.differs:
            return []
        costs = (number(self.cpu_us[name]) for name in (self.top, self.baseline))
        return ["for {} µs of CPU per I/O instead of {}".format(*costs)]

    def _cheapest(self) -> str:
        """Which alternative was shown to take less CPU time than which others."""
        if not self.cpu:
            return ""
        name = min(self.names, key=lambda each: self.cpu_us[each])
        dearer = [n for n in self.names if n != name and self.cpu[n, name].verdict == "better"]
        if not dearer:
            return ""
        costs = [self.cpu_us[n] for n in dearer]
        instead = " to ".join(dict.fromkeys(number(each) for each in (min(costs), max(costs))))
        takes = f"{_capital(name)} takes less CPU per I/O than {listed(dearer)}"
        return f" {takes}: {number(self.cpu_us[name])} µs instead of {instead}."

    def _thrift(self) -> str:
        name = self.thrifty()
        if name is None:
            return ""
        least = self.iops[self.top, name].ratio.interval.low
        saved = 1 - self.cpu[self.top, name].ratio.interval.high
        return (
            f" {_capital(name)} reaches at least {least:.0%} of that, with at least "
            f"{saved:.0%} less CPU per I/O."
        )


@dataclass(frozen=True)
class Study:
    """What was compared, and the answers; reason says why nothing was compared."""

    subject: str  # the axis whose values were compared
    answers: tuple[Answer, ...] = ()
    reason: str = ""
    left_out: int = 0  # places with too few rounds, of which nothing is said
    rounds: int = 0  # at the place with the most of them

    @property
    def claims(self) -> int:
        """The number of differences that were shown."""
        return sum(answer.claims for answer in self.answers)


def study(frame: pd.DataFrame) -> Study:
    """Compares the alternatives of a sweep at every place, as one family of comparisons."""
    runs = unrated(frame)
    varied, claimed = axes(runs), in_turns_axes(runs)
    subject = next((name for name in (*SUBJECTS, "iodepth", *claimed) if name in claimed), "way")
    places = list(_places(runs, [name for name in varied if name != subject], subject))
    reason = _reason(runs, [part for _, part in places], subject)
    if reason:
        return Study(subject, (), reason)
    rounds = [_common_rounds(part, subject) for _, part in places]
    reason = _too_few(max(rounds), subject) or _not_in_turns(runs)
    if reason:
        return Study(subject, (), reason)
    enough = [place for place, n in zip(places, rounds, strict=True) if n >= FEWEST_ROUNDS]
    answers = tuple(_answers(enough, subject))
    return Study(subject, answers, "", len(places) - len(enough), max(rounds))


def within(found: Study, where: Row, part: pd.DataFrame) -> Study:
    """What the study of a whole sweep shows of a part of it, which has these values of some axes.

    A study of the part alone would correct for fewer comparisons than the report makes.
    """
    if not where or found.reason:
        return found
    answers = tuple(
        replace(answer, where={k: v for k, v in answer.where.items() if k not in where})
        for answer in found.answers
        if all(_is_same(key, answer.where.get(key), value) for key, value in where.items())
    )
    # Without an answer, the part says itself what it lacks.
    return replace(found, answers=answers, left_out=0) if answers else study(part)


def _is_same(name: str, one: object, other: object) -> bool:
    return values.canonical(name, one) == values.canonical(name, other)


def _places(
    runs: pd.DataFrame, others: Sequence[str], subject: str
) -> Iterable[tuple[Row, pd.DataFrame]]:
    """The runs at each place that has at least two alternatives."""
    if not others:
        yield {}, runs
        return
    for where, group in grouped(runs, others):
        if group[subject].nunique() > 1:
            yield where, group


def _reason(runs: pd.DataFrame, places: Sequence[pd.DataFrame], subject: str) -> str:
    """Why the runs cannot be compared; empty if they can."""
    if runs.empty:
        return "No run of a point succeeded."
    if not in_turns_axes(runs) and axes(runs):
        return (
            "The folders were not measured in turns, so a change of the machine could look like a "
            "difference, and none is claimed. pyfio-virtio compare shows two of them side by side."
        )
    if subject not in runs or runs[subject].nunique() < 2:
        return "There is only one point, so there is nothing to compare."
    if not places:
        return (
            f"No two {_spoken(subject, 'values of ')} were measured with the same values of the "
            "other axes, so there is nothing to compare."
        )
    most = max(part[subject].nunique() for part in places)
    if most > MOST_ALTERNATIVES:
        return f"{most} {_spoken(subject, 'values of ')} are too many to compare all of them."
    return ""


def _too_few(rounds: int, subject: str) -> str:
    """Why so many rounds show nothing; empty if they are enough."""
    if rounds >= FEWEST_ROUNDS:
        return ""
    made = f"{rounds} {'round' if rounds == 1 else 'rounds'} with results of two of the "
    few = f"{_spoken(subject, 'values of ')} {'is' if rounds == 1 else 'are'} too few"
    return f"{made}{few} to show a difference; {FEWEST_ROUNDS} are needed."


def _not_in_turns(runs: pd.DataFrame) -> str:
    if checks.in_turns(runs):
        return ""
    return (
        "The points were measured one after the other and not in turns, so a change of the "
        "machine could look like a difference, and none is claimed."
    )


def _common_rounds(runs: pd.DataFrame, subject: str) -> int:
    """The largest number of rounds in which the same two alternatives have a result."""
    known = np.isfinite(_by_round(runs, subject, "iops")[0]).astype(int)
    both = known.T @ known
    np.fill_diagonal(both, 0)
    return int(both.max())


def _answers(places: Sequence[tuple[Row, pd.DataFrame]], subject: str) -> Iterable[Answer]:
    """IOPS and CPU costs of all places are one family, because a report may name any of them."""
    metrics = [name for name in _TESTED if all(name in part for _, part in places)]
    rounds = [[_by_round(part, subject, name) for name in metrics] for _, part in places]
    flat = [each for some in rounds for each in some]
    found = iter(family.all_pairs([logs for logs, _ in flat], [order for _, order in flat]))
    for where, part in places:
        names = _alternatives(part, subject)
        pairs = {name: next(found) for name in metrics}
        yield Answer(
            where,
            names,
            {n: stats.median(_of(part, subject, n)["iops"]) for n in names},
            _comparisons(pairs["iops"], names, "higher"),
            _comparisons(pairs.get("cpu_us", {}), names, "lower"),
            {n: _cost(_of(part, subject, n)) for n in names},
        )


def _alternatives(runs: pd.DataFrame, subject: str) -> tuple[str, ...]:
    """The names of the alternatives in their order, such as "busy" or "iodepth 32"."""
    ordered = in_order(runs.drop_duplicates(subject), [subject])[subject]
    return tuple(_name(subject, value) for value in ordered)


def _name(subject: str, value: object) -> str:
    return checks.name_point(pd.Series({subject: value}), [subject])


def _of(runs: pd.DataFrame, subject: str, name: str) -> pd.DataFrame:
    return runs[[_name(subject, value) == name for value in runs[subject]]]


def _by_round(runs: pd.DataFrame, subject: str, metric: str) -> tuple[Floats, Floats | None]:
    """Logarithms, one row for each round and one column for each alternative, and their order."""
    every = checks.rounds(runs)
    known = {each: place for place, each in enumerate(sorted(set(every)))}
    named = runs.assign(
        _name=[_name(subject, value) for value in runs[subject]],
        _round=[known[each] for each in every],
    )
    columns = list(_alternatives(runs, subject))

    def table(column: str) -> Floats:
        found = named.pivot_table(column, "_round", "_name", "median", dropna=False)
        return found.reindex(index=range(len(known)), columns=columns).to_numpy(float)

    measured = table(metric)
    # Sweeps of different times have no common drift.
    order = table("order") if "order" in named and len({s for s, _ in known}) == 1 else None
    return stats.logs(measured).reshape(measured.shape), order


def _comparisons(
    pairs: Mapping[tuple[int, int], family.Shift], names: Sequence[str], better: stats.Better
) -> dict[tuple[str, str], stats.Comparison]:
    """Both directions of each pair."""
    found = {}
    for (first, second), shift in pairs.items():
        back = family.Shift(-shift.centre, -shift.high, -shift.low, shift.n)
        found[names[first], names[second]] = stats.Comparison.of(shift, True, better)
        found[names[second], names[first]] = stats.Comparison.of(back, True, better)
    return found


def _cost(runs: pd.DataFrame) -> float:
    return float(runs["cpu_us"].median()) if "cpu_us" in runs else float("nan")


# ---- sentences about a whole study --------------------------------------------------------


def headline(found: Study) -> str:
    """The answers in one sentence."""
    if found.reason:
        return found.reason
    if not found.left_out:
        return _shown(found)
    have = "has" if found.left_out == 1 else "have"
    return f"{_shown(found)} {found.left_out} more {have} too few rounds to say anything."


def advice(found: Study) -> str:
    """What to do if nothing was shown, and a few more rounds may show something; or empty."""
    if found.reason or found.claims or found.rounds >= USUAL_ROUNDS:
        return ""
    return (
        f"{found.rounds} rounds show only differences far above the noise. "
        f"The same command with --repeats {USUAL_ROUNDS} adds rounds to this sweep."
    )


def _shown(found: Study) -> str:
    if not found.claims:
        between = _spoken(found.subject, "values of ")
        return f"No difference in IOPS between {between} was shown."
    if len(found.answers) == 1:
        return found.answers[0].sentence
    return _everywhere(found) or _here_and_there(found)


def _everywhere(found: Study) -> str:
    """What no place contradicts; empty if each alternative was beaten somewhere."""
    answers = found.answers
    common = [n for n in answers[0].names if all(n in answer.names for answer in answers)]
    unbeaten = [n for n in common if all(n in answer.unbeaten for answer in answers)]
    if not unbeaten:
        return ""
    wins = {n: sum(a.is_clear and a.top == n for a in answers) for n in unbeaten}
    if len(unbeaten) == 1 and 0 < wins[unbeaten[0]] < len(answers):
        most = f"{unbeaten[0]} has the most IOPS at {wins[unbeaten[0]]} of the {len(answers)}"
        return _capital(f"{most} points measured; at the others, no better one was shown.")
    if len(unbeaten) > 1 or wins[unbeaten[0]] < len(answers):
        first = f"None was shown to be better than {listed(unbeaten, 'or')}"
        clear = [f"{n} has the most IOPS at {wins[n]}" for n in unbeaten if wins[n]]
        at = f" at any of the {len(answers)} points measured"
        return f"{first}{at}{'; ' + ', '.join(clear) if clear else ''}."
    return _capital(f"{unbeaten[0]} has the most IOPS at all {len(answers)} points measured.")


def _here_and_there(found: Study) -> str:
    """Where which alternative was shown to be better than all others."""
    clear = [answer for answer in found.answers if answer.is_clear]
    tops = list(dict.fromkeys(answer.top for answer in clear))
    if not tops:
        return f"No {_one(found.subject)} was shown to be better than all others at any point."
    if all(set(answer.where) == {"iodepth"} for answer in clear):
        parts = [
            f"{top} at iodepth "
            + listed([checks.plain(a.where["iodepth"]) for a in clear if a.top == top])
            for top in tops
        ]
    else:
        parts = [f"{top} at {sum(a.top == top for a in clear)}" for top in tops]
    of = f"of {len(found.answers)} points measured"
    return f"The most IOPS, {of}: {'; '.join(parts)}{_rest(len(found.answers) - len(clear))}."


def _rest(count: int) -> str:
    return f"; none was shown to be the best at the other {count}" if count else ""


def title(found: Study) -> str:
    """The largest gain over the baseline that was shown, for a picture of IOPS."""
    gains = [(answer, gain) for answer in found.answers if (gain := answer.gain())]
    if not gains:
        return headline(found)
    top, gain = max(gains, key=lambda each: each[1].ratio.value)
    gives = f"{top.top} gives {_times(gain)} the IOPS of {top.baseline}"
    return _capital(f"{gives} {_place(top.where, False)}".rstrip())


def _times(gain: stats.Comparison) -> str:
    ratio, interval = gain.ratio.value, gain.ratio.interval
    digits = 2 if ratio < 10 else 1
    shown = (f"{value:.{digits}f}" for value in (ratio, interval.low, interval.high))
    return "{} ({} to {}) times".format(*shown)


def _spoken(subject: str, values_of: str = "") -> str:
    return SUBJECTS[subject][1] if subject in SUBJECTS else f"{values_of}{subject}"


def _one(subject: str) -> str:
    return SUBJECTS[subject][0] if subject in SUBJECTS else subject


def _place(where: Row, leading: bool = True) -> str:
    if not where:
        return ""
    words = listed([_value(name, value) for name, value in where.items()])
    return f"At {words}, " if leading else f"at {words}"


def _value(name: str, value: object) -> str:
    return f"no {name}" if values.is_missing(value) else checks.label(name, value)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
