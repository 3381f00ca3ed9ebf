# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio sweep: runs fio many times, so that the conclusions can be repeated later.

Turns flags and a TOML file into settings, asks before it writes to a disk that may hold data, and
reports how the sweep went. Modules that are slow to import are imported when they are needed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyfio_virtio.cli.options import confirm, dry_run_option, seconds_option
from pyfio_virtio.cli.output import write_file
from pyfio_virtio.cli.progress import duration, watching
from pyfio_virtio.cli.sweep_options import DEFAULT_FOLDER, sweep_options
from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine import signals
from pyfio_virtio.sweep.settings import Settings, merge, read_settings, to_toml

if TYPE_CHECKING:
    from pyfio_virtio.sweep.points import Sweep
    from pyfio_virtio.sweep.run import Tally

_SOME_FAILED = 1


class _SweepFile(click.Path):
    """The file of a sweep. Options of fio that follow -- are told apart, as `run` has them."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        parameter: click.Parameter | None,
        context: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's
        word = str(value)
        if word.startswith("-") and not Path(word).exists():
            name, equals, text = word.lstrip("-").partition("=")
            option = shlex.quote(f"{name}={text if equals else 'VALUE'}")
            raise UsageError(
                f"cannot use {word} here",
                "a sweep takes options of fio by --set",
                f"write --set {option}",
            )
        return super().convert(value, parameter, context)


@click.command()
@click.argument(
    "file", required=False, type=_SweepFile(exists=True, dir_okay=False, path_type=Path)
)
@sweep_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(DEFAULT_FOLDER),
    show_default=True,
    help="The folder for the results; a sweep that it already holds is continued.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the sweep to this TOML file, and run nothing.",
)
@seconds_option(
    "--patience",
    least=0.001,
    default="30",
    show_default=True,
    help="Time that fio may run beyond its runtime before it is killed.",
)
@click.option(
    "--keep-going",
    is_flag=True,
    help="Make all runs, even if failures would repeat. Otherwise the sweep stops when runs in a "
    "row fail in the same way, and their points have no value in common that others lack, or when "
    "nobody serves the socket any more.",
)
@click.option(
    "--yes", is_flag=True, help="Do not ask before writing to other disks than the sweep's own."
)
@dry_run_option
@click.pass_context
def sweep(
    context: click.Context,
    file: Path | None,
    output: Path,
    save: Path | None,
    patience: float,
    keep_going: bool,
    yes: bool,
    dry_run: bool,
    given: Mapping[str, Any],
) -> None:
    """Measure combinations of options, in repeated runs.

    Each combination is called a point. FILE is a sweep that --save wrote; flags take precedence
    over it. Before the first run, and with --dry-run too, fio and the engine check every value;
    for this, a back-end is started for a moment with an empty disk. After an interruption, the
    same command continues the sweep.
    """
    settings = merge(read_settings(file)[0] if file else Settings(), given)
    settings.check(said=given)
    if save:
        write_file(save, to_toml(settings, {}))
        return
    from pyfio_virtio.sweep import checks, programs
    from pyfio_virtio.sweep.points import resolve
    from pyfio_virtio.sweep.run import check_folder

    # What the user typed on this command line needs no question.
    named = [() if key in given else getattr(settings, key) for key in ("fio", "engine_build")]
    confirm("this sweep", programs.reached(*named), yes, "name them on the command line")
    resolved = resolve(settings, partial(click.echo, err=True))
    check_folder(resolved, output)
    for warning in checks.check(resolved):
        click.echo(f"pyfio-virtio: {warning}", err=True)
    if dry_run:
        _print_script(resolved)
        return
    keys = [key for key in ("backend", "backend_option") if key not in given]
    unseen = any(getattr(settings, key) != getattr(Settings(), key) for key in keys)
    _ask(resolved, yes, with_backends=unseen)
    context.exit(_run(resolved, output, patience, keep_going))


def _print_script(resolved: Sweep) -> None:
    from pyfio_virtio.sweep.points import script

    for line in script(resolved):
        click.echo(line)
    click.echo(f"# {_extent(resolved)}")


def _extent(resolved: Sweep) -> str:
    settings = resolved.settings
    runs = resolved.runs()
    points = len(resolved.points())
    text = f"{_count(points, 'point')}, {_count(runs, 'run')}"
    text += f", {duration(runs * resolved.run_seconds())}"
    if settings.rate_steps:
        rates = ", ".join(f"{step}%" for step in settings.rate_steps)
        text += f", including runs at {rates} of the IOPS that each point reaches"
    if settings.target_ci:
        text += f"; then more repeats until the IOPS are known to ±{settings.target_ci * 100:.4g}%"
    return f"{text}; order {settings.order}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ask(resolved: Sweep, yes: bool, with_backends: bool) -> None:
    from pyfio_virtio.sweep.points import reached

    found = reached(resolved.points(), with_backends)
    confirm("this sweep", found, yes, "leave out --backend, --storage and the options that do this")


def _run(resolved: Sweep, output: Path, patience: float, keep_going: bool) -> int:
    from pyfio_virtio.sweep.run import carry_out

    click.echo(_extent(resolved), err=True)
    try:
        with watching() as watcher:
            settled = _settled(resolved.settings)
            tally = carry_out(resolved, output, watcher, settled, patience, keep_going)
    except KeyboardInterrupt as ending:
        click.echo(f"pyfio-virtio: {_interruption(output)}", err=True)
        return signals.exit_status(ending)
    _tell(tally, output)
    return _SOME_FAILED if tally.failed or tally.stopped else 0


def _interruption(output: Path) -> str:
    """What an interrupted sweep leaves behind, and how to continue."""
    from pyfio_virtio.results.results import PLAN, SweepFolder

    plan = output / PLAN
    if not plan.exists():
        return "interrupted before the first run; nothing was kept"
    again = f"pyfio-virtio sweep {shlex.quote(str(plan))} -o {shlex.quote(str(output))}"
    kept = len(SweepFolder(output).finished())
    if not kept:
        return f"interrupted before a run was finished; begin again with: {again}"
    are_kept = "finished run is" if kept == 1 else "finished runs are"
    return f"interrupted; {kept} {are_kept} kept in {output}; continue with: {again}"


def _settled(settings: Settings) -> Any:  # noqa: ANN401 - sweep_run.Settled
    """Gives a function that says whether these IOPS are known as precisely as --target-ci asks."""
    wanted = settings.target_ci

    def is_settled(values: Sequence[float]) -> bool:
        from pyfio_virtio.analysis import family, stats

        estimate = stats.median(values)
        trusted = estimate.interval.confidence >= family.CONFIDENCE - 0.02
        return wanted is None or (trusted and estimate.half_width <= wanted)

    return is_settled


def _tell(tally: Tally, output: Path) -> None:
    if tally.stopped:
        click.echo(
            f"pyfio-virtio: stopped: {tally.stopped}; when this is corrected, the same command "
            "continues; --keep-going would make the other runs, too",
            err=True,
        )
    failed = f", {tally.failed} failed" if tally.failed else ""
    now = f"; now: pyfio-virtio report {output}" if tally.kept > tally.failed else ""
    click.echo(f"{_count(tally.kept, 'run')} in {output}{failed}{now}", err=True)
