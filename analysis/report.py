# SPDX-License-Identifier: GPL-2.0-or-later
"""The report: one page, in one file, that answers the sweep's question.

This file owns the content of the page and its order. The sentences come from claims.py, the
warnings from checks.py, and the pictures from plots.py and timeplots.py. It is called from one
thread. The page refers to nothing outside itself, and equal results make equal pages.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import (
    checks,
    claims,
    hosts,
    stats,
    style,
)
from pyfio_virtio.analysis import (
    markdown as markdown_text,
)
from pyfio_virtio.analysis.frame import (
    axes,
    column_names,
    fixed,
    in_turns_axes,
    measured,
)
from pyfio_virtio.analysis.history import History
from pyfio_virtio.analysis.history import draw as draw_history
from pyfio_virtio.analysis.metrics import metric
from pyfio_virtio.analysis.names import SUBJECTS, listed
from pyfio_virtio.analysis.plans import NO_PLANS, Plans, unfinished
from pyfio_virtio.analysis.report_pictures import Picture, draw, fronts, left_out
from pyfio_virtio.analysis.table import (
    DASH,
    Cell,
    Table,
    heading,
    lacks_both_sides,
    records,
    tabulate,
)
from pyfio_virtio.results.record import NULL, Row

MOST_COMMANDS = 20
# The text of plan.toml of each folder, by its name.
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Report:
    """The values that the templates insert."""

    title: str
    question: str
    failures: tuple[str, ...]
    headline: str
    answers: tuple[str, ...]
    controls: tuple[str, ...]
    warnings: tuple[str, ...]
    table: Table
    table_note: str
    environment: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    job: str
    plans: Plans
    fronts: tuple[str, ...] = ()  # of latency and CPU time, where there are no pictures


def html(frame: pd.DataFrame, plans: Plans = NO_PLANS, title: str = "") -> str:
    """The page as HTML."""
    found = claims.study(frame)
    filled = describe(frame, plans, title, found)
    pictures, lacking = tuple(draw(frame, found)), left_out(frame)
    return _render("report.html.j2", report=filled, pictures=pictures, left_out=lacking)


def markdown(frame: pd.DataFrame, plans: Plans = NO_PLANS, title: str = "") -> str:
    """The report as Markdown without pictures, for a pull request."""
    filled = replace(describe(frame, plans, title), fronts=tuple(fronts(frame)))
    return _render("report.md.j2", report=filled)


def as_dict(frame: pd.DataFrame, plans: Plans = NO_PLANS, title: str = "") -> Row:
    """The report for programs; docs/reports.md describes it."""
    found = replace(describe(frame, plans, title), fronts=tuple(fronts(frame)))
    return {
        "title": found.title,
        "question": found.question,
        "headline": found.headline,
        "answers": list(found.answers),
        "fronts": list(found.fronts),
        "failures": list(found.failures),
        "warnings": list(found.warnings),
        "controls": list(found.controls),
        "points": records(frame),
        "environment": dict(found.environment),
    }


def history_html(found: History) -> str:
    """The page of a history as HTML."""
    with style.look():
        svg = style.inline_svg(draw_history(found), "history", found.sentences[0])
    picture = Picture(Markup(svg), "")  # noqa: S704 - made here, and its texts are escaped
    return _render("report.html.j2", report=_of_history(found), pictures=(picture,))


def history_markdown(found: History) -> str:
    """The history as Markdown without its picture."""
    return _render("report.md.j2", report=_of_history(found))


def _of_history(found: History) -> Report:
    show = metric(found.metric).show
    rows = [
        (Cell(name, name or "all runs"), *(_metric_text(value, show) for value in values))
        for name, values in zip(found.points, found.medians.tolist(), strict=True)
    ]
    return Report(
        title="",
        question=f"How did {found.metric} change over {_sweeps(found)}?",
        failures=(),
        headline=found.sentences[0],
        answers=found.sentences if len(found.sentences) > 1 else (),
        controls=(),
        warnings=found.warnings,
        table=Table(("point", *found.sweeps), tuple(rows)),
        table_note=(
            "Each value is the median of a sweep's runs. "
            "A dash means that the sweep has no result of the point."
        ),
        environment=tuple(zip(found.sweeps, found.dates, strict=True)),
        commands=(),
        job="",
        plans=NO_PLANS,
    )


def _sweeps(found: History) -> str:
    return f"{len(found.sweeps)} {'sweep' if len(found.sweeps) == 1 else 'sweeps'}"


def _metric_text(value: float, show: Callable[[float], str]) -> Cell:
    return Cell(-1, DASH) if pd.isna(value) else Cell(float(value), show(value))


def _render(name: str, **values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"escaped": markdown_text.escape, "fenced": markdown_text.fence}
    return environment.get_template(name).render(**values)


# ---- words -----------------------------------------------------------------------------


def describe(
    frame: pd.DataFrame,
    plans: Plans = NO_PLANS,
    title: str = "",
    found: claims.Study | None = None,
) -> Report:
    """The report without its pictures."""
    found = found or claims.study(frame)
    runs = measured(frame)
    return Report(
        title=" ".join(title.split()),
        question=question(frame),
        failures=(*checks.failures(frame), *hosts.failures(frame)),
        headline=claims.headline(found),
        answers=tuple(answer.sentence for answer in found.answers if len(found.answers) > 1),
        controls=(*_controls(frame), *hosts.sentences(frame)),
        warnings=(
            *unfinished(frame, plans),
            *filter(None, (claims.advice(found),)),
            *checks.warnings(frame),
            *_stopped_early(plans),
        ),
        table=tabulate(frame),
        table_note=_table_note(runs),
        environment=tuple(_environment(frame)),
        commands=tuple(_commands(frame)),
        job=str(runs["job"].iloc[0]) if "job" in runs and len(runs) else "",
        plans=plans,
    )


def _table_note(runs: pd.DataFrame) -> str:
    note = (
        "The values are medians of the runs, with intervals for IOPS. Percentiles are taken from "
        "all runs' I/Os together. IOPS per core are the I/Os for each second of CPU time that fio "
        "and the back-end use together. A dash means that too little was measured."
    )
    if not lacks_both_sides(runs):
        return note
    lacking = "It is not known how much CPU time the back-end used in some runs"
    return (
        f"{note} {lacking}; IOPS per core of {efficiency.FIO_ALONE} are in a column of their own."
    )


def _stopped_early(plans: Plans) -> Iterator[str]:
    """What a sweep that adds rounds until the intervals are narrow must say of them."""
    if any(tomllib.loads(plan).get("target_ci") is not None for plan in plans.values()):
        yield (
            "The sweep added rounds to a point until its interval was narrow enough (target_ci). "
            "An interval that is narrow by chance ends this early, so the intervals contain the "
            "true value less often than they say."
        )


def question(frame: pd.DataFrame) -> str:
    """The question that the sweep answers, from the axes that it varied."""
    asked = next((name for name in SUBJECTS if name in in_turns_axes(frame)), "way")
    varied = [heading(name) for name in axes(frame) if name != asked]
    shared = fixed(frame)
    what = " ".join(str(shared[name]) for name in ("rw", "bs") if name in shared)
    by = f" as {listed(varied)} var{'ies' if len(varied) == 1 else 'y'}" if varied else ""
    if asked in axes(frame):
        return f"Which {SUBJECTS[asked][0]} serves {what or 'this load'} best{by}?"
    return f"What do IOPS and latency of {what or 'this load'} do{by}?"


def _controls(frame: pd.DataFrame) -> Iterator[str]:
    noise = checks.noise(frame)
    if noise:
        yield (
            f"Noise: one point ({noise.where}) was measured twice in each round. {_apart(noise)}"
        )
        if noise.is_biased:
            yield "Warning: the two measurements differ, although they are of the same point."
    nulls = frame[(frame["role"] == NULL) & frame["error"].isna()]
    if len(nulls):
        ceiling = style.short(nulls["iops"].median())
        yield f"Ceiling: fio's own null engine, which does no I/O, reached {ceiling} IOPS here."


def _apart(noise: checks.Noise) -> str:
    largest = stats.percent(noise.largest)
    if noise.pairs == 1:
        return f"The two runs of the only pair differ by {largest}."
    return (
        f"In half of the {noise.pairs} pairs the two differ by at most "
        f"{stats.percent(noise.typical)}, and in all of them by at most {largest}."
    )


def _environment(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    wanted = ["fio_version", "engine_version", "backend", "backend_version"]
    for name in wanted + sorted(each for each in column_names(frame) if each.startswith("host_")):
        known = frame[name].dropna().unique().tolist() if name in frame else []
        if name == "host_disk_bytes":
            yield "disk", "; ".join(f"{int(each):,} bytes" for each in sorted(known))
            continue
        # The null engine runs without our engine and without a back-end.
        values = [value for value in known if value not in ("", "none")]
        if values:
            label = name.removeprefix("host_").replace("_", " ")
            yield label, _range(values)


def _range(values: Sequence[Any]) -> str:
    if len(values) > 3 and all(isinstance(value, (int, float)) for value in values):
        return f"{style.number(min(values))} to {style.number(max(values))}"
    texts = [style.number(v) if isinstance(v, float) else str(v) for v in values]
    return "; ".join(sorted(texts))


def _commands(frame: pd.DataFrame) -> Iterator[str]:
    lines: dict[str, None] = {}
    for column in ("backend_command", "fio_command"):
        if column in frame:
            lines.update(dict.fromkeys(command for command in frame[column].dropna() if command))
    yield from list(lines)[:MOST_COMMANDS]
    if len(lines) > MOST_COMMANDS:
        yield f"# and {len(lines) - MOST_COMMANDS} more, in runs.jsonl"
