# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pictures of points share: labels, axes of values, whiskers, and what they refuse.

All functions are called from one thread. plots.py and columns.py draw the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pyfio_virtio.analysis import checks, names, style
from pyfio_virtio.analysis.frame import axes as axes_of
from pyfio_virtio.analysis.frame import column_names
from pyfio_virtio.results import values
from pyfio_virtio.results.results import ResultsError

# More lines cannot be told apart, and style.py has no more colours.
MOST_LINES = 8
Group = TypeVar("Group")


def whiskers(
    axes: Axes, x: NDArray[Any] | pd.Series, table: pd.DataFrame, metric: str, colour: str
) -> None:
    axes.vlines(x, table[f"{metric}_low"], table[f"{metric}_high"], color=colour, linewidth=1.1)


def refuse_more_than(runs: pd.DataFrame, drawn: Sequence[str]) -> None:
    """Refuses runs that differ in an axis which the picture does not show."""
    others = [name for name in axes_of(runs) if name not in drawn and name != "rate_iops"]
    if others:
        raise ResultsError(
            f"{' and '.join(others)} {'varies' if len(others) == 1 else 'vary'} among these runs",
            "a point would mix different runs",
            f"choose one value with --where, draw small multiples with --facet {others[0]}, "
            f"or put it on the x axis with --x {others[0]}",
        )


def refuse_unknown(runs: pd.DataFrame, columns: Sequence[str | None]) -> None:
    for name in filter(None, columns):
        if name not in runs:
            raise names.no_column(f"no column {name}", name, column_names(runs))


def mixed(runs: pd.DataFrame, drawn: Sequence[str | None]) -> str:
    """The note for the conditions of a picture whose points mix different runs; or empty."""
    others = [name for name in axes_of(runs) if name not in drawn]
    return f" · each value mixes runs that differ in {names.listed(others)}" if others else ""


def scale(axes: Axes, which: str, table: pd.DataFrame, *columns: str) -> None:
    """A logarithmic scale, or a linear one if a value is not positive and would not be shown."""
    shown = [f"{name}{end}" for name in columns for end in ("", "_low", "_high")]
    positive = (table[[name for name in shown if name in table]] > 0).all(axis=None)
    set_scale = axes.set_yscale if which == "y" else axes.set_xscale
    set_scale("log" if positive else "linear")


def label_of(name: str, value: object) -> str:
    """A value in a legend, such as "iodepth 32"."""
    return f"{name} not set" if values.is_missing(value) else checks.label(name, value)


def value_axis(axes: Axes, which: str, metric: str, runs: pd.DataFrame) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_label_text(names.name_of(runs, metric))
    is_time = metric.removesuffix("_corrected").endswith("_ns") or metric == "latency"
    style.plain(axis, style.duration if is_time else style.short)


def range_title(table: pd.DataFrame, metric: str, runs: pd.DataFrame) -> str:
    """Where the medians of the points lie, without saying which point has which.

    A title that named them would state an order, and only claims.py may do that.
    """
    say = style.duration if metric.endswith("_ns") else style.short
    return f"{names.name_of(runs, metric)}: {span(table[metric], say)}"


def span(medians: Iterable[float], say: Callable[[float], str]) -> str:
    """The range of some medians in words."""
    known = [value for value in medians if np.isfinite(value)]
    low, high = say(min(known)), say(max(known))
    return f"median {low}" if low == high else f"medians between {low} and {high}"


def some(groups: Iterable[Group]) -> list[Group]:
    """At most MOST_LINES of the groups, from the first to the last one at even distances."""
    every = list(groups)
    places = np.linspace(0, len(every) - 1, min(len(every), MOST_LINES)).round().astype(int)
    return [every[place] for place in places]


def left_out(lines: int) -> str:
    """The note for the conditions of a picture that some() made sparser; empty if it did not."""
    return f" · {MOST_LINES} of {lines} lines are drawn" if lines > MOST_LINES else ""


def legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
