# SPDX-License-Identifier: GPL-2.0-or-later
"""Says in sentences what a sweep found; every claim in them was tested on its runs.

This file owns the claims: which way of waiting gives more IOPS than which at which place, by how
much, and with how many IOPS per core. All functions are pure functions of frames, so any thread may
call them. study() is the only source of claims. Headlines, titles and answers receive its result
and nothing else, so they agree, and they cannot say what was not tested.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import checks, family, rounds, stats
from pyfio_virtio.analysis.answers import Answer, place, times
from pyfio_virtio.analysis.family import FEWEST_ROUNDS, Floats
from pyfio_virtio.analysis.findings import unrated
from pyfio_virtio.analysis.frame import axes, grouped, in_order, in_turns_axes
from pyfio_virtio.analysis.names import SUBJECTS, listed
from pyfio_virtio.analysis.style import capital
from pyfio_virtio.results import values
from pyfio_virtio.results.record import Row

# With so many rounds, 10% at 3% noise is found nearly always (bench/README.md).
USUAL_ROUNDS = 12
# The pairs of more alternatives than these are too many to be compared.
MOST_ALTERNATIVES = 40
_TESTED = ("iops", efficiency.BOTH)


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


def study(frame: pd.DataFrame, of: str = "") -> Study:
    """Compares the alternatives of a sweep at every place, as one family of comparisons.

    They are the values of the axis `of`, or of the first that claims are usually about.
    """
    runs = unrated(frame)
    varied, claimed = axes(runs), in_turns_axes(runs)
    usual = next((name for name in (*SUBJECTS, "iodepth", *claimed) if name in claimed), "way")
    subject = of or usual
    places = list(_places(runs, [name for name in varied if name != subject], subject))
    reason = _reason(runs, [part for _, part in places], subject)
    if reason:
        return Study(subject, (), reason)
    common = [_common_rounds(part, subject) for _, part in places]
    reason = _too_few(max(common), subject) or _not_in_turns(runs)
    if reason:
        return Study(subject, (), reason)
    enough = [place for place, n in zip(places, common, strict=True) if n >= FEWEST_ROUNDS]
    answers = tuple(_answers(enough, subject))
    return Study(subject, answers, "", len(places) - len(enough), max(common))


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


def _too_few(common: int, subject: str) -> str:
    """Why so many rounds show nothing; empty if they are enough."""
    if common >= FEWEST_ROUNDS:
        return ""
    made = f"{common} {'round' if common == 1 else 'rounds'} with results of two of the "
    few = f"{_spoken(subject, 'values of ')} {'is' if common == 1 else 'are'} too few"
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
    """IOPS and IOPS per core of all places are one family: a report may name any of them."""
    metrics = [name for name in _TESTED if all(name in part for _, part in places)]
    flat = [_by_round(part, subject, name) for _, part in places for name in metrics]
    found = iter(family.all_pairs([logs for logs, _ in flat], [order for _, order in flat]))
    for (where, part), (logs, _) in zip(places, flat[:: len(metrics)], strict=True):
        names = _alternatives(part, subject)
        pairs = {name: next(found) for name in metrics}
        yield Answer(
            where,
            names,
            {n: stats.median(_of(part, subject, n)["iops"]) for n in names},
            _comparisons(pairs["iops"], names, "higher"),
            _comparisons(pairs.get(efficiency.BOTH, {}), names, "higher"),
            {n: _per_core(_of(part, subject, n)) for n in names},
            _against(logs, names),
        )


def _alternatives(runs: pd.DataFrame, subject: str) -> tuple[str, ...]:
    """The names of the alternatives in their order, such as "busy" or "iodepth=32"."""
    ordered = in_order(runs.drop_duplicates(subject), [subject])[subject]
    return tuple(named(subject, value) for value in ordered)


def named(subject: str, value: object) -> str:
    """An alternative. With "=", every option can have a verb: "hosts=4 has the most IOPS"."""
    name = checks.name_point({subject: value}, [subject])
    is_option = subject not in SUBJECTS and name.startswith(f"{subject} ")
    return name.replace(" ", "=", 1) if is_option else name


def _of(runs: pd.DataFrame, subject: str, name: str) -> pd.DataFrame:
    return runs[[named(subject, value) == name for value in runs[subject]]]


def _by_round(runs: pd.DataFrame, subject: str, metric: str) -> tuple[Floats, Floats | None]:
    """Logarithms, one row for each round and one column for each alternative, and their order."""
    names = [named(subject, value) for value in runs[subject]]
    return rounds.by_round(runs, names, _alternatives(runs, subject), metric)


def _comparisons(
    pairs: Mapping[tuple[int, int], family.Shift], names: Sequence[str], better: stats.Better
) -> dict[tuple[str, str], stats.Comparison]:
    """Both directions of each pair."""
    found = {}
    for (first, second), shift in pairs.items():
        found[names[first], names[second]] = stats.Comparison.of(shift, True, better)
        found[names[second], names[first]] = stats.Comparison.of(shift.reversed, True, better)
    return found


def _against(logs: Floats, names: Sequence[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """In how many rounds the first had more than the second, and how many rounds have both."""
    columns = dict(zip(names, logs.T, strict=True))
    return {
        (one, other): (
            int((columns[one] > columns[other]).sum()),
            int(np.isfinite(columns[one] + columns[other]).sum()),
        )
        for one, other in itertools.permutations(names, 2)
    }


def _per_core(runs: pd.DataFrame) -> float:
    known = runs[efficiency.BOTH].dropna() if efficiency.BOTH in runs else pd.Series(dtype=float)
    return float(known.median())


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
        f"{found.rounds} rounds can hide even a large difference. "
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
        return capital(f"{most} {_spots(found)}; at the others, no better one was shown.")
    if len(unbeaten) > 1 or wins[unbeaten[0]] < len(answers):
        # None of several has the most IOPS anywhere, because it would have beaten the others.
        at = f"at any of the {len(answers)} {_spots(found)}"
        none = f"none of the others was shown to have more IOPS {at}"
        return capital(f"{listed(unbeaten, 'or')} may be the best: {none}.")
    return capital(f"{unbeaten[0]} has the most IOPS at all {len(answers)} {_spots(found)}.")


def _here_and_there(found: Study) -> str:
    """Where which alternative was shown to be better than all others."""
    clear = [answer for answer in found.answers if answer.is_clear]
    tops = list(dict.fromkeys(answer.top for answer in clear))
    if not tops:
        return f"No {_one(found.subject)} was shown to be better than all others anywhere."
    if all(set(answer.where) == {"iodepth"} for answer in clear):
        parts = [
            f"{top} at iodepth "
            + listed([checks.plain(a.where["iodepth"]) for a in clear if a.top == top])
            for top in tops
        ]
    else:
        parts = [f"{top} at {sum(a.top == top for a in clear)}" for top in tops]
    of = f"of {len(found.answers)} {_spots(found)}"
    return f"The most IOPS, {of}: {'; '.join(parts)}{_rest(len(found.answers) - len(clear))}."


def _spots(found: Study) -> str:
    """What the answers are about, such as "iodepths measured". "Points" would be misunderstood,
    because a point has a way of waiting too."""
    axes_of_places = dict.fromkeys(name for answer in found.answers for name in answer.where)
    if len(axes_of_places) != 1:
        names = [_one(name) for name in axes_of_places]
        return f"combinations of {listed(names)} measured"
    [name] = axes_of_places
    return f"{'iodepths' if name == 'iodepth' else _spoken(name, 'values of ')} measured"


def _rest(count: int) -> str:
    return f"; none was shown to be the best at the other {count}" if count else ""


def title(found: Study) -> str:
    """The largest gain over the baseline that was shown, for a picture of IOPS."""
    gains = [(answer, gain) for answer in found.answers if (gain := answer.gain())]
    if not gains:
        return headline(found)
    top, gain = max(gains, key=lambda each: each[1].ratio.value)
    gives = f"{top.top} gives {times(gain)} the IOPS of {top.baseline}"
    return capital(f"{gives} {place(top.where, False)}".rstrip())


def _spoken(subject: str, values_of: str = "") -> str:
    return SUBJECTS[subject][1] if subject in SUBJECTS else f"{values_of}{subject}"


def _one(subject: str) -> str:
    return SUBJECTS[subject][0] if subject in SUBJECTS else subject
