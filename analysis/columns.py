# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of any column against any other, and small multiples of any picture.

This file owns how the values of an option are placed on an axis. All functions are called from one
thread. results/values.py says which values are numbers, and in which order they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pyfio_virtio.analysis import drawing, findings, names, style
from pyfio_virtio.analysis.frame import (
    grouped,
    in_order,
    measured,
    points,
    require_numbers,
)
from pyfio_virtio.results import values

Plot = Callable[[pd.DataFrame, Axes], Axes]


def xy(
    frame: pd.DataFrame, axes: Axes, x: str, y: str, by: str | None = None, title: str = ""
) -> Axes:
    """Any column against any other, with one line for each value of a third column.

    Without a title it has one that describes the values and claims nothing.
    """
    runs = measured(frame)
    drawing.refuse_unknown(runs, (x, y, by))
    require_numbers(runs, y)
    table = points(runs, [x, by] if by else [x], (y,)).dropna(subset=[y])
    names.require_values(table, runs, y)
    places = _places(table, x)
    every = grouped(table, [by]) if by else [({}, table)]
    groups = drawing.some(every)
    ends = []
    for number, (key, line) in enumerate(groups):
        place = np.array([places[str(value)] for value in line[x]])
        drawn = style.series(number)
        # Words and lists have no distance, so a line between them would say nothing.
        joined = drawn if _is_numeric(table, x) else {**drawn, "linestyle": "none"}
        axes.plot(place, line[y], **joined)
        drawing.whiskers(axes, place, line, y, drawn["color"])
        if by:
            label = drawing.label_of(by, key[by])
            ends.append((place[-1], line[y].iloc[-1], label, drawn["color"]))
    _x_axis(axes, places, _is_numeric(table, x))
    axes.set_ylim(bottom=min(0.0, float(table[f"{y}_low"].min())))
    axes.set_xlabel(names.name_of(runs, x))
    drawing.value_axis(axes, "y", y, runs)
    style.end_labels(axes, ends)
    note = findings.conditions(frame) + drawing.left_out(len(every))
    note += drawing.mixed(runs, (x, y, by))
    style.titles(axes, title or drawing.range_title(table, y, runs), note)
    return axes


def _is_numeric(table: pd.DataFrame, x: str) -> bool:
    return all(values.kind(x, value) in values.NUMBERS for value in table[x])


def _places(table: pd.DataFrame, x: str) -> dict[str, float]:
    """Where each value of x is on the axis: at its number if all are numbers, or one by one."""
    ordered = list(dict.fromkeys(in_order(table, [x])[x]))
    if not _is_numeric(table, x):
        return {str(value): float(place) for place, value in enumerate(ordered)}
    return {str(value): values.number(x, value) or 0.0 for value in ordered}


def _x_axis(axes: Axes, places: dict[str, float], is_numeric: bool) -> None:
    """Labels the values as the user wrote them; numbers over a wide range get a log scale."""
    low, high = min(places.values()), max(places.values())
    if is_numeric and low > 0 and high / low > 10:
        axes.set_xscale("log", base=2)
    elif is_numeric and low >= 0 and high > 100:
        step = min(place for place in places.values() if place > 0)
        axes.set_xscale("symlog", base=2, linthresh=step)
    labels = ["not set" if text in ("nan", "None", "") else plain_text(text) for text in places]
    axes.set_xticks(list(places.values()), labels)
    axes.xaxis.set_minor_locator(NullLocator())
    if not is_numeric:
        axes.set_xlim(-0.5, len(places) - 0.5)


def plain_text(text: str) -> str:
    """A number without the ".0" that pandas adds in a column with gaps."""
    return text.removesuffix(".0")


def small_multiples(frame: pd.DataFrame, by: str, plot: Plot, columns: int = 2) -> Figure:
    """One picture for each value of an axis, side by side."""
    drawing.refuse_unknown(frame, (by,))
    groups = grouped(measured(frame), [by])
    columns = min(columns, len(groups))
    rows = -(-len(groups) // columns)
    whole = style.figure(style.SIZE[0] * columns, style.SIZE[1] * rows)
    empty = []
    for number, (key, group) in enumerate(groups, 1):
        axes = whole.add_subplot(rows, columns, number)
        name = drawing.label_of(by, key[by])
        try:
            plot(group, axes)
        except names.NoDataError as failure:
            empty.append(failure)
            _say_why(axes, name, failure)
        else:
            style.prefix_finding(axes, name)
    if len(empty) == len(groups):
        raise empty[0]
    _share_heights(whole)
    return whole


def _say_why(axes: Axes, name: str, failure: names.NoDataError) -> None:
    """A panel without data has the reason in its place."""
    axes.clear()
    axes.set_axis_off()
    style.titles(axes, f"{name}: no data", str(failure))


def _share_heights(whole: Figure) -> None:
    """Gives all panels the same scale, because readers compare them by eye."""
    panels = [
        each
        for each in whole.axes
        if each.get_subplotspec() and each.axison and not each.yaxis_inverted()
    ]
    if panels:
        low = min(each.get_ylim()[0] for each in panels)
        high = max(each.get_ylim()[1] for each in panels)
        if low <= 0:  # a panel is linear, because it has such a value
            for each in panels:
                text = each.yaxis.get_major_formatter()
                each.set_yscale("linear")
                each.yaxis.set_major_formatter(text)
        for each in panels:
            each.set_ylim(low, high)
