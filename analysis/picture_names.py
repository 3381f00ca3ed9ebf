# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws a picture by its name, for the command line.

This file owns the names, and the choice between one picture and small multiples. It is called
from one thread. plots.py and timeplots.py do the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyfio_virtio.analysis import claims, columns, hostplots, hosts, names, plots, style, timeplots
from pyfio_virtio.analysis.frame import axes, measured
from pyfio_virtio.analysis.names import FOLDER, SUBJECTS
from pyfio_virtio.errors import did_you_mean
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
        "hosts": hostplots.by_host,
        "hosts-time": hostplots.over_time,
        "fairness": hostplots.fairness,
        "scaling": hostplots.scaling,
    }
)

_OF_ONE_POINT = ("time", "heatmap")
# These show what hosts did in runs that failed, too.
_ALSO_OF_FAILURES = (hostplots.by_host, hostplots.over_time)


@dataclass(frozen=True)
class Part:
    """The sweep that the runs of a picture are from, and the columns that chose them.

    A title claims no more of a part than the report of the whole sweep does.
    """

    whole: pd.DataFrame
    chosen: Sequence[str] = ()

    def study(self, runs: pd.DataFrame, facet: str | None) -> claims.Study:
        """What the study of the sweep shows of these runs, which are those of one panel."""
        if facet == FOLDER:
            return claims.study(runs)
        where = {name: runs[name].iloc[0] for name in filter(None, (*self.chosen, facet))}
        return claims.within(claims.study(self.whole), where, runs)


def draw(
    frame: pd.DataFrame, name: str, facet: str | None = None, part: Part | None = None
) -> Figure:
    """The named picture of all runs, or one picture for each value of the column facet."""
    if name not in PICTURES:
        advice = f"{did_you_mean(name, PICTURES)}choose one of {', '.join(PICTURES)}"
        raise ResultsError(f"no picture {name}", "", advice)
    facet = facet or _facet_of_folders(frame, name)
    if name != "iops":
        return _draw(frame, PICTURES[name], facet)
    of = part or Part(frame)
    return _draw(frame, lambda runs, place: plots.iops(runs, place, of.study(runs, facet)), facet)


def _facet_of_folders(frame: pd.DataFrame, name: str) -> str | None:
    """What has a panel for each value if the folders take the place of what one sweep compares."""
    if FOLDER not in axes(frame):
        return None
    if name in _OF_ONE_POINT:
        return FOLDER
    return next((each for each in SUBJECTS if each != FOLDER and each in axes(frame)), None)


def draw_columns(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    facet: str | None = None,
    part: Part | None = None,
) -> Figure:
    """Any column against any other, with one line for each value of by.

    Several folders have a line each, or a panel each if by is used for something else.
    """
    if FOLDER in axes(frame) and FOLDER not in (x, y, by, facet):
        if by and facet:
            raise ResultsError(
                "several folders would become one point",
                "--by and --facet name other columns",
                f"use {FOLDER} for one of them, or name one folder",
            )
        by, facet = (by, FOLDER) if by else (FOLDER, facet)
    of = part or Part(frame)

    def plot(runs: pd.DataFrame, place: Axes) -> Axes:
        """The report has a sentence about IOPS by all axes; of other columns nothing is claimed."""
        varied = axes(runs)
        is_claimed = y == "iops" and set(varied) <= {x, by} and varied and FOLDER not in varied
        title = claims.title(of.study(runs, facet)) if is_claimed else ""
        return columns.xy(runs, place, x, y, by, title)

    return _draw(frame, plot, facet)


def _draw(frame: pd.DataFrame, plot: plots.Plot, facet: str | None) -> Figure:
    if plot not in _ALSO_OF_FAILURES or not hosts.is_on_hosts(frame):
        names.require_runs(frame, measured(frame))
    with style.look():
        if facet:
            return columns.small_multiples(frame, facet, plot)
        drawing = style.figure()
        plot(frame, drawing.add_subplot())
        return drawing
