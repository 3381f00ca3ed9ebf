# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio explain: shows where the time of a request goes, in a picture and in sentences.

It runs a job once for each way of waiting at each depth, on a disk that is started for it or on one
that the user names, and keeps what it found in a folder.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from pyfio_virtio import explaining
from pyfio_virtio import run as runs
from pyfio_virtio.backends import kinds
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli import completions
from pyfio_virtio.cli.options import disk_options, dry_run_option, seconds_option
from pyfio_virtio.cli.output import check_folder, make_folder, write_file
from pyfio_virtio.cli.pictures import keep_files_in_cache
from pyfio_virtio.cli.run import ask, placed, spare_watch, split, takes_times, used_cpus, where
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.explain import watching
from pyfio_virtio.explain import words as sentences
from pyfio_virtio.explain.parts import Explained
from pyfio_virtio.explain.watching import Watch
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import cpu_lists
from pyfio_virtio.sweep.job import Placement

_JOB = Path("latency")
_WAYS = ("event", "busy", "sleepy", "adaptive")
_PICTURE, _TEXT, _DATA, _TABLE = "explain.png", "explain.txt", "explain.json", "explain.csv"
_FILES = (_PICTURE, _TEXT, _DATA, _TABLE)


def _ways(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    ways = tuple(dict.fromkeys(text.split(",")))
    for way in ways:
        if way not in _WAYS:
            raise click.BadParameter(f"{way!r} is none of {', '.join(_WAYS)}")
    return ways


def _depths(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    depths = tuple(dict.fromkeys(text.split(",")))
    for depth in depths:
        if not (depth.isascii() and depth.isdecimal() and 0 < int(depth) <= 32768):
            raise click.BadParameter(f"{depth!r} is not a number from 1 to 32768")
    return tuple(map(int, depths))


def _watch(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if text not in ("auto", "off") and not (text.isascii() and text.isdecimal()):
        raise click.BadParameter(f"{text!r} is none of auto, off, and the number of a CPU")
    return text


def _every(context: click.Context, parameter: click.Parameter, number: int) -> int:
    if number & (number - 1):
        raise click.BadParameter(f"{number} is not a power of two")
    return number


@click.command()
@click.argument(
    "words",
    nargs=-1,
    type=click.Path(readable=False),
    metavar="[JOBFILE]... [-- FIO OPTIONS]",
    shell_complete=completions.jobs,
)
@click.option(
    "--wait",
    "ways",
    default="event,busy,adaptive",
    show_default=True,
    callback=_ways,
    shell_complete=completions.waits,
    help="Ways of waiting.",
)
@click.option(
    "--iodepth",
    "depths",
    default="1,32",
    show_default=True,
    callback=_depths,
    help="Numbers of requests in flight.",
)
@seconds_option("--runtime", default="2", show_default=True, least=0.1, help="Time of each run.")
@click.option(
    "--every",
    type=click.IntRange(1, 65536),
    default=runs.EXPLAIN_EVERY,
    show_default=True,
    callback=_every,
    metavar="N",
    help="Take times of one request in N, a power of two.",
)
@click.option(
    "--backend",
    "kind",
    metavar="builtin|qsd|SOCKET",
    shell_complete=completions.kinds,
    default=kinds.DEFAULT_KIND,
    show_default=True,
    help="What serves the disk. Only the built-in back-end takes times itself.",
)
@click.option(
    "--socket", shell_complete=completions.files, metavar="PATH", help="The same as --backend PATH."
)
@click.option(
    "--cpus",
    default="any",
    show_default=True,
    metavar="PLACE",
    help="CPUs of fio and the back-end: any, separate, shared, or FIO:BACKEND such as 0:1.",
)
@click.option(
    "--watch",
    default="auto",
    show_default=True,
    callback=_watch,
    metavar="auto|off|CPU",
    help="The CPU of a thread that watches the used ring of a back-end that takes no times itself. "
    "auto: one that neither fio nor the back-end uses, if there is one.",
)
@disk_options
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("explain"),
    show_default=True,
    help="The folder for the picture, the sentences and the numbers.",
)
@click.option(
    "--yes", is_flag=True, help="Do not ask before the job writes elsewhere or runs a command."
)
@click.option("--fio", "program", default="fio", show_default=True, help="The fio to run.")
@dry_run_option
@click.pass_context
def explain(
    context: click.Context,
    words: tuple[str, ...],
    ways: tuple[str, ...],
    depths: tuple[int, ...],
    runtime: float,
    every: int,
    kind: str,
    socket: str | None,
    cpus: str,
    watch: str,
    folder: Path,
    yes: bool,
    program: str,
    dry_run: bool,
    disk: BackendSpec,
) -> None:
    """Show where the time of a request goes, for each way of waiting.

    The job is `latency` (reads of 4 KiB) unless JOBFILE names another. Options of fio follow after
    --, as with `run`.
    """
    if not dry_run:
        check_folder(folder, lambda name: name in _FILES)
    job_files, fio_options = split(words)
    place, placing = placed(cpus)
    fio_options = (*placing, *fio_options)
    disk_of_runs = where(context, kind, socket, disk, place)
    if disk_of_runs.spec is None and disk_of_runs.socket is None:
        raise UsageError("cannot explain --backend none", "", "name a socket, or leave it out")
    plans = [
        (
            depth,
            _plan(
                *(job_files or [_JOB], fio_options, disk_of_runs, program, every),
                *(runtime, way, depth),
            ),
        )
        for depth in depths
        for way in ways
    ]
    watched = _watched(watch, plans[0][1], place)
    plans = [(depth, plan.watched_on(watched.cpu)) for depth, plan in plans]
    if dry_run:
        click.echo("\n\n".join(plan.script() for _, plan in plans))
        return
    ask(plans[0][1], yes)
    make_folder(folder)
    click.echo(f"{plans[0][1].describe()}: {len(plans)} runs of {runtime:g} s each", err=True)
    if watched.sentence:
        click.echo(watched.sentence, err=True)
    conditions = "\n".join(filter(None, (plans[0][1].describe(), watched.sentence)))
    _keep(folder, [_run(plan, depth) for depth, plan in plans], conditions)


def _watched(watch: str, plan: runs.Plan, place: Placement) -> Watch:
    """The CPU of the thread that watches the used ring, if there is to be one."""
    if watch == "off":
        return Watch(None, "")
    if watch == "auto":
        return spare_watch(plan, place)
    if takes_times(plan.disk):
        raise UsageError(
            f"cannot use --watch {watch}",
            "the built-in back-end takes the times itself",
            "leave --watch out",
        )
    cpu_lists.check(watch, f"--watch {watch}")
    return watching.forced(int(watch), os.sched_getaffinity(0), *used_cpus(plan, place))


def _plan(
    job_files: Sequence[Path],
    fio_options: Sequence[str],
    disk: runs.Disk,
    program: str,
    every: int,
    runtime: float,
    way: str,
    depth: int,
) -> runs.Plan:
    ours = (
        *(f"--wait={way}", f"--iodepth={depth}"),
        *(f"--runtime={round(runtime * 1e6)}us", "--ramp_time=0", "--time_based"),
        "--lat_percentiles=1",  # the parts sum to lat, and not to clat
    )
    return runs.plan(
        *(job_files, (*fio_options, *ours), disk, program),
        as_json=True,
        explain_every=every,
        tell=partial(click.echo, err=True),
    )


def _run(plan: runs.Plan, depth: int) -> Explained:
    printed: list[bytes] = []
    result = runs.carry_out(plan, partial(click.echo, err=True), printed.append)
    if result.backend_died is not None:
        raise PyfioVirtioError("the back-end ended during the run", result.backend_died)
    if result.outcome.status or result.requests is None:
        notes, _ = fio.split_notes(b"".join(printed).decode(errors="replace"))
        click.echo(notes, err=True, nl=False)
        raise PyfioVirtioError("fio failed", "its own message is above")
    found = explaining.explained(result, b"".join(printed), depth)
    for sentence in sentences.sentences(found):
        click.echo(sentence)
    return found


def _keep(folder: Path, found: Sequence[Explained], conditions: str) -> None:
    keep_files_in_cache()
    from pyfio_virtio.analysis import explained as pictures  # slow to import
    from pyfio_virtio.analysis import style

    write_file(folder / _TEXT, "".join(f"{line}\n" for line in _lines(found, conditions)))
    write_file(folder / _DATA, json.dumps([asdict(each) for each in found], indent=1) + "\n")
    write_file(folder / _TABLE, _csv(found))
    write_file(folder / _PICTURE, style.image(pictures.draw(found, conditions), ".png"))
    click.echo(str(folder / _PICTURE))


def _lines(found: Sequence[Explained], conditions: str) -> Iterator[str]:
    yield conditions
    for each in found:
        yield ""
        yield from sentences.sentences(each)
        yield f"  for each I/O: {sentences.counts(each)}"
        for bar in each.bars:
            yield f"  {bar.which} ({bar.requests} requests), µs:"
            yield from (
                f"  {ns / 1000:10.3f}  {sentences.LABELS[name]}" for name, ns in bar.parts.items()
            )
        yield f"  requests that were timed: {each.requests}"
        if each.fio_median_ns:
            yield f"  fio's median latency of all requests: {each.fio_median_ns / 1000:.3f} µs"


def _csv(found: Sequence[Explained]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("wait", "iodepth", "which", "requests", "part", "ns"))
    for each in found:
        for bar in each.bars:
            for name, ns in bar.parts.items():
                row = (each.wait, each.iodepth, bar.which, bar.requests, name, round(ns, 1))
                table.writerow(row)
    return text.getvalue()
