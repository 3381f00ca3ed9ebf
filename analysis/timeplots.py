# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures along time: IOPS with the ramp marked, and latency as a heat map.

This file owns the pictures of times within runs, from the samples and logs in each run's
folder. Each function takes a frame of runs and axes, draws, and returns the axes. All are
called from one thread. A picture never mixes runs of different points.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from pyfio_virtio.analysis import findings, latency, stats, style
from pyfio_virtio.analysis.frame import measured
from pyfio_virtio.analysis.names import FOLDER, NoDataError
from pyfio_virtio.analysis.run_files import HISTOGRAM_LOGS, absences, latency_over_time, samples
from pyfio_virtio.results.results import ResultsError

_FEWEST_SAMPLES = 5


def iops_over_time(frame: pd.DataFrame, axes: Axes) -> Axes:
    """IOPS of each run of a point by time, with the ramp in grey and the runs' median."""
    runs = _one_point(frame)
    table = samples(runs)
    if table.empty:
        raise NoDataError("these runs have no samples", "their folders lack samples.jsonl")
    if table["iops"].max() <= 0 or table["time_s"].max() <= 0:
        raise NoDataError("these runs have no samples to draw", "no sample has any I/O")
    for number, (_, run) in enumerate(table.groupby("run", sort=True)):
        drawn = style.series(number)
        axes.plot(run["time_s"], run["iops"], color=drawn["color"], linewidth=1.1, alpha=0.85)
    counted = table[~table["is_ramp"]]
    middle = stats.median(runs["iops"])
    axes.axhline(middle.value, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.axhspan(middle.interval.low, middle.interval.high, color=style.MUTED, alpha=0.18, lw=0)
    _mark_ramp(axes, table)
    _mark_absences(axes, absences(runs))
    axes.set_ylim(0, 1.12 * table["iops"].max())
    axes.set_xlim(0, table["time_s"].max())
    axes.set_xlabel("seconds since fio started")
    axes.set_ylabel("IOPS")
    style.plain(axes.yaxis)
    style.end_labels(
        axes,
        [(table["time_s"].max(), middle.value, f"median\n{style.short(middle.value)}", style.INK)],
    )
    title = f"{_name(runs)}: {_steady(counted)}"
    style.titles(axes, title, findings.conditions(runs))
    return axes


def _steady(counted: pd.DataFrame) -> str:
    """Each run by itself, over five equal spans of its time, because runs may drift apart."""
    if counted.groupby("run")["time_s"].nunique().min() < _FEWEST_SAMPLES:
        return "too few samples to tell whether it is steady"
    runs = [_steadiness(run) for _, run in counted.groupby("run", sort=True)]
    steady = sum(run.is_steady for run in runs)
    spread = stats.percent(max(run.spread for run in runs))
    slope = stats.percent(max(run.slope for run in runs))
    worst = f"range at most {spread}, slope at most {slope} of the mean"
    return f"{steady} of {len(runs)} runs {'is' if steady == 1 else 'are'} steady ({worst})"


def _steadiness(run: pd.DataFrame) -> stats.Steadiness:
    spans = pd.cut(run["time_s"], 5, labels=False)
    return stats.steadiness(run.groupby(spans)["iops"].mean().to_numpy())


def _mark_ramp(axes: Axes, table: pd.DataFrame) -> None:
    ramp = table[table["is_ramp"]]
    if ramp.empty:
        return
    end = float(ramp["time_s"].max())
    axes.axvspan(0, end, color=style.GRID, alpha=0.7, linewidth=0)
    axes.annotate(
        "ramp, not counted",
        (end / 2, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8.5,
        rotation=90,
        color=style.MUTED,
    )


def _mark_absences(axes: Axes, times: list[tuple[float, float]]) -> None:
    for start, end in times:
        axes.axvspan(start, end, color=style.COLOURS[1], alpha=0.3, linewidth=0.8)
    if times:
        axes.annotate(
            "back-end away",
            (times[0][0], 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            va="bottom",
            fontsize=8.5,
            rotation=90,
            color=style.MUTED,
        )


def latency_heatmap(frame: pd.DataFrame, axes: Axes) -> Axes:
    """The latencies of one run by time, and below them the back-end's CPU time and steal."""
    runs = _one_point(frame)
    run = runs.iloc[[0]]
    times, bins_ns, counts = latency_over_time(Path(run["fio_json"].iloc[0]).parent)
    if not counts.sum():
        raise NoDataError("this run has no latency by time", "it lacks fio's histogram log")
    strip = _strip(axes, samples(run))
    _heat(axes, times, bins_ns, counts)
    (strip or axes).set_xlabel("seconds of the run, after the ramp")
    worst = _worst_moment(times, bins_ns, counts)
    style.titles(axes, f"{_name(runs)}: {worst}", findings.conditions(runs))
    return axes


def has_latency_log(frame: pd.DataFrame) -> bool:
    """Whether the first run of the frame has the log that latency_heatmap() needs."""
    folder = Path(frame.sort_values("repeat")["fio_json"].iloc[0]).parent
    return next(folder.glob(HISTOGRAM_LOGS), None) is not None


def _heat(axes: Axes, times: np.ndarray, bins_ns: np.ndarray, counts: np.ndarray) -> None:
    edges, rows = _rebin(bins_ns, counts)
    first = max(2 * times[0] - times[1], 0) if times.size > 1 else 0
    drawn = axes.pcolormesh(
        np.concatenate([[first], times]),
        edges,
        np.where(rows > 0, rows, np.nan).T,
        cmap="cividis_r",
        norm=LogNorm(),
        rasterized=True,
    )
    axes.set_facecolor("#f4f5f7")  # the colours need a light background in any theme
    axes.set_yscale("log")
    axes.set_ylabel("latency")
    axes.grid(visible=False)
    style.plain(axes.yaxis, style.duration)
    bar = style.root_of(axes).colorbar(drawn, ax=axes, pad=0.02, aspect=28)
    bar.set_label("I/Os per interval")
    style.plain(bar.ax.yaxis)


def _rebin(bins_ns: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merges fio's 64 rows for each doubling into 8, because 64 are too thin; omits empty rows."""
    used = np.flatnonzero(counts.sum(axis=0))
    low, high = np.log2(np.maximum(bins_ns[used[[0, -1]]], 1))
    edges = 2 ** (np.arange(np.floor(low * 8), np.floor(high * 8) + 2) / 8)
    row = np.clip(np.searchsorted(edges, bins_ns[used], side="right") - 1, 0, edges.size - 2)
    rows = np.zeros((counts.shape[0], edges.size - 1))
    np.add.at(rows.T, row, counts[:, used].T)
    return edges, rows


def _strip(axes: Axes, table: pd.DataFrame) -> Axes | None:
    """Splits the space of the axes; the lower part shows both CPU times and the steal."""
    place = axes.get_subplotspec()
    if table.empty or place is None:
        return None
    parts = place.subgridspec(2, 1, height_ratios=(3, 1), hspace=0.02)
    axes.set_subplotspec(parts[0])
    strip = style.root_of(axes).add_subplot(parts[1], sharex=axes)
    counted = table[~table["is_ramp"]]
    ramp_s = table.loc[table["is_ramp"], "time_s"].max() if table["is_ramp"].any() else 0.0
    sides = 100 * counted[["fio_cpu", "backend_cpu"]]
    shown = (
        ("fio", sides["fio_cpu"]),
        ("back-end", sides["backend_cpu"]),
        ("steal", counted["steal_percent"]),
    )
    for number, (name, values) in enumerate(shown):
        drawn = {key: value for key, value in style.series(number).items() if key != "marker"}
        strip.plot(counted["time_s"] - ramp_s, values, label=name, **drawn)
    strip.set_ylim(0, 1.6 * max(100, float(sides.to_numpy().max())))
    strip.set_ylabel("% of a CPU")
    strip.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=3, borderaxespad=0)
    axes.tick_params(labelbottom=False)
    return strip


def _worst_moment(times: np.ndarray, bins_ns: np.ndarray, counts: np.ndarray) -> str:
    tails = [latency.percentile(latency.Histogram(bins_ns, row), 99.0) or 0.0 for row in counts]
    worst, usual = int(np.argmax(tails)), float(np.median(tails))
    if not usual or tails[worst] < 2 * usual:
        return f"p99 stays near {style.duration(usual)}"
    return (
        f"p99 rises to {style.duration(tails[worst])} at {times[worst]:.1f} s, "
        f"usually {style.duration(usual)}"
    )


def _one_point(frame: pd.DataFrame) -> pd.DataFrame:
    runs = measured(frame)
    if runs.empty or any(name in runs and runs[name].nunique() > 1 for name in ("hash", FOLDER)):
        raise ResultsError(
            "a picture along time shows only one point",
            "these runs have several" if len(runs) else "no run succeeded",
            "choose one with --where hash=HASH; pyfio-virtio results list has the hashes",
        )
    return runs.sort_values("repeat")


def _name(runs: pd.DataFrame) -> str:
    depth = f", iodepth {runs['iodepth'].iloc[0]}" if "iodepth" in runs else ""
    return f"{runs['way'].iloc[0]}{depth}"
