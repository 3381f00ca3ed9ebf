# SPDX-License-Identifier: GPL-2.0-or-later
"""What a restart test found: numbers for each restart, their sums, and sentences about them.

Pure. A sentence says only what was measured. A block is wrong if it does not hold its last
acknowledged write.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

from pyfio_virtio.restarts.clients import SAMPLE_NS, Tally
from pyfio_virtio.restarts.stalls import Stall
from pyfio_virtio.restarts.versions import Verdict

_WRONG = {
    Verdict.LOST: "held nothing of the test",
    Verdict.OLDER: "held an earlier write",
    Verdict.TORN: "held only a part of the write",
    Verdict.NEWER: "held a write that was not submitted yet",
}


@dataclass(frozen=True)
class Found:
    """What operations found in some time. The last four are blocks that are wrong, by Verdict."""

    reads: int = 0
    writes: int = 0
    errors: int = 0
    lost: int = 0
    older: int = 0
    torn: int = 0
    newer: int = 0

    @property
    def wrong(self) -> int:
        return self.lost + self.older + self.torn + self.newer


def found(tallies: Iterable[Tally]) -> Found:
    every = list(tallies)
    verdicts = sum((each.verdicts for each in every), Counter[Verdict]())
    return Found(
        reads=sum(each.reads for each in every),
        writes=sum(each.writes for each in every),
        errors=sum(each.errors for each in every),
        **{verdict.value: verdicts[verdict] for verdict in _WRONG},
    )


def total(parts: Iterable[Found]) -> Found:
    every = list(parts)
    names = [each.name for each in fields(Found)]
    return Found(**{name: sum(getattr(each, name) for each in every) for name in names})


@dataclass(frozen=True)
class Connection:
    """What the engine counted: times in which the back-end was away, and what was sent again."""

    reconnects: int = 0
    replayed: int = 0
    away_ns: int = 0

    def since(self, before: "Connection") -> "Connection":
        return Connection(
            self.reconnects - before.reconnects,
            self.replayed - before.replayed,
            self.away_ns - before.away_ns,
        )


@dataclass(frozen=True)
class Restart:
    """`began_s` is counted from the beginning of the load. `took_s` is the time until the back-end
    accepted connections again, or until the command of the user returned; None: that failed.
    """

    number: int
    began_s: float
    took_s: float | None
    stall: Stall | None
    connection: Connection
    found: Found


@dataclass(frozen=True)
class Outcome:
    """`done` restarts were looked at to their end. `last` is the whole read at the end, and
    `failure` is why the test ended early."""

    planned: int
    done: int
    blocks: int
    before: Found
    restarts: Sequence[Restart]
    last: Found
    samples: Sequence[int]  # operations in each SAMPLE_NS since the beginning of the load
    findings: Sequence[str]  # the first wrong blocks
    first_error: str
    failure: str

    @property
    def found(self) -> Found:
        return total((self.before, *(each.found for each in self.restarts), self.last))

    @property
    def connection(self) -> Connection:
        every = [each.connection for each in self.restarts]
        return Connection(
            sum(each.reconnects for each in every),
            sum(each.replayed for each in every),
            sum(each.away_ns for each in every),
        )

    @property
    def stalls(self) -> list[Stall]:
        return [each.stall for each in self.restarts if each.stall]

    @property
    def is_good(self) -> bool:
        return not (self.failure or self.found.wrong or self.found.errors)

    def sentences(self) -> list[str]:
        return [*self._ending(), self._stalling(), self._erring(), self._losing()]

    def _ending(self) -> list[str]:
        if not self.failure:
            return []
        done = f"{self.done} of {_count(self.planned, 'restart')}"
        return [f"The test ended early, after {done}: {self.failure}."]

    def _stalling(self) -> str:
        if not self.stalls:
            return "No stall was measured."
        worst = max(stall.worst_ns for stall in self.stalls)
        middle = statistics.median(stall.p50_ns for stall in self.stalls)
        replayed = self.connection.replayed
        return (
            f"{_count(len(self.stalls), 'restart')} stalled the clients for "
            f"{_ms(middle)} (median of the p50s), and for {_ms(worst)} at worst; "
            f"{_count(replayed, 'request')} {'was' if replayed == 1 else 'were'} sent again."
        )

    def _erring(self) -> str:
        if not self.found.errors:
            return "No operation failed."
        first = "" if self.first_error in self.failure else f", the first: {self.first_error}"
        return f"{_count(self.found.errors, 'operation')} failed{first}."

    def _losing(self) -> str:
        every = self.found
        parts = [
            f"{getattr(every, verdict.value):,} {words}"
            for verdict, words in _WRONG.items()
            if getattr(every, verdict.value)
        ]
        if parts:
            looked = f"{_count(self.blocks, 'block')}, looked at after each restart"
            return f"Acknowledged writes were lost ({looked}): {' and '.join(parts)}."
        if self.failure:
            return f"{_count(every.reads, 'read')} found no acknowledged write missing."
        return (
            f"No acknowledged write was lost: all {_count(self.blocks, 'block')} were read after "
            "each restart, and again at the end over a new connection."
        )

    def as_dict(self) -> dict[str, object]:
        return {
            "planned": self.planned,
            "done": self.done,
            "is_good": self.is_good,
            "sentences": self.sentences(),
            "blocks": self.blocks,
            "restarts": [_restart(each) for each in self.restarts],
            "before": _found(self.before),
            "last": _found(self.last),
            "total": {**_found(self.found), **asdict(self.connection)},
            "findings": list(self.findings),
            "first_error": self.first_error,
            "failure": self.failure,
            "iops": {"interval_s": SAMPLE_NS / 1e9, "operations": list(self.samples)},
        }


def _restart(one: Restart) -> dict[str, object]:
    stall = one.stall
    return {
        "number": one.number,
        "began_s": one.began_s,
        "took_s": one.took_s,
        "stalled_operations": stall.operations if stall else 0,
        "stall_p50_ns": stall.p50_ns if stall else None,
        "stall_worst_ns": stall.worst_ns if stall else None,
        "outage_began_s": stall.begin_ns / 1e9 if stall else None,
        "outage_ns": stall.end_ns - stall.begin_ns if stall else None,
        **asdict(one.connection),
        **_found(one.found),
    }


def _found(one: Found) -> dict[str, int]:
    return {**asdict(one), "wrong": one.wrong}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _ms(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:,.1f} ms" if nanoseconds < 1e8 else f"{nanoseconds / 1e6:,.0f} ms"
