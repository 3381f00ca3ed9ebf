# SPDX-License-Identifier: GPL-2.0-or-later
"""Says in sentences where the time of requests goes. Pure; any thread may call it.

A sentence holds only what the bars hold: a part is called a wake-up only if most of the bar's
requests needed one.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyfio_virtio.explain import parts
from pyfio_virtio.explain.parts import Bar, Explained
from pyfio_virtio.explain.requests import (
    AWAY,
    GATHER,
    HAND,
    KICK,
    NOTICE,
    PICK_UP,
    SERVICE,
    SUBMIT,
    USED,
)

# What the parts are called in a picture.
LABELS = {
    SUBMIT: "fio, until it submits",
    GATHER: "the engine, until it publishes",
    PICK_UP: "until the back-end takes it",
    SERVICE: "the back-end serves it",
    NOTICE: "until fio's thread finds it",
    KICK: "the kick (system call)",
    AWAY: "the back-end, and until fio's thread finds it",
    USED: "until it is in the used ring",
    HAND: "until fio gets it",
}
SUBJECTS = {parts.MEDIAN: "the median request", parts.SLOWEST: "the slowest 1%"}
# Parts that are at least this share of the whole are told.
_WORTH_TELLING = 0.1
# If more of the requests than this needed a wake-up, the part is called one.
_MOST = 0.5
# The timed requests may differ from all requests by so much.
TOLERANCE = 0.05


def sentences(each: Explained) -> Iterator[str]:
    """One sentence for the median request and one for the slowest, and notes."""
    yield from (f"{_heading(each)}, {_sentence(bar)}" for bar in each.bars)
    if not each.bars:
        yield f"{_heading(each)}: the times of {each.requests} requests are too few to tell"
    elif each.bar(parts.SLOWEST) is None:
        needed = 100 * parts.FEWEST
        yield (
            f"{_heading(each)}: for the slowest 1%, the times of {each.requests} requests are too "
            f"few; about {needed} are needed"
        )
    yield from _notes(each)


def _heading(each: Explained) -> str:
    depth = "" if each.iodepth is None else f", iodepth {each.iodepth}"
    return f"wait={each.wait}{depth}"


def _sentence(bar: Bar) -> str:
    whole = bar.total_ns
    large = sorted(
        (name for name, ns in bar.parts.items() if ns >= _WORTH_TELLING * whole),
        key=lambda name: -bar.parts[name],
    )
    unit, divisor = ("µs", 1000.0) if whole >= 1000 else ("ns", 1.0)
    told: list[str] = []
    verb_before = ""
    for name in large:
        verb, doing = _doing(name, bar)
        told.append(_spent(bar.parts[name] / divisor, "" if verb == verb_before else verb, doing))
        verb_before = verb
    where = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else told[0]
    return f"{SUBJECTS[bar.which]}: of {number(whole / divisor)} {unit}, {where}"


def _spent(value: float, verb: str, doing: str) -> str:
    """A verb is not repeated."""
    return f"{number(value)} {f'{verb} ' if verb else ''}{doing}"


def _doing(name: str, bar: Bar) -> tuple[str, str]:
    """What the time is spent on: a verb, and the rest."""
    if name == PICK_UP and bar.kicked > _MOST:
        return "are spent", "waking the back-end"
    if name == NOTICE:
        verb, found = _noticing(bar)
        return verb, found
    if name == AWAY:
        return "pass", f"in the back-end and {_noticing(bar)[1]}"
    return {
        SUBMIT: ("are spent", "in fio before it submits"),
        GATHER: ("pass", "while the engine gathers requests"),
        PICK_UP: ("pass", "until the back-end, which is awake, takes it"),
        SERVICE: ("are spent", "in the back-end"),
        KICK: ("are spent", "in the kick, the system call that wakes the back-end"),
        USED: ("pass", "until the back-end has it in the used ring"),
        HAND: ("pass", "until fio takes what was found"),
    }[name]


def _noticing(bar: Bar) -> tuple[str, str]:
    if bar.called > _MOST:
        return "are spent", "waking fio"
    if bar.slept > _MOST:
        return "pass", "until fio's thread, which sleeps between looks, looks"
    return "pass", "until fio's thread looks"


def _notes(each: Explained) -> Iterator[str]:
    if each.note:
        yield f"{_heading(each)}: only fio's side is shown, because {each.note}"
    median = each.bar(parts.MEDIAN)
    if median and each.fio_median_ns and not _is_near(median.total_ns, each.fio_median_ns):
        yield f"{_heading(each)}: {_unlike(median.total_ns, each.fio_median_ns)}"


def _is_near(ns: float, fio_ns: float) -> bool:
    return abs(ns / fio_ns - 1) <= TOLERANCE


def _unlike(timed_ns: float, all_ns: float) -> str:
    """A timed request also takes its times, on both sides; nothing makes it faster."""
    both = f"{duration(timed_ns)}, and that of all requests is {duration(all_ns)}"
    if timed_ns > all_ns:
        return (
            f"the median of the timed requests is {both}, because taking the times takes time, "
            "too; so the parts are too long by about the difference"
        )
    return (
        f"the median of the timed requests is {both}, so the timed ones are unlike the others; run "
        "longer"
    )


def duration(ns: float) -> str:
    return f"{number(ns / 1000)} µs" if ns >= 1000 else f"{number(ns)} ns"


def counts(each: Explained) -> str:
    """Wake-ups and context switches for each I/O, such as "1.0 kicks, 0.9 sleeps"."""
    return ", ".join(f"{small(value)} {name}" for name, value in each.counts.items())


def number(value: float) -> str:
    """At most three digits, and never an exponent: 0.35, 4.7, 96, 1,234."""
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def small(value: float) -> str:
    """A count for each I/O: 1.0, 0.02."""
    return f"{value:.1f}" if value >= 0.95 or not value else f"{value:.2f}"
