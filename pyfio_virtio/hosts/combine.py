# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the results of several hosts together as those of one run.

Owns which numbers of a run on several hosts are told, and what is said about them. IOPS and bytes
are summed over the time during which all hosts did I/O. Percentiles come from the sum of the hosts'
latency bins; they are never averaged, and fio's own sum ("All clients") is not used, because it is
wrong in some releases and missing in others. Pure; any thread may call it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyfio_virtio.fio.directions import Direction, Summary, add, summarise
from pyfio_virtio.fio.output import FioJob, together
from pyfio_virtio.hosts.window import Rate, Span, common, moved, share
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.results.record import (
    LARGE_OFFSET_MS,
    LONG_SKEW,
    STRAGGLER,
    Across,
    OnHost,
)


@dataclass(frozen=True)
class HostPart:
    """What one host did in a run."""

    name: str
    jobs: Sequence[FioJob] = ()
    started_ns: float | None = None  # on our clock: when its jobs began, ramp included
    ramp_s: float = 0.0
    clock_offset_ns: float = 0.0  # what its clock shows more than ours
    clock_error_ns: float = 0.0
    iops_log: Sequence[Rate] = field(default=(), repr=False)  # in the host's time
    bandwidth_log: Sequence[Rate] = field(default=(), repr=False)
    fio_cpu: CpuUse | None = None
    backend_cpu: CpuUse | None = None
    error: str | None = None

    @property
    def job(self) -> FioJob:
        """All its jobs together."""
        return together(self.jobs)

    @property
    def problem(self) -> str | None:
        """Why it has no result; None if it has one."""
        if self.error or not self.jobs:
            return self.error or "fio told no results"
        return self.job.problem

    def measured(self) -> Span:
        """When it did the I/O that counts, on our clock."""
        logged = moved(self.iops_log, self.clock_offset_ns)
        if logged:
            begin = min(each.span.begin for each in logged)
        elif self.started_ns is not None:
            begin = self.started_ns + self.ramp_s * 1e9
        else:
            begin = 0.0
        return Span(begin, begin + self.job.runtime_ms * 1e6)

    @property
    def is_timed(self) -> bool:
        return bool(self.iops_log) or self.started_ns is not None


@dataclass(frozen=True)
class Combined:
    """The run as a whole. If there is an error, it has no numbers."""

    across: Across
    on_hosts: Mapping[str, OnHost]
    total: Summary = field(default_factory=Summary)
    directions: Mapping[str, Summary] = field(default_factory=dict)
    fio_cpu: CpuUse | None = None
    backend_cpu: CpuUse | None = None
    error: str | None = None


def combined(parts: Sequence[HostPart]) -> Combined:
    """Combines the parts of a run. If a host failed, the run failed; the parts stay as they are."""
    failed = [each for each in parts if each.problem]
    good = [each for each in parts if not each.problem]
    spans = [each.measured() for each in good]
    on_hosts = _on_hosts(parts, good, spans)
    skew_ms = max((each.start_ms for each in on_hosts.values()), default=0.0)
    names = ",".join(each.name for each in failed)
    window = common(spans)
    if failed or window is None:
        across = Across(0.0, skew_ms, None, None, names, "; ".join(_clock_notes(parts)))
        return Combined(across, on_hosts, error=_error(failed, len(parts), skew_ms))
    directions = dict(_directions(good, spans, window))
    rates = {p.name: _iops_in(p, s, window) for p, s in zip(good, spans, strict=True)}
    slowest = min(rates, key=lambda name: rates[name]) if len(rates) > 1 else None
    median = statistics.median(rates.values())
    notes = [*_clock_notes(parts), *_notes(good, rates, spans, window)]
    return Combined(
        across=Across(
            window_s=round(window.seconds, 6),
            start_skew_ms=skew_ms,
            slowest=slowest,
            fairness=rates[slowest] / median if slowest and median else None,
            failed="",
            notes="; ".join(notes),
        ),
        on_hosts=on_hosts,
        total=summarise(directions.values()),
        directions={name: summarise([each]) for name, each in directions.items()},
        fio_cpu=_cpu([each.fio_cpu for each in good], spans, window),
        backend_cpu=_cpu([each.backend_cpu for each in good], spans, window),
    )


def _error(failed: Sequence[HostPart], count: int, skew_ms: float) -> str:
    if not failed:
        return (
            f"the {count} hosts did no I/O at the same time, because the last began "
            f"{skew_ms / 1000:.1f} s after the first; run longer"
        )
    words = [f"host {each.name}: {each.problem}" for each in failed]
    return "; ".join(words)


def _on_hosts(
    parts: Sequence[HostPart], good: Sequence[HostPart], spans: Sequence[Span]
) -> dict[str, OnHost]:
    begins = {
        part.name: span.begin for part, span in zip(good, spans, strict=True) if part.is_timed
    }
    first = min(begins.values(), default=0.0)
    return {
        each.name: OnHost(
            name=each.name,
            start_ms=round((begins.get(each.name, first) - first) / 1e6, 3),
            clock_offset_ms=round(each.clock_offset_ns / 1e6, 3),
            clock_error_ms=round(each.clock_error_ns / 1e6, 3),
        )
        for each in parts
    }


# ---- numbers ------------------------------------------------------------------------------------


def _directions(
    parts: Sequence[HostPart], spans: Sequence[Span], window: Span
) -> Iterator[tuple[str, Direction]]:
    """Each direction of all hosts together, with the I/Os in the window."""
    for name in dict.fromkeys(name for each in parts for name in each.job.directions):
        found = [
            (each.job.directions[name], _shares(each, name, span, window))
            for each, span in zip(parts, spans, strict=True)
            if name in each.job.directions and each.job.directions[name].ios
        ]
        if not found:
            continue
        ios = sum(direction.ios * of_ios for direction, (of_ios, _) in found)
        size = sum(_bytes(direction) * of_bytes for direction, (_, of_bytes) in found)
        yield (
            name,
            replace(
                add([direction for direction, _ in found]),
                ios=round(ios),
                iops=ios / window.seconds,
                bw_bytes=size / window.seconds,
                runtime_ms=window.seconds * 1000,
            ),
        )


def _bytes(direction: Direction) -> float:
    return direction.bw_bytes * direction.runtime_ms / 1000


def _shares(part: HostPart, direction: str, span: Span, window: Span) -> tuple[float, float]:
    """The shares of its I/Os and of its bytes that lie in the window."""
    of_ios = _share(part.iops_log, part, direction, span, window)
    if not part.bandwidth_log:
        return of_ios, of_ios
    return of_ios, _share(part.bandwidth_log, part, direction, span, window)


def _share(log: Sequence[Rate], part: HostPart, direction: str, span: Span, window: Span) -> float:
    return share(moved(log, part.clock_offset_ns), direction, span, window)


def _iops_in(part: HostPart, span: Span, window: Span) -> float:
    """What the host did a second in the window, in all directions."""
    ios = sum(
        each.ios * _share(part.iops_log, part, name, span, window)
        for name, each in part.job.directions.items()
    )
    return ios / window.seconds


def _cpu(uses: Sequence[CpuUse | None], spans: Sequence[Span], window: Span) -> CpuUse | None:
    """The sum of all hosts in the window; None if that of one host is not known."""
    parts = [
        (use, window.seconds / span.seconds)
        for use, span in zip(uses, spans, strict=True)
        if use is not None and span.seconds > 0
    ]
    if not parts or len(parts) < len(uses):
        return None
    return CpuUse(
        round(sum(use.user_s * factor for use, factor in parts), 6),
        round(sum(use.system_s * factor for use, factor in parts), 6),
        round(sum(use.voluntary_switches * factor for use, factor in parts)),
        round(sum(use.involuntary_switches * factor for use, factor in parts)),
    )


# ---- words --------------------------------------------------------------------------------------


def _clock_notes(parts: Sequence[HostPart]) -> Iterator[str]:
    for each in parts:
        if abs(each.clock_offset_ns) / 1e6 > LARGE_OFFSET_MS:
            word = "ahead of" if each.clock_offset_ns > 0 else "behind"
            yield (
                f"the clock of {each.name} is {abs(each.clock_offset_ns) / 1e9:.1f} s {word} ours"
            )


def _notes(
    parts: Sequence[HostPart],
    rates: Mapping[str, float],
    spans: Sequence[Span],
    window: Span,
) -> Iterator[str]:
    median = statistics.median(rates.values())
    for name, rate in rates.items():
        if len(rates) > 1 and rate < STRAGGLER * median:
            yield f"{name} is a straggler: it did {rate / median:.2f} of the median host's IOPS"
    longest = max(each.seconds for each in spans)
    if window.seconds < (1 - LONG_SKEW) * longest:
        yield (
            f"all hosts did I/O together for {window.seconds:.2f} of {longest:.2f} s; "
            "percentiles are of all I/Os"
        )
    if any(not each.is_timed for each in parts):
        yield "it is not known when the hosts started, so their times may not overlap"
    elif any(not each.iops_log for each in parts):
        yield "without a log of IOPS, the rates are assumed to be even"
