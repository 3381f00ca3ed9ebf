# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of a report: which of them the runs have the data for, and in which order.

This file owns the choice; plots.py, timeplots.py and hostplots.py draw. It is called from one
thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from pyfio_virtio.analysis import (
    checks,
    claims,
    columns,
    findings,
    front,
    hostplots,
    hosts,
    plots,
    style,
    timeplots,
)
from pyfio_virtio.analysis.frame import (
    axes,
    counters,
    extreme,
    grouped,
    histogram,
    measured,
    subject,
)
from pyfio_virtio.analysis.names import NoDataError, listed
from pyfio_virtio.analysis.run_files import samples
from pyfio_virtio.analysis.table import heading
from pyfio_virtio.results.record import HOSTS, Row

# More would be too much to read; the table has every point.
MOST_FACETS = 3
_MOST_FRONTS = 2


@dataclass(frozen=True)
class Picture:
    """A picture in the page, with the facet that it shows as its caption."""

    svg: Markup
    caption: str
    notes: tuple[str, ...] = ()  # sentences under it


class Drawn(NamedTuple):
    """How a picture is drawn, the runs that it shows, and the sentences under it."""

    plot: plots.Plot
    part: pd.DataFrame
    notes: tuple[str, ...] = ()


def draw(frame: pd.DataFrame, found: claims.Study | None = None) -> Iterator[Picture]:
    """The pictures for which this frame has the data, facet by facet."""
    found = found or claims.study(frame)
    yield from _of_hosts(frame)
    facets = _facets(frame)[:MOST_FACETS]
    best = front.fronts([group for _, group in facets])
    for number, (where, group) in enumerate(facets):
        name = checks.name_point(where, list(where))
        shown = claims.within(found, where, group)
        fitting = _fitting(group, shown, best[number], detailed=number == 0)
        for kind, drawn in enumerate(fitting):
            try:
                yield _picture(drawn, f"p{number}-{kind}", name)
            except NoDataError:
                continue  # an empty picture is never drawn


def fronts(frame: pd.DataFrame) -> list[str]:
    """What the pictures of latency against CPU time show, in at most two lines."""
    facets = _facets(frame)[:MOST_FACETS]
    found = [group for _, group in facets if _has(measured(group), front.COST)]
    if not found or len(found) < len(facets):
        return []
    names = [checks.name_point(where, list(where)) for where, _ in facets]
    lines = [
        f"{name}: {text}" if name else text
        for name, each in zip(names, front.fronts(found), strict=True)
        if (text := front.line(each))
    ]
    return lines[:_MOST_FRONTS]


def _of_hosts(frame: pd.DataFrame) -> Iterator[Picture]:
    """The pictures of several hosts: of all runs, or of those on the most hosts."""
    if not hosts.is_on_hosts(frame):
        return
    most = frame[frame[HOSTS] == frame[HOSTS].max()]
    each: tuple[tuple[plots.Plot, pd.DataFrame], ...] = (
        (hostplots.scaling, frame),
        (hostplots.by_host, most),
        (hostplots.over_time, most),
        (hostplots.fairness, most),
    )
    for number, (plot, part) in enumerate(each):
        try:
            yield _picture(Drawn(plot, part), f"h{number}", "")
        except NoDataError:
            continue


def left_out(frame: pd.DataFrame) -> str:
    """What the page says if it has pictures for some combinations only."""
    count = len(_facets(frame))
    if count <= MOST_FACETS:
        return ""
    return (
        f"The pictures show the first {MOST_FACETS} of {count} combinations of "
        f"{listed(map(heading, _facet_axes(frame)))}; the table has all of "
        "them, and pyfio-virtio plot --where draws any."
    )


def _facets(frame: pd.DataFrame) -> list[tuple[Row, pd.DataFrame]]:
    """Splits the runs by the axes that one picture cannot show; without these, all of the frame."""
    others = _facet_axes(frame)
    return grouped(measured(frame), others) if others else [({}, frame)]


def _facet_axes(frame: pd.DataFrame) -> list[str]:
    own = (subject(frame), "iodepth", "rate_iops")
    return [name for name in axes(frame) if name not in own]


def _fitting(
    frame: pd.DataFrame, found: claims.Study, best: front.Front, detailed: bool
) -> Iterator[Drawn]:
    runs = measured(frame)
    if runs.empty:
        return
    if runs[subject(runs)].nunique() > 1:
        yield Drawn(lambda part, place: plots.iops(part, place, found), frame)
        if _has(runs, "p99_ns"):
            yield Drawn(plots.p99, frame)
    elif runs["iodepth"].nunique() > 1:
        yield Drawn(lambda part, place: columns.xy(part, place, "iodepth", "iops"), frame)
    if _has(runs, "p99_ns") and _curve_varies(runs):
        yield Drawn(plots.latency_by_iops, frame)
    if _has(runs, front.COST):
        notes = tuple(front.sentences(best))
        yield Drawn(lambda part, place: plots.cost_by_latency(part, place, best), frame, notes)
    if detailed:
        yield from _details(runs)


def _details(runs: pd.DataFrame) -> Iterator[Drawn]:
    """Pictures of the largest and the smallest iodepth, and of the fastest point along time."""
    free = findings.unrated(runs)
    depths = [part for _, part in grouped(free, ["iodepth"])]
    for part in [depths[-1], depths[0]] if len(depths) > 1 else depths:
        if histogram(part).total and _one_rate(part):
            yield Drawn(plots.percentiles, part)
        if counters(part) and part[subject(part)].nunique() > 1 and _one_rate(part):
            yield Drawn(plots.counters_by_wait, part)
    if "hash" in free and _has(free, "iops"):
        fastest = extreme(free, "iops")
        point = free[(free["hash"] == fastest["hash"]) & (free["source"] == fastest["source"])]
        if not samples(point).empty:
            yield Drawn(timeplots.iops_over_time, point)
        if timeplots.has_latency_log(point):
            yield Drawn(timeplots.latency_heatmap, point)


def _has(runs: pd.DataFrame, column: str) -> bool:
    return column in runs and bool(runs[column].notna().any())


def _one_rate(runs: pd.DataFrame) -> bool:
    return "rate_iops" not in runs or runs["rate_iops"].nunique(dropna=False) == 1


def _curve_varies(runs: pd.DataFrame) -> bool:
    rated = "rate_iops" in runs and runs["rate_iops"].nunique() > 1
    return rated != (runs["iodepth"].nunique() > 1)


def _picture(drawn: Drawn, name: str, caption: str) -> Picture:
    with style.look():
        drawing = style.figure()
        where = drawing.add_subplot()
        drawn.plot(drawn.part, where)
        finding = style.finding_of(where)
        svg = style.inline_svg(drawing, name, finding)
    # The SVG is made here, and style.inline_svg() escapes the texts from the data.
    return Picture(Markup(svg), caption, drawn.notes)  # noqa: S704
