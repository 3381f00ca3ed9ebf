# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws the timelines of docs/waiting.md: python docs/pictures/timelines.py docs/pictures

They are sketches of one request, and not to scale. The table below is all that they show; it has
for each way of waiting what fio's thread does and what the back-end does, in the order of time.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

WORKS, LOOKS, SLEEPS, WAKES = "works", "looks at the ring", "sleeps", "is being woken"
COLOURS = {WORKS: "#0072b2", LOOKS: "#e69f00", SLEEPS: "#d9d9d9", WAKES: "#d55e00"}


class State(NamedTuple):
    """What a thread does from one time to another, in units without a meaning."""

    what: str
    begin: float
    end: float


class Way(NamedTuple):
    """What fio's thread and the back-end do, and when fio finds the completed request."""

    fio: tuple[State, ...]
    back_end: tuple[State, ...]
    found: float


DONE = 10.0  # when the request is completed
END = 20.0
SERVES = (State(LOOKS, 0, 2.5), State(WORKS, 2.5, DONE), State(LOOKS, DONE, END))
WAYS = {
    "busy": Way((State(WORKS, 0, 2), State(LOOKS, 2, 10.5), State(WORKS, 10.5, 12)), SERVES, 10.5),
    "event": Way(
        (State(WORKS, 0, 2), State(SLEEPS, 2, 11), State(WAKES, 11, 18), State(WORKS, 18, 19.5)),
        # The call is a system call of the back-end.
        (State(LOOKS, 0, 2.5), State(WORKS, 2.5, 11), State(LOOKS, 11, END)),
        18,
    ),
    "sleepy": Way(
        (
            *(State(WORKS, 0, 2), State(SLEEPS, 2, 7.5), State(LOOKS, 7.5, 8)),
            *(State(SLEEPS, 8, 13.5), State(LOOKS, 13.5, 14), State(WORKS, 14, 15.5)),
        ),
        SERVES,
        13.5,
    ),
}
# wait=adaptive, over a much longer time: the way that each period uses, and how long it lasts.
PERIODS = (
    *(("busy", 4), ("event", 1), ("busy", 4), ("sleepy", 1), ("busy", 2)),
    *(("sleepy", 1), ("sleepy", 4), ("busy", 1), ("sleepy", 2)),
)
OF_WAYS = {"busy": "#4a9fd8", "event": "#d9d9d9", "sleepy": "#b8609a"}
# Ids in the file are made of this, so that the same drawing is the same file.
SALT = "timelines"


def draw(axes: Axes, name: str) -> None:
    """One way: fio's thread above, and the back-end below."""
    way = WAYS[name]
    for height, states in ((1.0, way.fio), (0.0, way.back_end)):
        for state in states:
            length, colour = state.end - state.begin, COLOURS[state.what]
            axes.barh(height, length, 0.6, left=state.begin, color=colour, linewidth=0)
    axes.axvline(DONE, color="#000000", linewidth=1.2, linestyle=":")
    axes.axvline(way.found, color="#000000", linewidth=1.2)
    axes.set_yticks([1.0, 0.0], ["fio's thread", "back-end"])
    bare(axes, f"wait={name}")


def draw_adaptive(axes: Axes) -> None:
    begin = 0.0
    for name, length in PERIODS:
        axes.barh(0, length, 0.6, left=begin, color=OF_WAYS[name], edgecolor="white")
        if length > 1:
            axes.text(begin + length / 2, 0, name, ha="center", va="center")
        begin += length
    axes.set_yticks([0.0], ["fio's thread"])
    bare(axes, "wait=adaptive, over many requests: short trials of other ways")


def bare(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_xlim(0, END)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def main(folder: Path) -> None:
    mpl.rcParams.update({"svg.hashsalt": SALT, "font.size": 10, "svg.fonttype": "none"})
    figure = Figure(figsize=(8, 6), layout="constrained", facecolor="white")
    rows = figure.subplots(len(WAYS) + 1, 1, height_ratios=[2] * len(WAYS) + [1.2])
    for axes, name in zip(rows, WAYS, strict=False):
        draw(axes, name)
    draw_adaptive(rows[-1])
    handles = [Patch(color=colour, label=what) for what, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle("Dotted: the request is done. Solid: fio's thread finds it.")
    figure.savefig(folder / "waiting.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
