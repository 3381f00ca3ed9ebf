# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of a table from fio's own JSON files: one row for each load in them.

Owns which jobs of a file are one load, and by which columns the loads of a file differ. A load is
never taken for a repeat of one that ran at the same time, but the files of a folder are repeats. It
reads files and changes none; any thread may call it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from pyfio_virtio import efficiency
from pyfio_virtio.analysis.names import NOT_AXES
from pyfio_virtio.fio.directions import DIRECTIONS, Direction, no_percentiles, summarise
from pyfio_virtio.fio.output import FioJob, read_fio_json
from pyfio_virtio.results import values
from pyfio_virtio.results.record import MEASURED, Row, typed

# fio's defaults, for options that a job does not name.
FIO_DEFAULTS: Row = {"rw": "read", "bs": "4k", "iodepth": 1, "numjobs": 1}
# The directions of each pattern.
_DIRECTIONS_OF = {
    **dict.fromkeys(("read", "randread"), ("read",)),
    **dict.fromkeys(("write", "randwrite"), ("write",)),
    **dict.fromkeys(("rw", "readwrite", "randrw"), ("read", "write")),
    **dict.fromkeys(("trim", "randtrim"), ("trim",)),
    **dict.fromkeys(("trimwrite", "randtrimwrite"), ("trim", "write")),
}
# What tells apart the loads of a file that have the same options: the first that suffices.
_IDENTITIES = (("hostname",), ("jobname",), ("hostname", "jobname"))


def rows(path: Path) -> list[Row]:
    """The loads of a file. Jobs that numjobs= made of one section are one load."""
    run = read_fio_json(path)
    found = [_row(job, run.version, path, place) for place, job in enumerate(run.loads())]
    names = _identity(found)
    for row in found:
        row["option_names"] = (*row["option_names"], *names)
    # What is still alike has one section and different groups, so the groups ran in turn.
    counted: Counter[Hashable] = Counter()
    for row in found:
        key = _key(row, row["option_names"])
        counted[key] += 1
        row["repeat"] = counted[key]
    return found


def rows_of_folder(folder: Path) -> list[Row]:
    """The loads of all files in a folder, in the order of their names; each file is a round."""
    found: list[Row] = []
    rounds = 0
    for path in sorted(folder.glob("*.json"), key=lambda path: values.order("name", path.name)):
        part = rows(path)
        place = len(found)
        for row in part:
            row |= {"source": str(folder), "order": place + row["order"]}
            row["repeat"] += rounds
        rounds = max(row["repeat"] for row in part)
        found += part
    return found


def _identity(found: Sequence[Row]) -> tuple[str, ...]:
    """The columns that tell apart loads with the same options."""
    if any(row["rw"] is None for row in found):
        return ("hostname", "jobname") if found[0]["hostname"] else ("jobname",)
    alike = _alike(found, ())
    better = [names for names in _IDENTITIES if _alike(found, names) < alike]
    return min(better, key=lambda names: (_alike(found, names), len(names))) if better else ()


def _alike(found: Iterable[Row], more: tuple[str, ...]) -> int:
    counted = Counter(_key(row, (*row["option_names"], *more)) for row in found)
    return sum(each - 1 for each in counted.values())


def _key(row: Row, names: Iterable[str]) -> Hashable:
    return tuple(
        (name, values.canonical(name, row[name])) for name in names if name not in NOT_AXES
    )


def _contradiction(job: FioJob) -> str | None:
    """Of a group of unlike sections, fio tells the options of only one."""
    options = job.options or {}
    pattern = options.get("rw", "").partition(":")[0]
    allowed = _DIRECTIONS_OF.get(pattern)
    if allowed is None or {"read_iolog", "verify", "trim_percentage"} & options.keys():
        return None
    other = [name for name in DIRECTIONS if name in job.directions and name not in allowed]
    done = [f"{name}s" for name in other if job.directions[name].ios]
    if not done:
        return None
    return (
        f"it has {' and '.join(done)}, although rw={pattern}: with group_reporting, fio tells the "
        "options of one section only; run it without group_reporting"
    )


def _row(job: FioJob, version: str, path: Path, place: int) -> Row:
    known = job.options is not None
    options = {name: typed(value) for name, value in (job.options or {}).items()}
    defaults = FIO_DEFAULTS if known else dict.fromkeys(FIO_DEFAULTS)
    if any(name in options for name in values.BLOCK_SIZES):
        defaults = {**defaults, "bs": None}
    total = summarise(job.directions.values())
    row: Row = {
        **defaults,
        **options,
        **vars(total),
        # fio's JSON does not tell whether another process serves its disk.
        **efficiency.of_sides(total.ios, job.cpu_s, None),
        "engine": str(options.get("ioengine", "psync" if known else "unknown engine")),
        "fio_version": version,
        "jobname": job.name,
        "hostname": job.hostname,
        "role": MEASURED,
        "source": str(path),
        "fio_json": str(path),
        "job_index": place,
        "order": place,
        "repeat": 1,
        "error": job.problem or _contradiction(job),
        "no_percentiles": no_percentiles(job.directions.values()),
        "elapsed_s": job.runtime_ms / 1000,
        "fio_user_s": job.cpu_s,
        "fio_system_s": None if job.cpu_s is None else 0.0,
        "option_names": tuple({**defaults, **options}),
        "counter_names": (),
    }
    for name in DIRECTIONS:
        summary = summarise([job.directions.get(name, Direction())])
        row.update({f"{name}_{column}": value for column, value in vars(summary).items()})
    return row
