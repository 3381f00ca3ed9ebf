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
from numpy.typing import ArrayLike, NDArray

from pyfio_virtio.analysis import (
    checks,
    claims,
    columns,
    drawing,
    findings,
    front,
    latency,
    names,
    style,
)
from pyfio_virtio.analysis.frame import (
    counters,
    grouped,
    histogram,
    in_order,
    measured,
    points,
    subject,
)

Plot = Callable[[pd.DataFrame, Axes], Axes]
_MAIN_COUNTERS = ("kicks", "calls", "looks", "empty_looks", "sleeps")


# ---- what is compared -------------------------------------------------------------


def iops(frame: pd.DataFrame, axes: Axes, found: claims.Study | None = None) -> Axes:
    """IOPS of what the runs compare, with iodepth on an axis or as lines.

    The title is from found, or from a study of this frame alone. Of folders nothing is claimed.
    """
    is_claim = subject(findings.unrated(frame)) != names.FOLDER
    title = claims.title(found or claims.study(frame)) if is_claim else ""
    return _compared(frame, axes, "iops", title)


def p99(frame: pd.DataFrame, axes: Axes) -> Axes:
    """p99 latency of what the runs compare, as iops() draws it."""
    return _compared(frame, axes, "p99_ns", "")


def _compared(frame: pd.DataFrame, axes: Axes, metric: str, title: str) -> Axes:
    """Ways of waiting side by side, because a way is a place on an axis; others as lines."""
    runs = findings.unrated(frame)
    by = subject(runs)
    if by == "way":
        return _by_wait(frame, axes, metric, title)
    drawing.refuse_more_than(runs, (by, "iodepth"))
    if runs["iodepth"].nunique() > 1:
        return columns.xy(runs, axes, "iodepth", metric, by, title)
    return columns.xy(runs, axes, by, metric, title=title)


def _by_wait(frame: pd.DataFrame, axes: Axes, metric: str, title: str) -> Axes:
    """A metric against the way of waiting, with one line for each iodepth."""
    runs = findings.unrated(frame)
    drawing.refuse_more_than(runs, ("way", "iodepth"))
    table = points(runs, ["way", "iodepth"], (metric,)).dropna(subset=[metric])
    names.require_values(table, runs, metric)
    ways = table.drop_duplicates("way").sort_values("way_order")["way"].tolist()
    ends = []
    for number, (key, line) in enumerate(drawing.some(grouped(table, ["iodepth"]))):
        place = np.array([ways.index(way) for way in line["way"]])
        drawn = style.series(number)
        _lines_and_marks(axes, place, line, metric, drawn)
        ends.append(
            (
                place[-1],
                line[metric].iloc[-1],
                drawing.label_of("iodepth", key["iodepth"]),
                drawn["color"],
            )
        )
    drawing.scale(axes, "y", table, metric)
    axes.set_xticks(range(len(ways)), [way.replace("sleepy ", "sleepy\n") for way in ways])
    axes.set_xlim(-0.3, len(ways) - 0.7)
    axes.set_xlabel(names.NAMES["way"])
    drawing.value_axis(axes, "y", metric, runs)
    style.end_labels(axes, ends)
    note = findings.conditions(frame) + drawing.left_out(table["iodepth"].nunique())
    title = title or drawing.range_title(table, metric, measured(frame))
    style.titles(axes, title, note)
    return axes


def _lines_and_marks(
    axes: Axes,
    place: np.ndarray,
    line: pd.DataFrame,
    metric: str,
    drawn: dict[str, Any],
) -> None:
    """Joins the sleeps by a line, because they differ only in a length."""
    joined = line["way"].str.startswith("sleepy").to_numpy()
    value = line[metric].to_numpy(float)
    axes.plot(place[joined], value[joined], color=drawn["color"], linestyle=drawn["linestyle"])
    axes.plot(place, value, linestyle="none", marker=drawn["marker"], color=drawn["color"])
    drawing.whiskers(axes, place, line, metric, drawn["color"])


# ---- latency -------------------------------------------------------------------------


def latency_by_iops(frame: pd.DataFrame, axes: Axes, metric: str = "p99_ns") -> Axes:
    """Latency against IOPS, one line for each subject, by set rates or by depth."""
    runs = measured(frame)
    by = subject(runs)
    rated = "rate_iops" in runs and runs["rate_iops"].notna().any()
    along = "rate_iops" if rated else "iodepth"
    drawing.refuse_more_than(runs, (by, along))
    table = points(runs, [by, along], ("iops", metric)).dropna(subset=[metric])
    names.require_values(table, runs, metric)
    bends = []
    for number, (way, line) in enumerate(drawing.some(table.groupby(by, sort=False))):
        line = line.sort_values("iops") if rated else in_order(line, [along])
        bends += _hockey_stick(axes, str(way), line, metric, style.series(number))
    drawing.scale(axes, "x", table, "iops")
    drawing.scale(axes, "y", table, metric)
    drawing.value_axis(axes, "x", "iops", runs)
    drawing.value_axis(axes, "y", metric, runs)
    axes.grid(axis="x")
    if f"{metric}_corrected" in table:
        label = "thin: corrected for\ndelayed I/Os"
        axes.plot([], [], color=style.MUTED, linewidth=0.9, label=label)
    drawing.legend(axes)
    name = names.name_of(runs, metric)
    note = findings.conditions(frame) + drawing.left_out(table[by].nunique())
    style.titles(axes, _knees(bends, name, along), note)
    return axes


def _hockey_stick(
    axes: Axes, way: str, line: pd.DataFrame, metric: str, drawn: dict[str, Any]
) -> list[tuple[str, float, float]]:
    axes.plot(line["iops"], line[metric], label=way, **drawn)
    drawing.whiskers(axes, line["iops"], line, metric, drawn["color"])
    felt = f"{metric}_corrected"
    if felt in line and line[felt].notna().any():
        axes.plot(line["iops"], line[felt], color=drawn["color"], linewidth=0.9)
    bend = findings.knee(line["iops"].tolist(), line[metric].tolist())
    if bend is None:
        return []
    x, y = float(line["iops"].iloc[bend]), float(line[metric].iloc[bend])
    axes.plot(x, y, marker="o", markersize=12, markerfacecolor="none", color=drawn["color"])
    return [(way, x, y)]


def _knees(bends: Sequence[tuple[str, float, float]], name: str, along: str) -> str:
    if not bends:
        return f"{name} against IOPS: no knee within the {along} measured"
    places = ", ".join(f"{way} at {style.short(x)}" for way, x, _ in bends)
    return f"{name} against IOPS: the medians bend (circles) for {places} IOPS"


def percentiles(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Latency by percentile; 90 to 99, 99 to 99.9 and so on get the same width."""
    runs = measured(frame)
    by = subject(runs)
    drawing.refuse_more_than(runs, (by,))
    tails, most = {}, 0.0
    for number, (key, group) in enumerate(drawing.some(grouped(runs, [by]))):
        name = drawing.label_of(by, key[by])
        whole = histogram(group)
        reached = latency.supported(whole)
        if not reached:
            continue
        _tail(axes, whole, reached[-1], name, style.series(number))
        tails[name] = latency.percentile(whole, 99.0)
        most = max(most, reached[-1])
    if not tails:
        raise names.NoDataError(
            "there is no latency by percentile to draw",
            "fio kept no latency bins, or too few I/Os",
            "run it with --output-format=json+, or longer",
        )
    ticks = [each for each in latency.PERCENTILES if each <= most]
    axes.set_yscale("log")
    axes.set_xticks([_nines(each) for each in ticks], [f"p{each:g}" for each in ticks])
    axes.set_xlabel("percentile of all runs' I/Os together (at least ten I/Os are beyond the end)")
    drawing.value_axis(axes, "y", "latency", runs)
    drawing.legend(axes)
    kind = names.of_what(runs, "latency").strip(" ()")
    note = findings.conditions(frame) + drawing.left_out(runs[by].nunique())
    style.titles(axes, _tail_finding(tails, kind), note)
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
        drawstyle="steps-pre",  # a percentile is the first value that enough I/Os reach
    )
    axes.plot(_nines(marks), at_marks, marker=drawn["marker"], color=drawn["color"], linestyle="")
    axes.plot([], [], label=name, **drawn)  # for the legend: line and marker together


def _nines(percent: ArrayLike) -> NDArray[np.float64]:
    return -np.log10(1 - np.asarray(percent, float) / 100)


def _tail_finding(tails: dict[str, float | None], kind: str) -> str:
    known = {name: value for name, value in tails.items() if value is not None}
    if not known:
        return "Latency by percentile: too few I/Os for a p99"
    p99 = f"p99 of {kind}" if kind else "p99"
    if len(known) == 1:
        [(name, value)] = known.items()
        return f"{name}: {p99} is {style.duration(value)}"
    low, high = style.duration(min(known.values())), style.duration(max(known.values()))
    return f"Latency by percentile: {p99} between {low} and {high}"


# ---- cost ----------------------------------------------------------------------------------


def cost_by_latency(frame: pd.DataFrame, axes: Axes, found: front.Front | None = None) -> Axes:
    """Latency against µs of CPU per I/O of fio and the back-end.

    Filled symbols are on the front: found, or that of this frame alone.
    """
    found, metric = found or front.fronts([frame])[0], front.LATENCY
    runs = findings.unrated(frame)
    by = subject(runs)
    drawing.refuse_more_than(runs, (by, "iodepth"))
    costs = ("cpu_us", "fio_cpu_us", "backend_cpu_us", metric)
    every = points(runs, [by, "iodepth"], costs)
    table = every.dropna(subset=["cpu_us", metric])
    table = table[table["cpu_us"] > 0]
    names.require_values(table, runs, metric if runs[metric].isna().all() else "cpu_us")
    keys = front.keys_of(table, by)
    numbers: list[tuple[float, float, str, str]] = []
    for number, (way, line) in enumerate(drawing.some(table.groupby(by, sort=False))):
        drawn = style.series(number)
        _cost_marks(axes, line, metric, drawn, str(way))
        is_beaten = [front.name_of(row, keys) in found.dominated for _, row in line.iterrows()]
        hollow = line[is_beaten]
        axes.plot(
            hollow["cpu_us"],
            hollow[metric],
            linestyle="none",
            marker=drawn["marker"],
            color=drawn["color"],
            markerfacecolor=style.PAPER,
        )
        places = zip(line["cpu_us"], line[metric], line["iodepth"], strict=True)
        numbers += [(x, y, checks.plain(depth), drawn["color"]) for x, y, depth in places]
    drawing.scale(axes, "x", table, "cpu_us")
    drawing.scale(axes, "y", table, metric)
    axes.set_xlabel(
        "µs of CPU per I/O (tick: fio's share; symbol: fio and back-end; number: iodepth)\n"
        "lower left is better; hollow: dominated by another point"
    )
    style.plain(axes.xaxis)
    drawing.value_axis(axes, "y", metric, runs)
    style.point_labels(axes, numbers)
    axes.grid(axis="x")
    drawing.legend(axes)
    note = findings.conditions(frame) + drawing.left_out(table[by].nunique())
    if len(table) < len(every):
        note += f" · {len(every) - len(table)} points without the CPU time of both sides"
    style.titles(axes, front.title(found), note)
    return axes


def _cost_marks(
    axes: Axes, line: pd.DataFrame, metric: str, drawn: dict[str, Any], label: str
) -> None:
    """The points with intervals in both directions, and a dotted line from fio's share to each."""
    colour = drawn["color"]
    if "fio_cpu_us" in line and "backend_cpu_us" in line:
        shares = (line[metric], line["fio_cpu_us"], line["cpu_us"])
        axes.hlines(*shares, color=colour, linewidth=0.9, linestyle=":")
        axes.plot(line["fio_cpu_us"], line[metric], "|", color=colour, markersize=7)
    drawing.whiskers(axes, line["cpu_us"], line, metric, colour)
    axes.hlines(line[metric], line["cpu_us_low"], line["cpu_us_high"], color=colour, linewidth=1.1)
    axes.plot(
        line["cpu_us"],
        line[metric],
        linestyle="none",
        marker=drawn["marker"],
        color=colour,
        label=label,
    )


def counters_by_wait(frame: pd.DataFrame, axes: Axes) -> Axes:
    """The engine's counters per I/O; the bars of a counter are relative to its largest value."""
    runs = measured(frame)
    by = subject(runs)
    drawing.refuse_more_than(runs, (by,))
    table = points(runs, [by], ("iops",))
    wanted = [name for name in _MAIN_COUNTERS if name in counters(runs)] or counters(runs)
    shown = [name for name in wanted if table[f"{name}_per_io"].max() > 0]
    if not shown:
        raise names.NoDataError(
            "there are no counters to draw", "the engine counted nothing in these runs"
        )
    for column, name in enumerate(shown):
        _counter_column(axes, column, table[f"{name}_per_io"], name)
    axes.set_yticks(range(len(table)), table[by])
    axes.set_ylim(len(table) - 0.4, -1.2)
    axes.set_xlim(0, len(shown))
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
    spreads = {n: table[f"{n}_per_io"].max() - table[f"{n}_per_io"].min() for n in shown}
    name = max(spreads, key=lambda each: spreads[each])
    values = drawing.span(table[f"{name}_per_io"], lambda value: f"{value:.3g}")
    return f"{name.replace('_', ' ')} per I/O: {values}"
