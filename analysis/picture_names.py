# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws a picture by its name, for the command line.

This file owns the names, and the choice between one picture and small multiples. It is called
from one thread. plots.py and timeplots.py do the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from matplotlib.figure import Figure

from pyfio_virtio.analysis import columns, names, plots, style, timeplots
from pyfio_virtio.analysis.frame import measured
from pyfio_virtio.results.results import ResultsError

PICTURES: Mapping[str, plots.Plot] = MappingProxyType(
    {
        "iops": plots.iops,
        "p99": plots.p99,
        "latency": plots.latency_by_iops,
        "percentiles": plots.percentiles,
        "cost": plots.cost_by_latency,
        "counters": plots.counters_by_wait,
        "time": timeplots.iops_over_time,
        "heatmap": timeplots.latency_heatmap,
    }
)


def draw(frame: pd.DataFrame, name: str, facet: str | None = None) -> Figure:
    """The named picture of all runs, or one picture for each value of the column facet."""
    if name not in PICTURES:
        raise ResultsError(f"no picture {name}", "", f"choose one of {', '.join(PICTURES)}")
    return _draw(frame, PICTURES[name], facet)


def draw_columns(
    frame: pd.DataFrame, x: str, y: str, by: str | None = None, facet: str | None = None
) -> Figure:
    """Any column against any other, with one line for each value of by."""
    return _draw(frame, lambda part, axes: columns.xy(part, axes, x, y, by), facet)


def _draw(frame: pd.DataFrame, plot: plots.Plot, facet: str | None) -> Figure:
    names.require_runs(frame, measured(frame))
    with style.look():
        if facet:
            return columns.small_multiples(frame, facet, plot)
        drawing = style.figure()
        plot(frame, drawing.add_subplot())
        return drawing
