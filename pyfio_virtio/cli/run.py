# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio run: runs fio on a disk that is started for the run, or on one that the user names.

Trying things out must not overwrite anybody's disk. Therefore a job runs on a disk of our own,
whatever disks it names, and the command asks before a job writes anywhere else or runs a command.
"""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from click.core import ParameterSource

from pyfio_virtio import explaining as explanations
from pyfio_virtio import run as runs
from pyfio_virtio.backends import kinds
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli import completions
from pyfio_virtio.cli.options import DISK_PARAMETERS, confirm, disk_options, dry_run_option
from pyfio_virtio.engine import counters
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.explain import watching
from pyfio_virtio.explain import words as sentences
from pyfio_virtio.explain.watching import Watch
from pyfio_virtio.fio import cpus as cpus_of_jobs
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import cpu_lists, folders, host
from pyfio_virtio.sweep import candidates
from pyfio_virtio.sweep.job import Placement, placement


@click.command()
@click.argument(
    "words",
    nargs=-1,
    type=click.Path(readable=False),
    metavar="[JOBFILE]... [-- FIO OPTIONS]",
    shell_complete=completions.jobs,
)
@click.option(
    "--backend",
    "kind",
    metavar="builtin|qsd|SOCKET|none",
    shell_complete=completions.kinds_or_none,
    default=kinds.DEFAULT_KIND,
    show_default=True,
    help="What serves the disk. Options of the back-end may follow: qsd,aio=io_uring. With none, "
    "the job runs on the disks that it names.",
)
@click.option(
    "--socket", shell_complete=completions.files, metavar="PATH", help="The same as --backend PATH."
)
@click.option(
    "--cpus",
    default="any",
    show_default=True,
    metavar="PLACE",
    help="CPUs of fio and the back-end: any, separate, shared, or FIO:BACKEND such as 0:1. A list "
    "alone is that of the back-end.",
)
@disk_options
@click.option("--json", "as_json", is_flag=True, help="Print only fio's JSON on stdout.")
@click.option(
    "--counters",
    "with_counters",
    is_flag=True,
    help="Print at the end how often fio kicked, looked at the ring and slept for each I/O, and "
    "the IOPS per core.",
)
@click.option(
    "--explain",
    "explaining",
    is_flag=True,
    help="Say at the end where the time of a request goes. With the built-in back-end, both sides "
    "take times of one request in 64; with another one, a thread on a spare CPU watches the used "
    "ring.",
)
@click.option(
    "--convert",
    "converting",
    is_flag=True,
    help="Convert a job for another engine of fio to fio_virtio, and show what changed.",
)
@click.option(
    "--hosts",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Run the job at the same time on the hosts in this file (hosts.toml), on each of which "
    "`pyfio-virtio serve` runs.",
)
@click.option(
    "--yes", is_flag=True, help="Do not ask before the job writes elsewhere or runs a command."
)
@click.option("--fio", "program", default="fio", show_default=True, help="The fio to run.")
@dry_run_option
@click.pass_context
def run(
    context: click.Context,
    words: tuple[str, ...],
    kind: str,
    socket: str | None,
    cpus: str,
    as_json: bool,
    with_counters: bool,
    explaining: bool,
    converting: bool,
    hosts: Path | None,
    yes: bool,
    program: str,
    dry_run: bool,
    disk: BackendSpec,
) -> None:
    """Run job files with fio, on a disk started for this run.

    That disk replaces the disks that the job names (filename=, directory=, and those in an I/O
    log), and it ends with the run. JOBFILE is a file, or a job that comes with pyfio-virtio:
    latency, mixed, multiqueue, scsi, throughput, verify, or virtio, which runs by default. Options
    of fio follow after --, and they take precedence over the job file.
    """
    job_files, fio_options = split(words)
    if hosts is not None:
        from pyfio_virtio.cli import run_hosts  # asyncio is slow to import

        context.exit(run_hosts.run(context, hosts, job_files, fio_options, disk, kind, cpus))
    place, placing = placed(cpus)
    fio_options = (*placing, *fio_options)
    disk_of_run = where(context, kind, socket, disk, place)
    every = runs.EXPLAIN_EVERY if explaining else 0
    plan = runs.plan(
        *(job_files, fio_options, disk_of_run, program, as_json, with_counters, converting),
        explain_every=every,
        tell=partial(click.echo, err=True),
    )
    watched = spare_watch(plan, place) if explaining else Watch(None, "")
    plan = plan.watched_on(watched.cpu)
    if converting:
        _show_changes(plan)
    for wrong in plan.misread:
        click.echo(
            f"pyfio-virtio: note: fio reads {wrong.option} as {wrong.number}; {wrong.advice}",
            err=True,
        )
    if dry_run:
        click.echo(plan.script().encode("utf-8", "surrogateescape"))
        return
    ask(plan, yes)
    click.echo(plan.describe(), err=True)
    if watched.sentence:
        click.echo(watched.sentence, err=True)
    context.exit(_carry_out(plan, with_counters))


def placed(cpus: str) -> tuple[Placement, tuple[str, ...]]:
    """Where --cpus puts fio and the back-end, and the options of fio that do so."""
    place = placement(cpus, host.cores())
    if not place.fio:
        return place, ()
    cpu_lists.check(place.fio, f"--cpus {cpus}")
    return place, (f"--cpus_allowed={place.fio}",)


def takes_times(disk: runs.Disk) -> bool:
    """Whether the disk's back-end takes the times of requests itself."""
    return disk.spec is not None and disk.spec.kind == kinds.DEFAULT_KIND


def spare_watch(plan: runs.Plan, place: Placement) -> Watch:
    """A thread on a spare CPU that watches the used ring, where the back-end takes no times."""
    if takes_times(plan.disk):
        return Watch(None, "")
    return watching.choose(os.sched_getaffinity(0), *used_cpus(plan, place))


def used_cpus(plan: runs.Plan, place: Placement) -> tuple[frozenset[int], int]:
    """The CPUs to which jobs or the back-end are bound, and how many of these may run anywhere."""
    fio_cpus = cpus_of_jobs.used(plan.jobs)
    if place.backend is None:
        return fio_cpus.bound, fio_cpus.unbound + 1
    return fio_cpus.bound | cpu_lists.parse(place.backend), fio_cpus.unbound


def where(
    context: click.Context, kind: str, socket: str | None, disk: BackendSpec, place: Placement
) -> runs.Disk:
    """The disk that --backend and --socket name, with its back-end in its place."""
    named = _named(kind, socket, replace(disk, cpus=place.backend))
    if named.spec is None:
        _refuse_unused(context, named, place)
    return named


def _named(kind: str, socket: str | None, disk: BackendSpec) -> runs.Disk:
    if socket is not None:
        return runs.Disk(socket=folders.absolute(socket))
    if kind == completions.NO_BACKEND:
        return runs.Disk()
    named = candidates.one_backend(kind)
    if named.socket:
        return runs.Disk(socket=folders.absolute(named.socket))
    return runs.Disk(replace(disk, kind=named.kind, options=(*disk.options, *named.options)))


def _refuse_unused(context: click.Context, disk: runs.Disk, place: Placement) -> None:
    """Refuses flags for a disk that is not started here, because they would change nothing."""
    unused = [*DISK_PARAMETERS, *(["cpus"] if place.backend else [])]
    if disk.socket and context.params["socket"]:
        unused.append("kind")
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in unused and source is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"cannot use {max(option.opts, key=len)} here",
                f"this command does not start {disk.describe()}",
                "write --cpus FIO: to place fio alone" if option.name == "cpus" else "leave it out",
            )


def split(words: tuple[str, ...]) -> tuple[list[Path], tuple[str, ...]]:
    """Tells the job files from the options. click passes the words before and after -- as one list,
    so the first words are job files until one begins with a dash. "-" is standard input, as in fio.
    """
    is_option = (word.startswith("-") and word != "-" for word in words)
    first = next((place for place, is_one in enumerate(is_option) if is_one), len(words))
    paths = [Path("/dev/stdin" if word == "-" else word) for word in words[:first]]
    return paths, words[first:]


def _show_changes(plan: runs.Plan) -> None:
    if not plan.changes:
        click.echo(f"{plan.title} is a job for fio_virtio; nothing was converted", err=True)
        return
    click.echo(f"{plan.title} was converted:", err=True)
    for change in plan.changes:
        click.echo(f"  {change}", err=True)


def ask(plan: runs.Plan, yes: bool) -> None:
    """Asks before the job writes to a disk that was not made for it, or runs a command."""
    reached = plan.reach()
    is_ours = plan.disk.spec is not None and plan.disk.spec.file is None
    of_disk = reached.written and not is_ours
    otherwise = "leave --socket, --storage and --backend out" if of_disk else "change the job"
    confirm(plan.title, reached, yes, otherwise)


def _show(piece: bytes) -> None:
    click.echo(piece, nl=False)


def _carry_out(plan: runs.Plan, with_counters: bool) -> int:
    printed: list[bytes] = []
    # At a terminal, fio shows its status line itself.
    show = printed.append if plan.as_json else None if sys.stdout.isatty() else _show
    result = runs.carry_out(plan, partial(click.echo, err=True), show)
    if plan.as_json:
        notes, json = fio.split_notes(b"".join(printed).decode(errors="replace"))
        click.echo(notes, err=True, nl=False)
        click.echo(json, nl=False)
        if not json and not result.outcome.status:
            raise PyfioVirtioError("fio printed no results", "it ended with status 0 all the same")
    if result.counters and with_counters:
        click.echo("\n".join(counters.summary(result.counters)), err=plan.as_json)
    if result.requests:
        told = explanations.explained(result, b"".join(printed) if plan.as_json else None)
        click.echo("\n".join(sentences.sentences(told)), err=plan.as_json)
    if result.backend_died is not None:
        raise PyfioVirtioError("the back-end ended during the run", result.backend_died)
    if result.outcome.killer:
        click.echo(f"pyfio-virtio: {fio.ending(-result.outcome.killer)}", err=True)
    return result.outcome.status
