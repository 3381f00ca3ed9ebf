# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps over several hosts that never ran, with the shape of real ones, for tests of pictures.

Nothing outside tests uses it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from pyfio_virtio.fio.output import parse_fio_json
from pyfio_virtio.hosts.combine import HostPart, combined
from pyfio_virtio.results.record import OnHost, Point, Record, Scalar
from pyfio_virtio.results.results import FIO_JSON, HOSTS, SAMPLES, Sample, SweepFolder
from tests.analysis.synthetic import HOST, fio_document

NAMES = ("alpha", "beta", "gamma", "delta")
SECONDS = 5.0
POINT = Point("", "fio_virtio", "0.1.0", "fio-3.33", "builtin", "0.1.0")


def write_host_sweep(
    path: Path,
    counts: Sequence[int] = (1, 2, 4),
    depths: Sequence[int] = (1, 32),
    repeats: int = 5,
    slow: str = "gamma",  # the names of slow hosts, with spaces
    fails: tuple[str, int] | None = None,  # a host, and the repeat in which it dies half way
    noise: float = 0.02,
) -> SweepFolder:
    random = np.random.default_rng(3)
    folder = SweepFolder(path)
    order = 0
    with folder.lock():
        folder.write_plan("# an invented sweep\n")
        for repeat in range(1, repeats + 1):
            for depth in depths:
                for count in counts:
                    order += 1
                    lost = fails[0] if fails and fails[1] == repeat else ""
                    _keep(folder, count, depth, repeat, order, slow, lost, noise, random)
    return folder


def _keep(
    folder: SweepFolder,
    count: int,
    depth: int,
    repeat: int,
    order: int,
    slow: str,
    lost: str,
    noise: float,
    random: np.random.Generator,
) -> None:
    options: dict[str, Scalar] = {
        "rw": "randread",
        "bs": "4k",
        "iodepth": depth,
        "numjobs": 1,
        "hosts": count,
    }
    point = replace(POINT, job="\n".join(f"{k}={v}" for k, v in options.items()))
    record = Record(
        point=point,
        repeat=repeat,
        order=order,
        started=f"2026-01-02T00:{order // 60:02d}:{order % 60:02d}Z",
        elapsed_s=SECONDS,
        fio_command="fio --client=sock:alpha.sock job.fio",
        backend_command="",
        options=options,
        host=HOST,
    )
    working = folder.begin(point.hash, repeat)
    parts, records = [], []
    for number, name in enumerate(NAMES[:count]):
        pace = (0.6 if name in slow.split() else 1.0) / (1 + 0.06 * (count - 1))
        iops = 20_000 * depth**0.8 * pace * random.lognormal(0, noise)
        document = fio_document(iops, 1e6 * depth / iops, depth, "randread", random)
        own = working / HOSTS / name
        own.mkdir(parents=True)
        half = SECONDS / 2 if name == lost else SECONDS
        lines = [
            json.dumps(asdict(Sample(0.25 * n, n < 4, iops * random.normal(1, 0.03), 1, 1, 0)))
            for n in range(1, int(4 * half))
        ]
        (own / SAMPLES).write_text("\n".join(lines) + "\n")
        error = "the connection ended: fio was killed" if name == lost else None
        if not error:
            (own / FIO_JSON).write_text(json.dumps(document))
        jobs = () if error else parse_fio_json(json.dumps(document)).jobs
        parts.append(HostPart(name, jobs, number * 3e6, clock_offset_ns=1e6, error=error))
        on_host = OnHost(name, 3.0 * number, 1.0, 0.05)
        whole = combined([replace(parts[-1])])
        records.append(
            replace(
                record,
                on_host=on_host,
                total=whole.total,
                directions=whole.directions,
                error=error,
            )
        )
    run = combined(parts)
    folder.finish(
        replace(
            record,
            across=run.across,
            total=run.total,
            directions=run.directions,
            error=run.error,
        ),
        records,
    )
