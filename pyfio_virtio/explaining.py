# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the time went in one run: the times of single requests beside fio's own results.

Pure; any thread may call it. run.py makes the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.explain import parts
from pyfio_virtio.explain.parts import Explained
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.directions import LAT, summarise
from pyfio_virtio.fio.output import parse_fio_json, together
from pyfio_virtio.run import Result


def explained(result: Result, printed: bytes | None, iodepth: int | None = None) -> Explained:
    """`printed` is fio's JSON with its notes; None if fio printed something else."""
    assert result.requests is not None, "the run took no times"  # noqa: S101
    told = _told(printed)
    return Explained(
        wait=", ".join(dict.fromkeys(job.wait for job in result.counters)),
        iodepth=iodepth,
        bars=parts.bars(result.requests),
        requests=len(result.requests.each),
        fio_median_ns=_median_ns(told),
        counts=_counts(result, told),
        note=result.requests.note,
    )


def _told(printed: bytes | None) -> str:
    return fio.split_notes((printed or b"").decode(errors="replace"))[1]


def _median_ns(told: str) -> float | None:
    """fio's median latency from the start of the submission on."""
    if not told:
        return None
    try:
        job = together(parse_fio_json(told).jobs)
    except PyfioVirtioError:
        return None
    total = summarise(job.directions.values())
    return total.p50_ns if total.percentiles_of == LAT else None


def _counts(result: Result, told: str) -> Mapping[str, float]:
    """For each I/O."""
    ios = sum(job.ios for job in result.counters)
    if not ios:
        return {}
    counted: dict[str, float] = {
        "kicks": sum(job.kicks for job in result.counters),
        "calls": sum(job.calls for job in result.counters),
        "sleeps of fio": sum(job.sleeps for job in result.counters),
    }
    if told:
        jobs: list[Mapping[str, Any]] = json.loads(told)["jobs"]
        counted["context switches of fio"] = sum(int(job.get("ctx", 0)) for job in jobs)
    if result.switches:
        both = result.switches.voluntary_switches + result.switches.involuntary_switches
        counted["context switches of the back-end"] = both
    return {name: count / ios for name, count in counted.items()}
