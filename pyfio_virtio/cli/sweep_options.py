# SPDX-License-Identifier: GPL-2.0-or-later
"""The flags of sweep: one for each key of its TOML file, and shorthands.

Owns which flags there are and how each becomes a setting; only what was given is passed on,
so that flags can win over a file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from pyfio_virtio.cli.options import disk_option
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.settings import ORDERS, option_name, share, steps, words

DEFAULT_FOLDER = "sweep-results"
# Under three minutes for two ways of waiting at three depths.
_QUICK = {"runtime": 1.0, "ramp_time": 0.25}
_AXES = {
    "sleepy_poll": "Microseconds between looks at the ring; 0: the eventfd.",
    "wait": "Ways of waiting: event, busy, sleepy, adaptive; one axis with --sleepy-poll.",
    "iodepth": "I/Os in flight, of each job.  [default: 1,32,128]",
    "bs": "Bytes of each I/O.  [default: 4k]",
    "rw": "Directions: randread, randwrite, randrw ...  [default: randread]",
    "numjobs": "Jobs at a time, a queue each.  [default: 1]",
    "event_idx": "The engine's event_idx: on, off.",
}
_LISTS = {
    "engines": "Engines of fio: virtio, io_uring, libaio, nbd ...  [default: virtio]",
    "serve": "How the built-in back-end waits: poll, event, adaptive.",
}


def _axis_flags() -> list[Callable[[Any], Any]]:
    flags = [
        click.option(f"--{name.replace('_', '-')}", name, metavar="LIST", help=help_text)
        for name, help_text in {**_AXES, **_LISTS}.items()
    ]
    return [
        *flags,
        click.option(
            "--set",
            "set_options",
            multiple=True,
            metavar="OPTION=LIST",
            help="Any option of fio or the engine, as --set norandommap=1.",
        ),
        click.option(
            "--cpus",
            multiple=True,
            metavar="PLACE",
            help="any, separate, shared, or FIO:BACKEND as 0:1; may be repeated.",
        ),
        click.option("--shared-cpu", is_flag=True, help="One CPU for both: --cpus shared."),
    ]


_FLAGS = (
    click.option("--one-at-a-time", is_flag=True, default=None, help="No grid: vary one axis."),
    click.option("--repeats", type=click.IntRange(1), help="Runs of each point.  [default: 5]"),
    click.option("--target-ci", metavar="SHARE", help="More repeats until IOPS are known to ±2%."),
    click.option("--max-repeats", type=click.IntRange(1), help="Their cap.  [default: 30]"),
    click.option("--rate-steps", metavar="LIST", help="Also at 10,20..100% of what it reaches."),
    click.option("--runtime", type=float, metavar="SECONDS", help="Of each run.  [default: 5]"),
    click.option("--ramp-time", type=float, metavar="SECONDS", help="Before it.  [default: 1]"),
    click.option("--quick", is_flag=True, help="--runtime 1 --ramp-time 0.25"),
    click.option("--order", type=click.Choice(ORDERS), help="Of runs.  [default: interleaved]"),
    click.option("--seed", type=int, help="Of the order; recorded when it is left out."),
    click.option("--controls/--no-controls", default=None, help="Null engine, and A against A."),
    click.option("--backend", metavar="builtin|qsd|SOCKET", help="What serves the disk."),
    disk_option(
        "--storage",
        metavar="null|memory|file|file:PATH",
        also=" file alone creates a scratch file.",
    ),
    disk_option("--disk-size", also="  [default: 1G]"),
    disk_option("--block-size", also="  [default: 512]"),
    disk_option("--backend-option", multiple=True),
    click.option("--keep-backend", is_flag=True, default=None, help="Restart it only if it must."),
    click.option("--heat-map", is_flag=True, default=None, help="Log latency by time, to draw it."),
    click.option("--title", help="Of the report: the question."),
)


def sweep_options(function: Callable[..., None]) -> Callable[..., None]:
    """Gives the command what was said as `given`, by the names of Settings."""
    flags = [*_axis_flags(), *_FLAGS]
    names = ("quick", "shared_cpu", "set_options", *_AXES, *_LISTS, "cpus", *_plain())

    @wraps(function)
    def with_settings(**values: Any) -> None:  # noqa: ANN401 - click's parameters
        said = {name: values.pop(name) for name in names}
        function(given=_settings(said), **values)

    for flag in reversed(flags):
        with_settings = flag(with_settings)
    return with_settings


def _plain() -> tuple[str, ...]:
    """The flags whose value is the setting."""
    return (
        *("one_at_a_time", "repeats", "target_ci", "max_repeats", "rate_steps", "runtime"),
        *("ramp_time", "order", "seed", "controls", "backend", "storage", "disk_size"),
        *("block_size", "backend_option", "keep_backend", "heat_map", "title"),
    )


def _settings(said: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = dict(_QUICK) if said["quick"] else {}
    given |= {name: said[name] for name in _plain() if said[name] not in (None, ())}
    given |= {name: words(said[name]) for name in _LISTS if said[name] is not None}
    for name, read in (("target_ci", share), ("rate_steps", steps)):
        if name in given:
            given[name] = read(given[name])
    cpus = (*said["cpus"], *(("shared",) if said["shared_cpu"] else ()))
    if cpus:
        given["cpus"] = cpus
    return given | {"options": _options(said)}


def _options(said: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    options = {name: words(said[name]) for name in _AXES if said[name] is not None}
    for text in said["set_options"]:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise UsageError(f"cannot read --set {text}", "", "write --set OPTION=V1,V2")
        options[option_name(name)] = words(values)
    return options
