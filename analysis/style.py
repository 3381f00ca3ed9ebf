# SPDX-License-Identifier: GPL-2.0-or-later
"""The look of every picture: colours, markers, titles, labels, and reproducible files.

This file owns matplotlib's settings and the text around a plot. It is called from one thread,
because matplotlib requires that. It knows nothing about storage and computes no statistics.

Series differ by colour (the palette of Okabe and Ito, for colour-blind readers), by marker and
by dash, so that they also differ in a black-and-white print.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Transform

INK, MUTED, GRID, PAPER = "#1c1f24", "#5c636e", "#d9dce1", "#ffffff"
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b8609a",
    "#4a9fd8",
    "#c98a00",
    "#6b6f76",
    "#7a4fb5",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1)),
    (0, (6, 1.2, 1.2, 1.2, 1.2, 1.2)),
    (0, (9, 2)),
    (0, (1, 2)),
)
# In a page, each colour is a CSS variable, so that the page's theme sets it.
VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(COLOURS, 1)},
}
SIZE = (7.6, 4.6)
_FINDING = "finding"
_TITLE_LETTERS_PER_INCH = 9.6
_NOTE_LETTERS_PER_INCH = 13.5

_SETTINGS: Any = {
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "font.family": "DejaVu Sans",  # part of matplotlib, so it is the same on every machine
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "svg.hashsalt": "pyfio-virtio",
    "path.simplify": True,
    "savefig.dpi": 150,
}


@contextmanager
def look() -> Iterator[None]:
    """Sets the project's look for pictures drawn inside, and restores the settings afterwards."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def figure(width: float = SIZE[0], height: float = SIZE[1]) -> Figure:
    """An empty figure that needs no window system."""
    new = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(new)
    return new


def series(number: int) -> dict[str, Any]:
    """Colour, marker and dash of the series with this number."""
    place = number % len(COLOURS)
    return {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": DASHES[place]}


def image(drawing: Figure, suffix: str) -> bytes:
    """The file as PNG or SVG, by the suffix of its name; equal pictures make equal files."""
    kind = suffix.lstrip(".").lower()
    file = io.BytesIO()
    with look():
        _lay_out(drawing)
        drawing.savefig(file, format=kind, metadata=_no_date(kind))
    return file.getvalue()


def inline_svg(drawing: Figure, name: str, description: str) -> str:
    """The picture as an element of a page, in the page's colours; name makes its IDs unique."""
    text = io.StringIO()
    with look(), matplotlib.rc_context({"svg.hashsalt": name}):
        _lay_out(drawing)
        drawing.savefig(text, format="svg", metadata=_no_date("svg"))
    body = text.getvalue()
    body = body[body.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    # IDs of glyphs and groups must differ from those of other pictures in the page.
    body = re.sub(r'(id="|href="#|url\(#)', rf"\1{name}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, variable)
    return body.replace("<svg", f'<svg role="img" aria-label="{_attribute(description)}"', 1)


def titles(axes: Axes, finding: str, conditions: str) -> None:
    """Writes the finding above the plot and the conditions below it in grey, both wrapped."""
    width = _width(axes)
    note = textwrap.fill(conditions, int(width * _NOTE_LETTERS_PER_INCH))
    # Names of percentiles, such as p99, keep their lower-case letter.
    finding = finding if finding[1:2].isdigit() else capital(finding)
    title = textwrap.fill(finding, int(width * _TITLE_LETTERS_PER_INCH))
    lines = note.count("\n") + 1
    below = axes.annotate(
        note,
        (0, 1),
        xytext=(0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        color=MUTED,
        fontsize=8.5,
        va="bottom",
    )
    # The title's pad reserves the height, so the layout ignores this text.
    below.set_in_layout(False)
    axes.set_title(
        title, loc="left", pad=11 + 11.5 * lines, fontsize=11.5, weight="bold", gid=_FINDING
    )


def capital(sentence: str) -> str:
    """The sentence with a capital letter. A unit keeps its letter, because M is not µ, and so does
    an option, such as hosts=4."""
    is_kept = not sentence[:1].isascii() or "=" in sentence.partition(" ")[0]
    return sentence if is_kept else sentence[:1].upper() + sentence[1:]


def finding_of(axes: Axes) -> str:
    """The finding in the title of a picture, on one line."""
    return axes.get_title("left").replace("\n", " ")


def prefix_finding(axes: Axes, words: str) -> None:
    """Puts words before the title, to name the panel of small multiples."""
    whole = f"{words}: {finding_of(axes)}"
    for title in axes.findobj(lambda each: each.get_gid() == _FINDING):
        title.set(text=textwrap.fill(whole, int(_width(axes) * _TITLE_LETTERS_PER_INCH)))


def root_of(axes: Axes) -> Figure:
    """The whole figure that the axes are drawn in."""
    nearest = axes.figure
    assert nearest is not None, "the axes were removed from their figure"  # noqa: S101
    return nearest.figure  # a part of a figure (SubFigure) names the whole figure here


def _width(axes: Axes) -> float:
    """The width of this picture in the figure, in inches."""
    spec = axes.get_subplotspec()
    columns = spec.get_topmost_subplotspec().get_gridspec().ncols if spec else 1
    return root_of(axes).get_figwidth() / columns


def end_labels(axes: Axes, ends: Iterable[tuple[float, float, str, str]]) -> None:
    """Writes the name of each series (x, y, name, colour) beside its end, without overlap."""
    labels = [_end_label(axes, *end) for end in ends]

    def place(_: Axes) -> None:
        to_axes = _to_axes(axes)
        placed = sorted(
            (to_axes.transform(each.xy)[1], number) for number, each in enumerate(labels)
        )
        heights = spread([height for height, _ in placed], 0.055)
        for (_, number), height in zip(placed, heights, strict=True):
            labels[number].set_position((1.02, height))

    place(axes)
    # Panels side by side get one scale after all of them are drawn.
    axes.callbacks.connect("ylim_changed", place)


def _end_label(axes: Axes, x: float, y: float, name: str, colour: str) -> Annotation:
    return axes.annotate(
        name,
        (x, y),
        xytext=(1.02, 0),
        textcoords="axes fraction",
        color=colour,
        va="center",
        fontsize=9,
        annotation_clip=False,
        arrowprops={
            "arrowstyle": "-",
            "color": colour,
            "linewidth": 0.6,
            "shrinkA": 0,
            "shrinkB": 4,
            "relpos": (0, 0.5),
        },
    )


def point_labels(axes: Axes, points: Iterable[tuple[float, float, str, str]]) -> None:
    """Writes the name of each point (x, y, name, colour), except names that would overlap."""
    to_axes = _to_axes(axes)
    taken: list[tuple[float, float]] = []
    for x, y, name, colour in points:
        across, up = to_axes.transform((x, y))
        if any(abs(across - a) < 0.05 and abs(up - b) < 0.035 for a, b in taken):
            continue
        taken.append((across, up))
        axes.annotate(
            name,
            (x, y),
            xytext=(4, 3),  # beside the intervals
            textcoords="offset points",
            va="bottom",
            fontsize=7.5,
            color=colour,
        )


def _to_axes(axes: Axes) -> Transform:
    """The transform from data to fractions of the axes' sides."""
    axes.get_xlim(), axes.get_ylim()  # matplotlib updates the limits only when they are read
    return axes.transScale + axes.transLimits


def spread(places: list[float], gap: float) -> list[float]:
    """Moves ascending places apart to at least gap, and each of them as little as possible."""
    groups: list[list[float]] = []  # sum of (place - its offset in the group), and its size
    for place in places:
        groups.append([place, 1])
        while len(groups) > 1:
            (one, few), (two, more) = groups[-2], groups[-1]
            if two / more - one / few >= gap * (few + more) / 2:
                break
            groups[-2:] = [[one + two, few + more]]
    return [
        total / size + gap * (number - (size - 1) / 2)
        for total, size in groups
        for number in range(int(size))
    ]


def short(value: float, digits: int = 3) -> str:
    """A number in short form: 2.61M, 85k, 0.35."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            return f"{value / limit:.{digits}g}{letter}"
    return f"{value:.{digits}g}"


def number(value: float) -> str:
    """A number with three digits and never with an exponent: 0.35, 12.3, 1,234."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.7f}".rstrip("0").rstrip(".")


def duration(nanoseconds: float) -> str:
    """A time with a unit that fits its size."""
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= limit * 0.9995:
            return f"{nanoseconds / limit:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def plain(axis: Axis, text: Callable[[float], str] = short) -> None:
    """Ticks with short numbers; a short log axis also gets ticks at 2 and 5."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(NullLocator())
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and high / low < 300:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def _lay_out(drawing: Figure) -> None:
    """Computes the layout once, because savefig() would draw everything twice to do so."""
    engine = drawing.get_layout_engine()
    if engine:
        engine.execute(drawing)
        drawing.set_layout_engine("none")


def _no_date(kind: str) -> dict[str, Any]:
    return {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
