# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents in the shapes that fio's releases write, with sums that are known, and their mutations.

Owns what each release has and lacks, as its published results show. Everything follows from a
random.Random, so a number repeats a case. Nothing here uses the code that is tested.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

DIRECTIONS = ("read", "write", "trim")
RELEASES = ("2.1.4", "2.2.10", "2.10", "3.1", "3.12", "3.33", "3.41")
PERCENTS = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)
Json = dict[str, Any]


@dataclass
class Load:
    """What one load of a document amounts to. Latencies are by their kind."""

    ios: int = 0
    iops: float = 0.0
    bw_bytes: float = 0.0
    bins: dict[str, dict[int, int]] = field(default_factory=dict)
    failed: bool = False

    def mean_ns(self, kind: str) -> float:
        counts = self.bins[kind]
        return sum(value * count for value, count in counts.items()) / sum(counts.values())

    def percentile_ns(self, kind: str, percent: float) -> int:
        return percentile(self.bins[kind], percent)


@dataclass
class Made:
    """A document, its loads, and what it has."""

    document: Json
    loads: list[Load]
    has_bins: bool


def percentile(bins: dict[int, int], percent: float) -> int:
    """The first value that so many I/Os did not exceed."""
    wanted, reached = round(percent / 100 * sum(bins.values()), 6), 0
    for value in sorted(bins):
        reached += bins[value]
        if reached >= wanted:
            return value
    raise AssertionError


def make(chance: random.Random) -> Made:
    """A document of any release."""
    return _Maker(chance).made()


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.release = chance.choice(RELEASES)
        self.version = tuple(int(part) for part in self.release.split("."))
        self.has_bins = self.version >= (3, 1) and chance.random() < 0.6
        self.unified = chance.choice(["no", "no", "mixed", "both"])
        if self.unified == "both" and self.version < (3, 33):
            self.unified = "mixed"
        self.clients = self.version >= (2, 10) and chance.random() < 0.2
        self.grouped = chance.random() < 0.5
        self.kinds = chance.choice([["clat"], ["lat"], ["lat", "clat"], []])
        self.measured = chance.choice([["lat", "clat"], ["lat"], ["clat"], []])
        self.kinds = [kind for kind in self.kinds if kind in self.measured]

    def made(self) -> Made:
        jobs: list[Json] = []
        loads = []
        for section in range(self.chance.randint(1, 3)):
            several = self.chance.choice([1, 1, 2, 4])
            rw = self.chance.choice(["read", "randwrite", "randrw", "randtrim", "trimwrite"])
            host = f"host{self.chance.randint(1, 2)}" if self.clients else None
            head = self._head(section, several, rw, host)
            entries = 1 if self.grouped else several
            runtime = [self.chance.randint(900, 40_000) for _ in range(entries)]
            parts = [self._directions(rw, time) for time in runtime]
            error = self.chance.choice([0, 0, 0, 0, 5])
            for number, part in enumerate(parts):
                jobs.append(self._job(head, part, error if number == 0 else 0))
            loads.append(self._load(parts, bool(error)))
        document: Json = {"fio version": f"fio-{self.release}"}
        if self.version >= (2, 2):
            document |= {"timestamp": 1_500_000_000, "time": "Fri Jul 14 02:40:00 2017"}
        if self.version >= (2, 10):
            document["global options"] = {"ioengine": "libaio", "direct": "1"}
        if self.clients:
            total = {**jobs[0], "jobname": "All clients"}
            document["client_stats"] = [*jobs, total] if len(jobs) > 1 else jobs
        else:
            document["jobs"] = jobs
        document["disk_util"] = []
        return Made(document, loads, self.has_bins)

    def _head(self, section: int, several: int, rw: str, host: str | None) -> Json:
        head: Json = {"jobname": f"section{section}", "groupid": section, "error": 0}
        if self.version >= (2, 2):
            head |= {"eta": 0, "elapsed": 12}
        if self.version >= (2, 10):
            head["job options"] = {"rw": rw, "bs": "4k", "numjobs": str(several)}
        if host:
            head |= {"hostname": host, "port": 8765}
        return head

    def _directions(self, rw: str, runtime: int) -> dict[str, Json]:
        used = {
            "randrw": ("read", "write"),
            "randtrim": ("trim",),
            "trimwrite": ("write", "trim"),
            "randwrite": ("write",),
        }.get(rw, ("read",))
        parts = {}
        for name in used:
            bins = {kind: self._bins() for kind in ("lat", "clat")}
            # Each I/O has both latencies.
            bins["clat"] = dict(zip(self._places(), bins["lat"].values(), strict=False))
            parts[name] = {"bins": bins, "ios": sum(bins["lat"].values()), "runtime": runtime}
        return parts

    def _places(self) -> list[int]:
        step = 1 if self.version >= (3, 1) else 1000
        return sorted({step * self.chance.randint(1, 4000) for _ in range(12)})[:6]

    def _bins(self) -> dict[int, int]:
        return {place: self.chance.randint(1, 5000) for place in self._places()[:5]}

    def _job(self, head: Json, parts: dict[str, Json], error: int) -> Json:
        job = {**head, "error": error}
        if self.unified != "no":
            whole = self._add(list(parts.values()))
        if self.unified == "mixed":
            job["mixed"] = self._section(whole)
        else:
            job |= {name: self._section(parts.get(name)) for name in DIRECTIONS}
            if self.version >= (3, 12):
                job["sync"] = {"total_ios": 0, "lat_ns": self._empty()}
        if self.unified == "both":
            job["mixed"] = self._section(whole)
        if self.version >= (3, 12):
            job["job_runtime"] = max(part["runtime"] for part in parts.values())
        return job | {"usr_cpu": 12.5, "sys_cpu": 25.25, "ctx": 1000, "majf": 0, "minf": 4}

    def _section(self, part: Json | None) -> Json:
        part = part or {"ios": 0, "runtime": 0, "bins": {}}
        runtime, ios = part["runtime"], part["ios"]
        iops = 1000 * ios / runtime if runtime else 0.0
        section: Json = {
            "io_bytes": 4096 * ios if self.version >= (3, 1) else 4 * ios,
            "bw": int(4 * iops),
            "iops": iops if self.version >= (2, 2) else int(iops),
            "runtime": runtime,
        }
        if self.version >= (3, 12):
            section["bw_bytes"] = int(4096 * iops)
        if self.version >= (2, 2):
            section |= {"total_ios": ios, "short_ios": 0, "drop_ios": 0}
        unit = "_ns" if self.version >= (3, 1) else ""
        section[f"slat{unit}"] = self._empty()
        for kind in ("clat", "lat"):
            section[kind + unit] = self._latency(kind, part["bins"].get(kind))
        return section | {"bw_min": 0, "bw_max": 0, "bw_agg": 100.0, "bw_mean": 0.0, "bw_dev": 0.0}

    def _empty(self) -> Json:
        empty: Json = {"min": 0, "max": 0, "mean": 0.0, "stddev": 0.0}
        return empty | ({"N": 0} if self.version >= (3, 12) else {})

    def _latency(self, kind: str, bins: dict[int, int] | None) -> Json:
        if not bins or kind not in self.measured:
            return self._empty()
        unit = 1 if self.version >= (3, 1) else 1000
        total = sum(bins.values())
        mean = sum(value * count for value, count in bins.items()) / total
        latency: Json = {
            "min": min(bins) // unit,
            "max": max(bins) // unit,
            "mean": round(mean / unit, 6),
            "stddev": 1.0,
        }
        if self.version >= (3, 12):
            latency["N"] = total
        if kind in self.kinds:
            latency["percentile"] = {
                f"{percent:.6f}": percentile(bins, percent) // unit for percent in PERCENTS
            }
            if self.version < (2, 2):
                latency["percentile"]["0.00"] = 0
            if self.has_bins:
                latency["bins"] = {str(value): count for value, count in bins.items()}
        return latency

    def _add(self, parts: list[Json]) -> Json:
        """What fio adds up: counts, and the longest time."""
        bins: dict[str, dict[int, int]] = {"lat": {}, "clat": {}}
        for part in parts:
            for kind, counts in part["bins"].items():
                for value, count in counts.items():
                    bins[kind][value] = bins[kind].get(value, 0) + count
        return {
            "bins": bins,
            "ios": sum(part["ios"] for part in parts),
            "runtime": max(part["runtime"] for part in parts),
        }

    def _load(self, jobs: list[dict[str, Json]], failed: bool) -> Load:
        load = Load(failed=failed)
        if self.unified == "mixed":
            jobs = [{"mixed": self._add(list(job.values()))} for job in jobs]
        for name in jobs[0]:
            whole = self._add([job[name] for job in jobs])
            load.ios += whole["ios"]
            load.iops += 1000 * whole["ios"] / whole["runtime"]
        load.bw_bytes = 4096 * load.iops
        load.bins = self._add([part for job in jobs for part in job.values()])["bins"]
        return load


# ---- mutations ---------------------------------------------------------------------------


def paths(value: object, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of each value in a document, except for the user's own words."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        if key in ("jobname", "hostname", "port", "global options"):
            continue
        yield (*before, key)
        if key != "job options":
            yield from paths(inner, (*before, key))


ODD: tuple[object, ...] = (
    *(None, True, "12", "", "x", [], {}, [1], -1, -0.5, float("nan"), float("inf"), 10**400),
    *(1 << 70, {"x": 1}),
)


def mutated(made: Made, chance: random.Random) -> str:
    """The document as text, with one thing changed."""
    document = json.loads(json.dumps(made.document))
    # A document without one of its sections is what fio would write without that section.
    path = chance.choice([path for path in paths(document) if not isinstance(path[-1], int)])
    parent: Any = document
    for key in path[:-1]:
        parent = parent[key]
    what = chance.choice(["drop", "type", "nest", "cut", "twice", "around", "bytes"])
    if path[-1] == "job options":
        what = "drop"  # other words of the user would make another section
    if what == "drop":
        del parent[path[-1]]
    elif what == "type":
        parent[path[-1]] = chance.choice(ODD)
    elif what == "nest":
        parent[path[-1]] = chance.choice([[parent[path[-1]]], {"x": parent[path[-1]]}])
    text = json.dumps(document, indent=chance.choice([None, 0, 2]))
    if what == "cut":
        return text[: chance.randrange(len(text))]
    if what == "twice" and isinstance(path[-1], str):
        return text.replace(f'"{path[-1]}": ', f'"{path[-1]}": 7, "{path[-1]}": ', 1)
    if what == "around":
        return f"\ufefffio: a note {{}}\n{text}\nfio: another note, 100%\n"
    if what == "bytes":
        place = 1 + chance.choice([at for at, letter in enumerate(text) if letter in "{:,"])
        return text[:place] + chance.choice(["\0", "\ufffd", "}", '"', "9" * 5000]) + text[place:]
    return text
