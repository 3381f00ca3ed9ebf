# SPDX-License-Identifier: GPL-2.0-or-later
"""Describes what a sweep measured: its conditions, and where a latency curve bends.

This file owns descriptions, and claims.py owns what was shown. All functions are pure functions of
frames, so any thread may call them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import checks, stats
from pyfio_virtio.analysis.frame import axes, fixed, measured
from pyfio_virtio.analysis.names import SUBJECTS


def unrated(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs without a set rate; all runs if each has a rate."""
    runs = measured(frame)
    if "rate_iops" not in runs:
        return runs
    free = runs[runs["rate_iops"].isna()]
    return free if len(free) else runs


def knee(iops: Sequence[float], latency: Sequence[float]) -> int | None:
    """Where a latency curve bends: the point that is farthest below the line between its ends.

    The logarithm of the latency is used, because it is drawn on a logarithmic axis. None if the
    curve does not rise at its end, because it has no knee then.
    """
    x, y = np.asarray(iops, float), np.log(np.asarray(latency, float))
    if x.size < 4 or x.argmax() < x.size - 2 or y.argmax() != y.size - 1:
        return None
    if np.ptp(x) == 0 or y[-1] - y[0] < np.log(1.5):
        return None
    below = (x - x[0]) / np.ptp(x) - (y - y[0]) / (y[-1] - y[0])
    where = int(np.argmax(below))
    return where if below[where] > 0.1 else None


def conditions(frame: pd.DataFrame) -> str:
    """The conditions of all runs in one line: options, back-end, fio, runs, intervals."""
    runs = measured(frame)
    shared = fixed(frame)
    parts = [str(shared[name]) for name in ("rw", "bs") if name in shared]
    parts += [f"{n} {v}" for n, v in shared.items() if n not in _OMIT and (n, v) != ("numjobs", 1)]
    for column in ("backend", "fio_version", "host_cpu_model"):
        if column in runs and runs[column].dropna().nunique() == 1:
            parts.append(str(runs[column].dropna().iloc[0]))
    return " · ".join([*parts, _repeats(runs, axes(frame)), *_noise(frame)])


def _repeats(runs: pd.DataFrame, keys: list[str]) -> str:
    if runs.empty:
        return "no run succeeded"
    sizes = runs.groupby(keys, dropna=False, sort=False).size() if keys else pd.Series([len(runs)])
    few, many = int(sizes.min()), int(sizes.max())
    if many == 1:
        return "1 run each, no intervals"
    count = str(few) if few == many else f"{few} to {many}"
    return f"{count} runs each, {int(stats.median_confidence(few) * 100)}% intervals"


def _noise(frame: pd.DataFrame) -> list[str]:
    found = checks.noise(frame)
    return [f"two runs of a point differ by {stats.percent(found.typical)}"] if found else []


# Options that conditions() does not show, or shows in another form.
_OMIT = {
    *("rw", "bs", "runtime", "ramp_time", "time_based", "filename", "ioengine", "size"),
    *("group_reporting", "thread", "direct", "stats_file"),
    *SUBJECTS,
}
