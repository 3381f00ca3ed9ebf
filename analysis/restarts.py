# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of a restart test: IOPS by time, with the restarts and what they stalled.

This file owns that picture. It reads the result that `restart-test --json` prints, and is called
from one thread. style.py has the look.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyfio_virtio.analysis import style

# Narrower samples could not be told apart.
_MOST_POINTS = 700
# More labels would overlap. Each is so wide, as a part of the picture, and two lines are so high.
_MOST_LABELS = 12
_LABEL_WIDTH = 0.075
_LINES_POINTS = 21

Result = Mapping[str, Any]


def draw(result: Result) -> Figure:
    with style.look():
        figure = style.figure()
        iops(result, figure.add_subplot())
    return figure


def iops(result: Result, axes: Axes) -> Axes:
    """IOPS by time. A band is the time in which nothing completed, and a line a kill."""
    times, values = _samples(result["iops"])
    colour = style.COLOURS[0]
    axes.step(times, values, where="post", color=colour, linewidth=1.0)
    axes.fill_between(times, values, step="post", color=colour, alpha=0.15, linewidth=0)
    top = 1.25 * max(values, default=1) or 1
    axes.set_ylim(0, top)
    axes.set_xlim(0, times[-1])
    axes.set_xlabel("seconds since the load began")
    axes.set_ylabel("IOPS")
    style.plain(axes.yaxis)
    for restart in result["restarts"]:
        _mark(axes, restart)
    _label(axes, result["restarts"])
    style.titles(axes, _title(result), _conditions(result))
    return axes


def _samples(iops: Result) -> tuple[Sequence[float], Sequence[float]]:
    """The beginning of each sample in seconds, and its IOPS; the end of the last one is added."""
    counts = np.array(iops["operations"] or [0], float)
    width = -(-counts.size // _MOST_POINTS)
    counts = np.pad(counts, (0, -counts.size % width)).reshape(-1, width).mean(axis=1)
    values = counts / iops["interval_s"]
    times = np.arange(values.size + 1) * width * iops["interval_s"]
    return times.tolist(), [*values, values[-1]]


def _mark(axes: Axes, restart: Result) -> None:
    is_wrong = bool(restart["wrong"] or restart["errors"])
    colour = style.COLOURS[1] if is_wrong else style.INK
    axes.axvline(restart["began_s"], color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
    if restart["outage_ns"]:
        begin, length = restart["outage_began_s"], restart["outage_ns"] / 1e9
        axes.axvspan(begin, begin + length, color=colour, alpha=0.14, linewidth=0)


def _label(axes: Axes, restarts: Sequence[Result]) -> None:
    """The worst stall of each restart, above it, and what was lost."""
    if len(restarts) > _MOST_LABELS:
        return
    room = _LABEL_WIDTH * axes.get_xlim()[1]
    lines = [-room] * 2  # where the last label of each line begins
    for restart in restarts:
        words = [style.duration(restart["stall_worst_ns"])] if restart["stall_worst_ns"] else []
        words += [f"{restart['wrong']} wrong"] if restart["wrong"] else []
        words += [f"{restart['errors']} errors"] if restart["errors"] else []
        line = int(restart["began_s"] < lines[0] + room)
        lines[line] = restart["began_s"]
        axes.annotate(
            "\n".join(words),
            (restart["began_s"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3 - _LINES_POINTS * line),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=8,
            color=style.COLOURS[1] if len(words) > 1 else style.INK,
        )


def _title(result: Result) -> str:
    stalls = [each for each in result["restarts"] if each["stall_worst_ns"]]
    if not stalls:
        return "no restart was measured to its end"
    middle = statistics.median(each["stall_p50_ns"] for each in stalls)
    worst = max(each["stall_worst_ns"] for each in stalls)
    number = f"{len(stalls)} restart{'s' if len(stalls) > 1 else ''}"
    wrong, errors = result["total"]["wrong"], result["total"]["errors"]
    lost = (
        f"{wrong} blocks lost an acknowledged write" if wrong else "no acknowledged write was lost"
    )
    failed = f", {errors} operations failed" if errors else ""
    early = ", and the test ended early" if result["failure"] else ""
    return (
        f"{number} stalled the clients for {style.duration(middle)} (median), "
        f"{style.duration(worst)} at worst; {lost}{failed}{early}"
    )


def _conditions(result: Result) -> str:
    chosen = result["settings"]
    return " · ".join(
        (
            result["backend"]["name"],
            f"bs {chosen['block_bytes']}",
            f"iodepth {chosen['iodepth']}, {chosen['threads']} threads",
            f"{chosen['read_percent']:g}% reads",
            "dashed: a restart begins; band: nothing completes",
        )
    )
