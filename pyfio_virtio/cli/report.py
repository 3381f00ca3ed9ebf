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
from pyfio_virtio.cli.output import json_option, print_or_write, refuse_two_formats, write_file
from pyfio_virtio.cli.pictures import keep_files_in_cache
from pyfio_virtio.cli.plans import read_plans
from pyfio_virtio.cli.sweep_options import DEFAULT_FOLDER
from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.export import json_text

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
    help=f"The file to write.  [default: {PAGE} in FOLDER, or here if there are several folders; "
    f"{HISTORY} with --history]",
)
@click.option(
    "--history", is_flag=True, help="Show how a metric changed over several sweeps, by their time."
)
@click.option("--metric", default="iops", show_default=True, help="The column, with --history.")
@click.option("--markdown", is_flag=True, help="Print Markdown for a pull request, and no page.")
@json_option
def report(
    folders: Sequence[Path],
    output: Path | None,
    history: bool,
    metric: str,
    markdown: bool,
    as_json: bool,
) -> None:
    """Write the report of a sweep as one self-contained HTML page.

    Several sweeps are shown beside each other. Nothing is claimed of a difference between them,
    because they were not measured in turns.
    """
    keep_files_in_cache()
    from pyfio_virtio.analysis import load, report_pictures
    from pyfio_virtio.analysis import report as reports
    from pyfio_virtio.analysis.frame import measured

    refuse_two_formats(markdown=markdown, json=as_json)
    if history:
        _report_history(folders, output, metric, markdown, as_json)
        return
    if metric != "iops":
        raise UsageError("--metric needs --history", "a report shows all metrics")
    folders = folders or (Path(DEFAULT_FOLDER),)
    frame = load(*folders)
    plans, title = read_plans(folders)
    if as_json:
        print_or_write(json_text(reports.as_dict(frame, plans, title)), output)
    elif markdown:
        print_or_write(reports.markdown(frame, plans, title), output)
    else:
        beside = folders[0] if len(folders) == 1 and folders[0].is_dir() else Path()
        print_or_write(reports.html(frame, plans, title), output or beside / PAGE)
        for line in report_pictures.fronts(frame):
            click.echo(line, err=True)
    if measured(frame).empty:
        names = " and ".join(map(str, folders))
        click.echo(f"pyfio-virtio: no run of {names} succeeded; the report says why", err=True)
        click.get_current_context().exit(1)


def _report_history(
    folders: Sequence[Path], output: Path | None, metric: str, markdown: bool, as_json: bool
) -> None:
    from pyfio_virtio.analysis import report as reports
    from pyfio_virtio.analysis.history import read

    if not folders:
        raise UsageError("--history needs the folders of the sweeps")
    found = read(folders, metric)
    if as_json:
        print_or_write(json_text(found.as_dict()), output)
    elif markdown:
        print_or_write(reports.history_markdown(found), output)
    else:
        print_or_write(reports.history_html(found), output or Path(HISTORY))


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
    """Draw a picture of sweeps, or of fio's own JSON files.

    Several folders are lines or panels beside each other; the column folder has their names.
    """
    keep_files_in_cache()
    from pyfio_virtio.analysis import load, picture_names, style
    from pyfio_virtio.analysis.frame import measured, with_value

    if output.suffix not in (".png", ".svg"):
        raise UsageError(f"cannot draw {output}", "", "name a .png or .svg file with -o")
    frame = load(*(sources or (Path(DEFAULT_FOLDER),)))
    part = picture_names.Part(frame, [condition.partition("=")[0] for condition in where])
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals:
            raise UsageError(f"cannot read --where {condition}", "", "write --where COLUMN=VALUE")
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
        drawing: Figure = picture_names.draw_columns(frame, x, y, by, facet, part)
    else:
        drawing = picture_names.draw(frame, picture or "iops", facet, part)
    write_file(output, style.image(drawing, output.suffix))
    click.echo(str(output))
