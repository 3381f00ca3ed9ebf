# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio compare: shows what changed between two results, and is a gate for CI.

This file prints. All numbers and words come from the package analysis, which is imported when the
command runs, because it is slow to import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfio_virtio.cli.options import SOURCE, json_option, print_json
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.settings import share

if TYPE_CHECKING:
    from pyfio_virtio.analysis.verdict import Limit, Verdict

_EXIT_STATUS = {None: 0, "passed": 0, "failed": 4, "inconclusive": 5}


@click.command()
@click.argument("base", type=SOURCE)
@click.argument("other", type=SOURCE)
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
@click.option("--markdown", is_flag=True, help="Print Markdown for a pull request.")
@json_option
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
    markdown: bool,
    as_json: bool,
) -> None:
    """Compare the runs of OTHER with those of BASE, point by point.

    Each of them is a folder of a sweep, or a file or a folder of fio's own JSON. The intervals hold
    for all points together with a confidence of 95%. The two were not measured in turns, so a
    machine that changed in between looks like a difference.

    \b
      pyfio-virtio compare base new --max-regression 10%
    """
    from pyfio_virtio.analysis import load, sources
    from pyfio_virtio.analysis.compare import compare as compared
    from pyfio_virtio.analysis.verdict import Verdict

    if markdown and as_json:
        raise UsageError("--markdown and --json exclude each other", "", "choose one")
    limit = _limit(max_regression, metric, allow_missing, allow_unsettled)
    sources.require_different((base, other))
    first, second = sources.names_of((base, other))
    names = (first, second)
    changes = compared(load(base), load(other), metric, allow_unlike, names)
    found = Verdict(names, metric, changes, limit)
    if as_json:
        print_json(found.as_dict())
    elif markdown:
        click.echo(found.markdown(), nl=False)
    else:
        _print(found)
    status = _EXIT_STATUS[found.outcome]
    if status:
        click.echo(f"pyfio-virtio: {found.reasons()}", err=True)
    context.exit(status)


def _limit(
    max_regression: str | None, metric: str, allow_missing: bool, allow_unsettled: bool
) -> Limit | None:
    from pyfio_virtio.analysis.metrics import metric as declared
    from pyfio_virtio.analysis.verdict import Limit

    limit = share(max_regression)
    if limit is None or max_regression is None:
        return None
    if not 0 <= limit < 1:
        raise UsageError(f"unusable --max-regression {max_regression}", "", "write it as 5%")
    if not declared(metric).better:
        raise UsageError(
            f"--max-regression cannot judge {metric}",
            "neither more nor less of it is better",
            "choose another --metric, such as iops",
        )
    return Limit(limit, max_regression, allow_missing, allow_unsettled)


def _print(found: Verdict) -> None:
    from pyfio_virtio.cli.tables import print_table

    print_table(*found.table(), title=found.title)
    click.echo(f"\n{found.caution}\n{found.summary}")
