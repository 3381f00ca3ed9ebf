# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of where the time of a request goes: a stacked bar for each way of waiting.

A row of panels for each depth; the left one has the median requests, the right one the slowest 1%.
Called from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pyfio_virtio.analysis import style
from pyfio_virtio.explain import parts, words
from pyfio_virtio.explain.parts import Bar, Explained
from pyfio_virtio.explain.requests import (
    AWAY,
    GATHER,
    HAND,
    KICK,
    NOTICE,
    PICK_UP,
    SERVICE,
    SUBMIT,
    USED,
)

# Waits are warm, work is cold. The kick and the pick-up are never in one picture.
_COLOURS = {
    SUBMIT: style.COLOURS[6],
    GATHER: style.COLOURS[3],
    PICK_UP: style.COLOURS[1],
    KICK: style.COLOURS[1],
    SERVICE: style.COLOURS[0],
    AWAY: style.COLOURS[0],
    USED: style.COLOURS[4],
    NOTICE: style.COLOURS[5],
    HAND: style.COLOURS[2],
}
_HEIGHT = 0.62  # of a bar


def draw(found: Sequence[Explained], conditions: str) -> Figure:
    """The whole picture; `conditions` says what was measured."""
    depths = list(dict.fromkeys(each.iodepth for each in found))
    rows = {depth: [each for each in found if each.iodepth == depth] for depth in depths}
    heights = [len(row) + 1.1 for row in rows.values()]
    with style.look():
        figure = style.figure(11.5, 1.5 + 0.52 * sum(heights))
        panels = figure.subplots(len(rows), 2, squeeze=False, height_ratios=heights)
        for (depth, row), (left, right) in zip(rows.items(), panels, strict=True):
            _panel(left, row, parts.MEDIAN, f"iodepth {depth}")
            _panel(right, row, parts.SLOWEST, f"iodepth {depth}")
            left.set_yticks(range(len(row)), [_label(each) for each in row])
            right.set_yticks([])
        _legend(figure, found, conditions)
        figure.suptitle("Where the time of a request goes", x=0.01, ha="left", weight="bold")
    return figure


def _label(each: Explained) -> str:
    """The way of waiting, and what it does for each I/O."""
    counts = {name: words.small(value) for name, value in each.counts.items()}
    switches = {
        side: counts[name]
        for side in ("fio", "the back-end")
        if (name := f"context switches of {side}") in counts
    }
    listed = ", ".join(f"{side} {value}" for side, value in switches.items())
    kicks, sleeps = (counts.get(name, "unknown") for name in ("kicks", "sleeps of fio"))
    shown = (each.wait, f"for each I/O: kicks {kicks}, sleeps {sleeps}")
    return "\n".join((*shown, f"context switches: {listed}" if listed else ""))


def _panel(axes: Axes, row: Sequence[Explained], which: str, heading: str) -> None:
    totals = [bar.total_ns for each in row if (bar := each.bar(which))]
    for place, each in enumerate(row):
        bar = each.bar(which)
        if bar:
            _bar(axes, place, bar, max(totals))
        else:
            axes.text(0, place, " too few requests to tell", va="center", color=style.MUTED)
    axes.set_ylim(len(row) - 0.45, -0.55)
    axes.set_xlim(0, 1.16 * max(totals, default=1.0))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_title(f"{heading}: {words.SUBJECTS[which]}", loc="left", fontsize=9.5)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    style.plain(axes.xaxis, style.duration)


def _bar(axes: Axes, place: int, bar: Bar, longest: float) -> None:
    start = 0.0
    for name, ns in bar.parts.items():
        axes.barh(place, ns, _HEIGHT, left=start, color=_COLOURS[name], linewidth=0)
        if ns > 0.11 * longest:
            axes.text(
                *(start + ns / 2, place, style.duration(ns)),
                ha="center",
                va="center",
                fontsize=7.5,
                color=style.PAPER,
            )
        start += ns
    total = style.duration(bar.total_ns)
    axes.text(start, place, f" {total}", va="center", fontsize=8.5, weight="bold")


def _legend(figure: Figure, found: Sequence[Explained], conditions: str) -> None:
    names = dict.fromkeys(name for each in found for bar in each.bars for name in bar.parts)
    handles = [Patch(color=_COLOURS[name], label=words.LABELS[name]) for name in names]
    legend = figure.legend(
        handles=handles,
        loc="lower left",
        ncols=3,
        frameon=False,
        fontsize=8.5,
        title=conditions,
        title_fontproperties={"size": 8.5},
        alignment="left",
    )
    legend.get_title().set_color(style.MUTED)
    # The panels stay above it. matplotlib itself can see to that only since 3.7.
    height = legend.get_window_extent().height / figure.bbox.height
    figure.set_layout_engine("constrained", rect=(0, height, 1, 1 - height))
