# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio report and plot: show what the analysis finds, as files and as text.

This file prints and writes files. All numbers and pictures come from the package analysis, which
is imported when a command runs, because it is slow to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfio_virtio.cli.options import SOURCE
from pyfio_virtio.cli.sweep_options import DEFAULT_FOLDER
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.settings import read_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
HISTORY = "history.html"


@click.command()
@click.argument("folders", nargs=-1, type=SOURCE, metavar="[FOLDER]...")
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
@click.argument("sources", nargs=-1, type=SOURCE, metavar="FOLDER|FILE.json...")
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
