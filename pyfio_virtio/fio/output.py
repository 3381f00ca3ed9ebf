# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads fio's JSON: jobs, directions, latency bins.

Owns how fio's output formats json and json+ are read, of fio 2.1 and newer, of one process or of
several clients. Everything is pure except read_fio_json(), which reads one file. Any thread may
call it. What fio may leave out is None; if something is missing that fio always writes, or has the
wrong type, the document is refused. documents.py finds the document, directions.py adds up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.fio import documents
from pyfio_virtio.fio.directions import CLAT, DIRECTIONS, LAT, Direction, Latency, add
from pyfio_virtio.fio.documents import FioJsonError, Section

__all__ = ["FioJob", "FioJsonError", "FioRun", "parse_fio_json", "read_fio_json", "together"]

# With unified_rw_reporting=1 all directions are in one section.
MIXED = "mixed"
# fio before 3.0 names its sections without _ns, and counts in µs.
_UNITS_NS = (("_ns", 1), ("", 1000))
# Older files of json+ count in bins by their number, and name the number of bits.
_BIN_BITS = "FIO_IO_U_PLAT_BITS"
_JSON = "run fio with --output-format=json+"


@dataclass(frozen=True)
class FioJob:
    """One job (or group, with group_reporting) of a run."""

    name: str
    hostname: str
    group: int
    error: int
    options: Mapping[str, str] | None  # None: this fio does not tell them
    directions: Mapping[str, Direction]
    cpu_s: float | None  # CPU time of all threads of the job; None: this fio does not tell it

    @property
    def problem(self) -> str | None:
        """Why the job has no result; None if it has one."""
        if self.error:
            return f"fio's error {self.error}"
        busy = [each for each in self.directions.values() if each.ios]
        if not busy:
            return "fio did no I/O in the measured time"
        if not all(each.iops for each in busy):
            return "the I/O took less than 1 ms, so fio tells no rate"
        return None

    @property
    def runtime_ms(self) -> float:
        """The time during which the job did I/O. (fio's job_runtime is a sum in a group.)"""
        return max((each.runtime_ms for each in self.directions.values()), default=0.0)


@dataclass(frozen=True)
class FioRun:
    """One JSON document from fio."""

    version: str
    jobs: tuple[FioJob, ...]

    def loads(self) -> tuple[FioJob, ...]:
        """The jobs; those that numjobs= made of one section are one, as with group_reporting."""
        return tuple(together(jobs) for jobs in self.sections())

    def sections(self) -> list[list[FioJob]]:
        """The jobs that numjobs= made of one section, for each section."""
        alike: dict[tuple[object, ...], list[FioJob]] = {}
        for job in self.jobs:
            options = tuple(sorted(job.options.items())) if job.options else ()
            alike.setdefault((job.hostname, job.group, job.name, options), []).append(job)
        return list(alike.values())


def read_fio_json(path: Path) -> FioRun:
    """Reads one file. With --status-interval it has several documents, and the last one counts."""
    return parse_fio_json(documents.read_text(path), str(path))


def parse_fio_json(text: str, source: str = "fio's output") -> FioRun:
    """Parses the last document. fio's notes may stand before, between and after."""
    document = documents.find(text, source)
    shared = _SharedOptions(document)
    entries = documents.jobs(document)
    _check_alike(entries, ("job options", "hostname"))
    jobs = tuple(_job(job, shared) for job in entries)
    run = FioRun(str(document.values.get("fio version", "unknown")), jobs)
    _check_numbers(run, source)
    return run


def _check_numbers(run: FioRun, source: str) -> None:
    """Without group_reporting, a section has as many jobs as numjobs= says."""
    for jobs in run.sections():
        given = (jobs[0].options or {}).get("numjobs", "1")
        wanted = int(given) if given.isascii() and given.isdecimal() and len(given) < 9 else 1
        if wanted and len(jobs) > 1 and len(jobs) % wanted:
            raise FioJsonError(
                f"{source}: {jobs[0].name} has {len(jobs)} jobs, and numjobs is {wanted}",
                "",
                "run fio again",
            )


def _check_alike(entries: Sequence[Section], keys: Sequence[str]) -> None:
    """fio writes these for all jobs of a document or for none."""
    for key in keys:
        lacking = [each for each in entries if each.values.get(key) is None]
        if lacking and len(lacking) < len(entries):
            raise lacking[0].refusal(key, "is missing", _JSON)


class _SharedOptions:
    """The options of [global]. Several clients have a list, with an entry for each of them."""

    def __init__(self, document: Section) -> None:
        key = "global options"
        given = document.values.get(key)
        self._known = given is not None
        entries = given if isinstance(given, list) else [given or {}]
        every = [Section({key: each}, document.place) for each in entries]
        self._of_clients = [each.options(key) for each in every]

    def of(self, job: Section) -> dict[str, str] | None:
        """All options of a job; None if fio tells none, as before fio 2.10."""
        if not self._known and "job options" not in job.values:
            return None
        host = str(job.values.get("hostname"))
        fitting = [each for each in self._of_clients if each.get("hostname", host) == host]
        shared = fitting[0] if fitting else {}
        kept = {key: value for key, value in shared.items() if key not in ("hostname", "port")}
        return {**kept, **job.options("job options")}


def _job(raw: Section, shared: _SharedOptions) -> FioJob:
    name = raw.text("jobname")
    raw = Section(raw.values, f"{raw.place} ({name})")
    options = shared.of(raw)
    runtime_ms = raw.number("job_runtime")
    percent = [raw.number("usr_cpu") or 0.0, raw.number("sys_cpu") or 0.0]
    return FioJob(
        name=name,
        hostname=str(raw.values.get("hostname", "")),
        group=int(raw.required("groupid")),
        error=int(raw.required("error")),
        options=options,
        directions=_directions(raw, options),
        cpu_s=None if runtime_ms is None else runtime_ms / 1000 * sum(percent) / 100,
    )


def _directions(raw: Section, options: Mapping[str, str] | None) -> dict[str, Direction]:
    """With unified_rw_reporting=both there are the single directions beside their sum."""
    found = {name: raw.section(name) for name in (*DIRECTIONS, MIXED)}
    missing = [name for name in _needed(options or {}) if not found[name]]
    if not missing:
        del found[MIXED]
    elif not found[MIXED] or any(found[name] for name in DIRECTIONS):
        raise raw.refusal(" and ".join(missing), "is missing", _JSON)
    return {name: _direction(each) for name, each in found.items() if each}


def _needed(options: Mapping[str, str]) -> list[str]:
    """The directions without which the sum of a job would be wrong."""
    pattern = options.get("rw", "")
    if pattern in ("read", "randread") and "read_iolog" not in options:
        return ["read"]
    trims = not pattern or "trim" in pattern or {"read_iolog", "trim_percentage"} & options.keys()
    return list(DIRECTIONS) if trims else ["read", "write"]


def _direction(raw: Section) -> Direction:
    ios, iops, runtime_ms = (raw.number(key) for key in ("total_ios", "iops", "runtime"))
    # fio before 2.1.12 does not tell the number of I/Os.
    if ios is None and iops and runtime_ms:
        ios = float(round(iops * runtime_ms / 1000))
    if iops is None and ios is not None and runtime_ms:
        iops = 1000 * ios / runtime_ms
    if ios is None:
        if iops is None or runtime_ms is None:
            raise raw.refusal("total_ios", "is missing", _JSON)
        if raw.number("io_bytes"):
            raise raw.refusal(
                "the number of I/Os", "is missing, and the time is 0 ms", "run longer"
            )
        ios = 0.0
    if not ios:
        return Direction()
    if iops is None:
        raise raw.refusal("iops", "is missing", _JSON)
    if runtime_ms is None:
        raise raw.refusal("runtime", "is missing", _JSON)
    every = [each for each in (_latency(raw, kind, ios) for kind in (LAT, CLAT)) if each]
    detailed = [each for each in every if each.bins or each.percentiles]
    return Direction(
        iops=iops,
        bw_bytes=_bandwidth(raw),
        ios=int(ios),
        runtime_ms=runtime_ms,
        whole=every[0] if every else None,
        detailed=detailed[0] if detailed else None,
    )


def _bandwidth(raw: Section) -> float:
    in_bytes, in_kib = raw.number("bw_bytes"), raw.number("bw")
    if in_bytes is None and in_kib is None:
        raise raw.refusal("bw", "is missing", _JSON)
    return in_bytes if in_bytes is not None else 1024 * (in_kib or 0.0)


def _latency(raw: Section, kind: str, ios: float) -> Latency | None:
    """None if fio did not measure this latency (disable_lat, disable_clat)."""
    for suffix, unit_ns in _UNITS_NS:
        found = raw.section(kind + suffix)
        if found:
            return _measured_latency(found, kind, unit_ns, ios)
    return None


def _measured_latency(raw: Section, kind: str, unit_ns: int, ios: float) -> Latency | None:
    # fio tells the number of its samples since 3.11. Before, zeros mean that it measured nothing.
    given, mean, largest = raw.number("N"), raw.required("mean"), raw.required("max")
    if given == 0 or (given is None and not largest and not mean):
        return None
    percentiles, bins = raw.section("percentile"), raw.section("bins")
    values = percentiles.numbers() if percentiles else {}
    counts = _bins(bins, unit_ns) if bins else {}
    held = sum(counts.values())
    if bins and given is not None and held != given:
        raise bins.refusal("the bins", f"hold {held} I/Os and not {given:.0f}", "run fio again")
    if given is None and held != ios:
        counts = {}  # fio's own percentiles are surely of all its samples
    return Latency(
        kind=kind,
        samples=int(ios if given is None else given),
        mean_ns=mean * unit_ns,
        max_ns=largest * unit_ns,
        # Before fio 2.2, percentiles that were not asked for are called 0.00.
        percentiles={key: value * unit_ns for key, value in values.items() if key > 0},
        bins=counts,
    )


def _bins(raw: Section, unit_ns: int) -> dict[int, int]:
    bits = raw.number(_BIN_BITS)
    counts = raw.numbers()
    if bits is not None:
        counts = {_value_of_bin(int(place), int(bits)): each for place, each in counts.items()}
    found = {int(value * unit_ns): int(each) for value, each in counts.items() if each}
    return dict(sorted(found.items()))  # a program that sorts keys sorts them as texts


def _value_of_bin(place: int, bits: int) -> int:
    """The middle of a bin: the first two powers of 2 have bins of 1, and then they double."""
    each = 1 << bits
    if place < 2 * each:
        return place
    shift = place // each - 1
    return ((place % each + each) << shift) + (1 << (shift - 1))


def together(jobs: Sequence[FioJob]) -> FioJob:
    """Jobs that ran at the same time as one, which has the numbers that group_reporting gives."""
    first = jobs[0]
    if len(jobs) == 1:
        return first
    names = dict.fromkeys(name for job in jobs for name in job.directions)
    costs = [job.cpu_s for job in jobs]
    return replace(
        first,
        error=next((job.error for job in jobs if job.error), 0),
        directions={
            name: add([job.directions[name] for job in jobs if name in job.directions])
            for name in names
        },
        cpu_s=sum(each for each in costs if each is not None) if None not in costs else None,
    )
