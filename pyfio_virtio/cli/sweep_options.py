# SPDX-License-Identifier: GPL-2.0-or-later
"""The flags of sweep: one for each key of its TOML file, and some abbreviations.

Owns the flags, and how each becomes a setting. Only the flags that were given are passed on, so
that they take precedence over the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pyfio_virtio.cli import completions
from pyfio_virtio.cli.options import disk_option, seconds_option
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.settings import ORDERS, counts, option_name, share, steps, words

DEFAULT_FOLDER = "sweep-results"
# With these, a sweep of two ways of waiting at three depths takes less than three minutes.
_QUICK = {"runtime": 1.0, "ramp_time": 0.25}
_AXES = {
    "sleepy_poll": "Microseconds that fio sleeps between two looks at the ring; 0 waits for calls.",
    "wait": "Ways of waiting: event, busy, sleepy, adaptive. --sleepy-poll adds to this list.",
    "iodepth": "I/Os in flight in each job.  [default: 1,32,128]",
    "bs": "Size of each I/O.  [default: 4k]",
    "rw": "Directions of the I/O: randread, randwrite, randrw ...  [default: randread]",
    "numjobs": "Jobs that run at the same time, each with its own queue.  [default: 1]",
    "event_idx": "The engine's option event_idx: auto, on, off.",
}
_LISTS = {
    "engines": "Engines of fio: virtio, io_uring, libaio, nbd ...  [default: virtio]",
    "serve": "How the built-in back-end waits for requests: poll, event, adaptive.",
}


def _axis_flags() -> list[Callable[[Any], Any]]:
    flags = [
        click.option(
            f"--{name.replace('_', '-')}",
            name,
            multiple=True,
            metavar="LIST",
            help=help_text,
            shell_complete=completions.waits if name == "wait" else None,
        )
        for name, help_text in {**_AXES, **_LISTS}.items()
    ]
    return [
        *flags,
        click.option(
            "--set",
            "set_options",
            multiple=True,
            metavar="OPTION=LIST",
            help="Any option of fio or of the engine, such as norandommap=1; may be repeated, also "
            "to add values of an option. A comma inside a value is written '\\,' as in "
            "'bs=4k\\,8k'.",
        ),
        click.option(
            "--cpus",
            multiple=True,
            metavar="PLACE",
            help="CPUs of fio and the back-end: any, separate, shared, or FIO:BACKEND such as 0:1; "
            "may be repeated.",
        ),
        click.option("--shared-cpu", is_flag=True, help="The same as --cpus shared."),
    ]


_FLAGS = (
    click.option(
        "--one-at-a-time",
        is_flag=True,
        default=None,
        help="Vary one option at a time, with the first value of each other option.",
    ),
    click.option(
        "--repeats",
        type=click.IntRange(1),
        help="Runs of each point; fewer than 5 show no difference.  [default: 5]",
    ),
    click.option(
        "--target-ci",
        metavar="SHARE",
        help="Repeat each point until its IOPS are known to this precision, such as 2%.",
    ),
    click.option(
        "--max-repeats",
        type=click.IntRange(1),
        help="Most runs of each point with --target-ci.  [default: 30]",
    ),
    click.option(
        "--rate-steps",
        metavar="LIST",
        help="Measure each point also at these shares of the IOPS that it reaches, such as "
        "10,20..100%.",
    ),
    seconds_option(
        "--runtime",
        least=0.001,
        help="Measured time of each run, such as 2 or 500ms.  [default: 5]",
    ),
    seconds_option(
        "--ramp-time",
        help="Time that each run takes before it measures.  [default: 1]",
    ),
    click.option("--quick", is_flag=True, help="The same as --runtime 1 --ramp-time 0.25."),
    click.option(
        "--order", type=click.Choice(ORDERS), help="Order of the runs.  [default: interleaved]"
    ),
    click.option(
        "--seed",
        type=int,
        help="Seed of the order. If left out, a random seed is chosen and recorded.",
    ),
    click.option(
        "--controls/--no-controls",
        default=None,
        help="Measure also fio's null engine, and the first point twice to show the noise.  "
        "[default: controls]",
    ),
    click.option(
        "--backend",
        multiple=True,
        metavar="[NAME=]builtin|qsd|SOCKET",
        shell_complete=completions.kinds,
        help="What serves the disk. Several are measured in turns. Options of the back-end may "
        "follow: fast=qsd,aio=io_uring. May be repeated.  [default: builtin]",
    ),
    click.option(
        "--socket",
        multiple=True,
        shell_complete=completions.files,
        metavar="PATH",
        help="The same as --backend PATH; may be repeated.",
    ),
    disk_option(
        "--storage",
        metavar="null|memory[:PATH]|file[:PATH]",
        also=" file without a PATH is a scratch file.  [default: null; file if an engine of fio "
        "needs a file]",
    ),
    disk_option("--disk-size", also="  [default: 1G]"),
    disk_option("--block-size", also="  [default: 512]"),
    disk_option("--read-only", default=None),
    disk_option("--poll-max-ns"),
    disk_option(
        "--backend-option",
        multiple=True,
        also=" Several values (aio=threads,io_uring) are measured in turns. An unknown KEY shows "
        "the list.",
    ),
    click.option(
        "--engine-build",
        multiple=True,
        metavar="[NAME=]FOLDER",
        help="A build of the engine, or a checkout that has one. Several are measured in turns. "
        "May be repeated.",
    ),
    click.option(
        "--fio",
        multiple=True,
        metavar="[NAME=]PROGRAM",
        help="The fio to run. Several are measured in turns. May be repeated.  [default: fio]",
    ),
    click.option(
        "--keep-backend",
        is_flag=True,
        default=None,
        help="Restart the back-end only if the next run needs another one.",
    ),
    click.option(
        "--heat-map",
        is_flag=True,
        default=None,
        help="Log latency over time, so that the report shows it as a heat map.",
    ),
    click.option(
        "--hosts",
        metavar="FILE",
        help="Run each job on all hosts of this TOML file at the same time (docs/hosts.md).",
    ),
    click.option(
        "--host-count",
        metavar="LIST",
        help="Measure with these numbers of the hosts, such as 1,2,4.  [default: all]",
    ),
    click.option("--title", help="Title of the report, such as the question to answer."),
)


def sweep_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the flags; the command gets those that were given as `given`, by names of Settings."""
    flags = [*_axis_flags(), *_FLAGS]
    names = ("quick", "shared_cpu", "socket", "set_options", *_AXES, *_LISTS, "cpus", *_plain())

    @wraps(function)
    def with_settings(**values: Any) -> None:  # noqa: ANN401 - click's parameters
        said = {name: values.pop(name) for name in names}
        function(given=_settings(said), **values)

    for flag in reversed(flags):
        with_settings = flag(with_settings)
    return with_settings


def _plain() -> tuple[str, ...]:
    """The flags that have the name of their setting."""
    return (
        *("one_at_a_time", "repeats", "target_ci", "max_repeats", "rate_steps", "runtime"),
        *("ramp_time", "order", "seed", "controls", "backend", "storage", "disk_size"),
        *("block_size", "read_only", "poll_max_ns", "backend_option", "engine_build", "fio"),
        *("keep_backend", "heat_map", "title", "hosts", "host_count"),
    )


def _settings(said: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = dict(_QUICK) if said["quick"] else {}
    given |= {name: said[name] for name in _plain() if said[name] not in (None, ())}
    given |= {name: _words_of(said[name]) for name in _LISTS if said[name]}
    if "target_ci" in given:
        given["target_ci"] = share(given["target_ci"], "--target-ci")
    if "rate_steps" in given:
        given["rate_steps"] = steps(given["rate_steps"])
    if "host_count" in given:
        given["host_count"] = counts(given["host_count"], "--host-count")
    if said["socket"]:
        given["backend"] = (
            *said["backend"],
            *(str(Path(each).absolute()) for each in said["socket"]),
        )
    cpus = (*said["cpus"], *(("shared",) if said["shared_cpu"] else ()))
    if cpus:
        given["cpus"] = cpus
    flags = {name: said[name] for name in _AXES}
    return given | {"options": option_lists(flags, said["set_options"])}


def option_lists(
    flags: Mapping[str, Sequence[str]], set_options: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The values of each option of fio: those of flags of their own, and those of --set."""
    options = {name: _words_of(texts) for name, texts in flags.items() if texts}
    for text in set_options:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise UsageError(f"cannot read --set {text}", "", "write --set OPTION=V1,V2")
        options.setdefault(option_name(name), ())
        options[option_name(name)] += words(values)
    return options


def _words_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The values of a flag that was given once or several times."""
    return tuple(word for text in texts for word in words(text))
