# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of ways of waiting: throughput, latency, cost, and the counters that explain them.

This file owns the pictures of points; timeplots.py has the pictures along time. Each function
takes a frame of runs and axes, draws, and returns the axes. All are called from one thread.
This file computes no statistics; frame.py and findings.py do. style.py has the look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pyfio_virtio.analysis import checks, findings, latency, style
from pyfio_virtio.analysis.frame import axes as axes_of
from pyfio_virtio.analysis.frame import (
    column_names,
    counters,
    extreme,
    histogram,
    measured,
    points,
    require_numbers,
)
from pyfio_virtio.results.results import ResultsError

Plot = Callable[[pd.DataFrame, Axes], Axes]
_POLLED = ("event", "sleepy")
_MAIN_COUNTERS = ("kicks", "calls", "looks", "empty_looks", "sleeps")
NAMES = {
    "iops": "IOPS",
    "bw_bytes": "bandwidth (bytes/s)",
    "lat_mean_ns": "mean latency",
    "p50_ns": "median latency",
    "p90_ns": "p90 latency",
    "p99_ns": "p99 latency",
    "p99_9_ns": "p99.9 latency",
    "p99_99_ns": "p99.99 latency",
    "cpu_us": "µs of CPU per I/O",
    "way": "way of waiting (numbers: sleepy_poll in µs)",
}


# ---- against the way of waiting ---------------------------------------------------


def iops_by_wait(frame: pd.DataFrame, axes: Axes) -> Axes:
    """IOPS against the way of waiting, with one line for each iodepth."""
    _by_wait(frame, axes, "iops")
    style.titles(axes, findings.gain_sentence(findings.best(frame)), findings.conditions(frame))
    return axes


def p99_by_wait(frame: pd.DataFrame, axes: Axes) -> Axes:
    """p99 latency against the way of waiting, with one line for each iodepth."""
    table = _by_wait(frame, axes, "p99_ns")
    style.titles(axes, _lowest(table, "p99_ns"), findings.conditions(frame))
    return axes


def _by_wait(frame: pd.DataFrame, axes: Axes, metric: str) -> pd.DataFrame:
    runs = findings.unrated(frame)
    _refuse_more_than(runs, ("way", "iodepth"))
    table = points(runs, ["way", "iodepth"], (metric,)).dropna(subset=[metric])
    if table.empty:
        raise ResultsError(f"no {NAMES[metric]} to draw", "each run has too few I/Os", "run longer")
    ways = table.drop_duplicates("way").sort_values("way_order")["way"].tolist()
    floor = _noise(frame, metric)
    ends = []
    for number, (depth, line) in enumerate(table.groupby("iodepth", sort=True)):
        place = np.array([ways.index(way) for way in line["way"]])
        drawn = style.series(number)
        _lines_and_marks(axes, place, line, metric, drawn, floor)
        ends.append((place[-1], line[metric].iloc[-1], f"iodepth {depth}", drawn["color"]))
    axes.set_yscale("log")
    axes.set_xticks(range(len(ways)), [way.removeprefix("sleepy ") for way in ways])
    axes.set_xlim(-0.3, len(ways) - 0.7)
    axes.set_xlabel(NAMES["way"])
    _value_axis(axes, "y", metric)
    style.end_labels(axes, ends)
    return table


def _lines_and_marks(
    axes: Axes,
    place: np.ndarray,
    line: pd.DataFrame,
    metric: str,
    drawn: dict[str, Any],
    floor: float,
) -> None:
    """Joins event and the sleeps by a line, because they differ only in a length."""
    joined = line["way"].str.startswith(_POLLED).to_numpy()
    value = line[metric].to_numpy(float)
    axes.plot(place[joined], value[joined], color=drawn["color"], linestyle=drawn["linestyle"])
    axes.plot(place, value, linestyle="none", marker=drawn["marker"], color=drawn["color"])
    _whiskers(axes, place, line, metric, drawn["color"])
    if floor:
        axes.fill_between(
            place[joined],
            value[joined] * (1 - floor),
            value[joined] * (1 + floor),
            color=drawn["color"],
            alpha=0.18,
            linewidth=0,
        )


def _whiskers(
    axes: Axes, x: NDArray[Any] | pd.Series, table: pd.DataFrame, metric: str, colour: str
) -> None:
    axes.vlines(x, table[f"{metric}_low"], table[f"{metric}_high"], color=colour, linewidth=1.1)


def _noise(frame: pd.DataFrame, metric: str) -> float:
    """Half the width of the interval of A against A, as a share; 0 if it was not measured."""
    floor = checks.noise_floor(frame, metric)
    return floor.ratio.half_width if floor and np.isfinite(floor.ratio.half_width) else 0.0


def _lowest(table: pd.DataFrame, metric: str) -> str:
    lines = [line for _, line in table.groupby("iodepth", sort=True)]
    rows = [extreme(line, metric, largest=False) for line in lines]
    first, last = rows[0], rows[-1]

    def at(row: pd.Series) -> str:
        return f"{style.duration(row[metric])} at iodepth {row['iodepth']}"

    if len(rows) > 1 and {row["way"] for row in rows} == {first["way"]}:
        return f"{first['way']} has the lowest {NAMES[metric]}: {at(first)}, {at(last)}"
    parts = dict.fromkeys(f"{row['way']}, {at(row)}" for row in (first, last))
    return f"Lowest {NAMES[metric]}: {'; '.join(parts)}"


# ---- latency -------------------------------------------------------------------------


def latency_by_iops(frame: pd.DataFrame, axes: Axes, metric: str = "p99_ns") -> Axes:
    """Latency against IOPS, one line for each way: by set rates if there are any, or by depth."""
    runs = measured(frame)
    rated = "rate_iops" in runs and runs["rate_iops"].notna().any()
    along = "rate_iops" if rated else "iodepth"
    _refuse_more_than(runs, ("way", along))
    table = points(runs, ["way", along], ("iops", metric)).dropna(subset=[metric])
    bends = []
    for number, (way, line) in enumerate(table.groupby("way", sort=False)):
        line = line.sort_values("iops" if rated else along)
        bends += _hockey_stick(axes, str(way), line, metric, style.series(number))
    axes.set_xscale("log")
    axes.set_yscale("log")
    _value_axis(axes, "x", "iops")
    _value_axis(axes, "y", metric)
    axes.grid(axis="x")
    if f"{metric}_corrected" in table:
        label = "thin: corrected for\ndelayed I/Os"
        axes.plot([], [], color=style.MUTED, linewidth=0.9, label=label)
    _legend(axes)
    style.titles(axes, _knees(bends, metric, along), findings.conditions(frame))
    return axes


def _hockey_stick(
    axes: Axes, way: str, line: pd.DataFrame, metric: str, drawn: dict[str, Any]
) -> list[tuple[str, float, float]]:
    axes.plot(line["iops"], line[metric], label=way, **drawn)
    _whiskers(axes, line["iops"], line, metric, drawn["color"])
    felt = f"{metric}_corrected"
    if felt in line and line[felt].notna().any():
        axes.plot(line["iops"], line[felt], color=drawn["color"], linewidth=0.9)
    bend = findings.knee(line["iops"].tolist(), line[metric].tolist())
    if bend is None:
        return []
    x, y = float(line["iops"].iloc[bend]), float(line[metric].iloc[bend])
    axes.plot(x, y, marker="o", markersize=12, markerfacecolor="none", color=drawn["color"])
    return [(way, x, y)]


def _knees(bends: Sequence[tuple[str, float, float]], metric: str, along: str) -> str:
    if not bends:
        return f"{NAMES[metric]} against IOPS: no knee within the {along} measured"
    way, x, _ = max(bends, key=lambda bend: bend[1])
    return f"{way} has the last knee (circled), at {style.short(x)} IOPS"


def percentiles(frame: pd.DataFrame, axes: Axes, by: str = "way") -> Axes:
    """Latency by percentile; 90 to 99, 99 to 99.9 and so on get the same width."""
    runs = measured(frame)
    _refuse_more_than(runs, (by,))
    tails, most = {}, 0.0
    for number, (name, group) in enumerate(_ordered(runs, by)):
        whole = histogram(group)
        reached = latency.supported(whole)
        if not reached:
            continue
        _tail(axes, whole, reached[-1], str(name), style.series(number))
        tails[str(name)] = latency.percentile(whole, 99.0)
        most = max(most, reached[-1])
    ticks = [each for each in latency.PERCENTILES if each <= most]
    axes.set_yscale("log")
    axes.set_xticks([_nines(each) for each in ticks], [f"p{each:g}" for each in ticks])
    axes.set_xlabel("percentile of all runs' I/Os together (at least ten I/Os are beyond the end)")
    _value_axis(axes, "y", "latency")
    _legend(axes)
    style.titles(axes, _tail_finding(tails), findings.conditions(frame))
    return axes


def _tail(
    axes: Axes, whole: latency.Histogram, last: float, name: str, drawn: dict[str, Any]
) -> None:
    marks = [each for each in latency.PERCENTILES if each <= last]
    at_marks = [latency.percentile(whole, each) or np.nan for each in marks]
    share = 100 * np.cumsum(whole.counts) / whole.total
    shown = share < last
    where = np.append(_nines(share[shown]), _nines(last))
    axes.plot(
        where,
        np.append(whole.values_ns[shown], at_marks[-1]),
        color=drawn["color"],
        linestyle=drawn["linestyle"],
    )
    axes.plot(_nines(marks), at_marks, marker=drawn["marker"], color=drawn["color"], linestyle="")
    axes.plot([], [], label=name, **drawn)  # for the legend: line and marker together


def _nines(percent: ArrayLike) -> NDArray[np.float64]:
    return -np.log10(1 - np.asarray(percent, float) / 100)


def _tail_finding(tails: dict[str, float | None]) -> str:
    known = {name: value for name, value in tails.items() if value is not None}
    if not known:
        return "Latency by percentile: too few I/Os for a p99"
    low, high = min(known, key=lambda n: known[n]), max(known, key=lambda n: known[n])
    if low == high:
        return f"{low}: p99 is {style.duration(known[low])}"
    return (
        f"p99 runs from {style.duration(known[low])} ({low}) to "
        f"{style.duration(known[high])} ({high})"
    )


# ---- cost ----------------------------------------------------------------------------------


def cost_by_latency(frame: pd.DataFrame, axes: Axes, metric: str = "lat_mean_ns") -> Axes:
    """Latency against µs of CPU per I/O of fio and the back-end; a band joins the best points."""
    runs = findings.unrated(frame)
    _refuse_more_than(runs, ("way", "iodepth"))
    costs = ("cpu_us", "fio_cpu_us", "backend_cpu_us", metric)
    table = points(runs, ["way", "iodepth"], costs).dropna(subset=["cpu_us", metric])
    numbers: list[tuple[float, float, str, str]] = []
    for number, (way, line) in enumerate(table.groupby("way", sort=False)):
        drawn = style.series(number)
        if "fio_cpu_us" in line and "backend_cpu_us" in line:
            axes.hlines(line[metric], line["fio_cpu_us"], line["cpu_us"], color=drawn["color"])
            axes.plot(line["fio_cpu_us"], line[metric], "|", color=drawn["color"], markersize=9)
        axes.plot(
            line["cpu_us"],
            line[metric],
            linestyle="none",
            marker=drawn["marker"],
            color=drawn["color"],
            label=str(way),
        )
        places = zip(line["cpu_us"], line[metric], line["iodepth"], strict=True)
        numbers += [(x, y, str(depth), drawn["color"]) for x, y, depth in places]
    front = table.iloc[findings.pareto(table["cpu_us"].tolist(), table[metric].tolist())]
    axes.plot(front["cpu_us"], front[metric], color=style.MUTED, linewidth=5, alpha=0.25, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(
        "µs of CPU per I/O (tick: fio's share; symbol: fio and back-end; number: iodepth)"
    )
    style.plain(axes.xaxis)
    _value_axis(axes, "y", metric)
    style.point_labels(axes, numbers)
    axes.grid(axis="x")
    _legend(axes)
    style.titles(axes, _front_finding(front), findings.conditions(frame))
    return axes


def _front_finding(front: pd.DataFrame) -> str:
    names = list(dict.fromkeys(front["way"]))
    ways = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    return f"Nothing beats {ways} in both CPU and latency (grey band)"


def counters_by_wait(frame: pd.DataFrame, axes: Axes) -> Axes:
    """The engine's counters per I/O; the bars of a counter are relative to its largest value."""
    runs = measured(frame)
    _refuse_more_than(runs, ("way",))
    table = points(runs, ["way"], ("iops",))
    wanted = [name for name in _MAIN_COUNTERS if name in counters(runs)] or counters(runs)
    shown = [name for name in wanted if table[f"{name}_per_io"].max() > 0]
    for column, name in enumerate(shown):
        _counter_column(axes, column, table[f"{name}_per_io"], name)
    axes.set_yticks(range(len(table)), table["way"])
    axes.set_ylim(len(table) - 0.4, -1.2)
    axes.set_xlim(0, len(shown) or 1)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("per I/O; bars are relative to the longest bar of their column")
    style.titles(axes, _counter_finding(table, shown), findings.conditions(frame))
    return axes


def _counter_column(axes: Axes, column: int, values: pd.Series, name: str) -> None:
    axes.axvline(column, color=style.MUTED, linewidth=0.8)
    axes.text(column + 0.02, -0.75, name.replace("_", " "), fontsize=9, weight="bold")
    for row, value in enumerate(values):
        share = 0.55 * value / values.max()
        axes.barh(row, share, 0.62, left=column, color=style.series(row)["color"])
        axes.annotate(
            f"{value:.2g}" if value < 100 else f"{value:.0f}",
            (column + share, row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )


def _counter_finding(table: pd.DataFrame, shown: Sequence[str]) -> str:
    if not shown:
        return "The engine counted nothing here"
    spreads = {n: table[f"{n}_per_io"].max() - table[f"{n}_per_io"].min() for n in shown}
    name = max(spreads, key=lambda each: spreads[each])
    column = f"{name}_per_io"
    top, low = extreme(table, column), extreme(table, column, largest=False)
    most, fewest = (f"{row[column]:.3g} ({row['way']})" for row in (top, low))
    return f"{name.replace('_', ' ')} per I/O: {most} to {fewest}"


# ---- anything against anything ------------------------------------------------------------


def xy(frame: pd.DataFrame, axes: Axes, x: str, y: str, by: str | None = None) -> Axes:
    """Any column against any other, with one line for each value of a third column."""
    runs = measured(frame)
    _refuse_unknown(runs, (x, by))
    require_numbers(runs, y)
    table = points(runs, [x, by] if by else [x], (y,)).dropna(subset=[y])
    numeric = pd.api.types.is_numeric_dtype(table[x])
    order = list(dict.fromkeys(table[x]))
    ends = []
    for number, (name, line) in enumerate(_ordered(table, by) if by else [("", table)]):
        place = line[x].to_numpy(float) if numeric else np.array([order.index(v) for v in line[x]])
        drawn = style.series(number)
        axes.plot(place, line[y], **drawn)
        _whiskers(axes, place, line, y, drawn["color"])
        label = str(name) if by == "way" else f"{by} {name}"
        ends += [(place[-1], line[y].iloc[-1], label, drawn["color"])] if by else []
    if not numeric:
        axes.set_xticks(range(len(order)), [str(value) for value in order])
    elif table[x].min() > 0 and table[x].max() / table[x].min() > 10:
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(table[x].unique()), [f"{v:g}" for v in sorted(table[x].unique())])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(NAMES.get(x, x))
    _value_axis(axes, "y", y)
    style.end_labels(axes, ends)
    style.titles(axes, _xy_finding(table, x, y, by), findings.conditions(frame))
    return axes


def _xy_finding(table: pd.DataFrame, x: str, y: str, by: str | None) -> str:
    top, least = extreme(table, y), extreme(table, y, largest=False)
    say = style.duration if y.endswith("_ns") else style.short
    keys = [name for name in (by, x) if name]
    low, high = checks.name_point(least, keys), checks.name_point(top, keys)
    return f"{NAMES.get(y, y)} runs from {say(least[y])} ({low}) to {say(top[y])} ({high})"


def small_multiples(frame: pd.DataFrame, by: str, plot: Plot, columns: int = 2) -> Figure:
    """One picture for each value of an axis, side by side."""
    _refuse_unknown(frame, (by,))
    groups = list(_ordered(measured(frame), by))
    columns = min(columns, len(groups))
    rows = -(-len(groups) // columns)
    drawing = style.figure(style.SIZE[0] * columns, style.SIZE[1] * rows)
    for number, (value, group) in enumerate(groups, 1):
        axes = drawing.add_subplot(rows, columns, number)
        plot(group, axes)
        style.prefix_finding(axes, str(value) if by == "way" else f"{by} {value}")
    _share_heights(drawing)
    return drawing


def _share_heights(drawing: Figure) -> None:
    """Gives all panels the same scale, because readers compare them by eye."""
    panels = [each for each in drawing.axes if each.get_subplotspec() and not each.yaxis_inverted()]
    if panels:
        low = min(each.get_ylim()[0] for each in panels)
        high = max(each.get_ylim()[1] for each in panels)
        for each in panels:
            each.set_ylim(low, high)


# ---- shared by the above ---------------------------------------------------------------------


def _refuse_more_than(runs: pd.DataFrame, drawn: Sequence[str]) -> None:
    """Refuses runs that differ in an axis which the picture does not show."""
    others = [name for name in axes_of(runs) if name not in drawn and name != "rate_iops"]
    if others:
        raise ResultsError(
            f"{' and '.join(others)} vary among these runs",
            "a point would mix different runs",
            f"choose one value, or draw small multiples by {others[0]}",
        )


def _refuse_unknown(runs: pd.DataFrame, names: Sequence[str | None]) -> None:
    for name in filter(None, names):
        if name not in runs:
            known = sorted(each for each in column_names(runs) if not each.startswith("host_"))
            raise ResultsError(f"no column {name}", "", f"choose one of {', '.join(known)}")


def _ordered(runs: pd.DataFrame, by: str) -> list[tuple[Any, pd.DataFrame]]:
    if by == "way":
        runs = runs.sort_values("way_order", kind="stable")
    return list(runs.groupby(by, sort=by != "way", dropna=False))


def _value_axis(axes: Axes, which: str, metric: str) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_label_text(NAMES.get(metric, metric.replace("_", " ")))
    is_time = metric.endswith("_ns") or metric == "latency"
    style.plain(axis, style.duration if is_time else style.short)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
