# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of several hosts: each host by itself, over time, beside the others, and their number.

Each function takes a frame of runs and axes, draws, and returns the axes. All are called from one
thread. hosts.py reads the rows of the hosts and has the sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyfio_virtio.analysis import claims, drawing, findings, names, stats, style
from pyfio_virtio.analysis.answers import times
from pyfio_virtio.analysis.frame import grouped, in_order, measured, points, subject
from pyfio_virtio.analysis.hosts import HOST, SHARE, claim, compared, is_on_hosts, of_hosts
from pyfio_virtio.analysis.run_files import samples
from pyfio_virtio.results.record import HOSTS

# More panels would be too small to read; the table has every host.
MOST_PANELS = 12
_MOST_ROWS = 200
_STEP_S = 0.25  # between two samples of a run
_LONGEST_GAP_S = 2.0  # on a busy machine, samples come late


# ---- each host by itself ---------------------------------------------------------------------


def by_host(frame: pd.DataFrame, axes: Axes) -> Axes:
    """IOPS of each host in a panel of its own; all panels have one scale."""
    hosts = _measured(frame)
    along = _along(hosts)
    every = grouped(hosts, [HOST])
    shown = every[:MOST_PANELS]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    place = axes.get_subplotspec()
    if place is None:
        raise names.NoDataError("these axes have no place for panels")
    parts = place.subgridspec(2, 1, height_ratios=(0.01, 1), hspace=0)
    axes.set_subplotspec(parts[0])  # it only has the title
    grid = parts[1].subgridspec(rows, columns)
    lines = [str(key["way"]) for key, _ in drawing.some(grouped(hosts, ["way"]))]
    top = 0.0
    panels = []
    for number, (key, part) in enumerate(shown):
        panel = style.root_of(axes).add_subplot(grid[number // columns, number % columns])
        panels.append(panel)
        top = max(top, _panel(panel, part, along, lines))
        panel.set_title(str(key[HOST]), loc="left", fontsize=9, pad=3)
        panel.tick_params(labelsize=7.5, labelleft=number % columns == 0)
    for panel in panels:
        panel.set_ylim(0, 1.12 * top)
        style.plain(panel.yaxis)
    axes.set_axis_off()
    if len(lines) > 1:
        for number, line in enumerate(lines):
            axes.plot([], [], label=line, **style.series(number))
        drawing.legend(axes)
    note = f"IOPS against {along} · {_conditions(frame)}"
    if len(every) > len(shown):
        note += f" · {len(shown)} of {len(every)} hosts are drawn"
    style.titles(axes, _range_of_hosts(hosts), note)
    return axes


def _along(hosts: pd.DataFrame) -> str:
    """What the panels have along x: iodepth if it varies, else the way of waiting."""
    return "iodepth" if hosts["iodepth"].nunique() > 1 else "way"


def _panel(panel: Axes, part: pd.DataFrame, along: str, lines: Sequence[str]) -> float:
    """Draws one host; returns the largest value."""
    keys = ["way", "iodepth"] if along == "iodepth" else ["way"]
    table = points(part, keys, ("iops",)).dropna(subset=["iops"])
    ticks = list(dict.fromkeys(in_order(table, [along])[along]))
    for number, name in enumerate(lines):
        line = table[table["way"] == name]
        x = [ticks.index(value) for value in line[along]]
        drawn = style.series(number)
        panel.plot(x, line["iops"], **drawn)
        drawing.whiskers(panel, np.array(x), line, "iops", drawn["color"])
    panel.set_xticks(range(len(ticks)), [str(each).removesuffix(".0") for each in ticks])
    panel.set_xlim(-0.4, len(ticks) - 0.6)
    return float(np.nanmax([*table["iops"], *table["iops_high"].dropna()]))


def _range_of_hosts(hosts: pd.DataFrame) -> str:
    medians = points(hosts, [HOST, "way", "iodepth"], ("iops",))["iops"]
    names_of_hosts = hosts[HOST].unique()
    who = (
        f"host {names_of_hosts[0]}" if len(names_of_hosts) == 1 else f"{len(names_of_hosts)} hosts"
    )
    return f"IOPS of {who}: {drawing.span(medians, style.short)}"


# ---- over time -------------------------------------------------------------------------------


def over_time(frame: pd.DataFrame, axes: Axes) -> Axes:
    """IOPS of all hosts in one run by time, as a heat map with a line for each host.

    The run is the first in which a host failed, or the first one.
    """
    hosts = of_hosts(frame)
    failed = hosts[hosts["error"].notna()]
    chosen = (failed if len(failed) else hosts).sort_values("order").iloc[0]
    same = (hosts[["source", "hash", "repeat"]] == chosen[["source", "hash", "repeat"]]).all(axis=1)
    run = hosts[same].drop_duplicates(HOST)[:_MOST_ROWS]
    table = samples(run)
    if table.empty or table["iops"].max() <= 0:
        raise names.NoDataError("this run has no IOPS by time", "its hosts have no samples")
    steps = np.arange(0, table["time_s"].max() + _STEP_S, _STEP_S)
    late_s = (run["on_start_ms"] / 1000).where(run["error"].isna(), 0.0)
    rates = np.array(
        [
            _by_step(table[table["run"] == path], steps, late)
            for path, late in zip(run["fio_json"], late_s, strict=True)
        ]
    )
    drawn = axes.pcolormesh(
        np.append(steps, steps[-1] + _STEP_S),
        np.arange(len(run) + 1),
        np.ma.masked_invalid(rates),
        cmap="cividis",
        vmin=0,
        rasterized=True,
    )
    axes.set_facecolor("#f4f5f7")  # no sample
    axes.set_yticks(np.arange(len(run)) + 0.5, [_label(row) for _, row in run.iterrows()])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlabel("seconds since the run began, ramp included")
    bar = style.root_of(axes).colorbar(drawn, ax=axes, pad=0.02, aspect=28)
    bar.set_label("IOPS of a host")
    style.plain(bar.ax.yaxis)
    style.titles(axes, _of_run(run), _conditions(frame))
    return axes


def _by_step(table: pd.DataFrame, steps: np.ndarray, late_s: float) -> np.ndarray:
    """The IOPS of one host in each step; NaN where it told none. A sample is of the time since the
    one before it, up to _LONGEST_GAP_S.
    """
    found = np.full(steps.size, np.nan)
    before_s = -np.inf
    for time_s, iops in sorted(zip(table["time_s"] + late_s, table["iops"], strict=True)):
        begin_s = max(before_s, time_s - (_LONGEST_GAP_S if np.isfinite(before_s) else _STEP_S))
        found[(steps >= begin_s - _STEP_S / 2) & (steps < time_s - _STEP_S / 2)] = iops
        before_s = time_s
    return found


def _label(row: pd.Series) -> str:
    return f"{row[HOST]} (failed)" if isinstance(row["error"], str) else str(row[HOST])


def _of_run(run: pd.DataFrame) -> str:
    failed = [str(name) for name in run.loc[run["error"].notna(), HOST]]
    if failed:
        who = f"Host {failed[0]}" if len(failed) == 1 else f"Hosts {names.listed(failed)}"
        return f"{who} failed{'; the others went on' if len(failed) < len(run) else ''}"
    return f"One run of {len(run)} {'host' if len(run) == 1 else 'hosts'}: their IOPS over time"


# ---- beside the others -----------------------------------------------------------------------


def fairness(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Each host's IOPS as a share of the median host's, with one mark for each point."""
    hosts = _measured(frame).dropna(subset=[SHARE])
    if hosts[HOST].nunique() < 2:
        raise names.NoDataError("there is nothing to compare", "these runs have one host only")
    order = [str(key[HOST]) for key, _ in grouped(hosts, [HOST])]
    groups = drawing.some(grouped(hosts, ["way", "iodepth"]))
    width = 0.6 / max(len(groups), 1)
    for number, (key, part) in enumerate(groups):
        drawn = style.series(number)
        x, middle, low, high = [], [], [], []
        for place, name in enumerate(order):
            shares = part.loc[part[HOST] == name, SHARE]
            if shares.empty:
                continue
            found = stats.median(shares)
            x.append(place + (number - (len(groups) - 1) / 2) * width)
            middle.append(found.value)
            low.append(found.interval.low)
            high.append(found.interval.high)
        label = f"{key['way']}, iodepth {str(key['iodepth']).removesuffix('.0')}"
        axes.plot(
            x, middle, linestyle="none", marker=drawn["marker"], color=drawn["color"], label=label
        )
        axes.vlines(x, low, high, color=drawn["color"], linewidth=1.1)
    axes.axhline(1.0, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(order)), order, rotation=0 if len(order) <= 8 else 60)
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("IOPS / those of the median host")
    if len(groups) > 1:
        drawing.legend(axes)
    middles = [float(part[SHARE].median()) for _, part in grouped(hosts, [HOST])]
    described = drawing.span(middles, lambda value: f"{value:.2f}")
    title = claim(compared(hosts)) or f"IOPS of the hosts / those of the median host: {described}"
    style.titles(axes, title, _conditions(frame))
    return axes


# ---- their number ----------------------------------------------------------------------------


def scaling(frame: pd.DataFrame, axes: Axes) -> Axes:
    """IOPS of all hosts together against their number, with the ideal line and the efficiency."""
    runs = findings.unrated(frame)
    if not is_on_hosts(runs) or runs[HOSTS].nunique() < 2:
        raise names.NoDataError(
            "there is no number of hosts to draw",
            "it does not vary in these runs",
            "measure with --host-count 1,2,4",
        )
    by = subject(runs)
    drawing.refuse_more_than(runs, (by, HOSTS, "iodepth"))
    deepest = in_order(runs, ["iodepth"])["iodepth"].iloc[-1]
    chosen = runs[runs["iodepth"] == deepest]
    table = points(chosen, [by, HOSTS], ("iops",)).dropna(subset=["iops"])
    ends = []
    for number, (key, line) in enumerate(drawing.some(grouped(table, [by]))):
        drawn = style.series(number)
        count, value = line[HOSTS].to_numpy(float), line["iops"].to_numpy(float)
        axes.plot(count, value, **drawn)
        drawing.whiskers(axes, line[HOSTS], line, "iops", drawn["color"])
        ideal = value[0] * count / count[0]
        axes.plot(count, ideal, color=drawn["color"], linewidth=0.9, linestyle=(0, (4, 3)))
        efficiency = value / ideal
        labels = [
            (x, y, f"{e:.0%}", drawn["color"])
            for x, y, e in zip(count, value, efficiency, strict=True)
        ]
        style.point_labels(axes, labels[1:])
        ends.append((count[-1], value[-1], str(key[by]), drawn["color"]))
    axes.set_ylim(bottom=0)
    axes.set_xticks(
        sorted(table[HOSTS].unique()), [f"{int(n)}" for n in sorted(table[HOSTS].unique())]
    )
    axes.set_xlabel("hosts (dashed: ideal; percent: efficiency)")
    drawing.value_axis(axes, "y", "iops", runs)
    style.end_labels(axes, ends)
    note = _conditions(frame)
    if runs["iodepth"].nunique() > 1:
        note += f" · iodepth {str(deepest).removesuffix('.0')}"
    title = _scaled(runs, by, deepest) or drawing.range_title(table, "iops", runs)
    style.titles(axes, title, note)
    return axes


def _scaled(runs: pd.DataFrame, by: str, depth: object) -> str:
    """How much the most hosts do compared with the fewest, of the line with the largest ratio that
    was shown; empty if none was."""
    counts = {claims.named(HOSTS, n): int(n) for n in runs[HOSTS].unique()}
    found = []
    for answer in claims.study(runs, HOSTS).answers:
        few, many = answer.names[0], answer.names[-1]
        shown = answer.iops.get((few, many))
        if shown and shown.differs and answer.where.get("iodepth", depth) == depth:
            found.append((str(answer.where.get(by, "")), counts[few], counts[many], shown))
    if not found:
        return ""
    name, fewest, most, best = max(found, key=lambda each: each[3].ratio.value)
    ends = best.ratio.interval.low, best.ratio.interval.high
    low, high = (f"{end * fewest / most:.0%}" for end in ends)
    return (
        f"{f'{name}: ' if name else ''}{most} hosts do {times(best)} the IOPS of {fewest}, "
        f"an efficiency of {low if low == high else f'{low} to {high}'}"
    )


def _conditions(frame: pd.DataFrame) -> str:
    """The conditions of the runs; those of the hosts if no run of all hosts succeeded."""
    return findings.conditions(frame if len(measured(frame)) else of_hosts(frame))


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The hosts' rows of the points that succeeded on them."""
    hosts = measured(of_hosts(findings.unrated(frame) if len(measured(frame)) else frame))
    if hosts.empty:
        raise names.NoDataError("no host has a result")
    return hosts
