# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio compare: shows what changed between two results, and is a gate for CI.

This file prints. All numbers and words come from the package analysis, which is imported when the
command runs, because it is slow to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfio_virtio.cli.options import SOURCE
from pyfio_virtio.cli.output import json_option, refuse_two_formats
from pyfio_virtio.cli.pictures import keep_files_in_cache
from pyfio_virtio.cli.plans import read_plans
from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.export import json_text
from pyfio_virtio.sweep.candidates import paths
from pyfio_virtio.sweep.settings import read_settings, share

if TYPE_CHECKING:
    import pandas as pd

    from pyfio_virtio.analysis.claims import Study
    from pyfio_virtio.analysis.verdict import Limit, Verdict

    Names = tuple[str, str]
    Parts = tuple[pd.DataFrame, pd.DataFrame]

_EXIT_STATUS = {None: 0, "passed": 0, "failed": 4, "inconclusive": 5}


@click.command()
@click.argument("first", type=SOURCE, metavar="BASE")
@click.argument("second", type=SOURCE, metavar="[OTHER]", required=False)
@click.option("--base", help="With one folder: the back-end, build or fio to start from.")
@click.option("--other", help="With one folder: the one to compare it with.")
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
    first: Path,
    second: Path | None,
    base: str | None,
    other: str | None,
    metric: str,
    allow_unlike: bool,
    max_regression: str | None,
    allow_missing: bool,
    allow_unsettled: bool,
    markdown: bool,
    as_json: bool,
) -> None:
    """Compare two results, point by point: two folders, or what one sweep measured in turns.

    BASE and OTHER are folders of sweeps, or files or folders of fio's own JSON. They were not
    measured in turns, so a machine that changed in between looks like a difference. With BASE
    alone, two back-ends, builds or programs fio of that sweep are compared, by --base and --other
    if it has more than two. The intervals hold for all points together with a confidence of 95%.
    """
    keep_files_in_cache()
    from pyfio_virtio.analysis import compare as comparing
    from pyfio_virtio.analysis import load
    from pyfio_virtio.analysis.verdict import Verdict

    refuse_two_formats(markdown=markdown, json=as_json)
    limit = _limit(max_regression, metric, allow_missing, allow_unsettled)
    if second and (base or other):
        raise UsageError("--base and --other choose parts of one sweep", "", "name one folder")
    study = None
    if second:
        names, parts = _two_folders(first, second)
        warnings = _unfinished([first, second], parts)
    else:
        frame = load(first)
        names, parts, study = _one_folder(first, frame, base, other)
        warnings = _unfinished([first], [frame])
    changes = comparing.compare(*parts, metric, allow_unlike, names, study)
    found = Verdict(names, metric, changes, limit, warnings)
    if as_json:
        click.echo(json_text(found.as_dict()), nl=False)
    elif markdown:
        click.echo(found.markdown(), nl=False)
    else:
        _print(found)
    status = _EXIT_STATUS[found.outcome]
    if status:
        click.echo(f"pyfio-virtio: {found.reasons()}", err=True)
    context.exit(status)


def _two_folders(first: Path, second: Path) -> tuple[Names, Parts]:
    from pyfio_virtio.analysis import load, sources

    sources.require_different((first, second))
    base, other = sources.names_of((first, second))
    return (base, other), (load(first), load(second))


def _unfinished(folders: Sequence[Path], frames: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """A sentence for each sweep that has not made all of its runs."""
    import pandas as pd

    from pyfio_virtio.analysis import plans

    texts, _ = read_plans(folders)
    return tuple(plans.unfinished(pd.concat(frames), texts)) if texts else ()


def _one_folder(
    folder: Path, frame: pd.DataFrame, base: str | None, other: str | None
) -> tuple[Names, Parts, Study]:
    """Two alternatives of a sweep. Without names, the base is the one that was typed first."""
    from pyfio_virtio.analysis import claims
    from pyfio_virtio.analysis.compare import alternatives, of_alternative

    known = _as_typed(folder, alternatives(frame))
    if len(known) < 2:
        raise UsageError(
            f"{folder} has nothing to compare",
            "its sweep has only one back-end, build, fio and way of waiting",
            "name a second folder",
        )
    for name in filter(None, (base, other)):
        if name not in known:
            raise UsageError(f"{folder} has no {name}", "", f"it has {', '.join(known)}")
    names = [base or next(name for name in known if name != other)]
    names += [other] if other else [name for name in known if name != names[0]]
    if len(names) > 2:
        raise UsageError(
            f"{folder} has more than two to compare",
            "",
            f"choose two of {', '.join(known)} with --base and --other",
        )
    if names[0] == names[1]:
        raise UsageError(f"--base and --other are both {base}", "", "choose two")
    parts = of_alternative(frame, names[0]), of_alternative(frame, names[1])
    return (names[0], names[1]), parts, claims.study(frame)


def _as_typed(folder: Path, names: list[str]) -> list[str]:
    """The names in the order in which the sweep's command had them, as far as that is known."""
    from pyfio_virtio.results.results import PLAN

    if not (folder / PLAN).is_file():
        return names
    settings, _ = read_settings(folder / PLAN)
    typed = [each.name for each in settings.candidates]
    typed += [*paths(settings.engine_build, ""), *paths(settings.fio, "")]
    return sorted(names, key=lambda name: typed.index(name) if name in typed else len(typed))


def _limit(
    max_regression: str | None, metric: str, allow_missing: bool, allow_unsettled: bool
) -> Limit | None:
    from pyfio_virtio.analysis.metrics import metric as declared
    from pyfio_virtio.analysis.verdict import Limit

    limit = share(max_regression, "--max-regression")
    if limit is None or max_regression is None:
        return None
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
    click.echo("\n".join(["", *found.warnings, found.caution, found.summary]))
