# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps that never ran, with the shape of real ones, for tests of tables and pictures.

Owns a small model of waiting: what each way costs in latency, throughput and CPU. Its
numbers are invented; only their order follows measurements. Nothing outside tests uses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pyfio_virtio.fio.directions import summarise
from pyfio_virtio.fio.output import parse_fio_json
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.results.record import MEASURED, NULL, TWIN, Point, Record, Scalar
from pyfio_virtio.results.results import FIO_JSON, JOB, SAMPLES, Sample, SweepFolder

ELAPSED_S = 5.0
HOST: dict[str, Scalar] = {
    "cpu_model": "Example CPU 3.0 GHz",
    "cpus": 2,
    "governor": "performance",
    "kernel": "6.1.0-18-amd64",
    "mitigations": "on",
    "load_1m": 0.4,
    "steal_percent": 0.0,
    "hugepages_2m_free": 64,
}


def write_sweep(
    path: Path,
    polls: Sequence[float] = (0, 5, 20, 50, 100),
    waits: Sequence[str] = ("busy", "adaptive"),
    depths: Sequence[int] = (1, 8, 32, 128),
    patterns: Sequence[str] = ("randread",),
    repeats: int = 5,
    noise: float = 0.02,
    controls: bool = True,
    details: bool = True,
    rates: Sequence[int | None] = (None,),
) -> SweepFolder:
    """A folder of results as a sweep leaves it; details: the files beside each record."""
    random = np.random.default_rng(1)
    folder = SweepFolder(path)
    ways = [("sleepy" if poll else "event", poll) for poll in polls] + [(w, None) for w in waits]
    plan = [
        (wait, poll, depth, pattern, rate)
        for depth in depths
        for pattern in patterns
        for wait, poll in ways
        for rate in rates
    ]
    order = 0
    with folder.lock():
        folder.write_plan("# an invented sweep\n")
        for repeat in range(1, repeats + 1):
            rounds = [(*point, MEASURED) for point in plan]
            if controls:
                rounds += [(*plan[0], TWIN), (*plan[0], NULL)]
            for place in random.permutation(len(rounds)):
                order += 1
                _keep(folder, rounds[place], repeat, order, random, noise, details)
    return folder


def _keep(
    folder: SweepFolder,
    what: tuple[str, float | None, int, str, int | None, str],
    repeat: int,
    order: int,
    random: np.random.Generator,
    noise: float,
    details: bool,
) -> None:
    wait, poll, depth, pattern, rate, role = what
    iops, lat_us, fio_us, backend_us = model(wait, poll or 0, depth)
    if role == NULL:
        iops, lat_us, fio_us, backend_us = 4e6, 0.3, 0.25, 0.0
    if rate:
        iops = float(round(iops * rate / 100))
        lat_us *= 0.35 + 0.1 / max(1.02 - rate / 100, 0.03)
    most = iops
    iops *= random.lognormal(0, noise)
    document = fio_document(iops, lat_us, depth, pattern, random)
    run = parse_fio_json(json.dumps(document))
    directions = run.jobs[0].directions
    ios = iops * ELAPSED_S
    options: dict[str, Any] = {
        "rw": pattern,
        "bs": "4k",
        "iodepth": depth,
        "numjobs": 1,
        "runtime": 5,
        "ramp_time": 1,
    }
    if role != NULL:
        options |= {"wait": wait, "sleepy_poll": poll}
    if rate:
        options["rate_iops"] = int(most)
    job = "[global]\n" + "\n".join(f"{name}={value}" for name, value in options.items()) + "\n"
    record = Record(
        point=Point(
            job=job,
            engine="null" if role == NULL else "fio_virtio",
            engine_version="0.1.0",
            fio_version="fio-3.33",
            backend="qsd",
            backend_version="7.2.13",
            role=role,
        ),
        repeat=repeat,
        order=order,
        started=f"2026-01-02T{order // 3600 % 24:02d}:{order // 60 % 60:02d}:{order % 60:02d}Z",
        elapsed_s=ELAPSED_S,
        fio_command="fio --output-format=json+ --output=fio.json job.fio",
        backend_command="qemu-storage-daemon --blockdev driver=null-co,node-name=n0 ...",
        options=options,
        total=summarise(directions.values()),
        directions={name: summarise([each]) for name, each in directions.items()},
        counters={} if role == NULL else counters(wait, poll or 0, depth, ios),
        fio_cpu=CpuUse(ios * fio_us * 0.7e-6, ios * fio_us * 0.3e-6, int(ios / 50), 12),
        backend_cpu=CpuUse(ios * backend_us * 0.6e-6, ios * backend_us * 0.4e-6, int(ios / 40), 9),
        host=HOST,
    )
    working = folder.begin(record.point.hash, repeat)
    if details:
        (working / JOB).write_text(job)
        (working / FIO_JSON).write_text(json.dumps(document))
        lines = (json.dumps(asdict(each)) for each in moments(iops, fio_us, backend_us, random))
        (working / SAMPLES).write_text("\n".join(lines) + "\n")
    folder.finish(record)


# Thousand IOPS and share of a CPU that fio used, at depths 1, 32 and 128.
_MODEL = {
    "event": ((10, 709, 908), (0.47, 0.71, 0.77)),
    "busy": ((248, 1980, 2627), (1.0, 1.0, 1.0)),
    "adaptive": ((236, 1950, 2600), (0.95, 0.70, 0.64)),
    5: ((29, 842, 2689), (1.0, 1.0, 0.9)),
    20: ((13, 282, 2010), (0.55, 0.49, 0.63)),
    50: ((10, 200, 1046), (0.45, 0.37, 0.44)),
    100: ((7, 155, 842), (0.34, 0.28, 0.30)),
}


def model(wait: str, poll_us: float, depth: int) -> tuple[float, float, float, float]:
    """IOPS, mean latency in µs, µs of CPU per I/O of fio and of the back-end."""
    nearest = min((5, 20, 50, 100), key=lambda each: abs(each - poll_us))
    rates, shares = _MODEL[nearest if poll_us else wait]
    doublings = np.log2([1, 32, 128])
    iops = 1000 * float(np.exp(np.interp(np.log2(depth), doublings, np.log(rates))))
    share = float(np.interp(np.log2(depth), doublings, shares))
    return iops, 1e6 * depth / iops, 1e6 * share / iops, min(0.36 + 1.5 / depth, 1e6 / iops)


def counters(wait: str, poll_us: float, depth: int, ios: float) -> dict[str, float]:
    """The engine's counters, roughly."""
    ios *= 1 + 1 / ELAPSED_S  # the second of the ramp is counted too
    rounds = ios / max(depth * 0.8, 1)
    sleeps = rounds if poll_us else 0
    looks = {"busy": 40 * rounds, "adaptive": 8 * rounds, "event": 2 * rounds}.get(wait, rounds)
    return {
        "reaped": round(ios),
        "kicks": round(rounds),
        "kicks_suppressed": round(ios - rounds),
        "calls": round(rounds) if wait == "event" else 0,
        "looks": round(looks),
        "empty_looks": round(max(looks - rounds, 0)),
        "sleeps": round(sleeps),
        "sleep_ns": round(sleeps * poll_us * 1050),
    }


def fio_document(
    iops: float, lat_us: float, depth: int, pattern: str, random: np.random.Generator
) -> dict[str, Any]:
    """fio's json+ for one job with lognormal latencies."""
    latencies = random.lognormal(np.log(lat_us * 1000), 0.25, 4000)
    latencies[: len(latencies) // 100] *= random.uniform(2, 8)
    bins, counts = np.unique(bin_of(latencies), return_counts=True)
    scale = max(iops * ELAPSED_S / latencies.size, 1)
    idle: dict[str, Any] = {"iops": 0, "total_ios": 0, "bw_bytes": 0, "runtime": 0}
    share = 0.5 if pattern == "randrw" else 1.0
    scaled = [int(count * scale * share) for count in counts]
    busy = {
        "iops": iops * share,
        "runtime": ELAPSED_S * 1000,
        "bw_bytes": int(iops * share * 4096),
        "total_ios": int(iops * share * ELAPSED_S),
        "lat_ns": {
            "mean": float(latencies.mean()),
            "max": float(latencies.max()),
            "N": sum(scaled),
            "bins": {str(int(b)): count for b, count in zip(bins, scaled, strict=True)},
        },
    }
    used = {"randrw": ("read", "write"), "randwrite": ("write",)}.get(pattern, ("read",))
    job: dict[str, Any] = {"jobname": "virtio", "groupid": 0, "error": 0}
    job |= {"job_runtime": ELAPSED_S * 1000, "usr_cpu": 60.0, "sys_cpu": 40.0}
    job |= {name: busy if name in used else idle for name in ("read", "write", "trim")}
    return {"fio version": "fio-3.33", "jobs": [job]}


def bin_of(latencies_ns: np.ndarray) -> np.ndarray:
    """The middle of the fio bin that a latency falls into."""
    width = 2.0 ** np.maximum(np.floor(np.log2(latencies_ns)) - 6, 0)
    middle: np.ndarray = np.floor(np.floor(latencies_ns / width) * width + width / 2)
    return middle


def moments(
    iops: float, fio_us: float, backend_us: float, random: np.random.Generator
) -> Iterator[Sample]:
    """Four samples a second; the first second is the ramp, and one moment stalls."""
    for step in range(int(ELAPSED_S + 1) * 4):
        ramp = step < 4
        pace = (0.4 + 0.15 * step if ramp else 1.0) * random.normal(1, 0.02)
        stolen = 12.0 if step == 16 else 0.0
        now = iops * pace * (1 - stolen / 20)
        yield Sample(
            time_s=0.25 * (step + 1),
            is_ramp=ramp,
            iops=now,
            fio_cpu=min(now * fio_us * 1e-6, 1.0),
            backend_cpu=min(now * backend_us * 1e-6, 1.0),
            steal_percent=stolen,
        )


def histogram_log(path: Path, seconds: int = 6, stall_at: int = 4) -> None:
    """One of fio's clat_hist logs: four lines a second, slower at the stall."""
    random = np.random.default_rng(2)
    lines = []
    for step in range(seconds * 4):
        slow = 12.0 if step // 4 == stall_at else 1.0
        latencies = random.lognormal(np.log(40e3 * slow), 0.4, 3000)
        group = np.floor(np.log2(latencies)).astype(int) - 6
        index = np.clip((group + 1) * 64 + (latencies / 2.0**group).astype(int) - 64, 0, 1855)
        bins = np.bincount(index, minlength=1856)
        lines.append(f"{250 * (step + 1)}, 0, 4096, " + ", ".join(map(str, bins)))
    path.write_text("\n".join(lines) + "\n")
