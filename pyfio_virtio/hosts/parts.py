# SPDX-License-Identifier: GPL-2.0-or-later
"""What one host did in a run, from what the host told and from the files that its client wrote.

Owns which of both counts, and the words for what failed. A host has a result only if fio's JSON
has its jobs: fio's client ends with status 0 also if the process of the jobs was killed there. It
writes counters.jsonl and samples.jsonl into the folder of the host. Any thread may call it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.output import FioJob, read_fio_json
from pyfio_virtio.fio.words import reason
from pyfio_virtio.hosts import window
from pyfio_virtio.hosts.collected import Collected
from pyfio_virtio.hosts.combine import HostPart
from pyfio_virtio.hosts.host_errors import printable
from pyfio_virtio.hosts.logs import LOG, LOG_MS
from pyfio_virtio.hosts.one_client import ERRORS
from pyfio_virtio.hosts.together import HostResult
from pyfio_virtio.hosts.window import Rate, Span
from pyfio_virtio.machine import sampling
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.sampling import Moment
from pyfio_virtio.results.results import COUNTERS, FIO_JSON, SAMPLES, Sample

_NS_PER_MS = 1_000_000
_LARGEST_JSON = 64 << 20
# fio's client puts the name of the host before what fio says there, and says at the end only that
# there was an error.
_OF_CLIENT = re.compile(
    r"^<[^>]*> |^client <[^>]*>: exited with error \d+$|^client: host=\S+ disconnected$",
    re.MULTILINE,
)
# Fewer samples are not worth a picture.
_FEWEST_SAMPLES = 5


def part(result: HostResult, folder: Path, ramp_s: float, has_logs: bool = True) -> HostPart:
    """The host's part of a run, of which fio's client left its files in `folder`. `has_logs` says
    whether the job has LOG_OPTIONS.
    """
    told = result.collected
    clock = result.clock
    if told is not None and told.counters:
        files.write(folder / COUNTERS, told.counters)
    jobs, why = _jobs(result, folder)
    found = HostPart(
        name=result.host.name,
        jobs=jobs,
        started_ns=None if told is None else told.start_ns or told.run_ns,
        ramp_s=ramp_s,
        clock_offset_ns=clock.offset_ns if clock else 0.0,
        clock_error_ns=clock.error_ns if clock else 0.0,
        iops_log=_logs(folder, "iops", result) if has_logs else (),
        bandwidth_log=_logs(folder, "bw", result) if has_logs else (),
        error=why,
    )
    if found.problem or told is None:
        return found
    measured = found.measured()
    _write_samples(folder / SAMPLES, found, told, measured)
    used = [_use(told.moments, side, measured) for side in ("fio", "backend")]
    return replace(found, fio_cpu=used[0], backend_cpu=used[1])


# ---- what failed --------------------------------------------------------------------------------


def _jobs(result: HostResult, folder: Path) -> tuple[Sequence[FioJob], str | None]:
    """Its jobs, and why they are no result."""
    ran = result.ran
    died = result.collected.died if result.collected else ""
    if ran.error is not None or ran.status is None:
        return (), _failure(ran.error or "fio was not started", folder, ran.said, died)
    jobs: Sequence[FioJob] = ()
    lacking = "fio told no results"
    try:
        if _is_fit(folder / FIO_JSON):
            jobs = read_fio_json(folder / FIO_JSON).jobs
    except (PyfioVirtioError, OSError) as error:
        lacking = f"fio told no results: {error}"
    if died:
        return (), _failure("its back-end ended during the run", folder, ran.said, died)
    if ran.status:
        return (), _failure(fio.ending(ran.status), folder, ran.said, died)
    if not jobs:
        return (), _failure(lacking, folder, ran.said, died)
    failed = next((each for each in jobs if each.error), None)
    if failed is not None:
        why = f"{printable(failed.name)} ended with fio's error {failed.error}"
        return jobs, _failure(why, folder, ran.said, died)
    return jobs, None


def _is_fit(path: Path) -> bool:
    """Whether a file of results is there, and no larger than results are."""
    return path.is_file() and path.stat().st_size <= _LARGEST_JSON


def _failure(why: str, folder: Path, said: str, died: str) -> str:
    """A failure with the last words of those that may know more."""
    words = f"its last words: {died}" if died else ""
    if not died and (told := _words(folder) or said):
        words = f"fio says: {told}"
    return f"{why}; {words}" if words else why


def _words(folder: Path) -> str:
    """The line in which fio's client, or through it fio on the host, says why it failed."""
    for name in (FIO_JSON, ERRORS):
        path = folder / name
        if not _is_fit(path):
            continue
        notes, _ = fio.split_notes(files.read_text(path))
        if said := reason(_OF_CLIENT.sub("", f"\n{notes}".partition("\n{")[0])):
            return printable(said)
    return ""


# ---- over time ----------------------------------------------------------------------------------


def _logs(folder: Path, kind: str, result: HostResult) -> list[Rate]:
    """The logs of all its jobs."""
    paths = sorted(folder.glob(f"{LOG}_{kind}.*.log.{result.host.name}.sock"))
    return [rate for path in paths for rate in window.read_log(path, LOG_MS)]


def _use(moments: Sequence[Moment], side: str, measured: Span) -> CpuUse | None:
    """The use of CPUs during the measured time, calculated from the part that was watched."""
    inside = [
        each
        for each in moments
        if measured.begin <= each.time_s * 1e9 <= measured.end and getattr(each, side) is not None
    ]
    if len(inside) < 2 or inside[-1].time_s <= inside[0].time_s:
        return None
    used = sampling.between(getattr(inside[0], side), getattr(inside[-1], side))
    factor = measured.seconds / (inside[-1].time_s - inside[0].time_s)
    if used is None:
        return None
    return CpuUse(
        round(used.user_s * factor, 6),
        round(used.system_s * factor, 6),
        round(used.voluntary_switches * factor),
        round(used.involuntary_switches * factor),
    )


def _write_samples(path: Path, part: HostPart, told: Collected, measured: Span) -> None:
    samples = list(_samples(part, told, measured))
    if len(samples) >= _FEWEST_SAMPLES:
        files.write(path, "".join(f"{json.dumps(asdict(each))}\n" for each in samples))


def _samples(part: HostPart, told: Collected, measured: Span) -> Iterator[Sample]:
    """What happened between each two moments, in the time since its jobs began."""
    rates = window.moved(part.iops_log, part.clock_offset_ns)
    rates.sort(key=lambda each: each.span.begin)
    begins = [each.span.begin for each in rates]
    begun_ns = measured.begin if part.started_ns is None else part.started_ns
    for first, last in pairwise(told.moments):
        span = Span(first.time_s * 1e9, last.time_s * 1e9)
        if span.seconds <= 0 or span.begin < begun_ns or span.begin > measured.end:
            continue
        earliest = bisect_left(begins, span.begin - LOG_MS * _NS_PER_MS)
        near = rates[earliest : bisect_left(begins, span.end)]
        ios = sum(each.per_second * each.span.overlap(span) / 1e9 for each in near)
        yield Sample(
            time_s=round((span.end - begun_ns) / 1e9, 3),
            is_ramp=span.end <= measured.begin,
            iops=round(ios / span.seconds, 1),
            fio_cpu=round(sampling.cpus_used(first.fio, last.fio, span.seconds), 3),
            backend_cpu=round(sampling.cpus_used(first.backend, last.backend, span.seconds), 3),
            steal_percent=round(sampling.steal_percent(first, last), 2),
        )
