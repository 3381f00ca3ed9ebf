# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio report, plot and compare: show what the analysis finds, as files and as text.

This file prints and writes files. All numbers and pictures come from the package analysis, which
is imported when a command runs, because it is slow to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfio_virtio.cli.sweep_options import DEFAULT_FOLDER
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.settings import read_settings, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyfio_virtio.analysis.compare import Change, Gate

_GATE_FAILED = 4
_GATE_OPEN = 5
_SOURCE = click.Path(exists=True, path_type=Path)
PAGE = "report.html"
HISTORY = "history.html"


@click.command()
@click.argument("folders", nargs=-1, type=_SOURCE, metavar="[FOLDER]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The page to write.  [default: {PAGE} in FOLDER, or {HISTORY} with --history]",
)
@click.option(
    "--history", is_flag=True, help="Show how a metric changed over several sweeps, by their time."
)
@click.option("--metric", default="iops", show_default=True, help="The column, with --history.")
@click.option(
    "--markdown", is_flag=True, help="Print Markdown for a pull request, and write no page."
)
def report(
    folders: Sequence[Path], output: Path | None, history: bool, metric: str, markdown: bool
) -> None:
    """Write the report of a sweep as one self-contained HTML page.

    The exit status is 1 if no run succeeded.

    \b
      pyfio-virtio report out
      pyfio-virtio report --history nightly/* -o history.html
    """
    from pyfio_virtio.analysis import load
    from pyfio_virtio.analysis import report as reports
    from pyfio_virtio.analysis.frame import measured

    if history:
        _report_history(folders, output, metric, markdown)
        return
    if metric != "iops":
        raise UsageError("--metric needs --history", "a report of one sweep shows all metrics")
    if len(folders) > 1:
        raise UsageError(
            "a report shows one sweep",
            f"{len(folders)} folders were given",
            "use report --history for several, or compare for two",
        )
    folder = folders[0] if folders else Path(DEFAULT_FOLDER)
    frame = load(folder)
    plan, title = _plan(folder)
    if markdown:
        click.echo(reports.markdown(frame, plan, title))
    else:
        page = output or (folder if folder.is_dir() else Path()) / PAGE
        _write_page(page, reports.html(frame, plan, title))
    if measured(frame).empty:
        click.echo(f"pyfio-virtio: no run of {folder} succeeded; the report says why", err=True)
        click.get_current_context().exit(1)


def _report_history(
    folders: Sequence[Path], output: Path | None, metric: str, markdown: bool
) -> None:
    from pyfio_virtio.analysis import report as reports
    from pyfio_virtio.analysis.history import read

    if not folders:
        raise UsageError("--history needs the folders of the sweeps")
    found = read(folders, metric)
    if markdown:
        click.echo(reports.history_markdown(found))
        return
    _write_page(output or Path(HISTORY), reports.history_html(found))


def _write_page(page: Path, text: str) -> None:
    if not page.parent.is_dir():
        raise UsageError(f"cannot write {page}", "its folder does not exist")
    _write(page, text)
    click.echo(str(page))


def _plan(folder: Path) -> tuple[str, str]:
    from pyfio_virtio.results.results import PLAN

    path = folder / PLAN
    if not path.is_file():
        return "", ""
    return path.read_text(encoding="utf-8"), read_settings(path)[0].title


def _write(path: Path, text: str) -> None:
    from pyfio_virtio.results.results import write_atomically

    try:
        write_atomically(path, text)
    except OSError as error:
        raise UsageError(f"cannot write {path}", error.strerror or str(error)) from error


@click.command()
@click.argument("sources", nargs=-1, type=_SOURCE, metavar="FOLDER|FILE.json...")
@click.option("--picture", help="Name of a picture: iops, p99, latency, percentiles, cost ...")
@click.option("--x", help="Column of the x axis, for a picture of any two columns.")
@click.option("--y", default="iops", show_default=True, help="Column of the y axis, with --x.")
@click.option("--by", help="Draw one line for each value of this column.")
@click.option("--facet", help="Draw one panel for each value of this column.")
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Use only the runs that have this value; may be repeated.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("plot.png"),
    show_default=True,
    help="The .png or .svg file to write.",
)
def plot(
    sources: Sequence[Path],
    picture: str | None,
    x: str | None,
    y: str,
    by: str | None,
    facet: str | None,
    where: Sequence[str],
    output: Path,
) -> None:
    """Draw a picture of a sweep, or of fio's own JSON files.

    \b
      pyfio-virtio plot out --picture latency
      pyfio-virtio plot *.json --x iodepth --y p99_ns --by bs -o p99.svg
    """
    from pyfio_virtio.analysis import load, picture_names, style
    from pyfio_virtio.analysis.frame import measured, with_value

    if output.suffix not in (".png", ".svg"):
        raise UsageError(f"cannot draw {output}", "", "name a .png or .svg file with -o")
    frame = load(*(sources or (Path(DEFAULT_FOLDER),)))
    for condition in where:
        column, _, value = condition.partition("=")
        if column not in frame:
            raise UsageError(f"no column {column}", "", "write --where COLUMN=VALUE")
        frame = with_value(frame, column, value)
        if measured(frame).empty:
            raise UsageError(
                f"no run is left where {condition}",
                "",
                "use --where less often, or with other values",
            )
    if x:
        drawing: Figure = picture_names.draw_columns(frame, x, y, by, facet)
    else:
        drawing = picture_names.draw(frame, picture or "iops", facet)
    style.save(drawing, output)
    click.echo(str(output))


@click.command()
@click.argument("base", type=_SOURCE)
@click.argument("other", type=_SOURCE)
@click.option("--metric", default="iops", show_default=True, help="The column to compare.")
@click.option("--allow-unlike", is_flag=True, help="Compare even if machines or programs differ.")
@click.option(
    "--max-regression",
    metavar="SHARE",
    help="Judge by a limit such as 5%. The exit status is 4 if a point is surely worse by more "
    "than that, and 5 if this cannot be judged at every point.",
)
@click.option(
    "--allow-missing", is_flag=True, help="Judge without the points that one of the two lacks."
)
@click.option(
    "--allow-unsettled",
    is_flag=True,
    help="Let the points pass whose runs are too few or too noisy to judge them.",
)
@click.pass_context
def compare(
    context: click.Context,
    base: Path,
    other: Path,
    metric: str,
    allow_unlike: bool,
    max_regression: str | None,
    allow_missing: bool,
    allow_unsettled: bool,
) -> None:
    """Compare the runs of OTHER with those of BASE, point by point.

    The intervals hold for all points together with a confidence of 95%. The two were not measured
    in turns, so a machine that changed in between looks like a difference.
    """
    from pyfio_virtio.analysis import load
    from pyfio_virtio.analysis.compare import compare as compared
    from pyfio_virtio.analysis.compare import gate
    from pyfio_virtio.analysis.metrics import metric as declared

    limit = share(max_regression)
    if limit is not None and not 0 <= limit < 1:
        raise UsageError(f"unusable --max-regression {max_regression}", "", "write it as 5%")
    if limit is not None and not declared(metric).better:
        raise UsageError(
            f"--max-regression cannot judge {metric}",
            "neither more nor less of it is better",
            "choose another --metric, such as iops",
        )
    changes = compared(load(base), load(other), metric, allow_unlike)
    _print_changes(changes, metric, (base, other))
    if limit is not None:
        context.exit(
            _judge(gate(changes, limit), str(max_regression), allow_missing, allow_unsettled)
        )


def _judge(found: Gate, limit: str, allow_missing: bool, allow_unsettled: bool) -> int:
    """Prints one line for each reason, and returns the exit status."""
    reasons = []
    if found.worse:
        reasons.append((_GATE_FAILED, found.worse, f"surely worse by more than {limit}", ""))
    if found.missing and not allow_missing:
        reasons.append((_GATE_OPEN, found.missing, "missing", "--allow-missing"))
    if found.open and not allow_unsettled:
        they = "it" if len(found.open) == 1 else "they"
        what = f"not settled: {they} may be worse by more than {limit}, or not"
        reasons.append((_GATE_OPEN, found.open, what, "more runs, or --allow-unsettled"))
    for _, names, what, remedy in reasons:
        advice = f" (use {remedy})" if remedy else ""
        count = f"{len(names)} of {_points(found)} {'is' if len(names) == 1 else 'are'}"
        click.echo(f"pyfio-virtio: {count} {what}{advice}: {'; '.join(names)}", err=True)
    if reasons:
        return reasons[0][0]
    if len(found.missing) == found.points:
        click.echo("pyfio-virtio: every point is missing, so none was judged", err=True)
        return _GATE_OPEN
    allowed = [f"{len(found.open)} not settled"] if found.open else []
    allowed += [f"{len(found.missing)} missing"] if found.missing else []
    are = "is" if found.passed == 1 else "are"
    sure = f"{found.passed} of {_points(found)} {are} surely not worse by more than {limit}"
    click.echo(f"{', '.join([sure, *allowed])}: passed")
    return 0


def _points(found: Gate) -> str:
    return f"{found.points} {'point' if found.points == 1 else 'points'}"


def _print_changes(changes: Sequence[Change], metric: str, sources: Sequence[Path]) -> None:
    from pyfio_virtio.analysis.metrics import metric as declared
    from pyfio_virtio.cli.tables import print_table

    show = declared(metric).show
    rows = [
        (
            each.name or "all runs",
            *("" if value != value else show(value) for value in (each.base, each.other)),
            *_ratio(each),
            "; ".join(filter(None, (each.missing or each.comparison.sentence(), each.note))),
        )
        for each in changes
    ]
    first, second = (f"{metric} {source.name or source}" for source in sources)
    print_table(("point", first, second, "ratio", "95% interval", "result"), rows)


def _ratio(change: Change) -> tuple[str, str]:
    ratio = change.comparison.ratio
    if change.missing:
        return "", ""
    if not change.comparison.is_enough:
        return _digits(ratio.value), ""
    shown = [_digits(value) for value in (ratio.value, ratio.interval.low, ratio.interval.high)]
    return shown[0], f"{shown[1]} to {shown[2]}"


def _digits(ratio: float) -> str:
    """Three decimals, or three digits of a ratio that has none of its own among them."""
    return f"{ratio:.3f}" if ratio >= 0.1 else f"{ratio:.3g}"
